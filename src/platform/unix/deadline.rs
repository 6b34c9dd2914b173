//! The end of a process that waits for too long.
#![expect(unsafe_code, reason = "a signal handler cannot be set in safe code")]

use std::sync::OnceLock;
use std::time::Duration;
use std::{mem, ptr};

/// What the handler writes. Set once, before the timer starts, so that the handler only reads.
static LINE: OnceLock<Box<[u8]>> = OnceLock::new();

/// Writes `line` to standard error and ends the process with code 1 when `timeout` has passed, whatever it waits for then.
///
/// A timer signal rather than a thread: it costs two system calls, where a thread costs a tenth of a whole answer.
pub fn end_process_after(timeout: Duration, line: String) {
    // A second call changes nothing: the first deadline holds.
    if LINE.set(line.into_bytes().into_boxed_slice()).is_err() {
        return;
    }
    // SAFETY: all zeroes are a valid sigaction: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = give_up as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: `action` is valid, and the old action is not asked for.
    let is_set = unsafe { libc::sigaction(libc::SIGALRM, &raw const action, ptr::null_mut()) } == 0;
    if !is_set {
        // Without it there is still the kubelet's own limit; the signal's default would end us without a word.
        return;
    }
    let value = libc::timeval { tv_sec: timeout.as_secs().cast_signed(), tv_usec: 0 };
    unblock(libc::SIGALRM);
    let timer = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: value };
    // SAFETY: `timer` is valid, and the old timer is not asked for.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, ptr::null_mut()) };
}

/// A signal mask outlives `exec`: a parent that blocked the signal would have taken the deadline away.
fn unblock(signal: libc::c_int) {
    // SAFETY: all zeroes are a valid set, and the next call makes it an empty one.
    let mut signals: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: `signals` is valid.
    unsafe { libc::sigemptyset(&raw mut signals) };
    // SAFETY: `signals` was made empty, and `signal` is one.
    unsafe { libc::sigaddset(&raw mut signals, signal) };
    // SAFETY: `signals` is valid, and the old mask is not asked for.
    unsafe { libc::sigprocmask(libc::SIG_UNBLOCK, &raw const signals, ptr::null_mut()) };
}

/// Runs between two instructions of any other code, so it calls nothing but two async-signal-safe functions
/// (signal-safety(7)).
extern "C" fn give_up(_signal: libc::c_int) {
    let line = LINE.get().map_or(&[][..], |line| line);
    // SAFETY: the pointer and the length are those of a buffer that lives as long as the process.
    unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    // SAFETY: it takes any number, and nothing of this process is needed any longer.
    unsafe { libc::_exit(1) }
}
