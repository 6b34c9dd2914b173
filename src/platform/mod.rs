//! What differs between Linux and Windows: files that only the node's owner may read, the machine's identity, the kernel's
//! or the operating system's key store. Each folder beside this file offers the same functions with the same meaning, so a
//! caller never asks which system it runs on.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as system;

pub use system::cache::{cached_data_key, forget_data_key, keep_data_key};
pub use system::containerd::plain_directory;
pub use system::daemon::{install_service, run_as_service, uninstall_service};
pub use system::deadline::end_process_after;
pub use system::files::{
    FileIdentity, check_private_dir, create_private_dir, create_private_file, default_store_dir, file_identity,
    open_reply, open_request, read_private_file, replace_file,
};
pub use system::identity::{account, is_privileged, machine_id};
pub use system::keyring::keyring_entry;
pub use system::listener::{Listener, Peer, group_id, stop_requests};
pub use system::lock::try_lock_byte;
pub use system::mark::{raise_generation_mark, read_generation_mark};
pub use system::process::{end_with_children, end_with_parent};
pub use system::registry::{service_list, service_text, service_value, service_words, set_service_value};
pub use system::roots::system_roots;
pub use system::running::running;
pub use system::service::control_service;
pub use system::socket::{AcceptedStream, LocalStream, connect_trusted};
pub use system::stage::{create_public_dirs, mode_of, remove_program, replace_program, stage_file};
pub use system::start::harden_process;
pub use system::temporary_service::{TemporaryService, may_act_as_system};
pub use system::trust::{is_noexec, others_may_write};

/// A process, as the operating system tells of it.
#[derive(Clone, Debug)]
pub struct Running {
    /// Its number.
    pub pid: u32,
    /// When it was started, in a unit that only tells two processes with one number apart.
    pub started: u64,
    /// The file that it runs.
    pub program: Option<String>,
    /// The program as it was called, and its arguments. They may hold secrets: never print them whole.
    pub arguments: Vec<String>,
}

/// Creates a private file, writes it and waits until it is on the disk. What could not be written whole is removed.
///
/// # Errors
/// As `open`, `write` and `fsync`.
pub fn write_private_file(path: &Path, bytes: &[u8], writable: Writable) -> io::Result<()> {
    let mut file = create_private_file(path, writable)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    if written.is_err() {
        // The error that matters is the first.
        let _ = fs::remove_file(path);
    }
    written
}

/// Puts other content in place of that of a file, whole or not at all. Owner, mode or access control list, and extended attributes
/// stay; where the name is a link, it stays one, and what it leads to changes.
///
/// # Errors
/// As `open`, `write`, `fsync` and `rename`, and for a file with several names, of which the others would keep the old content.
/// The file is as it was.
pub fn rewrite_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}.new", std::process::id()));
    let temporary = path.with_file_name(name);
    let mut file = system::files::create_like(&temporary, &path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    drop(file);
    let replaced = written.and_then(|()| replace_file(&temporary, &path));
    if replaced.is_err() {
        // The error that matters is the first.
        let _ = fs::remove_file(&temporary);
    }
    replaced
}

/// Why a file that must be private could not be used.
///
/// Each message completes the sentence "`PATH` ...".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is no such file.
    #[error("does not exist")]
    NotFound,
    /// Somebody else could read, replace or redirect the file; the text says how, and what it should be.
    #[error("{0}")]
    Insecure(String),
    /// The file is larger than anything this program writes. Both numbers are bytes.
    #[error("has {size} bytes, more than the {limit} that a store may have")]
    TooLarge {
        /// Size of the file in bytes.
        size: u64,
        /// Largest accepted size in bytes.
        limit: u64,
    },
    /// The operating system refused.
    #[error("cannot be read: {0}")]
    Io(io::Error),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::NotFound } else { Self::Io(error) }
    }
}

/// May the file be written again, or is it a key that is only ever created and removed?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writable {
    /// Mode 0600 (Windows: full access for SYSTEM and Administrators).
    Yes,
    /// Mode 0400 (Windows: the same as [`Writable::Yes`]).
    No,
}
