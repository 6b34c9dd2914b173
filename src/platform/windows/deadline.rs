//! The end of a process that waits for too long.

use std::io::{self, Write};
use std::process;
use std::thread;
use std::time::Duration;

/// Writes `line` to standard error and ends the process with code 1 when `timeout` has passed, whatever it waits for then.
#[expect(clippy::exit, reason = "the main thread is the one that waits")]
pub fn end_process_after(timeout: Duration, line: String) {
    let watchdog = move || {
        thread::sleep(timeout);
        // Nobody is left to be told when this fails.
        let _ = io::stderr().write_all(line.as_bytes());
        process::exit(1);
    };
    // Without a thread there is still the kubelet's own limit.
    let _ = thread::Builder::new().name("deadline".to_owned()).stack_size(64 * 1024).spawn(watchdog);
}
