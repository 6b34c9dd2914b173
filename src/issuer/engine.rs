//! From an issuer's plan to a credential: the sealed cache first, then one process of all asks.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::http::{self, Http};
use super::settings::Settings;
use super::{IssuerError, Issuing, expiry};
use crate::credential::{self, Credential, Issued};
use crate::kubelet::service_account::ServiceAccount;
use crate::secret::Secret;
use crate::store::Token;

/// How long a failure is remembered, in seconds: long enough for a burst, too short for a person who mends it.
const FAILURE: i64 = 5;

/// The least that is left for writing an answer when an issuer took too long.
const LEAST_MARGIN: Duration = Duration::from_millis(100);

/// Asks an issuer.
pub(super) type Mint<'a> = dyn Fn(&Http) -> Result<Minted, IssuerError> + 'a;

/// What an issuer is about to do, with everything resolved that takes no network.
pub(super) struct Plan<'a> {
    /// Name of the issuer.
    pub(super) issuer: &'static str,
    /// Who is asked, for people.
    pub(super) endpoint: String,
    /// The service account whose token is used; the result is then for this account alone.
    pub(super) service_account: Option<&'a ServiceAccount>,
    /// What the result depends on besides the entry and the service account: a region taken from the image, say.
    pub(super) depends_on: Vec<String>,
    /// How long the kubelet may keep the result at most, unless the entry says less.
    pub(super) cap: Duration,
    /// Asks.
    pub(super) mint: Box<Mint<'a>>,
}

/// What an issuer gave.
pub(super) struct Minted {
    pub(super) username: String,
    pub(super) password: Secret,
    /// How long it is good, and how long everything is that it was made from; `None` for what does not say.
    pub(super) lifetimes: Vec<Option<Duration>>,
}

/// Gets the credential of a plan.
pub(super) fn issue(plan: &Plan<'_>, credential: &Credential, issuing: &Issuing<'_>) -> Result<Issued, IssuerError> {
    let now = issuing.now;
    let token = get(plan, credential, issuing)?;
    // It may have been written by another version, or come from an issuer that makes odd ones.
    credential::check_basic_auth(&token.username, token.password.expose())?;
    let settings = Settings(&credential.settings);
    let cap = settings.cache()?.unwrap_or(plan.cap);
    let mut cache_duration = expiry::cache_duration(token.minted_at, token.expires_at, now, cap, http::jitter());
    if let Some(account) = issuing.service_account.filter(|account| repeats(account, &token)) {
        // An answer that repeats the token must not outlive it (KEP-4412).
        let left = account.expires_at.unwrap_or(now).saturating_sub(now).max(0).unsigned_abs();
        cache_duration = cache_duration.min(Duration::from_secs(left.saturating_sub(60)));
    }
    Ok(Issued { username: token.username, password: token.password, cache_duration })
}

/// Returns the cached token of a plan while it lives.
pub(super) fn cached(plan: &Plan<'_>, credential: &Credential, issuing: &Issuing<'_>) -> Option<Token> {
    issuing.tokens?.get(&key(plan, credential)).filter(|token| token.is_alive(issuing.now))
}

fn get(plan: &Plan<'_>, credential: &Credential, issuing: &Issuing<'_>) -> Result<Token, IssuerError> {
    let (now, issuer) = (issuing.now, plan.issuer);
    let key = key(plan, credential);
    let read = || issuing.tokens.and_then(|cache| cache.get(&key));
    let seen = read();
    if let Some(outcome) = seen.as_ref().and_then(|token| settled(token, now)) {
        return outcome;
    }
    let alive = |token: Option<Token>| token.filter(|token| token.is_alive(now));
    let Some(deadline) = issuing.deadline else {
        return alive(seen).ok_or(IssuerError::NotAsked { issuer });
    };
    let margin = (deadline.saturating_duration_since(Instant::now()) / 10).max(LEAST_MARGIN);
    let mut until = deadline.checked_sub(margin).unwrap_or(deadline);
    if let Some(timeout) = Settings(&credential.settings).timeout()? {
        until = until.min(Instant::now() + timeout);
    }

    // Held until the answer is in the cache. A file system without locks is worth no failure.
    let lock = issuing.tokens.and_then(|cache| cache.lock(&key, until));
    if issuing.tokens.is_some() && lock.is_none() && Instant::now() >= until {
        return alive(seen).ok_or(IssuerError::Busy { issuer });
    }
    let stale = read();
    if let Some(token) = &stale {
        // Whoever held the lock may have asked meanwhile. What it got is as fresh as it gets, however short its life.
        let is_new = seen.as_ref().is_none_or(|seen| seen.password.expose() != token.password.expose());
        if is_new && token.is_alive(now) {
            return Ok(token.clone());
        }
        if let Some(outcome) = settled(token, now) {
            return outcome;
        }
    }
    let http = Http::new(Settings(&credential.settings).ca_file(), until);
    let minted = (plan.mint)(&http).and_then(|minted| {
        credential::check_basic_auth(&minted.username, minted.password.expose())?;
        let expires_at = expiry::ends_at(now, &minted.lifetimes).ok_or_else(|| IssuerError::Answer {
            endpoint: plan.endpoint.clone(),
            reason: "a credential that has ended already".to_owned(),
        })?;
        Ok(Token {
            key,
            scope: credential.scope.to_string(),
            username: minted.username,
            password: minted.password,
            minted_at: now,
            expires_at,
            failure: None,
            retry_at: 0,
        })
    });
    let (kept, outcome) = match minted {
        Ok(token) => (token.clone(), Ok(token)),
        Err(error) => {
            let failed = failed(key, credential, alive(stale), &error, now);
            (failed.clone(), if failed.is_alive(now) { Ok(failed) } else { Err(error) })
        }
    };
    // Made of one pod's token, it would end with this pod: no other pod of the account gets it.
    if plan.service_account.is_some_and(|account| repeats(account, &kept)) {
        return outcome;
    }
    // A cache that cannot be written costs the next process a request.
    if let Some(Err(error)) = issuing.tokens.map(|cache| cache.put(&kept, now)) {
        tracing::debug!(%error, "the token cache cannot be written");
    }
    outcome
}

/// Whether an issuer gave back the pod's own token.
fn repeats(account: &ServiceAccount, token: &Token) -> bool {
    account.token.expose() == token.password.expose()
}

/// What a cached token settles: an answer, a failure that is too young to ask again, or nothing.
fn settled(token: &Token, now: i64) -> Option<Result<Token, IssuerError>> {
    // A clock that was set back must not prolong a failure.
    let has_failed = (token.retry_at - FAILURE..token.retry_at).contains(&now);
    if token.is_alive(now) {
        let is_good = has_failed || expiry::is_fresh(token.minted_at, token.expires_at, now);
        return is_good.then(|| Ok(token.clone()));
    }
    let failure = token.failure.clone().filter(|_| has_failed)?;
    Some(Err(IssuerError::Remembered { failure }))
}

/// What is kept after a failure: the credential that still lives, if any, and the failure.
fn failed(key: [u8; 32], credential: &Credential, alive: Option<Token>, error: &IssuerError, now: i64) -> Token {
    let nothing = || Token {
        key,
        scope: credential.scope.to_string(),
        username: String::new(),
        password: Secret::new(Zeroizing::default()),
        minted_at: now,
        expires_at: 0,
        failure: None,
        retry_at: 0,
    };
    Token { failure: Some(error.to_string()), retry_at: now + FAILURE, ..alive.unwrap_or_else(nothing) }
}

/// Digest of everything that a result depends on. Two entries, settings, secrets or service accounts never share one.
fn key(plan: &Plan<'_>, credential: &Credential) -> [u8; 32] {
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    };
    for part in [credential.scope.as_str(), plan.issuer, &credential.username] {
        add(part.as_bytes());
    }
    add(credential.secret.expose());
    for (name, value) in &credential.settings {
        add(name.as_bytes());
        add(value.as_bytes());
    }
    add(b"");
    for part in &plan.depends_on {
        add(part.as_bytes());
    }
    add(b"");
    if let Some(account) = plan.service_account {
        add(&account.identity());
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(password: &str, expires_at: i64, failure: Option<&str>, retry_at: i64) -> Token {
        Token {
            key: [0; 32],
            scope: String::new(),
            username: "u".to_owned(),
            password: Secret::new(Zeroizing::new(password.as_bytes().to_vec())),
            minted_at: 0,
            expires_at,
            failure: failure.map(str::to_owned),
            retry_at,
        }
    }

    /// A failure holds for five seconds after it, neither before nor longer, whatever the clock does.
    #[test]
    fn a_failure_settles_for_seconds() {
        let failed = token("", 0, Some("why"), 1005);
        for (now, is_settled) in [(999, false), (1000, true), (1004, true), (1005, false), (5000, false), (-1, false)] {
            assert_eq!(matches!(settled(&failed, now), Some(Err(_))), is_settled, "{now}");
        }
        // With a credential that lives, it is the credential that is served meanwhile, and asked for anew after that.
        let stale = token("p", 1100, Some("why"), 1005);
        for (now, is_settled) in [(1000, true), (1004, true), (1005, false), (1099, false), (1100, false)] {
            assert_eq!(matches!(settled(&stale, now), Some(Ok(_))), is_settled, "{now}");
        }
        assert!(
            settled(&token("p", 1003, Some("why"), 1005), 1003).is_some_and(|outcome| outcome.is_err()),
            "it has ended"
        );
    }
}
