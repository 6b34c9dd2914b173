//! The kubelet's `CredentialProviderConfig`: judged by the rules of a kubelet version, or written for what is stored.
//!
//! A kubelet with a configuration that it refuses exits, and the node is gone; with one that it takes and that does not mean
//! what its author thought, pulls fail for no visible reason. So errors are the kubelet's, and warnings are ours.
//! Source: Kubernetes 1.26 to 1.36 `pkg/credentialprovider/plugin/{config,plugin}.go`. Held against what that code says by
//! `tests/suite/config.rs`.

mod binaries;
mod generate;
mod go;
mod merge;
mod tree;
mod validate;
mod warn;
mod wire;

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use generate::{Generated, Tokens, generate, generate_for};
pub use merge::{MergeError, Merged, Position, Provider as ProviderSummary, merge, providers, remove, summarize};
use wire::{Decoded, Provider};

/// Largest file that is read. A configuration has a few KiB.
const MAX_FILE: u64 = 1024 * 1024;

/// The feature gate that `tokenAttributes` needs.
pub const TOKEN_GATE: &str = "KubeletServiceAccountTokenForCredentialProviders";

/// Minor version of a kubelet, from 1.26 to 1.36.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KubeletVersion(u8);

impl KubeletVersion {
    /// The oldest version whose rules are known.
    pub const OLDEST: Self = Self(26);
    /// The newest version whose rules are known.
    pub const NEWEST: Self = Self(36);
    /// Finds `NAME.exe` for `NAME` on Windows, and looks whether a file is executable.
    const LOOK_PATH: Self = Self(30);
    const STRICT: Self = Self(32);
    const TOKENS: Self = Self(33);
    const UNIQUE_NAMES: Self = Self(33);
    const CACHE_TYPE: Self = Self(34);
    const DIRECTORY: Self = Self(34);

    /// Returns every version, oldest first.
    pub fn all() -> impl Iterator<Item = Self> {
        (Self::OLDEST.0..=Self::NEWEST.0).map(Self)
    }

    /// Returns whether this kubelet finds `NAME.exe` for `NAME` on Windows.
    pub fn finds_extension(self) -> bool {
        self >= Self::LOOK_PATH
    }

    /// Returns whether this kubelet knows `tokenAttributes`.
    pub fn knows_tokens(self) -> bool {
        self >= Self::TOKENS
    }

    fn is_strict(self) -> bool {
        self >= Self::STRICT
    }
}

impl fmt::Display for KubeletVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

impl FromStr for KubeletVersion {
    type Err = &'static str;

    /// Parses `1.34`, and what `kubelet --version` prints: `v1.34.2+k3s1`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let minor = text.strip_prefix('v').unwrap_or(text).strip_prefix("1.");
        let minor = minor.map(|minor| minor.split_once('.').map_or(minor, |(minor, _)| minor));
        let known = |minor: &u8| (Self::OLDEST.0..=Self::NEWEST.0).contains(minor);
        minor.and_then(|minor| minor.parse().ok()).filter(known).map(Self).ok_or("known are 1.26 to 1.36")
    }
}

/// Operating system of the kubelet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Linux.
    Linux,
    /// Windows.
    Windows,
}

impl System {
    /// The one that this program was built for.
    pub const HERE: Self = if cfg!(windows) { Self::Windows } else { Self::Linux };
}

/// The kubelet that is to take a configuration.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its version.
    pub kubelet: KubeletVersion,
    /// Its operating system.
    pub system: System,
    /// Whether the feature gate [`TOKEN_GATE`] is on.
    pub service_account_tokens: bool,
}

impl Target {
    /// A kubelet with the feature gates that its version has by default.
    pub fn new(kubelet: KubeletVersion, system: System) -> Self {
        Self { kubelet, system, service_account_tokens: kubelet > KubeletVersion::TOKENS }
    }
}

/// What a kubelet makes of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why the kubelet would not start.
    pub errors: Vec<String>,
    /// What it takes in silence, and is a mistake all the same.
    pub warnings: Vec<String>,
}

impl Verdict {
    /// Returns whether the kubelet starts.
    pub fn is_valid(&self) -> bool {
        self.errors.is_empty()
    }

    fn error(&mut self, error: String) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn warning(&mut self, warning: String) {
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }
}

/// Why a configuration could not be judged at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No path.
    #[error("credential provider config path is empty")]
    NoPath,
    /// The file or directory cannot be read.
    #[error("cannot read `{}`: {}", path.display(), reason(error))]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        error: io::Error,
    },
}

/// Judges a file, or the files of a directory, and the programs in `bin_dir` if it is given.
///
/// # Errors
/// [`ConfigError`]
pub fn judge(path: &Path, bin_dir: Option<&Path>, target: &Target) -> Result<Verdict, ConfigError> {
    if path.as_os_str().is_empty() {
        return Err(ConfigError::NoPath);
    }
    let mut verdict = Verdict::default();
    if let Some(bin_dir) = bin_dir {
        binaries::judge_dir(bin_dir, &mut verdict);
    }
    let files = read(path, target.kubelet, &mut verdict)?;
    let providers = judge_files(&files, target, &mut verdict);
    if let Some(bin_dir) = bin_dir.filter(|dir| dir.exists()) {
        for provider in &providers {
            binaries::judge(bin_dir, &provider.provider.name, &provider.place(&providers), target, &mut verdict);
        }
    }
    Ok(verdict)
}

/// Judges the text of one file.
pub fn judge_text(text: &str, target: &Target) -> Verdict {
    let mut verdict = Verdict::default();
    judge_files(&[ConfigFile { path: PathBuf::from("-"), bytes: text.into() }], target, &mut verdict);
    verdict
}

/// Judges the texts of the files of a directory, in its order.
pub fn judge_texts(files: impl IntoIterator<Item = (PathBuf, Vec<u8>)>, target: &Target) -> Verdict {
    let mut verdict = Verdict::default();
    let files: Vec<ConfigFile> = files.into_iter().map(|(path, bytes)| ConfigFile { path, bytes }).collect();
    judge_files(&files, target, &mut verdict);
    verdict
}

struct ConfigFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// A provider and the file it is from.
struct Located {
    provider: Provider,
    path: PathBuf,
}

impl Located {
    /// Says which provider is meant, where there are several: the kubelet does not.
    fn place(&self, all: &[Self]) -> String {
        let name = go::quote(&self.provider.name);
        match all {
            [] | [_] => String::new(),
            all if all.iter().all(|other| other.path == self.path) => format!(" (provider {name})"),
            _ => format!(" (provider {name} in {})", quote_path(&self.path)),
        }
    }
}

fn judge_files(files: &[ConfigFile], target: &Target, verdict: &mut Verdict) -> Vec<Located> {
    let mut providers = Vec::new();
    let mut is_whole = true;
    for file in files {
        warn::encoding(&file.bytes, &file.path, verdict);
        match wire::decode(&file.bytes, target.kubelet) {
            Ok(Decoded { providers: found, ignored, has_more }) => {
                warn::silence(&ignored, has_more, &file.path, verdict);
                providers.extend(found.into_iter().map(|provider| Located { provider, path: file.path.clone() }));
            }
            Err(error) => {
                is_whole = false;
                // The quotes came with directories.
                let quotes = target.kubelet >= KubeletVersion::DIRECTORY;
                let path = if quotes { quote_path(&file.path) } else { file.path.display().to_string() };
                verdict.error(format!("error decoding config {path}: {error}"));
            }
        }
    }
    if providers.is_empty() && is_whole && !files.is_empty() {
        verdict.error("providers: Required value: at least 1 item in plugins is required".to_owned());
    }
    let mut names = HashSet::new();
    for located in &providers {
        let name = located.provider.name.as_str();
        let place = located.place(&providers);
        if !names.insert(name) {
            verdict.error(registered_twice(name, target.kubelet));
        }
        for error in validate::provider(&located.provider, target) {
            verdict.error(format!("{error}{place}"));
        }
        warn::provider(&located.provider, &place, target, verdict);
    }
    providers
}

fn registered_twice(name: &str, kubelet: KubeletVersion) -> String {
    let name = go::quote(name);
    if kubelet >= KubeletVersion::DIRECTORY {
        format!("duplicate provider name {name} found in configuration file(s)")
    } else if kubelet >= KubeletVersion::UNIQUE_NAMES {
        format!("providers.name: Duplicate value: {name}")
    } else {
        format!("Credential provider {name} was registered twice")
    }
}

/// Reads the files that the kubelet reads, in its order.
fn read(path: &Path, kubelet: KubeletVersion, verdict: &mut Verdict) -> Result<Vec<ConfigFile>, ConfigError> {
    let unreadable = |error| ConfigError::Read { path: path.to_owned(), error };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        let bytes = read_file(path).map_err(unreadable)?;
        return Ok(vec![ConfigFile { path: path.to_owned(), bytes }]);
    }
    let shown = quote_path(path);
    if kubelet < KubeletVersion::DIRECTORY {
        verdict.error(format!(
            "unable to read external registry credential provider configuration from {shown}: read {}: is a directory",
            path.display()
        ));
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        // A link to a directory counts as a file here, and fails when it is read.
        if !entry.file_type().map_err(unreadable)?.is_dir() {
            names.push(entry.file_name());
        }
    }
    names.sort_by(|a, b| a.as_encoded_bytes().cmp(b.as_encoded_bytes()));
    let extension = |name: &std::ffi::OsStr| name.to_string_lossy().rsplit_once('.').map(|(_, end)| end.to_owned());
    let mut files = Vec::new();
    let mut is_empty = true;
    for name in names {
        let file = path.join(&name);
        match extension(&name).as_deref() {
            Some("json" | "yaml" | "yml") => {}
            Some(end) if matches!(end.to_ascii_lowercase().as_str(), "json" | "yaml" | "yml") => {
                verdict.warning(format!("{}: not read, for `.{end}` is not in lower case", quote_path(&file)));
                continue;
            }
            Some(_) | None => continue,
        }
        is_empty = false;
        let bytes = fs::metadata(&file).map_err(|error| ("open", error)).and_then(|metadata| {
            if metadata.is_dir() || metadata.is_file() {
                read_file(&file).map_err(|error| ("read", error))
            } else {
                // The kubelet would wait for whoever writes to it.
                Err(("read", io::Error::other("not a regular file")))
            }
        });
        match bytes {
            Ok(bytes) => files.push(ConfigFile { path: file, bytes }),
            Err((verb, error)) => verdict.error(format!(
                "unable to read file {}: {verb} {}: {}",
                quote_path(&file),
                file.display(),
                reason(&error)
            )),
        }
    }
    if is_empty {
        verdict.error(format!("no configuration files found in directory {shown}"));
    }
    Ok(files)
}

fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
    }
    Ok(bytes)
}

fn quote_path(path: &Path) -> String {
    go::quote(&path.to_string_lossy())
}

/// Words an error of the operating system as Go does.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        io::ErrorKind::NotADirectory => "not a directory".to_owned(),
        _ => error.to_string(),
    }
}
