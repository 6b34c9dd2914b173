//! The services of this machine, through the Service Control Manager.
#![expect(unsafe_code, reason = "services are not in the standard library")]

use std::io;
use std::ptr;
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::Foundation::{ERROR_SERVICE_ALREADY_RUNNING, ERROR_SERVICE_NOT_ACTIVE};
use windows_sys::Win32::System::Services::{
    ChangeServiceConfigW, CloseServiceHandle, ControlService, OpenSCManagerW, OpenServiceW, QueryServiceStatus,
    SC_HANDLE, SC_MANAGER_CONNECT, SERVICE_CHANGE_CONFIG, SERVICE_CONTROL_STOP, SERVICE_NO_CHANGE,
    SERVICE_QUERY_STATUS, SERVICE_START, SERVICE_STATUS, SERVICE_STOP, SERVICE_STOPPED, StartServiceW,
};

use super::wide::to_wide;

/// A service has thirty seconds by itself; what it stands for may take longer.
const TIMEOUT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(200);

/// A handle of the Service Control Manager.
struct Handle(SC_HANDLE);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and closed once.
        unsafe { CloseServiceHandle(self.0) };
    }
}

/// Runs one command as an operator would type it: `Restart-Service NAME`.
///
/// # Errors
/// When there is no such service, or it does not stop or start.
pub fn control_service(command: &[String]) -> io::Result<()> {
    match command {
        [verb, name] if verb == "Restart-Service" => restart(name),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Gives a service another command line, which ends with a zero, from its next start on.
///
/// # Errors
/// As `OpenServiceW` and `ChangeServiceConfigW`.
pub(super) fn set_command(name: &str, command: &[u16]) -> io::Result<()> {
    let service = open(name, SERVICE_CHANGE_CONFIG)?;
    // SAFETY: the service is open, and the command line ends with a zero; null and the number leave everything else as it is.
    let done = unsafe {
        ChangeServiceConfigW(
            service.0,
            SERVICE_NO_CHANGE,
            SERVICE_NO_CHANGE,
            SERVICE_NO_CHANGE,
            command.as_ptr(),
            ptr::null(),
            ptr::null_mut(),
            ptr::null(),
            ptr::null(),
            ptr::null(),
            ptr::null(),
        )
    };
    check(done, 0)
}

fn open(name: &str, rights: u32) -> io::Result<Handle> {
    // SAFETY: null stands for this machine and its usual database.
    let manager = Handle::new(unsafe { OpenSCManagerW(ptr::null(), ptr::null(), SC_MANAGER_CONNECT) })?;
    let name = to_wide(name)?;
    // SAFETY: the manager is open, and the name ends with a zero.
    Handle::new(unsafe { OpenServiceW(manager.0, name.as_ptr(), rights) })
}

fn restart(name: &str) -> io::Result<()> {
    let service = open(name, SERVICE_STOP | SERVICE_START | SERVICE_QUERY_STATUS)?;
    let mut status = SERVICE_STATUS::default();
    // SAFETY: the service is open, and the place of the status is ours.
    let stopped = unsafe { ControlService(service.0, SERVICE_CONTROL_STOP, &raw mut status) };
    check(stopped, ERROR_SERVICE_NOT_ACTIVE)?;
    let start = Instant::now();
    loop {
        // SAFETY: as above.
        let known = unsafe { QueryServiceStatus(service.0, &raw mut status) };
        check(known, 0)?;
        if status.dwCurrentState == SERVICE_STOPPED {
            break;
        }
        if start.elapsed() >= TIMEOUT {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the service does not stop"));
        }
        thread::sleep(PAUSE);
    }
    // SAFETY: the service is open, and it gets no arguments.
    let started = unsafe { StartServiceW(service.0, 0, ptr::null()) };
    check(started, ERROR_SERVICE_ALREADY_RUNNING)
}

impl Handle {
    fn new(handle: SC_HANDLE) -> io::Result<Self> {
        if handle.is_null() { Err(io::Error::last_os_error()) } else { Ok(Self(handle)) }
    }
}

/// Passes over one error, which says that it is so already.
fn check(done: i32, harmless: u32) -> io::Result<()> {
    if done != 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    if harmless != 0 && error.raw_os_error() == Some(harmless.cast_signed()) { Ok(()) } else { Err(error) }
}
