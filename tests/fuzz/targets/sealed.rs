//! The sealed file, written here by a second hand from the description of the format. What was sealed opens; nothing else does,
//! however close to it, and whatever stands in an authentic header or payload, opening it ends in an answer.
//!
//! The first byte chooses: an even one lets the rest stand for a file that an attacker made, who can compute a digest and has
//! no key; an odd one lets it stand for what a holder of the key sealed, with the next two bytes as the place to tamper with.
#![no_main]

use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use keyring_credential_provider::store::fuzz_open;
use libfuzzer_sys::fuzz_target;
use sha2::{Digest, Sha256};

const MAGIC: &[u8] = b"kcpseal\0";
const KEY: [u8; 32] = *b"a data key that no store ever ha";
const STORE_ID: [u8; 16] = *b"a store to fuzz.";
const NONCE: [u8; 24] = *b"a nonce is not a secret.";

/// Header fields 1 to 4: format, suite, purpose, store id.
const HEADER: [u8; 8] = [0x08, 1, 0x10, 1, 0x18, 1, 0x22, 16];

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else { return };
    if mode % 2 == 0 { forge(data) } else { tamper(data) }
});

/// Without the key nothing opens, be the header sound or not.
fn forge(data: &[u8]) {
    assert!(!fuzz_open(data, KEY), "a file that was never sealed opened");
    if let Some(with_digest) = mend_digest(data) {
        assert!(!fuzz_open(&with_digest, KEY), "a file that was never sealed opened");
    }
}

/// With the key the content may be anything; what then opens has not one bit more or less than what was sealed.
fn tamper(data: &[u8]) {
    let Some((place, rest)) = data.split_first_chunk() else { return };
    let place = usize::from(u16::from_le_bytes(*place));
    // One byte says how many of the others continue the header: known fields again, unknown ones, no fields at all.
    let Some((header_len, rest)) = rest.split_first() else { return };
    let (more_header, payload) = rest.split_at(rest.len().min(usize::from(*header_len)));
    let file = seal(more_header, payload);
    let opens = fuzz_open(&file, KEY);
    assert!(opens || !(more_header.is_empty() && payload == [0; 4]), "a file with an empty payload did not open");
    if !opens {
        return;
    }
    let mut other_key = KEY;
    other_key[place % 32] ^= 1;
    assert!(!fuzz_open(&file, other_key), "another key opened it");
    let at = place % file.len();
    assert!(!fuzz_open(&file[..at], KEY), "its first {at} bytes opened");
    assert!(!fuzz_open(&[&file[..], &[0]].concat(), KEY), "it opened with a byte behind it");
    let mut flipped = file.clone();
    flipped[at] ^= 1 << (place % 8);
    assert!(!fuzz_open(&flipped, KEY), "it opened with a bit flipped in byte {at}");
    // A flipped bit in the header needs a new digest to come as far as the cipher; one in the digest is mended away.
    if let Some(with_digest) = mend_digest(&flipped).filter(|mended| *mended != file) {
        assert!(!fuzz_open(&with_digest, KEY), "it opened with a bit flipped in byte {at}, and the digest mended");
    }
}

fn seal(more_header: &[u8], payload: &[u8]) -> Vec<u8> {
    let header = [&HEADER, &STORE_ID[..], more_header].concat();
    let header_len = u32::try_from(header.len()).expect("a header has less than 300 bytes");
    let mut file = [MAGIC, &header_len.to_le_bytes(), &header].concat();
    let digest = Sha256::digest(&file);
    file.extend_from_slice(&digest[..8]);
    file.extend_from_slice(&NONCE);

    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, &KEY)
        .expand_multi_info(&[b"keyring-credential-provider v1 payload xchacha20-poly1305", b"\0", &STORE_ID], &mut key)
        .expect("HKDF gives 32 bytes");
    let mut text = payload.to_vec();
    let tag = XChaCha20Poly1305::new(&key.into())
        .encrypt_inout_detached(&XNonce::from(NONCE), &file, InOutBuf::from(&mut text[..]))
        .expect("the cipher takes this much");
    file.extend_from_slice(&text);
    file.extend_from_slice(&tag);
    file
}

/// Puts the right digest behind the header of something like a sealed file, if it is long enough.
fn mend_digest(data: &[u8]) -> Option<Vec<u8>> {
    let length = data.get(MAGIC.len()..)?.first_chunk::<4>()?;
    let end = usize::try_from(u32::from_le_bytes(*length)).ok()?.checked_add(MAGIC.len() + 4)?;
    let mut mended = data.to_vec();
    let digest = Sha256::digest(data.get(..end)?);
    mended.get_mut(end..end + 8)?.copy_from_slice(&digest[..8]);
    Some(mended)
}
