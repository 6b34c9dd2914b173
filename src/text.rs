//! Text that we did not write: decoding it, and making it safe to show.

use std::borrow::Cow;

/// Decodes a text file as an operator's tools write it: UTF-8, UTF-8 with a byte order mark (`Set-Content -Encoding UTF8`),
/// or UTF-16 with a byte order mark (`Out-File` of Windows PowerShell 5.1). Returns `None` for anything else.
pub fn decode(bytes: &[u8]) -> Option<Cow<'_, str>> {
    match bytes {
        [0xef, 0xbb, 0xbf, rest @ ..] => std::str::from_utf8(rest).ok().map(Cow::Borrowed),
        [0xff, 0xfe, rest @ ..] => decode_utf16(rest, u16::from_le_bytes).map(Cow::Owned),
        [0xfe, 0xff, rest @ ..] => decode_utf16(rest, u16::from_be_bytes).map(Cow::Owned),
        _ => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
    }
}

/// How a text file that [`decode`] reads is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8.
    Utf8,
    /// UTF-8 with a byte order mark.
    Utf8Marked,
    /// UTF-16, low byte first, with a byte order mark.
    Utf16Le,
    /// UTF-16, high byte first, with a byte order mark.
    Utf16Be,
}

impl Encoding {
    /// Tells the encoding of a file.
    pub const fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0xef, 0xbb, 0xbf, ..] => Self::Utf8Marked,
            [0xff, 0xfe, ..] => Self::Utf16Le,
            [0xfe, 0xff, ..] => Self::Utf16Be,
            _ => Self::Utf8,
        }
    }

    /// Returns a text as the bytes of a file.
    pub fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf8Marked => [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            Self::Utf16Le => [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect(),
            Self::Utf16Be => [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect(),
        }
    }
}

/// Returns `text` on one line without control, bidirectional or other invisible characters, cut to `limit` characters.
pub fn sanitize(text: &str, limit: usize) -> String {
    let mut shown: String = text.chars().take(limit).map(|c| if is_deceptive(c) { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(limit).is_some() {
        shown.push('…');
    }
    shown
}

fn decode_utf16(bytes: &[u8], from_bytes: fn([u8; 2]) -> u16) -> Option<String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    // Sized for the worst case, so that a secret is never left behind by a reallocation.
    let mut text = String::with_capacity(bytes.len() * 2);
    for c in char::decode_utf16(pairs.iter().map(|pair| from_bytes(*pair))) {
        text.push(c.ok()?);
    }
    rest.is_empty().then_some(text)
}

fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_powershell_writes_is_read() {
        for bytes in
            [&b"p\xc3\xa4ss"[..], b"\xef\xbb\xbfp\xc3\xa4ss", b"\xff\xfep\0\xe4\0s\0s\0", b"\xfe\xff\0p\0\xe4\0s\0s"]
        {
            assert_eq!(decode(bytes).as_deref(), Some("päss"), "{bytes:?}");
            assert_eq!(Encoding::of(bytes).encode("päss"), bytes);
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for bytes in [&b"p\xe4ss"[..], b"\xff\xfep", b"\xff\xfe\x00\xd8"] {
            assert_eq!(decode(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn shown_text_stays_on_one_line_and_hides_nothing() {
        assert_eq!(sanitize("a\nb\u{202e}c\u{1b}[31m", 99), "a\u{fffd}b\u{fffd}c\u{fffd}[31m");
        assert_eq!(sanitize("abcdef", 3), "abc…");
    }
}
