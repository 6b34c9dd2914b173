//! The report of `check` for people: a heading, a line each.

use super::Report;
use crate::check::registry::{Counted, HostReport, RateLimit, Tried};
use crate::check::{Cleanup, Outcome, Pulled, RuntimePull};
use crate::kubelet::response::CredentialProviderResponse;
use crate::text;

/// Longest user name that is shown.
const MAX_USERNAME: usize = 60;

pub(super) fn tell(report: &Report<'_>, response: Option<&CredentialProviderResponse>) -> String {
    let mut lines = Lines(String::new());
    lines.add("image", &report.image);
    match response.filter(|response| !response.auth.is_empty()) {
        Some(response) => {
            for (key, issued) in &response.auth {
                let username = text::sanitize(&issued.username, MAX_USERNAME);
                lines.add("answer", &format!("key `{key}` as `{username}`"));
            }
        }
        None => lines.add("answer", "none; the kubelet pulls without a credential"),
    }
    if let Some(config) = &report.config {
        lines.add("containerd", &format!("configured by {}", config.display()));
    }
    for host in &report.asked.hosts {
        lines.add("host", &tell_host(host));
    }
    for tried in &report.asked.attempts {
        tell_attempt(&mut lines, tried);
    }
    if let Some(runtime) = report.runtime {
        tell_runtime(&mut lines, runtime);
    }
    lines.add("verdict", &report.verdict.message);
    for warning in report.warnings {
        lines.add("warning", warning);
    }
    lines.0
}

fn tell_host(host: &HostReport) -> String {
    let origin = host.origin.as_ref().map_or_else(String::new, |origin| format!(", by {origin}"));
    let how = match (&host.trouble, host.status, host.challenge) {
        (Some(trouble), _, _) => trouble.clone(),
        (None, _, Some(scheme)) => {
            let realm = host.realm.as_ref().map_or_else(String::new, |realm| format!(" from `{realm}`"));
            format!("wants a login, {scheme}{realm}")
        }
        (None, Some(200), None) => "wants no login".to_owned(),
        (None, Some(status), None) => format!("answers {status}"),
        (None, None, None) => "not asked".to_owned(),
    };
    format!("{}{origin}: {how}", host.url)
}

fn tell_attempt(lines: &mut Lines, tried: &Tried) {
    lines.add("try", &with(tried.key.as_deref(), tried.username.as_deref()));
    for answer in &tried.hosts {
        let steps: Vec<String> =
            answer.login.iter().map(|step| format!("{} {} {}", step.method, step.url, step.status)).collect();
        if !steps.is_empty() {
            let good =
                answer.token_seconds.map_or_else(String::new, |seconds| format!(", token good for {seconds} seconds"));
            lines.add("", &format!("login: {}{good}", steps.join(", ")));
        }
        let how = match (&answer.message, &answer.manifest) {
            (Some(message), _) => message.clone(),
            (None, manifest) => {
                let digest = manifest.as_ref().and_then(|manifest| manifest.digest.as_deref());
                digest.unwrap_or("no digest").to_owned()
            }
        };
        lines.add("", &format!("{}: {}: {how}", answer.host, word(answer.outcome)));
        if !answer.learned.is_empty() {
            lines.add("", &format!("the credential went to {}", answer.learned.join(" and ")));
        }
        if let Some(limit) = answer.rate_limit {
            lines.add("limit", &tell_limit(limit));
        }
    }
}

fn tell_limit(limit: RateLimit) -> String {
    let left = limit.remaining.map_or_else(String::new, |remaining| format!("{remaining} of "));
    let window = limit.window.map_or_else(String::new, |seconds| format!(" in {} minutes", seconds / 60));
    let counted = match limit.counted {
        Counted::Authenticated => "counted for the account",
        Counted::Anonymous => "counted for the address, as anonymous",
        Counted::Unknown => "not said for whom",
    };
    format!("{left}{} pulls left{window}, {counted}", limit.limit)
}

fn with(key: Option<&str>, username: Option<&str>) -> String {
    match (key, username) {
        (Some(key), Some(username)) => format!("with key `{key}` as `{}`", text::sanitize(username, MAX_USERNAME)),
        _ => "without a credential".to_owned(),
    }
}

fn tell_runtime(lines: &mut Lines, runtime: &RuntimePull) {
    lines.add("runtime", &runtime.name);
    for Pulled { key, username, outcome, message, milliseconds } in &runtime.attempts {
        let with = with(key.as_deref(), username.as_deref());
        let how = match (outcome, message) {
            (Outcome::Granted, _) => format!("done in {milliseconds} ms"),
            (outcome, message) => format!("{}: {}", word(*outcome), message.as_deref().unwrap_or_default()),
        };
        lines.add("pull", &format!("{with}: {how}"));
    }
    match runtime.cleanup {
        Cleanup::Nothing => {}
        Cleanup::Removed => lines.add("", "the image was removed again"),
        Cleanup::Kept => lines.add("", "the image is kept"),
        Cleanup::WasThere => lines.add("", "the image was on the node before and stays"),
        Cleanup::Failed => lines.add("", "the image could not be removed again"),
    }
}

/// Returns an outcome in people's words.
pub(super) fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Granted => "granted",
        Outcome::Refused => "refused",
        Outcome::NotFound => "not found",
        Outcome::RateLimited => "too many pulls",
        Outcome::Unreachable => "unreachable",
        Outcome::Untrusted => "not trusted",
        Outcome::Late => "no answer in time",
        Outcome::Withheld => "withheld",
        Outcome::Failed => "failed",
    }
}

struct Lines(String);

impl Lines {
    fn add(&mut self, heading: &str, line: &str) {
        self.0 += &format!("{heading:<11} {line}\n");
    }
}
