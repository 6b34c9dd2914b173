//! Machine configuration of Talos: v1alpha1, a patch of it, documents by kind, or as `talosctl get machineconfig` prints it.
//!
//! Source of the rules: siderolabs/talos `pkg/machinery/config/types/v1alpha1` and `types/cri`. Everything else in a machine
//! configuration, secrets among it, is not looked at.

use super::Outcome;
use super::auth::{self, Dialect};
use super::gather::{At, Gather, NOT_IMPORTED};
use super::registries_yaml;
use super::tree::Node;
use super::yaml;

const REGISTRIES: &[&str] = &["mirrors", "config"];
const MIRROR: &[&str] = &["endpoints", "overridePath", "skipFallback"];
const CONFIG: &[&str] = &["auth", "tls"];
const TLS: &[&str] = &["ca", "clientIdentity", "insecureSkipVerify"];
const MIRROR_DOCUMENT: &[&str] = &["apiVersion", "kind", "name", "endpoints", "skipFallback"];
const ENDPOINT: &[&str] = &["url", "overridePath"];
const DIALECT: Dialect = Dialect {
    identity_token: "identityToken",
    registry_token: None,
    other: &["apiVersion", "kind", "name"],
    auth_first: false,
};

/// Takes over a document.
pub(super) fn import(gather: &mut Gather, at: &At, root: &Node) {
    if !gather.is_map(at, root, "a machine configuration") {
        return;
    }
    let kind = root.get("kind").and_then(Node::text).unwrap_or_default();
    match kind {
        "RegistryMirrorConfig" => mirror_document(gather, at, root),
        "RegistryAuthConfig" => auth_document(gather, at, root),
        "RegistryTLSConfig" => tls_document(gather, at, root),
        _ if is_resource(root) => resource(gather, at, root),
        "" => machine_config(gather, at, root),
        _ => {}
    }
}

/// Returns whether this is what `talosctl get machineconfig -o yaml` prints: the configuration as a text.
pub(super) fn is_resource(root: &Node) -> bool {
    root.find(&["metadata", "type"]).and_then(Node::text).is_some_and(|kind| kind.starts_with("MachineConfigs."))
        && root.get("spec").is_some()
}

fn resource(gather: &mut Gather, at: &At, root: &Node) {
    let Some(spec) = root.get("spec") else { return };
    let at = at.child("spec", spec);
    let Some(text) = spec.text() else {
        // Newer versions print it as a map.
        import(gather, &at.named(""), spec);
        return;
    };
    let inner = at.embedded("", true);
    match yaml::parse(text) {
        Err(_) => gather.error(&at, Outcome::Ignored, "bad-document", "is not valid YAML"),
        Ok(parsed) => {
            gather.duplicates(&inner, &parsed);
            for document in parsed.documents.iter().filter(|document| !is_resource(document)) {
                import(gather, &inner, document);
            }
        }
    }
}

fn machine_config(gather: &mut Gather, at: &At, root: &Node) {
    for (path, correct) in [
        (&["registries"][..], "machine.registries"),
        (&["cluster", "registries"], "machine.registries"),
        (&["machine", "config"], "machine.registries.config"),
        (&["machine", "mirrors"], "machine.registries.mirrors"),
    ] {
        if let Some(node) = root.find(path) {
            let place = at.child(&path.join("."), node);
            let message = format!(
                "stands at the wrong level and has no effect (siderolabs/talos#8639); move it to \
                    `{correct}`"
            );
            gather.error(&place, Outcome::Ignored, "misnested", message);
        }
    }
    let Some(machine) = root.get("machine") else { return };
    let Some(registries) = machine.get("registries") else { return };
    let at = at.child("machine", machine).child("registries", registries);
    gather.is_map(&at, registries, "a map with `mirrors` and `config`");
    for (name, node) in registries.entries() {
        let at = at.child(name, node);
        match name.as_str() {
            "mirrors" => mirrors(gather, &at, node),
            "config" => config(gather, &at, node),
            name => gather.unknown_key(&at, name, REGISTRIES),
        }
    }
}

fn mirrors(gather: &mut Gather, at: &At, node: &Node) {
    gather.is_map(at, node, "a map of registries");
    for (name, mirror) in node.entries() {
        let at = at.child(name, mirror);
        gather.is_map(&at, mirror, "a map with `endpoints`");
        let mut hosts = Vec::new();
        for (key, value) in mirror.entries() {
            let at = at.child(key, value);
            match key.as_str() {
                "endpoints" => hosts = registries_yaml::endpoints(gather, &at, value),
                "overridePath" | "skipFallback" => gather.setting(&at),
                key => gather.unknown_key(&at, key, MIRROR),
            }
        }
        gather.mirror(&at, name, hosts);
    }
}

fn config(gather: &mut Gather, at: &At, node: &Node) {
    gather.is_map(at, node, "a map of hosts");
    for (name, config) in node.entries() {
        let at = at.child(name, config);
        gather.is_map(&at, config, "a map with `auth` and `tls`");
        let auth = config.get("auth");
        // TLS settings for every host are refused by Talos itself; a host is needed for a credential alone.
        let scope = auth.and_then(|auth| {
            let scope = gather.host(&at, name);
            if scope.is_none() {
                gather.stays(&at.child("auth", auth), NOT_IMPORTED);
            }
            scope
        });
        for (key, value) in config.entries() {
            let at = at.child(key, value);
            match key.as_str() {
                "auth" => {
                    if let Some(scope) = &scope {
                        auth::read(gather, &at, value, scope, &DIALECT);
                    }
                }
                "tls" => tls(gather, &at, value),
                key => gather.unknown_key(&at, key, CONFIG),
            }
        }
    }
}

fn tls(gather: &mut Gather, at: &At, node: &Node) {
    registries_yaml::tls(gather, at, node, TLS);
}

fn mirror_document(gather: &mut Gather, at: &At, root: &Node) {
    let Some((at, name)) = named(gather, at, root) else { return };
    let mut hosts = Vec::new();
    for (key, value) in root.entries() {
        let at = at.child(key, value);
        match key.as_str() {
            "endpoints" => {
                for (index, item) in value.items().iter().enumerate() {
                    let at = at.item(index, item);
                    for (key, value) in item.entries() {
                        let at = at.child(key, value);
                        match (key.as_str(), value.text()) {
                            ("url", Some(url)) => hosts.extend(gather.endpoint(&at, url)),
                            ("url", None) => gather.wrong_type(&at, "a URL"),
                            ("overridePath", _) => gather.setting(&at),
                            (key, _) => gather.unknown_key(&at, key, ENDPOINT),
                        }
                    }
                    if item.entries().is_empty() {
                        gather.wrong_type(&at, "a map with `url`");
                    }
                }
            }
            "skipFallback" => gather.setting(&at),
            "apiVersion" | "kind" | "name" => {}
            key => gather.unknown_key(&at, key, MIRROR_DOCUMENT),
        }
    }
    gather.mirror(&at, name, hosts);
}

fn auth_document(gather: &mut Gather, at: &At, root: &Node) {
    let Some((at, name)) = named(gather, at, root) else { return };
    let at = at.document(root);
    match gather.host(&at, name) {
        Some(scope) => auth::read(gather, &at, root, &scope, &DIALECT),
        None => gather.stays(&at, NOT_IMPORTED),
    }
}

fn tls_document(gather: &mut Gather, at: &At, root: &Node) {
    let Some((at, _)) = named(gather, at, root) else { return };
    for (key, value) in root.entries() {
        let at = at.child(key, value);
        match key.as_str() {
            "apiVersion" | "kind" | "name" => {}
            key if TLS.contains(&key) => gather.setting(&at),
            key => gather.unknown_key(&at, key, TLS),
        }
    }
}

/// Returns the name of a document, and its place, which is called by kind and name.
fn named<'a>(gather: &mut Gather, at: &At, root: &'a Node) -> Option<(At, &'a str)> {
    let kind = root.get("kind")?;
    let place = at.child(kind.text()?, kind);
    match root.get("name").and_then(Node::text) {
        Some(name) if !name.is_empty() => Some((place.child(name, kind), name)),
        Some(_) | None => {
            gather.error(&place, Outcome::Ignored, "no-name", "has no `name`, which says for which host it is");
            None
        }
    }
}
