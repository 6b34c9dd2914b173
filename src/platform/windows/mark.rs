//! The highest generation of a store that was ever seen, kept apart from the store itself.
//!
//! It is in the registry, below a key that only Administrators may write, and outlives a reboot; see SECURITY.md for what it
//! cannot tell.
#![expect(unsafe_code, reason = "the registry and named mutexes are not in the standard library")]

use std::io;
use std::os::windows::io::{AsRawHandle, FromRawHandle, OwnedHandle};
use std::ptr;

use windows_sys::Win32::Foundation::{ERROR_FILE_NOT_FOUND, WAIT_ABANDONED, WAIT_OBJECT_0, WAIT_TIMEOUT};
use windows_sys::Win32::System::Registry::{
    HKEY_LOCAL_MACHINE, REG_QWORD, RRF_RT_REG_QWORD, RRF_SUBKEY_WOW6464KEY, RegGetValueW,
};
use windows_sys::Win32::System::Threading::{CreateMutexW, ReleaseMutex, WaitForSingleObject};
use windows_sys::core::PCWSTR;
use windows_sys::w;

use super::registry::{Key, check};
use super::security::Descriptor;
use super::wide::to_wide;

const KEY: PCWSTR = w!(r"SOFTWARE\keyring-credential-provider\generations");

/// In the global namespace: the kubelet and an operator are in different sessions. Somebody else may have taken the name, and
/// then marks are not raised; they cannot be lowered that way.
const LOCK: PCWSTR = w!(r"Global\keyring-credential-provider-generations");

/// Under the lock are two calls of the registry.
const LOCK_TIMEOUT_MS: u32 = 2000;

/// Returns the mark of the store with this id, or `None` when none was set.
///
/// # Errors
/// When the mark exists and cannot be read.
pub fn read_generation_mark(store_id: &str) -> io::Result<Option<u64>> {
    read(&to_wide(store_id)?)
}

/// Raises the mark to `generation`; a higher one stays.
///
/// # Errors
/// When the mark cannot be written, as for an account that is no Administrator.
pub fn raise_generation_mark(store_id: &str, generation: u64) -> io::Result<()> {
    let name = to_wide(store_id)?;
    if read(&name)?.is_some_and(|mark| mark >= generation) {
        return Ok(());
    }
    let key = Key::create(KEY)?;
    // Without it, a slow reader could lower what a writer has just raised.
    let _lock = Lock::acquire()?;
    if read(&name)?.is_some_and(|mark| mark >= generation) {
        return Ok(());
    }
    key.set(&name, REG_QWORD, &generation.to_le_bytes())
}

/// The lock around reading a mark and writing it. Released when dropped, and by Windows when its owner dies.
struct Lock(OwnedHandle);

impl Lock {
    fn acquire() -> io::Result<Self> {
        let descriptor = Descriptor::from_sddl("D:P(A;;GA;;;SY)(A;;GA;;;BA)")?;
        let attributes = descriptor.attributes();
        // SAFETY: the name ends with a zero, and the attributes point to a descriptor that lives longer than the call.
        let mutex = unsafe { CreateMutexW(&raw const attributes, 0, LOCK) };
        if mutex.is_null() {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the mutex was just opened, and nobody else closes it.
        let mutex = unsafe { OwnedHandle::from_raw_handle(mutex) };
        // SAFETY: the mutex is open.
        match unsafe { WaitForSingleObject(mutex.as_raw_handle(), LOCK_TIMEOUT_MS) } {
            // An owner that died left either the old mark or the new one.
            WAIT_OBJECT_0 | WAIT_ABANDONED => Ok(Self(mutex)),
            WAIT_TIMEOUT => Err(io::ErrorKind::TimedOut.into()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // SAFETY: this thread owns the mutex.
        unsafe { ReleaseMutex(self.0.as_raw_handle()) };
    }
}

fn read(name: &[u16]) -> io::Result<Option<u64>> {
    let mut bytes = [0; 8];
    let mut size = size_of_val(&bytes) as u32;
    // SAFETY: both names end with a zero; the buffer has the size that is given.
    let code = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            KEY,
            name.as_ptr(),
            RRF_RT_REG_QWORD | RRF_SUBKEY_WOW6464KEY,
            ptr::null_mut(),
            bytes.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    if code == ERROR_FILE_NOT_FOUND {
        return Ok(None);
    }
    check(code)?;
    Ok(Some(u64::from_le_bytes(bytes)))
}
