//! Secrets of Kubernetes that hold a docker configuration: one or a List of them, as JSON or YAML.
//!
//! Source of the rules: kubernetes.io/docs/concepts/configuration/secret, types `kubernetes.io/dockerconfigjson` and
//! `kubernetes.io/dockercfg`. `stringData` comes before `data`, as in the API server.

use super::gather::{At, Gather};
use super::tree::Node;
use super::{Outcome, base64, docker, yaml};
use crate::text;

const CONFIG_JSON: &str = ".dockerconfigjson";
const DOCKERCFG: &str = ".dockercfg";

/// Takes over a document.
pub(super) fn import(gather: &mut Gather, at: &At, root: &Node) {
    if !gather.is_map(at, root, "a secret or a list of them") {
        return;
    }
    let kind = root.get("kind").and_then(Node::text).unwrap_or_default();
    if matches!(kind, "List" | "SecretList") {
        let items = root.get("items");
        for (index, item) in items.map(Node::items).unwrap_or_default().iter().enumerate() {
            let place = at.child("items", item).item(index, item);
            secret(gather, &place, item);
        }
    } else {
        secret(gather, at, root);
    }
}

fn secret(gather: &mut Gather, at: &At, root: &Node) {
    let text = |path: &[&str]| root.find(path).and_then(Node::text).unwrap_or_default();
    let (namespace, name) = (text(&["metadata", "namespace"]), text(&["metadata", "name"]));
    let label = match namespace {
        "" => text::sanitize(name, 253),
        namespace => text::sanitize(&format!("{namespace}/{name}"), 507),
    };
    let has_kind = matches!(text(&["kind"]), "Secret" | "");
    let key = match text(&["type"]) {
        _ if !has_kind => None,
        "kubernetes.io/dockerconfigjson" => Some(CONFIG_JSON),
        "kubernetes.io/dockercfg" => Some(DOCKERCFG),
        _ => None,
    };
    let Some(key) = key else {
        let message = "is no secret of the type `kubernetes.io/dockerconfigjson` or `kubernetes.io/dockercfg`";
        gather.info(&at.named(&label), Outcome::Ignored, "other-kind", message);
        return;
    };
    let (node, is_plain) = match (root.find(&["stringData", key]), root.find(&["data", key])) {
        (Some(node), _) => (node, true),
        (None, Some(node)) => (node, false),
        (None, None) => {
            let message = format!("has no `{key}`, so it holds no login");
            gather.error(&at.named(&label), Outcome::Ignored, "no-login", message);
            return;
        }
    };
    // Only to have the line of the text.
    let at = at.child(key, node).embedded(&label, is_plain);
    if !namespace.is_empty() {
        let message = format!(
            "the secret is for pods of the namespace `{}`, and a credential in the store is for every \
                pod of the node",
            text::sanitize(namespace, 253)
        );
        gather.warning(&at, Outcome::Imported, "namespace", message);
    }
    let decoded = if is_plain { None } else { Some(node.text().and_then(base64::decode)) };
    let config = match &decoded {
        None => node.text(),
        Some(bytes) => bytes.as_ref().and_then(|bytes| {
            text::decode(bytes).and_then(|text| match text {
                std::borrow::Cow::Borrowed(text) => Some(text),
                // UTF-16 in a secret is nothing that a kubelet reads.
                std::borrow::Cow::Owned(_) => None,
            })
        }),
    };
    let Some(config) = config else {
        let message = if is_plain { "is no text" } else { "is not base64 of a text" };
        gather.error(&at, Outcome::Ignored, "bad-document", message);
        return;
    };
    let Ok(parsed) = yaml::parse(config) else {
        gather.error(&at, Outcome::Ignored, "bad-document", "is not valid JSON");
        return;
    };
    gather.duplicates(&at, &parsed);
    for document in &parsed.documents {
        match key {
            DOCKERCFG => docker::auths(gather, &at, document, false),
            _ => docker::import(gather, &at, document),
        }
    }
}
