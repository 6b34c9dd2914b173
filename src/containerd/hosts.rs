//! The hosts of one registry, in the order in which containerd asks them.
//!
//! Source of the rules: containerd `core/remotes/docker/config/hosts.go` for the directories of hosts.toml files, and
//! `internal/cri/server/images/image_pull.go`, `registryEndpoints`, for `mirrors` in config.toml.

use std::fs;
use std::path::{Path, PathBuf};

use super::config::Config;
use super::host::{Host, Pair, is_loopback};
use crate::import::tree::{Node, Syntax};
use crate::import::{file, toml};
use crate::platform;

/// The hosts of a registry.
#[derive(Clone)]
pub struct Chain {
    /// In order; the last one is the registry itself as a rule.
    pub hosts: Vec<Host>,
    /// The directory that was found for the registry.
    pub directory: Option<PathBuf>,
    /// What does not work as it is written.
    pub warnings: Vec<String>,
}

impl Config {
    /// Returns the hosts that containerd asks for images of `registry`, as the image spells it with its port.
    pub fn chain(&self, registry: &str) -> Chain {
        let mut chain = Chain { hosts: Vec::new(), directory: None, warnings: Vec::new() };
        if !self.mirrors.is_empty() && self.roots.is_empty() {
            chain.hosts = self.mirrored(registry, &mut chain.warnings);
            return chain;
        }
        chain.directory = self.roots.iter().find_map(|root| directory(root, registry));
        chain.hosts = match &chain.directory {
            Some(directory) => read(directory, registry, &mut chain.warnings),
            None => vec![Host::default_of(registry)],
        };
        if chain.directory.is_some() && self.roots.len() > 1 {
            chain.warnings.push(
                "`config_path` is a list of directories, which containerd 2.1 and later ignores unless it pulls locally \
                 (containerd#12636); give one directory"
                    .to_owned(),
            );
        }
        chain
    }

    /// The hosts by `mirrors` of config.toml.
    fn mirrored(&self, registry: &str, warnings: &mut Vec<String>) -> Vec<Host> {
        let find = |name: &str| self.mirrors.iter().find(|(source, ..)| source == name);
        let mirror = find(registry).or_else(|| find("*"));
        let own = Host::default_of(registry);
        let mut hosts = Vec::new();
        for (url, line) in mirror.map(|(_, endpoints)| endpoints.as_slice()).unwrap_or_default() {
            let file = self.file.clone().unwrap_or_default();
            let scheme = url.contains("://") || !is_loopback(url);
            let url = if scheme { url.clone() } else { format!("http://{url}") };
            match Host::new(&url, false, (file.clone(), *line)) {
                Ok(host) => hosts.push(host),
                Err(reason) => warnings.push(format!("`{}`, line {line}: the endpoint {reason}", file.display())),
            }
        }
        if !hosts.iter().any(|host| host.authority == own.authority) {
            // No HTTPS is tried on this machine here.
            hosts.push(Host { tls_first: false, is_plain: own.is_loopback(), ..own });
        }
        for host in &mut hosts {
            if let Some((_, node)) = self.tls.iter().find(|(name, _)| *name == host.authority) {
                let text = |key: &str| node.get(key).and_then(Node::text).filter(|text| !text.is_empty());
                host.skips_verification = text("insecure_skip_verify") == Some("true");
                host.authorities = text("ca_file").map(PathBuf::from).into_iter().collect();
                if let (Some(certificate), Some(key)) = (text("cert_file"), text("key_file")) {
                    host.clients = vec![Pair { certificate: certificate.into(), key: key.into() }];
                }
            }
        }
        hosts
    }
}

/// Returns the directory of a registry below a root: the first that is there.
fn directory(root: &Path, registry: &str) -> Option<PathBuf> {
    let underscored = registry.rsplit_once(':').map(|(host, port)| format!("{host}_{port}_"));
    let names = underscored.into_iter().chain([platform::plain_directory(registry), "_default".to_owned()]);
    names.map(|name| root.join(name)).find(|path| path.exists())
}

fn read(directory: &Path, registry: &str, warnings: &mut Vec<String>) -> Vec<Host> {
    let path = directory.join("hosts.toml");
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.len() > 0 => match parse(&path, directory, registry, warnings) {
            Ok(hosts) => return hosts,
            Err(reason) => {
                warnings.push(format!("{reason}; containerd goes on without the file, as if it had no mirrors"));
            }
        },
        _ => {}
    }
    vec![with_certificates(directory, Host::default_of(registry))]
}

fn parse(path: &Path, directory: &Path, registry: &str, warnings: &mut Vec<String>) -> Result<Vec<Host>, String> {
    let text = file::read(path).map_err(|error| error.to_string())?;
    let at = |line: usize| format!("`{}`, line {line}", path.display());
    let parsed = toml::parse(&text).map_err(|Syntax { line, what, .. }| format!("{}: {what}", at(line)))?;
    let Some(root) = parsed.documents.first() else { return Ok(vec![Host::default_of(registry)]) };
    let mut hosts = Vec::new();
    for (url, node) in root.get("host").map(Node::entries).unwrap_or_default() {
        let host = Host::parse(url, node, directory, (path.to_owned(), node.line));
        hosts.push(host.map_err(|reason| format!("{}: the host {reason}", at(node.line)))?);
    }
    match root.get("server").and_then(|node| Some((node.text().filter(|text| !text.is_empty())?, node.line))) {
        Some((url, line)) => {
            let host = Host::parse(url, root, directory, (path.to_owned(), line));
            hosts.push(host.map_err(|reason| format!("{}: `server` {reason}", at(line)))?);
        }
        None => {
            let mut own = Host::default_of(registry);
            let has_tls = ["ca", "client", "skip_verify"].iter().any(|key| root.get(key).is_some());
            let (tls_first, skips) = (own.tls_first, own.skips_verification);
            own.set(root, directory).map_err(|reason| format!("`{}` {reason}", path.display()))?;
            if !has_tls {
                (own.tls_first, own.skips_verification) = (tls_first, skips);
            }
            // What a file says of the capabilities of a host that it does not name is not used.
            (own.resolves, own.pulls) = (true, true);
            hosts.push(own);
        }
    }
    if root.get("host").is_none() {
        warnings.push(format!(
            "`{}` has no `[host]` table, and containerd 1.x ignores such a file (containerd#10027); add an empty one",
            path.display()
        ));
    }
    for host in &hosts {
        if !host.resolves && !host.pulls {
            warnings.push(format!("`{}` has neither `pull` nor `resolve` among its capabilities", host.url()));
        }
    }
    Ok(hosts)
}

/// Adds the certificates of a directory as docker lays it out: `*.crt` authorities, `*.cert` and `*.key` to show.
fn with_certificates(directory: &Path, mut host: Host) -> Host {
    let Ok(entries) = fs::read_dir(directory) else { return host };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(|path| !path.is_dir()).collect();
    files.sort();
    for path in files {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => host.authorities.push(path),
            Some("cert") => {
                let key = path.with_extension("key");
                let key = if key.exists() { key } else { path.clone() };
                host.clients.push(Pair { certificate: path, key });
            }
            _ => {}
        }
    }
    host
}
