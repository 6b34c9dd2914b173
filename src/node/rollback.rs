//! Takes the last change back: byte for byte, and only where nobody else changed a file since.

use super::change::{Change, hash};
use super::detect::Node;
use super::flavour::Refusal;
use super::state::{Held, State, StateError};

/// Why the last change cannot be taken back.
#[derive(Debug, thiserror::Error)]
pub(super) enum RollbackError {
    /// The state or a copy.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file is neither what was there before nor what was written.
    #[error("`{0}` was changed by somebody else since, and is left as it is")]
    Drift(String),
    /// A file cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

/// Plans the way back, in an order in which the node stays valid: flags, configuration, program.
///
/// # Errors
/// [`RollbackError`]; then nothing at all is to be put back.
pub(super) fn changes(node: &Node, state: &State, held: &Held) -> Result<Vec<Change>, RollbackError> {
    let mut changes = Vec::new();
    let Some(last) = &state.last else { return Ok(changes) };
    for saved in last.files.iter().rev() {
        let unreadable = |error| RollbackError::Unreadable(format!("`{}`: {error}", saved.path));
        let now = node.root.read(&saved.path).map_err(unreadable)?;
        let hash = now.as_deref().map(hash);
        if hash == saved.before.as_ref().map(|copy| copy.sha256.clone()) {
            continue;
        }
        if hash != saved.after {
            return Err(RollbackError::Drift(saved.path.clone()));
        }
        let before = saved.before.as_ref().map(|copy| held.load(copy)).transpose()?;
        let (path, names) = (saved.path.clone(), node.names());
        changes.push(Change { kind: saved.kind, path, before: now, after: before, mode: saved.mode, names });
    }
    Ok(changes)
}

/// Plans the way back from the last change.
///
/// # Errors
/// [`Refusal`]
pub fn rollback(node: &Node, state: &State, held: &Held) -> Result<Vec<Change>, Refusal> {
    if state.last.is_none() {
        return Err(Refusal::new(
            "there is nothing to take back",
            "`node uninstall` takes the plugin off this node; the change before the last is not kept",
        ));
    }
    changes(node, state, held).map_err(|error| {
        Refusal::new(error.to_string(), "`node uninstall` takes out what is ours and leaves what others wrote")
    })
}
