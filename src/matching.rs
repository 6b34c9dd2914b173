//! Which stored credential an image gets.

use crate::credential::Credential;
use crate::reference::Reference;
use crate::scope::{Mismatch, Specificity};

/// The outcome for one image.
#[derive(Debug)]
pub struct Selection<'a> {
    /// The most specific credential that fits, if any does.
    pub credential: Option<&'a Credential>,
    /// Whether the registry has credentials for single paths, so that an answer for the whole registry would be wrong.
    pub registry_has_paths: bool,
}

/// Selects the most specific credential for an image.
///
/// Ties are refused when a credential is stored. Should a store hold one all the same, the scope that sorts first wins, so
/// that every pull gets the same answer.
pub fn select<'a>(image: &Reference, credentials: &'a [Credential]) -> Selection<'a> {
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
