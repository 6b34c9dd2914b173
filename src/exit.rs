//! Exit codes, part of the command line's contract.

use std::process::ExitCode;

/// How a run ended, for scripts and installers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Code {
    /// Done.
    Done = 0,
    /// Failed for a reason without a code of its own.
    Failed = 1,
    /// The command line was wrong.
    Usage = 2,
    /// Nothing is stored for it.
    NothingStored = 3,
    /// The store could not be opened.
    StoreUnavailable = 4,
    /// The registry or an issuer refused, or an issuer could not be reached.
    Refused = 5,
    /// Something else is already there.
    Conflict = 6,
    /// The kubelet did not come up with a change, which was taken back.
    RolledBack = 7,
    /// The kubelet came up neither with a change nor after it was taken back.
    RollbackFailed = 8,
    /// Needs root or Administrator.
    NeedsPrivilege = 9,
    /// A dry run found something to change.
    ChangesPending = 10,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        // The discriminants above are all below 256.
        Self::from(code as u8)
    }
}
