//! A broker on a store of this machine. It keeps what it has opened until the file is another one.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prost::bytes::Bytes;
use zeroize::Zeroizing;

use super::{Answer, Broker, BrokerError, Entry, Response, Status, Stored};
use crate::credential::Credential;
use crate::issuer::{Issuer, Issuing};
use crate::kubelet::request::CredentialProviderRequest;
use crate::matching;
use crate::platform::{self, FileIdentity};
use crate::provider;
use crate::scope::Scope;
use crate::store::{self, CREDENTIALS, Opened, Store};
use crate::time;

/// How long an issuer is waited for. A kubelet waits for one minute at most, and what is issued too late serves the next pull.
const ISSUER_TIMEOUT: Duration = Duration::from_secs(25);

/// A store, and what was last read of it.
pub struct Local {
    store: Store,
    /// The sealed file, and its content as of that identity.
    opened: Mutex<Option<(FileIdentity, Arc<Opened>)>>,
    started: Instant,
    answers: AtomicU64,
}

impl Local {
    /// Serves a store, which need not exist yet.
    pub fn new(store: Store) -> Self {
        Self { store, opened: Mutex::new(None), started: Instant::now(), answers: AtomicU64::new(0) }
    }

    fn path(&self) -> PathBuf {
        self.store.dir().join(CREDENTIALS)
    }

    /// Opens the store, or returns what was opened before when the file is still the same one.
    ///
    /// The identity is taken first: a file that is replaced in between is opened once more at the next call, never passed over.
    fn open(&self) -> Result<Arc<Opened>, store::Error> {
        let identity = platform::file_identity(&self.path()).ok();
        // One opener at a time: the others wait for what it finds, rather than ask a slow key source once each.
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(identity), Some((of, content))) = (&identity, &*opened)
            && identity == of
        {
            return Ok(content.clone());
        }
        *opened = None;
        let content = Arc::new(self.store.open()?);
        *opened = identity.map(|identity| (identity, content.clone()));
        Ok(content)
    }
}

impl Broker for Local {
    fn get_credentials(&self, request: &[u8]) -> Result<Answer, BrokerError> {
        let request = CredentialProviderRequest::parse(request)?;
        let registry = || request.image.domain().to_owned();
        let opened = self.open().map_err(|source| BrokerError::Store { registry: Some(registry()), source })?;
        let issuing = Issuing {
            now: time::now(),
            registry: request.image.domain(),
            service_account: request.service_account.as_ref(),
            tokens: Some(&opened.tokens),
            deadline: Some(Instant::now() + ISSUER_TIMEOUT),
        };
        let response =
            provider::provide(request.api_version, &request.image, &opened.credentials, &opened.mirrors, &issuing)
                .map_err(|source| BrokerError::Issuer { registry: registry(), source })?;
        let chosen = matching::choose(&request.image, &opened.credentials, &opened.mirrors).chain;
        let mut bytes = Zeroizing::new(Vec::new());
        response.write_to(&mut *bytes).map_err(|_| BrokerError::Refused("the answer is not UTF-8".to_owned()))?;
        self.answers.fetch_add(1, Ordering::Relaxed);
        Ok(Answer {
            response: Response(Bytes::from_owner(bytes)),
            image: request.image.name().to_owned(),
            chosen: chosen.iter().map(|one| (one.scope.to_string(), one.issuer.clone())).collect(),
        })
    }

    fn put(&self, credential: Credential) -> Result<Stored, BrokerError> {
        Issuer::by_name(&credential.issuer)
            .and_then(|issuer| issuer.check(&credential))
            .map_err(|error| BrokerError::Refused(error.to_string()))?;
        let mut writer = self.store.write()?;
        let scope = credential.scope.clone();
        let others: Vec<Scope> = writer.credentials().iter().map(|stored| stored.scope.clone()).collect();
        if let Some(other) = others.iter().find(|other| scope.ties_with(other)) {
            return Err(BrokerError::Tie { other: other.clone(), scope });
        }
        let replaced = writer.put(credential);
        writer.commit()?;
        Ok(Stored { replaced, others })
    }

    fn delete(&self, scope: &Scope) -> Result<bool, BrokerError> {
        let mut writer = self.store.write()?;
        if !writer.remove(scope) {
            return Ok(false);
        }
        writer.commit()?;
        // Nothing asks for these any more, and they end by themselves.
        if let Err(error) = self.open()?.tokens.forget(scope) {
            tracing::warn!("tokens that were issued for `{scope}` stay in the store until they end: {error}");
        }
        Ok(true)
    }

    fn list(&self) -> Result<Vec<Entry>, BrokerError> {
        Ok(self.open()?.credentials.iter().map(Entry::from).collect())
    }

    fn status(&self) -> Result<Status, BrokerError> {
        let opened = self.open()?;
        Ok(Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            store: self.store.dir().display().to_string(),
            generation: opened.status.generation,
            credentials: opened.credentials.len() as u64,
            key_source: opened.status.key_source.name().to_owned(),
            uptime: self.started.elapsed(),
            answers: self.answers.load(Ordering::Relaxed),
        })
    }
}

impl From<&Credential> for Entry {
    fn from(credential: &Credential) -> Self {
        Self {
            scope: credential.scope.to_string(),
            username: credential.username.clone(),
            issuer: credential.issuer.clone(),
            expires_at: credential.expires_at,
            updated_at: credential.updated_at,
            origin: credential.origin.clone(),
        }
    }
}
