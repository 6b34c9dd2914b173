//! There is no cache of data keys on Windows: Credential Manager answers at once, and no other key source here is slow to
//! unseal. A copy of the key would only be one more place to guard.

use std::time::Duration;

use zeroize::Zeroizing;

/// Returns `None`.
pub fn cached_data_key(_name: &str) -> Option<Zeroizing<Vec<u8>>> {
    None
}

/// Keeps nothing, and says so.
pub fn keep_data_key(_name: &str, _data_key: &[u8], _timeout: Duration) -> bool {
    false
}

/// Returns that there was none.
pub fn forget_data_key(_name: &str) -> bool {
    false
}
