//! `explain`: what the kubelet would get for an image, and why. Offline.

use serde::Serialize;

use super::output::{self, Failure, Outcome};
use super::{Context, Form};
use crate::credential::Credential;
use crate::exit::Code;
use crate::kubelet::response::{CacheKeyType, CredentialProviderResponse};
use crate::kubelet::{ApiVersion, keyring};
use crate::reference::{Reference, ReferenceError};
use crate::{matching, provider, text, time};

#[derive(clap::Args)]
pub(super) struct Args {
    /// Image as a pod names it: `nginx:1.27`, `registry.example.com:5000/team/app`
    image: String,
}

/// `explain --output json`, part of the command line's contract.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation<'a> {
    image: &'a str,
    answer: Option<serde_json::Value>,
    credential: Option<Chosen<'a>>,
    considered: Vec<Considered<'a>>,
    /// Always empty: this version stores no mirror rules.
    mirrors: [(); 0],
    warnings: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Chosen<'a> {
    scope: &'a str,
    username: &'a str,
    issuer: &'a str,
    expires_at: Option<String>,
}

#[derive(Serialize)]
struct Considered<'a> {
    scope: &'a str,
    matches: bool,
    reason: String,
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    let image = Reference::parse_lenient(&args.image).map_err(|error| Failure::new(Code::Usage, error))?;
    let opened = context.store.open()?;
    let now = time::now();
    let chosen = matching::select(&image, &opened.credentials).credential;
    let issued = provider::provide(ApiVersion::V1, &image, &opened.credentials, now);
    let mut warnings = Vec::new();
    if args.image.parse() == Err::<Reference, _>(ReferenceError::Scheme) {
        warnings.push("a pod cannot name an image with `https://`; without it, this is what it gets".to_owned());
    }
    match &issued {
        Ok(response) => warnings.extend(check_answer(&image, response)),
        Err(error) => warnings.push(format!("the plugin fails for this image: {error}")),
    }
    let soon = chosen.and_then(|credential| credential.expires_at).filter(|end| (now..now + WEEK).contains(end));
    warnings.extend(soon.map(|end| format!("the stored credential ends at {}", output::timestamp(end))));
    let explanation = Explanation {
        image: image.name(),
        answer: issued.as_ref().ok().map(CredentialProviderResponse::redacted),
        credential: chosen.map(Chosen::from),
        considered: opened.credentials.iter().map(|credential| consider(&image, credential, chosen)).collect(),
        mirrors: [],
        warnings,
    };
    match context.form {
        Form::Json => output::print_json(&explanation)?,
        Form::Text => output::print(&tell(&explanation, issued.as_ref().ok()))?,
    }
    match issued {
        Err(error) => Err(Failure::new(Code::Failed, error)),
        Ok(_) if chosen.is_none() => Ok(Code::NothingStored),
        Ok(_) => Ok(Code::Done),
    }
}

const WEEK: i64 = 7 * 24 * 60 * 60;

/// Replays the kubelet's own keyring on the answer: an auth key that it does not find would mean an anonymous pull.
fn check_answer(image: &Reference, response: &CredentialProviderResponse) -> Option<String> {
    let (key, _) = response.auth.as_ref()?;
    let found = keyring::lookup(&[key.as_str()], image.name());
    (found != [key.as_str()]).then(|| format!("the kubelet would not find the answer's key `{key}` for this image"))
}

fn consider<'a>(image: &Reference, credential: &'a Credential, chosen: Option<&Credential>) -> Considered<'a> {
    let scope = credential.scope.as_str();
    let (matches, reason) = match credential.scope.fit(image) {
        Err(mismatch) => (false, mismatch.to_string()),
        Ok(_) if chosen.is_some_and(|chosen| chosen.scope == credential.scope) => (true, "most specific".to_owned()),
        Ok(_) => (true, "fits, but another is more specific".to_owned()),
    };
    Considered { scope, matches, reason }
}

fn tell(explanation: &Explanation<'_>, response: Option<&CredentialProviderResponse>) -> String {
    let mut lines = format!("image       {}\n", explanation.image);
    match (&explanation.credential, response.and_then(|response| response.auth.as_ref().map(|auth| (response, auth)))) {
        (Some(credential), Some((response, (key, _)))) => {
            let reuse = match response.cache_key_type {
                CacheKeyType::Image => "this image",
                CacheKeyType::Registry => "every image of the registry",
            };
            lines += &format!(
                "credential  {} as `{}`, by issuer `{}`\n",
                credential.scope,
                text::sanitize(credential.username, 60),
                credential.issuer
            );
            lines += &format!(
                "answer      key `{key}`, good for {reuse}, kept by the kubelet for {} seconds\n",
                response.cache_duration.as_secs()
            );
        }
        (Some(credential), None) => lines += &format!("credential  {} cannot be used\n", credential.scope),
        (None, _) => lines += "credential  none; the kubelet pulls with other credentials, or anonymously\n",
    }
    for (index, considered) in explanation.considered.iter().enumerate() {
        let heading = if index == 0 { "considered" } else { "" };
        let verdict = if considered.matches { "yes" } else { "no " };
        lines += &format!("{heading:<11} {verdict} {}: {}\n", considered.scope, considered.reason);
    }
    for warning in &explanation.warnings {
        lines += &format!("warning     {warning}\n");
    }
    lines
}

impl<'a> From<&'a Credential> for Chosen<'a> {
    fn from(credential: &'a Credential) -> Self {
        Self {
            scope: credential.scope.as_str(),
            username: &credential.username,
            issuer: &credential.issuer,
            expires_at: credential.expires_at.map(output::timestamp),
        }
    }
}
