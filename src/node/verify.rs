//! Looks whether the plugin on a node is as it was left, and whether its kubelet takes it.

use serde::Serialize;

use super::apply;
use super::change::{Kind, hash};
use super::detect::Node;
use super::selftest;
use super::state::State;
use crate::kubelet::config::{self, System, Target};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub message: String,
}

/// Looks at everything.
pub fn verify(node: &Node, state: &State) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut note = |ok: bool, message: String| checks.push(Check { ok, message });
    for placed in &state.files {
        let path = &placed.path;
        match node.root.read(path) {
            Ok(Some(bytes)) if hash(&bytes) == placed.sha256 => note(true, format!("`{path}` is as it was written")),
            Ok(Some(_)) if placed.kind == Kind::Program => {
                note(false, format!("`{path}` is not the program that was put there"));
            }
            // Others may write there too; what they left of ours is judged below.
            Ok(Some(_)) => note(true, format!("`{path}` was changed by somebody else since")),
            Ok(None) => note(false, format!("`{path}` is gone")),
            Err(error) => note(false, format!("`{path}` cannot be read: {error}")),
        }
    }
    let wanted = super::flags::Flags::new(&state.bin_dir, &state.config);
    if node.carried.is_empty() && node.flags.is_empty() && !node.profile.carriers.is_empty() {
        note(false, "the kubelet will be started without the credential provider flags".to_owned());
    } else if !node.flags.is_empty() && node.flags != wanted {
        note(false, format!("the kubelet will be started with other flags: {}", node.flags.words().join(" ")));
    }
    let ours = node.names();
    if node.providers().iter().any(|provider| ours.contains(&provider.name.as_str())) {
        note(true, "the configuration has the plugin".to_owned());
    } else if !node.flags.is_empty() {
        note(false, "the configuration does not have the plugin".to_owned());
    }
    match (node.kubelet(), node.root.host(&state.config), node.root.host(&state.bin_dir)) {
        (Ok(kubelet), Ok(file), Ok(bin_dir)) => {
            match config::judge(&file, Some(&bin_dir), &Target::new(kubelet, node.root.system())) {
                Ok(verdict) => match verdict.errors.first() {
                    None => note(true, format!("kubelet {kubelet} takes the configuration")),
                    Some(error) => note(false, format!("kubelet {kubelet} refuses the configuration: {error}")),
                },
                Err(error) => note(false, error.to_string()),
            }
        }
        (Err(refusal), _, _) => note(false, format!("the configuration was not judged: {}", refusal.reason)),
        (Ok(_), Err(error), _) | (Ok(_), _, Err(error)) => note(false, error.to_string()),
    }
    let can_run = match node.root.system() {
        System::Linux => cfg!(target_os = "linux"),
        System::Windows => cfg!(windows),
    };
    let programs = state.files.iter().filter(|placed| placed.kind == Kind::Program);
    let program = programs.filter_map(|placed| node.root.host(&placed.path).ok()).next_back();
    if let Some(program) = program.filter(|_| can_run) {
        match selftest::ask(&program) {
            Ok(()) => note(true, "the program answers".to_owned()),
            Err(reason) => note(false, format!("the program does not answer: {reason}")),
        }
    }
    if let Some(live) = &node.live {
        if apply::is_stale(node, state) {
            note(false, format!("the kubelet, process {}, was not restarted since", live.pid));
        } else if !live.is_embedded && live.flags != wanted {
            note(false, format!("the kubelet, process {}, runs without these flags", live.pid));
        } else {
            note(true, format!("the kubelet, process {}, runs with it", live.pid));
        }
    }
    checks
}
