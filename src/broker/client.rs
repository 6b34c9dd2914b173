//! Asks a broker, from a process that knows nothing of async: each call is one connection, one exchange, one runtime.

use std::io;
use std::time::Duration;

use tonic::{Code, Request, Status as Refusal};
use zeroize::Zeroizing;

use super::v1::broker_client::BrokerClient;
use super::{Entry, MAX_MESSAGE, Response, Status, Stored, convert, v1};
use crate::credential::Credential;
use crate::grpc::{self, Connection, Endpoint};
use crate::platform::FileError;
use crate::scope::Scope;

/// An operator's commands wait this long; the broker itself gives up after thirty seconds.
const TIMEOUT: Duration = Duration::from_secs(35);

/// A broker in another process.
#[derive(Clone, Debug)]
pub struct Client {
    endpoint: Endpoint,
}

/// Why another process did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody listens, or the wrong account does.
    #[error("broker `{endpoint}` cannot be asked: it {why}")]
    Connect {
        /// Where it was looked for.
        endpoint: Endpoint,
        /// Completes the sentence.
        why: FileError,
    },
    /// The connection ended before the answer.
    #[error("broker `{endpoint}` {why}")]
    Broken {
        /// Where it listens.
        endpoint: Endpoint,
        /// Completes the sentence.
        why: String,
    },
    /// No answer in time.
    #[error("broker `{endpoint}` did not answer within {} seconds", .timeout.as_secs())]
    Timeout {
        /// Where it listens.
        endpoint: Endpoint,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// No runtime on this side.
    #[error("the broker cannot be asked: {0}")]
    Runtime(io::Error),
    /// It answered that it would not, or could not.
    #[error("{message}")]
    Answered {
        /// What kind of refusal.
        code: Code,
        /// The broker's own words, with the next step.
        message: String,
    },
}

impl ClientError {
    /// Returns whether the broker was not there to answer, so that somebody else may.
    pub fn is_down(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Broken { .. } | Self::Timeout { .. } | Self::Runtime(_) => true,
            Self::Answered { .. } => false,
        }
    }
}

impl Client {
    /// Names a broker; nothing is connected yet.
    pub fn at(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    /// Lets the broker answer a `CredentialProviderRequest`, within `timeout`.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn get_credentials(&self, request: &Zeroizing<Vec<u8>>, timeout: Duration) -> Result<Response, ClientError> {
        let message = convert::request(request);
        self.call(timeout, async |mut client| client.get_credentials(Request::new(message)).await)
            .map(|answer| Response(answer.response))
    }

    /// Stores a credential.
    ///
    /// # Errors
    /// [`ClientError`]; `AlreadyExists` for a tie.
    pub fn put(&self, credential: &Credential) -> Result<Stored, ClientError> {
        let message = v1::PutRequest::from(credential);
        self.call(TIMEOUT, async |mut client| client.put(message).await).map(Stored::from)
    }

    /// Removes a credential.
    ///
    /// # Errors
    /// [`ClientError`]; `NotFound` when nothing is stored.
    pub fn delete(&self, scope: &Scope) -> Result<(), ClientError> {
        let message = v1::DeleteRequest { scope: scope.to_string() };
        self.call(TIMEOUT, async |mut client| client.delete(message).await).map(drop)
    }

    /// Lists what is stored.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn list(&self) -> Result<Vec<Entry>, ClientError> {
        let answer = self.call(TIMEOUT, async |mut client| client.list(v1::ListRequest {}).await)?;
        Ok(answer.entries.into_iter().map(Entry::from).collect())
    }

    /// Describes the store and the broker.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn status(&self) -> Result<Status, ClientError> {
        self.call(TIMEOUT, async |mut client| client.status(v1::StatusRequest {}).await).map(Status::from)
    }

    fn call<A>(
        &self,
        timeout: Duration,
        call: impl AsyncFnOnce(BrokerClient<Connection>) -> Result<tonic::Response<A>, Refusal>,
    ) -> Result<A, ClientError> {
        let endpoint = || self.endpoint.clone();
        let exchange = async {
            let connection = grpc::connect(self.endpoint.path())
                .await
                .map_err(|why| ClientError::Connect { endpoint: endpoint(), why })?;
            let client =
                BrokerClient::with_origin(connection, grpc::origin()).max_decoding_message_size(64 * MAX_MESSAGE);
            match call(client).await {
                Ok(answer) => Ok(answer.into_inner()),
                // Made on this side, from what became of the connection.
                Err(refusal) if std::error::Error::source(&refusal).is_some() => {
                    Err(ClientError::Broken { endpoint: endpoint(), why: grpc::reason(&refusal) })
                }
                Err(refusal) => {
                    Err(ClientError::Answered { code: refusal.code(), message: refusal.message().to_owned() })
                }
            }
        };
        let timed_out = ClientError::Timeout { endpoint: endpoint(), timeout };
        grpc::run(timeout, exchange).map_err(ClientError::Runtime)?.unwrap_or(Err(timed_out))
    }
}
