//! Named pipes of services that are trusted with secrets.
#![expect(unsafe_code, reason = "who serves a pipe is not in the standard library")]

use std::io;
use std::os::windows::io::AsRawHandle;
use std::path::Path;
use std::time::Duration;

use tokio::net::windows::named_pipe::ClientOptions;
use windows_sys::Win32::Foundation::ERROR_PIPE_BUSY;
use windows_sys::Win32::System::Pipes::GetNamedPipeServerProcessId;

pub use tokio::net::windows::named_pipe::NamedPipeClient as LocalStream;
pub use tokio::net::windows::named_pipe::NamedPipeServer as AcceptedStream;

use super::security;
use crate::platform::FileError;

const PAUSE: Duration = Duration::from_millis(2);

/// Connects to a pipe that SYSTEM or this account serves. Another process could make a pipe of the same name first; the account
/// behind it tells. The service learns who we are, and cannot act for us.
///
/// # Errors
/// [`FileError::NotFound`] when nobody serves it.
pub async fn connect_trusted(path: &Path) -> Result<LocalStream, FileError> {
    // SECURITY_IDENTIFICATION is what tokio asks for by default.
    let pipe = loop {
        match ClientOptions::new().open(path) {
            // The service makes its pipe anew after every client; the caller's time-out ends the wait.
            Err(error) if error.raw_os_error() == Some(ERROR_PIPE_BUSY.cast_signed()) => {
                tokio::time::sleep(PAUSE).await;
            }
            pipe => break pipe?,
        }
    };
    let mut process = 0;
    // SAFETY: the pipe is open, and the place of the number is ours.
    let done = unsafe { GetNamedPipeServerProcessId(pipe.as_raw_handle(), &raw mut process) };
    if done == 0 {
        return Err(io::Error::last_os_error().into());
    }
    let process = security::open_process(process)?;
    let server = security::user_of(&process)?;
    if server.is_system() || server == security::current_user()? {
        return Ok(pipe);
    }
    Err(FileError::Insecure(format!("is served by {server}, must be served by SYSTEM")))
}
