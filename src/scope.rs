//! Which images a stored credential is for: `host[:port][/path...]`.
//!
//! A scope is not a `matchImages` pattern of the kubelet, though it looks like one: paths end at segment boundaries, hosts
//! compare without regard to case, and Docker Hub is one registry whatever it is called.

use std::cmp::Reverse;
use std::fmt;
use std::str::FromStr;

use crate::reference::{self, DOCKER_HUB, Reference};
use crate::windows_path;

/// The names of Docker Hub. Each serves the same repositories with the same logins; nothing else does.
const DOCKER_HUB_HOSTS: [&str; 4] = [DOCKER_HUB, "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

/// A scope in its one canonical spelling: host in lower case, no scheme, no final slash, `docker.io` for Docker Hub.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    text: String,
    domain_len: usize,
}

/// How well a scope fits an image: more is more specific.
///
/// A longer path wins, then an exact host over a wildcard, then fewer wildcards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Specificity {
    path_len: usize,
    wildcards: Reverse<usize>,
}

/// Why a scope does not fit an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum Mismatch {
    #[error("other host")]
    Host,
    #[error("other port; a scope without port is not for an image with one")]
    Port,
    #[error("other number of dots; `*` stands for one part of a host name")]
    Labels,
    #[error("other path")]
    Path,
}

impl Scope {
    /// Takes a scope that was canonical when it was sealed. Costs one scan and no allocation.
    pub(crate) fn from_stored(text: String) -> Self {
        let domain_len = text.find('/').unwrap_or(text.len());
        Self { text, domain_len }
    }

    /// Returns whether a scope that was canonical when it was sealed may speak of the image's registry. Allocates nothing, and
    /// looks at a host without wildcards only where it equals the image's.
    pub(crate) fn stored_fits_domain(text: &[u8], image: &Reference) -> bool {
        if text.contains(&b'*') || text.starts_with(DOCKER_HUB.as_bytes()) {
            let domain = text.split(|&byte| byte == b'/').next().unwrap_or(text);
            // What is no text fits nothing here, and is refused when it is decoded.
            return std::str::from_utf8(domain).map_or(true, |domain| fit_domain(domain, image).is_ok());
        }
        let domain = image.domain().as_bytes();
        let is_whole = matches!(text.get(domain.len()), None | Some(b'/'));
        is_whole && text.get(..domain.len()).is_some_and(|start| start.eq_ignore_ascii_case(domain))
    }

    /// Returns the canonical text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns host and port: `registry.example.com:5000`.
    pub fn domain(&self) -> &str {
        &self.text[..self.domain_len]
    }

    /// Returns the path without slashes around it, empty for a whole registry.
    pub fn path(&self) -> &str {
        self.text.get(self.domain_len + 1..).unwrap_or_default()
    }

    /// Compares with an image.
    ///
    /// # Errors
    /// [`Mismatch`] names the first part that differs.
    pub fn fit(&self, image: &Reference) -> Result<Specificity, Mismatch> {
        self.fit_domain(image)?;
        let path = self.path();
        let whole_segments = image
            .path()
            .strip_prefix(path)
            .is_some_and(|rest| path.is_empty() || rest.is_empty() || rest.starts_with('/'));
        if !whole_segments {
            return Err(Mismatch::Path);
        }
        Ok(Specificity { path_len: path.len(), wildcards: Reverse(self.wildcards()) })
    }

    /// Compares host and port only: does this scope speak of the image's registry at all?
    ///
    /// # Errors
    /// As [`Scope::fit`].
    pub fn fit_domain(&self, image: &Reference) -> Result<(), Mismatch> {
        fit_domain(self.domain(), image)
    }

    /// Returns whether some image fits both scopes equally well, so that no rule could choose between them.
    pub fn ties_with(&self, other: &Self) -> bool {
        let (host, port) = reference::split_port(self.domain());
        let (other_host, other_port) = reference::split_port(other.domain());
        self != other
            && port == other_port
            && self.path() == other.path()
            && self.wildcards() == other.wildcards()
            && self.wildcards() > 0
            && host.split('.').count() == other_host.split('.').count()
            && host.split('.').zip(other_host.split('.')).all(|(a, b)| globs_meet(a.as_bytes(), b.as_bytes()))
    }

    /// Returns whether both scopes name the same host and port, so that one is broader or narrower than the other.
    pub fn shares_domain(&self, other: &Self) -> bool {
        self.domain() == other.domain()
    }

    fn wildcards(&self) -> usize {
        self.domain().bytes().filter(|&b| b == b'*').count()
    }
}

impl FromStr for Scope {
    type Err = ScopeError;

    /// Parses what operators and other tools write: with or without `https://`, `/v1/`, `/v2/`, a final slash.
    ///
    /// # Errors
    /// [`ScopeError`] for whatever could never fit an image.
    fn from_str(text: &str) -> Result<Self, ScopeError> {
        if text.is_empty() {
            return Err(ScopeError::Empty);
        }
        if let Some(position) = text.chars().position(|c| c.is_whitespace() || c.is_control()) {
            return Err(ScopeError::Blank { position: position + 1 });
        }
        let (had_scheme, text) = reference::strip_scheme(text);
        if reference::has_foreign_scheme(text) {
            return Err(ScopeError::Scheme);
        }
        if let Some(form) = windows_path::looks_like_path(text) {
            return Err(ScopeError::Path { form });
        }
        if let Some(sign) = text.chars().find(|c| matches!(c, '@' | '?' | '#' | '%' | '{' | '}')) {
            return Err(ScopeError::Sign { sign });
        }
        let (domain, path) = text.split_once('/').unwrap_or((text, ""));
        let domain = canonical_domain(domain)?;
        let path = strip_api_version(path, had_scheme);
        check_path(path)?;
        let text = if path.is_empty() { domain.clone() } else { format!("{domain}/{path}") };
        Ok(Self { domain_len: domain.len(), text })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is no scope. The text itself is never repeated: people paste secrets in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum ScopeError {
    #[error("scope is empty; give a registry such as `registry.example.com` or `docker.io`")]
    Empty,
    #[error("scope has a blank or control character at position {position}")]
    Blank { position: usize },
    #[error("scope {form}; give a registry such as `registry.example.com:5000/team`")]
    Path { form: &'static str },
    #[error("scope has a scheme other than `https://` and `http://`; leave it out")]
    Scheme,
    #[error("scope contains `{sign}`, which no registry host or repository has")]
    Sign { sign: char },
    #[error("scope does not start with a valid registry host")]
    Host,
    #[error("scope has an invalid port; give a number from 1 to 65535")]
    Port,
    #[error(
        "scope has no registry host: a name without dot or port is a path on Docker Hub; put `docker.io/` before it"
    )]
    NoHost,
    #[error("scope has a wildcard in its path; a path covers everything below it already, so leave out `/*`")]
    PathWildcard,
    #[error("scope has a tag; a scope covers all tags, so leave out the part from `:`")]
    Tag,
    #[error("scope has an upper-case letter in its path; repositories are lower case")]
    UpperCase,
    #[error("scope has an invalid repository path")]
    Repository,
    #[error("scope has a path longer than {} characters, which no image has", reference::MAX_PATH)]
    TooLong,
}

/// Returns whether the host, in any letter case, is one of Docker Hub's. A host with a port never is.
fn is_docker_hub(host: &str) -> bool {
    DOCKER_HUB_HOSTS.iter().any(|hub| hub.eq_ignore_ascii_case(host))
}

fn canonical_domain(domain: &str) -> Result<String, ScopeError> {
    let (host, port) = reference::split_port(domain);
    if let Some(port) = port {
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        if !digits || !port.parse::<u16>().is_ok_and(|number| number > 0) {
            return Err(ScopeError::Port);
        }
    }
    // `*` stands for any run of characters of one label, so the rest of the host must be valid with a letter in its place.
    if !reference::is_domain(&domain.to_ascii_lowercase().replace('*', "x")) {
        return Err(ScopeError::Host);
    }
    let host = host.to_ascii_lowercase();
    if port.is_none() && is_docker_hub(&host) {
        return Ok(DOCKER_HUB.to_owned());
    }
    if port.is_none() && !host.contains(['.', '*']) && host != "localhost" {
        return Err(ScopeError::NoHost);
    }
    Ok(port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
}

/// Drops the `/v1/` or `/v2/` that docker and others put behind a registry.
///
/// The kubelet drops it before a longer path too (keyring.go, `BasicDockerKeyring.Add`). Without a scheme such a path is
/// taken at its word, since a repository may be called `v2/app`.
fn strip_api_version(path: &str, had_scheme: bool) -> &str {
    let path = path.strip_suffix('/').unwrap_or(path);
    match path.split_once('/') {
        None if matches!(path, "v1" | "v2") => "",
        // A lone `v1` or `v2` would be taken for the API the next time.
        Some(("v1" | "v2", rest)) if had_scheme && !matches!(rest, "v1" | "v2") => rest,
        _ => path,
    }
}

fn check_path(path: &str) -> Result<(), ScopeError> {
    if path.contains('*') {
        return Err(ScopeError::PathWildcard);
    }
    if path.contains(':') {
        return Err(ScopeError::Tag);
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(ScopeError::UpperCase);
    }
    if path.len() > reference::MAX_PATH {
        return Err(ScopeError::TooLong);
    }
    if path.is_empty() || reference::is_path(path) { Ok(()) } else { Err(ScopeError::Repository) }
}

fn fit_domain(domain: &str, image: &Reference) -> Result<(), Mismatch> {
    let (host, port) = reference::split_port(domain);
    let (image_host, image_port) = reference::split_port(image.domain());
    // The kubelet compares ports as text: `r.io` and `r.io:443` are two registries (keyring.go, `URLsMatch`).
    if port != image_port {
        return Err(Mismatch::Port);
    }
    if host == DOCKER_HUB && port.is_none() {
        return if is_docker_hub(image_host) { Ok(()) } else { Err(Mismatch::Host) };
    }
    if !host.contains('*') {
        return if host.eq_ignore_ascii_case(image_host) { Ok(()) } else { Err(Mismatch::Host) };
    }
    if host.split('.').count() != image_host.split('.').count() {
        return Err(Mismatch::Labels);
    }
    let all = host.split('.').zip(image_host.split('.')).all(|(p, l)| glob(p.as_bytes(), l.as_bytes()));
    if all { Ok(()) } else { Err(Mismatch::Host) }
}

/// Matches one label against a pattern in which `*` stands for any run of characters (Go `filepath.Match` without classes).
fn glob(mut pattern: &[u8], mut label: &[u8]) -> bool {
    // Behind the last `*`: the pattern, and what of the label it was tried on last. An earlier `*` never has to move again.
    let mut last_star = None;
    while !(pattern.is_empty() && label.is_empty()) {
        match (pattern, label) {
            ([b'*', rest @ ..], _) => {
                pattern = rest;
                last_star = Some((rest, label));
            }
            ([byte, rest @ ..], [first, tail @ ..]) if byte.eq_ignore_ascii_case(first) => {
                (pattern, label) = (rest, tail);
            }
            _ => {
                let Some((rest, [_, tail @ ..])) = last_star else { return false };
                (pattern, label) = (rest, tail);
                last_star = Some((rest, tail));
            }
        }
    }
    true
}

/// Returns whether some label matches both patterns.
fn globs_meet(a: &[u8], b: &[u8]) -> bool {
    // `row[j]`: whether the rest of `a` and `b[j..]` meet; `below` is the same for one byte less of `a`.
    let mut row = vec![false; b.len() + 1];
    for i in (0..=a.len()).rev() {
        let below = row.clone();
        for j in (0..=b.len()).rev() {
            row[j] = match (a.get(i), b.get(j)) {
                (None, None) => true,
                (Some(b'*'), _) if below[j] => true,
                (_, Some(b'*')) => row[j + 1] || (i < a.len() && below[j]),
                (Some(b'*'), Some(_)) => row[j + 1],
                (Some(x), Some(y)) => x == y && below[j + 1],
                (Some(_), None) | (None, Some(_)) => false,
            };
        }
    }
    row[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_scope_fits_a_registry_as_a_parsed_one_does() {
        let scopes = "r.io r.io:5000 r.io/team r.io:5000/team r.iox ar.io *.io *.io:5000/team r*.io docker.io docker.io/library \
                      docker.io.example docker.iox localhost [::1]:5000 [::1]:5000/a";
        let images = "r.io/a r.io:5000/a r.io/team/a R.IO/a r.i/a r.iox/a ar.io/a a.r.io/a r.io:50/a nginx acme/app docker.io/a \
                      registry-1.docker.io/a index.docker.io/a docker.io:443/a docker.io.example/a docker.iox/a localhost/a \
                      localhost:5000/a [::1]:5000/a [::1]:500/a";
        let mut fits = 0;
        for scope in scopes.split_whitespace().map(|text| text.parse::<Scope>().unwrap()) {
            for image in images.split_whitespace().map(|text| text.parse::<Reference>().unwrap()) {
                let expected = scope.fit_domain(&image).is_ok();
                let stored = Scope::stored_fits_domain(scope.as_str().as_bytes(), &image);
                assert_eq!(stored, expected, "{scope} {image:?}");
                fits += u32::from(expected);
            }
        }
        assert_eq!(fits, 37);
    }
}
