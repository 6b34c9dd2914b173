//! Where a container runtime listens, as the kubelet's `containerRuntimeEndpoint` has it.
//!
//! Source of the forms: kubernetes `pkg/kubelet/util/util_unix.go` and `util_windows.go`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

const SCHEME: &str = if cfg!(windows) { "npipe" } else { "unix" };

/// The address of a Unix socket, or of a named pipe on Windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(PathBuf);

impl Endpoint {
    /// Returns the path of the socket or pipe.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    /// Parses `unix:///run/containerd/containerd.sock`, `npipe:////./pipe/containerd-containerd`, or the path alone.
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let pipe = pipe(text);
        let socket = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text);
        match (pipe, SCHEME) {
            (Some(Some(pipe)), "npipe") => Ok(Self(pipe.into())),
            (Some(None), "npipe") => Err(EndpointError::Pipe),
            (Some(_), _) => Err(EndpointError::PipeHere),
            (None, "npipe") => Err(EndpointError::Pipe),
            (None, _) if socket.starts_with('/') && !socket.contains('\0') => Ok(Self(socket.into())),
            (None, _) => Err(EndpointError::Socket),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// Returns the path of a pipe; `Some(None)` when the text means a pipe, but none of this machine.
fn pipe(text: &str) -> Option<Option<String>> {
    let rest = text.strip_prefix("npipe:").or_else(|| text.starts_with(r"\\").then_some(text))?;
    let path = rest.replace('/', r"\");
    let name = path.trim_start_matches('\\').strip_prefix(r".\pipe\");
    Some(name.filter(|name| !name.is_empty()).map(|name| format!(r"\\.\pipe\{name}")))
}

/// Why a text is no endpoint here. The text itself is never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum EndpointError {
    #[error("the endpoint of a container runtime is an absolute path, as in `unix:///run/containerd/containerd.sock`")]
    Socket,
    #[error("a named pipe is an endpoint on Windows only; here it is as `unix:///run/containerd/containerd.sock`")]
    PipeHere,
    #[error(
        "the endpoint of a container runtime is a pipe of this machine, as in `npipe:////./pipe/containerd-containerd`"
    )]
    Pipe,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_written_in_many_ways() {
        for text in [
            "npipe:////./pipe/containerd-containerd",
            "npipe://./pipe/containerd-containerd",
            r"npipe:\\.\pipe\containerd-containerd",
            r"\\.\pipe\containerd-containerd",
        ] {
            assert_eq!(pipe(text), Some(Some(r"\\.\pipe\containerd-containerd".to_owned())), "{text}");
        }
        // Of another machine, or none at all.
        for text in ["npipe:////server/pipe/x", r"\\server\pipe\x", "npipe://", "npipe:////./pipe/"] {
            assert_eq!(pipe(text), Some(None), "{text}");
        }
        assert_eq!(pipe("unix:///run/x.sock"), None);
    }
}
