//! From an image and what is stored to an answer. No clock of its own; network and token cache only as [`Issuing`] allows.

use std::time::Duration;

use crate::credential::{Credential, Issued};
use crate::issuer::{self, IssuerError, Issuing};
use crate::kubelet::ApiVersion;
use crate::kubelet::response::{CacheKeyType, CredentialProviderResponse};
use crate::matching::{self, Choice};
use crate::mirror::MirrorRule;
use crate::reference::{self, Reference};

/// Answers for `image`.
///
/// The auth key is the image's registry exactly as the request spells it, or the whole image where only some paths of the
/// registry have a credential; the kubelet would otherwise use the answer for other repositories, by its cache and by its
/// prefix match without segment boundary (kubernetes#102472). Where mirrors ask for more than one credential, the further keys
/// are patterns that the kubelet tries later.
///
/// # Errors
/// [`IssuerError`] when credentials are stored and none of them can be issued. Nothing stored is an answer, not an error.
pub fn provide(
    api_version: ApiVersion,
    image: &Reference,
    credentials: &[Credential],
    mirrors: &[MirrorRule],
    issuing: &Issuing<'_>,
) -> Result<CredentialProviderResponse, IssuerError> {
    let Choice { chain, registry_has_paths, rule, .. } = matching::choose(image, credentials, mirrors);
    let issued = issue_all(image, &chain, rule, issuing)?;
    // An empty answer is for this image only, and not kept: it would starve later pulls (kubernetes#92326).
    let cache_key_type =
        if registry_has_paths || issued.is_empty() { CacheKeyType::Image } else { CacheKeyType::Registry };
    let cache_duration = issued.iter().map(|issued| issued.cache_duration).min().unwrap_or(Duration::ZERO);
    let auth = auth_keys(image, cache_key_type).into_iter().zip(issued).collect();
    Ok(CredentialProviderResponse { api_version, cache_key_type, cache_duration, auth })
}

/// Issues what can be issued; a dead credential must not take a live one of the same chain with it.
fn issue_all(
    image: &Reference,
    chain: &[&Credential],
    rule: Option<&MirrorRule>,
    issuing: &Issuing<'_>,
) -> Result<Vec<Issued>, IssuerError> {
    let (mut issued, mut first_error) = (Vec::with_capacity(chain.len()), None);
    for credential in chain {
        let registry = registry(image, credential, rule);
        match issuer::issue(credential, &issuing.for_registry(&registry)) {
            Ok(one) => issued.push(one),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match first_error {
        Some(error) if issued.is_empty() => Err(error),
        _ => Ok(issued),
    }
}

/// Returns the registry that a chosen credential is for: the image's own, or the first mirror that it fits.
pub fn registry(image: &Reference, credential: &Credential, rule: Option<&MirrorRule>) -> String {
    let fits = |image: &Reference| credential.scope.fit(image).is_ok();
    let on_mirrors = rule.into_iter().flat_map(|rule| rule.images(image));
    let of = [image.clone()].into_iter().chain(on_mirrors).find(fits);
    of.map_or_else(|| image.domain().to_owned(), |image| image.domain().to_owned())
}

/// Returns the keys under which the kubelet finds credentials for the image, in the order in which it tries them: it sorts
/// all keys in descending byte order, and `*` comes before every letter (`BasicDockerKeyring.Lookup`). For `a.r.io`:
/// `a.r.io`, `*.r.io`, `*.*.io`, `*.*.*`.
fn auth_keys(image: &Reference, cache_key_type: CacheKeyType) -> Vec<String> {
    let (host, port) = reference::split_port(image.domain());
    let labels: Vec<&str> = host.split('.').collect();
    let port = port.map_or_else(String::new, |port| format!(":{port}"));
    let whole_image = (cache_key_type == CacheKeyType::Image).then(|| whole_image_key(image));
    let domains = (0..=labels.len()).map(|stars| {
        let starred: Vec<&str> =
            (0..labels.len()).map(|index| if index < stars { "*" } else { labels[index] }).collect();
        format!("{}{port}", starred.join("."))
    });
    whole_image.into_iter().chain(domains).collect()
}

/// Returns the key that names one image. The kubelet cuts `/v1/` or `/v2/` off the front of a key's path
/// (`BasicDockerKeyring.Add`), so a repository that starts so gets one more to lose.
fn whole_image_key(image: &Reference) -> String {
    if image.path().starts_with("v1/") || image.path().starts_with("v2/") {
        format!("{}/v1/{}", image.domain(), image.path())
    } else {
        image.name().to_owned()
    }
}
