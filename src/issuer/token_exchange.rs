//! The `token-exchange` issuer: one token for another (RFC 8693), answered as the password.
//!
//! The token that is given away is the entry's secret or, where the entry has none, the pod's. There is no falling back from one
//! to the other.

use std::time::Duration;

use super::endpoint::Endpoint;
use super::engine::{Minted, Plan};
use super::http::{Http, Request};
use super::pod_token::Shown;
use super::settings::Settings;
use super::token::{self, AccessToken};
use super::{IssuerError, Issuing};
use crate::credential::{self, Credential};

pub(super) const NAME: &str = "token-exchange";
pub(super) const SETTINGS: [&str; 7] =
    ["audience", "requested-token-type", "resource", "scope", "subject-token-type", "token-url", "username"];

/// Exchanged tokens rarely live for longer than an hour.
const CAP: Duration = Duration::from_secs(6 * 60 * 60);

/// Where RFC 8693 §3 keeps the names of its kinds of tokens, and those names.
const TOKEN_TYPES: &str = "urn:ietf:params:oauth:token-type:";
const TOKEN_TYPE_NAMES: [&str; 6] = ["jwt", "access_token", "refresh_token", "id_token", "saml1", "saml2"];

/// What is asked for, besides the token to exchange. Kinds of tokens are URIs.
#[derive(Default)]
pub(super) struct Wish<'a> {
    pub(super) audience: Option<&'a str>,
    pub(super) resource: Option<&'a str>,
    pub(super) scope: Option<&'a str>,
    pub(super) requested_token_type: Option<String>,
    pub(super) subject_token_type: String,
}

/// The settings, understood.
struct Parameters<'a> {
    token_url: Endpoint,
    username: &'a str,
    wish: Wish<'a>,
}

impl<'a> Parameters<'a> {
    fn of(settings: Settings<'a>) -> Result<Self, IssuerError> {
        let [token_url, username] = settings.required(NAME, ["token-url", "username"])?;
        let token_url = Endpoint::parse(token_url);
        let token_url =
            token_url.map_err(|reason| IssuerError::Setting { name: "token-url", reason: reason.to_owned() })?;
        let of = |name| settings.get(name).map(|text| token_type(name, text)).transpose();
        let wish = Wish {
            audience: settings.get("audience"),
            resource: settings.get("resource"),
            scope: settings.get("scope"),
            requested_token_type: of("requested-token-type")?,
            subject_token_type: of("subject-token-type")?.unwrap_or_else(|| kind("jwt")),
        };
        Ok(Self { token_url, username, wish })
    }
}

/// Returns the URI of a kind of token that RFC 8693 names.
pub(super) fn kind(name: &str) -> String {
    format!("{TOKEN_TYPES}{name}")
}

/// Completes a name of RFC 8693 to its URI; other URIs stay as they are.
fn token_type(name: &'static str, text: &str) -> Result<String, IssuerError> {
    if TOKEN_TYPE_NAMES.contains(&text) {
        return Ok(kind(text));
    }
    let is_uri = text.contains(':') && text.bytes().all(|byte| byte.is_ascii_graphic());
    let names = TOKEN_TYPE_NAMES.map(|name| format!("`{name}`")).join(", ");
    let reason = || format!("is neither a URI nor one of {names}");
    if is_uri { Ok(text.to_owned()) } else { Err(IssuerError::Setting { name, reason: reason() }) }
}

pub(super) fn check(credential: &Credential) -> Result<(), IssuerError> {
    let parameters = Parameters::of(Settings(&credential.settings))?;
    if !credential.username.is_empty() {
        return Err(IssuerError::TakesNo { issuer: NAME, what: "user (`username` is what it answers with)" });
    }
    let secret = credential.secret.expose();
    if !secret.iter().all(u8::is_ascii_graphic) {
        return Err(IssuerError::Needs { issuer: NAME, what: "a token of printable characters as the password" });
    }
    // What the answer will have for a password is not known yet.
    Ok(credential::check_basic_auth(parameters.username, b"token")?)
}

pub(super) fn shown(credential: &Credential) -> Option<Shown> {
    token::is_of_pod(credential).then(Shown::to_any)
}

pub(super) fn plan<'a>(credential: &'a Credential, issuing: &Issuing<'a>) -> Result<Plan<'a>, IssuerError> {
    let parameters = Parameters::of(Settings(&credential.settings))?;
    let (subject, service_account) = token::subject(credential, issuing)?;
    Ok(Plan {
        issuer: NAME,
        endpoint: parameters.token_url.to_string(),
        service_account,
        depends_on: Vec::new(),
        cap: CAP,
        mint: Box::new(move |http| {
            let token = exchange(http, &parameters.token_url, &parameters.wish, subject.expose())?;
            let lifetimes = vec![token.lifetime()];
            Ok(Minted { username: parameters.username.to_owned(), password: token::into_secret(token.text), lifetimes })
        }),
    })
}

/// Exchanges a token (RFC 8693 §2.1). The client does not authenticate: the token is the proof.
pub(super) fn exchange(
    http: &Http,
    endpoint: &Endpoint,
    wish: &Wish<'_>,
    subject: &[u8],
) -> Result<AccessToken, IssuerError> {
    let optional = [
        ("resource", wish.resource),
        ("audience", wish.audience),
        ("scope", wish.scope),
        ("requested_token_type", wish.requested_token_type.as_deref()),
    ];
    let mut fields: Vec<(&str, &[u8])> = vec![("grant_type", b"urn:ietf:params:oauth:grant-type:token-exchange")];
    fields.extend(optional.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?.as_bytes()))));
    fields.extend([("subject_token", subject), ("subject_token_type", wish.subject_token_type.as_bytes())]);
    let request = Request::form(endpoint, &fields).header("accept", "application/json").hiding(subject);
    AccessToken::read(&http.send(&request)?.ok()?)
}
