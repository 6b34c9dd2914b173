//! The data key sealed by `systemd-creds`: to the host's secret, the TPM, or both. The sealed key stands in the header.

use std::str::FromStr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::super::key::DataKey;
use super::super::v1::Header;
use super::super::{Error, hex, random};
use super::Wrapped;
use crate::process;

/// By absolute path and with an empty environment: `SYSTEMD_CREDENTIAL_SECRET` in ours would redirect the host's secret.
const PROGRAM: &str = "/usr/bin/systemd-creds";

/// The host's secret takes 10 ms; a TPM, one second on slow hardware under load.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What `systemd-creds` seals to (its `--with-key`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SystemdKey {
    /// TPM and host secret where there is a TPM, else the host secret.
    #[default]
    Auto,
    /// The host's secret only.
    Host,
    /// The TPM only.
    Tpm2,
    /// Both.
    HostAndTpm2,
}

impl SystemdKey {
    const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Host => "host",
            Self::Tpm2 => "tpm2",
            Self::HostAndTpm2 => "host+tpm2",
        }
    }
}

impl FromStr for SystemdKey {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        [Self::Auto, Self::Host, Self::Tpm2, Self::HostAndTpm2]
            .into_iter()
            .find(|key| key.name() == text)
            .ok_or("systemd key is one of `auto`, `host`, `tpm2`, `host+tpm2`")
    }
}

pub(super) fn wrap(store_id: &[u8], data_key: &DataKey, systemd_key: SystemdKey) -> Result<Wrapped, Error> {
    let with_key = format!("--with-key={}", systemd_key.name());
    // Without a PCR binding: PCR 7, the default, changes with a firmware update and would lock the store.
    let arguments = [with_key.as_str(), "--tpm2-pcrs=", &name_argument(store_id), "encrypt", "-", "-"];
    let sealed = run(&arguments, data_key.expose())?;
    Ok(Wrapped { key_id: *random()?, data_key: sealed.to_vec(), kms: None })
}

pub(super) fn unwrap(header: &Header) -> Result<DataKey, Error> {
    let bytes = run(&[&name_argument(&header.store_id), "decrypt", "-", "-"], &header.wrapped_data_key)?;
    DataKey::from_bytes(bytes).ok_or_else(|| unavailable("it returned a key of the wrong length".to_owned()))
}

/// The name is authenticated by systemd-creds: a key sealed for one store does not open another.
fn name_argument(store_id: &[u8]) -> String {
    format!("--name=keyring-credential-provider-{}", hex(store_id))
}

fn run(arguments: &[&str], input: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    process::run(PROGRAM, arguments, input, TIMEOUT).map_err(|error| unavailable(error.to_string()))
}

fn unavailable(reason: String) -> Error {
    Error::Unavailable { what: PROGRAM.to_owned(), reason }
}
