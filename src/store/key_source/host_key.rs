//! A random key in a file beside the store, mode 0400.
//!
//! This keeps the secrets out of backups and log collectors that take the sealed file alone, and no more: who can read both
//! files can read everything. SECURITY.md says so.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::key::{DataKey, WrappingKey};
use super::super::v1::{Header, KeySource};
use super::super::{Error, hex};
use super::Wrapped;
use crate::platform::{self, FileError, Writable};

const PREFIX: &str = "host-";
const SUFFIX: &str = ".key";

/// Nothing larger than this is a key.
const MAX_FILE: u64 = 4096;

pub(super) fn wrap(dir: &Path, store_id: &[u8], data_key: &DataKey) -> Result<Wrapped, Error> {
    let key = WrappingKey::generate()?;
    let key_id = key.id();
    let path = path(dir, &key_id);
    platform::write_private_file(&path, key.expose(), Writable::No).map_err(Error::write(&path))?;
    Ok(Wrapped { key_id, data_key: key.wrap(store_id, data_key)?, kms: None })
}

pub(super) fn unwrap(dir: &Path, header: &Header) -> Result<DataKey, Error> {
    let path = path(dir, &header.key_id);
    let locked = |reason: &str| Error::Locked { path: path.clone(), reason: reason.to_owned() };
    let bytes = platform::read_private_file(&path, MAX_FILE).map_err(|error| match error {
        FileError::NotFound => locked("the host key is missing"),
        error => Error::from_file(&path, error),
    })?;
    WrappingKey::from_bytes(&bytes)
        .and_then(|key| key.unwrap(&header.store_id, &header.wrapped_data_key))
        .ok_or_else(|| locked("the host key is not the one it was sealed with"))
}

pub(super) fn remove(dir: &Path, header: &Header) -> Result<(), Error> {
    let path = path(dir, &header.key_id);
    fs::remove_file(&path).or_else(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Ok(()),
        _ => Err(Error::write(&path)(error)),
    })
}

/// Removes every host key that `header` does not name.
pub(super) fn remove_orphans(dir: &Path, header: &Header) {
    let current = (header.key_source() == KeySource::HostKey).then(|| path(dir, &header.key_id));
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_key = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
        if is_key && Some(entry.path()) != current {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn path(dir: &Path, key_id: &[u8]) -> PathBuf {
    dir.join(format!("{PREFIX}{}{SUFFIX}", hex(key_id.get(..8).unwrap_or(key_id))))
}
