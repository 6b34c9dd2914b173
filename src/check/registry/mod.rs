//! Asks the hosts of a registry what containerd would ask them, with the same login, and tells what each of them answers.
//!
//! Source of the order of requests: containerd `core/remotes/docker/resolver.go` and `authorizer.go`. Nothing carries a login
//! before a 401 asks for one, and a host that the one before it makes needless gets none.

mod ask;
mod client;
mod login;
mod rate_limit;
mod reach;

use std::time::Duration;

use serde::Serialize;

use super::{Attempt, Outcome};
use crate::containerd::Chain;
use crate::reference::Reference;
use client::Client;
use reach::Reached;

pub use ask::{Answer, Manifest};
pub use login::Step;
pub use rate_limit::{Counted, RateLimit};
pub use reach::HostReport;

/// What to ask for.
pub struct Question<'a> {
    /// The image.
    pub image: &'a Reference,
    /// `:TAG` or `@DIGEST`.
    pub version: &'a str,
    /// Longest time of one request.
    pub timeout: Duration,
    /// Hosts of token servers that may learn the credential although they belong to another site than the registry.
    pub allowed_realms: &'a [String],
    /// Seconds since 1970.
    pub now: i64,
}

/// What the hosts answered; `--output json` of `check`, part of the command line's contract.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// Every host, in the order in which it is asked.
    pub hosts: Vec<HostReport>,
    /// The kubelet's attempts, up to the one that succeeds.
    pub attempts: Vec<Tried>,
}

/// One attempt of the kubelet, at one host after the other up to the one that has the image.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// The key of the answer, if there was a credential.
    pub key: Option<String>,
    /// The user of the credential.
    pub username: Option<String>,
    /// How it ended: as the host that tells most.
    pub outcome: Outcome,
    /// That host.
    pub decided_by: Option<String>,
    /// What each host answered.
    pub hosts: Vec<Answer>,
}

/// Asks the hosts of a chain, with one credential after the other.
pub fn ask(question: &Question<'_>, chain: &Chain, attempts: &[Attempt<'_>]) -> Asked {
    let reached: Vec<(Option<Client>, Reached)> = chain.hosts.iter().map(|host| reach::reach(host, question)).collect();
    let mut tried = Vec::new();
    for attempt in attempts {
        let mut hosts = Vec::new();
        for (host, (client, reached)) in chain.hosts.iter().zip(&reached) {
            if !host.resolves {
                continue;
            }
            let answer = ask::ask(question, host, client.as_ref(), reached, attempt);
            let is_granted = answer.outcome == Outcome::Granted;
            hosts.push(answer);
            if is_granted {
                break;
            }
        }
        let decisive = hosts.iter().min_by_key(|answer| rank(answer.outcome));
        let outcome = decisive.map_or(Outcome::Failed, |answer| answer.outcome);
        tried.push(Tried {
            key: attempt.credential.map(|(key, _)| key.to_owned()),
            username: attempt.credential.map(|(_, issued)| issued.username.clone()),
            outcome,
            decided_by: decisive.map(|answer| answer.host.clone()),
            hosts,
        });
        if outcome == Outcome::Granted {
            break;
        }
    }
    Asked { hosts: reached.into_iter().map(|(_, reached)| reached.report).collect(), attempts: tried }
}

/// Which of several failures tells most, as containerd 2 chooses; 1.x shows the first.
fn rank(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Granted => 0,
        Outcome::Refused => 1,
        Outcome::RateLimited => 2,
        Outcome::Withheld => 3,
        Outcome::Failed => 4,
        Outcome::NotFound => 5,
        Outcome::Untrusted => 6,
        Outcome::Late => 7,
        Outcome::Unreachable => 8,
    }
}

/// Returns the host of a URL, with its port.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Returns whether a URL or host is on this machine.
fn is_loopback(url: &str) -> bool {
    crate::containerd::is_loopback(authority(url))
}
