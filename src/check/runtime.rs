//! A real pull by the container runtime.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::{Attempt, Outcome};
use crate::cri::{CriError, Runtime};

/// What the runtime did; `--output json` of `check`, part of the command line's contract.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimePull {
    /// Name and version of the runtime.
    pub name: String,
    /// What it was asked to pull.
    pub image: String,
    /// In the kubelet's order, up to the one that succeeded.
    pub attempts: Vec<Pulled>,
    /// What became of the image.
    pub cleanup: Cleanup,
}

/// One pull.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pulled {
    /// The key of the answer, if there was a credential.
    pub key: Option<String>,
    /// The user of the credential.
    pub username: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The runtime's own words.
    pub message: Option<String>,
    /// How long it took.
    pub milliseconds: u64,
}

/// What became of the image that was pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cleanup {
    /// There was none.
    Nothing,
    /// It was removed.
    Removed,
    /// It was to be kept.
    Kept,
    /// It had been there before, under this name or another.
    WasThere,
    /// It could not be removed.
    Failed,
}

/// How to pull.
pub struct Pulling<'a> {
    /// The image as the kubelet hands it on.
    pub image: &'a str,
    /// Whether the image stays.
    pub keep: bool,
    /// Longest time of one pull.
    pub timeout: Duration,
}

/// Pulls as the kubelet does, with one credential after the other until one succeeds, and removes what was not there before.
/// `waiting` is called while a pull takes its time.
///
/// # Errors
/// [`CriError`], when the runtime does not answer what is no pull.
pub fn pull(
    runtime: &Runtime,
    pulling: &Pulling<'_>,
    attempts: &[Attempt<'_>],
    mut waiting: impl FnMut(Duration),
) -> Result<RuntimePull, CriError> {
    let before = runtime.image_ids()?;
    let mut done = Vec::new();
    for attempt in attempts {
        let start = Instant::now();
        let issued = attempt.credential.map(|(_, issued)| issued);
        let result = runtime.pull(pulling.image, issued, pulling.timeout, &mut waiting);
        let outcome = result.as_ref().map_or_else(outcome, |()| Outcome::Granted);
        done.push(Pulled {
            key: attempt.credential.map(|(key, _)| key.to_owned()),
            username: issued.map(|issued| issued.username.clone()),
            outcome,
            message: result.err().map(|error| error.to_string()),
            milliseconds: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        if outcome == Outcome::Granted {
            break;
        }
    }
    let granted = done.last().is_some_and(|last| last.outcome == Outcome::Granted);
    let cleanup = if granted { clean_up(runtime, pulling, &before)? } else { Cleanup::Nothing };
    Ok(RuntimePull { name: runtime.name(), image: pulling.image.to_owned(), attempts: done, cleanup })
}

/// Removing an image takes all its names with it, so one that was there before under any name stays.
fn clean_up(runtime: &Runtime, pulling: &Pulling<'_>, before: &[String]) -> Result<Cleanup, CriError> {
    let Some(image) = runtime.image(pulling.image)? else { return Ok(Cleanup::Nothing) };
    if before.contains(&image.id) {
        return Ok(Cleanup::WasThere);
    }
    if pulling.keep {
        return Ok(Cleanup::Kept);
    }
    Ok(runtime.remove(&image.id).map_or(Cleanup::Failed, |()| Cleanup::Removed))
}

/// Tells from the runtime's words what happened: the codes of gRPC do not.
fn outcome(error: &CriError) -> Outcome {
    let message = match error {
        CriError::Connect(_) => return Outcome::Unreachable,
        CriError::NoCri | CriError::Broken(_) => return Outcome::Failed,
        CriError::Late { .. } => return Outcome::Late,
        CriError::Refused { message, .. } => words(message),
    };
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["toomanyrequests", "too many requests"]) {
        Outcome::RateLimited
    } else if says(&["x509", "tls:", "http response to https client", "certificate"]) {
        Outcome::Untrusted
    } else if says(&["authoriz", "unauthorized", "forbidden", "denied", "no basic auth", "anonymous token"]) {
        Outcome::Refused
    } else if says(&["connection refused", "no such host", "unreachable", "no route", "connection reset", "eof"]) {
        Outcome::Unreachable
    } else if says(&["timeout", "deadline"]) {
        Outcome::Late
    } else if says(&["not found", "manifest unknown", "name unknown"]) {
        Outcome::NotFound
    } else {
        Outcome::Failed
    }
}

/// Returns a message in lower case without names of images and URLs, which may hold any word.
fn words(message: &str) -> String {
    let words = message.split_whitespace().filter(|word| !word.contains('/'));
    words.collect::<Vec<_>>().join(" ").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What containerd 1.6 to 2.2 say.
    #[test]
    fn the_runtime_s_words_are_understood() {
        for (message, expected) in [
            ("failed to authorize: failed to fetch oauth token: unexpected status: 401 Unauthorized", Outcome::Refused),
            (
                "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
                Outcome::Refused,
            ),
            ("unexpected status from HEAD request to https://r.test/v2/a/manifests/1: 403 Forbidden", Outcome::Refused),
            ("authorization failed: no basic auth credentials", Outcome::Refused),
            (
                "failed to resolve reference \"r.test:4035/denied/x509:1\": r.test:4035/denied/x509:1: not found",
                Outcome::NotFound,
            ),
            ("toomanyrequests: You have reached your pull rate limit.", Outcome::RateLimited),
            ("unexpected status code https://r.test/v2/a: 429 Too Many Requests", Outcome::RateLimited),
            ("dial tcp 127.0.0.1:40403: connect: connection refused", Outcome::Unreachable),
            ("dial tcp: lookup r.test on 10.0.0.1:53: no such host", Outcome::Unreachable),
            ("dial tcp 10.0.0.1:443: i/o timeout", Outcome::Late),
            ("tls: failed to verify certificate: x509: certificate signed by unknown authority", Outcome::Untrusted),
            ("http: server gave HTTP response to HTTPS client", Outcome::Untrusted),
            ("no space left on device", Outcome::Failed),
        ] {
            let error = CriError::Refused { what: "pull the image", message: message.to_owned() };
            assert_eq!(outcome(&error), expected, "{message}");
        }
    }
}
