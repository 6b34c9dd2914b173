//! Who asks Vault: a service account, a token of another issuer, an AppRole, or the owner of a certificate.

use std::time::Duration;

use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use ureq::tls::{Certificate, ClientCert, PrivateKey};
use zeroize::Zeroizing;

use super::super::http::{Http, Request};
use super::super::token::{self, Lifetime};
use super::super::{IssuerError, Issuing};
use super::{NAME, Parameters};
use crate::credential::Credential;
use crate::kubelet::service_account::ServiceAccount;
use crate::secret::Secret;

/// How to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Auth {
    /// A token of the cluster: the pod's, or one that is stored.
    Kubernetes,
    /// A token of an OpenID Connect issuer: the pod's, or one that is stored.
    Jwt,
    /// The entry's user is the role's id, its secret the secret id.
    AppRole,
    /// The entry's secret is a certificate and its key.
    Cert,
}

/// What a login shows.
pub(super) enum Proof {
    Token(Secret),
    AppRole { role_id: String, secret_id: Secret },
    Certificate(ClientCert),
}

impl Proof {
    /// Returns the certificate that TLS shows. A listener may ask for it at every request, so it is shown at every one.
    pub(super) fn identity(&self) -> Option<ClientCert> {
        match self {
            Self::Certificate(identity) => Some(identity.clone()),
            Self::Token(_) | Self::AppRole { .. } => None,
        }
    }
}

/// What a login gave.
pub(super) struct Login {
    pub(super) token: Zeroizing<String>,
    /// How long the token is good, and the leases that hang on it.
    pub(super) lifetime: Option<Duration>,
}

pub(super) fn check(auth: Auth, credential: &Credential) -> Result<(), IssuerError> {
    let (has_user, has_secret) = (!credential.username.is_empty(), !credential.secret.expose().is_empty());
    match auth {
        Auth::AppRole if !has_user => Err(IssuerError::Needs { issuer: NAME, what: "a user, which is the role's id" }),
        Auth::AppRole if !has_secret => {
            Err(IssuerError::Needs { issuer: NAME, what: "a password, which is the secret id" })
        }
        Auth::AppRole => text(credential).map(drop),
        Auth::Kubernetes | Auth::Jwt | Auth::Cert if has_user => {
            Err(IssuerError::TakesNo { issuer: NAME, what: "user" })
        }
        Auth::Kubernetes | Auth::Jwt => text(credential).map(drop),
        Auth::Cert => identity(credential).map(drop),
    }
}

/// Gets together what the login shows, and whose token it is if it is the pod's.
pub(super) fn proof<'a>(
    auth: Auth,
    credential: &Credential,
    issuing: &Issuing<'a>,
) -> Result<(Proof, Option<&'a ServiceAccount>), IssuerError> {
    match auth {
        Auth::Kubernetes | Auth::Jwt => {
            let (token, account) = token::subject(credential, issuing)?;
            Ok((Proof::Token(token), account))
        }
        Auth::AppRole => {
            let (role_id, secret_id) = (credential.username.clone(), credential.secret.clone());
            Ok((Proof::AppRole { role_id, secret_id }, None))
        }
        Auth::Cert => Ok((Proof::Certificate(identity(credential)?), None)),
    }
}

/// What is sent; absent fields are left out.
#[derive(Default, Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer {
    auth: Option<Given>,
}

#[derive(Deserialize)]
struct Given {
    client_token: Zeroizing<String>,
    #[serde(default)]
    lease_duration: Lifetime,
}

pub(super) fn login(parameters: &Parameters<'_>, proof: &Proof, http: &Http) -> Result<Login, IssuerError> {
    let not_text = || IssuerError::Needs { issuer: NAME, what: "a secret of printable characters" };
    let (body, secret) = match proof {
        Proof::Token(token) => {
            let jwt = std::str::from_utf8(token.expose()).map_err(|_| not_text())?;
            (Body { role: parameters.role, jwt: Some(jwt), ..Body::default() }, token.expose())
        }
        Proof::AppRole { role_id, secret_id } => {
            let secret = std::str::from_utf8(secret_id.expose()).map_err(|_| not_text())?;
            let body = Body { role_id: Some(role_id), secret_id: Some(secret), ..Body::default() };
            (body, secret_id.expose())
        }
        Proof::Certificate(_) => (Body { name: parameters.role, ..Body::default() }, &b""[..]),
    };
    let request = parameters.headers(Request::json(&parameters.login, &body)).hiding(secret);
    let response = http.send(&request)?.ok()?;
    let answer: Answer = response.json()?;
    let given = answer.auth.ok_or_else(|| response.unexpected("no token; the login may ask for a second factor"))?;
    if given.client_token.is_empty() || !given.client_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(response.unexpected("no token that a header can carry"));
    }
    // Zero stands for a token that does not end.
    let lifetime = given.lease_duration.0.filter(|life| !life.is_zero());
    Ok(Login { token: given.client_token, lifetime })
}

fn text(credential: &Credential) -> Result<&str, IssuerError> {
    let text = std::str::from_utf8(credential.secret.expose()).ok();
    let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.ok_or(IssuerError::Needs { issuer: NAME, what: "a secret of printable characters" })
}

/// Reads certificate, chain and key out of the entry's secret, in any order, and checks that they belong together.
fn identity(credential: &Credential) -> Result<ClientCert, IssuerError> {
    let bad = || IssuerError::Needs { issuer: NAME, what: "a password, which is a certificate and its key in PEM" };
    let pem = credential.secret.expose();
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| bad())?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| bad())?;
    let certificates: Vec<_> = chain.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    if certificates.is_empty() {
        return Err(bad());
    }
    CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()).map_err(|_| bad())?;
    let key = PrivateKey::from_pem(pem).map_err(|_| bad())?;
    Ok(ClientCert::new_with_certs(&certificates, key))
}
