//! The environment variables that this program reads. There are no others, and no secret ever comes this way.

use std::path::PathBuf;

/// Names the store's directory, as `--store` does; `--store` wins.
pub const STORE: &str = "KEYRING_CREDENTIAL_PROVIDER_STORE";

/// Returns the directory named by [`STORE`]; an empty value counts as unset.
pub fn store_dir() -> Option<PathBuf> {
    std::env::var_os(STORE).filter(|value| !value.is_empty()).map(PathBuf::from)
}
