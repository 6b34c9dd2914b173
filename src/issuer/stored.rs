//! The `static` issuer: the stored user name and password, as they are.

use std::time::Duration;

use super::IssuerError;
use super::settings::Settings;
use crate::credential::{self, Credential, Issued};

/// Taken off the remaining life of a secret that ends: clocks differ, and a pull has to start before the end.
const MARGIN: i64 = 60;

pub(super) fn check(credential: &Credential) -> Result<(), IssuerError> {
    Ok(credential::check_basic_auth(&credential.username, credential.secret.expose())?)
}

/// Without `cache` nothing is cached: reading the store costs less than a millisecond, and a rotated password then takes effect
/// at the next pull.
pub(super) fn issue(credential: &Credential, now: i64) -> Result<Issued, IssuerError> {
    let mut cache_duration = Settings(&credential.settings).cache()?.unwrap_or(Duration::ZERO);
    if let Some(expires_at) = credential.expires_at {
        let left = u64::try_from(expires_at.saturating_sub(now).saturating_sub(MARGIN)).unwrap_or(0);
        cache_duration = cache_duration.min(Duration::from_secs(left));
    }
    Ok(Issued { username: credential.username.clone(), password: credential.secret.clone(), cache_duration })
}
