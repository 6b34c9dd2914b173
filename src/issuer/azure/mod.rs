//! The `azure-acr` issuer: a refresh token of Azure Container Registry, good for about three hours.
//!
//! Who asks is one of three, and no other is ever tried: an application with a secret, the machine's managed identity, or an
//! application that trusts the pod's service account. Each gives a token of Microsoft Entra ID, which the registry exchanges.

mod entra;
mod registry;

use std::time::Duration;

use super::endpoint::Endpoint;
use super::engine::{Minted, Plan};
use super::pod_token::Shown;
use super::settings::Settings;
use super::token;
use super::{IssuerError, Issuing, Needs};
use crate::credential::Credential;
use crate::kubelet::service_account::ServiceAccount;
use entra::Source;

pub(super) const NAME: &str = "azure-acr";
pub(super) const SETTINGS: [&str; 5] = ["authority", "endpoint", "imds-endpoint", "source", "tenant"];

/// Half of a token's life.
const CAP: Duration = Duration::from_secs(90 * 60);

/// The user of every token.
const USERNAME: &str = "00000000-0000-0000-0000-000000000000";

/// The annotations by which Azure's own plugin, and Azure's workload identity, name a service account's application and tenant.
const CLIENT_ANNOTATIONS: [&str; 2] = ["kubernetes.azure.com/acr-client-id", "azure.workload.identity/client-id"];
const TENANT_ANNOTATIONS: [&str; 2] = ["kubernetes.azure.com/acr-tenant-id", "azure.workload.identity/tenant-id"];

/// What Entra ID expects of a cluster's tokens unless the application says otherwise.
const AUDIENCE: &str = "api://AzureADTokenExchange";

const SOURCES: [(&str, Source); 3] =
    [("stored", Source::Stored), ("imds", Source::Imds), ("workload-identity", Source::WorkloadIdentity)];

/// The settings, understood.
struct Parameters<'a> {
    source: Source,
    tenant: Option<&'a str>,
    /// Id of the application or of the managed identity.
    client: Option<&'a str>,
    /// Where Microsoft Entra ID is; a managed identity needs none.
    authority: Option<Endpoint>,
    endpoint: Endpoint,
    imds_endpoint: Option<Endpoint>,
}

impl<'a> Parameters<'a> {
    fn of(credential: &'a Credential, registry: &str) -> Result<Self, IssuerError> {
        let settings = Settings(&credential.settings);
        let tenant = settings.get("tenant");
        if !tenant.is_none_or(is_name) {
            let reason = "is no tenant's id or domain".to_owned();
            return Err(IssuerError::Setting { name: "tenant", reason });
        }
        let source = settings.one_of("source", &SOURCES)?;
        let missing = |names: &str| IssuerError::MissingSettings { issuer: NAME, names: names.to_owned() };
        let authority = match (settings.endpoint("authority")?, source) {
            (Some(authority), _) => Some(authority),
            (None, Source::Imds) => None,
            (None, Source::Stored | Source::WorkloadIdentity) => {
                let known = registry::authority(registry).and_then(Endpoint::of_host);
                Some(known.ok_or_else(|| missing("`authority`, since the registry's name does not tell the cloud"))?)
            }
        };
        // Below the domain of a cloud, whoever names a registry names one of Microsoft's.
        let is_single = !credential.scope.domain().contains('*') || registry::authority(registry).is_some();
        let endpoint = match settings.endpoint("endpoint")? {
            Some(endpoint) => Some(endpoint),
            None => Some(registry).filter(|_| is_single).and_then(Endpoint::of_host),
        };
        Ok(Self {
            source,
            tenant,
            client: Some(credential.username.as_str()).filter(|client| !client.is_empty()),
            authority,
            endpoint: endpoint.ok_or_else(|| missing("`endpoint`, since the scope names no single registry"))?,
            imds_endpoint: settings.endpoint("imds-endpoint")?,
        })
    }
}

/// Whether it is an id or a domain: what may stand in a path.
fn is_name(text: &str) -> bool {
    text.len() <= 253
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

pub(super) fn needs(settings: Settings<'_>) -> Needs {
    let is_stored = !matches!(settings.one_of("source", &SOURCES), Ok(Source::Imds | Source::WorkloadIdentity));
    Needs { user: is_stored, secret: is_stored }
}

pub(super) fn check(credential: &Credential) -> Result<(), IssuerError> {
    // Any registry that the wildcards of a scope stand for is of the same cloud.
    let registry = credential.scope.domain().replace('*', "any");
    let parameters = Parameters::of(credential, &registry)?;
    let secret = credential.secret.expose();
    if !parameters.client.is_none_or(is_name) {
        return Err(IssuerError::Needs {
            issuer: NAME,
            what: "a user of letters, digits and `-`, which is the client's id",
        });
    }
    match parameters.source {
        Source::Stored if parameters.client.is_none() => {
            Err(IssuerError::Needs { issuer: NAME, what: "a user, which is the client's id" })
        }
        Source::Stored if secret.is_empty() => {
            Err(IssuerError::Needs { issuer: NAME, what: "a password, which is the client's secret" })
        }
        Source::Stored => Settings(&credential.settings).required(NAME, ["tenant"]).map(drop),
        Source::Imds | Source::WorkloadIdentity if !secret.is_empty() => {
            Err(IssuerError::TakesNo { issuer: NAME, what: "password" })
        }
        Source::Imds | Source::WorkloadIdentity => Ok(()),
    }
}

pub(super) fn shown(credential: &Credential) -> Result<Option<Shown>, IssuerError> {
    let settings = Settings(&credential.settings);
    Ok(match settings.one_of("source", &SOURCES)? {
        Source::Stored | Source::Imds => None,
        Source::WorkloadIdentity => {
            let client = credential.username.is_empty().then_some(CLIENT_ANNOTATIONS);
            let tenant = settings.get("tenant").is_none().then_some(TENANT_ANNOTATIONS);
            let annotations = client.into_iter().chain(tenant).flatten().collect();
            Some(Shown { audience: Some(AUDIENCE.to_owned()), annotations })
        }
    })
}

pub(super) fn plan<'a>(credential: &'a Credential, issuing: &Issuing<'a>) -> Result<Plan<'a>, IssuerError> {
    let scope = credential.scope.domain();
    let mut parameters = Parameters::of(credential, if scope.contains('*') { issuing.registry } else { scope })?;
    let mut service_account = None;
    if parameters.source == Source::WorkloadIdentity {
        let account = issuing.service_account.ok_or(IssuerError::NoServiceAccount)?;
        parameters.client = parameters.client.or_else(|| annotated(account, CLIENT_ANNOTATIONS));
        parameters.tenant = parameters.tenant.or_else(|| annotated(account, TENANT_ANNOTATIONS));
        if parameters.client.is_none() {
            return Err(IssuerError::Needs { issuer: NAME, what: "a user, which is the client's id" });
        }
        if parameters.tenant.is_none() {
            return Err(IssuerError::MissingSettings { issuer: NAME, names: "`tenant`".to_owned() });
        }
        service_account = Some(account);
    }
    Ok(Plan {
        issuer: NAME,
        endpoint: parameters.endpoint.to_string(),
        service_account,
        depends_on: vec![
            parameters.endpoint.to_string(),
            parameters.client.unwrap_or_default().to_owned(),
            parameters.tenant.unwrap_or_default().to_owned(),
        ],
        cap: CAP,
        mint: Box::new(move |http| {
            let entra = entra::get(&parameters, credential, service_account, http)?;
            let (token, lifetime) = registry::exchange(&parameters.endpoint, parameters.tenant, &entra.text, http)?;
            Ok(Minted {
                username: USERNAME.to_owned(),
                password: token::into_secret(token),
                lifetimes: vec![lifetime, entra.lifetime()],
            })
        }),
    })
}

fn annotated<'a>(account: &'a ServiceAccount, names: [&str; 2]) -> Option<&'a str> {
    let value = names.iter().find_map(|name| account.annotations.get(*name));
    value.map(String::as_str).filter(|value| is_name(value))
}
