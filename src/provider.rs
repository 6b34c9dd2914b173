//! From an image and what is stored to an answer. Pure: no I/O, no clock.

use crate::credential::Credential;
use crate::issuer::{self, IssuerError};
use crate::kubelet::ApiVersion;
use crate::kubelet::response::{CacheKeyType, CredentialProviderResponse};
use crate::matching::{self, Selection};
use crate::reference::Reference;

/// Answers for `image` at the time `now`, in seconds since 1970.
///
/// The auth key is the image's registry exactly as the request spells it, or the whole image where only some paths of the
/// registry have a credential; the kubelet would otherwise use the answer for other repositories, by its cache and by its
/// prefix match without segment boundary (kubernetes#102472).
///
/// # Errors
/// [`IssuerError`] when a credential is stored and cannot be issued. Nothing stored is an answer, not an error.
pub fn provide(
    api_version: ApiVersion,
    image: &Reference,
    credentials: &[Credential],
    now: i64,
) -> Result<CredentialProviderResponse, IssuerError> {
    let Selection { credential: Some(credential), registry_has_paths } = matching::select(image, credentials) else {
        // "0s": a cached empty answer would starve later pulls until it expires (kubernetes#92326).
        return Ok(CredentialProviderResponse {
            api_version,
            cache_key_type: CacheKeyType::Image,
            cache_duration: std::time::Duration::ZERO,
            auth: None,
        });
    };
    let issued = issuer::issue(credential, now)?;
    let (cache_key_type, key) =
        if registry_has_paths { (CacheKeyType::Image, image.name()) } else { (CacheKeyType::Registry, image.domain()) };
    Ok(CredentialProviderResponse {
        api_version,
        cache_key_type,
        cache_duration: issued.cache_duration,
        auth: Some((key.to_owned(), issued)),
    })
}
