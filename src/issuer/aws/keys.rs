//! The access key that ECR is asked with: stored, of the instance's role, or of the pod's role.

use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::IssuerError;
use super::super::endpoint::Endpoint;
use super::super::http::{Http, Request, Response};
use super::super::token;
use super::registry::Registry;
use super::sign::{self, Keys};
use super::{NAME, Parameters};
use crate::credential::Credential;
use crate::kubelet::service_account::ServiceAccount;

/// Where an access key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The entry's user and secret.
    Stored,
    /// The instance's role, from the instance metadata service.
    Imds,
    /// The pod's service account, exchanged for a role.
    WebIdentity,
}

/// Version 2 of the instance metadata service, on the address that every instance has.
const IMDS: &str = "http://169.254.169.254";
const STS_VERSION: &[u8] = b"2011-06-15";
/// What CloudTrail shows.
const SESSION: &[u8] = b"keyring-credential-provider";

pub(super) fn get(
    parameters: &Parameters<'_>,
    registry: &Registry,
    credential: &Credential,
    account: Option<&ServiceAccount>,
    http: &Http,
) -> Result<Keys, IssuerError> {
    let sts = || parameters.sts_endpoint.clone().map_or_else(|| registry.sts_endpoint(), Ok);
    let keys = match parameters.source {
        Source::Stored => stored(credential)?,
        Source::Imds => instance_role(parameters, http)?,
        Source::WebIdentity => {
            let account = account.ok_or(IssuerError::NoServiceAccount)?;
            return web_identity(&sts()?, parameters.role_arn.unwrap_or_default(), account, http);
        }
    };
    match parameters.role_arn {
        None => Ok(keys),
        Some(role) => assume_role(&sts()?, role, &keys, &registry.region, http),
    }
}

fn stored(credential: &Credential) -> Result<Keys, IssuerError> {
    let secret = std::str::from_utf8(credential.secret.expose())
        .map_err(|_| IssuerError::Needs { issuer: NAME, what: "an access key of printable characters" })?;
    let secret = Zeroizing::new(secret.to_owned());
    Ok(Keys { id: credential.username.clone(), secret, session: None, lifetime: None })
}

/// The instance's role by IMDSv2: a session token first, without which nothing is asked. Version 1 is never used.
fn instance_role(parameters: &Parameters<'_>, http: &Http) -> Result<Keys, IssuerError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Role {
        code: Option<String>,
        access_key_id: String,
        secret_access_key: Zeroizing<String>,
        token: Zeroizing<String>,
        expiration: String,
    }
    let base = match &parameters.imds_endpoint {
        Some(endpoint) => endpoint.clone(),
        None => Endpoint::parse(IMDS)
            .map_err(|reason| IssuerError::Setting { name: "imds-endpoint", reason: reason.to_owned() })?,
    };
    let at = base.join("/latest/api/token");
    let session = http.send(&Request::put(&at).header("x-aws-ec2-metadata-token-ttl-seconds", "60"))?.ok()?;
    let session = text(&session)?;
    let ask = |endpoint: &Endpoint| {
        http.send(&Request::get(endpoint).header("x-aws-ec2-metadata-token", session.as_str()))?.ok()
    };
    let at = base.join("/latest/meta-data/iam/security-credentials/");
    let response = ask(&at)?;
    let role = text(&response)?;
    let is_role =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@-_".contains(&b));
    if !is_role(&role) {
        return Err(response.unexpected("no name of one role; the instance may have none"));
    }
    let at = at.join(&role);
    let response = ask(&at)?;
    let role: Role = response.json()?;
    if role.code.is_some_and(|code| code != "Success") {
        return Err(response.unexpected("no credentials; the instance's role may be missing its trust policy"));
    }
    let lifetime = token::remaining(&role.expiration, response.date);
    Ok(Keys { id: role.access_key_id, secret: role.secret_access_key, session: Some(role.token), lifetime })
}

fn assume_role(sts: &Endpoint, role: &str, keys: &Keys, region: &str, http: &Http) -> Result<Keys, IssuerError> {
    let fields: [(&str, &[u8]); 4] = [
        ("Action", b"AssumeRole"),
        ("Version", STS_VERSION),
        ("RoleArn", role.as_bytes()),
        ("RoleSessionName", SESSION),
    ];
    let response = sign::send(http, &|| Request::form(sts, &fields), keys, region, "sts")?.ok()?;
    let mut assumed = session(&response)?;
    assumed.lifetime = [assumed.lifetime, keys.lifetime].into_iter().flatten().min();
    Ok(assumed)
}

/// `AssumeRoleWithWebIdentity` is not signed: the token is the proof.
fn web_identity(sts: &Endpoint, role: &str, account: &ServiceAccount, http: &Http) -> Result<Keys, IssuerError> {
    let fields: [(&str, &[u8]); 5] = [
        ("Action", b"AssumeRoleWithWebIdentity"),
        ("Version", STS_VERSION),
        ("RoleArn", role.as_bytes()),
        ("RoleSessionName", SESSION),
        ("WebIdentityToken", account.token.expose()),
    ];
    session(&http.send(&Request::form(sts, &fields).hiding(account.token.expose()))?.ok()?)
}

/// Reads the credentials out of STS's XML: four elements of text that needs no unescaping, be it as it should be.
fn session(response: &Response) -> Result<Keys, IssuerError> {
    let missing = || response.unexpected("no `Credentials`");
    let body = std::str::from_utf8(&response.body).map_err(|_| missing())?;
    let credentials = element(body, "Credentials").ok_or_else(missing)?;
    let part = |name| {
        let text =
            element(credentials, name).map(str::trim).filter(|text| !text.is_empty() && !text.contains(['<', '&']));
        text.ok_or_else(missing)
    };
    Ok(Keys {
        id: part("AccessKeyId")?.to_owned(),
        secret: Zeroizing::new(part("SecretAccessKey")?.to_owned()),
        session: Some(Zeroizing::new(part("SessionToken")?.to_owned())),
        lifetime: token::remaining(part("Expiration")?, response.date),
    })
}

fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

fn text(response: &Response) -> Result<Zeroizing<String>, IssuerError> {
    let text = std::str::from_utf8(&response.body).ok().map(str::trim);
    let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.map(|text| Zeroizing::new(text.to_owned())).ok_or_else(|| response.unexpected("no line of text"))
}
