//! Whether a host answers at all: `GET /v2/` without a login.

use serde::Serialize;

use super::client::{Client, Reply, Request, Trouble};
use super::{Question, authority};
use crate::challenge::Challenge;
use crate::check::Outcome;
use crate::containerd::Host;
use crate::text;

/// A host; `--output json` of `check`, part of the command line's contract.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HostReport {
    /// Scheme, host and path of its API.
    pub url: String,
    /// File and line that names it; nothing for the registry's own host.
    pub origin: Option<String>,
    /// Status of `GET /v2/`, if there was an answer.
    pub status: Option<u16>,
    /// How it wants to be logged in to: `Bearer`, `Basic`, or nothing.
    pub challenge: Option<&'static str>,
    /// The token server that it names.
    pub realm: Option<String>,
    /// By how many seconds its clock is ahead of this machine's.
    pub clock_ahead: Option<i64>,
    /// Why there was no answer.
    pub trouble: Option<String>,
}

/// A host that was tried.
pub(super) struct Reached {
    pub(super) report: HostReport,
    pub(super) failed: Option<Outcome>,
}

/// Tries a host; one with certificates and plain HTTP first with TLS, as containerd does.
pub(super) fn reach(host: &Host, question: &Question<'_>) -> (Option<Client>, Reached) {
    let origin = host.origin.as_ref().map(|(file, line)| format!("{}:{line}", file.display()));
    let report = HostReport {
        url: host.url(),
        origin,
        status: None,
        challenge: None,
        realm: None,
        clock_ahead: None,
        trouble: None,
    };
    let client = match Client::new(host, question.timeout) {
        Ok(client) => client,
        Err(trouble) => return (None, failed(report, trouble)),
    };
    let (url, reply) = match ping(&client, &host.url()) {
        Err(trouble) if host.tls_first && trouble.is_plain => {
            let url = host.plain_url();
            let reply = ping(&client, &url);
            (url, reply)
        }
        reply => (host.url(), reply),
    };
    let report = HostReport { url, ..report };
    let reached = match reply {
        Ok(reply) => answered(report, &reply, question.now),
        Err(trouble) => failed(report, trouble),
    };
    (Some(client), reached)
}

fn ping(client: &Client, url: &str) -> Result<Reply, Trouble> {
    client.send(&Request::new("GET", &format!("{url}/")))
}

fn answered(report: HostReport, reply: &Reply, now: i64) -> Reached {
    let challenge = (reply.status == 401).then(|| Challenge::choose(reply.all("www-authenticate"))).flatten();
    let realm = match &challenge {
        Some(Challenge::Bearer(bearer)) => Some(text::sanitize(authority(&bearer.realm), 100)),
        Some(Challenge::Basic | Challenge::Unsupported) | None => None,
    };
    let report = HostReport {
        status: Some(reply.status),
        challenge: challenge.as_ref().map(Challenge::scheme),
        realm,
        clock_ahead: reply.date().map(|date| date - now),
        ..report
    };
    Reached { report, failed: None }
}

fn failed(report: HostReport, trouble: Trouble) -> Reached {
    Reached { report: HostReport { trouble: Some(trouble.message), ..report }, failed: Some(trouble.outcome) }
}
