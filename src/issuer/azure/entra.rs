//! A token of Microsoft Entra ID for Azure Container Registry: by an application's secret, by the managed identity of the
//! machine, or by the pod's token.

use super::super::IssuerError;
use super::super::endpoint::Endpoint;
use super::super::http::{Http, Request, encode};
use super::super::token::AccessToken;
use super::{NAME, Parameters};
use crate::credential::Credential;
use crate::kubelet::service_account::ServiceAccount;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The application whose id and secret the entry has.
    Stored,
    /// The machine's managed identity, from the instance metadata service.
    Imds,
    /// The application that trusts the pod's service account.
    WorkloadIdentity,
}

/// The instance metadata service, on the address that every machine has.
const IMDS: &str = "http://169.254.169.254";
const IMDS_VERSION: &str = "2018-02-01";

/// What every cloud calls its registries (azure-sdk-for-go, `azcontainerregistry/cloud_config.go`).
const AUDIENCE: &str = "https://containerregistry.azure.net";

pub(super) fn get(
    parameters: &Parameters<'_>,
    credential: &Credential,
    account: Option<&ServiceAccount>,
    http: &Http,
) -> Result<AccessToken, IssuerError> {
    match parameters.source {
        Source::Stored => {
            let secret = credential.secret.expose();
            client_credentials(parameters, &[("client_secret", secret)], secret, http)
        }
        Source::Imds => managed_identity(parameters, http),
        Source::WorkloadIdentity => {
            let token = account.ok_or(IssuerError::NoServiceAccount)?.token.expose();
            let proof: [(&str, &[u8]); 2] = [
                ("client_assertion_type", b"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
                ("client_assertion", token),
            ];
            client_credentials(parameters, &proof, token, http)
        }
    }
}

fn client_credentials(
    parameters: &Parameters<'_>,
    proof: &[(&str, &[u8])],
    secret: &[u8],
    http: &Http,
) -> Result<AccessToken, IssuerError> {
    let (Some(authority), Some(tenant)) = (&parameters.authority, parameters.tenant) else {
        return Err(IssuerError::MissingSettings { issuer: NAME, names: "`authority`, `tenant`".to_owned() });
    };
    let endpoint = authority.join(&format!("/{tenant}/oauth2/v2.0/token"));
    let scope = format!("{AUDIENCE}/.default");
    let client = parameters.client.unwrap_or_default();
    let mut fields: Vec<(&str, &[u8])> =
        vec![("grant_type", b"client_credentials"), ("client_id", client.as_bytes()), ("scope", scope.as_bytes())];
    fields.extend(proof);
    let request = Request::form(&endpoint, &fields).header("accept", "application/json").hiding(secret);
    AccessToken::read(&http.send(&request)?.ok()?)
}

/// The header keeps a request that somebody was tricked into from being answered.
fn managed_identity(parameters: &Parameters<'_>, http: &Http) -> Result<AccessToken, IssuerError> {
    let base = match &parameters.imds_endpoint {
        Some(endpoint) => endpoint.clone(),
        None => Endpoint::parse(IMDS)
            .map_err(|reason| IssuerError::Setting { name: "imds-endpoint", reason: reason.to_owned() })?,
    };
    let resource = encode(AUDIENCE.as_bytes());
    let mut path = format!("/metadata/identity/oauth2/token?api-version={IMDS_VERSION}&resource={}", *resource);
    if let Some(client) = parameters.client {
        path = format!("{path}&client_id={client}");
    }
    AccessToken::read(&http.send(&Request::get(&base.join(&path)).header("metadata", "true"))?.ok()?)
}
