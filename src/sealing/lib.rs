//! The ciphers of the sealed store: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha) and HKDF-SHA256 (RFC 5869).
//!
//! A package of its own for one reason: ciphers are generic code, which is compiled where it is used, by the rules of that
//! package. The program is built for size; here it is built for speed, or ten thousand entries would cost a pull three times
//! as much. What the keys are for is said in the program's `store/key.rs`.

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;

/// Bytes of a key.
pub const KEY_LEN: usize = 32;
/// Bytes of a nonce, enough to be drawn at random.
pub const NONCE_LEN: usize = 24;
/// Bytes of the tag that shows that a text is whole and ours.
pub const TAG_LEN: usize = 16;

/// Fills `derived`, of up to 8160 bytes, with what HKDF-SHA256 makes of a key without salt. `info` is what its parts spell one
/// behind the other.
pub fn derive(key: &[u8; KEY_LEN], info: &[&[u8]], derived: &mut [u8]) {
    Hkdf::<Sha256>::new(None, key)
        .expand_multi_info(info, derived)
        .expect("every length asked for is far below the 8160 bytes that HKDF-SHA256 gives");
}

/// Encrypts in place and returns the tag.
pub fn encrypt(key: &[u8; KEY_LEN], nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
    XChaCha20Poly1305::new(key.into())
        .encrypt_inout_detached(&XNonce::from(*nonce), aad, InOutBuf::from(text))
        .expect("the payload is far below the 256 GiB that the cipher takes")
        .into()
}

/// Decrypts in place. Returns whether all of it is authentic; if not, the text is as it was.
pub fn decrypt(key: &[u8; KEY_LEN], nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8], tag: &[u8; TAG_LEN]) -> bool {
    XChaCha20Poly1305::new(key.into())
        .decrypt_inout_detached(&XNonce::from(*nonce), aad, InOutBuf::from(text), &Tag::from(*tag))
        .is_ok()
}
