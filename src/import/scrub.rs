//! Takes the imported logins out of the files they came from.
//!
//! A login goes as a whole or not at all: half of one would be another one. What was not imported stays, and is named with the
//! reason. A file is rewritten from the bytes that were imported, beside itself and by a rename, so at every moment it is as it
//! was or without the secrets; nothing that is written on the way holds one that goes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use ::base64::Engine;
use ::base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::edit::{self, Edited, Language};
use super::tree::Node;
use super::{Error, Format, Import, Origin, base64, file};
use crate::platform;
use crate::text::Encoding;

/// A shorter password may stand anywhere by chance.
const MIN_SEARCHED: usize = 8;

/// A text that was read.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) digest: [u8; 32],
}

/// Where a login stands in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In the entry whose key starts at this byte.
    Entry(usize),
    /// In the document that starts at this byte.
    Document(usize),
}

/// The entry whose text is a document of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Outer {
    pub(super) key: usize,
    /// Whether it stands there as it is, not in base64.
    pub(super) is_plain: bool,
}

/// One login that an importer has seen.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) file: usize,
    pub(super) outer: Option<Outer>,
    pub(super) place: Place,
    pub(super) origin: Origin,
    /// Why it is not to go.
    pub(super) stays: Option<String>,
}

/// What taking out the imported logins comes to.
#[derive(Debug, Default)]
pub struct Scrub {
    /// The logins that go.
    pub removed: Vec<Origin>,
    /// The secrets that stay, each with the reason.
    pub stays: Vec<(Origin, String)>,
    /// The files that change.
    pub rewrites: Vec<Rewrite>,
}

/// A file's new content.
#[derive(Debug)]
pub struct Rewrite {
    path: PathBuf,
    digest: [u8; 32],
    content: Zeroizing<Vec<u8>>,
}

impl Rewrite {
    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the new content in place of the old, which must be what was imported.
    ///
    /// # Errors
    /// [`Error::Changed`] or [`Error::Rewrite`]; the file is as it was.
    pub fn run(&self) -> Result<(), Error> {
        let bytes = file::bytes(&self.path)?;
        if <[u8; 32]>::from(Sha256::digest(&*bytes)) != self.digest {
            return Err(Error::Changed { path: self.path.clone() });
        }
        let failed = |source| Error::Rewrite { path: self.path.clone(), source };
        platform::rewrite_file(&self.path, &self.content).map_err(failed)
    }
}

/// Works out what goes and what stays. Nothing is written.
///
/// # Errors
/// [`Error`], when a file cannot be read again or is another one by now.
pub(super) fn plan(format: Format, import: &Import) -> Result<Scrub, Error> {
    let language = if format == Format::Containerd { Language::Toml } else { Language::Yaml };
    let secrets = Secrets::new(import);
    let mut scrub = Scrub::default();
    for (index, source) in import.texts.iter().enumerate() {
        let logins: Vec<&Login> = import.logins.iter().filter(|login| login.file == index).collect();
        if logins.is_empty() {
            continue;
        }
        let mut reasons: BTreeMap<(Option<Outer>, Place), String> = BTreeMap::new();
        for login in &logins {
            if let Some(reason) = &login.stays {
                reasons.entry((login.outer, login.place)).or_insert_with(|| reason.clone());
            }
        }
        let goes = |login: &&&Login| !reasons.contains_key(&(login.outer, login.place));
        let going: BTreeSet<(Option<Outer>, Place)> =
            logins.iter().filter(goes).map(|login| (login.outer, login.place)).collect();
        let mut stands = Vec::new();
        if !going.is_empty() {
            let bytes = file::bytes(&source.path)?;
            let text = file::decode(&source.path, &bytes)?;
            if <[u8; 32]>::from(Sha256::digest(text.as_bytes())) != source.digest {
                return Err(Error::Changed { path: source.path.clone() });
            }
            match apply(&text, language, &going, &secrets, &mut stands) {
                Err(reason) => reasons.extend(going.iter().map(|place| (*place, reason.to_owned()))),
                Ok((new, refused)) => {
                    reasons.extend(refused.into_iter().map(|(place, reason)| (place, reason.to_owned())));
                    if *new != *text {
                        let content = Zeroizing::new(Encoding::of(&bytes).encode(&new));
                        let digest = Sha256::digest(&*bytes).into();
                        scrub.rewrites.push(Rewrite { path: source.path.clone(), digest, content });
                    }
                }
            }
        }
        let mut seen = BTreeSet::new();
        for login in logins {
            let place = (login.outer, login.place);
            if !seen.insert(place) {
                continue;
            }
            match reasons.get(&place) {
                None => scrub.removed.push(login.origin.clone()),
                Some(reason) => scrub.stays.push((login.origin.clone(), reason.clone())),
            }
        }
        let file = source.path.display().to_string();
        for line in stands {
            if scrub.stays.iter().any(|(origin, _)| origin.file == file && origin.line == Some(line)) {
                continue;
            }
            let reason = "an imported password stands here too, where it was not looked for; remove it by hand";
            scrub.stays.push((Origin { file: file.clone(), key: String::new(), line: Some(line) }, reason.to_owned()));
        }
    }
    Ok(scrub)
}

type Refused = BTreeMap<(Option<Outer>, Place), &'static str>;

/// Returns a text without these logins, and those that could not go. `stands` gets the lines that still have a secret.
fn apply(
    text: &str,
    language: Language,
    going: &BTreeSet<(Option<Outer>, Place)>,
    secrets: &Secrets,
    stands: &mut Vec<usize>,
) -> Result<(Zeroizing<String>, Refused), &'static str> {
    let mut refused = Refused::new();
    let mut replaced = BTreeMap::new();
    let outers: BTreeSet<Outer> = going.iter().filter_map(|(outer, _)| *outer).collect();
    if !outers.is_empty() {
        let parsed = language.parse(text).map_err(|_| edit::NOT_ALONE)?;
        for outer in outers {
            let places: BTreeSet<Place> =
                going.iter().filter(|(other, _)| *other == Some(outer)).map(|(_, place)| *place).collect();
            let new = find(&parsed.documents, outer.key).ok_or(edit::NOT_ALONE).and_then(|node| {
                let (new, inner) = embedded(node, outer, &places)?;
                refused.extend(inner.into_iter().map(|(place, reason)| ((Some(outer), place), reason)));
                if !secrets.lines(&new.0).is_empty() {
                    stands.push(node.line);
                }
                Ok(new.1)
            });
            match new {
                Ok(new) => drop(replaced.insert(outer.key, new)),
                Err(reason) => refused.extend(places.iter().map(|place| ((Some(outer), *place), reason))),
            }
        }
    }
    let places = going.iter().filter(|(outer, _)| outer.is_none()).map(|(_, place)| *place).collect();
    let Edited { text, refused: others } = edit::edit(text, language, &places, &replaced)?;
    refused.extend(others.into_iter().map(|(place, reason)| ((None, place), reason)));
    stands.extend(secrets.lines(&text));
    Ok((Zeroizing::new(text), refused))
}

type Inner = ((Zeroizing<String>, String), BTreeMap<Place, &'static str>);

/// Returns the document in a text without these logins, and the same as it stands in the text.
fn embedded(node: &Node, outer: Outer, places: &BTreeSet<Place>) -> Result<Inner, &'static str> {
    let value = node.text().ok_or(edit::NOT_ALONE)?;
    let inner = if outer.is_plain {
        Zeroizing::new(value.to_owned())
    } else {
        let bytes = base64::decode(value).ok_or(edit::NOT_ALONE)?;
        Zeroizing::new(std::str::from_utf8(&bytes).map_err(|_| edit::NOT_ALONE)?.to_owned())
    };
    let marked = inner.strip_prefix('\u{feff}').unwrap_or(&inner);
    let Edited { text, refused } = edit::edit(marked, Language::Yaml, places, &BTreeMap::new())?;
    let mut new = if outer.is_plain { text.clone() } else { STANDARD.encode(&text) };
    if !outer.is_plain && value.ends_with('\n') {
        new.push('\n');
    }
    Ok(((Zeroizing::new(text), new), refused))
}

/// Returns the entry whose key starts at this byte.
fn find(nodes: &[Node], key: usize) -> Option<&Node> {
    nodes.iter().find_map(|node| {
        let entry = node.entries().iter().map(|(_, node)| node).find(|node| node.span.key == key);
        entry
            .or_else(|| find(node.items(), key))
            .or_else(|| node.entries().iter().find_map(|(_, child)| find(std::slice::from_ref(child), key)))
    })
}

/// Passwords that must not be left, by how they start.
struct Secrets(HashMap<[u8; MIN_SEARCHED], Vec<Zeroizing<Vec<u8>>>>);

impl Secrets {
    fn new(import: &Import) -> Self {
        let mut secrets: HashMap<[u8; MIN_SEARCHED], Vec<Zeroizing<Vec<u8>>>> = HashMap::new();
        for found in &import.credentials {
            let password = Zeroizing::new(found.secret.expose().to_vec());
            let login = Zeroizing::new([found.username.as_bytes(), b":", &password].concat());
            let encoded = STANDARD.encode(&*login);
            let encoded = Zeroizing::new(encoded.trim_end_matches('=').as_bytes().to_vec());
            for secret in [password, encoded] {
                if let Some(start) = secret.first_chunk() {
                    secrets.entry(*start).or_default().push(secret);
                }
            }
        }
        Self(secrets)
    }

    /// Returns the lines of a text in which one of them stands.
    fn lines(&self, text: &str) -> Vec<usize> {
        let has_secret = |line: &str| {
            let bytes = line.as_bytes();
            bytes.windows(MIN_SEARCHED).enumerate().any(|(index, window)| {
                let start: Option<&[u8; MIN_SEARCHED]> = window.first_chunk();
                let secrets = start.and_then(|start| self.0.get(start));
                secrets.is_some_and(|secrets| secrets.iter().any(|secret| bytes[index..].starts_with(secret)))
            })
        };
        text.lines().enumerate().filter(|(_, line)| has_secret(line)).map(|(index, _)| index + 1).collect()
    }
}
