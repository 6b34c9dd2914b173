//! Takes what an importer finds, and works out what it means together.
//!
//! The rules for mirrors are those of containerd: hosts are tried in order, the registry itself last, and the one credential of
//! a pull is offered to each that asks (`internal/cri/server/images/image_pull.go`, `ParseAuth`).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::scrub::{Login, Outer, Place, Source as Text};
use super::tree::{Node, Parsed};
use super::{Finding, Found, Import, Origin, Outcome, Severity};
use crate::credential::check_basic_auth;
use crate::mirror::{self, MirrorRule, Policy, Source};
use crate::scope::Scope;
use crate::secret::Secret;
use crate::text;
use crate::windows_path::WindowsPath;

/// Longest part of a key that is shown.
const MAX_SHOWN: usize = 200;

/// Why most secrets stay in a source.
pub(super) const NOT_IMPORTED: &str = "it was not imported";

/// A place in the source.
#[derive(Clone)]
pub(super) struct At {
    file: usize,
    line: Option<usize>,
    key: String,
    /// The text inside the file in which this lies, so that lines in it mean nothing.
    outer: Option<Outer>,
    place: Place,
}

/// A host that is tried for a registry.
pub(super) struct Host(Scope);

struct Mirror {
    source: Source,
    hosts: Vec<Scope>,
    /// Whether the registry itself is the first of its hosts.
    own_first: bool,
    at: At,
}

/// Everything found so far.
pub(super) struct Gather {
    files: Vec<String>,
    credentials: Vec<(Found, At)>,
    by_scope: BTreeMap<Scope, usize>,
    mirrors: Vec<Mirror>,
    by_source: BTreeMap<Source, usize>,
    mirror_hosts: BTreeSet<String>,
    findings: Vec<(usize, Finding)>,
    texts: Vec<Text>,
    logins: Vec<Login>,
    /// Files with paths of Windows, and paths that mean a file on any drive there.
    on_windows: BTreeSet<usize>,
    rooted: Vec<(At, String)>,
}

impl At {
    /// Returns the place of a key of the map at this place.
    pub(super) fn child(&self, name: &str, node: &Node) -> Self {
        let name = shown(name);
        let key = if self.key.is_empty() { name } else { format!("{}.{name}", self.key) };
        self.at(key, node)
    }

    /// Returns the place of an item of the list at this place.
    pub(super) fn item(&self, index: usize, node: &Node) -> Self {
        self.at(format!("{}[{index}]", self.key), node)
    }

    /// Returns a place in the same file that goes by another name.
    pub(super) fn named(&self, name: &str) -> Self {
        Self { key: shown(name), ..self.clone() }
    }

    /// Returns the place of a document that lies as text, plain or in base64, at this place.
    pub(super) fn embedded(&self, name: &str, is_plain: bool) -> Self {
        let outer = match self.place {
            Place::Entry(key) | Place::Document(key) => Some(Outer { key, is_plain }),
        };
        Self { key: name.to_owned(), outer, ..self.clone() }
    }

    /// Returns the same place for what is a document as a whole.
    pub(super) fn document(&self, root: &Node) -> Self {
        Self { place: Place::Document(root.span.key), ..self.clone() }
    }

    fn at(&self, key: String, node: &Node) -> Self {
        let line = if self.outer.is_some() { self.line } else { Some(node.line) };
        Self { file: self.file, line, key, outer: self.outer, place: Place::Entry(node.span.key) }
    }
}

impl Gather {
    pub(super) fn new() -> Self {
        Self {
            files: Vec::new(),
            credentials: Vec::new(),
            by_scope: BTreeMap::new(),
            mirrors: Vec::new(),
            by_source: BTreeMap::new(),
            mirror_hosts: BTreeSet::new(),
            findings: Vec::new(),
            texts: Vec::new(),
            logins: Vec::new(),
            on_windows: BTreeSet::new(),
            rooted: Vec::new(),
        }
    }

    /// Starts a file, or a directory, which has no text.
    pub(super) fn file(&mut self, path: &Path, text: &str) -> At {
        self.files.push(path.display().to_string());
        self.texts.push(Text { path: path.to_owned(), digest: Sha256::digest(text).into() });
        At { file: self.files.len() - 1, line: None, key: String::new(), outer: None, place: Place::Entry(0) }
    }

    /// Notes that a secret at a place is not in the result, or only with what stands beside it.
    pub(super) fn stays(&mut self, at: &At, reason: &str) {
        self.note(at, Some(reason.to_owned()));
    }

    fn note(&mut self, at: &At, stays: Option<String>) {
        let origin = Origin { file: self.files[at.file].clone(), key: at.key.clone(), line: at.line };
        self.logins.push(Login { file: at.file, outer: at.outer, place: at.place, origin, stays });
    }

    pub(super) fn info(&mut self, at: &At, outcome: Outcome, code: &'static str, message: impl Into<String>) {
        self.add(Severity::Info, at, outcome, code, message);
    }

    pub(super) fn warning(&mut self, at: &At, outcome: Outcome, code: &'static str, message: impl Into<String>) {
        self.add(Severity::Warning, at, outcome, code, message);
    }

    pub(super) fn error(&mut self, at: &At, outcome: Outcome, code: &'static str, message: impl Into<String>) {
        self.add(Severity::Error, at, outcome, code, message);
    }

    fn add(&mut self, severity: Severity, at: &At, outcome: Outcome, code: &'static str, message: impl Into<String>) {
        let (key, line, file) = (at.key.clone(), at.line, self.files[at.file].clone());
        let finding = Finding { severity, outcome, code, message: message.into(), file, key, line };
        self.findings.push((at.file, finding));
    }

    /// Says that there is nothing in a file.
    pub(super) fn empty(&mut self, at: &At) {
        self.warning(at, Outcome::Ignored, "empty", "there is nothing in this file");
    }

    /// Reports keys that stand twice.
    pub(super) fn duplicates(&mut self, at: &At, parsed: &Parsed) {
        for (name, line) in &parsed.duplicates {
            let at = At { key: shown(name), line: Some(*line), ..at.clone() };
            self.warning(
                &at,
                Outcome::Ignored,
                "duplicate-key",
                "stands twice in one map; the last one counts, where the file is not refused, so remove this one",
            );
        }
    }

    /// Reports a key that the format does not know. `known` are those that it knows here.
    pub(super) fn unknown_key(&mut self, at: &At, name: &str, known: &[&str]) {
        let mut message = "is no key of this format here, and without effect".to_owned();
        if let Some(meant) = known.iter().find(|known| folded(known) == folded(name)) {
            message = format!("{message}; did you mean `{meant}`?");
        }
        self.warning(at, Outcome::Ignored, "unknown-key", message);
    }

    /// Reports a value of the wrong kind.
    pub(super) fn wrong_type(&mut self, at: &At, expected: &str) {
        self.error(at, Outcome::Ignored, "wrong-type", format!("is not {expected}, and without effect"));
    }

    /// Returns whether a value is a map, and reports it when it is not.
    pub(super) fn is_map(&mut self, at: &At, node: &Node, expected: &str) -> bool {
        let is_map = node.is_map_or_null();
        if !is_map {
            self.wrong_type(at, expected);
        }
        is_map
    }

    /// Reports settings that a credential store does not have.
    pub(super) fn setting(&mut self, at: &At) {
        let message = "stays in the configuration it is in; a credential store cannot hold it";
        self.info(at, Outcome::NotRepresentable, "setting", message);
    }

    /// Reports a setting that names a file.
    pub(super) fn file_setting(&mut self, at: &At, path: &str) {
        let path = text::sanitize(path, MAX_SHOWN);
        let message = format!("`{path}` is for the container runtime, and stays in the configuration it is in");
        self.info(at, Outcome::NotRepresentable, "setting", message);
    }

    /// Notes that a file is one of a Windows machine.
    pub(super) fn windows_path(&mut self, at: &At) {
        self.on_windows.insert(at.file);
    }

    /// Notes a path from `/`, which has no drive if the file is one of a Windows machine.
    pub(super) fn rooted_path(&mut self, at: &At, path: &str) {
        self.rooted.push((at.clone(), path.to_owned()));
    }

    /// Returns the scope of a host that stands as a key, or reports why there is none.
    pub(super) fn host(&mut self, at: &At, text: &str) -> Option<Scope> {
        if text == "*" {
            self.error(
                at,
                Outcome::NotRepresentable,
                "wildcard-credential",
                "a credential for every registry would be shown to any of them; store it for each that takes it",
            );
            return None;
        }
        if is_misplaced(text) {
            self.error(
                at,
                Outcome::Ignored,
                "misnested",
                format!(
                    "`{text}` stands where a registry belongs (rancher/rke2#7103), so what is below \
                    has no effect; write the registry first, then `{text}` below it"
                ),
            );
            return None;
        }
        let scope = self.scope(at, text)?;
        match mirror::host(scope.as_str()) {
            Ok(scope) => Some(scope),
            Err(error) => {
                self.error(
                    at,
                    Outcome::Ignored,
                    "bad-host",
                    format!("has no effect, because the key has to be a host alone: {error}"),
                );
                None
            }
        }
    }

    /// Returns the scope that a key names, or reports why there is none.
    pub(super) fn scope(&mut self, at: &At, text: &str) -> Option<Scope> {
        match url_parts(text).0.parse::<Scope>() {
            Ok(scope) => Some(scope),
            Err(error) => {
                self.error(at, Outcome::Ignored, "bad-host", format!("is for no image: {error}"));
                None
            }
        }
    }

    /// Returns the host of a mirror's URL, or reports why there is none.
    pub(super) fn endpoint(&mut self, at: &At, url: &str) -> Option<Host> {
        let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        if scheme.is_some_and(|scheme| scheme != "https" && scheme != "http") {
            self.error(at, Outcome::Ignored, "bad-endpoint", "a mirror is reached by `https://` or `http://` only");
            return None;
        }
        let (plain, userinfo, query) = url_parts(url);
        if userinfo {
            self.error(
                at,
                Outcome::Ignored,
                "endpoint-credential",
                "has a user name or password in its URL, where it has no effect; give them as the \
                    credential of that host",
            );
        }
        if query {
            let message = "has a query or fragment in its URL, which may hold a secret and was not taken";
            self.warning(at, Outcome::NotRepresentable, "endpoint-query", message);
        }
        let rest = plain.split_once("://").map_or(&*plain, |(_, rest)| rest);
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !matches!(path.trim_end_matches('/'), "" | "v2") {
            self.info(
                at,
                Outcome::NotRepresentable,
                "endpoint-path",
                "the mirror is reached by a path of its own, which only the container runtime needs; its \
                    credential is that of the host",
            );
        }
        match mirror::host(authority) {
            Ok(host) => Some(Host(host)),
            Err(error) => {
                self.error(at, Outcome::Ignored, "bad-endpoint", format!("is no URL of a mirror: {error}"));
                None
            }
        }
    }

    /// Returns the scope of the host of a URL that [`Gather::endpoint`] has judged already.
    pub(super) fn endpoint_scope(&self, url: &str) -> Option<Scope> {
        let (plain, ..) = url_parts(url);
        let rest = plain.split_once("://").map_or(&*plain, |(_, rest)| rest);
        mirror::host(rest.split('/').next().unwrap_or_default()).ok()
    }

    /// Takes a user name and password, unless they could not work.
    pub(super) fn login(&mut self, at: &At, scope: Scope, username: &str, password: Zeroizing<Vec<u8>>) {
        if let Err(error) = check_basic_auth(username, &password) {
            self.error(at, Outcome::Ignored, "unusable-login", error.to_string());
            self.stays(at, NOT_IMPORTED);
            return;
        }
        let Some(index) = self.by_scope.get(&scope).copied() else {
            self.info(at, Outcome::Imported, "imported", format!("the credential for `{scope}`"));
            self.by_scope.insert(scope.clone(), self.credentials.len());
            let origin = Origin { file: self.files[at.file].clone(), key: at.key.clone(), line: at.line };
            let found = Found { scope, username: username.to_owned(), secret: Secret::new(password), origin };
            self.credentials.push((found, at.clone()));
            self.note(at, None);
            return;
        };
        let (first, first_at) = &self.credentials[index];
        let (same_user, same_password) = (first.username == username, first.secret.expose() == password.as_slice());
        let place = first_at.line.map_or_else(String::new, |line| format!(" in line {line}"));
        let place = format!("`{}`{place}", first_at.key);
        if same_user && same_password {
            self.info(at, Outcome::Merged, "merged", format!("the credential for `{scope}` is that of {place}"));
            self.note(at, None);
        } else {
            let what = if same_user { "password" } else { "user" };
            let message =
                format!("another {what} for `{scope}` than {place}; remove one, or take the first with `--replace`");
            self.error(at, Outcome::Conflict, "conflict", message);
            self.stays(at, "it is another one than what was imported");
        }
    }

    /// Takes the hosts that are tried for a registry, in order; `name` is the registry or `*`.
    pub(super) fn mirror(&mut self, at: &At, name: &str, hosts: Vec<Host>) {
        let source = if name == "*" { Some(Source::Any) } else { self.host(at, name).map(Source::Registry) };
        let Some(source) = source else { return };
        let is_own = |host: &Scope| matches!(&source, Source::Registry(own) if portless(own) == portless(host));
        let own_first = hosts.first().is_some_and(|host| is_own(&host.0));
        let had_hosts = !hosts.is_empty();
        let mut others: Vec<Scope> = Vec::new();
        for Host(host) in hosts {
            if !is_own(&host) && !others.contains(&host) {
                self.mirror_hosts.insert(host.domain().to_owned());
                others.push(host);
            }
        }
        if others.is_empty() {
            let message = if had_hosts {
                format!("`{source}` is reached at its own host, which needs no mirror rule")
            } else {
                format!("no mirror of `{source}` is given, so it is reached at its own host")
            };
            self.info(at, Outcome::Ignored, "no-mirror", message);
        }
        if let Some(index) = self.by_source.get(&source).copied() {
            let mirror = &mut self.mirrors[index];
            let place = mirror.at.key.clone();
            let before = mirror.hosts.len();
            for host in others {
                if !mirror.hosts.contains(&host) {
                    mirror.hosts.push(host);
                }
            }
            let added = mirror.hosts.len() > before;
            let message = format!("more mirrors of `{source}`, after those of `{place}`");
            if added {
                self.warning(at, Outcome::Merged, "merged", message);
            } else {
                self.info(at, Outcome::Merged, "merged", format!("the mirrors of `{source}` are those of `{place}`"));
            }
            return;
        }
        self.by_source.insert(source.clone(), self.mirrors.len());
        self.mirrors.push(Mirror { source, hosts: others, own_first, at: at.clone() });
    }

    /// Works out the mirror rules and returns everything in the order of the source.
    pub(super) fn finish(mut self) -> Import {
        let has_any = self.mirrors.iter().any(|mirror| mirror.source == Source::Any && !mirror.hosts.is_empty());
        let mut rules = Vec::new();
        for mirror in std::mem::take(&mut self.mirrors) {
            rules.extend(self.rule(mirror, has_any));
        }
        for (at, path) in std::mem::take(&mut self.rooted) {
            if let (true, Err(error)) = (self.on_windows.contains(&at.file), WindowsPath::parse(&path)) {
                self.warning(&at, Outcome::Ignored, "bad-path", format!("the path {error}"));
            }
        }
        if self.findings.is_empty() && !self.files.is_empty() {
            let at = At { file: 0, line: None, key: String::new(), outer: None, place: Place::Entry(0) };
            self.info(&at, Outcome::Ignored, "nothing", "there is nothing about registries in it");
        }
        self.findings.sort_by_key(|(file, finding)| (*file, finding.line));
        Import {
            credentials: self.credentials.into_iter().map(|(found, _)| found).collect(),
            mirrors: rules,
            findings: self.findings.into_iter().map(|(_, finding)| finding).collect(),
            texts: self.texts,
            logins: self.logins,
        }
    }

    fn rule(&mut self, mirror: Mirror, has_any: bool) -> Option<MirrorRule> {
        let Mirror { source, hosts, own_first, at } = mirror;
        if hosts.is_empty() {
            // Without a rule of its own, the one for every registry would be taken.
            let Source::Registry(own) = &source else { return None };
            let (hosts, policy, origin) = (vec![own.clone()], Policy::UpstreamOnly, self.origin(&at));
            return has_any.then(|| MirrorRule { source: source.clone(), hosts, policy, origin });
        }
        let hosts: Vec<Scope> = hosts.into_iter().map(|host| self.spelled_as_credential(host)).collect();
        let policy = if own_first { Policy::UpstreamThenMirror } else { Policy::MirrorOnly };
        let list = hosts.iter().map(|host| format!("`{host}`")).collect::<Vec<_>>().join(", ");
        let what = match &source {
            Source::Any => "every registry without mirrors of its own".to_owned(),
            Source::Registry(scope) => format!("`{scope}`"),
        };
        self.info(&at, Outcome::Imported, "imported", format!("mirrors of {what}: {list}; policy `{policy}`"));
        self.judge_mirrors(&at, &hosts);
        if own_first {
            let message = format!(
                "{what} is tried first, so its credential is answered, and its mirrors learn it \
                    when they ask"
            );
            self.warning(&at, Outcome::Imported, "upstream-first", message);
        } else {
            self.judge_upstream(&at, &source, &hosts);
        }
        let origin = self.origin(&at);
        Some(MirrorRule { source, hosts, policy, origin })
    }

    fn origin(&self, at: &At) -> String {
        format!("{} {}", self.files[at.file], at.key)
    }

    /// Says when mirrors have different credentials, of which one is answered.
    fn judge_mirrors(&mut self, at: &At, hosts: &[Scope]) {
        let logins = hosts.iter().filter_map(|host| Some((host, &self.credentials[*self.by_scope.get(host)?].0)));
        let logins: Vec<_> = logins.collect();
        let Some(((first, login), others)) = logins.split_first() else { return };
        let differs = |(_, other): &&(&Scope, &Found)| {
            other.username != login.username || other.secret.expose() != login.secret.expose()
        };
        if let Some((other, _)) = others.iter().find(differs) {
            let message = format!(
                "`{first}` and `{other}` have different credentials, and a pull has one for all: that of \
                    `{first}` is answered"
            );
            self.warning(at, Outcome::NotRepresentable, "one-credential", message);
        }
    }

    /// Says when the registry's own credential is not answered.
    fn judge_upstream(&mut self, at: &At, source: &Source, hosts: &[Scope]) {
        let upstream = match source {
            Source::Registry(scope) => self.has_credential(scope).then(|| format!("that of `{scope}` is")),
            Source::Any => {
                let own = |scope: &&Scope| {
                    let domain = Source::Registry(Scope::from_stored(scope.domain().to_owned()));
                    !self.by_source.contains_key(&domain) && !self.mirror_hosts.contains(scope.domain())
                };
                let withheld: Vec<&Scope> = self.by_scope.keys().filter(own).collect();
                match withheld.as_slice() {
                    [] => None,
                    [scope] => Some(format!("that of `{scope}` is")),
                    [scope, others @ ..] => Some(format!("those of `{scope}` and {} more are", others.len())),
                }
            }
        };
        let Some(upstream) = upstream else { return };
        let answered = hosts.iter().find(|host| self.has_credential(host));
        let answered = match answered {
            Some(host) => format!("the credential of `{host}` is answered"),
            None => "no mirror has a credential, so none is answered".to_owned(),
        };
        let message = format!(
            "{answered}, and {upstream} withheld, because each mirror that asks would learn it; if they \
                all may, give this rule the policy `mirror-then-upstream` with `apply`"
        );
        self.warning(at, Outcome::Imported, "upstream-withheld", message);
    }

    fn has_credential(&self, host: &Scope) -> bool {
        // Scopes sort by text, so those with a path follow their host closely; `-` and `.` may stand between.
        self.by_scope
            .range(host..)
            .take_while(|(scope, _)| scope.as_str().starts_with(host.as_str()))
            .any(|(scope, _)| scope.shares_domain(host))
    }

    /// Returns a mirror's host as its credential spells it: with or without the port that its scheme implies.
    fn spelled_as_credential(&self, host: Scope) -> Scope {
        if self.has_credential(&host) {
            return host;
        }
        let plain = portless(&host);
        let spellings = [plain.to_owned(), format!("{plain}:443"), format!("{plain}:80")];
        let other = spellings.into_iter().filter_map(|text| mirror::host(&text).ok());
        other.filter(|other| portless(other) == plain).find(|other| self.has_credential(other)).unwrap_or(host)
    }
}

/// Returns whether a key that is no registry stands where one belongs.
pub(super) fn is_misplaced(name: &str) -> bool {
    matches!(name, "auth" | "tls" | "mirrors" | "configs" | "config" | "endpoint")
}

/// Returns host and port, without a port that its scheme implies.
pub(super) fn portless(host: &Scope) -> &str {
    let text = host.domain();
    text.strip_suffix(":443").or_else(|| text.strip_suffix(":80")).unwrap_or(text)
}

/// Returns a URL without user, query and fragment, and whether it had a user, or one of the others.
fn url_parts(url: &str) -> (String, bool, bool) {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let plain = &url[..end];
    let start = plain.find("://").map_or(0, |index| index + 3);
    let authority_end = plain[start..].find('/').map_or(plain.len(), |index| start + index);
    match plain[start..authority_end].rfind('@') {
        None => (plain.to_owned(), false, end < url.len()),
        Some(index) => (format!("{}{}", &plain[..start], &plain[start + index + 1..]), true, end < url.len()),
    }
}

/// Returns a key as it may be shown: a URL may hold a password, and anything may hold signs that deceive.
fn shown(name: &str) -> String {
    let (plain, userinfo, query) = url_parts(name);
    let mark = if userinfo || query { "…" } else { "" };
    text::sanitize(&format!("{plain}{mark}"), MAX_SHOWN)
}

/// Returns what is left of a key when case, signs and a plural do not count.
fn folded(name: &str) -> String {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let letters = letters.to_ascii_lowercase();
    letters.strip_suffix('s').map_or_else(|| letters.clone(), str::to_owned)
}
