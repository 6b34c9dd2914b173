//! Child processes.
#![expect(unsafe_code, reason = "a hook between fork and exec cannot be set in safe code")]

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use rustix::process::{Pid, Signal};

/// Makes the kernel kill the child when this process dies, however it dies (prctl(2), `PR_SET_PDEATHSIG`), and the child the first
/// of a process group, for [`end_with_children`].
pub fn end_with_parent(command: &mut Command) {
    command.process_group(0);
    let hook = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: the hook makes one system call; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(hook) };
}

/// Kills a child of [`end_with_parent`] that was not waited for yet, and what it started.
pub fn end_with_children(child: &mut Child) {
    // Its number stays its own until it is waited for.
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if group.is_none_or(|group| rustix::process::kill_process_group(group, Signal::KILL).is_err()) {
        let _ = child.kill();
    }
}
