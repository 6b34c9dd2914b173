//! config.toml of containerd, as far as it says which hosts are asked, and which logins of its own containerd has.
//!
//! Source of the rules: containerd `docs/cri/registry.md`, `internal/cri/config/config.go`, `cmd/containerd/server/config`.

use std::path::{Path, PathBuf};

use crate::import::containerd::{PLUGINS, imported, paths_in};
use crate::import::tree::{Node, Syntax};
use crate::import::{self, file, toml};

/// Where containerd 2.2 and later looks without being told.
const DEFAULT_ROOTS: [&str; 2] = ["/etc/containerd/certs.d", "/etc/docker/certs.d"];

/// More files than that are no configuration.
const MAX_FILES: usize = 100;

/// What was read.
#[derive(Clone, Default)]
pub struct Config {
    /// The main file, if there is one.
    pub file: Option<PathBuf>,
    /// Directories with a directory for each registry, in order.
    pub roots: Vec<PathBuf>,
    /// Logins that containerd uses when the kubelet gives it none.
    pub logins: Vec<Login>,
    /// What does not work as it is written.
    pub warnings: Vec<String>,
    /// `mirrors`: registry, and endpoints with their lines.
    pub(super) mirrors: Vec<(String, Vec<(String, usize)>)>,
    /// `configs.HOST.tls`.
    pub(super) tls: Vec<(String, Node)>,
}

/// A login in containerd's own configuration. What it is stays in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The host that it is for, as containerd compares it with the host that it asks.
    pub host: String,
    /// Where it stands.
    pub file: PathBuf,
    /// Line of the file.
    pub line: usize,
}

/// Why the configuration cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ConfigError(#[from] import::Error);

/// Reads config.toml and what it imports.
///
/// # Errors
/// [`ConfigError`], when the main file cannot be read. Anything else becomes a warning.
pub fn read(path: &Path) -> Result<Config, ConfigError> {
    let mut config = Config { file: Some(path.to_owned()), ..Config::default() };
    let mut waiting = vec![path.to_owned()];
    let mut index = 0;
    while let Some(path) = waiting.get(index).cloned() {
        index += 1;
        match parse(&path) {
            Ok(root) => {
                config.take(&path, &root);
                for pattern in root.get("imports").map(Node::items).unwrap_or_default() {
                    let files = imported(&path, pattern.text().unwrap_or_default()).unwrap_or_default();
                    let new: Vec<_> = files.into_iter().filter(|file| !waiting.contains(file)).collect();
                    waiting.extend(new.into_iter().take(MAX_FILES));
                }
            }
            Err(error) if index == 1 => return Err(error.into()),
            Err(error) => config.warnings.push(error.to_string()),
        }
        if index == MAX_FILES {
            break;
        }
    }
    if config.roots.is_empty() && config.mirrors.is_empty() {
        config.default_roots();
    }
    Ok(config)
}

impl Config {
    /// Returns what holds for a containerd without configuration.
    pub fn none() -> Self {
        let mut config = Self::default();
        config.default_roots();
        config
    }

    /// Returns what holds when the directories are these, whatever a file says.
    pub fn with_roots(roots: Vec<PathBuf>) -> Self {
        Self { roots, ..Self::default() }
    }

    fn default_roots(&mut self) {
        self.roots = DEFAULT_ROOTS.map(PathBuf::from).into_iter().filter(|root| root.is_dir()).collect();
        if !self.roots.is_empty() {
            let roots: Vec<_> = self.roots.iter().map(|root| format!("`{}`", root.display())).collect();
            self.warnings.push(format!(
                "`config_path` is not set, so containerd before 2.2 does not look into {}",
                roots.join(" and ")
            ));
        }
    }

    /// Takes over a file; a later one overrides an earlier one.
    fn take(&mut self, path: &Path, root: &Node) {
        for registry in PLUGINS.iter().filter_map(|plugin| root.find(&["plugins", plugin, "registry"])) {
            if let Some(text) = registry.get("config_path").and_then(Node::text).filter(|text| !text.is_empty()) {
                self.roots = paths_in(text).map(PathBuf::from).collect();
            }
            for (name, mirror) in registry.get("mirrors").map(Node::entries).unwrap_or_default() {
                let endpoints = mirror.get("endpoint").map(Node::items).unwrap_or_default();
                let endpoints = endpoints.iter().filter_map(|item| Some((item.text()?.to_owned(), item.line)));
                self.mirrors.retain(|(known, _)| known != name);
                self.mirrors.push((name.clone(), endpoints.collect()));
            }
            for (host, node) in registry.get("configs").map(Node::entries).unwrap_or_default() {
                if let Some(tls) = node.get("tls") {
                    self.tls.retain(|(known, _)| known != host);
                    self.tls.push((host.clone(), tls.clone()));
                }
                if let Some(auth) = node.get("auth").filter(|auth| is_login(auth)) {
                    self.logins.retain(|login| login.host != *host);
                    self.logins.push(Login { host: host.clone(), file: path.to_owned(), line: auth.line });
                }
            }
        }
    }
}

/// `ParseAuth`: a user name, an identity token, or both in base64.
fn is_login(auth: &Node) -> bool {
    ["username", "identitytoken", "auth"].iter().any(|key| auth.get(key).is_some_and(|value| !value.is_empty()))
}

fn parse(path: &Path) -> Result<Node, import::Error> {
    let text = file::read(path)?;
    let syntax = |Syntax { line, column, what }| import::Error::Syntax { path: path.to_owned(), line, column, what };
    let mut parsed = toml::parse(&text).map_err(syntax)?;
    // TOML has one document.
    Ok(parsed.documents.swap_remove(0))
}
