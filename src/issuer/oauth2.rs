//! The `oauth2` issuer: an access token for client credentials (RFC 6749 §4.4) or a refresh token (§6), answered as the password.
//!
//! The entry's user is the client's id; its secret is the client's secret, or the refresh token of a public client. A server
//! that gives a new refresh token with every access token is refused: the store of a node is not where it could be kept safely.

use std::time::Duration;

use super::IssuerError;
use super::endpoint::Endpoint;
use super::engine::{Minted, Plan};
use super::http::{self, Http, Request};
use super::settings::Settings;
use super::token::{self, AccessToken};
use crate::credential::{self, Credential};

pub(super) const NAME: &str = "oauth2";
pub(super) const SETTINGS: [&str; 6] = ["audience", "client-auth", "grant", "scope", "token-url", "username"];

/// Access tokens rarely live for longer than an hour.
const CAP: Duration = Duration::from_secs(6 * 60 * 60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grant {
    ClientCredentials,
    RefreshToken,
}

/// How the client proves who it is (RFC 6749 §2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientAuth {
    Basic,
    Post,
}

/// The settings, understood.
struct Parameters<'a> {
    token_url: Endpoint,
    grant: Grant,
    client_auth: ClientAuth,
    scope: Option<&'a str>,
    audience: Option<&'a str>,
    username: &'a str,
}

impl<'a> Parameters<'a> {
    fn of(credential: &'a Credential) -> Result<Self, IssuerError> {
        let settings = Settings(&credential.settings);
        settings.required(NAME, ["token-url"])?;
        let token_url = settings.endpoint("token-url")?;
        let token_url =
            token_url.ok_or_else(|| IssuerError::MissingSettings { issuer: NAME, names: "`token-url`".to_owned() })?;
        let grants = [("client_credentials", Grant::ClientCredentials), ("refresh_token", Grant::RefreshToken)];
        Ok(Self {
            token_url,
            grant: settings.one_of("grant", &grants)?,
            client_auth: settings.one_of("client-auth", &[("basic", ClientAuth::Basic), ("post", ClientAuth::Post)])?,
            scope: settings.get("scope"),
            audience: settings.get("audience"),
            username: settings.get("username").unwrap_or(&credential.username),
        })
    }
}

pub(super) fn check(credential: &Credential) -> Result<(), IssuerError> {
    let parameters = Parameters::of(credential)?;
    if credential.username.is_empty() {
        return Err(IssuerError::Needs { issuer: NAME, what: "a user, which is the client's id" });
    }
    Ok(credential::check_basic_auth(parameters.username, credential.secret.expose())?)
}

pub(super) fn plan(credential: &Credential) -> Result<Plan<'_>, IssuerError> {
    let parameters = Parameters::of(credential)?;
    Ok(Plan {
        issuer: NAME,
        endpoint: parameters.token_url.to_string(),
        service_account: None,
        depends_on: Vec::new(),
        cap: CAP,
        mint: Box::new(move |client| mint(&parameters, credential, client)),
    })
}

fn mint(parameters: &Parameters<'_>, credential: &Credential, client: &Http) -> Result<Minted, IssuerError> {
    let (id, secret) = (credential.username.as_bytes(), credential.secret.expose());
    let mut fields: Vec<(&str, &[u8])> = Vec::new();
    let mut is_basic = false;
    match parameters.grant {
        Grant::ClientCredentials => {
            fields.push(("grant_type", b"client_credentials"));
            match parameters.client_auth {
                ClientAuth::Basic => is_basic = true,
                ClientAuth::Post => fields.extend([("client_id", id), ("client_secret", secret)]),
            }
        }
        Grant::RefreshToken => {
            fields.extend([("grant_type", &b"refresh_token"[..]), ("refresh_token", secret), ("client_id", id)]);
        }
    }
    let optional = [("scope", parameters.scope), ("audience", parameters.audience)];
    fields.extend(optional.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?.as_bytes()))));
    let mut request = Request::form(&parameters.token_url, &fields).header("accept", "application/json").hiding(secret);
    if is_basic {
        // RFC 6749 §2.3.1: both are form-encoded first.
        request = request.basic(&http::encode(id), http::encode(secret).as_bytes());
    }
    let response = client.send(&request)?.ok()?;
    let token = AccessToken::read(&response)?;
    let rotated = token.refresh.as_ref().is_some_and(|new| new.as_bytes() != secret);
    if parameters.grant == Grant::RefreshToken && rotated {
        let reason = "a new refresh token with every access token, which a node cannot keep; use `client_credentials`";
        return Err(response.unexpected(reason));
    }
    let lifetimes = vec![token.lifetime()];
    Ok(Minted { username: parameters.username.to_owned(), password: token::into_secret(token.text), lifetimes })
}
