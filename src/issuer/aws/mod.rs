//! The `aws-ecr` issuer: an authorization token of Amazon ECR, private or public, good for twelve hours at most.
//!
//! Who asks is one of three, and no other is ever tried: stored keys, the instance's role, or a role for the pod's own service
//! account. What any of them gives may be exchanged for another role first (`role-arn`).

mod keys;
mod registry;
mod sign;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::endpoint::Endpoint;
use super::engine::{Minted, Plan};
use super::http::{Http, Request};
use super::pod_token::Shown;
use super::settings::Settings;
use super::token;
use super::{IssuerError, Issuing, Needs};
use crate::credential::Credential;
use crate::kubelet::service_account::ServiceAccount;
use crate::secret::Secret;
use keys::Source;
use registry::Registry;

pub(super) const NAME: &str = "aws-ecr";
pub(super) const SETTINGS: [&str; 6] = ["endpoint", "imds-endpoint", "region", "role-arn", "source", "sts-endpoint"];

/// Half of a token's life: AWS itself advises no more, and a revoked role then ends sooner.
const CAP: Duration = Duration::from_secs(6 * 60 * 60);

/// The annotation by which AWS's own plugin names a service account's role.
const ROLE_ANNOTATION: &str = "eks.amazonaws.com/ecr-role-arn";

/// What STS expects of a cluster's tokens, where the identity provider was made as AWS says.
const AUDIENCE: &str = "sts.amazonaws.com";

const SOURCES: [(&str, Source); 3] =
    [("stored", Source::Stored), ("imds", Source::Imds), ("web-identity", Source::WebIdentity)];

/// The settings, understood.
struct Parameters<'a> {
    source: Source,
    role_arn: Option<&'a str>,
    region: Option<&'a str>,
    endpoint: Option<Endpoint>,
    sts_endpoint: Option<Endpoint>,
    imds_endpoint: Option<Endpoint>,
}

impl<'a> Parameters<'a> {
    fn of(settings: Settings<'a>) -> Result<Self, IssuerError> {
        let region = settings.get("region");
        let is_region = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !region.is_none_or(is_region) {
            return Err(IssuerError::Setting { name: "region", reason: "is no region such as `eu-west-1`".to_owned() });
        }
        let role_arn = settings.get("role-arn");
        if !role_arn.is_none_or(is_role) {
            let reason = "is no role such as `arn:aws:iam::123456789012:role/name`".to_owned();
            return Err(IssuerError::Setting { name: "role-arn", reason });
        }
        Ok(Self {
            source: settings.one_of("source", &SOURCES)?,
            role_arn,
            region,
            endpoint: settings.endpoint("endpoint")?,
            sts_endpoint: settings.endpoint("sts-endpoint")?,
            imds_endpoint: settings.endpoint("imds-endpoint")?,
        })
    }
}

fn is_role(text: &str) -> bool {
    text.starts_with("arn:aws")
        && text.contains(":iam:")
        && text.len() <= 2048
        && text.bytes().all(|b| b.is_ascii_graphic())
}

pub(super) fn needs(settings: Settings<'_>) -> Needs {
    let is_stored = !matches!(settings.one_of("source", &SOURCES), Ok(Source::Imds | Source::WebIdentity));
    Needs { user: is_stored, secret: is_stored }
}

pub(super) fn check(credential: &Credential) -> Result<(), IssuerError> {
    let parameters = Parameters::of(Settings(&credential.settings))?;
    let (user, secret) = (credential.username.as_str(), credential.secret.expose());
    match parameters.source {
        Source::Stored if user.is_empty() => {
            Err(IssuerError::Needs { issuer: NAME, what: "a user, which is the access key's id" })
        }
        Source::Stored if secret.is_empty() => {
            Err(IssuerError::Needs { issuer: NAME, what: "a password, which is the secret access key" })
        }
        Source::Stored if !user.bytes().chain(secret.iter().copied()).all(|byte| byte.is_ascii_graphic()) => {
            Err(IssuerError::Needs { issuer: NAME, what: "an access key of printable characters" })
        }
        Source::Imds | Source::WebIdentity if !user.is_empty() || !secret.is_empty() => {
            Err(IssuerError::TakesNo { issuer: NAME, what: "user and password" })
        }
        Source::Stored | Source::Imds | Source::WebIdentity => {
            // Without a wildcard there, the registry is known now.
            let host = credential.scope.domain();
            if host.contains('*') { Ok(()) } else { Registry::of(host, parameters.region).map(drop) }
        }
    }
}

pub(super) fn shown(settings: Settings<'_>) -> Result<Option<Shown>, IssuerError> {
    Ok(match settings.one_of("source", &SOURCES)? {
        Source::Stored | Source::Imds => None,
        Source::WebIdentity => {
            let annotations = if settings.get("role-arn").is_none() { vec![ROLE_ANNOTATION] } else { Vec::new() };
            Some(Shown { audience: Some(AUDIENCE.to_owned()), annotations })
        }
    })
}

pub(super) fn plan<'a>(credential: &'a Credential, issuing: &Issuing<'a>) -> Result<Plan<'a>, IssuerError> {
    let mut parameters = Parameters::of(Settings(&credential.settings))?;
    let scope = credential.scope.domain();
    let host = if scope.contains('*') { issuing.registry } else { scope };
    let registry = Registry::of(host, parameters.region)?;
    let mut service_account = None;
    if parameters.source == Source::WebIdentity {
        let account = issuing.service_account.ok_or(IssuerError::NoServiceAccount)?;
        let annotated = account.annotations.get(ROLE_ANNOTATION).map(String::as_str).filter(|role| is_role(role));
        parameters.role_arn = parameters.role_arn.or(annotated);
        if parameters.role_arn.is_none() {
            return Err(IssuerError::MissingSettings { issuer: NAME, names: "`role-arn`".to_owned() });
        }
        service_account = Some(account);
    }
    let endpoint = parameters.endpoint.clone().map_or_else(|| registry.endpoint(), Ok)?;
    Ok(Plan {
        issuer: NAME,
        endpoint: endpoint.to_string(),
        service_account,
        depends_on: vec![
            registry.region.clone(),
            endpoint.to_string(),
            parameters.role_arn.unwrap_or_default().to_owned(),
        ],
        cap: CAP,
        mint: Box::new(move |http| mint(&parameters, &registry, &endpoint, credential, service_account, http)),
    })
}

/// The two answers of `GetAuthorizationToken`: the private service gives a list, the public one an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    authorization_data: OneOrMany,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(Authorization),
    Many(Vec<Authorization>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authorization {
    authorization_token: Zeroizing<String>,
    expires_at: Option<f64>,
}

fn mint(
    parameters: &Parameters<'_>,
    registry: &Registry,
    endpoint: &Endpoint,
    credential: &Credential,
    account: Option<&ServiceAccount>,
    http: &Http,
) -> Result<Minted, IssuerError> {
    let keys = keys::get(parameters, registry, credential, account, http)?;
    let body = Zeroizing::new(b"{}".to_vec());
    let request = || {
        Request::post(endpoint, "application/x-amz-json-1.1", body.clone()).header("x-amz-target", registry.target())
    };
    let response = sign::send(http, &request, &keys, &registry.region, registry.service())?.ok()?;
    let answer: Answer = response.json()?;
    let authorization = match answer.authorization_data {
        OneOrMany::One(one) => Some(one),
        OneOrMany::Many(many) => many.into_iter().next(),
    };
    let authorization = authorization.ok_or_else(|| response.unexpected("no `authorizationData`"))?;
    let pair = STANDARD.decode(authorization.authorization_token.as_bytes()).map(Zeroizing::new);
    let pair = pair.map_err(|_| response.unexpected("an `authorizationToken` that is no base64"))?;
    let at = pair.iter().position(|byte| *byte == b':');
    let (user, password) = at
        .map(|at| (&pair[..at], &pair[at + 1..]))
        .ok_or_else(|| response.unexpected("a token without a user name"))?;
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970; a cast saturates")]
    let life =
        authorization.expires_at.map(|end| token::until(end as i64, response.date.unwrap_or_else(crate::time::now)));
    Ok(Minted {
        username: String::from_utf8_lossy(user).into_owned(),
        password: Secret::new(Zeroizing::new(password.to_vec())),
        lifetimes: vec![life, keys.lifetime],
    })
}
