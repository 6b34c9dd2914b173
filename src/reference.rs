//! An OCI image reference, normalised as the kubelet does it.
//!
//! The kubelet sends `reference.ParseNormalizedNamed(image).Name()` (kubernetes `pkg/util/parsers/parsers.go`, grammar of
//! github.com/distribution/reference): always a registry and a path, never a tag, a digest or a scheme. Operators type
//! the other forms, so those are understood too.

use std::fmt;
use std::str::FromStr;

use crate::windows_path;

/// Longest repository path (distribution/reference `RepositoryNameTotalLengthMax`).
pub(crate) const MAX_PATH: usize = 255;

/// A normalised image name, `host[:port]/path`, without tag and digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    name: String,
    domain_len: usize,
}

impl Reference {
    /// Parses an image as people type it in a request or on a command line: as [`FromStr`], and a leading `https://` or
    /// `http://` is dropped.
    ///
    /// # Errors
    /// As [`FromStr`].
    pub fn parse_lenient(text: &str) -> Result<Self, ReferenceError> {
        strip_scheme(text).1.parse()
    }

    /// Returns what the text of an image says behind its name: a digest with its `@`, else a tag with its `:`, else `:latest`, which
    /// is what the kubelet adds.
    pub fn version(text: &str) -> String {
        let (_, tag, digest) = split_tag_and_digest(split_domain(strip_scheme(text).1).1);
        match (tag, digest) {
            (_, Some(digest)) => format!("@{digest}"),
            (Some(tag), None) => format!(":{tag}"),
            (None, None) => ":latest".to_owned(),
        }
    }

    /// Returns the whole name: `docker.io/library/nginx`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the registry as the request spells it, with its port: `registry.example.com:5000`.
    pub fn domain(&self) -> &str {
        &self.name[..self.domain_len]
    }

    /// Returns the same repository on another host, given with its port; `None` when that is no valid host.
    pub fn on(&self, domain: &str) -> Option<Self> {
        is_domain(domain).then(|| Self { name: format!("{domain}/{}", self.path()), domain_len: domain.len() })
    }

    /// Returns the path below the registry: `library/nginx`.
    pub fn path(&self) -> &str {
        &self.name[self.domain_len + 1..]
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    /// Parses and normalises as the kubelet: `nginx:1.27` becomes `docker.io/library/nginx`.
    ///
    /// # Errors
    /// [`ReferenceError`], for exactly the strings that the kubelet refuses, Windows paths among them.
    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if let Some(position) = text.chars().position(|c| c.is_whitespace() || c.is_control()) {
            return Err(ReferenceError::Blank { position: position + 1 });
        }
        if has_foreign_scheme(text) {
            return Err(ReferenceError::Scheme);
        }
        if let Some(form) = windows_path::looks_like_path(text) {
            return Err(ReferenceError::Path { form });
        }
        if text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(ReferenceError::ImageId);
        }
        let (domain, remainder) = split_domain(text);
        let (path, tag, digest) = split_tag_and_digest(remainder);
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(ReferenceError::UpperCase);
        }
        if !is_domain(domain) {
            return Err(ReferenceError::Domain);
        }
        let library = if domain == DOCKER_HUB && !path.contains('/') { "library/" } else { "" };
        if !is_path(path) {
            return Err(ReferenceError::Repository);
        }
        if library.len() + path.len() > MAX_PATH {
            return Err(ReferenceError::TooLong);
        }
        if tag.is_some_and(|tag| !is_tag(tag)) || digest.is_some_and(|digest| !is_digest(digest)) {
            return Err(ReferenceError::TagOrDigest);
        }
        Ok(Self { name: format!("{domain}/{library}{path}"), domain_len: domain.len() })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Why a text names no image. The text itself is never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum ReferenceError {
    #[error("image is empty")]
    Empty,
    #[error("image has a blank or control character at position {position}")]
    Blank { position: usize },
    #[error("image {form}; give an image such as `registry.example.com/team/app`")]
    Path { form: &'static str },
    #[error("image has a scheme; leave out everything up to `://`")]
    Scheme,
    #[error("image is a 64-digit image id, not a name")]
    ImageId,
    #[error("image has an upper-case letter in its repository; repositories are lower case")]
    UpperCase,
    #[error("image does not start with a valid registry host")]
    Domain,
    #[error("image has an invalid repository path")]
    Repository,
    #[error("image has a repository path longer than {MAX_PATH} characters")]
    TooLong,
    #[error("image has an invalid tag or digest")]
    TagOrDigest,
}

/// The registry that a name without one belongs to.
pub(crate) const DOCKER_HUB: &str = "docker.io";

/// Splits a leading `https://` or `http://` off, in any letter case. Returns whether there was one.
pub(crate) fn strip_scheme(text: &str) -> (bool, &str) {
    for scheme in ["https://", "http://"] {
        if text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme)) {
            return (true, &text[scheme.len()..]);
        }
    }
    (false, text)
}

/// Returns whether there is a scheme other than `file:`, which names a file and is told so.
pub(crate) fn has_foreign_scheme(text: &str) -> bool {
    text.contains("://") && !text.starts_with("file:")
}

/// Returns whether `path` is one or more path components joined by `/`: `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
pub(crate) fn is_path(path: &str) -> bool {
    path.split('/').all(is_path_component)
}

/// Returns whether `host` (with an optional port) can stand before the first `/` of an image.
pub(crate) fn is_domain(domain: &str) -> bool {
    let (host, port) = split_port(domain);
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit())) {
        return false;
    }
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    }
    // A host such as `my_registry.io` is no domain by the grammar, but then the whole name still parses as a path.
    host.split('.').all(is_domain_label) || (port.is_none() && is_path_component(host))
}

/// Splits `host:port`; the colons of a bracketed IPv6 address belong to the host.
pub(crate) fn split_port(domain: &str) -> (&str, Option<&str>) {
    match domain.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (domain, None),
    }
}

/// distribution/reference `splitDockerDomain`.
fn split_domain(text: &str) -> (&str, &str) {
    match text.split_once('/') {
        Some((first, rest)) if is_registry(first) => {
            (if first == "index.docker.io" { DOCKER_HUB } else { first }, rest)
        }
        _ => (DOCKER_HUB, text),
    }
}

/// Only what looks like a host is one; `acme/app` is on Docker Hub, `MyHost/app` and `localhost/app` are not.
fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase)
}

fn split_tag_and_digest(remainder: &str) -> (&str, Option<&str>, Option<&str>) {
    let (rest, digest) = match remainder.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (remainder, None),
    };
    match rest.split_once(':') {
        Some((path, tag)) => (path, Some(tag), digest),
        None => (rest, None, digest),
    }
}

fn is_domain_label(label: &str) -> bool {
    !label.is_empty()
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn is_path_component(component: &str) -> bool {
    let separators = component.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit()).filter(|s| !s.is_empty());
    !component.is_empty()
        && separators.into_iter().all(|s| matches!(s, "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
        && !component.starts_with(['.', '_', '-'])
        && !component.ends_with(['.', '_', '-'])
}

fn is_tag(tag: &str) -> bool {
    (1..=128).contains(&tag.len())
        && tag.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
        && !tag.starts_with(['.', '-'])
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else { return false };
    let word =
        |w: &str| w.starts_with(|c: char| c.is_ascii_alphabetic()) && w.bytes().all(|b| b.is_ascii_alphanumeric());
    algorithm.split(['-', '_', '+', '.']).all(word) && hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
}
