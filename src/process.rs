//! Runs another program without letting it outlive this one or touch its standard output and error.
//!
//! The kubelet waits until everybody has closed the plugin's pipes, beyond its own time-out, so a child gets pipes of its own,
//! an empty environment, and is killed at the deadline.

use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::platform;
use crate::text;

/// No program that is run here answers with more.
const MAX_OUTPUT: u64 = 1024 * 1024;

/// Why a program gave no answer. The standard output of the program is never shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    /// It could not be started.
    #[error("cannot be started: {0}")]
    Start(io::Error),
    /// It did not end in time and was killed.
    #[error("did not answer within {} seconds", .0.as_secs())]
    Timeout(Duration),
    /// It failed; with the last line of what it said.
    #[error("failed: {0}")]
    Failed(String),
}

/// Runs `program`, an absolute path, and returns its standard output, of which at most 1 MiB is read.
///
/// # Errors
/// [`ProcessError`].
pub(crate) fn run(
    program: &str,
    arguments: &[&str],
    input: &[u8],
    timeout: Duration,
) -> Result<Zeroizing<Vec<u8>>, ProcessError> {
    let deadline = Instant::now() + timeout;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    platform::end_with_parent(&mut command);
    let mut child = command.spawn().map_err(ProcessError::Start)?;

    if let Some(mut stdin) = child.stdin.take() {
        // Smaller than any pipe's buffer, so this does not block; a child that does not read shows in its exit status.
        let _ = stdin.write_all(input);
    }
    let output = collect(child.stdout.take());
    let errors = collect(child.stderr.take());
    let result = wait(&output, deadline).and_then(|output| Ok((output, wait(&errors, deadline)?)));
    let Ok((output, errors)) = result else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(ProcessError::Timeout(timeout));
    };
    // Both pipes are closed, so it has ended or is about to.
    let status = child.wait().map_err(ProcessError::Start)?;
    if status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&errors);
    let last_line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
    Err(ProcessError::Failed(format!("{status}: {}", text::sanitize(last_line.trim(), 200))))
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Zeroizing<Vec<u8>>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
        if let Some(pipe) = pipe {
            // What was read before an error counts; the exit status tells the rest.
            let _ = pipe.take(MAX_OUTPUT).read_to_end(&mut bytes);
        }
        let _ = sender.send(bytes);
    });
    receiver
}

fn wait(
    receiver: &mpsc::Receiver<Zeroizing<Vec<u8>>>,
    deadline: Instant,
) -> Result<Zeroizing<Vec<u8>>, RecvTimeoutError> {
    receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()))
}
