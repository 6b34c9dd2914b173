//! Asks one host for the manifest of an image, with one credential: `HEAD` without a login, the login that a 401 wants, `HEAD` again.

use serde::Serialize;

use super::client::{Client, Reply, Request, Trouble};
use super::login::{self, Step};
use super::rate_limit::RateLimit;
use super::reach::Reached;
use super::{Question, authority, is_loopback};
use crate::challenge::Challenge;
use crate::check::{Attempt, Outcome};
use crate::containerd::{self, Host};
use crate::credential::Issued;
use crate::issuer::http::{basic, encode};
use crate::text;

/// containerd follows ten.
const MAX_REDIRECTS: usize = 10;

/// What one host answered; `--output json` of `check`, part of the command line's contract.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The host, with its port.
    pub host: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ended so, if not well.
    pub message: Option<String>,
    /// Hosts that got the credential.
    pub learned: Vec<String>,
    /// What the token server was asked.
    pub login: Vec<Step>,
    /// For how many seconds the token is good.
    pub token_seconds: Option<u64>,
    /// The manifest.
    pub manifest: Option<Manifest>,
    /// The limit of whoever asked.
    pub rate_limit: Option<RateLimit>,
}

/// What the registry says of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Digest.
    pub digest: Option<String>,
    /// Media type.
    pub media_type: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
}

/// Asks a host.
pub(super) fn ask(
    question: &Question<'_>,
    host: &Host,
    client: Option<&Client>,
    reached: &Reached,
    attempt: &Attempt<'_>,
) -> Answer {
    let mut answer = Answer {
        host: host.authority.clone(),
        outcome: Outcome::Failed,
        message: None,
        learned: Vec::new(),
        login: Vec::new(),
        token_seconds: None,
        manifest: None,
        rate_limit: None,
    };
    let asking = match (client, reached.failed) {
        (Some(client), None) => Asking { question, host, client, issued: attempt.credential.map(|(_, issued)| issued) },
        (_, failed) => {
            answer.outcome = failed.unwrap_or(Outcome::Failed);
            answer.message.clone_from(&reached.report.trouble);
            return answer;
        }
    };
    let url = asking.url(&reached.report.url);
    if let Err(trouble) = asking.run(&url, &mut answer) {
        answer.outcome = trouble.outcome;
        answer.message = Some(trouble.message);
    }
    answer
}

struct Asking<'a> {
    question: &'a Question<'a>,
    host: &'a Host,
    client: &'a Client,
    issued: Option<&'a Issued>,
}

impl Asking<'_> {
    /// A mirror is told which registry is meant.
    fn url(&self, base: &str) -> String {
        let (image, version) = (self.question.image, self.question.version);
        let registry = image.domain();
        let own = containerd::default_authority(registry);
        let namespace = if self.host.authority == own || self.host.authority == registry {
            String::new()
        } else {
            format!("?ns={}", *encode(registry.as_bytes()))
        };
        format!("{base}/{}/manifests/{}{namespace}", image.path(), version.trim_start_matches([':', '@']))
    }

    fn run(&self, url: &str, answer: &mut Answer) -> Result<(), Trouble> {
        let reply = self.without_login(url)?;
        let reply = match reply.status {
            401 => self.log_in(url, &reply, answer)?,
            _ => reply,
        };
        answer.rate_limit = RateLimit::read(|name| reply.header(name));
        answer.manifest = Some(self.judge(&reply)?);
        answer.outcome = Outcome::Granted;
        Ok(())
    }

    /// Follows redirects, which is safe as long as there is no login.
    fn without_login(&self, url: &str) -> Result<Reply, Trouble> {
        let mut url = url.to_owned();
        let start = authority(&url).to_owned();
        for _ in 0..MAX_REDIRECTS {
            let here = authority(&url) == start;
            let reply = self.head(&url, None, here)?;
            if !matches!(reply.status, 301 | 302 | 303 | 307 | 308) {
                if reply.status == 401 && !here {
                    let target = text::sanitize(authority(&url), 100);
                    let message = format!(
                        "it redirects to `{target}`, which wants a login; containerd sends the credential there, this check does not"
                    );
                    return Err(Trouble::new(Outcome::Withheld, message));
                }
                return Ok(reply);
            }
            let location = reply.header("location").unwrap_or_default();
            let next = if location.starts_with('/') {
                let scheme = url.split_once("://").map_or("https", |(scheme, _)| scheme);
                format!("{scheme}://{}{location}", authority(&url))
            } else {
                location.to_owned()
            };
            let is_safe = next.starts_with("https://") || (next.starts_with("http://") && is_loopback(&next));
            if !is_safe {
                return Err(Trouble::new(Outcome::Failed, "it redirects to something that is no HTTPS"));
            }
            url = next;
        }
        Err(Trouble::new(Outcome::Failed, "it redirects in a circle"))
    }

    fn log_in(&self, url: &str, reply: &Reply, answer: &mut Answer) -> Result<Reply, Trouble> {
        let refused = |message: &str| Trouble::new(Outcome::Refused, format!("{message}{}", reply.said));
        match Challenge::choose(reply.all("www-authenticate")) {
            None => Err(refused("it answers 401 without saying which login it wants")),
            Some(Challenge::Unsupported) => Err(refused("it wants a login of a kind that containerd does not know")),
            Some(Challenge::Basic) => {
                let issued = self.issued.ok_or_else(|| refused("it wants a user name and password"))?;
                answer.learned.push(self.host.authority.clone());
                let login = basic(&issued.username, issued.password.expose());
                let reply = self.head(url, Some(login), true)?;
                if reply.status == 401 {
                    return Err(Trouble::new(Outcome::Refused, "it refuses the user name and password with 401"));
                }
                Ok(reply)
            }
            Some(Challenge::Bearer(bearer)) => {
                let login = login::login(self.question, self.client, &self.host.authority, &bearer, self.issued);
                answer.login = login.steps;
                answer.learned.extend(login.learned);
                let token = login.result?;
                answer.token_seconds = token.expires_in;
                let header = zeroize::Zeroizing::new(format!("Bearer {}", *token.value));
                let reply = self.head(url, Some(header), true)?;
                if reply.status == 401 {
                    return Err(self.token_refused(&reply));
                }
                Ok(reply)
            }
        }
    }

    /// A token that the server gave and the registry does not take: too little in it, or too old.
    fn token_refused(&self, reply: &Reply) -> Trouble {
        let error = match Challenge::choose(reply.all("www-authenticate")) {
            Some(Challenge::Bearer(bearer)) => bearer.error,
            Some(Challenge::Basic | Challenge::Unsupported) | None => None,
        };
        let why = match (error.as_deref(), self.issued) {
            (Some("invalid_token"), _) => {
                "it does not take the token that its token server gave: the token has expired already, or the two servers do not trust each other; compare their clocks"
            }
            (_, Some(_)) => "the login is good, but the account may not pull this repository",
            (_, None) => "it wants a login; the token of nobody allows nothing here",
        };
        Trouble::new(Outcome::Refused, why)
    }

    fn head(&self, url: &str, login: Option<zeroize::Zeroizing<String>>, is_own: bool) -> Result<Reply, Trouble> {
        let secret = self.issued.map(|issued| issued.password.expose()).unwrap_or_default();
        let send = |method| {
            let request = Request { login: login.clone(), secret, ..Request::new(method, url) };
            if is_own { self.client.send(&request) } else { self.client.send_elsewhere(&request) }
        };
        let reply = send("HEAD")?;
        // Some registries know GET only.
        if reply.status == 405 { send("GET") } else { Ok(reply) }
    }

    fn judge(&self, reply: &Reply) -> Result<Manifest, Trouble> {
        let trouble = |outcome, what: &str| Trouble::new(outcome, format!("{what}{}", reply.said));
        match reply.status {
            200..=299 => {}
            300..=399 => return Err(trouble(Outcome::Withheld, "it redirects after the login; no login was sent on")),
            403 => return Err(trouble(Outcome::Refused, "it forbids this login to pull the repository (403)")),
            404 => return Err(trouble(Outcome::NotFound, "it has no such image, or hides it from this login (404)")),
            429 => return Err(trouble(Outcome::RateLimited, "it has counted too many pulls (429)")),
            status => return Err(trouble(Outcome::Failed, &format!("it answers {status}"))),
        }
        let header = |name: &str| reply.header(name).map(|value| text::sanitize(value, 120));
        let media_type = header("content-type");
        if media_type.as_deref().is_some_and(|kind| kind.starts_with("text/html")) {
            return Err(Trouble::new(
                Outcome::Failed,
                "it answers with a web page, so it is no registry, or a portal is in between",
            ));
        }
        Ok(Manifest {
            digest: header("docker-content-digest"),
            media_type,
            size: reply.header("content-length").and_then(|length| length.parse().ok()),
        })
    }
}
