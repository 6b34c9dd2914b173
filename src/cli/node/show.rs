//! What the `node` commands print. Nothing of a node's own files is ever among it but what is ours.

use serde::Serialize;

use crate::cli::Form;
use crate::cli::output;
use crate::kubelet::config::System;
use crate::node::{Change, Check, Extension, Flags, Kind, Node, Refusal};

/// `node detect --output json`, part of the command line's contract.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    system: &'static str,
    flavour: &'static str,
    kubelet_version: Option<String>,
    kubelet_pid: Option<u32>,
    live_flags: Option<Flags>,
    flags: Flags,
    flags_from: Option<String>,
    bin_dir: Option<String>,
    config: Option<String>,
    mode: Option<&'static str>,
    providers: Vec<String>,
    restart: Vec<String>,
    refusal: Option<Refusal>,
}

impl Found {
    pub(super) fn of(node: &Node) -> Self {
        let place = node.place();
        let (place, refusal) = match place {
            Ok(place) => (Some(place), None),
            Err(refusal) => (None, Some(refusal)),
        };
        Self {
            system: match node.root.system() {
                System::Linux => "linux",
                System::Windows => "windows",
            },
            flavour: node.flavour.name(),
            kubelet_version: node.version.clone(),
            kubelet_pid: node.live.as_ref().map(|live| live.pid),
            live_flags: node.live.as_ref().map(|live| live.flags.clone()),
            flags: node.flags.clone(),
            flags_from: node.source.clone(),
            bin_dir: place.as_ref().map(|place| place.bin_dir.clone()),
            config: place.as_ref().map(|place| place.config.clone()),
            mode: place.map(|place| if place.is_merge { "merge" } else { "fresh" }),
            providers: node.providers().into_iter().map(|provider| provider.name).collect(),
            restart: restart(node),
            refusal,
        }
    }

    pub(super) fn to_text(&self) -> String {
        let none = || "-".to_owned();
        let flags = |flags: &Flags| if flags.is_empty() { none() } else { flags.words().join(" ") };
        let rows = [
            ("system", self.system.to_owned()),
            ("flavour", self.flavour.to_owned()),
            ("kubelet", self.kubelet_version.clone().unwrap_or_else(none)),
            ("running flags", self.live_flags.as_ref().map_or_else(|| "no kubelet runs".to_owned(), flags)),
            ("flags", flags(&self.flags)),
            ("flags from", self.flags_from.clone().unwrap_or_else(none)),
            ("bin dir", self.bin_dir.clone().unwrap_or_else(none)),
            ("config", self.config.clone().unwrap_or_else(none)),
            ("mode", self.mode.unwrap_or("-").to_owned()),
            ("providers", if self.providers.is_empty() { none() } else { self.providers.join(", ") }),
            ("restart", if self.restart.is_empty() { none() } else { self.restart.join("; ") }),
        ];
        let mut text: String = rows.iter().map(|(name, value)| format!("{name:<14} {value}\n")).collect();
        if let Some(refusal) = &self.refusal {
            text.push_str(&format!("{:<14} {}\n{:<14} {}\n", "left alone", refusal.reason, "instead", refusal.remedy));
        }
        text
    }
}

/// `node plan --output json`, part of the command line's contract.
#[derive(Debug, Serialize)]
struct Planned<'a> {
    changes: Vec<Line>,
    warnings: &'a [String],
    restart: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Line {
    kind: Kind,
    action: &'static str,
    path: String,
    diff: Vec<String>,
}

/// Prints what changes: to a program as JSON, to people as a difference a file; warnings go to standard error.
pub(super) fn plan(
    node: &Node,
    changes: &[Change],
    warnings: &[String],
    needs_restart: bool,
    form: Form,
) -> anyhow::Result<()> {
    let restart = if needs_restart { restart(node) } else { Vec::new() };
    let line = |change: &Change| (change.kind, change.action(), change.path.clone(), change.diff());
    let lines = changes.iter().map(line).map(|(kind, action, path, diff)| Line { kind, action, path, diff });
    let planned = Planned { changes: lines.collect(), warnings, restart };
    match form {
        Form::Json => output::print_json(&planned)?,
        Form::Text => {
            for warning in warnings {
                output::say(&format!("note: {warning}"));
            }
            let mut text = String::new();
            for line in &planned.changes {
                text.push_str(&format!("{} {}\n", line.action, line.path));
                line.diff.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
            }
            planned.restart.iter().for_each(|command| text.push_str(&format!("then run: {command}\n")));
            output::print(&text)?;
            if changes.is_empty() {
                output::say("nothing to change");
            }
        }
    }
    Ok(())
}

/// Returns the commands that restart the kubelet.
pub(super) fn restart(node: &Node) -> Vec<String> {
    let commands = node.profile.restart.iter().flat_map(crate::node::Restart::commands);
    commands.map(|command| command.join(" ")).collect()
}

/// `node verify --output json`, part of the command line's contract.
#[derive(Debug, Serialize)]
pub(super) struct Verified<'a> {
    pub(super) ok: bool,
    pub(super) checks: &'a [Check],
}

pub(super) fn checks(checks: &[Check]) -> String {
    checks.iter().map(|check| format!("{:<5}{}\n", if check.ok { "ok" } else { "FAIL" }, check.message)).collect()
}

pub(super) fn extension(extension: &Extension) -> String {
    let manifest: String = extension.manifest.lines().map(|line| format!("#   {line}\n")).collect();
    format!(
        "# 1. An extension image from scratch, with the static program at `{}`, mode 0755, and `/manifest.yaml`:\n{manifest}\
         # 2. Upgrade the node to an installer image that holds it (imager, `--system-extension-image`).\n\
         # 3. `talosctl patch machineconfig --patch @FILE` with this. Where other providers are configured, all go into one list.\n{}",
        extension.program, extension.patch
    )
}
