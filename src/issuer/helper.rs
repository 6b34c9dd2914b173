//! The `helper` issuer: what a Docker credential helper (`docker-credential-NAME get`) answers.
//!
//! The program gets pipes of its own and little of this process's environment, and is ended with all that it started when it is
//! late. What it prints is never shown: a failed helper may print anything. An identity token (user `<token>`) is good for Docker
//! alone, which exchanges it; it is refused unless its registry is known to take it as a password.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::engine::{Minted, Plan};
use super::http::Http;
use super::settings::Settings;
use super::token::{self, Lifetime};
use super::{IssuerError, Issuing, said};
use crate::credential::Credential;
use crate::process::{self, Output, ProcessError};
use crate::{env, platform, text};

pub(super) const NAME: &str = "helper";
pub(super) const SETTINGS: [&str; 4] = ["environment", "program", "server", "username"];

/// A helper does not say when its answer ends.
const CAP: Duration = Duration::from_secs(6 * 60 * 60);

const PREFIX: &str = "docker-credential-";

/// Docker Hub's name in Docker's own configuration, and so in every helper.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The user with which Azure's registries take an identity token as a password.
const AZURE_USER: &str = "00000000-0000-0000-0000-000000000000";
const AZURE: [&str; 3] = [".azurecr.io", ".azurecr.cn", ".azurecr.us"];

/// What helpers say instead of a credential. Anything else that they print could be one.
const NOT_FOUND: &str = "credentials not found in native keychain";

fn program<'a>(settings: Settings<'a>) -> Result<&'a str, IssuerError> {
    let [program] = settings.required(NAME, ["program"])?;
    let name = Path::new(program).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let is_plain = Path::new(program).is_absolute() && !program.contains("..");
    if is_plain && name.strip_prefix(PREFIX).is_some_and(is_name) {
        return Ok(program);
    }
    let reason = format!("is no absolute path of a program whose name begins with `{PREFIX}`");
    Err(IssuerError::Setting { name: "program", reason })
}

/// Returns the variables that the entry sets: `NAME=VALUE,NAME=VALUE`.
fn environment(settings: Settings<'_>) -> Result<Vec<(String, OsString)>, IssuerError> {
    let variable = |item: &str| {
        let (name, value) = item.trim().split_once('=')?;
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_name.then(|| (name.to_owned(), OsString::from(value)))
    };
    let text = settings.get("environment").unwrap_or_default();
    let variables: Option<Vec<_>> = text.split(',').filter(|item| !item.trim().is_empty()).map(variable).collect();
    variables.ok_or_else(|| IssuerError::Setting {
        name: "environment",
        reason: "is no list of `NAME=VALUE`, with `,` between".to_owned(),
    })
}

pub(super) fn check(credential: &Credential) -> Result<(), IssuerError> {
    let settings = Settings(&credential.settings);
    program(settings)?;
    environment(settings)?;
    if !credential.username.is_empty() || !credential.secret.expose().is_empty() {
        return Err(IssuerError::TakesNo { issuer: NAME, what: "user and password" });
    }
    Ok(())
}

pub(super) fn plan<'a>(credential: &'a Credential, issuing: &Issuing<'a>) -> Result<Plan<'a>, IssuerError> {
    let settings = Settings(&credential.settings);
    let program = program(settings)?;
    let own = environment(settings)?;
    let scope = credential.scope.domain();
    let registry = if scope.contains('*') { issuing.registry } else { scope };
    let server = match settings.get("server") {
        Some(server) => server,
        None if registry == "docker.io" => DOCKER_HUB,
        None => registry,
    };
    let username =
        settings.get("username").or_else(|| AZURE.iter().any(|end| registry.ends_with(end)).then_some(AZURE_USER));
    Ok(Plan {
        issuer: NAME,
        endpoint: program.to_owned(),
        service_account: None,
        depends_on: vec![server.to_owned()],
        cap: CAP,
        mint: Box::new(move |http| mint(program, server, username, &own, http)),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: Zeroizing<String>,
}

fn mint(
    program: &str,
    server: &str,
    username: Option<&str>,
    own: &[(String, OsString)],
    http: &Http,
) -> Result<Minted, IssuerError> {
    check_owner(program)?;
    let mut environment = env::for_programs();
    environment.retain(|(name, _)| !own.iter().any(|(known, _)| known == name));
    environment.extend_from_slice(own);
    let output = process::run_to_end(program, &["get"], &environment, server.as_bytes(), http.left());
    let output = output.map_err(|error| match error {
        ProcessError::Timeout(_) => IssuerError::Late { endpoint: program.to_owned() },
        ProcessError::Start(_) | ProcessError::Failed(_) => failed(program, error.to_string()),
    })?;
    if !output.status.success() {
        return Err(failed(program, reason(&output, server)));
    }
    let unexpected = |reason: &str| IssuerError::Answer { endpoint: program.to_owned(), reason: reason.to_owned() };
    let answer: Answer =
        serde_json::from_slice(&output.stdout).map_err(|_| unexpected("no JSON with `Username` and `Secret`"))?;
    if answer.username.is_empty() || answer.secret.is_empty() {
        // That of `pass` succeeds, with nothing in its answer.
        return Err(failed(program, not_found(server)));
    }
    let username = match (answer.username.as_str(), username) {
        ("<token>", None) => {
            return Err(unexpected("an identity token; set `username` if the registry takes one as a password"));
        }
        ("<token>", Some(instead)) => instead.to_owned(),
        (name, _) => name.to_owned(),
    };
    let lifetimes = vec![Lifetime(None).or_claim(answer.secret.as_bytes(), None)];
    Ok(Minted { username, password: token::into_secret(answer.secret), lifetimes })
}

/// Refuses a program that somebody else could replace: it runs with the rights of the kubelet.
fn check_owner(program: &str) -> Result<(), IssuerError> {
    for (index, path) in Path::new(program).ancestors().enumerate() {
        match platform::others_may_write(path, index > 0) {
            Ok(None) => {}
            Ok(Some(who)) => {
                let reason = format!("is not run, because `{}` {who}", text::sanitize(&path.to_string_lossy(), 100));
                return Err(failed(program, reason));
            }
            Err(error) => return Err(failed(program, format!("cannot be looked at: {}", error.kind()))),
        }
    }
    Ok(())
}

/// Says why a helper gave nothing, without showing what it printed where a credential stands.
fn reason(output: &Output, server: &str) -> String {
    if String::from_utf8_lossy(&output.stdout).trim() == NOT_FOUND {
        return not_found(server);
    }
    format!("failed: {}: {}", output.status, said::hide_tokens(&output.last_line()))
}

fn not_found(server: &str) -> String {
    format!("has no credential for `{}`", text::sanitize(server, 100))
}

fn failed(program: &str, reason: String) -> IssuerError {
    IssuerError::Program { program: program.to_owned(), reason }
}
