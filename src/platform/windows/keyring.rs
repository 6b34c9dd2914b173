//! Credential Manager, through keyring-core.

use std::collections::HashMap;

use keyring_core::api::CredentialStoreApi;
use keyring_core::{Entry, Result};

/// Names an entry of this account's Credential Manager; every account has its own.
///
/// # Errors
/// As keyring-core. Using the entry gives [`keyring_core::Error::NoStorageAccess`] in a session over the network (SSH, WinRM),
/// to which Windows opens no Credential Manager.
pub fn keyring_entry(name: &str) -> Result<Entry> {
    // A target of our own: the store crate's default, `USER.SERVICE`, could be the same for two different pairs.
    let target = format!("keyring-credential-provider:key:{name}");
    windows_native_keyring_store::Store::new()?.build(
        "keyring-credential-provider",
        name,
        // The store crate's default, `Enterprise`, would let the key roam to other machines with the account.
        Some(&HashMap::from([("target", target.as_str()), ("persistence", "Local")])),
    )
}
