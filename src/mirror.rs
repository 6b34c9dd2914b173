//! Mirrors of a registry, and who may see whose credential.
//!
//! containerd offers the one credential that the kubelet gives it to every host it tries, mirrors first, and to each that asks
//! (containerd `internal/cri/server/images/image_pull.go`, `ParseAuth`). So for a registry with mirrors, the credential that is
//! answered decides which of them learns it.

use std::fmt;
use std::str::FromStr;

use crate::reference::Reference;
use crate::scope::{Scope, ScopeError};

/// The mirrors of one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorRule {
    /// The registry that is mirrored: a scope without path, or `*` for every registry without a rule of its own.
    pub source: Source,
    /// Mirror hosts with their ports, in the order in which the container runtime tries them.
    pub hosts: Vec<Scope>,
    /// Whose credential is answered.
    pub policy: Policy,
    /// Where it came from, for people.
    pub origin: String,
}

/// The registry that a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Every registry without a rule of its own.
    Any,
    /// One registry.
    Registry(Scope),
}

/// Whose credential is answered for a mirrored registry, in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// That of the first mirror that has one, and never that of the registry itself.
    #[default]
    MirrorOnly,
    /// The mirror's, and when pulling with it fails, the registry's.
    MirrorThenUpstream,
    /// The registry's, and when pulling with it fails, the mirror's.
    UpstreamThenMirror,
    /// The registry's, as if there were no mirror.
    UpstreamOnly,
}

impl MirrorRule {
    /// Returns the rule for an image, if one is stored.
    pub fn find<'a>(rules: &'a [Self], image: &Reference) -> Option<&'a Self> {
        let own = |rule: &&Self| matches!(&rule.source, Source::Registry(scope) if scope.fit_domain(image).is_ok());
        rules.iter().find(own).or_else(|| rules.iter().find(|rule| rule.source == Source::Any))
    }

    /// Returns the image as each mirror knows it, in order: the same path on the mirror's host. The registry itself, which some
    /// configurations list last, is no mirror.
    pub fn images<'a>(&'a self, image: &'a Reference) -> impl Iterator<Item = Reference> + 'a {
        let mirrors = self.hosts.iter().filter(|host| host.fit_domain(image).is_err());
        mirrors.filter_map(|host| image.on(host.domain()))
    }
}

impl Policy {
    /// Every policy, the default first.
    pub const ALL: [Self; 4] =
        [Self::MirrorOnly, Self::MirrorThenUpstream, Self::UpstreamThenMirror, Self::UpstreamOnly];

    /// Returns the name used in files and output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MirrorOnly => "mirror-only",
            Self::MirrorThenUpstream => "mirror-then-upstream",
            Self::UpstreamThenMirror => "upstream-then-mirror",
            Self::UpstreamOnly => "upstream-only",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Policy {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, MirrorError> {
        Self::ALL.into_iter().find(|policy| policy.name() == text).ok_or(MirrorError::Policy)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Registry(scope) => scope.fmt(f),
        }
    }
}

impl FromStr for Source {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, MirrorError> {
        if text == "*" { Ok(Self::Any) } else { host(text).map(Self::Registry) }
    }
}

/// Parses a host with its port, as a source or a mirror: a scope without path.
///
/// # Errors
/// [`MirrorError`].
pub fn host(text: &str) -> Result<Scope, MirrorError> {
    let scope: Scope = text.parse()?;
    if !scope.path().is_empty() {
        return Err(MirrorError::Path);
    }
    if scope.as_str().contains('*') {
        return Err(MirrorError::Wildcard);
    }
    Ok(scope)
}

/// Why a text is no part of a mirror rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum MirrorError {
    #[error(transparent)]
    Scope(#[from] ScopeError),
    #[error("a mirror rule is for a host, without a path")]
    Path,
    #[error("a mirror rule is for one host, without a wildcard, or for `*`")]
    Wildcard,
    #[error("policy is one of `mirror-only`, `mirror-then-upstream`, `upstream-then-mirror`, `upstream-only`")]
    Policy,
}
