//! Stored credentials on the wire and in the program.

use prost::Message;
use prost::bytes::Bytes;

use super::{Error, v1};
use crate::credential::Credential;
use crate::scope::Scope;
use crate::secret::Secret;

/// Decodes an opened payload. Secrets are slices of it, never copies.
pub(super) fn decode(payload: Bytes) -> Result<Vec<Credential>, Error> {
    // Authentic, so only a newer writer could have made something that does not parse.
    let payload = v1::Payload::decode(payload).map_err(|error| Error::Unsupported {
        what: "the content of the store".to_owned(),
        reason: error.to_string(),
    })?;
    Ok(payload.credentials.into_iter().map(Credential::from).collect())
}

/// Makes the payload; secrets are shared, not copied.
pub(super) fn payload(credentials: &[Credential]) -> v1::Payload {
    v1::Payload { credentials: credentials.iter().map(v1::Credential::from).collect() }
}

impl From<v1::Credential> for Credential {
    fn from(wire: v1::Credential) -> Self {
        Self {
            scope: Scope::from_stored(wire.scope),
            username: wire.username,
            secret: Secret::from_wiped(wire.secret),
            issuer: wire.issuer,
            settings: wire.settings,
            expires_at: wire.expires_at,
            updated_at: wire.updated_at,
            origin: wire.origin,
        }
    }
}

impl From<&Credential> for v1::Credential {
    fn from(credential: &Credential) -> Self {
        Self {
            scope: credential.scope.to_string(),
            username: credential.username.clone(),
            secret: credential.secret.share(),
            issuer: credential.issuer.clone(),
            settings: credential.settings.clone(),
            expires_at: credential.expires_at,
            updated_at: credential.updated_at,
            origin: credential.origin.clone(),
        }
    }
}
