//! A service of ours. On Linux that is a unit file of systemd, which the packages bring along; nothing is registered from inside.

use std::io;

/// Refers to systemd.
///
/// # Errors
/// Always.
pub fn install_service(_name: &str, _title: &str, _description: &str, _arguments: &[&str]) -> io::Result<()> {
    Err(unsupported())
}

/// Refers to systemd.
///
/// # Errors
/// Always.
pub fn uninstall_service(_name: &str) -> io::Result<bool> {
    Err(unsupported())
}

/// Refers to systemd, which needs no more than the process itself.
///
/// # Errors
/// Always.
pub fn run_as_service(_name: &str, _main: impl FnOnce(&dyn Fn()) -> bool + Send + 'static) -> io::Result<()> {
    Err(unsupported())
}

fn unsupported() -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        "services are registered on Windows only; on Linux: \
         `systemctl enable --now keyring-credential-provider-broker.socket`",
    )
}
