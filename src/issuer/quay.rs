//! The `quay-federation` issuer: a token of a Quay robot for the pod's own token, by the robot's federation; good for an hour.
//!
//! The entry has no secret. The pod's token goes to the registry of the entry's scope or to `endpoint`, never elsewhere; a scope
//! with a wildcard needs `endpoint`, or whoever names an image would choose who is shown the token.

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::endpoint::Endpoint;
use super::engine::{Minted, Plan};
use super::http::Request;
use super::pod_token::Shown;
use super::settings::Settings;
use super::token::{self, Lifetime};
use super::{IssuerError, Issuing};
use crate::credential::{self, Credential};

pub(super) const NAME: &str = "quay-federation";
pub(super) const SETTINGS: [&str; 1] = ["endpoint"];

/// Quay's tokens live for an hour, fewer seconds than this.
const CAP: Duration = Duration::from_secs(6 * 60 * 60);

pub(super) fn check(credential: &Credential) -> Result<(), IssuerError> {
    let robot = &credential.username;
    if !robot.split_once('+').is_some_and(|(owner, name)| !owner.is_empty() && !name.is_empty()) {
        return Err(IssuerError::Needs { issuer: NAME, what: "a user, which is the robot, such as `team+pull`" });
    }
    if !credential.secret.expose().is_empty() {
        return Err(IssuerError::TakesNo { issuer: NAME, what: "password (the pod's token is the proof)" });
    }
    credential::check_basic_auth(robot, b"token")?;
    endpoint(credential).map(drop)
}

/// Quay's own name is as good an audience as any, so the robot's federation says which.
pub(super) fn shown() -> Shown {
    Shown::to_any()
}

pub(super) fn plan<'a>(credential: &'a Credential, issuing: &Issuing<'a>) -> Result<Plan<'a>, IssuerError> {
    let endpoint = endpoint(credential)?;
    let account = issuing.service_account.ok_or(IssuerError::NoServiceAccount)?;
    let robot = &credential.username;
    Ok(Plan {
        issuer: NAME,
        endpoint: endpoint.to_string(),
        service_account: Some(account),
        depends_on: Vec::new(),
        cap: CAP,
        mint: Box::new(move |http| {
            #[derive(Deserialize)]
            struct Answer {
                token: Zeroizing<String>,
            }
            let proof = account.token.expose();
            let response = http.send(&Request::get(&endpoint).basic(robot, proof).hiding(proof))?.ok()?;
            let Answer { token } = response.json()?;
            let lifetimes = vec![Lifetime::default().or_claim(token.as_bytes(), response.date)];
            Ok(Minted { username: robot.clone(), password: token::into_secret(token), lifetimes })
        }),
    })
}

/// Where robots get their tokens: at the registry, with its port, unless the entry says where.
fn endpoint(credential: &Credential) -> Result<Endpoint, IssuerError> {
    let registry = match Settings(&credential.settings).endpoint("endpoint")? {
        Some(endpoint) => endpoint,
        None => Endpoint::of_host(credential.scope.domain()).ok_or_else(|| {
            let names = "`endpoint`, since the scope names no single registry".to_owned();
            IssuerError::MissingSettings { issuer: NAME, names }
        })?,
    };
    Ok(registry.join("/oauth2/federation/robot/token"))
}
