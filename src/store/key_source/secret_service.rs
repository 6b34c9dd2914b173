//! A random key in the Secret Service of a desktop session, through `keyring`.
//!
//! D-Bus can hang for two minutes when a daemon does not start, and for ever on a prompt. So every call runs on a thread of its
//! own, and is given up after a deadline; the thread dies with the process.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

use super::super::Error;
use super::super::key::{DataKey, WrappingKey};
use super::super::v1::Header;
use super::keyring::{keyring_error, unwrap_with};
use super::{Wrapped, entry_name};

const WHAT: &str = "Secret Service";
const SERVICE: &str = "keyring-credential-provider";

/// A healthy daemon answers in milliseconds; the plugin's own deadline is ten seconds.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn wrap(store_id: &[u8], data_key: &DataKey) -> Result<Wrapped, Error> {
    let key = WrappingKey::generate()?;
    let key_id = key.id();
    let bytes = Zeroizing::new(key.expose().to_vec());
    with_entry(entry_name(store_id, &key_id), move |entry| entry.set_secret(&bytes))?;
    Ok(Wrapped { key_id, data_key: key.wrap(store_id, data_key)?, kms: None })
}

pub(super) fn unwrap(header: &Header) -> Result<DataKey, Error> {
    let name = entry_name(&header.store_id, &header.key_id);
    let bytes = with_entry(name, |entry| entry.get_secret().map(Zeroizing::new))?;
    unwrap_with(&bytes, header, WHAT)
}

pub(super) fn remove(header: &Header) -> Result<(), Error> {
    with_entry(entry_name(&header.store_id, &header.key_id), |entry| match entry.delete_credential() {
        Err(keyring::Error::NoEntry) => Ok(()),
        result => result,
    })
}

fn with_entry<T: Send + 'static>(
    name: String,
    call: impl FnOnce(&keyring::Entry) -> keyring::Result<T> + Send + 'static,
) -> Result<T, Error> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let result = keyring::Entry::new(SERVICE, &name)
            // `Entry::new` only says that there is no store; this says why.
            .map_err(|error| {
                keyring::Entry::store_status().as_ref().err().map_or_else(
                    || keyring_error(WHAT, error),
                    |cause| Error::Unavailable { what: WHAT.to_owned(), reason: cause.to_string() },
                )
            })
            .and_then(|entry| call(&entry).map_err(|error| keyring_error(WHAT, error)));
        // The receiver is gone when the deadline has passed.
        let _ = sender.send(result);
    });
    receiver.recv_timeout(TIMEOUT).unwrap_or_else(|_| {
        Err(Error::Unavailable {
            what: WHAT.to_owned(),
            reason: format!("it did not answer within {} seconds; its collection may be locked", TIMEOUT.as_secs()),
        })
    })
}
