//! A service of ours: registered with the Service Control Manager, run under it, removed.

use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use windows_service::service::{
    Service, ServiceAccess, ServiceAction, ServiceActionType, ServiceControl, ServiceControlAccept,
    ServiceErrorControl, ServiceExitCode, ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo,
    ServiceStartType, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_service::{define_windows_service, service_dispatcher};

use super::trust;

/// Longest time that a service takes to start or stop.
const TIMEOUT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Set once when the Service Control Manager wants the service to stop; the request is kept until somebody waits for it.
static STOP: Notify = Notify::const_new();

type Main = Box<dyn FnOnce(&dyn Fn()) -> bool + Send>;

/// Handed over to the thread on which the Service Control Manager calls.
static MAIN: Mutex<Option<(String, Main)>> = Mutex::new(None);

define_windows_service!(called_by_windows, service_main);

/// Waits until the Service Control Manager asks for the end.
pub(super) async fn stop_requested() {
    STOP.notified().await;
}

/// Registers this program as a service of LocalSystem that starts with Windows and again when it fails, and starts it.
///
/// # Errors
/// As the Service Control Manager: `PermissionDenied` without an Administrator's rights, `AlreadyExists` for a known name. Also when
/// others could replace the program.
pub fn install_service(name: &str, title: &str, description: &str, arguments: &[&str]) -> io::Result<()> {
    let manager = ServiceManager::local_computer(
        None::<&str>,
        ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE,
    )
    .map_err(plain)?;
    let info = ServiceInfo {
        name: OsString::from(name),
        display_name: OsString::from(title),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: trust::own_program()?,
        launch_arguments: arguments.iter().map(OsString::from).collect(),
        dependencies: vec![],
        // LocalSystem.
        account_name: None,
        account_password: None,
    };
    let access =
        ServiceAccess::CHANGE_CONFIG | ServiceAccess::START | ServiceAccess::QUERY_STATUS | ServiceAccess::DELETE;
    let service = manager.create_service(&info, access).map_err(plain)?;
    let restart = ServiceAction { action_type: ServiceActionType::Restart, delay: Duration::from_secs(2) };
    let actions = ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(Duration::from_secs(24 * 60 * 60)),
        reboot_msg: None,
        command: None,
        actions: Some(vec![restart.clone(), restart.clone(), restart]),
    };
    // A Windows that refuses one of these two runs the service all the same.
    let _ = service.set_description(description);
    let _ = service.update_failure_actions(actions);
    let started = service.start::<&OsStr>(&[]).map_err(plain).and_then(|()| wait(&service, ServiceState::Running));
    if started.is_err() {
        let _ = service.delete();
    }
    started
}

/// Stops and removes a service. Returns whether there was one.
///
/// # Errors
/// As the Service Control Manager.
pub fn uninstall_service(name: &str) -> io::Result<bool> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT).map_err(plain)?;
    let access = ServiceAccess::STOP | ServiceAccess::QUERY_STATUS | ServiceAccess::DELETE;
    let service = match manager.open_service(name, access).map_err(plain) {
        Err(error) if error.raw_os_error() == Some(NO_SUCH_SERVICE) => return Ok(false),
        service => service?,
    };
    if service.query_status().map_err(plain)?.current_state != ServiceState::Stopped {
        service.stop().map_err(plain)?;
        wait(&service, ServiceState::Stopped)?;
    }
    service.delete().map_err(plain)?;
    Ok(true)
}

/// Runs `main` as the service `name`. It gets a function that tells Windows that it is ready, and returns whether all went well.
///
/// # Errors
/// When the Service Control Manager has not started this process.
pub fn run_as_service(name: &str, main: impl FnOnce(&dyn Fn()) -> bool + Send + 'static) -> io::Result<()> {
    *MAIN.lock().unwrap_or_else(PoisonError::into_inner) = Some((name.to_owned(), Box::new(main)));
    service_dispatcher::start(name, called_by_windows).map_err(plain)
}

fn service_main(_arguments: Vec<OsString>) {
    let Some((name, main)) = MAIN.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    let handler = service_control_handler::register(name, |control| match control {
        ServiceControl::Stop | ServiceControl::Shutdown | ServiceControl::Preshutdown => {
            STOP.notify_one();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    });
    let Ok(handle) = handler else { return };
    let report = |state, exit_code| {
        let is_running = state == ServiceState::Running;
        // Windows ends a service that it hears nothing of.
        let _ = handle.set_service_status(ServiceStatus {
            service_type: ServiceType::OWN_PROCESS,
            current_state: state,
            controls_accepted: if is_running {
                ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN
            } else {
                ServiceControlAccept::empty()
            },
            exit_code: ServiceExitCode::ServiceSpecific(exit_code),
            checkpoint: 0,
            wait_hint: if is_running { Duration::ZERO } else { TIMEOUT },
            process_id: None,
        });
    };
    report(ServiceState::StartPending, 0);
    let is_done = main(&|| report(ServiceState::Running, 0));
    report(ServiceState::Stopped, u32::from(!is_done));
}

/// `ERROR_SERVICE_DOES_NOT_EXIST`.
const NO_SUCH_SERVICE: i32 = 1060;

/// Waits until a service is in this state.
///
/// # Errors
/// [`io::ErrorKind::BrokenPipe`] when it ends before; when it takes too long.
pub(super) fn wait(service: &Service, wanted: ServiceState) -> io::Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let state = service.query_status().map_err(plain)?.current_state;
        if state == wanted {
            return Ok(());
        }
        if state == ServiceState::Stopped {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the service ended at once"));
        }
        if Instant::now() > deadline {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("the service takes longer than {TIMEOUT:?}")));
        }
        thread::sleep(PAUSE);
    }
}

/// Returns the operating system's own error.
pub(super) fn plain(error: windows_service::Error) -> io::Error {
    match error {
        windows_service::Error::Winapi(error) => error,
        error => io::Error::other(error.to_string()),
    }
}
