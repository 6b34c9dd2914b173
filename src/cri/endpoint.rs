//! Where a container runtime listens, as the kubelet's `containerRuntimeEndpoint` has it.
//!
//! Source of the forms: kubernetes `pkg/kubelet/util/util_unix.go` and `util_windows.go`.

use crate::grpc::Endpoint;

/// Reads `unix:///run/containerd/containerd.sock`, `npipe:////./pipe/containerd-containerd`, or the path alone.
///
/// # Errors
/// How it is written here.
pub fn endpoint(text: &str) -> Result<Endpoint, EndpointError> {
    let socket = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:")).unwrap_or(text);
    match (pipe(text), cfg!(windows)) {
        (Some(pipe), true) => Endpoint::at(&pipe).ok_or(EndpointError::Pipe),
        (None, true) => Err(EndpointError::Pipe),
        (Some(_), false) => Err(EndpointError::PipeHere),
        (None, false) => Endpoint::at(socket).ok_or(EndpointError::Socket),
    }
}

/// Returns the path of a pipe as Windows takes it, when the text means a pipe of any machine.
fn pipe(text: &str) -> Option<String> {
    let rest = text.strip_prefix("npipe:").or_else(|| text.starts_with(r"\\").then_some(text))?;
    Some(format!(r"\\{}", rest.replace('/', r"\").trim_start_matches('\\')))
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
            assert_eq!(pipe(text), Some(r"\\.\pipe\containerd-containerd".to_owned()), "{text}");
        }
        assert_eq!(pipe("npipe:////server/pipe/x"), Some(r"\\server\pipe\x".to_owned()));
        assert_eq!(pipe("unix:///run/x.sock"), None);
    }
}
