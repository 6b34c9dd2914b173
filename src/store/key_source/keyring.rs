//! A random key in the operating system's own key store, through keyring-core.

use zeroize::Zeroizing;

use super::super::Error;
use super::super::key::{DataKey, WrappingKey};
use super::super::v1::Header;
use super::{Wrapped, entry_name};
use crate::platform;

const WHAT: &str = if cfg!(windows) { "Credential Manager" } else { "the kernel keyring" };

pub(super) fn wrap(store_id: &[u8], data_key: &DataKey) -> Result<Wrapped, Error> {
    let key = WrappingKey::generate()?;
    let key_id = key.id();
    platform::keyring_entry(&entry_name(store_id, &key_id))
        .and_then(|entry| entry.set_secret(key.expose()))
        .map_err(|error| keyring_error(WHAT, error))?;
    Ok(Wrapped { key_id, data_key: key.wrap(store_id, data_key)?, kms: None })
}

pub(super) fn unwrap(header: &Header) -> Result<DataKey, Error> {
    let bytes = platform::keyring_entry(&entry_name(&header.store_id, &header.key_id))
        .and_then(|entry| entry.get_secret())
        .map(Zeroizing::new)
        .map_err(|error| keyring_error(WHAT, error))?;
    unwrap_with(&bytes, header, WHAT)
}

pub(super) fn remove(header: &Header) -> Result<(), Error> {
    platform::keyring_entry(&entry_name(&header.store_id, &header.key_id))
        .and_then(|entry| entry.delete_credential())
        .or_else(|error| match error {
            keyring_core::Error::NoEntry => Ok(()),
            error => Err(keyring_error(WHAT, error)),
        })
}

pub(super) fn unwrap_with(key: &[u8], header: &Header, what: &str) -> Result<DataKey, Error> {
    WrappingKey::from_bytes(key).and_then(|key| key.unwrap(&header.store_id, &header.wrapped_data_key)).ok_or_else(
        || Error::Unavailable {
            what: what.to_owned(),
            reason: "its key is not the one the store was sealed with".to_owned(),
        },
    )
}

/// Translates without showing anything: two of keyring-core's errors carry the secret's bytes.
pub(super) fn keyring_error(what: &str, error: keyring_core::Error) -> Error {
    let reason = match error {
        keyring_core::Error::NoEntry if cfg!(windows) => format!(
            "the store's key is not there for {}; each account has a Credential Manager of its own",
            platform::account()
        ),
        keyring_core::Error::NoEntry => {
            "the store's key is not there; the kernel keyring is emptied at every boot".to_owned()
        }
        keyring_core::Error::PlatformFailure(source) | keyring_core::Error::NoStorageAccess(source) => {
            source.to_string()
        }
        keyring_core::Error::BadEncoding(bytes) | keyring_core::Error::BadDataFormat(bytes, _) => {
            drop(Zeroizing::new(bytes));
            "the store's key has the wrong form".to_owned()
        }
        keyring_core::Error::Ambiguous(_) => "it holds the store's key more than once".to_owned(),
        _ => "it refused the request".to_owned(),
    };
    Error::Unavailable { what: what.to_owned(), reason }
}
