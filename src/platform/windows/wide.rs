//! Text as the wide functions of Windows take it: UTF-16 with a final zero.

use std::ffi::OsStr;
use std::io;
use std::os::windows::ffi::OsStrExt;

/// Converts text for a call that reads until the first zero.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for text with a zero inside, of which Windows would see only the beginning.
pub(super) fn to_wide(text: impl AsRef<OsStr>) -> io::Result<Vec<u16>> {
    let mut wide: Vec<u16> = text.as_ref().encode_wide().collect();
    if wide.contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "a name contains a zero"));
    }
    wide.push(0);
    Ok(wide)
}

/// Converts what a call wrote into `buffer`, up to the first zero.
pub(super) fn from_wide(buffer: &[u16]) -> String {
    let end = buffer.iter().position(|&unit| unit == 0).unwrap_or(buffer.len());
    String::from_utf16_lossy(&buffer[..end])
}
