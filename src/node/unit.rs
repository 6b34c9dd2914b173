//! `--kubelet-extra-args` in the `ExecStart=` of a unit that `k0s install` wrote.
//!
//! k0s has no file of flags: what was said at its installation stands in the unit. Quotes are those of systemd.syntax(7), where
//! one word may also have its blanks as `\x20`.

use super::flags::Flags;
use super::words;

const OPTION: &str = "--kubelet-extra-args=";

/// Where the option's value is.
struct Place {
    start: usize,
    end: usize,
    /// What stands between two of its words.
    separator: &'static str,
    /// The whole word with its quotes.
    word: (usize, usize),
}

/// Returns the flags of a unit.
pub(super) fn flags(text: &str) -> Flags {
    find(text).map(|place| Flags::of(text[place.start..place.end].split(place.separator))).unwrap_or_default()
}

/// Returns the unit with both flags; nothing when its command is not one line.
pub(super) fn set(text: &str, flags: &Flags) -> Option<String> {
    let (_, end) = command(text)?;
    let (start, end, new) = match find(text) {
        Some(place) => (place.start, place.end, words::set(&text[place.start..place.end], place.separator, flags)?),
        None => (end, end, format!(" \"{OPTION}{}\"", flags.words().join(" "))),
    };
    Some(format!("{}{new}{}", &text[..start], &text[end..]))
}

/// Returns the unit without the flags, and without the option when it has nothing else to say.
pub(super) fn unset(text: &str) -> String {
    let Some(place) = find(text) else { return text.to_owned() };
    let rest = words::unset(&text[place.start..place.end], place.separator);
    if rest.is_empty() {
        let before = text[..place.word.0].trim_end_matches(' ');
        return format!("{before}{}", &text[place.word.1..]);
    }
    format!("{}{rest}{}", &text[..place.start], &text[place.end..])
}

/// Returns where the last command starts and ends.
fn command(text: &str) -> Option<(usize, usize)> {
    let mut offset = 0;
    let mut found = None;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end();
        if content.strip_prefix("ExecStart=").is_some_and(|command| !command.is_empty()) {
            found = (!content.ends_with('\\')).then_some((offset, offset + content.len()));
        }
        offset += line.len();
    }
    found
}

fn find(text: &str) -> Option<Place> {
    let (start, end) = command(text)?;
    let option = start + text[start..end].rfind(OPTION)?;
    let value = option + OPTION.len();
    let until = |sign: char| text[value..end].find(sign).map_or(end, |length| value + length);
    let quote = |at: usize| text[..at].chars().next_back().filter(|c| matches!(c, '"' | '\''));
    if let Some(quote) = quote(option) {
        let end = until(quote);
        return Some(Place { start: value, end, separator: " ", word: (option - 1, end + 1) });
    }
    if let Some(quote) = text[value..end].chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let start = value + 1;
        let end = text[start..end].find(quote).map_or(end, |length| start + length);
        return Some(Place { start, end, separator: " ", word: (option, end + 1) });
    }
    let end = until(' ');
    Some(Place { start: value, end, separator: r"\x20", word: (option, end) })
}
