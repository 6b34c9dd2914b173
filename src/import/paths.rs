//! Judges paths to TLS files: they stay where they are, but what is wrong with them is worth knowing before a move.

use super::Outcome;
use super::gather::{At, Gather};
use super::tree::Node;
use crate::windows_path::{self, Root, WindowsPath};

/// What a relative path starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// The directory of the file that it stands in.
    File,
    /// Whatever directory the program that reads it was started in.
    Program,
}

/// Reports a setting that names a file or several, and judges their paths.
pub(super) fn setting(gather: &mut Gather, at: &At, node: &Node, base: Base) {
    for (index, item) in node.items().iter().enumerate() {
        setting(gather, &at.item(index, item), item, base);
    }
    match node.text().and_then(spelled) {
        Some(path) => gather.file_setting(at, &path),
        None if node.items().is_empty() => gather.setting(at),
        None => {}
    }
    if let Some(path) = node.text() {
        check(gather, at, path, base);
    }
}

/// Returns an absolute path as its own system spells it, and nothing for what may be no path at all.
fn spelled(path: &str) -> Option<String> {
    if looks_windows(path) {
        WindowsPath::parse(path).ok().map(|path| path.to_string())
    } else {
        (path.starts_with('/') && !path.contains(deceives)).then(|| path.to_owned())
    }
}

/// Judges a path.
pub(super) fn check(gather: &mut Gather, at: &At, path: &str, base: Base) {
    if path.is_empty() {
        return;
    }
    if let Some(position) = path.chars().position(deceives) {
        let message = format!(
            "the path has a control character at position {}; in double quotes `\\` starts an escape, so \
                write the path in \
             single quotes, or each `\\` twice",
            position + 1
        );
        gather.error(at, Outcome::Ignored, "control-in-path", message);
        return;
    }
    if !looks_windows(path) {
        if path.starts_with('/') {
            gather.rooted_path(at, path);
        }
        if !path.starts_with('/') && base == Base::Program {
            let message = "the path is relative, so it depends on the program that reads it; write it from `/`";
            gather.warning(at, Outcome::Ignored, "relative-path", message);
        }
        return;
    }
    gather.windows_path(at);
    match WindowsPath::parse(path) {
        Err(error) => gather.warning(at, Outcome::Ignored, "bad-path", format!("the path {error}")),
        Ok(path) => {
            if let Root::Share { .. } = path.root() {
                let message =
                    "the path is on a share, where a service that runs as SYSTEM is known as the machine, not as you";
                gather.warning(at, Outcome::Ignored, "network-path", message);
            }
            if path.short_name().is_some() {
                let message = "the path has a short name (`~1`), which other volumes may not have; write \
                    the long one";
                gather.warning(at, Outcome::Ignored, "short-path", message);
            }
        }
    }
}

/// `"C:\Program"` is a paragraph separator in YAML, `"\_"` a blank, `"\N"` and `"\L"` line breaks.
fn deceives(c: char) -> bool {
    c.is_control() || matches!(c, '\u{a0}' | '\u{2028}' | '\u{2029}')
}

/// Returns whether a text is a Windows path, good or bad, rather than one of Unix.
pub(crate) fn looks_windows(path: &str) -> bool {
    let drive = path.as_bytes().get(1) == Some(&b':') && path.as_bytes()[0].is_ascii_alphabetic();
    let variable = path.starts_with('%') || path.starts_with('$') || path.starts_with('~');
    let unix = path.starts_with('/') && !path.starts_with("//");
    !unix
        && (drive
            || variable
            || path.contains('\\')
            || windows_path::looks_like_path(path).is_some_and(|_| path.starts_with("//")))
}
