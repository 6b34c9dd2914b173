//! The sealed file.
//!
//! ```text
//! magic (8) | header length, u32 LE (4) | header, protobuf | SHA-256 of all before (8 of 32 bytes)
//!           | nonce (24) | XChaCha20-Poly1305 of the padded payload, everything before it being associated data | tag (16)
//! ```
//!
//! The digest guards nothing against an attacker. It tells a damaged header, which is corrupt, from a sound one that this
//! version does not know, before the key source is troubled with it.

use std::mem;
use std::path::PathBuf;
use std::time::Duration;

use prost::Message;
use prost::bytes::Bytes;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::key::{DataKey, NONCE_LEN, TAG_LEN};
use super::key_source::KeySource;
use super::v1::{Header, Purpose, Suite};
use super::{Error, KmsStatus, Status, hex, random};
use crate::platform;

const MAGIC: &[u8; 8] = b"kcpseal\0";
const FORMAT: u32 = 1;
const LENGTH_LEN: usize = 4;
const DIGEST_LEN: usize = 8;

/// The payload is padded to a multiple of this, so that the file's size does not tell the length of a password.
const PADDING: usize = 1024;

/// A file whose header is sound. Its payload is still sealed.
pub(super) struct SealedFile {
    path: PathBuf,
    bytes: Zeroizing<Vec<u8>>,
    header: Header,
    /// Where the nonce starts.
    sealed_at: usize,
}

impl SealedFile {
    pub(super) fn parse(path: PathBuf, bytes: Zeroizing<Vec<u8>>, purpose: Purpose) -> Result<Self, Error> {
        match parse_header(&bytes) {
            Ok((header, sealed_at)) => Self { path, bytes, header, sealed_at }.check_supported(purpose),
            Err(reason) => Err(Error::Corrupt { path, reason }),
        }
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn generation(&self) -> u64 {
        self.header.generation
    }

    pub(super) fn key_source(&self) -> Result<KeySource, Error> {
        KeySource::from_header(self.header.key_source())
    }

    pub(super) fn status(&self) -> Status {
        Status {
            store_id: hex(&self.header.store_id),
            generation: self.header.generation,
            key_source: self.key_source().unwrap_or(KeySource::HostKey),
            key_id: hex(&self.header.key_id),
            bound_to_node: !self.header.node.is_empty(),
            created_at: self.header.created_at,
            data_key_cache: Duration::from_secs(self.header.data_key_cache_seconds),
            kms: self
                .header
                .kms
                .as_ref()
                .map(|kms| KmsStatus { endpoint: kms.endpoint.clone(), key_id: kms.key_id.clone() }),
        }
    }

    /// Names the data key in the kernel keyring: a new key gets a new name, so an old one is never used by mistake.
    pub(super) fn cache_name(&self) -> String {
        format!("{}:{}", hex(&self.header.store_id), hex(&self.header.data_key_check))
    }

    pub(super) fn check_node(&self) -> Result<(), Error> {
        if self.header.node.is_empty() || self.header.node == node() {
            return Ok(());
        }
        Err(Error::OtherNode { path: self.path.clone() })
    }

    pub(super) fn accepts(&self, data_key: &DataKey) -> bool {
        self.header.data_key_check == data_key.check(&self.header.store_id)
    }

    /// Opens the payload in place and returns it; the buffer wipes itself when the last slice of it is dropped.
    pub(super) fn open(mut self, data_key: &DataKey) -> Result<Bytes, Error> {
        let Some(payload) = self.decrypt(data_key) else {
            return Err(Error::Corrupt { path: self.path, reason: "its content is not authentic" });
        };
        Ok(Bytes::from_owner(Wiped(mem::take(&mut *self.bytes))).slice(payload))
    }

    fn decrypt(&mut self, data_key: &DataKey) -> Option<std::ops::Range<usize>> {
        let (aad, sealed) = self.bytes.split_at_mut_checked(self.sealed_at + NONCE_LEN)?;
        let (text, tag) = sealed.split_last_chunk_mut::<TAG_LEN>()?;
        let nonce: &[u8; NONCE_LEN] = aad.last_chunk()?;
        if !data_key.decrypt(self.header.purpose(), &self.header.store_id, nonce, aad, text, tag) {
            return None;
        }
        let (length, padded) = text.split_first_chunk::<LENGTH_LEN>()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let start = aad.len() + LENGTH_LEN;
        (length <= padded.len()).then_some(start..start + length)
    }

    fn check_supported(self, purpose: Purpose) -> Result<Self, Error> {
        let header = &self.header;
        let known =
            header.format == FORMAT && header.suite() == Suite::Xchacha20Poly1305 && header.purpose() == purpose;
        if known {
            return Ok(self);
        }
        Err(Error::Unsupported {
            what: format!("the format of store `{}`", self.path.display()),
            reason: "a newer version of this program wrote it".to_owned(),
        })
    }
}

/// Wiped as a whole when dropped. [`Zeroizing`] goes byte by byte, which costs an answer a millisecond a megabyte.
struct Wiped(Vec<u8>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.fill(0);
        // The compiler must not find out that nobody reads the zeroes.
        zeroize::optimization_barrier(self.0.as_slice());
    }
}

/// Seals `payload` under `header`.
pub(super) fn seal(header: &Header, data_key: &DataKey, payload: &impl Message) -> Result<Vec<u8>, Error> {
    let header_bytes = header.encode_to_vec();
    let header_len = u32::try_from(header_bytes.len()).expect("a header has some ten KiB at most");
    let payload_len = payload.encoded_len();
    let padded_len = (LENGTH_LEN + payload_len).next_multiple_of(PADDING);

    let mut file = Vec::with_capacity(MAGIC.len() + 64 + header_bytes.len() + padded_len);
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&header_len.to_le_bytes());
    file.extend_from_slice(&header_bytes);
    let digest = digest(&file);
    file.extend_from_slice(&digest);
    file.extend_from_slice(&*random::<NONCE_LEN>()?);

    // The plain payload lives in a buffer of its own that wipes itself, with its full size from the start.
    let mut text = Zeroizing::new(Vec::with_capacity(padded_len));
    text.extend_from_slice(&u32::try_from(payload_len).unwrap_or(u32::MAX).to_le_bytes());
    payload.encode(&mut *text).expect("the buffer grows as needed");
    text.resize(padded_len, 0);
    let nonce: [u8; NONCE_LEN] = *file.last_chunk().expect("the nonce was just written");
    let tag = data_key.encrypt(header.purpose(), &header.store_id, &nonce, &file, &mut text);
    file.extend_from_slice(&text);
    file.extend_from_slice(&tag);
    Ok(file)
}

/// Returns a fresh header; the caller fills in the key.
pub(super) fn new_header(store_id: [u8; 16], created_at: i64, data_key_cache: Duration) -> Header {
    Header {
        format: FORMAT,
        suite: Suite::Xchacha20Poly1305.into(),
        purpose: Purpose::Credentials.into(),
        store_id: store_id.to_vec(),
        node: node(),
        created_at,
        data_key_cache_seconds: data_key_cache.as_secs(),
        ..Header::default()
    }
}

/// Returns the header of a token cache that belongs to the store of another header: no key, since its readers have one.
pub(super) fn tokens_header(store_id: &[u8], data_key: &DataKey) -> Header {
    Header {
        format: FORMAT,
        suite: Suite::Xchacha20Poly1305.into(),
        purpose: Purpose::Tokens.into(),
        store_id: store_id.to_vec(),
        data_key_check: data_key.check(store_id).to_vec(),
        ..Header::default()
    }
}

/// Returns what binds a file to this machine, or nothing on a machine without identity. machine-id(5) asks not to hand the id
/// itself around, hence the digest.
pub(super) fn node() -> Vec<u8> {
    platform::machine_id().map_or_else(Vec::new, |id| {
        Sha256::new().chain_update(b"keyring-credential-provider v1 node\0").chain_update(id).finalize().to_vec()
    })
}

/// Opens a file with a key that the caller gives, for the fuzz target of this format.
#[doc(hidden)]
pub fn fuzz_open(bytes: &[u8], data_key: [u8; 32]) -> bool {
    let file = SealedFile::parse(PathBuf::new(), Zeroizing::new(bytes.to_vec()), Purpose::Credentials);
    let data_key = DataKey::from_bytes(Zeroizing::new(data_key.to_vec())).expect("32 bytes were given");
    file.and_then(|file| super::entry::decode(file.open(&data_key)?, None)).is_ok()
}

fn parse_header(bytes: &[u8]) -> Result<(Header, usize), &'static str> {
    const SHORT: &str = "it is too short";
    let rest = bytes.strip_prefix(MAGIC).ok_or("it does not start as a sealed file does")?;
    let (length, rest) = rest.split_first_chunk::<LENGTH_LEN>().ok_or(SHORT)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| SHORT)?;
    let header = rest.get(..length).ok_or(SHORT)?;
    let header_end = MAGIC.len() + LENGTH_LEN + length;
    let found: &[u8; DIGEST_LEN] = rest[length..].first_chunk().ok_or(SHORT)?;
    if *found != digest(&bytes[..header_end]) {
        return Err("its header is damaged");
    }
    let header = Header::decode(header).map_err(|_| "its header is damaged")?;
    Ok((header, header_end + DIGEST_LEN))
}

fn digest(bytes: &[u8]) -> [u8; DIGEST_LEN] {
    let digest = Sha256::digest(bytes);
    *digest.first_chunk().expect("SHA-256 has 32 bytes")
}
