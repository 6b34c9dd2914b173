//! Named pipes of services that are trusted with secrets.
#![expect(unsafe_code, reason = "who serves a pipe is not in the standard library")]

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::path::Path;

use tokio::net::windows::named_pipe::ClientOptions;
use windows_sys::Win32::System::Pipes::GetNamedPipeServerProcessId;
use windows_sys::Win32::System::Threading::{OpenProcess, PROCESS_QUERY_LIMITED_INFORMATION};

pub use tokio::net::windows::named_pipe::NamedPipeClient as LocalStream;

use super::security;
use crate::platform::FileError;

/// Connects to a pipe that SYSTEM or this account serves. Another process could make a pipe of the same name first; the account
/// behind it tells. The service learns who we are, and cannot act for us.
///
/// # Errors
/// [`FileError::NotFound`] when nobody serves it.
pub async fn connect_trusted(path: &Path) -> Result<LocalStream, FileError> {
    // SECURITY_IDENTIFICATION is what tokio asks for by default.
    let pipe = ClientOptions::new().open(path)?;
    let mut process = 0;
    // SAFETY: the pipe is open, and the place of the number is ours.
    let done = unsafe { GetNamedPipeServerProcessId(pipe.as_raw_handle(), &raw mut process) };
    if done == 0 {
        return Err(io::Error::last_os_error().into());
    }
    // SAFETY: the function takes any number.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, process) };
    if process.is_null() {
        return Err(io::Error::last_os_error().into());
    }
    // SAFETY: the process was just opened, and nobody else closes it.
    let process = unsafe { OwnedHandle::from_raw_handle(process) };
    let server = security::user_of(&process)?;
    if server.is_system() || server == security::current_user()? {
        return Ok(pipe);
    }
    Err(FileError::Insecure(format!("is served by {server}, must be served by SYSTEM")))
}
