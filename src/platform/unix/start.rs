//! What a process does before anything else.
#![expect(unsafe_code, reason = "descriptors that may be closed, and signals, are not in the safe interfaces")]

use std::process;

use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Forbids core dumps and tracing of this process by others of the same user, and does what Rust's library would have done at
/// its own start: standard streams are open, and a closed pipe is an error to report rather than a signal.
///
/// The first two are best effort: a kernel that refuses leaves the process as safe as any other.
pub fn harden_process() {
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    open_standard_streams();
    // SAFETY: to ignore a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// A file that is opened while a standard stream is closed would take its place, and be read or written as that stream.
fn open_standard_streams() {
    let mut streams = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: the pointer and the count are those of the array. Descriptors that are closed are what is asked for.
    if unsafe { libc::poll(streams.as_mut_ptr(), 3, 0) } <= 0 {
        return;
    }
    for stream in streams.iter().filter(|stream| stream.revents & libc::POLLNVAL != 0) {
        // SAFETY: the name ends with a zero. The lowest free number is the one that is closed.
        let opened = unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        if opened != stream.fd {
            process::abort();
        }
    }
}
