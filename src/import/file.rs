//! Reads a foreign file whole: bounded, decoded, into a buffer that wipes itself.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use super::Error;
use crate::text;

/// Ten thousand registries with their credentials take about 2 MiB.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// Reads a text file.
///
/// # Errors
/// [`Error`].
pub(crate) fn read(path: &Path) -> Result<Zeroizing<String>, Error> {
    decode(path, &bytes(path)?)
}

/// Returns the text of a file's bytes.
///
/// # Errors
/// [`Error::NotText`].
pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Zeroizing<String>, Error> {
    let text = text::decode(bytes).ok_or_else(|| Error::NotText { path: path.to_owned() })?;
    Ok(Zeroizing::new(text.into_owned()))
}

/// Reads the bytes of a file.
///
/// # Errors
/// [`Error`].
pub(crate) fn bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    // Asked before it is opened: opening a pipe would wait for its other end.
    let metadata = fs::metadata(path).map_err(failed)?;
    if metadata.is_dir() {
        return Err(Error::Directory { path: path.to_owned() });
    }
    if !metadata.is_file() {
        return Err(Error::NoFile { path: path.to_owned() });
    }
    if metadata.len() > MAX_FILE {
        return Err(Error::TooLarge { path: path.to_owned() });
    }
    let file = File::open(path).map_err(failed)?;
    // One byte more than the file has, so that reading its end does not move the buffer.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::TooLarge { path: path.to_owned() });
    }
    Ok(bytes)
}
