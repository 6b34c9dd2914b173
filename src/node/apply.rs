//! Carries changes out: what was there is kept, then one file after the other, then the kubelet is started again.
//!
//! Killed at any moment, the node is valid, and the state written first says how far things can have come: each file is what
//! was kept or what was to be written.

use std::io;
use std::time::Duration;

use super::change::{Change, Kind, hash};
use super::detect::Node;
use super::health;
use super::plan::Plan;
use super::rollback;
use super::root::Root;
use super::selftest;
use super::state::{Held, Placed, Saved, Seen, State, StateError, Transaction};
use crate::kubelet::config::System;

/// Why a node was not changed as planned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The state could not be kept. Nothing was changed.
    #[error(transparent)]
    State(#[from] StateError),
    /// A file could not be written. What was written before is valid as it is.
    #[error("cannot write `{path}`: {error}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// The program does not work on this node. The kubelet's files were not touched.
    #[error("the program does not work on this node: {0}")]
    SelfTest(String),
    /// The kubelet did not come up, and everything is as it was.
    #[error("the kubelet did not come up with the change, which was taken back: {0}")]
    RolledBack(String),
    /// The kubelet did not come up, nor did it afterwards with what was there before.
    #[error("the kubelet did not come up with the change ({0}), nor after it was taken back: {1}")]
    RollbackFailed(String, String),
}

/// Carries a plan out. With `wait`, the kubelet is restarted where that is needed, and has so long to be well again.
///
/// # Errors
/// [`ApplyError`]
pub fn apply(
    node: &Node,
    plan: &Plan,
    held: &mut Held,
    previous: Option<State>,
    wait: Option<Duration>,
) -> Result<State, ApplyError> {
    let root = &node.root;
    let mut state = planned(node, plan, previous.as_ref());
    let copies = plan.changes.iter().enumerate().map(|(number, change)| held.save(change, number, root));
    let files = copies.collect::<Result<Vec<_>, _>>()?;
    if !plan.changes.is_empty() {
        state.last = Some(transaction(root, files, previous));
    }
    if plan.needs_restart() {
        state.stale_kubelet = node.live.as_ref().map(|live| Seen { pid: live.pid, started: live.started });
    }
    held.write(&state)?;
    held.sweep(Some(&state));
    for change in &plan.changes {
        write(root, change)?;
    }
    if let Some(wait) = wait.filter(|_| plan.needs_restart() || is_stale(node, &state)) {
        if let Err(reason) = health::restart(node, &plan.flags, wait) {
            return Err(give_up(node, held, &mut state, reason, wait));
        }
        state.stale_kubelet = None;
        held.write(&state)?;
    }
    Ok(state)
}

/// Writes one change; a program is asked before it takes its place.
///
/// # Errors
/// [`ApplyError::Write`], [`ApplyError::SelfTest`]
pub fn write(root: &Root, change: &Change) -> Result<(), ApplyError> {
    let mut failed_test = None;
    let can_run = match root.system() {
        System::Linux => cfg!(target_os = "linux"),
        System::Windows => cfg!(windows),
    };
    let is_program = change.kind == Kind::Program && change.after.is_some() && can_run;
    let written = change.write_after(root, |staged| {
        if is_program && let Err(reason) = selftest::ask(staged) {
            failed_test = Some(reason);
            return Err(io::ErrorKind::Other.into());
        }
        Ok(())
    });
    match (written, failed_test) {
        (_, Some(reason)) => Err(ApplyError::SelfTest(reason)),
        (Err(error), None) => Err(ApplyError::Write { path: change.path.clone(), error }),
        (Ok(()), None) => Ok(()),
    }
}

/// Returns whether the kubelet that runs was started before the last change.
pub fn is_stale(node: &Node, state: &State) -> bool {
    let running = node.live.as_ref().map(|live| Seen { pid: live.pid, started: live.started });
    running.is_some() && state.stale_kubelet == running
}

/// The kubelet did not come up: puts back what was there, and starts it with that.
fn give_up(node: &Node, held: &mut Held, state: &mut State, reason: String, wait: Duration) -> ApplyError {
    let back = rollback::changes(node, state, held).map_err(|error| error.to_string()).and_then(|changes| {
        changes.iter().try_for_each(|change| change.write(&node.root)).map_err(|error| error.to_string())
    });
    let restarted = back.and_then(|()| health::restart(node, &node.flags, wait));
    match restarted {
        Ok(()) => {
            let previous = state.last.take().and_then(|last| last.previous).map(|previous| *previous);
            // The files are as before; that the state is too matters less than the news.
            let _ = match &previous {
                Some(previous) => held.write(previous),
                None => {
                    remove_dirs(&node.root, &state.dirs);
                    held.forget()
                }
            };
            ApplyError::RolledBack(reason)
        }
        Err(second) => ApplyError::RollbackFailed(reason, second),
    }
}

/// Returns what a roll-back takes back: this change, together with the one before it if that was cut short.
fn transaction(root: &Root, files: Vec<Saved>, previous: Option<State>) -> Transaction {
    let Some(mut previous) = previous else { return Transaction { files, previous: None } };
    let last = previous.last.take();
    let now = |saved: &Saved| root.read(&saved.path).ok().flatten().as_deref().map(hash);
    let is_undone = |saved: &Saved| {
        let before = saved.before.as_ref().map(|copy| copy.sha256.clone());
        before != saved.after && now(saved) == before
    };
    match last {
        Some(last) if last.files.iter().any(is_undone) => {
            let done = last.files.into_iter().filter(|saved| now(saved) == saved.after && !is_undone(saved));
            let done = done.filter(|saved| files.iter().all(|new| new.path != saved.path)).collect::<Vec<_>>();
            Transaction { files: done.into_iter().chain(files).collect(), previous: last.previous }
        }
        Some(_) | None => Transaction { files, previous: Some(Box::new(previous)) },
    }
}

/// Returns the state as it will be.
fn planned(node: &Node, plan: &Plan, old: Option<&State>) -> State {
    let mut files: Vec<Placed> = old.map(|old| old.files.clone()).unwrap_or_default();
    for change in &plan.changes {
        files.retain(|placed| placed.path != change.path);
        if let Some(after) = &change.after {
            files.push(Placed { path: change.path.clone(), kind: change.kind, sha256: hash(after) });
        }
    }
    let mut dirs = old.map(|old| old.dirs.clone()).unwrap_or_default();
    for dir in plan.changes.iter().flat_map(|change| missing_dirs(&node.root, &change.path)) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    State {
        version: 1,
        flavour: node.flavour.name().to_owned(),
        bin_dir: plan.place.bin_dir.clone(),
        config: plan.place.config.clone(),
        base_config: plan.base_config.clone(),
        sets_flags: plan.sets_flags || old.is_some_and(|old| old.sets_flags),
        files,
        dirs,
        stale_kubelet: old.and_then(|old| old.stale_kubelet),
        last: old.and_then(|old| old.last.clone()),
    }
}

/// Returns the directories that writing a file will make, the outermost first.
fn missing_dirs(root: &Root, path: &str) -> Vec<String> {
    let mut missing = Vec::new();
    let mut dir = root.parent(path);
    while !dir.is_empty() && !root.exists(dir) {
        missing.insert(0, dir.to_owned());
        dir = root.parent(dir);
    }
    missing
}

/// Removes the directories that were made, as far as nothing else is in them.
pub fn remove_dirs(root: &Root, dirs: &[String]) {
    for dir in dirs.iter().rev() {
        if let Ok(host) = root.host(dir) {
            // What is not empty stays, and says so by staying.
            let _ = std::fs::remove_dir(host);
        }
    }
}

/// Restarts the kubelet after something was taken away, and waits until it is well with the flags that are left.
///
/// # Errors
/// What is wrong, for people.
pub fn restart(node: &Node, wait: Duration) -> Result<(), String> {
    let flags = node
        .profile
        .carriers
        .iter()
        .fold(super::flags::Flags::default(), |flags, carrier| carrier.read(&node.root).or(&flags));
    health::restart(node, &flags, wait)
}
