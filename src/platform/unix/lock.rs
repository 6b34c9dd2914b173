//! Locks on single bytes of a file (fcntl(2), open file description locks).
#![expect(unsafe_code, reason = "rustix locks whole files only")]

use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;

/// Locks byte `at`, which need not exist, for as long as `file` is open. Returns whether it is locked now, and does not wait.
///
/// # Errors
/// As `fcntl`, where the file system has no locks.
pub fn try_lock_byte(file: &File, at: u64) -> io::Result<bool> {
    // SAFETY: all zeroes are a valid flock.
    let mut lock: libc::flock = unsafe { mem::zeroed() };
    lock.l_type = libc::F_WRLCK as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = i64::try_from(at).map_err(|_| io::ErrorKind::InvalidInput)?;
    lock.l_len = 1;
    // SAFETY: the descriptor is open, and `lock` is a valid flock with a pid of zero, as these locks want it.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    if result == 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(libc::EAGAIN | libc::EACCES) => Ok(false),
        _ => Err(error),
    }
}
