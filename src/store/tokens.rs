//! The sealed token cache: what issuers gave, shared by all processes of this node.
//!
//! Invariants:
//! - It is a cache: a file that is missing, damaged, foreign, or sealed by an earlier data key is an empty one. Nothing of it is
//!   an error, and losing it costs one more request to each issuer.
//! - A reader takes no lock and reads one file once. Who wants to ask an issuer holds the lock of that one token first, so a
//!   burst of processes asks once; a lock dies with its process.
//! - What has ended is dropped at the next write, and the number of tokens is bounded.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use prost::Message;
use prost::bytes::Bytes;

use super::key::DataKey;
use super::sealed::{self, SealedFile};
use super::v1::{self, Purpose};
use crate::platform::{self, Writable};
use crate::scope::Scope;
use crate::secret::Secret;

const TOKENS: &str = "tokens.sealed";
const TEMPORARY: &str = "tokens.sealed.new";
const LOCK: &str = "tokens.lock";

/// Two thousand tokens of two kilobytes.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Beyond this many, those that end first are dropped. A node rarely has ten.
const MAX_TOKENS: usize = 1024;
/// And beyond this many bytes, so that a reader never meets a file that it refuses.
const MAX_BYTES: usize = 3 * 1024 * 1024;

/// Whoever writes holds the lock for milliseconds.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(5);

/// The byte of the lock file that stands for the right to write; every other one stands for a token.
const WRITE_AT: u64 = 0;

/// What an issuer gave, why it gave nothing when it was asked last, or both. Debug shows everything but the password.
#[derive(Clone, Debug)]
pub struct Token {
    /// Digest of everything it was made from.
    pub key: [u8; 32],
    /// Scope of the credential that it was made from.
    pub scope: String,
    /// Name of the user.
    pub username: String,
    /// Password; empty when the issuer never gave one.
    pub password: Secret,
    /// When it was given, in seconds since 1970.
    pub minted_at: i64,
    /// When it ends, in seconds since 1970.
    pub expires_at: i64,
    /// Why the issuer gave nothing when it was asked last.
    pub failure: Option<String>,
    /// After a failure, when to ask again, in seconds since 1970.
    pub retry_at: i64,
}

impl Token {
    /// Whether there is a credential that has not ended.
    pub fn is_alive(&self, now: i64) -> bool {
        !self.password.expose().is_empty() && self.expires_at > now
    }
}

/// The cache of one open store.
pub struct TokenCache {
    dir: PathBuf,
    store_id: Vec<u8>,
    data_key: DataKey,
}

/// The right to ask an issuer for one token. Dropping it, or dying, gives it back.
#[derive(Debug)]
pub struct TokenLock(#[expect(dead_code, reason = "the lock is that of the open file")] File);

impl fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenCache").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl TokenCache {
    pub(super) fn new(dir: PathBuf, store_id: Vec<u8>, data_key: DataKey) -> Self {
        Self { dir, store_id, data_key }
    }

    /// Returns the token of this key, be it alive or not.
    pub fn get(&self, key: &[u8; 32]) -> Option<Token> {
        self.read().into_iter().find(|token| token.key == key.as_slice())?.try_into().ok()
    }

    /// Waits until nobody else asks for this token. Returns `None` when `deadline` comes first, or the lock file cannot be
    /// used.
    pub fn lock(&self, key: &[u8; 32], deadline: Instant) -> Option<TokenLock> {
        let [a, b, c, d, e, f, g, _, ..] = *key;
        // 56 bits, so that no offset is negative to the operating system.
        self.lock_at(u64::from_le_bytes([a, b, c, d, e, f, g, 0]).max(WRITE_AT + 1), deadline)
    }

    /// Puts a token in place of the one of the same key, and drops what has ended by `now`.
    ///
    /// # Errors
    /// As the file system; the cache is unchanged then.
    pub fn put(&self, token: &Token, now: i64) -> io::Result<()> {
        self.change(|tokens| {
            tokens.retain(|other| other.expires_at.max(other.retry_at) > now && other.key != token.key);
            tokens.push(token.into());
        })
    }

    /// Drops the tokens that were made from the credential of a scope.
    ///
    /// # Errors
    /// As [`TokenCache::put`].
    pub fn forget(&self, scope: &Scope) -> io::Result<()> {
        if !self.read().iter().any(|token| token.scope == scope.as_str()) {
            return Ok(());
        }
        self.change(|tokens| tokens.retain(|token| token.scope != scope.as_str()))
    }

    /// Removes the file, which nobody can open any more once the data key is another.
    pub(super) fn remove_file(dir: &Path) {
        // It is worthless without its key, and unread with another.
        let _ = fs::remove_file(dir.join(TOKENS));
    }

    fn change(&self, change: impl FnOnce(&mut Vec<v1::Token>)) -> io::Result<()> {
        let lock = self.lock_at(WRITE_AT, Instant::now() + WRITE_TIMEOUT);
        let _lock = lock.ok_or_else(|| io::Error::new(io::ErrorKind::TimedOut, "its lock is held"))?;
        let mut tokens = self.read();
        change(&mut tokens);
        bound(&mut tokens);
        let header = sealed::tokens_header(&self.store_id, &self.data_key);
        let bytes = sealed::seal(&header, &self.data_key, &v1::Tokens { tokens }).map_err(io::Error::other)?;
        let temporary = self.dir.join(TEMPORARY);
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        platform::write_private_file(&temporary, &bytes, Writable::Yes)?;
        platform::replace_file(&temporary, &self.dir.join(TOKENS))
    }

    /// Returns what can be read, which may be nothing.
    fn read(&self) -> Vec<v1::Token> {
        let path = self.dir.join(TOKENS);
        let Ok(bytes) = platform::read_private_file(&path, MAX_FILE) else { return Vec::new() };
        let payload = SealedFile::parse(path, bytes, Purpose::Tokens)
            .ok()
            .filter(|file| file.header().store_id == self.store_id && file.accepts(&self.data_key))
            .and_then(|file| file.open(&self.data_key).ok());
        payload.and_then(|payload: Bytes| v1::Tokens::decode(payload).ok()).unwrap_or_default().tokens
    }

    fn lock_at(&self, at: u64, deadline: Instant) -> Option<TokenLock> {
        let path = self.dir.join(LOCK);
        let file = match platform::create_private_file(&path, Writable::Yes) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::OpenOptions::new().write(true).open(&path).ok()?
            }
            Err(_) => return None,
        };
        loop {
            if platform::try_lock_byte(&file, at).ok()? {
                return Some(TokenLock(file));
            }
            if Instant::now() >= deadline {
                return None;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Drops those that end first until what is left is small enough.
fn bound(tokens: &mut Vec<v1::Token>) {
    tokens.sort_by_key(|token| std::cmp::Reverse(token.expires_at));
    tokens.truncate(MAX_TOKENS);
    let mut bytes = 0;
    let fits = |token: &&v1::Token| {
        bytes += token.encoded_len() + 8;
        bytes <= MAX_BYTES
    };
    let count = tokens.iter().take_while(fits).count();
    tokens.truncate(count);
}

impl TryFrom<v1::Token> for Token {
    type Error = ();

    fn try_from(wire: v1::Token) -> Result<Self, ()> {
        Ok(Self {
            key: wire.key.as_slice().try_into().map_err(|_| ())?,
            scope: wire.scope,
            username: wire.username,
            password: Secret::from_wiped(wire.password),
            minted_at: wire.minted_at,
            expires_at: wire.expires_at,
            failure: Some(wire.failure).filter(|failure| !failure.is_empty()),
            retry_at: wire.retry_at,
        })
    }
}

impl From<&Token> for v1::Token {
    fn from(token: &Token) -> Self {
        Self {
            key: token.key.to_vec(),
            scope: token.scope.clone(),
            username: token.username.clone(),
            password: token.password.share(),
            minted_at: token.minted_at,
            expires_at: token.expires_at,
            failure: token.failure.clone().unwrap_or_default(),
            retry_at: token.retry_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_bound_those_that_end_first_are_dropped() {
        let token = |expires_at| v1::Token { expires_at, ..v1::Token::default() };
        let count = i64::try_from(MAX_TOKENS).expect("a small number");
        let mut tokens: Vec<_> = (0..count + 2).map(token).collect();
        bound(&mut tokens);
        assert_eq!(tokens.len(), MAX_TOKENS);
        assert_eq!(tokens.iter().map(|token| token.expires_at).min(), Some(2));
    }

    /// A reader never meets a file that it refuses.
    #[test]
    fn what_ends_first_makes_room_for_large_ones() {
        let large = |expires_at| v1::Token {
            password: vec![b'x'; 1024 * 1024 - 1024].into(),
            expires_at,
            ..v1::Token::default()
        };
        let mut tokens: Vec<_> = [300, 100, 400, 200].map(large).into();
        bound(&mut tokens);
        assert_eq!(tokens.iter().map(|token| token.expires_at).collect::<Vec<_>>(), [400, 300, 200]);
    }
}
