//! Runs another program without letting it outlive this one or touch its standard output and error.
//!
//! The kubelet waits until everybody has closed the plugin's pipes, beyond its own time-out, so a child gets pipes of its own,
//! an environment of its own, and is killed at the deadline, with what it started.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
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

/// What a program left that ended by itself.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    /// At most 1 MiB.
    pub(crate) stdout: Zeroizing<Vec<u8>>,
    stderr: Zeroizing<Vec<u8>>,
}

impl Output {
    /// Returns the last line that it wrote to standard error, fit to be shown.
    pub(crate) fn last_line(&self) -> String {
        let said = String::from_utf8_lossy(&self.stderr);
        let last_line = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no message");
        text::sanitize(last_line.trim(), 200)
    }
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
    let output = run_to_end(program, arguments, &[], input, timeout)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(ProcessError::Failed(format!("{}: {}", output.status, output.last_line())))
}

/// Runs `program` with this environment and no more, and returns what it left, whatever its exit status.
///
/// # Errors
/// [`ProcessError::Start`] and [`ProcessError::Timeout`].
pub(crate) fn run_to_end(
    program: &str,
    arguments: &[&str],
    environment: &[(String, OsString)],
    input: &[u8],
    timeout: Duration,
) -> Result<Output, ProcessError> {
    let deadline = Instant::now() + timeout;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    platform::end_with_parent(&mut command);
    let mut child = command.spawn().map_err(ProcessError::Start)?;

    if let Some(mut stdin) = child.stdin.take() {
        // Smaller than any pipe's buffer, so this does not block; a child that does not read shows in its exit status.
        let _ = stdin.write_all(input);
    }
    let output = collect(child.stdout.take());
    let errors = collect(child.stderr.take());
    let result = wait(&output, deadline).and_then(|output| Ok((output, wait(&errors, deadline)?)));
    let Ok((stdout, stderr)) = result else {
        platform::end_with_children(&mut child);
        let _ = child.wait();
        return Err(ProcessError::Timeout(timeout));
    };
    // Both pipes are closed, so it has ended or is about to.
    let status = child.wait().map_err(ProcessError::Start)?;
    Ok(Output { status, stdout, stderr })
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
