//! One connection to a plugin whose status has been checked.

use std::io;
use std::path::Path;

use zeroize::Zeroizing;

use super::v2::key_management_service_client::KeyManagementServiceClient;
use super::v2::{DecryptRequest, EncryptRequest, StatusRequest};
use super::{Encrypted, KmsError, limits};
use crate::grpc::{self, Connection};
use crate::text;

/// The largest answer that keeps to the limits has 34 KiB and some. What is larger than this is not even read.
const MAX_ANSWER: usize = 256 * 1024;

/// What a plugin says of itself, as much of it as fits in one line.
const MAX_WORDS: usize = 200;

pub(super) struct Session {
    client: KeyManagementServiceClient<Connection>,
    key_id: String,
}

impl Session {
    /// Connects and asks for the status, which must say `ok`.
    pub(super) async fn open(socket: &Path) -> Result<Self, KmsError> {
        let connection = grpc::connect(socket).await.map_err(KmsError::Socket)?;
        let client = KeyManagementServiceClient::with_origin(connection, grpc::origin());
        let mut session = Self { client: client.max_decoding_message_size(MAX_ANSWER), key_id: String::new() };
        session.key_id = session.status().await?;
        Ok(session)
    }

    /// Returns the name of the key that the plugin uses now.
    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    pub(super) async fn encrypt(&mut self, plaintext: &[u8]) -> Result<Encrypted, KmsError> {
        let request = EncryptRequest { plaintext: plaintext.to_vec(), uid: uid()? };
        let answer = self.client.encrypt(request).await.map_err(refused)?.into_inner();
        let encrypted =
            Encrypted { ciphertext: answer.ciphertext, key_id: answer.key_id, annotations: answer.annotations };
        limits::check_encrypted(&encrypted)?;
        // The plugin may have changed its key in between; then its status says so by now.
        if encrypted.key_id != self.key_id {
            self.key_id = self.status().await?;
        }
        if encrypted.key_id != self.key_id {
            return Err(KmsError::KeyId {
                status: text::sanitize(&self.key_id, MAX_WORDS),
                encrypted: text::sanitize(&encrypted.key_id, MAX_WORDS),
            });
        }
        // What does not come back would be found out at the next boot, with everything lost.
        if self.decrypt(encrypted.clone()).await?.as_slice() != plaintext {
            return Err(KmsError::Rule("it does not decrypt what it encrypted".to_owned()));
        }
        Ok(encrypted)
    }

    pub(super) async fn decrypt(&mut self, encrypted: Encrypted) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        let Encrypted { ciphertext, key_id, annotations } = encrypted;
        let request = DecryptRequest { ciphertext, uid: uid()?, key_id, annotations };
        let answer = self.client.decrypt(request).await.map_err(refused)?.into_inner();
        Ok(Zeroizing::new(answer.plaintext))
    }

    async fn status(&mut self) -> Result<String, KmsError> {
        let status = self.client.status(StatusRequest {}).await.map_err(refused)?.into_inner();
        // The API server takes both: `v2beta1` is the same API (Kubernetes 1.27).
        if !matches!(status.version.as_str(), "v2" | "v2beta1") {
            return Err(KmsError::Version(text::sanitize(&status.version, MAX_WORDS)));
        }
        if status.healthz != "ok" {
            return Err(KmsError::Unhealthy(text::sanitize(&status.healthz, MAX_WORDS)));
        }
        limits::check_key_id(&status.key_id)?;
        Ok(status.key_id)
    }
}

fn refused(status: tonic::Status) -> KmsError {
    KmsError::Call(grpc::reason(&status))
}

/// Draws a name for a call, for the logs on both sides.
fn uid() -> Result<String, KmsError> {
    let number = getrandom::u64().map_err(|error| KmsError::Runtime(io::Error::other(error)))?;
    Ok(format!("keyring-credential-provider-{number:016x}"))
}
