//! Keys, and what is derived from them.
//!
//! A data key seals the payload; a wrapping key, which the key source guards, encrypts the data key. Neither is used
//! directly: HKDF-SHA256 (RFC 5869) gives each use a key of its own, bound to the store.

use sealing::{KEY_LEN, decrypt, encrypt};
pub(super) use sealing::{NONCE_LEN, TAG_LEN};
use zeroize::Zeroizing;

use super::v1::Purpose;
use super::{Error, random};

/// Seals the payload of one store.
pub(super) struct DataKey(Zeroizing<[u8; KEY_LEN]>);

/// Encrypts a data key.
pub(super) struct WrappingKey(Zeroizing<[u8; KEY_LEN]>);

impl DataKey {
    pub(super) fn generate() -> Result<Self, Error> {
        random().map(Self)
    }

    pub(super) fn from_bytes(bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.as_slice().try_into().ok()?)))
    }

    pub(super) fn expose(&self) -> &[u8] {
        &*self.0
    }

    /// Returns 16 bytes that tell one data key from another and say nothing about either.
    pub(super) fn check(&self, store_id: &[u8]) -> [u8; 16] {
        derive(&self.0, b"keyring-credential-provider v1 data key check", store_id)
    }

    /// Encrypts in place and returns the tag.
    pub(super) fn encrypt(
        &self,
        purpose: Purpose,
        store_id: &[u8],
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
    ) -> [u8; TAG_LEN] {
        encrypt(&self.payload_key(purpose, store_id), nonce, aad, text)
    }

    /// Decrypts in place. Returns whether all of it is authentic.
    pub(super) fn decrypt(
        &self,
        purpose: Purpose,
        store_id: &[u8],
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> bool {
        decrypt(&self.payload_key(purpose, store_id), nonce, aad, text, tag)
    }

    fn payload_key(&self, purpose: Purpose, store_id: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
        let use_: &[u8] = match purpose {
            Purpose::Unspecified | Purpose::Credentials => b"keyring-credential-provider v1 payload xchacha20-poly1305",
            Purpose::Tokens => b"keyring-credential-provider v1 tokens xchacha20-poly1305",
        };
        Zeroizing::new(derive(&self.0, use_, store_id))
    }
}

impl WrappingKey {
    pub(super) fn generate() -> Result<Self, Error> {
        random().map(Self)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(Zeroizing::new(bytes.try_into().ok()?)))
    }

    pub(super) fn expose(&self) -> &[u8] {
        &*self.0
    }

    /// Returns the 16 bytes that name this key in the header.
    pub(super) fn id(&self) -> [u8; 16] {
        derive(&self.0, b"keyring-credential-provider v1 key id", b"")
    }

    /// Returns `nonce | encrypted data key | tag`.
    pub(super) fn wrap(&self, store_id: &[u8], data_key: &DataKey) -> Result<Vec<u8>, Error> {
        let nonce = random::<NONCE_LEN>()?;
        let mut wrapped = nonce.to_vec();
        let mut text = Zeroizing::new(*data_key.0);
        let tag = encrypt(&self.wrap_key(store_id), &nonce, store_id, &mut *text);
        wrapped.extend_from_slice(&*text);
        wrapped.extend_from_slice(&tag);
        Ok(wrapped)
    }

    /// Reverses [`WrappingKey::wrap`]; `None` when this is another key.
    pub(super) fn unwrap(&self, store_id: &[u8], wrapped: &[u8]) -> Option<DataKey> {
        let (nonce, rest) = wrapped.split_first_chunk::<NONCE_LEN>()?;
        let (text, tag) = rest.split_last_chunk::<TAG_LEN>()?;
        let mut data_key = Zeroizing::new(<[u8; KEY_LEN]>::try_from(text).ok()?);
        decrypt(&self.wrap_key(store_id), nonce, store_id, &mut *data_key, tag).then_some(DataKey(data_key))
    }

    fn wrap_key(&self, store_id: &[u8]) -> Zeroizing<[u8; KEY_LEN]> {
        Zeroizing::new(derive(&self.0, b"keyring-credential-provider v1 wrap xchacha20-poly1305", store_id))
    }
}

fn derive<const N: usize>(key: &[u8; KEY_LEN], use_: &[u8], store_id: &[u8]) -> [u8; N] {
    let mut derived = [0; N];
    sealing::derive(key, &[use_, b"\0", store_id], &mut derived);
    derived
}
