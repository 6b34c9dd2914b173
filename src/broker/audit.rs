//! One line in the log for everything a broker was asked: who, what, how it went. Never a secret.

use std::time::Duration;

use serde::Serialize;

use super::log::Log;
use crate::text;
use crate::time;

/// Image names come from pods' authors.
const MAX_TEXT: usize = 300;

/// What a request was about.
#[derive(Debug, Default)]
pub(super) struct Subject {
    pub(super) image: Option<String>,
    /// Scopes and issuers.
    pub(super) chosen: Vec<(String, String)>,
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was done.
    Done,
    /// Nothing is stored for it.
    Nothing,
    /// The caller may not ask, or asked for something impossible.
    Refused,
    /// It could not be done.
    Failed,
}

impl Outcome {
    /// Every outcome, in the order of the metrics.
    pub(super) const ALL: [Self; 4] = [Self::Done, Self::Nothing, Self::Refused, Self::Failed];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Nothing => "nothing",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    time: i64,
    operation: &'static str,
    outcome: &'static str,
    caller: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    issuers: Vec<String>,
    micros: u128,
}

/// Writes the line of one request.
pub(super) fn write(
    log: &Log,
    operation: &'static str,
    outcome: Outcome,
    caller: &str,
    subject: &Subject,
    took: Duration,
) {
    let shown = |text: &String| text::sanitize(text, MAX_TEXT);
    log.write(&Line {
        time: time::now(),
        operation,
        outcome: outcome.name(),
        caller,
        image: subject.image.as_ref().map(shown),
        scopes: subject.chosen.iter().map(|(scope, _)| shown(scope)).collect(),
        issuers: subject.chosen.iter().map(|(_, issuer)| shown(issuer)).collect(),
        micros: took.as_micros(),
    });
}
