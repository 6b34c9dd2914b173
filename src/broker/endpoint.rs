//! Where a broker listens: `unix:///PATH`, or `npipe:////./pipe/NAME` on Windows, as the kubelet writes such endpoints.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

const SCHEME: &str = if cfg!(windows) { "npipe://" } else { "unix://" };
const EXAMPLE: &str = if cfg!(windows) {
    "a broker's endpoint is written as `npipe:////./pipe/keyring-credential-provider`"
} else {
    "a broker's endpoint is written as `unix:///run/keyring-credential-provider.sock`"
};

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(PathBuf);

/// Returns where a broker listens unless it is told otherwise.
pub fn default_endpoint() -> Endpoint {
    Endpoint(PathBuf::from(if cfg!(windows) {
        r"\\.\pipe\keyring-credential-provider"
    } else {
        "/run/keyring-credential-provider.sock"
    }))
}

impl Endpoint {
    /// Returns the path of the socket or pipe, as the operating system takes it.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for Endpoint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let path = text.strip_prefix(SCHEME).filter(|path| !path.contains('\0')).ok_or(EXAMPLE)?;
        if cfg!(windows) {
            // Only a pipe of this machine: `\\server\pipe\name` would send the request over the network.
            let path = path.replace('/', r"\");
            let name = path.strip_prefix(r"\\.\pipe\").filter(|name| !name.is_empty() && !name.contains('\\'));
            return name.map(|_| Self(PathBuf::from(&path))).ok_or(EXAMPLE);
        }
        if path.starts_with('/') { Ok(Self(path.into())) } else { Err(EXAMPLE) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", self.0.display().to_string().replace('\\', "/"))
    }
}
