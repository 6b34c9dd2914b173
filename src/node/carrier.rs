//! The files, and on Windows the value of a service, that carry the kubelet's flags, a form each: setting the two flags in its
//! text, and taking them out again.
//!
//! Only the two flags change; what else a file says stays as it is, byte for byte. A form that cannot be understood for certain
//! is refused. Sources: nodes' own scripts and units, as told at each variant.

use super::flags::{BIN_DIR, CONFIG, Flags};
use super::flavour::Refusal;
use super::rancher;
use super::root::Root;
use super::script;
use super::service;
use super::unit;
use super::words;

/// What carries flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A variable in a file of assignments, read by systemd's `EnvironmentFile=` or, on Windows, by `StartKubelet.ps1`.
    Variable {
        /// The file.
        path: String,
        /// The variable.
        name: &'static str,
    },
    /// A file of our own in the directory of k3s's or RKE2's configuration.
    Rancher {
        /// The file.
        path: String,
        /// `/etc/rancher/k3s`, where the other files are.
        dir: String,
    },
    /// A flag a line (MicroK8s).
    Lines {
        /// The file.
        path: String,
    },
    /// `--kubelet-extra-args` in a systemd unit's `ExecStart=` (k0s).
    Unit {
        /// The file.
        path: String,
    },
    /// A marked block in the PowerShell script that starts the kubelet.
    Script {
        /// The file.
        path: String,
        /// The variable that holds the kubelet's arguments, as it is written.
        variable: &'static str,
    },
    /// The command line of a Windows service that is the kubelet, or of what nssm runs as one. It ends with the kubelet's arguments.
    Service {
        /// The value in the registry.
        path: String,
    },
    /// A `NodeConfig` of our own: `nodeadm` puts its flags behind all others at every boot (EKS AL2023).
    NodeConfig {
        /// The file.
        path: String,
    },
}

impl Carrier {
    /// Returns the file, or the value.
    pub fn path(&self) -> &str {
        match self {
            Self::Variable { path, .. }
            | Self::Rancher { path, .. }
            | Self::Lines { path }
            | Self::Unit { path }
            | Self::Script { path, .. }
            | Self::Service { path }
            | Self::NodeConfig { path } => path,
        }
    }

    /// Returns whether the file is ours alone.
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Rancher { .. } | Self::NodeConfig { .. } => true,
            Self::Variable { .. }
            | Self::Lines { .. }
            | Self::Unit { .. }
            | Self::Script { .. }
            | Self::Service { .. } => false,
        }
    }

    /// Returns the flags that the kubelet gets from here at its next start.
    pub fn read(&self, root: &Root) -> Flags {
        let text = || root.text(self.path()).unwrap_or_default();
        match self {
            Self::Variable { name, .. } => find_variable(&text(), name)
                .map(|value| Flags::of(value.text(&text()).split_whitespace()))
                .unwrap_or_default(),
            Self::Rancher { dir, .. } => rancher::flags(root, dir, None),
            Self::Lines { .. } => {
                let expanded = text()
                    .replace("${SNAP_DATA}", "/var/snap/microk8s/current")
                    .replace("${SNAP_COMMON}", "/var/snap/microk8s/common");
                Flags::of(expanded.split_whitespace())
            }
            Self::Unit { .. } => unit::flags(&text()),
            Self::Script { .. } => Flags::of(text().split([' ', '\t', '\r', '\n', '\'', '"', ','])),
            Self::Service { path } => service::flags(path),
            // It takes effect through nodeadm, in another file.
            Self::NodeConfig { .. } => Flags::default(),
        }
    }

    /// Returns the flags that stay when ours are taken out, for they stand in a file of somebody else.
    pub fn rest(&self, root: &Root) -> Flags {
        match self {
            Self::Rancher { path, dir } => rancher::flags(root, dir, Some(path)),
            Self::Variable { .. }
            | Self::Lines { .. }
            | Self::Unit { .. }
            | Self::Script { .. }
            | Self::Service { .. }
            | Self::NodeConfig { .. } => Flags::default(),
        }
    }

    /// Returns the text with both flags set.
    ///
    /// # Errors
    /// [`Refusal`], where the text has a form that cannot be understood for certain.
    pub fn set(&self, text: Option<&str>, flags: &Flags) -> Result<String, Refusal> {
        let text_or_none = text.unwrap_or_default();
        let end = line_end(text_or_none);
        let by_hand = || {
            let words = flags.words().join(" ");
            Refusal::new(
                format!("`{}` has a form that is not understood", self.path()),
                format!("add by hand: {words}"),
            )
        };
        match self {
            Self::Variable { name, .. } => set_variable(text_or_none, name, flags).ok_or_else(by_hand),
            Self::Rancher { .. } => Ok(rancher::text(flags)),
            Self::Lines { .. } => {
                let mut lines: Vec<&str> = text_or_none.lines().collect();
                let words = flags.words();
                if lines.iter().any(|line| [BIN_DIR, CONFIG].contains(&line.trim())) {
                    return Err(by_hand());
                }
                lines.retain(|line| !is_flag(line));
                lines.extend(words.iter().map(String::as_str));
                Ok(lines.join(end) + end)
            }
            Self::Unit { .. } => unit::set(text_or_none, flags).ok_or_else(by_hand),
            Self::Service { .. } => words::set(text_or_none, " ", flags).ok_or_else(by_hand),
            Self::Script { variable, .. } => script::set(text_or_none, variable, flags).ok_or_else(by_hand),
            Self::NodeConfig { .. } => {
                let flags = flags.words().iter().map(|word| format!("      - {word}\n")).collect::<String>();
                Ok(format!(
                    "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  kubelet:\n    flags:\n{flags}"
                ))
            }
        }
    }

    /// Returns the text without the flags; nothing when the file has no other purpose.
    pub fn unset(&self, text: &str) -> Option<String> {
        match self {
            Self::Rancher { .. } | Self::NodeConfig { .. } => None,
            Self::Variable { name, .. } => Some(match find_variable(text, name) {
                Some(value) => value.replace(text, &words::unset(value.text(text), " ")),
                None => text.to_owned(),
            }),
            Self::Lines { .. } => Some(text.split_inclusive('\n').filter(|line| !is_flag(line)).collect()),
            Self::Service { .. } => Some(words::unset(text, " ")),
            Self::Unit { .. } => Some(unit::unset(text)),
            Self::Script { .. } => Some(script::unset(text)),
        }
    }
}

/// Signs that mean something to systemd, to a shell, to PowerShell's `Invoke-Expression` or to YAML.
///
/// # Errors
/// [`Refusal`] for a path that no carrier can carry.
pub(super) fn check_path(path: &str) -> Result<(), Refusal> {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '\\' | ':' | '.' | '-' | '_' | '+' | '@' | '=' | '~');
    if path.chars().all(is_plain) {
        return Ok(());
    }
    Err(Refusal::new(
        format!("the path `{path}` has a blank or another sign that a file of flags cannot hold for certain"),
        "choose one of letters, digits, `.`, `-` and `_` by `--bin-dir` and `--config`",
    ))
}

fn is_flag(line: &str) -> bool {
    let line = line.trim();
    [BIN_DIR, CONFIG]
        .iter()
        .any(|flag| line.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
}

/// The end of lines that a text uses.
fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// The value of a variable, without its quotes: where it starts and ends in the text.
struct Value {
    start: usize,
    end: usize,
    is_quoted: bool,
}

impl Value {
    fn text<'a>(&self, text: &'a str) -> &'a str {
        &text[self.start..self.end]
    }

    fn replace(&self, text: &str, new: &str) -> String {
        format!("{}{new}{}", &text[..self.start], &text[self.end..])
    }
}

/// Finds the last assignment of a variable; nothing when there is none, or none that ends on its line.
fn find_variable(text: &str, name: &str) -> Option<Value> {
    let mut offset = 0;
    let mut found = None;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        let assignment = content.trim_start();
        let assignment = assignment.strip_prefix("export ").unwrap_or(assignment);
        if let Some(value) = assignment.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
            let start = offset + content.len() - value.len();
            let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
            found = match quote {
                Some(quote) if value.len() >= 2 && value.ends_with(quote) => {
                    Some(Value { start: start + 1, end: start + value.len() - 1, is_quoted: true })
                }
                Some(_) => None,
                None if value.ends_with('\\') => None,
                None => Some(Value { start, end: start + value.len(), is_quoted: false }),
            };
        }
        offset += line.len();
    }
    found
}

fn set_variable(text: &str, name: &str, flags: &Flags) -> Option<String> {
    if let Some(value) = find_variable(text, name) {
        let new = words::set(value.text(text), " ", flags)?;
        let is_empty = value.start == value.end && !value.is_quoted;
        return Some(value.replace(text, &if is_empty { format!("\"{new}\"") } else { new }));
    }
    if text.contains(&format!("{name}="))
        && !text.lines().all(|line| line.trim_start().starts_with('#') || !line.contains(name))
    {
        return None;
    }
    let end = line_end(text);
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { end };
    Some(format!("{text}{gap}{name}=\"{}\"{end}", flags.words().join(" ")))
}
