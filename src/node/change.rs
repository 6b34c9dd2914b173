//! One file's change, and what is shown of it.
//!
//! A node's files hold secrets of others: tokens among the kubelet's flags, `env` of other providers. So a change is described by
//! what is ours in it, never by its lines.

use std::io;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::root::Root;
use crate::kubelet::config;
use crate::platform;

/// What the names of both flags start with, with and without dashes.
const NAMES: &str = "image-credential-provider-";

/// What a file is to the kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The plugin.
    Program,
    /// The configuration of the providers.
    Config,
    /// What carries the kubelet's flags.
    Flags,
}

/// A file that is to be written or removed.
#[derive(Clone, Debug)]
pub struct Change {
    /// What it is.
    pub kind: Kind,
    /// The file, or the text in the registry, as the node names it.
    pub path: String,
    /// What is there; nothing when there is no such file.
    pub before: Option<Vec<u8>>,
    /// What will be there; nothing when the file goes.
    pub after: Option<Vec<u8>>,
    /// Mode of a file that is made.
    pub mode: u32,
    /// Names of our provider.
    pub names: Vec<&'static str>,
}

impl Change {
    /// Carries the change out, by one rename or removal, or by setting one value of the registry.
    ///
    /// # Errors
    /// As the file system; [`io::ErrorKind::ResourceBusy`] when the file is not what it was when this was planned.
    pub fn write(&self, root: &Root) -> io::Result<()> {
        self.write_after(root, |_| Ok(()))
    }

    /// As [`Change::write`], with a look at the new file before it takes its place.
    pub(super) fn write_after(
        &self,
        root: &Root,
        look: impl FnOnce(&std::path::Path) -> io::Result<()>,
    ) -> io::Result<()> {
        if root.read(&self.path)? != self.before {
            return Err(io::Error::new(io::ErrorKind::ResourceBusy, "was changed by somebody else just now"));
        }
        if let Some(value) = root.service_value(&self.path) {
            // It stays when our flags go: it starts the kubelet.
            let text = self.after.as_deref().and_then(|after| std::str::from_utf8(after).ok());
            return platform::set_service_value(value, text.ok_or(io::ErrorKind::InvalidInput)?);
        }
        let host = root.host(&self.path)?;
        // Where a program that runs is moved to, on systems that cannot replace it.
        let aside = root.host(&super::state::dir(root))?;
        let Some(after) = &self.after else { return platform::remove_program(&host, &aside) };
        if let Some(parent) = host.parent() {
            platform::create_public_dirs(parent)?;
        }
        let staged = platform::stage_file(&host, after, self.mode)?;
        let done = look(&staged).and_then(|()| platform::replace_program(&staged, &host, &aside));
        if done.is_err() {
            // The error that matters is the first.
            let _ = std::fs::remove_file(&staged);
        }
        done
    }

    /// Says what happens to the file: `add`, `change` or `remove`.
    pub fn action(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, _) => "add",
            (Some(_), Some(_)) => "change",
            (Some(_), None) => "remove",
        }
    }

    /// Shows what is ours in the change: lines that go with `-`, lines that come with `+`.
    pub fn diff(&self) -> Vec<String> {
        let describe = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|bytes| self.describe(bytes)).unwrap_or_default();
        let (old, new) = (describe(&self.before), describe(&self.after));
        let gone = old.iter().filter(|line| !new.contains(line)).map(|line| format!("- {line}"));
        let come = new.iter().filter(|line| !old.contains(line)).map(|line| format!("+ {line}"));
        gone.chain(come).collect()
    }

    fn describe(&self, bytes: &[u8]) -> Vec<String> {
        match self.kind {
            Kind::Program => vec![format!("{} bytes, sha256 {}", bytes.len(), hash(bytes))],
            Kind::Config => {
                config::summarize(bytes, &self.names).unwrap_or_else(|_| vec!["(cannot be read)".to_owned()])
            }
            Kind::Flags => {
                let text = crate::text::decode(bytes).unwrap_or_default().replace(r"\x20", " ");
                let words = text.split(['\r', '\n', ' ', '"', '\'']).filter(|word| !word.is_empty());
                let words: Vec<&str> = words.collect();
                // What stands before the flag in the same word may be the variable's name; it is not shown.
                let flag = |word: &&str| Some(word[word.find(NAMES)?..].to_owned());
                let shown = words.iter().enumerate().filter_map(|(index, word)| {
                    let flag = flag(word)?;
                    let value = words.get(index + 1).filter(|_| flag.ends_with(':')).map(|value| format!(" {value}"));
                    Some(flag + &value.unwrap_or_default())
                });
                shown.collect()
            }
        }
    }
}

/// Returns the SHA-256 of some bytes, in hexadecimal digits.
pub(super) fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
