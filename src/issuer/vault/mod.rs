//! The `vault` issuer: a secret of HashiCorp Vault or OpenBao, read with a token that a login gave a moment before.
//!
//! The token of the login is never stored or answered. A secret with a lease is good as long as the lease and the token that it
//! hangs on; one of a KV engine says nothing, so it is read again after minutes. Leases are not renewed and not revoked: the
//! cache lets one be made an hour or so.

mod login;

use std::time::Duration;

use super::endpoint::Endpoint;
use super::engine::{Minted, Plan};
use super::http::{Http, Request};
use super::json::{self, Document};
use super::pod_token::Shown;
use super::settings::Settings;
use super::token::{self, Expiry, Lifetime};
use super::{IssuerError, Issuing, Needs};
use crate::credential::Credential;
use crate::secret::Secret;
use login::{Auth, Proof};
use zeroize::Zeroizing;

pub(super) const NAME: &str = "vault";
pub(super) const SETTINGS: [&str; 10] = [
    "address",
    "auth",
    "kv-version",
    "mount",
    "namespace",
    "password-field",
    "path",
    "role",
    "username",
    "username-field",
];

/// Leases may be given for days; whoever revokes one wants to see it end.
const CAP: Duration = Duration::from_secs(6 * 60 * 60);

const AUTHS: [(&str, Auth); 4] =
    [("kubernetes", Auth::Kubernetes), ("jwt", Auth::Jwt), ("approle", Auth::AppRole), ("cert", Auth::Cert)];

/// What kind of engine the secret is of, which decides where its fields are and how long they are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    /// Makes a secret at every read, with a lease.
    Dynamic,
    Kv1,
    Kv2,
}

const ENGINES: [(&str, Engine); 3] = [("none", Engine::Dynamic), ("1", Engine::Kv1), ("2", Engine::Kv2)];

/// The settings, understood.
struct Parameters<'a> {
    auth: Auth,
    role: Option<&'a str>,
    login: Endpoint,
    secret: Endpoint,
    engine: Engine,
    namespace: Option<&'a str>,
    username: Option<&'a str>,
    username_field: &'a str,
    password_field: &'a str,
}

impl<'a> Parameters<'a> {
    fn of(settings: Settings<'a>) -> Result<Self, IssuerError> {
        let [address, auth_name, path] = settings.required(NAME, ["address", "auth", "path"])?;
        let auth = settings.one_of("auth", &AUTHS)?;
        let address = Endpoint::parse(address)
            .map_err(|reason| IssuerError::Setting { name: "address", reason: reason.to_owned() })?;
        if auth == Auth::Kubernetes {
            settings.required(NAME, ["role"])?;
        }
        let mount = api_path("mount", settings.get("mount").unwrap_or(auth_name))?;
        let path = api_path("path", path)?;
        let engine = settings.one_of("kv-version", &ENGINES)?;
        if engine == Engine::Kv2 && !path.split('/').skip(1).any(|part| part == "data") {
            let reason = "is no path of KV version 2 as the API has it, such as `secret/data/registry`".to_owned();
            return Err(IssuerError::Setting { name: "path", reason });
        }
        let namespace = settings.get("namespace").map(|path| api_path("namespace", path)).transpose()?;
        Ok(Self {
            auth,
            role: settings.get("role"),
            login: address.join(&format!("/v1/auth/{mount}/login")),
            secret: address.join(&format!("/v1/{path}")),
            engine,
            namespace,
            username: settings.get("username"),
            username_field: settings.get("username-field").unwrap_or("username"),
            password_field: settings.get("password-field").unwrap_or("password"),
        })
    }

    /// Adds what every request has.
    fn headers<'r>(&self, request: Request<'r>) -> Request<'r> {
        // Vault Agent can be told to answer to nothing else.
        let request = request.header("x-vault-request", "true");
        match self.namespace {
            Some(namespace) => request.header("x-vault-namespace", namespace),
            None => request,
        }
    }
}

/// Checks a path of the API: plain segments, nothing that a URL would read otherwise.
fn api_path<'a>(name: &'static str, path: &'a str) -> Result<&'a str, IssuerError> {
    let path = path.trim_matches('/');
    let is_plain = |part: &str| {
        !matches!(part, "" | "." | "..") && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~@+=:".contains(&b))
    };
    if path.split('/').all(is_plain) {
        return Ok(path);
    }
    Err(IssuerError::Setting { name, reason: "is no path such as `secret/data/registry`".to_owned() })
}

pub(super) fn needs(settings: Settings<'_>) -> Needs {
    match settings.one_of("auth", &AUTHS) {
        Ok(Auth::AppRole) => Needs { user: true, secret: true },
        Ok(Auth::Cert) => Needs { user: false, secret: true },
        Ok(Auth::Kubernetes | Auth::Jwt) | Err(_) => Needs { user: false, secret: false },
    }
}

pub(super) fn check(credential: &Credential) -> Result<(), IssuerError> {
    let parameters = Parameters::of(Settings(&credential.settings))?;
    login::check(parameters.auth, credential)
}

pub(super) fn shown(credential: &Credential) -> Result<Option<Shown>, IssuerError> {
    Ok(match Settings(&credential.settings).one_of("auth", &AUTHS)? {
        Auth::Kubernetes | Auth::Jwt => token::is_of_pod(credential).then(Shown::to_any),
        Auth::AppRole | Auth::Cert => None,
    })
}

pub(super) fn plan<'a>(credential: &'a Credential, issuing: &Issuing<'a>) -> Result<Plan<'a>, IssuerError> {
    let parameters = Parameters::of(Settings(&credential.settings))?;
    let (proof, service_account) = login::proof(parameters.auth, credential, issuing)?;
    Ok(Plan {
        issuer: NAME,
        endpoint: parameters.login.to_string(),
        service_account,
        depends_on: Vec::new(),
        cap: CAP,
        mint: Box::new(move |http| mint(&parameters, &proof, http)),
    })
}

fn mint(parameters: &Parameters<'_>, proof: &Proof, http: &Http) -> Result<Minted, IssuerError> {
    let identified = proof.identity().map(|identity| http.with_identity(identity));
    let http = identified.as_ref().unwrap_or(http);
    let login = login::login(parameters, proof, http)?;
    let request = Request::get(&parameters.secret).header("x-vault-token", login.token.as_str());
    let response = http.send(&parameters.headers(request).hiding(login.token.as_bytes()))?;
    if response.status == 404 {
        return Err(response.refused(" (no secret is at this path)"));
    }
    let response = response.ok()?;
    let document: Document = response.json()?;
    let place = match parameters.engine {
        Engine::Dynamic | Engine::Kv1 => "/data",
        Engine::Kv2 => "/data/data",
    };
    let field = |name: &str| {
        document.text(&format!("{place}/{}", json::escape(name))).ok_or_else(|| {
            let is_kv2 = parameters.engine != Engine::Kv2 && document.has_object("/data/data");
            response.unexpected(if is_kv2 {
                "a secret of KV version 2; set `kv-version=2`".to_owned()
            } else {
                format!("no text in the field `{}`", crate::text::sanitize(name, 60))
            })
        })
    };
    let username = match parameters.username {
        Some(username) => username,
        None => field(parameters.username_field)?,
    };
    let password = field(parameters.password_field)?.as_bytes();
    let claim = Lifetime(None).or_claim(password, response.date);
    let lifetimes = match parameters.engine {
        Engine::Kv1 | Engine::Kv2 => vec![claim],
        Engine::Dynamic => {
            let lease = document.lifetime("/lease_duration", Expiry::Seconds, response.date);
            // Zero stands for a secret without a lease.
            vec![lease.filter(|lease| !lease.is_zero()), login.lifetime, claim]
        }
    };
    Ok(Minted { username: username.to_owned(), password: Secret::new(Zeroizing::new(password.to_vec())), lifetimes })
}
