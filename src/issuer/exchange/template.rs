//! Text with places in braces, `{name}` or `{name=default}`, that are filled when a request is made.

use std::borrow::Cow;

use zeroize::Zeroizing;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Text(&'a str),
    Place(Place<'a>),
}

/// A place to be filled; with a default it may be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) default: Option<&'a str>,
}

/// Takes a text apart; nothing for braces that do not pair or a name that no setting can have.
pub(super) fn parts(mut text: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    while let Some(at) = text.find(['{', '}']) {
        let (before, rest) = text.split_at(at);
        if !before.is_empty() {
            parts.push(Part::Text(before));
        }
        let (inside, after) = rest.strip_prefix('{')?.split_once('}')?;
        let (name, default) = match inside.split_once('=') {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let is_name =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !is_name || inside.contains('{') {
            return None;
        }
        parts.push(Part::Place(Place { name, default }));
        text = after;
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Some(parts)
}

/// Returns the places of a text that [`parts`] can take apart.
pub(super) fn places(text: &str) -> Vec<Place<'_>> {
    let places = parts(text).unwrap_or_default().into_iter().filter_map(|part| match part {
        Part::Place(place) => Some(place),
        Part::Text(_) => None,
    });
    places.collect()
}

/// Fills the places; each value is written by `write` first, as the surroundings demand.
pub(super) fn fill<'v>(
    text: &str,
    value: &dyn Fn(Place<'_>) -> Cow<'v, str>,
    write: &dyn Fn(&str) -> Zeroizing<String>,
) -> Zeroizing<String> {
    let pieces: Vec<Zeroizing<String>> = parts(text)
        .unwrap_or_default()
        .into_iter()
        .map(|part| match part {
            Part::Text(text) => Zeroizing::new(text.to_owned()),
            Part::Place(place) => write(&value(place)),
        })
        .collect();
    // Its whole size at once: a buffer that grows leaves copies behind.
    let mut filled = Zeroizing::new(String::with_capacity(pieces.iter().map(|piece| piece.len()).sum()));
    pieces.iter().for_each(|piece| filled.push_str(piece));
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_found_and_filled() {
        let value = |place: Place<'_>| Cow::Owned(format!("<{} {:?}>", place.name, place.default));
        let plain = |text: &str| Zeroizing::new(text.to_owned());
        for (text, filled) in [
            ("", ""),
            ("plain", "plain"),
            ("{a}", "<a None>"),
            ("x{a-1}y{b=}z{c=d e}", "x<a-1 None>y<b Some(\"\")>z<c Some(\"d e\")>"),
        ] {
            assert!(parts(text).is_some(), "{text}");
            assert_eq!(*fill(text, &value, &plain), filled);
        }
        for text in ["{", "}", "{a", "a}", "{}", "{A}", "{a b}", "{{a}}", "{a{b}}", "{=x}"] {
            assert_eq!(parts(text), None, "{text}");
        }
    }
}
