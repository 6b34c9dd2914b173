//! Tells the format of a source from its content.

use std::path::Path;

use super::tree::{Node, Syntax};
use super::{Error, Format, docker, file, talos, toml, yaml};

/// Returns the format of a source.
pub(super) fn format(path: &Path) -> Result<Format, Error> {
    let text = match file::read(path) {
        Ok(text) => text,
        Err(Error::Directory { .. }) => return Ok(Format::Containerd),
        Err(error) => return Err(error),
    };
    let extension = path.extension().unwrap_or_default();
    let is_toml = extension.eq_ignore_ascii_case("toml");
    if is_toml {
        return Ok(Format::Containerd);
    }
    let parsed = match yaml::parse(&text) {
        Ok(parsed) => parsed,
        Err(Syntax { line, column, what }) => {
            // TOML without its extension, as in a template or a backup.
            let is_containerd = toml::parse(&text)
                .is_ok_and(|parsed| parsed.documents.iter().any(|root| root.get("plugins").is_some()));
            let error = Error::Syntax { path: path.to_owned(), line, column, what };
            return if is_containerd { Ok(Format::Containerd) } else { Err(error) };
        }
    };
    let name = path.file_name().unwrap_or_default();
    let mut formats = parsed.documents.iter().filter_map(|root| of(root, name.eq_ignore_ascii_case("auth.json")));
    formats.next().ok_or_else(|| Error::Unknown { path: path.to_owned() })
}

/// Tells a document's format. `v1alpha1` alone is Talos: Kubernetes has a group before it.
fn of(root: &Node, is_auth_json: bool) -> Option<Format> {
    let kind = root.get("kind").and_then(Node::text).unwrap_or_default();
    let has = |keys: &[&str]| keys.iter().any(|key| root.get(key).is_some());
    let is_json_patch = root.items().iter().any(|item| item.get("op").is_some() && item.get("path").is_some());
    if matches!(kind, "Secret" | "List" | "SecretList") {
        Some(Format::KubernetesSecret)
    } else if root.get("apiVersion").and_then(Node::text) == Some("v1alpha1")
        || has(&["machine"])
        || is_json_patch
        || talos::is_resource(root)
    {
        Some(Format::Talos)
    } else if has(&["mirrors", "configs"]) {
        Some(Format::RegistriesYaml)
    } else if has(&["auths", "credHelpers", "credsStore"]) || docker::is_legacy(root) {
        Some(if is_auth_json { Format::ContainersAuth } else { Format::DockerConfig })
    } else {
        None
    }
}
