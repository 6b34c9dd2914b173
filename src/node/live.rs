//! The kubelet that runs on a node, and the flags that it was started with.

use std::time::Duration;

use super::flags::Flags;
use super::root::Root;
use crate::kubelet::config::System;
use crate::{platform, process};

/// How long a program may take to tell its version.
const VERSION_TIMEOUT: Duration = Duration::from_secs(20);

/// The process that the kubelet is, or is part of.
#[derive(Clone, Debug)]
pub struct Live {
    /// Number of the process.
    pub pid: u32,
    /// Tells two processes with one number apart.
    pub started: u64,
    /// Name of the program, without `.exe`.
    pub name: String,
    /// Where the program is, if that can be seen.
    pub program: Option<String>,
    /// Its credential provider flags.
    pub flags: Flags,
    /// Whether the kubelet is inside of another program, whose command line does not have the kubelet's flags.
    pub is_embedded: bool,
    /// Whether it is a Windows service of its own, whose arguments stand in the service and in no file.
    pub is_service: bool,
}

/// Finds the kubelet of a node: a process of its own, or else the program that it is part of.
pub fn kubelet(root: &Root) -> Option<Live> {
    let dir = match root.system() {
        System::Linux => root.host("/").ok()?,
        // Nothing shows the processes of a Windows that does not run here.
        System::Windows if root.is_live() => std::path::PathBuf::new(),
        System::Windows => return None,
    };
    let processes = platform::running(&dir);
    let named = |names: &[&str]| {
        processes.iter().find_map(|process| {
            let name = program_name(process.arguments.first()?);
            names.contains(&name.as_str()).then_some((process, name))
        })
    };
    let (process, name, is_embedded) = match named(&["kubelet"]) {
        Some((process, name)) => (process, name, false),
        None => named(&["kubelite", "k3s", "k3s-server", "k3s-agent"]).map(|(process, name)| (process, name, true))?,
    };
    Some(Live {
        pid: process.pid,
        started: process.started,
        name,
        program: process.program.clone(),
        flags: Flags::of(process.arguments.iter().map(String::as_str)),
        is_embedded,
        is_service: process.arguments.iter().any(|word| word.starts_with("--windows-service")),
    })
}

/// Asks a program for the kubelet's version: `v1.33.1+k3s1`.
pub(super) fn version_of(program: &str) -> Option<String> {
    let output = process::run(program, &["--version"], b"", VERSION_TIMEOUT).ok()?;
    let text = String::from_utf8_lossy(&output).into_owned();
    let is_version = |word: &&str| word.starts_with("v1.");
    text.split_whitespace().find(is_version).map(str::to_owned)
}

/// Returns the name of a program without its directory and `.exe`, in small letters.
pub(super) fn program_name(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or_default().to_ascii_lowercase();
    // `k3s server` shows itself as one word.
    let name = name.split(' ').next().unwrap_or_default();
    name.strip_suffix(".exe").unwrap_or(name).to_owned()
}
