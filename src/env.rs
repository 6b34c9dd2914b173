//! The environment variables that this program reads, and no secret ever comes this way. `HTTPS_PROXY` and `NO_PROXY` are read by
//! the HTTP client when an issuer is asked. There are no others.

use std::path::PathBuf;

/// Names the store's directory, as `--store` does; `--store` wins.
pub const STORE: &str = "KEYRING_CREDENTIAL_PROVIDER_STORE";

/// Returns the directory named by [`STORE`]; an empty value counts as unset.
pub fn store_dir() -> Option<PathBuf> {
    std::env::var_os(STORE).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Returns the file named by `SSL_CERT_FILE`, which replaces the certificate authorities of the machine.
pub fn ssl_cert_file() -> Option<PathBuf> {
    std::env::var_os("SSL_CERT_FILE").filter(|value| !value.is_empty()).map(PathBuf::from)
}
