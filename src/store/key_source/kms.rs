//! The data key encrypted by a Kubernetes KMS v2 plugin. What the plugin returned stands in the header.

use sha2::{Digest, Sha256};

use super::super::Error;
use super::super::key::DataKey;
use super::super::v1::{Header, KmsKey};
use super::Wrapped;
use crate::grpc::Endpoint;
use crate::kms::{self, Encrypted, KmsError};

pub(super) fn wrap(header: &Header, data_key: &DataKey, endpoint: Option<&Endpoint>) -> Result<Wrapped, Error> {
    let endpoint = match (endpoint, &header.kms) {
        (Some(endpoint), _) => endpoint.clone(),
        (None, Some(key)) => parse(key)?,
        (None, None) => {
            return Err(Error::Unsupported {
                what: "key source `kms` without an endpoint".to_owned(),
                reason: "`--kms-endpoint unix:///PATH` says where the plugin listens".to_owned(),
            });
        }
    };
    let encrypted = kms::encrypt(&endpoint, data_key.expose()).map_err(failed(&endpoint.to_string()))?;
    Ok(wrapped(&endpoint, encrypted))
}

pub(super) fn unwrap(header: &Header) -> Result<DataKey, Error> {
    let Some(key) = &header.kms else {
        return Err(failed("")(KmsError::Endpoint("the store's header does not name it")));
    };
    let endpoint = parse(key)?;
    let failed = failed(&key.endpoint);
    let encrypted = Encrypted {
        ciphertext: header.wrapped_data_key.clone(),
        key_id: key.key_id.clone(),
        annotations: key.annotations.clone(),
    };
    match kms::decrypt(&endpoint, encrypted) {
        Ok(bytes) => {
            let length = bytes.len();
            DataKey::from_bytes(bytes).ok_or_else(|| failed(KmsError::NoDataKey(length)))
        }
        Err(error) => Err(failed(error)),
    }
}

/// Lets a plugin that has changed its key encrypt the data key anew. One that does not answer is left alone: what its old key
/// encrypted stays good, and is still in the header.
pub(super) fn refresh(header: &mut Header, data_key: &DataKey) {
    let Some((key, endpoint)) = header.kms.as_ref().and_then(|key| Some((key, parse(key).ok()?))) else { return };
    match kms::encrypt_unless(&endpoint, &key.key_id, data_key.expose()) {
        Ok(None) => {}
        Ok(Some(encrypted)) => {
            let wrapped = wrapped(&endpoint, encrypted);
            tracing::info!(%endpoint, "the KMS plugin has a new key, under which the data key is encrypted from now on");
            header.key_id = wrapped.key_id.to_vec();
            header.wrapped_data_key = wrapped.data_key;
            header.kms = wrapped.kms;
        }
        Err(error) => tracing::warn!("KMS plugin `{endpoint}` {error}; the data key stays encrypted as it was"),
    }
}

fn wrapped(endpoint: &Endpoint, encrypted: Encrypted) -> Wrapped {
    let Encrypted { ciphertext, key_id, annotations } = encrypted;
    // The header names keys in 16 bytes; a plugin may take 1 KiB.
    let digest = Sha256::digest(&key_id);
    Wrapped {
        key_id: *digest.first_chunk().expect("SHA-256 has 32 bytes"),
        data_key: ciphertext,
        kms: Some(KmsKey { endpoint: endpoint.to_string(), key_id, annotations }),
    }
}

fn parse(key: &KmsKey) -> Result<Endpoint, Error> {
    kms::endpoint(&key.endpoint).map_err(|reason| failed(&key.endpoint)(KmsError::Endpoint(reason)))
}

fn failed(endpoint: &str) -> impl FnOnce(KmsError) -> Error {
    move |why| Error::Kms { endpoint: endpoint.to_owned(), why }
}
