//! Where a service of this machine listens: `unix:///PATH`, or `npipe:////./pipe/NAME` on Windows, as the kubelet writes such
//! endpoints.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const SCHEME: &str = if cfg!(windows) { "npipe://" } else { "unix://" };
const EXAMPLE: &str = if cfg!(windows) {
    "an endpoint is written as `npipe:////./pipe/NAME`"
} else {
    "an endpoint is written as `unix:///run/NAME.sock`"
};

/// The address of a Unix socket, or of a named pipe on Windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(PathBuf);

impl Endpoint {
    /// Names a socket or pipe by its path. `None` for what is no absolute path, or no pipe of this machine.
    pub fn at(path: &str) -> Option<Self> {
        let is_here = if cfg!(windows) { is_pipe_here(path) } else { path.starts_with('/') && !path.contains('\0') };
        is_here.then(|| Self(path.into()))
    }

    /// Returns the path of the socket or pipe, as the operating system takes it.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// `\\server\pipe\name` would send what is asked over the network.
fn is_pipe_here(path: &str) -> bool {
    path.strip_prefix(r"\\.\pipe\").is_some_and(|name| !name.is_empty() && !name.contains(['\\', '/', '\0']))
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let path = text.strip_prefix(SCHEME).ok_or(EXAMPLE)?;
        let path = if cfg!(windows) { path.replace('/', r"\") } else { path.to_owned() };
        Self::at(&path).ok_or(EXAMPLE)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.0.display().to_string().replace('\\', "/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_of_another_machine_is_none() {
        assert!(is_pipe_here(r"\\.\pipe\containerd-containerd"));
        for path in [r"\\server\pipe\x", r"\\.\pipe\", r"\\.\pipe\a\b", r"\\.\PhysicalDrive0", r"\\?\pipe\x", "x"] {
            assert!(!is_pipe_here(path), "{path}");
        }
    }
}
