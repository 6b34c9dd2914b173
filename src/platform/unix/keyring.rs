//! The kernel keyring, through keyring-core.

use std::collections::HashMap;

use keyring_core::api::CredentialStoreApi;
use keyring_core::{Entry, Result};

/// Names an entry of the kernel keyring `_persistent` of this user, which every session of that user reaches, until reboot
/// (keyrings(7)).
///
/// # Errors
/// As keyring-core; [`keyring_core::Error::NoStorageAccess`] where keyctl is not allowed.
pub fn keyring_entry(name: &str) -> Result<Entry> {
    // A description of our own: the store crate's default could be the same for two different pairs.
    let description = format!("keyring-credential-provider:key:{name}");
    linux_keyutils_keyring_store::Store::new()?.build(
        "keyring-credential-provider",
        name,
        Some(&HashMap::from([("description", description.as_str())])),
    )
}
