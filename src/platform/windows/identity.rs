//! Who runs this program, and on which machine.
#![expect(unsafe_code, reason = "the registry is not in the standard library")]

use std::ptr;

use windows_sys::Win32::Foundation::ERROR_SUCCESS;
use windows_sys::Win32::System::Registry::{HKEY_LOCAL_MACHINE, RRF_RT_REG_SZ, RRF_SUBKEY_WOW6464KEY, RegGetValueW};
use windows_sys::w;

use super::security;
use super::wide::from_wide;

/// Returns whether this process acts for Administrators: as SYSTEM, or with an elevated token.
pub fn is_privileged() -> bool {
    security::is_administrator().unwrap_or(false)
}

/// Returns the account for people to read: `NT AUTHORITY\SYSTEM`, or its SID when it has no name.
pub fn account() -> String {
    security::current_user_name().unwrap_or_else(|| {
        security::current_user().map_or_else(|_| "an unknown account".to_owned(), |sid| sid.to_string())
    })
}

/// Returns `MachineGuid`, or `None` on a machine without one. Windows makes it when it is installed; machines that were cloned
/// without Sysprep share it.
pub fn machine_id() -> Option<Vec<u8>> {
    let mut guid = [0_u16; 64];
    let mut size = size_of_val(&guid) as u32;
    // SAFETY: both names end with a zero; the buffer has the size that is given.
    let code = unsafe {
        RegGetValueW(
            HKEY_LOCAL_MACHINE,
            w!(r"SOFTWARE\Microsoft\Cryptography"),
            w!("MachineGuid"),
            RRF_RT_REG_SZ | RRF_SUBKEY_WOW6464KEY,
            ptr::null_mut(),
            guid.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    let guid = from_wide(&guid).trim().to_ascii_lowercase();
    (code == ERROR_SUCCESS && !guid.is_empty()).then(|| guid.into_bytes())
}
