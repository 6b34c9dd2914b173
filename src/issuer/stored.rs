//! The `static` issuer: the stored user name and password, as they are.

use std::collections::BTreeMap;
use std::time::Duration;

use super::IssuerError;
use crate::credential::{self, Credential, Issued};
use crate::time;

/// Longest `cache`: a rotated password stays wrong for that long, since the kubelet never drops an answer early.
const MAX_CACHE: Duration = Duration::from_secs(24 * 60 * 60);

/// Taken off the remaining life of a secret that ends: clocks differ, and a pull has to start before the end.
const MARGIN: i64 = 60;

pub(super) fn check(username: &str, secret: &[u8], settings: &BTreeMap<String, String>) -> Result<(), IssuerError> {
    credential::check_basic_auth(username, secret)?;
    if settings.keys().any(|name| name != "cache") {
        return Err(IssuerError::UnknownSetting { issuer: "static", known: "`cache`" });
    }
    cache(settings).map(drop)
}

pub(super) fn issue(credential: &Credential, now: i64) -> Result<Issued, IssuerError> {
    let mut cache_duration = cache(&credential.settings)?;
    if let Some(expires_at) = credential.expires_at {
        let left = u64::try_from(expires_at.saturating_sub(now).saturating_sub(MARGIN)).unwrap_or(0);
        cache_duration = cache_duration.min(Duration::from_secs(left));
    }
    Ok(Issued { username: credential.username.clone(), password: credential.secret.clone(), cache_duration })
}

/// Without the setting nothing is cached: reading the store costs less than a millisecond, and a rotated password then takes
/// effect at the next pull.
fn cache(settings: &BTreeMap<String, String>) -> Result<Duration, IssuerError> {
    let Some(text) = settings.get("cache") else { return Ok(Duration::ZERO) };
    time::parse_duration(text).filter(|duration| *duration <= MAX_CACHE).ok_or(IssuerError::Cache)
}
