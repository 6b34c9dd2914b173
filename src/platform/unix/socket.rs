//! Unix sockets of services that are trusted with secrets.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

pub use tokio::net::UnixStream as AcceptedStream;
pub use tokio::net::UnixStream as LocalStream;

use super::files::{check_owner, check_parents, insecure, is_trusted};
use crate::platform::FileError;

/// Connects to a socket that only root or this user can have put there, and behind which root or this user listens.
///
/// # Errors
/// [`FileError::NotFound`] also when nobody listens, as after a service has died.
pub async fn connect_trusted(path: &Path) -> Result<LocalStream, FileError> {
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.file_type().is_socket() {
        return Err(insecure("is no socket"));
    }
    check_owner(&metadata)?;
    if metadata.mode() & 0o002 != 0 {
        return Err(FileError::Insecure(format!(
            "has mode {:04o}: others may connect, must be 0660 or less",
            metadata.mode() & 0o7777
        )));
    }
    check_parents(path)?;
    let stream = LocalStream::connect(path).await.map_err(|error| match error.kind() {
        std::io::ErrorKind::ConnectionRefused => FileError::NotFound,
        _ => error.into(),
    })?;
    // The name was checked, and this is who listens behind it.
    let listener = stream.peer_cred()?.uid();
    if !is_trusted(listener) {
        return Err(FileError::Insecure(format!("is served by uid {listener}, must be served by root")));
    }
    Ok(stream)
}
