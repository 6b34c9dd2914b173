//! The rules of Windows paths, as text: the same on every system, without touching a file.
//!
//! `std::path` follows the rules of the system it was built for, so a Linux machine that reads a Windows node's configuration
//! would take `C:\etc\ca.pem` for a relative name. A path is parsed only where a path is expected; [`looks_like_path`] tells
//! an operator who gave one in place of an image what happened.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// Longest path that every Windows program opens (`MAX_PATH` less its final zero).
const MAX_PLAIN: usize = 259;

/// Names of devices, in every directory and with every extension (learn.microsoft.com, "Naming Files, Paths, and Namespaces").
const RESERVED: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// An absolute path to a file on Windows: from a drive, or from a network share.
///
/// Equality is that of Windows: letter case and the direction of slashes do not count. [`fmt::Display`] writes the path with
/// backslashes, as every program understands it.
#[derive(Clone, Debug)]
pub struct WindowsPath {
    root: Root,
    components: Vec<String>,
    /// Written with `\\?\`, and too long for most programs without it.
    verbatim: bool,
}

/// Where a path starts.
#[derive(Clone, Debug)]
pub enum Root {
    /// `C:\`; the letter in upper case.
    Drive(char),
    /// `\\server\share\`. A service that runs as SYSTEM authenticates there as the machine, so files that open for an
    /// operator may not open for the kubelet.
    Share {
        /// Name or address of the server.
        server: String,
        /// Name of the share, `$` included.
        share: String,
    },
}

/// Why a text is no absolute path to a file. Each message completes the sentence "`PATH` ...".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum WindowsPathError {
    #[error("is empty")]
    Empty,
    #[error("starts or ends with a blank")]
    Blank,
    #[error(
        "has a control character at position {position}; in double quotes `\\` starts an escape, so write the path in single \
         quotes, or each `\\` twice"
    )]
    Control { position: usize },
    #[error("contains `%{name}%`, which only cmd.exe and the registry replace; write its value")]
    Variable { name: String },
    #[error("contains a variable with `$`, which only PowerShell replaces; write its value")]
    PowerShellVariable,
    #[error("starts with `~`, which nothing on Windows replaces; write the whole path")]
    Home,
    #[error("is a URL with `{scheme}:`; write the path alone, such as `C:\\etc\\ca.pem`")]
    Url { scheme: String },
    #[error("names a device, a pipe or a volume, not a file below a drive or a share")]
    Device,
    #[error("is relative; write it from its drive, such as `C:\\etc\\ca.pem`")]
    Relative,
    #[error(
        "has no `\\` after `{drive}:`, so it starts in that drive's current directory; write `{drive}:\\` before the rest"
    )]
    DriveRelative { drive: char },
    #[error("has no drive, so it depends on the program that reads it; write `{on_c}` if it is on drive C")]
    NoDrive { on_c: String },
    #[error("names no share; write it as `\\\\server\\share\\file`")]
    NoShare,
    #[error("has `{part}` after `\\\\?\\`, where every sign is part of a name; leave out `\\\\?\\`")]
    VerbatimPart { part: &'static str },
    #[error("contains `{name}`, which is the name of a device in every directory")]
    Reserved { name: String },
    #[error("contains `{name}`, of which Windows drops the last dot or blank")]
    TrailingDotOrBlank { name: String },
    #[error("contains `{name}`, in which `:` starts the name of a stream inside the file")]
    Stream { name: String },
    #[error("contains `{sign}`, which no file name may have")]
    Sign { sign: char },
}

impl WindowsPath {
    /// Parses a path from a configuration file or a command line.
    ///
    /// # Errors
    /// [`WindowsPathError`] for everything that is not one certain file on every program's reading of it.
    pub fn parse(text: &str) -> Result<Self, WindowsPathError> {
        refuse_what_is_no_path(text)?;
        if let Some(rest) = text.strip_prefix(r"\\?\") {
            return Self::parse_verbatim(rest);
        }
        let mut characters = text.chars();
        match (characters.next(), characters.next(), characters.next()) {
            (Some('/' | '\\'), Some('/' | '\\'), Some('.' | '?')) | (Some('\\'), Some('?'), Some('?')) => {
                Err(WindowsPathError::Device)
            }
            (Some('/' | '\\'), Some('/' | '\\'), _) => {
                let mut names = names(&text[2..]);
                let root = Root::share(names.next(), names.next())?;
                Ok(Self { root, components: resolve(names)?, verbatim: false })
            }
            (Some('/' | '\\'), _, _) => {
                let path = Self { root: Root::Drive('C'), components: resolve(names(text))?, verbatim: false };
                Err(WindowsPathError::NoDrive { on_c: path.to_string() })
            }
            (Some(letter), Some(':'), next) if letter.is_ascii_alphabetic() => {
                let drive = letter.to_ascii_uppercase();
                match next {
                    Some('/' | '\\') => {
                        Ok(Self { root: Root::Drive(drive), components: resolve(names(&text[2..]))?, verbatim: false })
                    }
                    _ => Err(WindowsPathError::DriveRelative { drive }),
                }
            }
            _ => {
                // `NUL` and `C:\NUL` are the same device, so the more helpful of two true answers.
                resolve(names(text))?;
                Err(WindowsPathError::Relative)
            }
        }
    }

    /// Returns where the path starts.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Returns the names below the root, without `.` and `..`.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.components.iter().map(String::as_str)
    }

    /// Returns the first name that looks like a generated short name (`PROGRA~1`).
    ///
    /// Such a name may be switched off on a volume, or stand for another directory on the next machine; compare the files'
    /// identity, not the text.
    pub fn short_name(&self) -> Option<&str> {
        self.components().find(|name| is_short_name(name))
    }

    /// Returns whether programs that are not prepared for long paths, PowerShell 5.1 among them, fail to open it.
    pub fn is_long(&self) -> bool {
        self.plain_len() > MAX_PLAIN
    }

    /// Parses what follows `\\?\`. Rust's `canonicalize` writes this form, and few other programs read it, so it is kept only
    /// where nothing else reaches the file.
    fn parse_verbatim(rest: &str) -> Result<Self, WindowsPathError> {
        let mut names = rest.split('\\');
        let first = names.next().unwrap_or_default();
        let root = match (first.chars().next(), first.len()) {
            (Some(letter), 2) if first.ends_with(':') && letter.is_ascii_alphabetic() && rest.len() > 2 => {
                Root::Drive(letter.to_ascii_uppercase())
            }
            _ if first.eq_ignore_ascii_case("UNC") => Root::share(names.next(), names.next())?,
            _ => return Err(WindowsPathError::Device),
        };
        let mut names: Vec<&str> = names.collect();
        if names.last().is_some_and(|name| name.is_empty()) {
            names.pop();
        }
        for name in &names {
            let part = match *name {
                "" => r"\\",
                "." => ".",
                ".." => "..",
                name if name.contains('/') => "/",
                _ => continue,
            };
            return Err(WindowsPathError::VerbatimPart { part });
        }
        let mut path = Self { root, components: resolve(names.into_iter())?, verbatim: false };
        path.verbatim = path.is_long();
        Ok(path)
    }

    /// Returns the length without `\\?\`, in the unit of Windows' limits.
    fn plain_len(&self) -> usize {
        let root = match &self.root {
            Root::Drive(_) => r"C:\".len(),
            Root::Share { server, share } => r"\\\".len() + utf16_len(server) + utf16_len(share),
        };
        let separators = match &self.root {
            Root::Drive(_) => self.components.len().saturating_sub(1),
            Root::Share { .. } => self.components.len(),
        };
        root + separators + self.components().map(utf16_len).sum::<usize>()
    }

    /// Returns everything that counts when two paths are compared.
    fn folded(&self) -> impl Iterator<Item = char> {
        let (server, share) = match &self.root {
            Root::Drive(letter) => (String::from(*letter), ""),
            Root::Share { server, share } => (format!(r"\\{server}"), share.as_str()),
        };
        let names = [server, share.to_owned()].into_iter().chain(self.components.iter().cloned());
        names.flat_map(|name| name.chars().map(fold).chain(['\\']).collect::<Vec<_>>())
    }
}

impl Root {
    fn share(server: Option<&str>, share: Option<&str>) -> Result<Self, WindowsPathError> {
        let (Some(server), Some(share)) = (server, share) else { return Err(WindowsPathError::NoShare) };
        if server.starts_with('.') {
            return Err(WindowsPathError::Device);
        }
        for name in [server, share] {
            if name.is_empty() || name == "." || name == ".." {
                return Err(WindowsPathError::NoShare);
            }
            if name.contains('/') {
                return Err(WindowsPathError::VerbatimPart { part: "/" });
            }
            check_signs(name)?;
            if name.ends_with(['.', ' ']) {
                return Err(WindowsPathError::TrailingDotOrBlank { name: name.to_owned() });
            }
        }
        Ok(Self::Share { server: server.to_owned(), share: share.to_owned() })
    }
}

impl fmt::Display for WindowsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.verbatim { r"\\?\" } else { "" };
        match &self.root {
            Root::Drive(letter) => write!(f, r"{prefix}{letter}:\{}", self.components.join(r"\")),
            Root::Share { server, share } => {
                let prefix = if self.verbatim { r"\\?\UNC\" } else { r"\\" };
                write!(f, r"{prefix}{server}\{share}")?;
                self.components().try_for_each(|name| write!(f, r"\{name}"))
            }
        }
    }
}

impl FromStr for WindowsPath {
    type Err = WindowsPathError;

    /// As [`WindowsPath::parse`].
    fn from_str(text: &str) -> Result<Self, WindowsPathError> {
        Self::parse(text)
    }
}

impl PartialEq for WindowsPath {
    fn eq(&self, other: &Self) -> bool {
        self.folded().eq(other.folded())
    }
}

impl Eq for WindowsPath {}

impl Hash for WindowsPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.folded().for_each(|character| character.hash(state));
    }
}

/// Returns what a text is when it is a path, given where an image or a registry is expected; else nothing.
///
/// The answer completes the sentence "image ...". No valid image is refused: `c:5000/x` is an image of the host `c`, and
/// `oci:latest` is one of Docker Hub.
pub fn looks_like_path(text: &str) -> Option<&'static str> {
    const DRIVE: &str = "is a Windows path with a drive letter";
    const SEPARATORS: [char; 2] = ['/', '\\'];
    /// Transports of skopeo, podman and ctr whose argument is a file or a directory.
    const TRANSPORTS: [&str; 6] = ["docker-archive", "oci", "oci-archive", "dir", "sif", "tarball"];

    if text.starts_with(r"\\?\") || text.starts_with(r"\\.\") {
        return Some(r"is a Windows path with a `\\?\` or `\\.\` before it");
    }
    if text.starts_with(r"\\") {
        return Some("is a Windows network path");
    }
    if text.starts_with("//") {
        return Some("starts with `//`, as Windows network paths and URLs without scheme do");
    }
    if is_on_drive(text) {
        return Some(DRIVE);
    }
    let (head, rest) = text.split_once(':').unwrap_or((text, ""));
    if head.eq_ignore_ascii_case("file") && rest.starts_with(SEPARATORS) {
        return Some("is the URL of a file");
    }
    let rest_is_path = rest.starts_with(SEPARATORS) || rest.starts_with('.') || is_on_drive(rest);
    if TRANSPORTS.contains(&head) && rest_is_path {
        return Some("names a file by a transport such as `docker-archive:` or `oci:`");
    }
    if head.len() == 1
        && head.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() > 1
        && text[1..].starts_with(':')
    {
        let port = rest.split(SEPARATORS).next().unwrap_or_default();
        let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        // Repositories are lower case, so `C:latest` cannot be an image with a tag; `c:latest` is one.
        let is_tagged =
            head.starts_with(|c: char| c.is_ascii_lowercase()) && !rest.is_empty() && !rest.contains(SEPARATORS);
        if !is_port && !is_tagged {
            return Some(DRIVE);
        }
    }
    if text.contains('\\') {
        return Some(r"contains `\`; the parts of a name are separated by `/`");
    }
    if ["/", "./", "../", "~/"].iter().any(|prefix| text.starts_with(prefix)) {
        return Some("is the path of a file");
    }
    None
}

/// Refuses, in the order in which the answers help most, what can be seen without taking the text apart.
fn refuse_what_is_no_path(text: &str) -> Result<(), WindowsPathError> {
    if text.is_empty() {
        return Err(WindowsPathError::Empty);
    }
    if let Some(position) = text.chars().position(char::is_control) {
        return Err(WindowsPathError::Control { position: position + 1 });
    }
    if text.trim() != text {
        return Err(WindowsPathError::Blank);
    }
    if let Some(name) = variable(text) {
        return Err(WindowsPathError::Variable { name: name.to_owned() });
    }
    let lower = text.to_ascii_lowercase();
    if text.starts_with('$') || lower.contains("$env:") || lower.contains("${env:") {
        return Err(WindowsPathError::PowerShellVariable);
    }
    if text.starts_with('~') {
        return Err(WindowsPathError::Home);
    }
    if let Some((scheme, rest)) = lower.split_once(':') {
        let is_scheme = scheme.len() > 1
            && scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        match scheme {
            "npipe" if is_scheme && rest.starts_with("//") => return Err(WindowsPathError::Device),
            _ if is_scheme && (rest.starts_with("//") || scheme == "file") => {
                return Err(WindowsPathError::Url { scheme: scheme.to_owned() });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Returns the name in the first `%NAME%`. A single `%`, as in `C:\100%\x`, is part of a name.
fn variable(text: &str) -> Option<&str> {
    let parts: Vec<&str> = text.split('%').collect();
    let between = parts.get(1..parts.len().saturating_sub(1))?;
    between.iter().copied().find(|name| {
        // `ProgramFiles(x86)` is a variable too.
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'(' | b')'))
    })
}

/// Splits as Windows does: both slashes separate, and several count as one.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.split(['/', '\\']).filter(|name| !name.is_empty())
}

/// Checks the names of a path and takes out `.` and `..`. Windows does that by text too, before any link is followed, and stops
/// at the root.
fn resolve<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<String>, WindowsPathError> {
    let mut components: Vec<String> = Vec::new();
    for name in names {
        match name {
            "." => {}
            ".." => {
                components.pop();
            }
            _ => {
                check_name(name)?;
                components.push(name.to_owned());
            }
        }
    }
    Ok(components)
}

fn check_name(name: &str) -> Result<(), WindowsPathError> {
    check_signs(name)?;
    if name.ends_with(['.', ' ']) {
        return Err(WindowsPathError::TrailingDotOrBlank { name: name.to_owned() });
    }
    if is_reserved(name) {
        return Err(WindowsPathError::Reserved { name: name.to_owned() });
    }
    Ok(())
}

fn check_signs(name: &str) -> Result<(), WindowsPathError> {
    if name.contains(':') {
        return Err(WindowsPathError::Stream { name: name.to_owned() });
    }
    match name.chars().find(|c| matches!(c, '<' | '>' | '"' | '|' | '?' | '*')) {
        Some(sign) => Err(WindowsPathError::Sign { sign }),
        None => Ok(()),
    }
}

fn is_reserved(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = |device: &str| {
        let mut number = stem.strip_prefix(device).unwrap_or_default().chars();
        // Windows reserves the superscript digits of Latin-1 too.
        matches!((number.next(), number.next()), (Some('1'..='9' | '¹' | '²' | '³'), None))
    };
    RESERVED.contains(&stem.as_str()) || numbered("com") || numbered("lpt")
}

/// `PROGRA~1`, `ABCDEF~12.TXT`: at most eight signs, of which the last are `~` and a number, and at most three behind a dot.
fn is_short_name(name: &str) -> bool {
    let (base, extension) = name.split_once('.').unwrap_or((name, ""));
    let Some((stem, number)) = base.rsplit_once('~') else { return false };
    !stem.is_empty()
        && !number.is_empty()
        && number.bytes().all(|b| b.is_ascii_digit())
        && base.chars().count() <= 8
        && extension.chars().count() <= 3
        && !extension.contains('.')
}

/// A letter, `:` and a slash.
fn is_on_drive(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
        && bytes.next() == Some(b':')
        && matches!(bytes.next(), Some(b'/' | b'\\'))
}

/// Windows compares file names letter by letter in upper case. Its table maps one letter to one, and none outside ASCII into it,
/// so `ß` is not `SS` and the long `ſ` is no `S`.
fn fold(character: char) -> char {
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(upper), None) if character.is_ascii() || !upper.is_ascii() => upper,
        _ => character,
    }
}

fn utf16_len(text: &str) -> usize {
    text.encode_utf16().count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::WindowsPathError as E;
    use super::*;

    fn parsed(text: &str) -> String {
        match WindowsPath::parse(text) {
            Ok(path) => path.to_string(),
            Err(error) => panic!("{text}: {error}"),
        }
    }

    fn refused(text: &str) -> WindowsPathError {
        match WindowsPath::parse(text) {
            Ok(path) => panic!("{text} was taken for {path}"),
            Err(error) => error,
        }
    }

    #[test]
    fn every_form_of_an_absolute_path_is_written_one_way() {
        const CASES: &[(&str, &str)] = &[
            (r"C:\etc\x.pem", r"C:\etc\x.pem"),
            ("C:/etc/x.pem", r"C:\etc\x.pem"),
            (r"c:\etc/x\Y", r"C:\etc\x\Y"),
            (r"C:\\etc\\\x.pem\", r"C:\etc\x.pem"),
            (r"C:\a\.\b\..\c", r"C:\a\c"),
            (r"C:\..\..\a", r"C:\a"),
            (r"C:\", r"C:\"),
            ("c:/", r"C:\"),
            (r"C:\100%\50%", r"C:\100%\50%"),
            (r"C:\$Recycle.Bin\x", r"C:\$Recycle.Bin\x"),
            (r"C:\Program Files\containerd\config.toml", r"C:\Program Files\containerd\config.toml"),
            (r"C:\PROGRA~1\nssm", r"C:\PROGRA~1\nssm"),
            (r"\\srv\share$\ca.pem", r"\\srv\share$\ca.pem"),
            ("//srv/share$/ca.pem", r"\\srv\share$\ca.pem"),
            (r"\\srv\share", r"\\srv\share"),
            (r"\\srv\share\..\..\x", r"\\srv\share\x"),
            (r"\\?\C:\etc\x.pem", r"C:\etc\x.pem"),
            (r"\\?\c:\etc\", r"C:\etc"),
            (r"\\?\C:\", r"C:\"),
            (r"\\?\UNC\srv\share\x", r"\\srv\share\x"),
            (r"\\?\unc\srv\share\", r"\\srv\share"),
        ];
        for (text, expected) in CASES {
            assert_eq!(parsed(text), *expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_one_certain_file_is_refused_for_its_own_reason() {
        let name = |name: &str| name.to_owned();
        let cases = [
            ("", E::Empty),
            (r" C:\x", E::Blank),
            (r"C:\x ", E::Blank),
            // What a YAML or TOML parser makes of "C:\etc\rancher", and of "C:\tmp".
            ("C:\u{1b}tc\rancher", E::Control { position: 3 }),
            ("C:\tmp", E::Control { position: 3 }),
            ("C:\\x\0", E::Control { position: 5 }),
            (r"%ProgramData%\x", E::Variable { name: name("ProgramData") }),
            (r"C:\50%\%ProgramFiles(x86)%\x", E::Variable { name: name("ProgramFiles(x86)") }),
            (r"$env:ProgramData\x", E::PowerShellVariable),
            (r"$Env:ProgramData\x", E::PowerShellVariable),
            (r"C:\${env:USERNAME}\x", E::PowerShellVariable),
            (r"$HOME\x", E::PowerShellVariable),
            (r"~\x", E::Home),
            ("~/.docker/config.json", E::Home),
            ("file:///C:/x", E::Url { scheme: name("file") }),
            (r"File:C:\x", E::Url { scheme: name("file") }),
            ("https://srv/x", E::Url { scheme: name("https") }),
            (r"\\.\pipe\x", E::Device),
            ("//./pipe/x", E::Device),
            ("npipe:////./pipe/containerd-containerd", E::Device),
            (r"\\?\pipe\x", E::Device),
            (r"\\?\Volume{0f6f}\x", E::Device),
            (r"\\?\C:", E::Device),
            (r"\\?\x", E::Device),
            ("//?/C:/x", E::Device),
            (r"\??\C:\x", E::Device),
            ("foo", E::Relative),
            (r"x\y.pem", E::Relative),
            (r"..\x", E::Relative),
            ("C:foo", E::DriveRelative { drive: 'C' }),
            ("c:", E::DriveRelative { drive: 'C' }),
            ("/var/lib/kubelet", E::NoDrive { on_c: name(r"C:\var\lib\kubelet") }),
            (r"\etc\x", E::NoDrive { on_c: name(r"C:\etc\x") }),
            (r"\\srv", E::NoShare),
            (r"\\", E::NoShare),
            (r"\\?\UNC\srv", E::NoShare),
            (r"\\srv\..\x", E::NoShare),
            (r"\\?\C:\a\..\b", E::VerbatimPart { part: ".." }),
            (r"\\?\C:\a\.", E::VerbatimPart { part: "." }),
            (r"\\?\C:\a/b", E::VerbatimPart { part: "/" }),
            (r"\\?\C:\a\\b", E::VerbatimPart { part: r"\\" }),
            (r"C:\certs.d\aux\hosts.toml", E::Reserved { name: name("aux") }),
            (r"C:\x\CON", E::Reserved { name: name("CON") }),
            (r"C:\x\nul.txt", E::Reserved { name: name("nul.txt") }),
            (r"C:\x\PRN .txt", E::Reserved { name: name("PRN .txt") }),
            (r"C:\x\com1", E::Reserved { name: name("com1") }),
            (r"C:\x\Lpt9.log", E::Reserved { name: name("Lpt9.log") }),
            (r"C:\x\COM²", E::Reserved { name: name("COM²") }),
            (r"\\?\C:\x\con", E::Reserved { name: name("con") }),
            ("NUL", E::Reserved { name: name("NUL") }),
            (r"C:\x.\y", E::TrailingDotOrBlank { name: name("x.") }),
            (r"C:\x \y", E::TrailingDotOrBlank { name: name("x ") }),
            (r"C:\...\y", E::TrailingDotOrBlank { name: name("...") }),
            (r"\\?\C:\x.", E::TrailingDotOrBlank { name: name("x.") }),
            (r"C:\certs.d\host:5000\ca.pem", E::Stream { name: name("host:5000") }),
            (r"C:\x:$DATA", E::Stream { name: name("x:$DATA") }),
            ("docker-archive:C:/x.tar", E::Stream { name: name("docker-archive:C:") }),
            (r"C:\conf.d\*.toml", E::Sign { sign: '*' }),
            (r"\\srv\a?b\x", E::Sign { sign: '?' }),
        ];
        for (text, expected) in cases {
            assert_eq!(refused(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names_that_only_start_like_a_device_are_names() {
        for name in ["console", "com", "com0", "com10", "lpt", "auxiliary", "nul1", "aux-1", "c"] {
            assert_eq!(parsed(&format!(r"C:\x\{name}")), format!(r"C:\x\{name}"));
        }
    }

    #[test]
    fn messages_complete_a_sentence() {
        const CASES: &[(&str, &str)] = &[
            (
                "C:\u{1b}tc",
                r"has a control character at position 3; in double quotes `\` starts an escape, so write the path in single quotes, or each `\` twice",
            ),
            (
                "/var/lib/kubelet",
                r"has no drive, so it depends on the program that reads it; write `C:\var\lib\kubelet` if it is on drive C",
            ),
            (r"\\?\C:\a\..\b", r"has `..` after `\\?\`, where every sign is part of a name; leave out `\\?\`"),
            (
                r"%ProgramData%\x",
                "contains `%ProgramData%`, which only cmd.exe and the registry replace; write its value",
            ),
            (r"C:\h:5000\x", "contains `h:5000`, in which `:` starts the name of a stream inside the file"),
            (
                "D:x",
                r"has no `\` after `D:`, so it starts in that drive's current directory; write `D:\` before the rest",
            ),
        ];
        for (text, message) in CASES {
            assert_eq!(refused(text).to_string(), *message);
        }
    }

    #[test]
    fn paths_compare_as_windows_compares_them() {
        let same = [
            (r"C:\K", "c:/k"),
            (r"C:\etc\Ä.pem", r"c:\ETC\ä.PEM"),
            (r"\\?\C:\k", r"C:\k\"),
            (r"\\SRV\Share\x", "//srv/share/X"),
            (r"\\?\UNC\srv\share\x", r"\\srv\share\x"),
            (r"C:\a\..\k", r"C:\k"),
        ];
        let different = [
            (r"C:\k", r"D:\k"),
            (r"C:\ab", r"C:\a\b"),
            (r"C:\straße", r"C:\strasse"),
            (r"C:\ſ", r"C:\s"),
            (r"\\srv\c\x", r"\\srv\c$\x"),
            (r"\\c\d\x", r"C:\d\x"),
        ];
        for (a, b) in same {
            assert_eq!(WindowsPath::parse(a), WindowsPath::parse(b));
        }
        for (a, b) in different {
            assert_ne!(WindowsPath::parse(a), WindowsPath::parse(b));
        }
    }

    #[test]
    fn only_a_path_that_needs_it_keeps_the_verbatim_prefix() {
        let long = format!(r"\\?\C:\{}\x", "n".repeat(255));
        let path = WindowsPath::parse(&long).unwrap();
        assert!(path.is_long());
        assert_eq!(path.to_string(), long);
        let fits = format!(r"\\?\C:\{}", "n".repeat(MAX_PLAIN - 3));
        let path = WindowsPath::parse(&fits).unwrap();
        assert!(!path.is_long());
        assert_eq!(path.to_string(), fits[4..]);
        let share = format!(r"\\?\UNC\srv\share\{}", "n".repeat(250));
        assert_eq!(parsed(&share), share);
    }

    #[test]
    fn short_names_are_flagged() {
        for (text, expected) in [
            (r"C:\PROGRA~1\nssm", Some("PROGRA~1")),
            (r"C:\x\ABCDE~12.TXT", Some("ABCDE~12.TXT")),
            (r"C:\x\backup~", None),
            (r"C:\x\~1", None),
            (r"C:\x\long-name~1", None),
            (r"C:\x\a~1.json", None),
        ] {
            assert_eq!(WindowsPath::parse(text).unwrap().short_name(), expected, "{text}");
        }
    }

    #[test]
    fn paths_given_for_images_are_recognised() {
        const DRIVE: Option<&str> = Some("is a Windows path with a drive letter");
        const VERBATIM: Option<&str> = Some(r"is a Windows path with a `\\?\` or `\\.\` before it");
        const NETWORK: Option<&str> = Some("is a Windows network path");
        const SLASHES: Option<&str> = Some("starts with `//`, as Windows network paths and URLs without scheme do");
        const TRANSPORT: Option<&str> = Some("names a file by a transport such as `docker-archive:` or `oci:`");
        const BACKSLASH: Option<&str> = Some(r"contains `\`; the parts of a name are separated by `/`");
        const FILE: Option<&str> = Some("is the path of a file");
        const URL: Option<&str> = Some("is the URL of a file");
        const CASES: &[(&str, Option<&str>)] = &[
            (r"C:\images\x.tar", DRIVE),
            ("C:/images/x", DRIVE),
            ("c:/images/x", DRIVE),
            ("C:", DRIVE),
            ("C:foo", DRIVE),
            ("c:foo/bar", DRIVE),
            ("C:\u{1b}tc", DRIVE),
            ("c:5000/x", None),
            ("C:5000/x", None),
            ("c:5000", None),
            ("c:latest", None),
            ("localhost:5000/x", None),
            (r"\\registry\share", NETWORK),
            (r"\\?\C:\x", VERBATIM),
            (r"\\.\pipe\x", VERBATIM),
            ("//registry/share", SLASHES),
            (r"docker-archive:C:\x.tar", TRANSPORT),
            (r"oci:C:\dir:tag", TRANSPORT),
            ("oci:/dir:tag", TRANSPORT),
            ("dir:./x", TRANSPORT),
            ("oci:latest", None),
            ("dir:1.0", None),
            ("file:///C:/x", URL),
            ("File:/x", URL),
            ("file:latest", None),
            (r"registry\team/app", BACKSLASH),
            (r"%ProgramData%\x", BACKSLASH),
            ("/var/lib/x", FILE),
            ("./x", FILE),
            ("../x", FILE),
            ("~/x", FILE),
            ("", None),
            ("nginx", None),
            ("docker.io/library/nginx:1.27", None),
            ("https://index.docker.io/v1/", None),
            ("[::1]:5000/x", None),
            ("é:x", None),
        ];
        for (text, expected) in CASES {
            assert_eq!(looks_like_path(text), *expected, "{text:?}");
        }
    }

    /// Text that reaches deep into the parser: pieces of paths in any order.
    fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                r"\", "/", r"\\", r"\\?\", r"UNC\", "C:", "c:", ".", "..", " ", "%", "$env:", "~", "aux", "a~1", ":",
                "?", "\u{1b}", "srv", "share$", "x.pem", "é", "ſ",
            ])
            .prop_map(str::to_owned),
            "[a-z]{1,4}",
            any::<char>().prop_map(String::from),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in any::<String>(), pieces in pieces()) {
            for text in [text, pieces] {
                let _ = looks_like_path(&text);
                let _ = WindowsPath::parse(&text).map_err(|error| error.to_string());
            }
        }

        #[test]
        fn what_is_displayed_parses_to_the_same_path(text in pieces()) {
            if let Ok(path) = WindowsPath::parse(&text) {
                let shown = path.to_string();
                let again = WindowsPath::parse(&shown).unwrap();
                prop_assert_eq!(&again, &path);
                prop_assert_eq!(again.to_string(), shown);
            }
        }

        #[test]
        fn letter_case_and_slashes_never_matter(names in prop::collection::vec("[a-z][a-z0-9_-]{0,5}y", 0..5)) {
            let path = WindowsPath::parse(&format!(r"C:\{}", names.join(r"\"))).unwrap();
            let other = WindowsPath::parse(&format!("c:/{}", names.join("/").to_ascii_uppercase())).unwrap();
            prop_assert_eq!(path, other);
        }
    }
}
