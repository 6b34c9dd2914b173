//! Changing a store: one writer at a time, old or new, never between.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::entry::{self, Content};
use super::key::DataKey;
use super::key_source::{KeySource, SourceOptions};
use super::sealed::{self, SealedFile};
use super::tokens::TokenCache;
use super::v1::Header;
use super::{Error, Store, hex, random};
use crate::credential::Credential;
use crate::mirror::{MirrorRule, Source};
use crate::platform::{self, Writable};
use crate::scope::Scope;
use crate::time;

const LOCK: &str = "credentials.lock";
/// One name suffices, because only the holder of the lock writes it.
const TEMPORARY: &str = "credentials.sealed.new";
/// Writers take milliseconds; one that holds the lock for this long hangs.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// What `store init` fixes.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// Where the key is kept; `None` picks the best that works here.
    pub key_source: Option<KeySource>,
    /// What the source needs to know.
    pub source_options: SourceOptions,
    /// How long a data key that was slow to unseal stays in the kernel keyring; zero for not at all.
    pub data_key_cache: Duration,
}

/// What `store rekey` may change.
#[derive(Clone, Debug)]
pub struct RekeyOptions {
    /// Moves the key to another source; `None` keeps it.
    pub key_source: Option<KeySource>,
    /// What the source needs to know.
    pub source_options: SourceOptions,
    /// Takes a file that is older than the last one seen.
    pub accept_rollback: bool,
    /// Takes a file that was sealed on another machine.
    pub accept_node: bool,
}

/// An open store whose lock is held. Dropping it releases the lock.
pub struct Writer<'a> {
    store: &'a Store,
    header: Header,
    data_key: DataKey,
    content: Content,
    _lock: File,
}

impl Store {
    /// Makes a new, empty store.
    ///
    /// # Errors
    /// [`Error::Exists`]; [`Error::Unsupported`] or [`Error::Unavailable`] when the key source does not work here.
    pub fn init(&self, options: &InitOptions) -> Result<KeySource, Error> {
        match platform::create_private_dir(self.dir()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::write(self.dir())(error)),
        }
        let lock = self.acquire_lock()?;
        if fs::symlink_metadata(self.credentials_path()).is_ok() {
            return Err(Error::Exists { dir: self.dir().to_owned() });
        }
        let header = sealed::new_header(*random()?, time::now(), options.data_key_cache);
        let data_key = DataKey::generate()?;
        let mut writer = Writer { store: self, header, data_key, content: Content::default(), _lock: lock };
        let source = match options.key_source {
            Some(source) => {
                source.wrap_into(self.dir(), &mut writer.header, &writer.data_key, &options.source_options)?
            }
            None => KeySource::best(self.dir(), &mut writer.header, &writer.data_key, &options.source_options)?,
        };
        writer.commit()?;
        Ok(source)
    }

    /// Opens the store for writing.
    ///
    /// # Errors
    /// As [`Store::open`], and [`Error::Unavailable`] when another writer holds the lock for ten seconds.
    pub fn write(&self) -> Result<Writer<'_>, Error> {
        let lock = self.acquire_lock()?;
        let (file, data_key) = self.unlock()?;
        let source = file.key_source()?;
        let mut writer = self.writer(lock, file, data_key)?;
        source.refresh(&mut writer.header, &writer.data_key);
        Ok(writer)
    }

    /// Seals everything anew, with a new data key under a new key of the key source.
    ///
    /// # Errors
    /// As [`Store::write`]; the old keys stay until the new file is in place.
    pub fn rekey(&self, options: &RekeyOptions) -> Result<KeySource, Error> {
        let lock = self.acquire_lock()?;
        let file = if options.accept_rollback { self.read_file()? } else { self.read_current()? };
        if !options.accept_node {
            file.check_node()?;
        }
        let mark = self.generation_mark(&file);
        let data_key = self.data_key(&file)?;
        let old_cache_name = file.cache_name();
        let mut writer = self.writer(lock, file, data_key)?;
        let old_header = writer.header.clone();
        let old_source = KeySource::from_header(old_header.key_source())?;
        let source = options.key_source.unwrap_or(old_source);
        writer.data_key = DataKey::generate()?;
        writer.header.node = sealed::node();
        writer.header.generation = writer.header.generation.max(mark.unwrap_or(0));
        source.wrap_into(self.dir(), &mut writer.header, &writer.data_key, &options.source_options)?;
        writer.commit()?;
        platform::forget_data_key(&old_cache_name);
        TokenCache::remove_file(self.dir());
        old_source.remove_key(self.dir(), &old_header)?;
        Ok(source)
    }

    fn writer(&self, lock: File, file: SealedFile, data_key: DataKey) -> Result<Writer<'_>, Error> {
        let header = file.header().clone();
        let content = entry::decode(file.open(&data_key)?, None)?;
        Ok(Writer { store: self, header, data_key, content, _lock: lock })
    }

    fn acquire_lock(&self) -> Result<File, Error> {
        self.check_dir()?;
        let path = self.dir().join(LOCK);
        let lock = match platform::create_private_file(&path, Writable::Yes) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::OpenOptions::new().write(true).open(&path).map_err(Error::write(&path))?
            }
            Err(error) => return Err(Error::write(&path)(error)),
        };
        let start = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok(lock),
                Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_TIMEOUT => {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Unavailable {
                        what: format!("the lock `{}`", path.display()),
                        reason: format!("another writer has held it for {} seconds", LOCK_TIMEOUT.as_secs()),
                    });
                }
                Err(TryLockError::Error(error)) => return Err(Error::write(&path)(error)),
            }
        }
    }
}

impl Writer<'_> {
    /// Returns the credentials as they are, or as they will be.
    pub fn credentials(&self) -> &[Credential] {
        &self.content.credentials
    }

    /// Returns the mirror rules as they are, or as they will be.
    pub fn mirrors(&self) -> &[MirrorRule] {
        &self.content.mirrors
    }

    /// Stores a credential in place of the one of the same scope. Returns whether there was one.
    pub fn put(&mut self, credential: Credential) -> bool {
        put(&mut self.content.credentials, credential, |credential| &credential.scope)
    }

    /// Removes the credential of a scope. Returns whether there was one.
    pub fn remove(&mut self, scope: &Scope) -> bool {
        let credentials = &mut self.content.credentials;
        let before = credentials.len();
        credentials.retain(|credential| credential.scope != *scope);
        credentials.len() < before
    }

    /// Stores a mirror rule in place of the one of the same source. Returns whether there was one.
    pub fn put_mirror(&mut self, rule: MirrorRule) -> bool {
        put(&mut self.content.mirrors, rule, |rule| &rule.source)
    }

    /// Removes the mirror rule of a source. Returns whether there was one.
    pub fn remove_mirror(&mut self, source: &Source) -> bool {
        let mirrors = &mut self.content.mirrors;
        let before = mirrors.len();
        mirrors.retain(|rule| rule.source != *source);
        mirrors.len() < before
    }

    /// Writes the next generation and releases the lock.
    ///
    /// # Errors
    /// [`Error::Write`]; the old generation is then still in place.
    pub fn commit(mut self) -> Result<(), Error> {
        self.header.generation += 1;
        let bytes = sealed::seal(&self.header, &self.data_key, &entry::payload(&self.content))?;
        let path = self.store.credentials_path();
        let temporary = self.store.dir().join(TEMPORARY);
        remove_if_there(&temporary)?;
        platform::write_private_file(&temporary, &bytes, Writable::Yes).map_err(Error::write(&temporary))?;
        platform::replace_file(&temporary, &path).map_err(Error::write(&path))?;
        // After the rename: a mark ahead of the file would lock everybody out if this process died in between.
        let _ = platform::raise_generation_mark(&hex(&self.header.store_id), self.header.generation);
        KeySource::remove_orphans(self.store.dir(), &self.header);
        Ok(())
    }
}

/// Puts an item in its place in a sorted list, over the one with the same key. Returns whether there was one.
fn put<T, K: Ord>(items: &mut Vec<T>, item: T, key: impl Fn(&T) -> &K) -> bool {
    match items.binary_search_by(|stored| key(stored).cmp(key(&item))) {
        Ok(index) => {
            items[index] = item;
            true
        }
        Err(index) => {
            items.insert(index, item);
            false
        }
    }
}

fn remove_if_there(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::write(path)(error)),
        _ => Ok(()),
    }
}
