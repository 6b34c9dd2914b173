//! `explain`: what the kubelet would get for an image, and why. Offline.

use std::collections::BTreeMap;

use serde::Serialize;

use super::output::{self, Failure, Outcome};
use super::{Context, Form};
use crate::credential::Credential;
use crate::exit::Code;
use crate::issuer::{self, IssuerError, Issuing};
use crate::kubelet::response::{CacheKeyType, CredentialProviderResponse};
use crate::kubelet::{ApiVersion, keyring};
use crate::matching::{self, Choice};
use crate::mirror::MirrorRule;
use crate::reference::{Reference, ReferenceError};
use crate::scope::Scope;
use crate::{provider, text, time};

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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    issuing: Vec<Asked<'a>>,
    considered: Vec<Considered<'a>>,
    mirrors: Vec<Mirrored<'a>>,
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

/// An issuer that a pull asks, when nothing that it gave before is good enough.
#[derive(Serialize)]
struct Asked<'a> {
    scope: &'a str,
    issuer: &'a str,
    endpoint: String,
    settings: &'a BTreeMap<String, String>,
    cached: Option<Cached>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cached {
    username: String,
    minted_at: String,
    expires_at: String,
}

#[derive(Serialize)]
struct Mirrored<'a> {
    source: String,
    hosts: Vec<&'a str>,
    policy: &'static str,
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
    let choice = matching::choose(&image, &opened.credentials, &opened.mirrors);
    let chosen = choice.chain.first().copied();
    // Without a deadline nobody is asked.
    let issuing = Issuing { registry: image.domain(), tokens: Some(&opened.tokens), ..Issuing::offline(now) };
    let issued = provider::provide(ApiVersion::V1, &image, &opened.credentials, &opened.mirrors, &issuing);
    let asked = ask(&image, &choice, &issuing);
    let is_unknown = asked.iter().any(|asked| asked.cached.is_none());
    let depends_on_pull = match &issued {
        Ok(_) => false,
        Err(error) => matches!(error, IssuerError::NotAsked { .. } | IssuerError::NoServiceAccount),
    };
    let mut warnings = Vec::new();
    if args.image.parse() == Err::<Reference, _>(ReferenceError::Scheme) {
        warnings.push("a pod cannot name an image with `https://`; without it, this is what it gets".to_owned());
    }
    match &issued {
        Ok(response) => warnings.extend(check_answer(&image, response)),
        Err(IssuerError::NotAsked { .. }) => {}
        Err(IssuerError::NoServiceAccount) => {
            warnings.push("only a pod with a service-account token gets an answer for this image".to_owned());
        }
        Err(error) => warnings.push(format!("the plugin fails for this image: {error}")),
    }
    warnings.extend(warn_of_leaks(&image, &choice));
    for credential in &choice.chain {
        let Some(end) = credential.expires_at else { continue };
        let soon = format!("the credential for `{}` ends at {}", credential.scope, output::timestamp(end));
        if end <= now {
            warnings.push(format!("the credential for `{}` has ended and is left out", credential.scope));
        } else if end < now + WEEK {
            warnings.push(soon);
        }
    }
    let explanation = Explanation {
        image: image.name(),
        // A part of a chain would be another answer than the kubelet gets.
        answer: issued.as_ref().ok().filter(|_| !is_unknown).map(CredentialProviderResponse::redacted),
        credential: chosen.map(Chosen::from),
        issuing: asked,
        considered: opened.credentials.iter().map(|credential| consider(&image, credential, &choice)).collect(),
        mirrors: choice.rule.map(Mirrored::from).into_iter().collect(),
        warnings,
    };
    match context.form {
        Form::Json => output::print_json(&explanation)?,
        Form::Text => {
            let known = issued.as_ref().ok().filter(|_| !is_unknown);
            output::print(&tell(&explanation, known, depends_on_pull))?;
        }
    }
    match issued {
        Err(_) if depends_on_pull => Ok(Code::Done),
        Err(error) => Err(Failure::new(Code::Failed, error)),
        Ok(_) if chosen.is_none() => Ok(Code::NothingStored),
        Ok(_) => Ok(Code::Done),
    }
}

const WEEK: i64 = 7 * 24 * 60 * 60;

/// Replays the kubelet's own keyring on the answer: keys that it does not find, or tries in another order, would mean an
/// anonymous pull or the wrong login.
fn check_answer(image: &Reference, response: &CredentialProviderResponse) -> Option<String> {
    let keys: Vec<&str> = response.auth.iter().map(|(key, _)| key.as_str()).collect();
    let found = keyring::lookup(&keys, image.name());
    (found != keys).then(|| format!("the kubelet would use the answer's keys {keys:?} as {found:?} for this image"))
}

/// Says which issuers a pull asks, and what they gave before.
fn ask<'a>(image: &Reference, choice: &Choice<'a>, issuing: &Issuing<'_>) -> Vec<Asked<'a>> {
    let ask = |credential: &&'a Credential| {
        let registry = provider::registry(image, credential, choice.rule);
        // What is wrong with the entry itself is told as the plugin's failure.
        let preview = issuer::preview(credential, &issuing.for_registry(&registry)).ok()??;
        let cached = preview.cached.map(|(username, minted_at, expires_at)| Cached {
            username,
            minted_at: output::timestamp(minted_at),
            expires_at: output::timestamp(expires_at),
        });
        let (scope, settings) = (credential.scope.as_str(), &credential.settings);
        Some(Asked { scope, issuer: &credential.issuer, endpoint: preview.endpoint, settings, cached })
    };
    choice.chain.iter().filter_map(ask).collect()
}

/// Says who else learns a credential: containerd offers it to every host that asks.
fn warn_of_leaks(image: &Reference, choice: &Choice<'_>) -> Vec<String> {
    let Some(rule) = choice.rule else { return Vec::new() };
    let hosts: Vec<&str> = rule.hosts.iter().map(Scope::as_str).collect();
    let (hosts, registry) = (hosts.join("`, `"), image.domain());
    let withheld = choice.withheld.map(|credential| {
        format!(
            "the credential for `{}` is withheld: the mirrors `{hosts}` would learn it; policy `{}` says so",
            credential.scope, rule.policy
        )
    });
    let shows_upstream = |credential: &&&Credential| credential.scope.fit(image).is_ok();
    let shown = choice.chain.iter().find(shows_upstream).map(|credential| {
        format!(
            "the mirrors `{hosts}` learn the credential for `{}` when they ask; policy `{}` allows it",
            credential.scope, rule.policy
        )
    });
    let to_upstream = choice.chain.iter().find(|credential| !shows_upstream(credential)).map(|credential| {
        format!("when no mirror has the image, `{registry}` learns the credential for `{}`", credential.scope)
    });
    [withheld, shown, to_upstream].into_iter().flatten().collect()
}

fn consider<'a>(image: &Reference, credential: &'a Credential, choice: &Choice<'_>) -> Considered<'a> {
    let scope = credential.scope.as_str();
    let place = choice.chain.iter().position(|chosen| chosen.scope == credential.scope);
    let mirror = choice.rule.and_then(|rule| rule.images(image).find(|image| credential.scope.fit(image).is_ok()));
    let (matches, reason) = match (credential.scope.fit(image), mirror, place) {
        (Ok(_), _, Some(0)) => (true, "most specific".to_owned()),
        (Ok(_), _, Some(place)) => (true, format!("most specific; number {} of the answer", place + 1)),
        (Ok(_), _, None) if choice.withheld.is_some_and(|withheld| withheld.scope == credential.scope) => {
            (true, "most specific, but withheld from the mirrors".to_owned())
        }
        (Ok(_), _, None) => (true, "fits, but another is more specific".to_owned()),
        (Err(_), Some(mirror), Some(place)) => {
            (true, format!("for the mirror `{}`; number {} of the answer", mirror.domain(), place + 1))
        }
        (Err(_), Some(mirror), None) => (true, format!("for the mirror `{}`, but not used", mirror.domain())),
        (Err(mismatch), None, _) => (false, mismatch.to_string()),
    };
    Considered { scope, matches, reason }
}

fn tell(explanation: &Explanation<'_>, response: Option<&CredentialProviderResponse>, depends_on_pull: bool) -> String {
    let mut lines = format!("image       {}\n", explanation.image);
    for mirrored in &explanation.mirrors {
        lines += &format!("mirrors     {}, policy `{}`\n", mirrored.hosts.join(", "), mirrored.policy);
    }
    match (&explanation.credential, response.filter(|response| !response.auth.is_empty())) {
        (Some(credential), Some(response)) => {
            let reuse = match response.cache_key_type {
                CacheKeyType::Image => "this image",
                CacheKeyType::Registry => "every image of the registry",
            };
            let username = text::sanitize(credential.username, 60);
            lines += &format!("credential  {} as `{username}`, by issuer `{}`\n", credential.scope, credential.issuer);
            let seconds = response.cache_duration.as_secs();
            let keys: Vec<&str> = response.auth.iter().map(|(key, _)| key.as_str()).collect();
            let keys = keys.join("`, then `");
            lines +=
                &format!("answer      key `{keys}`, good for {reuse}, kept by the kubelet for {seconds} seconds\n");
        }
        (Some(credential), None) if depends_on_pull || !explanation.issuing.is_empty() => {
            lines += &format!("credential  {}, by issuer `{}`\n", credential.scope, credential.issuer);
            lines += "answer      not known before a pull asks\n";
        }
        (Some(credential), None) => lines += &format!("credential  {} cannot be used\n", credential.scope),
        (None, _) => lines += "credential  none; the kubelet pulls with other credentials, or anonymously\n",
    }
    for asked in &explanation.issuing {
        lines += &format!("asks        `{}`, for {}", asked.endpoint, asked.scope);
        let settings = asked.settings.iter().map(|(name, value)| format!("{name}={}", text::sanitize(value, 100)));
        let settings: Vec<String> = settings.collect();
        if !settings.is_empty() {
            lines += &format!(", with {}", settings.join(" "));
        }
        lines += "\n";
        lines += &match &asked.cached {
            Some(cached) => format!(
                "cached      for user `{}`, from {} to {}\n",
                text::sanitize(&cached.username, 60),
                cached.minted_at,
                cached.expires_at
            ),
            None => "cached      nothing\n".to_owned(),
        };
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

impl<'a> From<&'a MirrorRule> for Mirrored<'a> {
    fn from(rule: &'a MirrorRule) -> Self {
        Self {
            source: rule.source.to_string(),
            hosts: rule.hosts.iter().map(Scope::as_str).collect(),
            policy: rule.policy.name(),
        }
    }
}
