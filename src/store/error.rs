//! Why a store could not be used.

use std::io;
use std::path::{Path, PathBuf};

use crate::kms::KmsError;
use crate::platform::{self, FileError};

/// Why a store could not be used. No variant carries a byte of a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no store.
    #[error("no store at `{}`", dir.display())]
    NotFound {
        /// Directory of the store.
        dir: PathBuf,
    },
    /// The store is whole, but its key does not open it.
    #[error("store `{}` is locked: {reason}", path.display())]
    Locked {
        /// The sealed file.
        path: PathBuf,
        /// What is wrong with the key.
        reason: String,
    },
    /// Something the store needs did not answer.
    #[error("{what} is unavailable: {reason}")]
    Unavailable {
        /// What did not answer.
        what: String,
        /// Why.
        reason: String,
    },
    /// The KMS plugin that holds the key did not do its part.
    #[error("KMS plugin `{endpoint}` {why}")]
    Kms {
        /// Where it listens.
        endpoint: String,
        /// Completes the sentence.
        why: KmsError,
    },
    /// A file is open to others, or is closed to this account.
    #[error("`{}` {reason}", path.display())]
    Denied {
        /// The file or directory.
        path: PathBuf,
        /// Completes the sentence.
        reason: String,
    },
    /// The file was damaged or tampered with.
    #[error("store `{}` is corrupt: {reason}", path.display())]
    Corrupt {
        /// The sealed file.
        path: PathBuf,
        /// Which part.
        reason: &'static str,
    },
    /// The file is older than one that was seen before.
    #[error("store `{}` was rolled back: it is generation {generation}, and {mark} has been seen", path.display())]
    Rollback {
        /// The sealed file.
        path: PathBuf,
        /// Generation of the file.
        generation: u64,
        /// Highest generation seen.
        mark: u64,
    },
    /// The file was sealed on another machine.
    #[error("store `{}` was sealed on another machine", path.display())]
    OtherNode {
        /// The sealed file.
        path: PathBuf,
    },
    /// The file or the key source needs another version, system or build.
    #[error("{what} is not supported: {reason}")]
    Unsupported {
        /// What is asked for.
        what: String,
        /// Why not.
        reason: String,
    },
    /// There is a store already.
    #[error("there is a store at `{}` already", dir.display())]
    Exists {
        /// Directory of the store.
        dir: PathBuf,
    },
    /// Writing failed; the old state is kept.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Error {
    /// Returns the next step for an operator.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "run `keyring-credential-provider store init`",
            Self::Locked { .. } | Self::Unavailable { .. } => {
                "run `keyring-credential-provider store status` on the node"
            }
            Self::Kms { .. } => "look at the plugin's own log",
            Self::Denied { .. } if platform::is_privileged() => "restore the owner and mode, or make the store anew",
            Self::Denied { .. } => "run as root or Administrator",
            Self::Corrupt { .. } => "restore it from a backup, or remove it and run `store init` and `login` again",
            Self::Rollback { .. } => "if you restored a backup, run `store rekey --accept-rollback`",
            Self::OtherNode { .. } => {
                "if this is the same machine with a new identity, run `store rekey --accept-node`; else `store init` anew"
            }
            Self::Unsupported { .. } => "choose another with `store init --key-source`, or another build",
            Self::Exists { .. } => "use it, or remove the directory first",
            Self::Write { .. } => "check free space and permissions; nothing was changed",
        }
    }

    /// Returns whether more rights would help.
    pub fn needs_privilege(&self) -> bool {
        let denied = match self {
            Self::Denied { .. } => true,
            Self::Write { source, .. } => source.kind() == io::ErrorKind::PermissionDenied,
            _ => false,
        };
        denied && !platform::is_privileged()
    }

    pub(super) fn from_file(path: &Path, error: FileError) -> Self {
        match error {
            FileError::NotFound => Self::NotFound { dir: path.parent().unwrap_or(path).to_owned() },
            error @ (FileError::Insecure(_) | FileError::TooLarge { .. } | FileError::Io(_)) => {
                Self::Denied { path: path.to_owned(), reason: error.to_string() }
            }
        }
    }

    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Write { path: path.to_owned(), source }
    }
}
