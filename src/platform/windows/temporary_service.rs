//! A service of ours that lasts as long as one command: this program as LocalSystem, for an Administrator who is another account.
//!
//! It is marked for removal as soon as it runs, so Windows removes it when it ends, whatever becomes of the command. What a
//! command that was killed before that has left, the next one removes. There is one at a time on a machine: the name is the lock.

use std::ffi::{OsStr, OsString};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use windows_service::service::{
    Service, ServiceAccess, ServiceErrorControl, ServiceInfo, ServiceStartType, ServiceState, ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_sys::Win32::Foundation::{ERROR_SERVICE_EXISTS, ERROR_SERVICE_MARKED_FOR_DELETE};

use super::{daemon, security, trust};

/// How long another command may take that has the service.
const TIMEOUT: Duration = Duration::from_secs(60);
/// A service that was made is started at once; one that stands still for so long is somebody's that was killed.
const PAUSE: Duration = Duration::from_secs(1);

/// The service, until dropped.
pub struct TemporaryService {
    service: Service,
}

impl TemporaryService {
    /// Registers this program as a service of LocalSystem, starts it, and waits until it says that it is ready.
    ///
    /// # Errors
    /// As the Service Control Manager: `PermissionDenied` without an Administrator's rights. Also when others could replace the
    /// program. No service is left.
    pub fn start(name: &str, title: &str, arguments: &[&str]) -> io::Result<Self> {
        let program = trust::own_program()?;
        let access = ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE;
        let manager = ServiceManager::local_computer(None::<&str>, access).map_err(daemon::plain)?;
        let info = ServiceInfo {
            name: OsString::from(name),
            display_name: OsString::from(title),
            service_type: ServiceType::OWN_PROCESS,
            start_type: ServiceStartType::OnDemand,
            error_control: ServiceErrorControl::Normal,
            executable_path: program,
            launch_arguments: arguments.iter().map(OsString::from).collect(),
            dependencies: vec![],
            // LocalSystem.
            account_name: None,
            account_password: None,
        };
        let this = Self { service: create(&manager, &info)? };
        this.service.start::<&OsStr>(&[]).map_err(daemon::plain)?;
        daemon::wait(&this.service, ServiceState::Running)?;
        this.service.delete().map_err(daemon::plain)?;
        Ok(this)
    }
}

impl Drop for TemporaryService {
    fn drop(&mut self) {
        // It ends by itself when nobody asks it any more, and may have been marked for removal before.
        let _ = self.service.stop();
        let _ = daemon::wait(&self.service, ServiceState::Stopped);
        let _ = self.service.delete();
    }
}

/// Returns whether this process has an Administrator's rights and is not LocalSystem itself.
pub fn may_act_as_system() -> bool {
    let is_system = security::current_user().is_ok_and(|account| account.is_system());
    !is_system && security::is_administrator().unwrap_or(false)
}

/// Registers the service, as soon as nobody else has it.
fn create(manager: &ServiceManager, info: &ServiceInfo) -> io::Result<Service> {
    let access = ServiceAccess::START | ServiceAccess::STOP | ServiceAccess::QUERY_STATUS | ServiceAccess::DELETE;
    let deadline = Instant::now() + TIMEOUT;
    let mut stood_still = false;
    loop {
        let error = match manager.create_service(info, access).map_err(daemon::plain) {
            Ok(service) => return Ok(service),
            Err(error) => error,
        };
        match error.raw_os_error().map(i32::cast_unsigned) {
            Some(ERROR_SERVICE_EXISTS) => {
                let state = || {
                    let service = manager.open_service(&info.name, access)?;
                    let stands_still = service.query_status()?.current_state == ServiceState::Stopped;
                    if stands_still && stood_still {
                        service.delete()?;
                    }
                    Ok::<_, windows_service::Error>(stands_still)
                };
                // One that is gone by now is none.
                stood_still = state().unwrap_or(false);
            }
            Some(ERROR_SERVICE_MARKED_FOR_DELETE) => stood_still = false,
            _ => return Err(error),
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "another command has it, and does not end"));
        }
        thread::sleep(PAUSE);
    }
}
