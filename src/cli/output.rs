//! The two functions that write to a person or a program, and what a failure looks like.

use std::io::{self, Write};

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use super::Form;
use crate::exit::Code;
use crate::text;
use crate::{platform, store};

/// How a command ends: a code, or a failure to report.
pub(super) type Outcome = Result<Code, Failure>;

/// A failure, its exit code, and the next step.
#[derive(Debug)]
pub(super) struct Failure {
    code: Code,
    error: anyhow::Error,
    remedy: Option<String>,
}

impl Failure {
    pub(super) fn new(code: Code, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into(), remedy: None }
    }

    pub(super) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Prints the failure, its causes and the next step, a line each.
    pub(super) fn report(&self) -> Code {
        say(&format!("error: {}", self.error));
        for cause in self.error.chain().skip(1) {
            say(&format!("  caused by: {cause}"));
        }
        if let Some(remedy) = &self.remedy {
            say(&format!("hint: {remedy}"));
        }
        self.code
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Code::Failed, error)
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        let code = match &error {
            error if error.needs_privilege() => Code::NeedsPrivilege,
            store::Error::Exists { .. } => Code::Conflict,
            _ => Code::StoreUnavailable,
        };
        let remedy = error.remedy();
        Self::new(code, error).with_remedy(remedy)
    }
}

/// Writes data to standard output.
pub(super) fn print(data: &str) -> anyhow::Result<()> {
    let mut output = platform::open_reply().context("cannot write to standard output")?;
    match output.write_all(data.as_bytes()) {
        // The reader has seen enough, as with `list | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Writes data to standard output as one JSON document.
pub(super) fn print_json(data: &impl Serialize) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(data).context("cannot make JSON")?;
    print(&format!("{json}\n"))
}

/// Reports what was done: an object to a program, a sentence to a person.
pub(super) fn report(form: Form, object: &serde_json::Value, sentence: &str) -> anyhow::Result<()> {
    match form {
        Form::Json => print_json(object),
        Form::Text => {
            say(sentence);
            Ok(())
        }
    }
}

/// Tells a person something, on one line of standard error.
pub(super) fn say(line: &str) {
    // Nobody is left to be told when this fails.
    let _ = writeln!(io::stderr(), "{}", text::sanitize(line, 4000));
}

/// Returns a time as RFC 3339 in UTC.
pub(super) fn timestamp(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

/// Lays rows out in columns; the first row is the heading.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut lines = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        lines.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        lines.push('\n');
    }
    lines
}
