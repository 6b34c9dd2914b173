//! Who runs this program, and on which machine.

use std::fs::File;
use std::io::Read;

/// Returns whether this process runs as root.
pub fn is_privileged() -> bool {
    rustix::process::geteuid().is_root()
}

/// Returns the account for people to read: `uid 0`.
pub fn account() -> String {
    format!("uid {}", rustix::process::geteuid().as_raw())
}

/// Returns the bytes of `/etc/machine-id`, or `None` on a machine without one (machine-id(5)).
pub fn machine_id() -> Option<Vec<u8>> {
    // 32 digits and a line feed; one read rather than three, since this is on the way of every pull.
    let mut bytes = [0; 64];
    let count = File::open("/etc/machine-id").and_then(|mut file| file.read(&mut bytes)).ok()?;
    let id = bytes[..count].trim_ascii();
    (!id.is_empty() && id != b"uninitialized").then(|| id.to_vec())
}
