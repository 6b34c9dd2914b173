//! A data key that was slow to unseal, kept in the kernel keyring of this user until it times out (keyctl(2)).
//!
//! The persistent keyring is used because the kubelet's session keyring and that of an operator's shell are not the same one.
//! Where keyctl is not allowed (Talos, seccomp) there is no cache, and nothing else changes.

use std::time::Duration;

use linux_keyutils::{Key, KeyError, KeyRing, KeyRingIdentifier};
use zeroize::Zeroizing;

/// Returns the cached data key of this name, or `None` when there is none or the kernel does not let us look.
pub fn cached_data_key(name: &str) -> Option<Zeroizing<Vec<u8>>> {
    find(name).ok()?.read_to_vec().ok().map(Zeroizing::new)
}

/// Caches a data key for `timeout`. Returns whether the kernel keeps it.
pub fn keep_data_key(name: &str, data_key: &[u8], timeout: Duration) -> bool {
    let seconds = usize::try_from(timeout.as_secs()).unwrap_or(usize::MAX);
    if seconds == 0 {
        return false;
    }
    let kept = (|| {
        let key = persistent()?.add_key(&description(name), data_key)?;
        // A key without its time-out must not stay.
        key.set_timeout(seconds).or_else(|error| key.invalidate().and(Err(error)))
    })();
    kept.is_ok()
}

/// Removes a cached data key. Returns whether there was one.
pub fn forget_data_key(name: &str) -> bool {
    find(name).and_then(|key| key.invalidate()).is_ok()
}

fn find(name: &str) -> Result<Key, KeyError> {
    persistent()?.search(&description(name))
}

fn persistent() -> Result<KeyRing, KeyError> {
    KeyRing::get_persistent(KeyRingIdentifier::Process)
}

fn description(name: &str) -> String {
    format!("keyring-credential-provider:data-key:{name}")
}
