//! Locks on single bytes of a file (`LockFileEx`).
#![expect(unsafe_code, reason = "the standard library locks whole files only")]

use std::fs::File;
use std::io;
use std::os::windows::io::AsRawHandle;

use windows_sys::Win32::Foundation::{ERROR_IO_PENDING, ERROR_LOCK_VIOLATION};
use windows_sys::Win32::Storage::FileSystem::{LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx};
use windows_sys::Win32::System::IO::{OVERLAPPED, OVERLAPPED_0, OVERLAPPED_0_0};

/// Locks byte `at`, which need not exist, for as long as `file` is open. Returns whether it is locked now, and does not wait.
///
/// # Errors
/// As `LockFileEx`, where the file system has no locks.
pub fn try_lock_byte(file: &File, at: u64) -> io::Result<bool> {
    let (low, high) = (at as u32, (at >> 32) as u32);
    let offset = OVERLAPPED_0_0 { Offset: low, OffsetHigh: high };
    let mut place = OVERLAPPED { Anonymous: OVERLAPPED_0 { Anonymous: offset }, ..OVERLAPPED::default() };
    let flags = LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY;
    // SAFETY: the handle is open and `place` is valid; with this flag the call does not outlive itself.
    let locked = unsafe { LockFileEx(file.as_raw_handle(), flags, 0, 1, 0, &raw mut place) };
    if locked != 0 {
        return Ok(true);
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error().map(i32::cast_unsigned) {
        Some(ERROR_LOCK_VIOLATION | ERROR_IO_PENDING) => Ok(false),
        _ => Err(error),
    }
}
