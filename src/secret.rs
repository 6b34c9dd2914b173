//! Bytes that must not be shown, copied or left behind.

use std::fmt;

use prost::bytes::Bytes;
use zeroize::Zeroizing;

/// A secret: wiped when its last owner drops it, never printed.
///
/// Cloning shares the bytes instead of copying them. Equality is not offered: comparing secrets takes thought.
#[derive(Clone)]
pub struct Secret(Bytes);

impl Secret {
    /// Takes over a buffer that wipes itself.
    pub fn new(bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(Bytes::from_owner(bytes))
    }

    /// Wraps bytes whose owner wipes them, such as a slice of an opened payload.
    pub(crate) fn from_wiped(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Returns the bytes. Call it only where they leave the process or enter a store.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Returns the shared buffer, to place it in a message that is about to be sealed.
    pub(crate) fn share(&self) -> Bytes {
        self.0.clone()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}
