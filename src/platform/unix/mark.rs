//! The highest generation of a store that was ever seen, kept apart from the store itself.
//!
//! `/run` is emptied at boot, so this tells a store that was put back since then; see SECURITY.md for what it cannot tell.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use rustix::fs::OFlags;

const DIR: &str = "/run/keyring-credential-provider";

/// Returns the mark of the store with this id, or `None` when none was set since boot.
///
/// # Errors
/// When the mark exists and cannot be read.
pub fn read_generation_mark(store_id: &str) -> io::Result<Option<u64>> {
    let mut file = match open(store_id, OpenOptions::new().read(true)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    read(&mut file)
}

/// Raises the mark to `generation`; a higher one stays.
///
/// # Errors
/// When the mark cannot be written, as for a user other than root.
pub fn raise_generation_mark(store_id: &str, generation: u64) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(DIR) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mut file = open(store_id, OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600))?;
    // Released with the file. Without it, a slow reader could lower what a writer has just raised.
    file.lock()?;
    if read(&mut file)?.is_some_and(|mark| mark >= generation) {
        return Ok(());
    }
    file.rewind()?;
    file.write_all(&generation.to_le_bytes())
}

fn open(store_id: &str, options: &mut OpenOptions) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.custom_flags(flags.bits().cast_signed()).open(format!("{DIR}/{store_id}"))
}

fn read(file: &mut File) -> io::Result<Option<u64>> {
    let mut bytes = [0; 8];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(u64::from_le_bytes(bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
