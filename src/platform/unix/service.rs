//! The services of a node, through systemctl(1) and snap(1).

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::process;

/// systemd waits for 90 seconds until it kills what does not stop, and as long for what does not start.
const TIMEOUT: Duration = Duration::from_secs(300);

/// Runs one command of a service manager, as an operator would type it.
///
/// # Errors
/// When there is no such program, or it fails.
pub fn control_service(command: &[String]) -> io::Result<()> {
    let [program, arguments @ ..] = command else { return Err(io::ErrorKind::InvalidInput.into()) };
    let places = ["/usr/bin", "/bin", "/usr/sbin", "/sbin", "/snap/bin"];
    let found = places.iter().map(|dir| format!("{dir}/{program}")).find(|path| Path::new(path).is_file());
    let found = found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no `{program}` on this node")))?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    process::run(&found, &arguments, b"", TIMEOUT).map(drop).map_err(|error| io::Error::other(error.to_string()))
}
