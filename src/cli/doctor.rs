//! `doctor`: looks for everything that silently breaks a pull on a node.

use std::path::PathBuf;

use anyhow::anyhow;
use serde::Serialize;

use super::output::{self, Failure, Outcome};
use super::{Context, Form};
use crate::doctor::{self, Finding, Severity};
use crate::exit::Code;
use crate::node::{self, Flavour, Options, Root};
use crate::{platform, text, time};

#[derive(clap::Args)]
pub(super) struct Args {
    /// The node's files are below this directory; default: this machine
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Kind of the node, such as kubeadm, k3s, rke2; default: as found
    #[arg(long, value_name = "FLAVOUR")]
    flavour: Option<Flavour>,
    /// Version of the kubelet; default: as it says
    #[arg(long, value_name = "VERSION")]
    kubelet_version: Option<String>,
}

/// `doctor --output json`, part of the command line's contract.
#[derive(Serialize)]
struct Report<'a> {
    healthy: bool,
    findings: Vec<Reported<'a>>,
}

#[derive(Serialize)]
struct Reported<'a> {
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    file: Option<&'a str>,
    line: Option<usize>,
    remedy: &'a str,
}

pub(super) fn run(args: &Args, context: &Context) -> Outcome {
    let root = Root::new(args.root.as_deref()).map_err(|error| {
        let dir = args.root.clone().unwrap_or_default();
        Failure::new(Code::Usage, anyhow!("cannot look below `{}`: {error}", dir.display()))
    })?;
    let (flavour, version) = (args.flavour, args.kubelet_version.clone());
    let node = node::detect(root, Options { flavour, version, ..Options::default() });
    let named = Some(context.store.dir()).filter(|dir| *dir != platform::default_store_dir());
    let findings = doctor::examine(&doctor::gather(&node, named, time::now()));
    let healthy = findings.iter().all(|finding| finding.severity == Severity::Info);
    match context.form {
        Form::Json => output::print_json(&Report { healthy, findings: findings.iter().map(Reported::from).collect() })?,
        Form::Text => {
            output::print(&findings.iter().map(tell).collect::<String>())?;
            if healthy {
                output::say("nothing is wrong here");
            }
        }
    }
    Ok(if healthy { Code::Done } else { Code::Failed })
}

fn tell(finding: &Finding) -> String {
    let Finding { severity, code, message, file, line, remedy } = finding;
    let line = line.map_or_else(String::new, |line| format!(":{line}"));
    let place = file.as_ref().map_or_else(String::new, |file| format!("{file}{line}: "));
    let what = text::sanitize(&format!("{place}{message}"), 4000);
    format!("{}: {what} [{code}]\n  {}\n", severity.name(), text::sanitize(remedy, 4000))
}

impl<'a> From<&'a Finding> for Reported<'a> {
    fn from(finding: &'a Finding) -> Self {
        let Finding { severity, code, message, file, line, remedy } = finding;
        Self { severity: severity.name(), code, message, file: file.as_deref(), line: *line, remedy }
    }
}
