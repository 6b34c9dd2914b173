//! registries.yaml of k3s and RKE2.
//!
//! Source of the rules: rancher/wharfie `pkg/registries/types.go` and k3s `pkg/agent/containerd/config.go`: `mirrors` by the
//! registry of the image, `configs` by the host of the endpoint, `auths` (deprecated) by URL. Unknown keys vanish there.

use super::Outcome;
use super::auth::{self, Dialect};
use super::gather::{At, Gather, Host, NOT_IMPORTED, is_misplaced};
use super::paths::{self, Base};
use super::tree::Node;

const ROOT: &[&str] = &["mirrors", "configs", "auths"];
const MIRROR: &[&str] = &["endpoint", "rewrite"];
const CONFIG: &[&str] = &["auth", "tls"];
const TLS: &[&str] = &["ca_file", "cert_file", "key_file", "insecure_skip_verify"];
const DIALECT: Dialect =
    Dialect { identity_token: "identity_token", registry_token: None, other: &[], auth_first: false };

/// Takes over a document.
pub(super) fn import(gather: &mut Gather, at: &At, root: &Node) {
    gather.is_map(at, root, "a map with `mirrors` and `configs`");
    for (name, node) in root.entries() {
        let at = at.child(name, node);
        match name.as_str() {
            "mirrors" => mirrors(gather, &at, node, MIRROR),
            "configs" => configs(gather, &at, node, &DIALECT),
            "auths" => auths(gather, &at, node, &DIALECT),
            name => gather.unknown_key(&at, name, ROOT),
        }
    }
}

/// Takes over `mirrors`, which containerd has too.
pub(super) fn mirrors(gather: &mut Gather, at: &At, node: &Node, known: &[&str]) {
    gather.is_map(at, node, "a map of registries");
    for (name, mirror) in node.entries() {
        let at = at.child(name, mirror);
        if !gather.is_map(&at, mirror, "a map with `endpoint`") {
            continue;
        }
        let mut hosts = Vec::new();
        for (key, value) in mirror.entries() {
            let at = at.child(key, value);
            match key.as_str() {
                "endpoint" => hosts = endpoints(gather, &at, value),
                "rewrite" if known.contains(&"rewrite") => rewrite(gather, &at),
                key => gather.unknown_key(&at, key, known),
            }
        }
        gather.mirror(&at, name, hosts);
    }
}

/// Reads a list of URLs.
pub(super) fn endpoints(gather: &mut Gather, at: &At, node: &Node) -> Vec<Host> {
    if !matches!(node.value, super::tree::Value::List(_)) && !node.is_empty() {
        gather.wrong_type(at, "a list of URLs");
    }
    let mut hosts = Vec::new();
    for (index, item) in node.items().iter().enumerate() {
        let at = at.item(index, item);
        match item.text() {
            Some(url) => hosts.extend(gather.endpoint(&at, url)),
            None => gather.wrong_type(&at, "a URL"),
        }
    }
    hosts
}

/// Reports repository names that are rewritten on a mirror.
pub(super) fn rewrite(gather: &mut Gather, at: &At) {
    gather.info(
        at,
        Outcome::NotRepresentable,
        "rewrite",
        "the mirror has other repository names, which only the container runtime needs; its credential \
            is that of the host",
    );
}

/// Takes over `configs`, which containerd has too.
pub(super) fn configs(gather: &mut Gather, at: &At, node: &Node, dialect: &Dialect) {
    gather.is_map(at, node, "a map of hosts");
    for (name, config) in node.entries() {
        let at = at.child(name, config);
        if !gather.is_map(&at, config, "a map with `auth` and `tls`") {
            continue;
        }
        let scope = match config.get("auth") {
            None if !is_misplaced(name) => None,
            Some(_) | None => match gather.host(&at, name) {
                Some(scope) => Some(scope),
                None => {
                    gather.stays(&at, NOT_IMPORTED);
                    continue;
                }
            },
        };
        for (key, value) in config.entries() {
            let at = at.child(key, value);
            match (key.as_str(), &scope) {
                ("auth", Some(scope)) => auth::read(gather, &at, value, scope, dialect),
                ("auth", None) => {}
                ("tls", _) => tls(gather, &at, value, TLS),
                (key, _) => gather.unknown_key(&at, key, CONFIG),
            }
        }
    }
}

/// Takes over `auths`, which containerd has too.
pub(super) fn auths(gather: &mut Gather, at: &At, node: &Node, dialect: &Dialect) {
    gather.is_map(at, node, "a map of hosts");
    for (name, value) in node.entries() {
        let at = at.child(name, value);
        match gather.host(&at, name) {
            Some(scope) => auth::read(gather, &at, value, &scope, dialect),
            None => gather.stays(&at, NOT_IMPORTED),
        }
    }
}

/// Reports TLS settings, each on its own, and judges the paths in them.
pub(super) fn tls(gather: &mut Gather, at: &At, node: &Node, known: &[&str]) {
    gather.is_map(at, node, "a map");
    for (key, value) in node.entries() {
        let at = at.child(key, value);
        if !known.contains(&key.as_str()) {
            gather.unknown_key(&at, key, known);
            continue;
        }
        if key.ends_with("_file") {
            paths::setting(gather, &at, value, Base::Program);
        } else {
            gather.setting(&at);
        }
    }
}
