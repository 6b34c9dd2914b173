//! One host that containerd asks, as containerd completes what a file says of it.
//!
//! Source of the rules: containerd `core/remotes/docker/config/hosts.go`, `parseHostConfig`, and `ConfigureHosts` for the host that
//! no file names.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::import::paths;
use crate::import::tree::Node;
use crate::windows_path::WindowsPath;

/// The host behind `docker.io`.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// A host that serves a registry.
#[derive(Clone)]
pub struct Host {
    /// Whether it is asked in plain HTTP.
    pub is_plain: bool,
    /// Whether HTTPS is tried before plain HTTP, because there are settings for it.
    pub tls_first: bool,
    /// Name or address, with a port if it is not the usual one.
    pub authority: String,
    /// Path of its API: `/v2` as a rule.
    pub path: String,
    /// Whether it may say which image a tag means.
    pub resolves: bool,
    /// Whether blobs may come from it.
    pub pulls: bool,
    /// Certificate authorities besides those of the machine.
    pub authorities: Vec<PathBuf>,
    /// Certificates to show.
    pub clients: Vec<Pair>,
    /// Whether any certificate will do.
    pub skips_verification: bool,
    /// Headers that go with each request; one of them may be a login.
    pub headers: Vec<(String, Zeroizing<String>)>,
    /// Where it stands: file and line; nothing for the registry's own host.
    pub origin: Option<(PathBuf, usize)>,
}

/// A certificate and its key, which may be in the same file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// File of the certificate.
    pub certificate: PathBuf,
    /// File of the key.
    pub key: PathBuf,
}

impl Host {
    /// Returns the host that serves a registry when no file names another.
    pub(super) fn default_of(registry: &str) -> Self {
        let port = registry.rsplit_once(':').map_or("", |(_, port)| port);
        let is_local = is_loopback(registry);
        // With an unusual port of this machine, HTTPS without verification is tried, and then plain HTTP.
        let ambiguous = is_local && !matches!(port, "" | "443" | "80");
        Self {
            is_plain: is_local && !matches!(port, "" | "443"),
            tls_first: ambiguous,
            authority: default_authority(registry).to_owned(),
            path: "/v2".to_owned(),
            resolves: true,
            pulls: true,
            authorities: Vec::new(),
            clients: Vec::new(),
            skips_verification: is_local && port != "80",
            headers: Vec::new(),
            origin: None,
        }
    }

    /// Parses a URL and its settings; `base` is the directory of the file. An error completes a sentence about the URL.
    pub(super) fn parse(url: &str, node: &Node, base: &Path, origin: (PathBuf, usize)) -> Result<Self, String> {
        let overrides = node.get("override_path").and_then(Node::text) == Some("true");
        let mut host = Self::new(url, overrides, origin)?;
        host.set(node, base)?;
        Ok(host)
    }

    /// Parses a URL, which gets the path `/v2` unless it overrides that.
    pub(super) fn new(url: &str, overrides: bool, origin: (PathBuf, usize)) -> Result<Self, String> {
        let (is_plain, authority, path) = split(url)?;
        let path = path.trim_end_matches('/');
        let path = if overrides || path.ends_with("/v2") { path.to_owned() } else { format!("{path}/v2") };
        Ok(Self {
            is_plain,
            tls_first: false,
            authority,
            path,
            resolves: true,
            pulls: true,
            authorities: Vec::new(),
            clients: Vec::new(),
            skips_verification: false,
            headers: Vec::new(),
            origin: Some(origin),
        })
    }

    /// Takes over the settings of a table.
    pub(super) fn set(&mut self, node: &Node, base: &Path) -> Result<(), String> {
        let capabilities = node.get("capabilities").map(Node::items).unwrap_or_default();
        if !capabilities.is_empty() {
            let has = |name: &str| {
                capabilities.iter().any(|item| item.text().is_some_and(|text| text.eq_ignore_ascii_case(name)))
            };
            (self.resolves, self.pulls) = (has("resolve"), has("pull"));
        }
        if let Some(ca) = node.get("ca") {
            for text in ca.text().into_iter().chain(ca.items().iter().filter_map(Node::text)) {
                self.authorities.push(resolve(text, base)?);
            }
        }
        if let Some(client) = node.get("client") {
            let single = |text: &str| -> Result<Pair, String> {
                let path = resolve(text, base)?;
                Ok(Pair { certificate: path.clone(), key: path })
            };
            if let Some(text) = client.text() {
                self.clients.push(single(text)?);
            }
            for item in client.items() {
                match (item.text(), item.items()) {
                    (Some(text), _) => self.clients.push(single(text)?),
                    (None, [certificate, key]) => {
                        let path = |node: &Node| resolve(node.text().unwrap_or_default(), base);
                        self.clients.push(Pair { certificate: path(certificate)?, key: path(key)? });
                    }
                    (None, _) => return Err("has a `client` that is no file and no pair of files".to_owned()),
                }
            }
        }
        let skip_verify = node.get("skip_verify").and_then(Node::text);
        self.skips_verification = skip_verify == Some("true");
        let has_tls = skip_verify.is_some() || !self.authorities.is_empty() || !self.clients.is_empty();
        self.tls_first = self.is_plain && has_tls && !self.authority.ends_with(":80");
        for (name, value) in node.get("header").map(Node::entries).unwrap_or_default() {
            for text in value.text().into_iter().chain(value.items().iter().filter_map(Node::text)) {
                self.headers.push((name.clone(), Zeroizing::new(text.to_owned())));
            }
        }
        Ok(())
    }

    /// Returns scheme, host and path of its API.
    pub fn url(&self) -> String {
        let scheme = if self.is_plain && !self.tls_first { "http" } else { "https" };
        format!("{scheme}://{}{}", self.authority, self.path)
    }

    /// Returns the same in plain HTTP, where containerd goes when there is no TLS at the other end.
    pub fn plain_url(&self) -> String {
        format!("http://{}{}", self.authority, self.path)
    }

    /// Returns whether a header of the file is a login, which goes out before anybody asks for one.
    pub fn has_login(&self) -> bool {
        self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
    }

    /// Returns whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.authority)
    }
}

/// Returns the host that is asked for a registry when no file names another.
pub fn default_authority(registry: &str) -> &str {
    if registry == "docker.io" { DOCKER_HUB } else { registry }
}

/// Returns whether a host, with or without a port, is this machine.
pub fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Splits a URL into whether it is plain HTTP, its host with port, and its path.
pub(super) fn split(url: &str) -> Result<(bool, String, String), String> {
    // containerd looks for `http` alone, so `httpbin.example.com` is taken for a URL with a scheme, and fails.
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None if url.starts_with("http") => {
            return Err("begins with `http`, so containerd takes it for a URL".to_owned());
        }
        None => ("https".to_owned(), url),
    };
    let is_plain = match scheme.as_str() {
        "https" => false,
        "http" => true,
        _ => return Err("is no URL with `https://` or `http://`".to_owned()),
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if authority.is_empty() || authority.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("names no host".to_owned());
    }
    Ok((is_plain, authority.to_owned(), path.to_owned()))
}

/// Returns the path of a file that a configuration names; relative ones start from `base`.
fn resolve(text: &str, base: &Path) -> Result<PathBuf, String> {
    if paths::looks_windows(text) {
        return match WindowsPath::parse(text) {
            Ok(path) => Ok(PathBuf::from(path.to_string())),
            Err(error) => Err(format!("names a file whose path {error}")),
        };
    }
    // On Windows too, where containerd takes a path from `/` for a relative one.
    Ok(base.join(text))
}
