//! Reads what other tools keep about registries: *image registry → hosts tried in order → credential*, never a copy of keys.
//!
//! Every importer gives each key of its source to `gather` as a credential, a mirror or a finding; what they mean together is
//! worked out there once. Secrets go from the file into [`Secret`] and nowhere else, and no message quotes a value.

mod auth;
mod base64;
pub(crate) mod containerd;
mod containers_auth;
mod detect;
mod docker;
mod edit;
pub(crate) mod file;
mod gather;
mod hosts_toml;
mod kubernetes;
pub(crate) mod paths;
mod registries_yaml;
mod scrub;
mod talos;
pub(crate) mod toml;
pub(crate) mod tree;
mod yaml;

use std::io;
use std::path::{Path, PathBuf};

use crate::mirror::MirrorRule;
use crate::scope::Scope;
use crate::secret::Secret;
use gather::Gather;
pub use scrub::{Rewrite, Scrub};
use tree::Syntax;

/// What a source is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// registries.yaml of k3s and RKE2.
    RegistriesYaml,
    /// Machine configuration of Talos.
    Talos,
    /// config.json or .dockercfg of docker.
    DockerConfig,
    /// auth.json of podman, buildah, skopeo and CRI-O.
    ContainersAuth,
    /// config.toml of containerd, or a directory of hosts.toml files.
    Containerd,
    /// Secrets of Kubernetes with a docker configuration in them.
    KubernetesSecret,
}

/// What was found.
#[derive(Debug, Default)]
pub struct Import {
    /// One credential for each scope, in the order of the source.
    pub credentials: Vec<Found>,
    /// One rule for each registry that has mirrors; its origin is file and key.
    pub mirrors: Vec<MirrorRule>,
    /// What became of each key, in the order of the source.
    pub findings: Vec<Finding>,
    /// The texts that were read, and the places of secrets in them.
    texts: Vec<scrub::Source>,
    logins: Vec<scrub::Login>,
}

/// A user name and password.
#[derive(Debug)]
pub struct Found {
    /// Which images it is for.
    pub scope: Scope,
    /// User name.
    pub username: String,
    /// Password.
    pub secret: Secret,
    /// Where it stands.
    pub origin: Origin,
}

/// A place in a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The file.
    pub file: String,
    /// The keys that lead to it.
    pub key: String,
    /// The line, where the file has lines of its own.
    pub line: Option<usize>,
}

/// What became of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What became of it.
    pub outcome: Outcome,
    /// The reason, for programs.
    pub code: &'static str,
    /// The reason and what to do, for people.
    pub message: String,
    /// The file.
    pub file: String,
    /// The keys that lead to it.
    pub key: String,
    /// The line, where the file has lines of its own.
    pub line: Option<usize>,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Info,
    /// Worth a look.
    Warning,
    /// A credential or mirror that does not work, or was not taken.
    Error,
}

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is part of the result.
    Imported,
    /// It says what another key says already.
    Merged,
    /// It contradicts another key.
    Conflict,
    /// It is not part of the result, for the reason given.
    Ignored,
    /// A credential store cannot hold such a thing.
    NotRepresentable,
}

impl Format {
    /// Returns the name used on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RegistriesYaml => "registries-yaml",
            Self::Talos => "talos",
            Self::DockerConfig => "docker-config",
            Self::ContainersAuth => "containers-auth",
            Self::Containerd => "containerd",
            Self::KubernetesSecret => "kubernetes-secret",
        }
    }
}

impl Severity {
    /// Returns the name used in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl Outcome {
    /// Returns the name used in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Imported => "imported",
            Self::Merged => "merged",
            Self::Conflict => "conflict",
            Self::Ignored => "ignored",
            Self::NotRepresentable => "not representable",
        }
    }
}

/// Why a source cannot be read at all. No variant holds a byte of a file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum Error {
    #[error("cannot read `{}`", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("`{}` is a directory; only the format `containerd` has directories", path.display())]
    Directory { path: PathBuf },
    #[error("`{}` is neither a file nor a directory", path.display())]
    NoFile { path: PathBuf },
    #[error("`{}` is larger than 16 MiB, which no such file is", path.display())]
    TooLarge { path: PathBuf },
    #[error("`{}` is neither UTF-8 nor UTF-16 with a byte order mark", path.display())]
    NotText { path: PathBuf },
    #[error("`{}`, line {line}, column {column}: {what}", path.display())]
    Syntax { path: PathBuf, line: usize, column: usize, what: &'static str },
    #[error("`{}` has more than one document; this format has one", path.display())]
    Documents { path: PathBuf },
    #[error("`{}` is a JSON patch; give the machine configuration, or a patch that starts with \
        `machine:`", path.display())]
    JsonPatch { path: PathBuf },
    #[error("`{}` has changed since it was read, so nothing was removed from it", path.display())]
    Changed { path: PathBuf },
    #[error("cannot rewrite `{}`, which is as it was", path.display())]
    Rewrite { path: PathBuf, source: io::Error },
    #[error("cannot tell the format of `{}`; name it in place of `auto`", path.display())]
    Unknown { path: PathBuf },
}

/// Returns host and port of a mirror, without a port that its scheme implies.
pub fn portless(host: &Scope) -> &str {
    gather::portless(host)
}

/// Tells the format of a source from its content.
///
/// # Errors
/// [`Error`], with [`Error::Unknown`] when it could be anything.
pub fn detect(path: &Path) -> Result<Format, Error> {
    detect::format(path)
}

/// Reads a source.
///
/// # Errors
/// [`Error`], when the file as a whole cannot be read. Anything wrong inside is a [`Finding`].
pub fn read(format: Format, path: &Path) -> Result<Import, Error> {
    if format == Format::Containerd {
        return containerd::read(path);
    }
    let text = file::read(path)?;
    parse(format, path, &text)
}

/// Works out what is left of the sources of an import without the logins that were imported. Nothing is written.
///
/// # Errors
/// [`Error`], when a file cannot be read again, or is another one by now.
pub fn scrub(format: Format, import: &Import) -> Result<Scrub, Error> {
    scrub::plan(format, import)
}

/// Reads a source of one file that has been read and decoded. Directories and other files that it names are not followed.
///
/// # Errors
/// As [`read`].
pub fn parse(format: Format, path: &Path, text: &str) -> Result<Import, Error> {
    let syntax = |Syntax { line, column, what }| Error::Syntax { path: path.to_owned(), line, column, what };
    let mut gather = Gather::new();
    let at = gather.file(path, text);
    if format == Format::Containerd {
        let parsed = toml::parse(text).map_err(syntax)?;
        containerd::config(&mut gather, &at, &parsed.documents);
        return Ok(gather.finish());
    }
    let parsed = yaml::parse(text).map_err(syntax)?;
    gather.duplicates(&at, &parsed);
    let many = matches!(format, Format::Talos | Format::KubernetesSecret);
    if parsed.documents.len() > 1 && !many {
        return Err(Error::Documents { path: path.to_owned() });
    }
    if format == Format::Talos && parsed.documents.iter().any(|document| !document.items().is_empty()) {
        return Err(Error::JsonPatch { path: path.to_owned() });
    }
    if parsed.documents.iter().all(tree::Node::is_empty) {
        gather.empty(&at);
    }
    for document in parsed.documents.iter().filter(|document| !document.is_empty()) {
        match format {
            Format::RegistriesYaml => registries_yaml::import(&mut gather, &at, document),
            Format::Talos => talos::import(&mut gather, &at, document),
            Format::DockerConfig => docker::import(&mut gather, &at, document),
            Format::ContainersAuth => containers_auth::import(&mut gather, &at, document),
            Format::KubernetesSecret => kubernetes::import(&mut gather, &at, document),
            // Returned above: TOML.
            Format::Containerd => {}
        }
    }
    Ok(gather.finish())
}
