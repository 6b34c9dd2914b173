//! What a process does before anything else.
#![expect(unsafe_code, reason = "the process's modes are not in the standard library")]

use windows_sys::Win32::System::Diagnostics::Debug::{
    SEM_FAILCRITICALERRORS, SEM_NOGPFAULTERRORBOX, SEM_NOOPENFILEERRORBOX, SetErrorMode,
};
use windows_sys::Win32::System::LibraryLoader::{LOAD_LIBRARY_SEARCH_SYSTEM32, SetDefaultDllDirectories};

/// Keeps a crash from waiting in a dialogue that nobody sees, and libraries from being loaded out of a directory beside the
/// program or the current one.
///
/// Best effort: a Windows that refuses leaves the process as safe as any other, and an Administrator who has set up dumps of
/// crashed programs gets them.
pub fn harden_process() {
    // SAFETY: the function only sets flags of this process.
    unsafe { SetErrorMode(SEM_FAILCRITICALERRORS | SEM_NOGPFAULTERRORBOX | SEM_NOOPENFILEERRORBOX) };
    // SAFETY: the function only changes where libraries that are loaded from now on are looked for.
    unsafe { SetDefaultDllDirectories(LOAD_LIBRARY_SEARCH_SYSTEM32) };
}
