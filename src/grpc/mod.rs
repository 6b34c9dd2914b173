//! gRPC to a service on this machine: one HTTP/2 connection over a Unix socket or a named pipe, and a runtime for one exchange.
//!
//! A connection is used for a few calls and dropped; nothing connects anew behind the caller's back. Nothing here starts unless
//! it is called, so the plugin that answers from the store alone never pays for it.

mod endpoint;

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tonic::body::Body;
use tonic::client::GrpcService;

use crate::platform::{self, FileError};
use crate::text;

pub use endpoint::Endpoint;

/// A message of somebody else's, as much of it as fits in one line.
const MAX_MESSAGE: usize = 200;

/// An open connection. The generated clients of `tonic` run on it.
#[derive(Clone, Debug)]
pub struct Connection(SendRequest<Body>);

/// Connects to a socket or pipe that only root (SYSTEM, Administrators) or this account can have put there.
///
/// # Errors
/// [`FileError`]; each message completes the sentence "`PATH` ...".
pub async fn connect(path: &Path) -> Result<Connection, FileError> {
    let stream = platform::connect_trusted(path).await?;
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .map_err(|error| FileError::Io(io::Error::other(error)))?;
    // It ends with the last sender; how it ends shows in the calls.
    tokio::spawn(connection);
    Ok(Connection(sender))
}

/// Where requests are addressed to; a local service does not look at it.
pub fn origin() -> http::Uri {
    http::Uri::from_static("http://localhost")
}

/// Runs one exchange to its end on a runtime of its own. `None` when it took longer than `timeout`.
///
/// # Errors
/// When the operating system gives no runtime.
pub fn run<T>(timeout: Duration, exchange: impl Future<Output = T>) -> io::Result<Option<T>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    Ok(runtime.block_on(async { tokio::time::timeout(timeout, exchange).await.ok() }))
}

/// Says in a few words why a call failed, on one line: what the service answered, or what became of the connection.
pub fn reason(status: &tonic::Status) -> String {
    let mut cause = status.source();
    if cause.is_none() {
        return format!("refused: {} ({:?})", text::sanitize(status.message(), MAX_MESSAGE), status.code());
    }
    let mut last = String::new();
    while let Some(error) = cause {
        last = error.to_string();
        cause = error.source();
    }
    format!("broke off the connection: {}", text::sanitize(&last, MAX_MESSAGE))
}

impl GrpcService<Body> for Connection {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = hyper::Result<http::Response<Incoming>>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
