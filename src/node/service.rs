//! The kubelet as a Windows service of its own: what it is started with stands in the registry, and in no file.
//!
//! Two forms are known. `kubelet.exe --windows-service` is the service itself, as may be its `kube-log-runner.exe`: the arguments are
//! in `ImagePath`. Or nssm is the service, and keeps program and arguments below `Parameters`. A service that runs a script leaves
//! the arguments to that. Either value counts from the next start of the service on.

use super::flags::Flags;
use super::live::program_name;
use super::root::{Root, SERVICES};
use crate::platform;

/// A service that runs the kubelet.
#[derive(Clone, Debug)]
pub(super) struct Service {
    /// The value that holds the kubelet's arguments, as the tree names it.
    pub(super) value: String,
    /// The kubelet's program.
    pub(super) program: String,
}

impl Service {
    /// Looks whether the service `name` of this machine runs the kubelet itself. A tree of files has no registry.
    pub(super) fn of(root: &Root, name: &str) -> Option<Self> {
        if !root.is_live() {
            return None;
        }
        let words = |value: &str| platform::service_words(&format!(r"{name}\{value}"));
        // nssm quotes the program itself, so it is one text with its blanks.
        let wrapped = platform::service_text(&format!(r"{name}\Parameters\Application"));
        let (value, command) = match wrapped {
            Some(program) => {
                (r"Parameters\AppParameters", [vec![program], words(r"Parameters\AppParameters")].concat())
            }
            None => ("ImagePath", words("ImagePath")),
        };
        let is_direct = matches!(program_name(command.first()?).as_str(), "kubelet" | "kube-log-runner");
        let program = command.iter().find(|word| program_name(word) == "kubelet").filter(|_| is_direct)?.clone();
        let value = format!(r"{SERVICES}{name}\{value}");
        matches!(root.read(&value), Ok(Some(_))).then_some(Self { value, program })
    }
}

/// What surrounds a kubelet that runs as a service.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The directory that it starts in, where nssm says so.
    pub directory: Option<String>,
    /// `HOME`, where the service sets it.
    pub home: Option<String>,
}

impl Surroundings {
    /// Reads what the service `name` of this machine says, whatever it runs.
    pub(super) fn of(root: &Root, name: &str) -> Self {
        if !root.is_live() {
            return Self::default();
        }
        let lists = [r"Environment", r"Parameters\AppEnvironment", r"Parameters\AppEnvironmentExtra"];
        let all = lists.iter().flat_map(|list| platform::service_list(&format!(r"{name}\{list}")));
        // The last one counts.
        let mut home = all.filter_map(|line| {
            let (variable, value) = line.split_once('=')?;
            variable.eq_ignore_ascii_case("HOME").then(|| value.to_owned())
        });
        Self { directory: platform::service_text(&format!(r"{name}\Parameters\AppDirectory")), home: home.next_back() }
    }
}

/// Returns the flags that stand in the value of a service.
pub(super) fn flags(value: &str) -> Flags {
    let words = value.strip_prefix(SERVICES).map(platform::service_words).unwrap_or_default();
    Flags::of(words.iter().map(String::as_str))
}
