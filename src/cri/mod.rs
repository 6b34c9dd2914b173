//! The container runtime on this node, asked through the container runtime interface (CRI) as the kubelet asks it.
//!
//! Async inside only: every function here blocks until there is an answer or its time is over. A credential goes where the
//! kubelet puts it, into user name and password of an `AuthConfig`; no error repeats it.

mod endpoint;
#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    reason = "generated; `tests/suite/codegen.rs` compares it"
)]
#[rustfmt::skip]
mod v1;

use std::error::Error as _;
use std::time::Duration;

use tokio::time;
use tonic::{Code, Status};

use crate::credential::Issued;
use crate::grpc::{self, Connection, Endpoint};
use crate::platform::FileError;
use crate::text;
use v1::image_service_client::ImageServiceClient;
use v1::runtime_service_client::RuntimeServiceClient;

pub use endpoint::{EndpointError, endpoint};

/// Longest answer: the kubelet's own limit.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Longest wait for everything but a pull.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest message of the runtime that is shown.
const MAX_SHOWN: usize = 600;

/// A connection to a runtime.
pub struct Runtime {
    tokio: tokio::runtime::Runtime,
    connection: Connection,
    name: String,
    version: String,
}

/// An image that the runtime has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its identity, which several names may share.
    pub id: String,
    /// `REPOSITORY@DIGEST` of where it came from.
    pub digests: Vec<String>,
    /// Bytes on disk.
    pub size: u64,
}

impl Runtime {
    /// Connects, and asks who is there.
    ///
    /// # Errors
    /// [`CriError`].
    pub fn connect(endpoint: &Endpoint) -> Result<Self, CriError> {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
        let tokio = tokio.map_err(|error| CriError::Connect(error.into()))?;
        let late = |_| CriError::Late { what: "take the connection", seconds: TIMEOUT.as_secs() };
        let connection = tokio.block_on(async { time::timeout(TIMEOUT, grpc::connect(endpoint.path())).await });
        let connection = connection.map_err(late)?.map_err(CriError::Connect)?;
        let mut runtime = Self { tokio, connection, name: String::new(), version: String::new() };
        let mut client = RuntimeServiceClient::with_origin(runtime.connection.clone(), grpc::origin());
        let request = v1::VersionRequest { version: "v1".to_owned() };
        let version = runtime.ask("say its version", client.version(request))?;
        runtime.name = text::sanitize(&version.runtime_name, 40);
        runtime.version = text::sanitize(&version.runtime_version, 40);
        Ok(runtime)
    }

    /// Returns the runtime's name and version.
    pub fn name(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// Returns the identities of all images that are there.
    ///
    /// # Errors
    /// [`CriError`].
    pub fn image_ids(&self) -> Result<Vec<String>, CriError> {
        let mut client = self.images();
        let list = self.ask("list its images", client.list_images(v1::ListImagesRequest {}))?;
        Ok(list.images.into_iter().map(|image| image.id).collect())
    }

    /// Returns the image of this name, if it is there.
    ///
    /// # Errors
    /// [`CriError`].
    pub fn image(&self, name: &str) -> Result<Option<Image>, CriError> {
        let mut client = self.images();
        let request = v1::ImageStatusRequest { image: Some(spec(name)) };
        let status = self.ask("say whether it has the image", client.image_status(request))?;
        Ok(status.image.map(|image| Image { id: image.id, digests: image.repo_digests, size: image.size }))
    }

    /// Pulls an image with a credential, or without one, within `timeout`; `waiting` is called every few seconds meanwhile
    /// with the time since the start.
    ///
    /// # Errors
    /// [`CriError`].
    pub fn pull(
        &self,
        name: &str,
        credential: Option<&Issued>,
        timeout: Duration,
        mut waiting: impl FnMut(Duration),
    ) -> Result<(), CriError> {
        // gRPC keeps copies of a message that nobody can wipe; the process ends soon after.
        let auth = credential.map(|issued| v1::AuthConfig {
            username: issued.username.clone(),
            password: String::from_utf8_lossy(issued.password.expose()).into_owned(),
        });
        let request = v1::PullImageRequest { image: Some(spec(name)), auth };
        let mut client = self.images();
        let result = self.tokio.block_on(async {
            let mut pull = std::pin::pin!(client.pull_image(request));
            let start = time::Instant::now();
            let mut pause = Duration::from_secs(2);
            loop {
                let left = timeout.saturating_sub(start.elapsed());
                if left.is_zero() {
                    return None;
                }
                if let Ok(answer) = time::timeout(pause.min(left), pull.as_mut()).await {
                    return Some(answer);
                }
                if start.elapsed() < timeout {
                    waiting(start.elapsed());
                }
                pause = Duration::from_secs(5);
            }
        });
        match result {
            None => Err(CriError::Late { what: "pull the image", seconds: timeout.as_secs() }),
            Some(Ok(_)) => Ok(()),
            Some(Err(status)) => Err(refused("pull the image", &status, credential)),
        }
    }

    /// Removes the image of this identity, with all its names.
    ///
    /// # Errors
    /// [`CriError`].
    pub fn remove(&self, id: &str) -> Result<(), CriError> {
        let mut client = self.images();
        let request = v1::RemoveImageRequest { image: Some(spec(id)) };
        self.ask("remove the image", client.remove_image(request)).map(|_| ())
    }

    fn images(&self) -> ImageServiceClient<Connection> {
        let client = ImageServiceClient::with_origin(self.connection.clone(), grpc::origin());
        client.max_decoding_message_size(MAX_MESSAGE)
    }

    fn ask<T>(
        &self,
        what: &'static str,
        answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, CriError> {
        match self.tokio.block_on(async { time::timeout(TIMEOUT, answer).await }) {
            Err(_) => Err(CriError::Late { what, seconds: TIMEOUT.as_secs() }),
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(refused(what, &status, None)),
        }
    }
}

/// Why the runtime did not do what it was asked.
///
/// Each message completes a sentence that begins with the runtime.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CriError {
    /// Nobody listens, or somebody who must not learn a credential: the socket is not root's alone.
    #[error(transparent)]
    Connect(FileError),
    /// It went away.
    #[error("{0}")]
    Broken(String),
    /// Something listens, without the services of a container runtime.
    #[error("has no container runtime interface of version 1")]
    NoCri,
    /// It did not answer in time.
    #[error("did not {what} within {seconds} seconds")]
    Late {
        /// What was asked.
        what: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
    /// It refused, with the runtime's own words.
    #[error("did not {what}: {message}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The runtime's words on one line, without the credential.
        message: String,
    },
}

fn spec(name: &str) -> v1::ImageSpec {
    v1::ImageSpec { image: name.to_owned() }
}

fn refused(what: &'static str, status: &Status, credential: Option<&Issued>) -> CriError {
    if status.code() == Code::Unimplemented {
        return CriError::NoCri;
    }
    if status.source().is_some() {
        return CriError::Broken(grpc::reason(status));
    }
    let password = credential.and_then(|issued| std::str::from_utf8(issued.password.expose()).ok());
    let message = match password.filter(|password| !password.is_empty()) {
        Some(password) => status.message().replace(password, "***"),
        None => status.message().to_owned(),
    };
    CriError::Refused { what, message: text::sanitize(&message, MAX_SHOWN) }
}
