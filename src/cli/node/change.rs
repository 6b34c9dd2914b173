//! `node apply`, `rollback` and `uninstall`: the commands that change a node.

use std::fs;
use std::io::{self, BufRead, IsTerminal};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use super::{ApplyArgs, RollbackArgs, UninstallArgs, make, show, store_of};
use crate::cli::output::{self, Failure, Outcome};
use crate::cli::{Context, Form};
use crate::exit::Code;
use crate::node::apply::{self, ApplyError};
use crate::node::state::{self, Seen, State};
use crate::node::{self, Change, Kind, Node};
use crate::platform;

pub(super) fn apply(args: &ApplyArgs, context: &Context) -> Outcome {
    let node = args.plan.place.find()?;
    if let Some(refusal) = node.flavour.refusal(node.root.system()) {
        return Err(refusal.into());
    }
    let wait = args.restart.patience(&node)?;
    check_privilege(&node)?;
    let mut held = state::hold(&node.root)?;
    let plan = make(&args.plan, &node, context)?;
    let previous = state::read(&node.root)?;
    let is_stale = previous.as_ref().is_some_and(|state| apply::is_stale(&node, state));
    if !plan.changes.is_empty() || context.form == Form::Json {
        show::plan(&node, &plan.changes, &plan.warnings, plan.needs_restart(), context.form)?;
    }
    if plan.changes.is_empty() && previous.is_some() && !(is_stale && wait.is_some()) {
        output::say("nothing to change");
        if is_stale {
            tell_restart(&node);
        }
        return Ok(Code::Done);
    }
    if !plan.changes.is_empty() {
        confirm(args.yes)?;
    }
    let state = apply::apply(&node, &plan, &mut held, previous, wait)?;
    output::say(if plan.changes.is_empty() { "restarted the kubelet" } else { "the plugin is on this node" });
    if wait.is_none() && (plan.needs_restart() || apply::is_stale(&node, &state)) {
        tell_restart(&node);
    }
    Ok(Code::Done)
}

pub(super) fn rollback(args: &RollbackArgs, form: Form) -> Outcome {
    let node = args.place.find()?;
    let wait = args.restart.patience(&node)?;
    check_privilege(&node)?;
    let Some(state) = state::read(&node.root)? else { return Err(nothing_here()) };
    let mut held = state::hold(&node.root)?;
    let changes = node::rollback(&node, &state, &held)?;
    show_done(&node, &changes, form)?;
    write_all(&node, &changes)?;
    let dirs = state.dirs.clone();
    match state.last.and_then(|last| last.previous) {
        Some(previous) => {
            held.write(&previous)?;
            held.sweep(Some(&previous));
        }
        None => {
            apply::remove_dirs(&node.root, &dirs);
            held.forget()?;
        }
    }
    restart_or_tell(&node, wait, &changes)?;
    output::say("put back what was there before");
    Ok(Code::Done)
}

pub(super) fn uninstall(args: &UninstallArgs, context: &Context) -> Outcome {
    let node = args.place.find()?;
    let wait = args.restart.patience(&node)?;
    check_privilege(&node)?;
    let state = state::read(&node.root)?;
    let mut changes = node::removal(&node, state.as_ref())?;
    // The kubelet that runs still calls the program, until it is restarted.
    let is_called = node.root.is_live() && node.live.is_some() && wait.is_none();
    let is_loaded = changes.iter().any(|change| change.kind != Kind::Program);
    let is_stale = state.as_ref().is_some_and(|state| apply::is_stale(&node, state));
    let stays = is_called && (is_loaded || is_stale);
    if stays {
        changes.retain(|change| change.kind != Kind::Program);
    }
    if changes.is_empty() && state.is_none() && !args.purge {
        output::say("nothing to change");
        return Ok(Code::Done);
    }
    show_done(&node, &changes, context.form)?;
    if !changes.is_empty() || args.purge {
        confirm(args.yes)?;
    }
    let mut held = state::hold(&node.root)?;
    let (programs, files): (Vec<Change>, Vec<Change>) =
        changes.into_iter().partition(|change| change.kind == Kind::Program);
    write_all(&node, &files)?;
    restart_or_tell(&node, wait, &files)?;
    write_all(&node, &programs)?;
    let dirs = state.as_ref().map(|state| state.dirs.clone()).unwrap_or_default();
    match state {
        Some(state) if stays => {
            let files = state.files.iter().filter(|placed| placed.kind == Kind::Program).cloned().collect();
            let stale_kubelet = node.live.as_ref().map(|live| Seen { pid: live.pid, started: live.started });
            let left = State { files, stale_kubelet, last: None, ..state };
            held.write(&left)?;
            held.sweep(Some(&left));
            if !is_loaded {
                tell_restart(&node);
            }
            output::say("the program stays until the kubelet was restarted; run this again then");
            return Ok(Code::Done);
        }
        Some(_) | None => {
            apply::remove_dirs(&node.root, &dirs);
            held.forget()?;
        }
    }
    if args.purge {
        purge(store_of(&node, context)?.0.dir())?;
    }
    output::say("the plugin is off this node");
    Ok(Code::Done)
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Self {
        let (code, remedy) = match &error {
            ApplyError::State(_) => (Code::Failed, None),
            ApplyError::Write { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                (Code::NeedsPrivilege, Some("run this as root or Administrator"))
            }
            ApplyError::Write { error, .. } if error.kind() == io::ErrorKind::ResourceBusy => {
                (Code::Conflict, Some("run this again"))
            }
            ApplyError::Write { error, .. } if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                (Code::Conflict, Some("say a place that can be written, by `--bin-dir` and `--config`"))
            }
            ApplyError::Write { .. } => {
                (Code::Failed, Some("what was written is valid; run this again, or `node rollback`"))
            }
            ApplyError::SelfTest(_) => (
                Code::Failed,
                Some("is the program built for this processor, and may programs run in that directory (`noexec`)?"),
            ),
            ApplyError::RolledBack(_) => (Code::RolledBack, Some("the kubelet's log says why")),
            ApplyError::RollbackFailed(..) => {
                (Code::RollbackFailed, Some("this node needs a person: look at the kubelet's log"))
            }
        };
        let failure = Self::new(code, error);
        match remedy {
            Some(remedy) => failure.with_remedy(remedy),
            None => failure,
        }
    }
}

/// Removes a directory that holds a store, and nothing that does not.
fn purge(dir: &Path) -> Result<(), Failure> {
    if !dir.join("credentials.sealed").is_file() {
        output::say(&format!("there is no store at `{}`", dir.display()));
        return Ok(());
    }
    fs::remove_dir_all(dir).with_context(|| format!("cannot remove `{}`", dir.display()))?;
    output::say("removed the store");
    Ok(())
}

fn nothing_here() -> Failure {
    Failure::new(Code::Failed, anyhow!("the plugin was not put on this node by `node apply`"))
}

fn check_privilege(node: &Node) -> Result<(), Failure> {
    if node.root.is_live() && !platform::is_privileged() {
        let failure = Failure::new(Code::NeedsPrivilege, anyhow!("only root or an Administrator may change this node"));
        return Err(failure.with_remedy("run this as root or Administrator"));
    }
    Ok(())
}

fn show_done(node: &Node, changes: &[Change], form: Form) -> anyhow::Result<()> {
    show::plan(node, changes, &[], changes.iter().any(|change| change.kind != Kind::Program), form)
}

/// Asks a person; a script has to say `--yes`.
fn confirm(yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        let failure = Failure::new(Code::Usage, anyhow!("without a terminal there is nobody to ask"));
        return Err(failure.with_remedy("say `--yes`"));
    }
    output::say("change this node? [y/N]");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        return Ok(());
    }
    Err(Failure::new(Code::Failed, anyhow!("nothing was changed")))
}

fn write_all(node: &Node, changes: &[Change]) -> Result<(), Failure> {
    changes.iter().try_for_each(|change| apply::write(&node.root, change)).map_err(Failure::from)
}

fn restart_or_tell(node: &Node, wait: Option<Duration>, changes: &[Change]) -> Result<(), Failure> {
    let needs_restart = changes.iter().any(|change| change.kind != Kind::Program);
    if let Some(wait) = wait.filter(|_| needs_restart) {
        return apply::restart(node, wait).map_err(|reason| {
            let failure = Failure::new(Code::RollbackFailed, anyhow!("the kubelet did not come up: {reason}"));
            failure.with_remedy("this node needs a person: look at the kubelet's log")
        });
    }
    if needs_restart {
        tell_restart(node);
    }
    Ok(())
}

fn tell_restart(node: &Node) {
    let commands = show::restart(node);
    let how =
        if commands.is_empty() { "restart the kubelet".to_owned() } else { format!("run: {}", commands.join("; ")) };
    output::say(&format!("a restart is needed for this to take effect; {how}"));
}
