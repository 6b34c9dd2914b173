//! auth.json of podman, buildah, skopeo and CRI-O.
//!
//! Source of the rules: containers-auth.json(5). The shape is docker's; keys have no scheme and may have a path, of which the
//! longest counts, as with scopes.

use super::docker;
use super::gather::{At, Gather};
use super::tree::Node;

/// Takes over a document.
pub(super) fn import(gather: &mut Gather, at: &At, root: &Node) {
    docker::import(gather, at, root);
}
