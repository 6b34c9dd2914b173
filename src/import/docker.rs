//! config.json and .dockercfg of docker.
//!
//! Source of the rules: docker/cli `cli/config/configfile/file.go`; the kubelet's `pkg/credentialprovider/config.go` for keys
//! with wildcards and paths.

use super::Outcome;
use super::auth::{self, Dialect};
use super::gather::{At, Gather, NOT_IMPORTED};
use super::tree::Node;

const DIALECT: Dialect = Dialect {
    identity_token: "identitytoken",
    registry_token: Some("registrytoken"),
    other: &["email", "serveraddress"],
    auth_first: true,
};

/// Takes over a document: one with `auths`, or a `.dockercfg`, which is what `auths` holds.
pub(super) fn import(gather: &mut Gather, at: &At, root: &Node) {
    if !gather.is_map(at, root, "a map with `auths`") {
        return;
    }
    if is_legacy(root) {
        auths(gather, at, root, false);
        return;
    }
    let has_helper = ["credsStore", "credHelpers"].iter().any(|key| root.get(key).is_some_and(|node| !node.is_empty()));
    for (name, node) in root.entries() {
        let at = at.child(name, node);
        match name.as_str() {
            "auths" => auths(gather, &at, node, has_helper),
            "credsStore" => helper(gather, &at),
            "credHelpers" => {
                for (host, node) in node.entries() {
                    helper(gather, &at.child(host, node));
                }
            }
            _ => gather.info(&at, Outcome::Ignored, "other-setting", "has nothing to do with credentials"),
        }
    }
}

/// Returns whether this is a `.dockercfg`: every value is a map, and one of them has a credential.
pub(super) fn is_legacy(root: &Node) -> bool {
    let is_login = |node: &Node| ["auth", "username", "identitytoken"].iter().any(|key| node.get(key).is_some());
    root.get("auths").is_none() && root.entries().iter().any(|(_, node)| is_login(node))
}

/// Takes over the logins. An empty one is kept by a credential helper, where the file names one.
pub(super) fn auths(gather: &mut Gather, at: &At, node: &Node, has_helper: bool) {
    gather.is_map(at, node, "a map of registries");
    for (name, value) in node.entries() {
        let at = at.child(name, value);
        if name.ends_with("/v1/access-token") || name.ends_with("/v1/refresh-token") {
            let message = "belongs to a session of Docker Desktop, and is no login at a registry";
            gather.info(&at, Outcome::Ignored, "desktop-session", message);
            continue;
        }
        if value.is_empty() && value.is_map_or_null() {
            if has_helper {
                let message =
                    "is empty, so the login is kept by a credential helper; log in with a user name and password here";
                gather.warning(&at, Outcome::Ignored, "credential-helper", message);
            } else {
                let message =
                    "holds no login; a kubelet that reads this file pulls from there without one, so remove it";
                gather.warning(&at, Outcome::Ignored, "empty-login", message);
            }
            continue;
        }
        match gather.scope(&at, name) {
            Some(scope) => auth::read(gather, &at, value, &scope, &DIALECT),
            None => gather.stays(&at, NOT_IMPORTED),
        }
    }
}

fn helper(gather: &mut Gather, at: &At) {
    let message =
        "names a credential helper, which is a program of its own and is not run; its logins are not in this file";
    gather.warning(at, Outcome::Ignored, "credential-helper", message);
}
