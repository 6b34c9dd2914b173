//! The `google-ar` issuer: an access token for Artifact Registry (and Container Registry), good for an hour at most.
//!
//! Who asks is one of three, and no other is ever tried: a service account by its key, the machine's service account, or the
//! pod's service account by workload identity federation. What any of them gives may be exchanged for a token of another
//! service account (`impersonate`).

mod key;

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::endpoint::Endpoint;
use super::engine::{Minted, Plan};
use super::http::{Http, Request};
use super::pod_token::Shown;
use super::settings::Settings;
use super::token::{self, AccessToken};
use super::token_exchange::{self, Wish};
use super::{IssuerError, Issuing, Needs};
use crate::credential::Credential;
use crate::kubelet::service_account::ServiceAccount;
use key::Key;

pub(super) const NAME: &str = "google-ar";
pub(super) const SETTINGS: [&str; 6] =
    ["audience", "iam-endpoint", "impersonate", "metadata-endpoint", "source", "token-endpoint"];

/// More than any of its tokens lives.
const CAP: Duration = Duration::from_secs(6 * 60 * 60);

/// The user of every token.
const USERNAME: &str = "oauth2accesstoken";

/// The metadata service, by its address: no name service can send the question elsewhere.
const METADATA: &str = "http://169.254.169.254";
const STS: &str = "https://sts.googleapis.com/v1/token";
const IAM: &str = "https://iamcredentials.googleapis.com";

/// Enough to pull, and to nothing else.
const READ: &str = "https://www.googleapis.com/auth/devstorage.read_only";
/// What a federated token needs, and one that impersonates another account; what it may do is up to the roles of the account.
const PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Where an access token comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The key that is the entry's secret.
    Key,
    /// The machine's service account, from the metadata service.
    Metadata,
    /// The pod's service account.
    WorkloadIdentity,
}

const SOURCES: [(&str, Source); 3] =
    [("key", Source::Key), ("metadata", Source::Metadata), ("workload-identity", Source::WorkloadIdentity)];

/// The settings, understood.
struct Parameters<'a> {
    source: Source,
    /// The pool's provider that knows the cluster.
    audience: Option<&'a str>,
    /// Mail address of the service account that the token shall be of.
    impersonate: Option<&'a str>,
    token_endpoint: Option<Endpoint>,
    metadata_endpoint: Endpoint,
    iam_endpoint: Endpoint,
}

impl<'a> Parameters<'a> {
    fn of(settings: Settings<'a>) -> Result<Self, IssuerError> {
        let impersonate = settings.get("impersonate");
        if !impersonate.is_none_or(is_mail) {
            let reason = "is no service account such as `pull@project.iam.gserviceaccount.com`".to_owned();
            return Err(IssuerError::Setting { name: "impersonate", reason });
        }
        let or = |name, default| match settings.endpoint(name)? {
            Some(endpoint) => Ok(endpoint),
            None => Endpoint::parse(default).map_err(|reason| IssuerError::Setting { name, reason: reason.to_owned() }),
        };
        Ok(Self {
            source: settings.one_of("source", &SOURCES)?,
            audience: settings.get("audience"),
            impersonate,
            token_endpoint: settings.endpoint("token-endpoint")?,
            metadata_endpoint: or("metadata-endpoint", METADATA)?,
            iam_endpoint: or("iam-endpoint", IAM)?,
        })
    }

    fn sts(&self) -> Result<Endpoint, IssuerError> {
        let sts = self.token_endpoint.clone().map_or_else(|| Endpoint::parse(STS), Ok);
        sts.map_err(|reason| IssuerError::Setting { name: "token-endpoint", reason: reason.to_owned() })
    }
}

/// Whether it looks like a mail address, and may stand in a path.
fn is_mail(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    text.split_once('@').is_some_and(|(name, domain)| is_part(name) && is_part(domain))
}

pub(super) fn needs(settings: Settings<'_>) -> Needs {
    let is_online = matches!(settings.one_of("source", &SOURCES), Ok(Source::Metadata | Source::WorkloadIdentity));
    Needs { user: false, secret: !is_online }
}

pub(super) fn check(credential: &Credential) -> Result<(), IssuerError> {
    let settings = Settings(&credential.settings);
    let parameters = Parameters::of(settings)?;
    if !credential.username.is_empty() {
        return Err(IssuerError::TakesNo { issuer: NAME, what: "user" });
    }
    let secret = credential.secret.expose();
    match parameters.source {
        Source::Key => Key::parse(secret)?.endpoint(parameters.token_endpoint.as_ref()).map(drop),
        Source::Metadata | Source::WorkloadIdentity if !secret.is_empty() => {
            Err(IssuerError::TakesNo { issuer: NAME, what: "password" })
        }
        Source::Metadata => Ok(()),
        Source::WorkloadIdentity => settings.required(NAME, ["audience"]).map(drop),
    }
}

/// A provider of a pool expects tokens for itself, by its full name, unless it lists other audiences.
pub(super) fn shown(settings: Settings<'_>) -> Result<Option<Shown>, IssuerError> {
    Ok(match settings.one_of("source", &SOURCES)? {
        Source::Key | Source::Metadata => None,
        Source::WorkloadIdentity => {
            let provider = settings.get("audience").filter(|name| name.starts_with("//"));
            Some(Shown { audience: provider.map(|name| format!("https:{name}")), annotations: Vec::new() })
        }
    })
}

pub(super) fn plan<'a>(credential: &'a Credential, issuing: &Issuing<'a>) -> Result<Plan<'a>, IssuerError> {
    let parameters = Parameters::of(Settings(&credential.settings))?;
    let asker = match parameters.source {
        Source::Key => Asker::Account(Box::new(Key::parse(credential.secret.expose())?)),
        Source::Metadata => Asker::Machine,
        Source::WorkloadIdentity => Asker::Pod(issuing.service_account.ok_or(IssuerError::NoServiceAccount)?),
    };
    let (endpoint, service_account) = match &asker {
        Asker::Account(key) => (key.endpoint(parameters.token_endpoint.as_ref())?, None),
        Asker::Machine => (parameters.metadata_endpoint.clone(), None),
        Asker::Pod(account) => (parameters.sts()?, Some(*account)),
    };
    Ok(Plan {
        issuer: NAME,
        endpoint: endpoint.to_string(),
        service_account,
        depends_on: Vec::new(),
        cap: CAP,
        mint: Box::new(move |http| mint(&parameters, &endpoint, &asker, http)),
    })
}

/// Who asks, with what proves it.
enum Asker<'a> {
    Account(Box<Key>),
    Machine,
    Pod(&'a ServiceAccount),
}

fn mint(
    parameters: &Parameters<'_>,
    endpoint: &Endpoint,
    asker: &Asker<'_>,
    http: &Http,
) -> Result<Minted, IssuerError> {
    let token = match asker {
        Asker::Account(key) => {
            let scope = if parameters.impersonate.is_some() { PLATFORM } else { READ };
            key.token(endpoint, scope, http)?
        }
        Asker::Machine => machine(endpoint, http)?,
        Asker::Pod(account) => {
            let wish = Wish {
                audience: parameters.audience,
                scope: Some(PLATFORM),
                requested_token_type: Some(token_exchange::kind("access_token")),
                subject_token_type: token_exchange::kind("jwt"),
                ..Wish::default()
            };
            token_exchange::exchange(http, endpoint, &wish, account.token.expose())?
        }
    };
    let mut lifetimes = vec![token.lifetime()];
    let mut text = token.text;
    if let Some(other) = parameters.impersonate {
        let (impersonated, lifetime) = impersonate(&parameters.iam_endpoint, other, &text, http)?;
        text = impersonated;
        lifetimes.push(lifetime);
    }
    Ok(Minted { username: USERNAME.to_owned(), password: token::into_secret(text), lifetimes })
}

/// The token of the machine's service account. It comes from a cache, and may have minutes left.
fn machine(metadata: &Endpoint, http: &Http) -> Result<AccessToken, IssuerError> {
    let endpoint = metadata.join("/computeMetadata/v1/instance/service-accounts/default/token");
    AccessToken::read(&http.send(&Request::get(&endpoint).header("metadata-flavor", "Google"))?.ok()?)
}

/// Exchanges an access token for one of another service account, for an hour and pulling alone.
fn impersonate(
    iam: &Endpoint,
    account: &str,
    token: &str,
    http: &Http,
) -> Result<(Zeroizing<String>, Option<Duration>), IssuerError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Answer {
        access_token: Zeroizing<String>,
        expire_time: Option<String>,
    }
    let endpoint = iam.join(&format!("/v1/projects/-/serviceAccounts/{account}:generateAccessToken"));
    let body = json!({ "scope": [READ], "lifetime": "3600s" }).to_string().into_bytes();
    let request = Request::post(&endpoint, "application/json", Zeroizing::new(body));
    let request = request.header("authorization", format!("Bearer {token}")).hiding(token.as_bytes());
    let response = http.send(&request)?.ok()?;
    let answer: Answer = response.json()?;
    let lifetime = answer.expire_time.and_then(|end| token::remaining(&end, response.date));
    Ok((answer.access_token, lifetime))
}
