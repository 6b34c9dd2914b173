//! hosts.toml of containerd: the hosts tried for the registry that its directory is named after.
//!
//! Source of the rules: containerd `docs/hosts.md` and `core/remotes/docker/config/hosts.go`. There are no credentials in such
//! a file but one that hides in a header.

use zeroize::Zeroizing;

use super::gather::{At, Gather, NOT_IMPORTED};
use super::paths::{self, Base};
use super::tree::Node;
use super::{Outcome, auth, registries_yaml};
use crate::mirror;

const HOST: &[&str] =
    &["capabilities", "ca", "client", "skip_verify", "override_path", "dial_timeout", "header", "rewrite"];
const ROOT: &[&str] = &[
    "server",
    "host",
    "capabilities",
    "ca",
    "client",
    "skip_verify",
    "override_path",
    "dial_timeout",
    "header",
    "rewrite",
];

/// Takes over the file of a directory.
pub(super) fn import(gather: &mut Gather, at: &At, directory: &str, documents: &[Node]) {
    let Some(root) = documents.first() else { return };
    let at = &at.named(directory);
    let server = root.get("server");
    let url = server.and_then(Node::text).unwrap_or_default();
    let name = registry(directory, url);
    let mut hosts = Vec::new();
    for (url, node) in root.get("host").map(Node::entries).unwrap_or_default() {
        let at = at.child("host", node).child(url, node);
        let pulls = |node: &Node| node.items().iter().any(|item| matches!(item.text(), Some("pull" | "resolve")));
        let can_pull = node.get("capabilities").is_none_or(pulls);
        let host = gather.endpoint(&at, url);
        settings(gather, &at, node, HOST, Some(url));
        match host {
            Some(host) if can_pull => hosts.push(host),
            Some(_) => {
                let message = "has neither `pull` nor `resolve` among its capabilities, so no pull asks it";
                gather.info(&at, Outcome::Ignored, "no-pull", message);
            }
            None => {}
        }
    }
    settings(gather, at, root, ROOT, server.and_then(Node::text));
    // The last host that is tried; often it is the registry itself.
    if let Some(server) = server.filter(|server| !server.is_empty()) {
        let at = at.child("server", server);
        match server.text() {
            Some(url) => hosts.extend(gather.endpoint(&at, url)),
            None => gather.wrong_type(&at, "a URL"),
        }
    }
    gather.mirror(at, &name, hosts);
}

/// Returns the registry that a directory is for: `host_5000_`, `host:5000`, and `host5000` on Windows, where the server tells.
fn registry(directory: &str, server: &str) -> String {
    if directory == "_default" {
        return "*".to_owned();
    }
    if let Some((host, port)) = directory.strip_suffix('_').and_then(|name| name.rsplit_once('_')) {
        return format!("{host}:{port}");
    }
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains(':') && authority.replace(':', "") == directory && mirror::host(authority).is_ok() {
        return authority.to_owned();
    }
    directory.to_owned()
}

fn settings(gather: &mut Gather, at: &At, node: &Node, known: &[&str], url: Option<&str>) {
    for (key, value) in node.entries() {
        let at = at.child(key, value);
        match key.as_str() {
            "server" | "host" if known.contains(&key.as_str()) => {}
            "capabilities" => {}
            "ca" | "client" => {
                paths::setting(gather, &at, value, Base::File);
            }
            "rewrite" => registries_yaml::rewrite(gather, &at),
            "header" => {
                for (name, value) in value.entries() {
                    header(gather, &at.child(name, value), name, value, url);
                }
            }
            key if known.contains(&key) => gather.setting(&at),
            key => gather.unknown_key(&at, key, known),
        }
    }
}

/// Takes a user name and password out of an `Authorization` header.
fn header(gather: &mut Gather, at: &At, name: &str, value: &Node, url: Option<&str>) {
    if !name.eq_ignore_ascii_case("authorization") {
        gather.setting(at);
        return;
    }
    let text = value.text().or_else(|| value.items().first().and_then(Node::text)).unwrap_or_default();
    let login = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"));
    let login: Option<(Zeroizing<String>, Zeroizing<Vec<u8>>)> = login.and_then(|(_, data)| auth::decode(data.trim()));
    let Some((username, password)) = login else {
        let message = "is a credential in plain text, and not a user name and password, so it was not taken";
        gather.error(at, Outcome::NotRepresentable, "header", message);
        gather.stays(at, NOT_IMPORTED);
        return;
    };
    let message = "is a credential in plain text, which containerd sends by itself until this line is removed";
    gather.warning(at, Outcome::Imported, "header", message);
    match url.and_then(|url| gather.endpoint_scope(url)) {
        Some(scope) => gather.login(at, scope, &username, password),
        None => gather.stays(at, NOT_IMPORTED),
    }
}
