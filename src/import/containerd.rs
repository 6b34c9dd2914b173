//! config.toml of containerd, versions 2 and 3, and the directories of hosts.toml files that it names.
//!
//! Source of the rules: containerd `docs/cri/registry.md`, `docs/hosts.md`, `internal/cri/config/config.go`,
//! `core/remotes/docker/config/hosts.go`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::auth::Dialect;
use super::gather::{At, Gather};
use super::paths::{self, Base};
use super::tree::{Node, Syntax};
use super::{Error, Import, Outcome, file, hosts_toml, registries_yaml, toml};

/// Where versions 2 and 3 keep the registries.
pub(crate) const PLUGINS: [&str; 2] = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"];
const REGISTRY: &[&str] = &["config_path", "mirrors", "configs", "auths", "headers"];
const MIRROR: &[&str] = &["endpoint"];
const DIALECT: Dialect =
    Dialect { identity_token: "identitytoken", registry_token: None, other: &[], auth_first: false };
/// More files than that are no configuration.
const MAX_FILES: usize = 10_000;

/// What a configuration names beside itself.
#[derive(Default)]
pub(super) struct Named {
    directories: Vec<(At, String)>,
    imports: Vec<(At, String)>,
}

/// Reads a config.toml with everything that it names, or a directory of hosts.toml files.
pub(super) fn read(path: &Path) -> Result<Import, Error> {
    let mut gather = Gather::new();
    let metadata = fs::metadata(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    if metadata.is_dir() {
        let at = gather.file(path, "");
        directory(&mut gather, &at, path);
        return Ok(gather.finish());
    }
    if path.file_name().is_some_and(|name| name == "hosts.toml") {
        let text = file::read(path)?;
        let syntax = |Syntax { line, column, what }| Error::Syntax { path: path.to_owned(), line, column, what };
        let parsed = toml::parse(&text).map_err(syntax)?;
        let at = gather.file(path, &text);
        let real = fs::canonicalize(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let name = real.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
        hosts_toml::import(&mut gather, &at, &name, &parsed.documents);
        return Ok(gather.finish());
    }
    let mut seen = BTreeSet::new();
    seen.extend(fs::canonicalize(path));
    let mut waiting = vec![(path.to_owned(), None::<At>)];
    let mut directories = Vec::new();
    while let Some((path, named_at)) = waiting.pop() {
        let text = match (file::read(&path), &named_at) {
            (Ok(text), _) => text,
            (Err(error), None) => return Err(error),
            (Err(error), Some(at)) => {
                unreadable(&mut gather, at, &error);
                continue;
            }
        };
        let parsed = match (toml::parse(&text), &named_at) {
            (Ok(parsed), _) => parsed,
            (Err(Syntax { line, column, what }), named_at) => {
                let error = Error::Syntax { path, line, column, what };
                let Some(at) = named_at else { return Err(error) };
                unreadable(&mut gather, at, &error);
                continue;
            }
        };
        let at = gather.file(&path, &text);
        let named = config(&mut gather, &at, &parsed.documents);
        directories.extend(named.directories);
        for (at, pattern) in named.imports {
            for import in expand(&mut gather, &at, &path, &pattern) {
                match fs::canonicalize(&import) {
                    Ok(real) if seen.len() < MAX_FILES && seen.insert(real.clone()) => {
                        waiting.push((import, Some(at.clone())));
                    }
                    Ok(_) => {
                        gather.warning(&at, Outcome::Ignored, "import-again", "names a file that was read already");
                    }
                    Err(source) => unreadable(&mut gather, &at, &Error::Read { path: import, source }),
                }
            }
        }
    }
    for (at, path) in directories {
        directory(&mut gather, &at, Path::new(&path));
    }
    Ok(gather.finish())
}

/// Takes over a config.toml, without what it names.
pub(super) fn config(gather: &mut Gather, at: &At, documents: &[Node]) -> Named {
    let mut named = Named::default();
    let Some(root) = documents.first().filter(|root| !root.is_empty()) else {
        gather.empty(at);
        return named;
    };
    if let Some(imports) = root.get("imports") {
        let at = at.child("imports", imports);
        for (index, item) in imports.items().iter().enumerate() {
            if let Some(pattern) = item.text() {
                named.imports.push((at.item(index, item), pattern.to_owned()));
            }
        }
    }
    let plugins = PLUGINS.iter().filter_map(|plugin| Some((*plugin, root.get("plugins")?.get(plugin)?)));
    for (plugin, node) in plugins {
        let Some(registry) = node.get("registry") else { continue };
        // The way there is the same for every key, and long.
        let at = at.child("plugins", node).child(plugin, node).child("registry", registry);
        for (name, node) in registry.entries() {
            let at = at.child(name, node);
            match name.as_str() {
                "config_path" => config_path(gather, &at, node, &mut named),
                "mirrors" => registries_yaml::mirrors(gather, &at, node, MIRROR),
                "configs" => registries_yaml::configs(gather, &at, node, &DIALECT),
                "auths" => registries_yaml::auths(gather, &at, node, &DIALECT),
                "headers" => {
                    for (name, value) in node.entries() {
                        let at = at.child(name, value);
                        gather.setting(&at);
                    }
                }
                name => gather.unknown_key(&at, name, REGISTRY),
            }
        }
        let has = |key: &str| registry.get(key).is_some_and(|node| !node.is_empty());
        if has("config_path") && has("mirrors") {
            let message = "containerd refuses `mirrors` beside `config_path`; keep one of them";
            gather.error(&at, Outcome::Ignored, "mirrors-and-config-path", message);
        }
    }
    named
}

/// Splits the list of directories: by `;` when it is one of Windows paths, which have a `:` of their own.
fn config_path(gather: &mut Gather, at: &At, node: &Node, named: &mut Named) {
    let Some(text) = node.text() else {
        gather.wrong_type(at, "a text");
        return;
    };
    paths_in(text).for_each(|path| {
        paths::check(gather, at, path, Base::Program);
        named.directories.push((at.clone(), path.to_owned()));
    });
}

/// Splits a list of directories.
pub(crate) fn paths_in(text: &str) -> impl Iterator<Item = &str> {
    let is_windows = text.contains(';') || paths::looks_windows(text);
    text.split(if is_windows { ';' } else { ':' }).filter(|path| !path.is_empty())
}

/// Reads every hosts.toml below a directory.
fn directory(gather: &mut Gather, at: &At, path: &Path) {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => {
            let message = format!(
                "the directory `{}` cannot be read here ({}), so mirrors in it are not known",
                path.display(),
                error.kind()
            );
            gather.warning(at, Outcome::Ignored, "no-directory", message);
            return;
        }
    };
    let mut registries: Vec<PathBuf> = entries.flatten().take(MAX_FILES).map(|entry| entry.path()).collect();
    registries.sort();
    let before = registries.len();
    registries.retain(|registry| registry.is_dir() || registry.is_symlink());
    for registry in &registries {
        let hosts = registry.join("hosts.toml");
        match fs::symlink_metadata(&hosts) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => {
                unreadable(gather, at, &Error::Read { path: hosts, source });
                continue;
            }
        }
        let text = match file::read(&hosts) {
            Ok(text) => text,
            Err(error) => {
                unreadable(gather, at, &error);
                continue;
            }
        };
        match toml::parse(&text) {
            Ok(parsed) => {
                let at = gather.file(&hosts, &text);
                let name = registry.file_name().unwrap_or_default().to_string_lossy();
                hosts_toml::import(gather, &at, &name, &parsed.documents);
            }
            Err(Syntax { line, column, what }) => {
                unreadable(gather, at, &Error::Syntax { path: hosts, line, column, what });
            }
        }
    }
    if before == 0 {
        gather.empty(at);
    }
}

/// Returns the files that an import names, the last first, because they are taken from the end.
fn expand(gather: &mut Gather, at: &At, config: &Path, pattern: &str) -> Vec<PathBuf> {
    let Some(mut files) = imported(config, pattern) else {
        gather.info(at, Outcome::Ignored, "no-import", "there is no such file here");
        return Vec::new();
    };
    files.reverse();
    files
}

/// Returns the files that an import names, in the order in which containerd reads them. `*` may stand in the last part, as it
/// does in every configuration seen; `None` when there is no such directory.
pub(crate) fn imported(config: &Path, pattern: &str) -> Option<Vec<PathBuf>> {
    let base = config.parent().unwrap_or(Path::new(""));
    let path = base.join(pattern);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Some((start, end)) = name.split_once('*') else { return Some(vec![path]) };
    let entries = fs::read_dir(path.parent().unwrap_or(base)).ok()?;
    let fits = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
    };
    let mut files: Vec<PathBuf> = entries.flatten().take(MAX_FILES).map(|entry| entry.path()).filter(fits).collect();
    files.sort();
    Some(files)
}

fn unreadable(gather: &mut Gather, at: &At, error: &Error) {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    gather.error(at, Outcome::Ignored, "unreadable", format!("{error}{cause}"));
}
