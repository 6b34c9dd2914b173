//! Between the messages and this program's own words. A secret is taken out of its message without a copy.

use std::time::Duration;

use prost::bytes::Bytes;
use tonic::{Code, Status as Refusal};
use zeroize::Zeroizing;

use super::{BrokerError, Entry, Status, Stored, v1};
use crate::credential::Credential;
use crate::scope::{Scope, ScopeError};
use crate::secret::Secret;
use crate::store;

impl v1::PutRequest {
    /// Reads what is to be stored at the time `now`, by `caller`.
    pub(super) fn into_credential(self, now: i64, caller: &str) -> Result<Credential, ScopeError> {
        // The library's buffer is not ours to wipe; the copy that is kept is.
        let secret = Secret::new(Zeroizing::new(self.secret.to_vec()));
        Ok(Credential {
            scope: self.scope.parse()?,
            username: self.username,
            secret,
            issuer: self.issuer,
            settings: self.settings,
            expires_at: self.expires_at,
            updated_at: now,
            origin: format!("login through the broker by {caller}"),
        })
    }
}

impl From<&Credential> for v1::PutRequest {
    fn from(credential: &Credential) -> Self {
        Self {
            scope: credential.scope.to_string(),
            username: credential.username.clone(),
            secret: credential.secret.share(),
            issuer: credential.issuer.clone(),
            settings: credential.settings.clone(),
            expires_at: credential.expires_at,
        }
    }
}

impl From<Stored> for v1::PutResponse {
    fn from(stored: Stored) -> Self {
        Self { replaced: stored.replaced, others: stored.others.iter().map(Scope::to_string).collect() }
    }
}

impl From<v1::PutResponse> for Stored {
    fn from(wire: v1::PutResponse) -> Self {
        Self { replaced: wire.replaced, others: wire.others.into_iter().map(Scope::from_stored).collect() }
    }
}

impl From<Entry> for v1::Entry {
    fn from(entry: Entry) -> Self {
        let Entry { scope, username, issuer, expires_at, updated_at, origin } = entry;
        Self { scope, username, issuer, expires_at, updated_at, origin }
    }
}

impl From<v1::Entry> for Entry {
    fn from(wire: v1::Entry) -> Self {
        let v1::Entry { scope, username, issuer, expires_at, updated_at, origin } = wire;
        Self { scope, username, issuer, expires_at, updated_at, origin }
    }
}

impl From<Status> for v1::StatusResponse {
    fn from(status: Status) -> Self {
        Self {
            version: status.version,
            store: status.store,
            generation: status.generation,
            credentials: status.credentials,
            key_source: status.key_source,
            uptime_seconds: status.uptime.as_secs(),
            answers: status.answers,
        }
    }
}

impl From<v1::StatusResponse> for Status {
    fn from(wire: v1::StatusResponse) -> Self {
        Self {
            version: wire.version,
            store: wire.store,
            generation: wire.generation,
            credentials: wire.credentials,
            key_source: wire.key_source,
            uptime: Duration::from_secs(wire.uptime_seconds),
            answers: wire.answers,
        }
    }
}

impl From<BrokerError> for Refusal {
    fn from(error: BrokerError) -> Self {
        let code = match &error {
            BrokerError::Request(_) | BrokerError::Refused(_) => Code::InvalidArgument,
            BrokerError::Store { source: store::Error::Unavailable { .. } | store::Error::Kms { .. }, .. } => {
                Code::Unavailable
            }
            BrokerError::Store { .. } | BrokerError::Issuer { .. } => Code::FailedPrecondition,
            BrokerError::Tie { .. } => Code::AlreadyExists,
        };
        Self::new(code, error.to_string())
    }
}

/// Wraps bytes whose owner wipes them.
pub(super) fn request(bytes: &Zeroizing<Vec<u8>>) -> v1::GetCredentialsRequest {
    v1::GetCredentialsRequest { request: Bytes::from_owner(bytes.clone()) }
}
