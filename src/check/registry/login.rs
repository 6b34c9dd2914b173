//! Gets a token for a host's challenge as containerd does: a form first, then a query.
//!
//! Source of the rules: containerd `core/remotes/docker/authorizer.go`, `doBearerAuth`, and `auth/fetch.go`.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::client::{Client, Reply, Request, Trouble};
use super::{Question, authority, is_loopback};
use crate::challenge::Bearer;
use crate::check::Outcome;
use crate::credential::Issued;
use crate::issuer::http::{basic, encode, encode_form};
use crate::text;

/// One request to a token server.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Method.
    pub method: &'static str,
    /// URL, without its query.
    pub url: String,
    /// Status of the answer.
    pub status: u16,
}

/// A token, or the reason that there is none.
pub(super) struct Login {
    pub(super) steps: Vec<Step>,
    pub(super) result: Result<Token, Trouble>,
    /// Host of the token server, when it got the credential.
    pub(super) learned: Option<String>,
}

/// What a registry lets in.
pub(super) struct Token {
    pub(super) value: Zeroizing<String>,
    /// For how many seconds.
    pub(super) expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Zeroizing<String>>,
    access_token: Option<Zeroizing<String>>,
    expires_in: Option<u64>,
}

/// Logs in, or asks for the token of nobody.
pub(super) fn login(
    question: &Question<'_>,
    client: &Client,
    host: &str,
    bearer: &Bearer,
    issued: Option<&Issued>,
) -> Login {
    let mut login = Login { steps: Vec::new(), result: Err(Trouble::new(Outcome::Failed, "")), learned: None };
    let shown = shown(&bearer.realm);
    let realm = authority(&bearer.realm);
    if issued.is_some()
        && let Err(trouble) = may_learn(question, host, &bearer.realm)
    {
        login.result = Err(trouble);
        return login;
    }
    let scopes = scopes(question, bearer);
    if let Some(issued) = issued {
        login.learned = Some(text::sanitize(realm, 100));
        let form = form(bearer, &scopes, issued);
        let secret = issued.password.expose();
        let request = Request { form: Some(form), secret, ..Request::new("POST", &bearer.realm) };
        match client.send_elsewhere(&request) {
            Err(trouble) => {
                login.result = Err(at(&shown, trouble));
                return login;
            }
            Ok(reply) => {
                login.steps.push(Step { method: "POST", url: shown.clone(), status: reply.status });
                if !matches!(reply.status, 400 | 401 | 404 | 405) {
                    login.result = token(&shown, &reply);
                    return login;
                }
            }
        }
    }
    let url = query(bearer, &scopes);
    let header = issued.map(|issued| basic(&issued.username, issued.password.expose()));
    let secret = issued.map(|issued| issued.password.expose()).unwrap_or_default();
    let request = Request { login: header, secret, ..Request::new("GET", &url) };
    login.result = match client.send_elsewhere(&request) {
        Err(trouble) => Err(at(&shown, trouble)),
        Ok(reply) => {
            login.steps.push(Step { method: "GET", url: shown.clone(), status: reply.status });
            token(&shown, &reply)
        }
    };
    login
}

/// A token server on another site, or in plain HTTP, gets nothing unless the operator says so, whatever containerd would do.
fn may_learn(question: &Question<'_>, host: &str, realm: &str) -> Result<(), Trouble> {
    let server = authority(realm);
    let withheld = |why: &str| {
        let server = text::sanitize(server, 100);
        let message = format!(
            "the token server `{server}` {why}; containerd sends it the credential all the same, this check only with \
             `--allow-realm {server}`"
        );
        Err(Trouble::new(Outcome::Withheld, message))
    };
    if !realm.starts_with("https://") && !realm.starts_with("http://") {
        return Err(Trouble::new(Outcome::Failed, "the registry names no token server that has a URL"));
    }
    if question.allowed_realms.iter().any(|allowed| allowed == server) {
        return Ok(());
    }
    let is_local = is_loopback(server) && is_loopback(host);
    if realm.starts_with("http://") && !is_local {
        return withheld("is reached in plain HTTP");
    }
    if is_local || site(server) == site(host) { Ok(()) } else { withheld("belongs to another site than the registry") }
}

/// The last two labels of a name, or a whole address.
fn site(authority: &str) -> String {
    let host = crate::reference::split_port(authority).0.to_ascii_lowercase();
    if host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok() {
        return host;
    }
    let labels: Vec<&str> = host.split('.').collect();
    labels[labels.len().saturating_sub(2)..].join(".")
}

/// What the image needs, and what the registry's challenge names, each once.
fn scopes(question: &Question<'_>, bearer: &Bearer) -> Vec<String> {
    let mut scopes = vec![format!("repository:{}:pull", question.image.path())];
    for scope in bearer.scope.iter().flat_map(|scope| scope.split(' ')) {
        if !scope.is_empty() && !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    scopes
}

fn form(bearer: &Bearer, scopes: &[String], issued: &Issued) -> Zeroizing<Vec<u8>> {
    let scope = scopes.join(" ");
    let service = bearer.service.as_deref().unwrap_or_default();
    let mut fields: Vec<(&str, &[u8])> = vec![("scope", scope.as_bytes())];
    if !service.is_empty() {
        fields.push(("service", service.as_bytes()));
    }
    fields.extend([
        ("client_id", &b"containerd-client"[..]),
        ("grant_type", b"password"),
        ("username", issued.username.as_bytes()),
        ("password", issued.password.expose()),
    ]);
    encode_form(&fields)
}

fn query(bearer: &Bearer, scopes: &[String]) -> String {
    let mut url = bearer.realm.clone();
    let mut add = |name: &str, value: &str| {
        url.push(if url.contains('?') { '&' } else { '?' });
        url.push_str(&format!("{name}={}", *encode(value.as_bytes())));
    };
    if let Some(service) = bearer.service.as_deref().filter(|service| !service.is_empty()) {
        add("service", service);
    }
    scopes.iter().for_each(|scope| add("scope", scope));
    url
}

fn token(server: &str, reply: &Reply) -> Result<Token, Trouble> {
    let trouble = |outcome, what: &str| Trouble::new(outcome, format!("`{server}` {what}{}", reply.said));
    match reply.status {
        200..=299 => {}
        401 | 403 => return Err(trouble(Outcome::Refused, &format!("refuses the login with {}", reply.status))),
        429 => return Err(trouble(Outcome::RateLimited, "has had too many logins")),
        status => return Err(trouble(Outcome::Failed, &format!("answers the login with {status}"))),
    }
    let answer: TokenAnswer = serde_json::from_slice(&reply.body)
        .map_err(|_| Trouble::new(Outcome::Failed, format!("`{server}` answers the login with no JSON of a token")))?;
    let value = answer.token.filter(|token| !token.is_empty()).or(answer.access_token);
    let value = value.filter(|token| !token.is_empty());
    let none = || Trouble::new(Outcome::Failed, format!("`{server}` answers the login without a token"));
    Ok(Token { value: value.ok_or_else(none)?, expires_in: answer.expires_in })
}

fn at(server: &str, trouble: Trouble) -> Trouble {
    Trouble { message: format!("token server `{server}`: {}", trouble.message), ..trouble }
}

/// A URL without its query, on one line.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    // What stands before an `@` in the authority may be a secret.
    let shown = match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            format!("{scheme}://{}{path}", authority.rsplit_once('@').map_or(authority, |(_, host)| host))
        }
        None => url.to_owned(),
    };
    text::sanitize(&shown, 200)
}

#[cfg(test)]
mod tests {
    use super::site;

    #[test]
    fn a_site_is_two_labels_or_an_address() {
        for (authority, expected) in [
            ("auth.docker.io", "docker.io"),
            ("registry-1.docker.io:443", "docker.io"),
            ("ghcr.io", "ghcr.io"),
            ("localhost:5000", "localhost"),
            ("10.0.0.1:5000", "10.0.0.1"),
            ("[::1]:5000", "[::1]"),
        ] {
            assert_eq!(site(authority), expected);
        }
    }
}
