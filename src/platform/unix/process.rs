//! Child processes.
#![expect(unsafe_code, reason = "a hook between fork and exec cannot be set in safe code")]

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Signal;

/// Makes the kernel kill the child when this process dies, however it dies (prctl(2), `PR_SET_PDEATHSIG`).
pub fn end_with_parent(command: &mut Command) {
    let hook = || Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: the hook makes one system call; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(hook) };
}
