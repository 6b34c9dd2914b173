//! Where the key of a store is kept. Chosen by `store init`, written into the header, never guessed when reading.

mod host_key;
mod keyring;
mod kms;
#[cfg(feature = "secret-service")]
mod secret_service;
#[cfg(not(feature = "secret-service"))]
#[path = "no_secret_service.rs"]
mod secret_service;
mod systemd_creds;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::key::DataKey;
use super::v1::{self, Header};
use super::{Error, hex};
use crate::grpc::Endpoint;
pub use systemd_creds::SystemdKey;

/// Where the key of a store is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file beside the store that only root may read.
    HostKey,
    /// `systemd-creds`: the host's secret, the TPM, or both.
    SystemdCreds,
    /// Windows: Credential Manager of this account. Linux: the kernel keyring, until reboot.
    Keyring,
    /// Secret Service of a desktop session.
    SecretService,
    /// A Kubernetes KMS v2 plugin on a Unix socket.
    Kms,
}

/// What single sources need to know when they make a key.
#[derive(Clone, Debug, Default)]
pub struct SourceOptions {
    /// What systemd-creds seals the key to.
    pub systemd_key: SystemdKey,
    /// Where the KMS plugin listens; `None` takes the one that the store already uses.
    pub kms_endpoint: Option<Endpoint>,
}

impl KeySource {
    /// Every source, in the order of the command line's help.
    pub const ALL: [Self; 5] = [Self::HostKey, Self::SystemdCreds, Self::Keyring, Self::SecretService, Self::Kms];

    /// Returns the name used on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HostKey => "host-key",
            Self::SystemdCreds => "systemd-creds",
            Self::Keyring => "keyring",
            Self::SecretService => "secret-service",
            Self::Kms => "kms",
        }
    }

    /// Sources whose answer is worth keeping in the kernel keyring.
    pub(super) const fn is_slow(self) -> bool {
        match self {
            Self::SystemdCreds | Self::Kms => true,
            Self::HostKey | Self::Keyring | Self::SecretService => false,
        }
    }

    pub(super) fn from_header(source: v1::KeySource) -> Result<Self, Error> {
        match source {
            v1::KeySource::HostKey => Ok(Self::HostKey),
            v1::KeySource::SystemdCreds => Ok(Self::SystemdCreds),
            v1::KeySource::Keyring => Ok(Self::Keyring),
            v1::KeySource::SecretService => Ok(Self::SecretService),
            v1::KeySource::Kms => Ok(Self::Kms),
            v1::KeySource::Unspecified => Err(Error::Unsupported {
                what: "the key source of this store".to_owned(),
                reason: "this version does not know it".to_owned(),
            }),
        }
    }

    /// Makes a new key in this source and lets it wrap `data_key`; writes both into `header`.
    pub(super) fn wrap_into(
        self,
        dir: &Path,
        header: &mut Header,
        data_key: &DataKey,
        options: &SourceOptions,
    ) -> Result<Self, Error> {
        let wrapped = match self {
            Self::HostKey => host_key::wrap(dir, &header.store_id, data_key)?,
            Self::SystemdCreds => systemd_creds::wrap(&header.store_id, data_key, options.systemd_key)?,
            Self::Keyring => keyring::wrap(&header.store_id, data_key)?,
            Self::SecretService => secret_service::wrap(&header.store_id, data_key)?,
            Self::Kms => kms::wrap(header, data_key, options.kms_endpoint.as_ref())?,
        };
        header.set_key_source(self.into());
        header.key_id = wrapped.key_id.to_vec();
        header.wrapped_data_key = wrapped.data_key;
        header.kms = wrapped.kms;
        header.data_key_check = data_key.check(&header.store_id).to_vec();
        Ok(self)
    }

    /// Uses the best source that works here: the one of the operating system, else a host key.
    pub(super) fn best(
        dir: &Path,
        header: &mut Header,
        data_key: &DataKey,
        options: &SourceOptions,
    ) -> Result<Self, Error> {
        let preferred = if cfg!(windows) { Self::Keyring } else { Self::SystemdCreds };
        let works =
            preferred.wrap_into(dir, header, data_key, options).and_then(|_| preferred.unwrap_data_key(dir, header));
        match works {
            Ok(_) => Ok(preferred),
            // A Windows host key would lie in the open for every backup; choosing it is up to the operator.
            Err(error) if cfg!(windows) => Err(error),
            Err(_) => Self::HostKey.wrap_into(dir, header, data_key, options),
        }
    }

    /// Asks the source for the data key.
    pub(super) fn unwrap_data_key(self, dir: &Path, header: &Header) -> Result<DataKey, Error> {
        match self {
            Self::HostKey => host_key::unwrap(dir, header),
            Self::SystemdCreds => systemd_creds::unwrap(header),
            Self::Keyring => keyring::unwrap(header),
            Self::SecretService => secret_service::unwrap(header),
            Self::Kms => kms::unwrap(header),
        }
    }

    /// Follows a source that has changed its key by itself, at a moment when the file is written anyway.
    pub(super) fn refresh(self, header: &mut Header, data_key: &DataKey) {
        match self {
            Self::Kms => kms::refresh(header, data_key),
            Self::HostKey | Self::SystemdCreds | Self::Keyring | Self::SecretService => {}
        }
    }

    /// Removes a key that no file refers to any longer.
    pub(super) fn remove_key(self, dir: &Path, header: &Header) -> Result<(), Error> {
        match self {
            Self::HostKey => host_key::remove(dir, header),
            // The sealed key was part of the header that is gone.
            Self::SystemdCreds | Self::Kms => Ok(()),
            Self::Keyring => keyring::remove(header),
            Self::SecretService => secret_service::remove(header),
        }
    }

    /// Removes what a killed writer left behind. Best effort: leftovers open nothing.
    pub(super) fn remove_orphans(dir: &Path, header: &Header) {
        host_key::remove_orphans(dir, header);
    }
}

impl From<KeySource> for v1::KeySource {
    fn from(source: KeySource) -> Self {
        match source {
            KeySource::HostKey => Self::HostKey,
            KeySource::SystemdCreds => Self::SystemdCreds,
            KeySource::Keyring => Self::Keyring,
            KeySource::SecretService => Self::SecretService,
            KeySource::Kms => Self::Kms,
        }
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeySource {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        Self::ALL
            .into_iter()
            .find(|source| source.name() == text)
            .ok_or("key source is one of `host-key`, `systemd-creds`, `keyring`, `secret-service`, `kms`")
    }
}

/// A data key as a key source gives it back.
struct Wrapped {
    key_id: [u8; 16],
    data_key: Vec<u8>,
    kms: Option<v1::KmsKey>,
}

/// Names an entry of an operating system's key store: one per store and key, so that a rotation never overwrites.
fn entry_name(store_id: &[u8], key_id: &[u8]) -> String {
    format!("{}.{}", hex(store_id), hex(key_id))
}
