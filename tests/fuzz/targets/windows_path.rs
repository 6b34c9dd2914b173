//! Windows paths: what is accepted has one spelling, equals itself in every other, and is never taken for an image or a scope.
#![no_main]

use std::hash::{DefaultHasher, Hash, Hasher};

use keyring_credential_provider::reference::Reference;
use keyring_credential_provider::scope::Scope;
use keyring_credential_provider::windows_path::{Root, WindowsPath, looks_like_path};
use libfuzzer_sys::fuzz_target;

/// `MAX_PATH` less its final zero.
const MAX_PLAIN: usize = 259;

fuzz_target!(|text: &str| {
    if looks_like_path(text).is_some() {
        assert!(text.parse::<Reference>().is_err() && text.parse::<Scope>().is_err(), "a path was taken for an image");
    }
    match WindowsPath::parse(text) {
        Ok(path) => {
            assert!(looks_like_path(text).is_some(), "a path that could be mistaken for an image");
            check(&path);
            check_spellings(&path, text);
        }
        Err(error) => {
            let message = error.to_string();
            assert!(!message.contains(char::is_control), "{message:?}");
        }
    }
});

fn check(path: &WindowsPath) {
    for name in path.components() {
        assert!(!name.is_empty() && name != "." && name != ".." && !name.ends_with(['.', ' ']), "{name:?}");
        assert!(
            !name.contains(['/', '\\', ':', '<', '>', '"', '|', '?', '*']) && !name.contains(char::is_control),
            "{name:?}"
        );
    }
    let shown = path.to_string();
    let (is_verbatim, plain) = match shown.strip_prefix(r"\\?\") {
        None => (false, shown.clone()),
        Some(rest) => (true, rest.strip_prefix("UNC").map_or_else(|| rest.to_owned(), |rest| format!(r"\{rest}"))),
    };
    assert_eq!(path.is_long(), plain.encode_utf16().count() > MAX_PLAIN, "{shown}");
    assert!(path.is_long() || !is_verbatim, "{shown}");
    match path.root() {
        Root::Drive(letter) => {
            assert!(letter.is_ascii_uppercase() && plain.starts_with(&format!(r"{letter}:\")), "{shown}")
        }
        Root::Share { server, share } => assert!(plain.starts_with(&format!(r"\\{server}\{share}")), "{shown}"),
    }

    let again = WindowsPath::parse(&shown).unwrap_or_else(|error| panic!("{shown} {error}"));
    assert_eq!(again.to_string(), shown, "the spelling is not stable");
    assert!(again == *path && hash(&again) == hash(path), "{shown} is not what it was made from");
}

fn check_spellings(path: &WindowsPath, text: &str) {
    let mut spellings = vec![text.to_ascii_uppercase(), text.to_ascii_lowercase()];
    if !text.starts_with(r"\\?\") {
        spellings.extend([text.replace('\\', "/"), text.replace('/', "\\")]);
    }
    for spelling in spellings {
        let other = WindowsPath::parse(&spelling).unwrap_or_else(|error| panic!("{spelling} {error}, unlike {text}"));
        assert!(other == *path && hash(&other) == hash(path), "{spelling} is not {text}");
    }
}

fn hash(path: &WindowsPath) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    hasher.finish()
}
