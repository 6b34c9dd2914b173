//! Which stored credentials an image gets, and in which order.

use crate::credential::Credential;
use crate::mirror::{MirrorRule, Policy};
use crate::reference::Reference;
use crate::scope::{Mismatch, Specificity};

/// The credentials for one image.
#[derive(Debug)]
pub struct Choice<'a> {
    /// In the order in which the kubelet should try them; empty when nothing is stored.
    pub chain: Vec<&'a Credential>,
    /// The rule for the image's registry, when it has mirrors.
    pub rule: Option<&'a MirrorRule>,
    /// The registry's own credential, when the rule keeps it from the mirrors.
    pub withheld: Option<&'a Credential>,
    /// Whether a registry concerned has credentials for single paths, so that an answer for the whole registry would be wrong.
    pub registry_has_paths: bool,
}

/// Chooses the credentials for an image: the registry's own, or, where it has mirrors, what the rule's policy says.
pub fn choose<'a>(image: &Reference, credentials: &'a [Credential], mirrors: &'a [MirrorRule]) -> Choice<'a> {
    let upstream = select(image, credentials);
    let Some(rule) = MirrorRule::find(mirrors, image) else {
        return Choice {
            chain: upstream.credential.into_iter().collect(),
            rule: None,
            withheld: None,
            registry_has_paths: upstream.registry_has_paths,
        };
    };
    let on_mirrors: Vec<_> = rule.images(image).map(|image| select(&image, credentials)).collect();
    let mut of_mirrors: Vec<&Credential> = on_mirrors.iter().filter_map(|selection| selection.credential).collect();
    of_mirrors.dedup_by(|a, b| a.scope == b.scope);
    let of_upstream = upstream.credential;
    let chain: Vec<_> = match rule.policy {
        Policy::MirrorOnly => of_mirrors,
        Policy::MirrorThenUpstream => of_mirrors.into_iter().chain(of_upstream).collect(),
        Policy::UpstreamThenMirror => of_upstream.into_iter().chain(of_mirrors).collect(),
        Policy::UpstreamOnly => of_upstream.into_iter().collect(),
    };
    Choice {
        withheld: of_upstream.filter(|upstream| !chain.iter().any(|chosen| chosen.scope == upstream.scope)),
        chain,
        rule: Some(rule),
        registry_has_paths: upstream.registry_has_paths || on_mirrors.iter().any(|mirror| mirror.registry_has_paths),
    }
}

/// The outcome for one host.
struct Selection<'a> {
    /// The most specific credential that fits, if any does.
    credential: Option<&'a Credential>,
    /// Whether some credential is for a path of the same host.
    registry_has_paths: bool,
}

/// Selects the most specific credential for an image.
///
/// Ties are refused when a credential is stored. Should a store hold one all the same, the scope that sorts first wins, so
/// that every pull gets the same answer.
fn select<'a>(image: &Reference, credentials: &'a [Credential]) -> Selection<'a> {
    let mut best: Option<(Specificity, &Credential)> = None;
    let mut registry_has_paths = false;
    for credential in credentials {
        match credential.scope.fit(image) {
            Ok(fit) => {
                registry_has_paths |= !credential.scope.path().is_empty();
                let better = best.is_none_or(|(best_fit, best)| {
                    fit > best_fit || (fit == best_fit && credential.scope < best.scope)
                });
                if better {
                    best = Some((fit, credential));
                }
            }
            // Only the path differed, so the host was the same.
            Err(Mismatch::Path) => registry_has_paths = true,
            Err(Mismatch::Host | Mismatch::Port | Mismatch::Labels) => {}
        }
    }
    Selection { credential: best.map(|(_, credential)| credential), registry_has_paths }
}
