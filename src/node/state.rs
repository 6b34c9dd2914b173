//! What was written on a node, kept beside the store's default place and apart from any store.
//!
//! One directory with mode 0700: `state.json`, the lock, and what was there before the last change. The copies may hold secrets
//! of other providers, so nobody else reads them and nothing shows them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::change::{Change, Kind, hash};
use super::root::Root;
use crate::kubelet::config::System;
use crate::platform::{self, FileError, Writable};

/// A state has some KiB; a copy may be a program.
const MAX_STATE: u64 = 1024 * 1024;
const MAX_COPY: u64 = 256 * 1024 * 1024;

/// What is known of the plugin on this node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct State {
    /// Always 1.
    pub version: u32,
    /// Kind of the node, as `--flavour` takes it.
    pub flavour: String,
    /// Directory of the plugins.
    pub bin_dir: String,
    /// The configuration.
    pub config: String,
    /// The configuration that the node keeps itself, beside which ours is.
    pub base_config: Option<String>,
    /// Whether we set the kubelet's flags.
    pub sets_flags: bool,
    /// The files as we left them.
    pub files: Vec<Placed>,
    /// Directories that we made, the outermost first.
    pub dirs: Vec<String>,
    /// The kubelet that still runs with what was there before.
    pub stale_kubelet: Option<Seen>,
    /// The last change, for `rollback`.
    pub last: Option<Transaction>,
}

/// A file that we wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Placed {
    /// The file.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Its SHA-256.
    pub sha256: String,
}

/// A process of the kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Its number.
    pub pid: u32,
    /// When it was started.
    pub started: u64,
}

/// One `apply` that changed something.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Transaction {
    /// The files, in the order in which they were written.
    pub files: Vec<Saved>,
    /// The state before it, without its own last change.
    pub previous: Option<Box<State>>,
}

/// A file before and after.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Saved {
    /// The file.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Mode of the file that was there.
    pub mode: u32,
    /// What was there; nothing when there was no such file.
    pub before: Option<Copy>,
    /// SHA-256 of what was written.
    pub after: Option<String>,
}

/// What was there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copy {
    /// Its SHA-256.
    pub sha256: String,
    /// Name of the copy in the directory of the state.
    pub file: String,
}

/// Why the state could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Another run is going on.
    #[error("another run of this program is changing this node")]
    Busy,
    /// The state, a copy or their directory.
    #[error("`{path}` {reason}")]
    File {
        /// Which.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

/// The directory of the state, locked.
#[derive(Debug)]
pub struct Held {
    dir: PathBuf,
    shown: String,
    /// Held until the state is forgotten or this value goes.
    lock: Option<File>,
}

/// Returns the default directory of a node's store, as the node names it.
pub fn store_dir(root: &Root) -> &'static str {
    match root.system() {
        System::Linux => "/var/lib/keyring-credential-provider",
        System::Windows => r"C:\ProgramData\keyring-credential-provider",
    }
}

/// Returns the directory of the state, as the node names it.
pub fn dir(root: &Root) -> String {
    root.join(store_dir(root), "node")
}

/// Reads the state without a lock; nothing when the plugin was never put here.
///
/// # Errors
/// [`StateError::File`]
pub fn read(root: &Root) -> Result<Option<State>, StateError> {
    let path = root.join(&dir(root), "state.json");
    let wrong = |reason: String| StateError::File { path: path.clone(), reason };
    let host = root.host(&path).map_err(|error| wrong(error.to_string()))?;
    let bytes = match platform::read_private_file(&host, MAX_STATE) {
        Ok(bytes) => bytes,
        Err(FileError::NotFound) => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| wrong("is no state of this program's version".to_owned()))
}

/// Takes the lock, for one run at a time.
///
/// # Errors
/// [`StateError`]
pub fn hold(root: &Root) -> Result<Held, StateError> {
    let shown = dir(root);
    let wrong = |error: io::Error| StateError::File { path: shown.clone(), reason: error.to_string() };
    let dir = root.host(&shown).map_err(wrong)?;
    for dir in dir.parent().into_iter().chain([dir.as_path()]) {
        match platform::create_private_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(wrong(error)),
            _ => {}
        }
    }
    let path = dir.join("lock");
    let lock = match platform::create_private_file(&path, Writable::Yes) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            OpenOptions::new().read(true).write(true).open(&path).map_err(wrong)?
        }
        Err(error) => return Err(wrong(error)),
    };
    match lock.try_lock() {
        Ok(()) => Ok(Held { dir, shown, lock: Some(lock) }),
        Err(TryLockError::WouldBlock) => Err(StateError::Busy),
        Err(TryLockError::Error(error)) => Err(wrong(error)),
    }
}

impl Held {
    /// Writes the state.
    ///
    /// # Errors
    /// [`StateError::File`]
    pub fn write(&self, state: &State) -> Result<(), StateError> {
        let json = serde_json::to_vec_pretty(state).map_err(|error| self.wrong("state.json", error.to_string()))?;
        self.put("state.json", &json)
    }

    /// Keeps what a change will replace, and returns what to remember of it. A copy that nothing refers to any longer is
    /// written over by the next.
    ///
    /// # Errors
    /// [`StateError::File`]
    pub fn save(&self, change: &Change, number: usize, root: &Root) -> Result<Saved, StateError> {
        let mode = root.host(&change.path).ok().and_then(|host| platform::mode_of(&host)).unwrap_or(change.mode);
        let before = match &change.before {
            None => None,
            Some(bytes) => {
                let sha256 = hash(bytes);
                let file = format!("before-{number}-{}", &sha256[..16]);
                self.put(&file, bytes)?;
                Some(Copy { sha256, file })
            }
        };
        let after = change.after.as_deref().map(hash);
        Ok(Saved { path: change.path.clone(), kind: change.kind, mode, before, after })
    }

    /// Reads a copy, and checks that it is what was kept.
    ///
    /// # Errors
    /// [`StateError::File`]
    pub fn load(&self, copy: &Copy) -> Result<Vec<u8>, StateError> {
        let bytes = platform::read_private_file(&self.dir.join(&copy.file), MAX_COPY)
            .map_err(|error| self.wrong(&copy.file, error.to_string()))?;
        if hash(&bytes) != copy.sha256 {
            return Err(self.wrong(&copy.file, "is not what was kept".to_owned()));
        }
        Ok(bytes.to_vec())
    }

    /// Removes the copies that a state does not refer to.
    pub fn sweep(&self, state: Option<&State>) {
        let last = state.and_then(|state| state.last.as_ref());
        let is_kept = |name: &str| {
            last.is_some_and(|last| {
                last.files.iter().any(|saved| saved.before.as_ref().is_some_and(|copy| copy.file == name))
            })
        };
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            if let Some(name) = entry.file_name().to_str().filter(|name| name.starts_with("before-") && !is_kept(name))
            {
                // What stays is as closed to others as it was.
                let _ = fs::remove_file(self.dir.join(name));
            }
        }
    }

    /// Removes the state and everything beside it.
    ///
    /// # Errors
    /// [`StateError::File`]
    pub fn forget(&mut self) -> Result<(), StateError> {
        // Windows removes a directory only when nobody has a file in it open.
        drop(self.lock.take());
        self.sweep(None);
        for name in ["state.json", "lock"] {
            match fs::remove_file(self.dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.wrong(name, error.to_string()));
                }
                _ => {}
            }
        }
        // Only when nothing else is in it: the store may be beside it.
        let _ = fs::remove_dir(&self.dir);
        let _ = self.dir.parent().map(fs::remove_dir);
        Ok(())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let (path, staged) = (self.dir.join(name), self.dir.join(format!("{name}.new")));
        let written = match fs::remove_file(&staged) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => platform::write_private_file(&staged, bytes, Writable::Yes)
                .and_then(|()| platform::replace_file(&staged, &path)),
        };
        written.map_err(|error| self.wrong(name, error.to_string()))
    }

    fn wrong(&self, name: &str, reason: String) -> StateError {
        StateError::File { path: format!("{}/{name}", self.shown), reason }
    }
}
