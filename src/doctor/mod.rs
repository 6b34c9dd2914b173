//! Finds what silently breaks a pull on a node: nobody says why a pull was anonymous, so everything on the way is looked at.
//!
//! - `facts` gathers what there is, of this machine or of a node's file tree; it decides nothing
//! - `flags`, `config`, `tokens`, `program`, `leftovers`, `runtime`, `sealed` judge the facts, a group of checks each
//!
//! A check is a function from facts to findings, without files or clock. A finding names what is wrong, where, and what to do; it
//! never holds a byte of a secret, nor text of a file that could not be parsed.

mod config;
mod facts;
mod flags;
mod leftovers;
mod program;
mod runtime;
mod sealed;
mod tokens;

pub use facts::{Facts, gather};

/// Something that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What kind of thing it is, for programs.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// The file or directory, as the node names it.
    pub file: Option<String>,
    /// The line in it.
    pub line: Option<usize>,
    /// What to do.
    pub remedy: String,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Pulls fail, go without the credential, or somebody else can take it.
    Error,
    /// Likely a mistake, or soon an error.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// Returns the name used in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

impl Finding {
    fn new(severity: Severity, code: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (message, remedy) = (message.into(), remedy.into());
        Self { severity, code, message, file: None, line: None, remedy }
    }

    fn error(code: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message, remedy)
    }

    fn warning(code: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message, remedy)
    }

    fn info(code: &'static str, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, message, remedy)
    }

    fn at(mut self, file: impl Into<String>, line: Option<usize>) -> Self {
        self.file = Some(file.into());
        self.line = line;
        self
    }
}

/// Judges the facts. What matters most comes first, then what a pull meets first.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let checks: [fn(&Facts) -> Vec<Finding>; 7] =
        [flags::check, config::check, tokens::check, program::check, sealed::check, leftovers::check, runtime::check];
    let mut findings: Vec<Finding> = checks.iter().flat_map(|check| check(facts)).collect();
    findings.sort_by_key(|finding| finding.severity);
    findings
}
