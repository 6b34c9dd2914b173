//! Tells which images a `matchImages` pattern covers, as the kubelet tells it.
//!
//! The kubelet's rule with its surprises, to explain and check a kubelet's configuration; our own scopes follow
//! another. Source: Kubernetes 1.36, `pkg/credentialprovider/keyring.go`, `URLsMatchStr`, `ParseSchemelessURL` and
//! `SplitURL`, and what they call in Go 1.26: `net/url.Parse`, `net.SplitHostPort`, `path/filepath.Match`.

use std::error::Error;
use std::fmt;
use std::net::Ipv6Addr;

/// A `matchImages` pattern that the kubelet accepts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MatchImage(Url);

impl MatchImage {
    /// Parses one item of `matchImages`.
    ///
    /// # Errors
    ///
    /// [`InvalidPattern`] exactly when a 1.36 kubelet refuses to start with this pattern; older ones accept a few more.
    pub fn parse(pattern: &str) -> Result<Self, InvalidPattern> {
        Url::parse(pattern.as_bytes()).map(Self)
    }

    /// Whether the kubelet asks the plugin for `image`, given as in the plugin's request: without tag or digest.
    ///
    /// An image that Go cannot parse matches nothing.
    pub fn matches(&self, image: &str) -> bool {
        Url::parse(image.as_bytes()).is_ok_and(|image| self.0.matches(&image))
    }
}

/// Why the kubelet refuses a `matchImages` pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InvalidPattern {
    /// A control character before the fragment.
    ControlCharacter,
    /// A `%` without two hexadecimal digits, or an escape that a host may not contain.
    Escape,
    /// A character that a host may not contain.
    HostCharacter,
    /// Brackets that are not at the start of the host, not closed, or do not hold an IPv6 address.
    IpLiteral,
    /// A port that is not a number.
    Port,
    /// A character before `@` that user information may not contain.
    UserInfo,
}

impl fmt::Display for InvalidPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ControlCharacter => "control character",
            Self::Escape => "percent-escape that is incomplete or not allowed in a host",
            Self::HostCharacter => "character that is not allowed in a host",
            Self::IpLiteral => "brackets around something other than an IPv6 address",
            Self::Port => "port that is not a number",
            Self::UserInfo => "character that is not allowed before `@`",
        })
    }
}

impl Error for InvalidPattern {}

/// What the kubelet looks at in Go's `url.URL`, decoded; bytes, because an escape can stand for any byte.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Url {
    /// With the port.
    pub(super) host: Vec<u8>,
    /// Empty, or with its leading `/`.
    pub(super) path: Vec<u8>,
}

impl Url {
    /// Parses what follows `https://`; user information, query and fragment are checked as Go does, and dropped.
    pub(super) fn parse(text: &[u8]) -> Result<Self, InvalidPattern> {
        let (text, fragment) = cut(text, b'#');
        if text.iter().any(u8::is_ascii_control) {
            return Err(InvalidPattern::ControlCharacter);
        }
        let (text, _query) = cut(text, b'?');
        let (authority, path) = text.split_at(find(text, b'/').unwrap_or(text.len()));
        let url = Self { host: parse_authority(authority)?, path: unescape(path, Component::Text)? };
        unescape(fragment, Component::Text)?;
        Ok(url)
    }

    /// `URLsMatch`: ports are compared as text, and the path is a prefix that may end within a segment.
    pub(super) fn matches(&self, image: &Self) -> bool {
        let (host, port) = split_port(&self.host);
        let (image_host, image_port) = split_port(&image.host);
        port == image_port
            && labels(host).count() == labels(image_host).count()
            && image.path.starts_with(&self.path)
            && labels(host).zip(labels(image_host)).all(|(pattern, label)| glob_matches(pattern, label))
    }
}

fn parse_authority(authority: &[u8]) -> Result<Vec<u8>, InvalidPattern> {
    let Some(at) = authority.iter().rposition(|byte| *byte == b'@') else {
        return parse_host(authority);
    };
    let (user_info, host) = (&authority[..at], &authority[at + 1..]);
    if !user_info.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte)) {
        return Err(InvalidPattern::UserInfo);
    }
    unescape(user_info, Component::Text)?;
    parse_host(host)
}

fn parse_host(host: &[u8]) -> Result<Vec<u8>, InvalidPattern> {
    match host.iter().rposition(|byte| *byte == b'[') {
        Some(0) => parse_ip_literal(host),
        Some(_) => Err(InvalidPattern::IpLiteral),
        None => {
            check_port(&host[find(host, b':').unwrap_or(host.len())..])?;
            unescape(host, Component::Host)
        }
    }
}

/// `[address]`, `[address%25zone]`, either with a port.
fn parse_ip_literal(host: &[u8]) -> Result<Vec<u8>, InvalidPattern> {
    let close = host.iter().rposition(|byte| *byte == b']').ok_or(InvalidPattern::IpLiteral)?;
    let (literal, port) = (&host[1..close], &host[close + 1..]);
    check_port(port)?;
    let zone_start = literal.windows(3).position(|escape| escape == b"%25").unwrap_or(literal.len());
    let (address, zone) = literal.split_at(zone_start);
    let zone = unescape(zone, Component::Zone)?;
    let is_ipv6 = str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok());
    if !is_ipv6 || zone == b"%" {
        return Err(InvalidPattern::IpLiteral);
    }
    Ok([b"[", address, &zone, b"]", port].concat())
}

/// Accepts no port, and a colon with any number of digits, none included.
fn check_port(port: &[u8]) -> Result<(), InvalidPattern> {
    match port {
        [] => Ok(()),
        [b':', digits @ ..] if digits.iter().all(u8::is_ascii_digit) => Ok(()),
        _ => Err(InvalidPattern::Port),
    }
}

/// Go's escaping modes, as far as they differ for a reader.
#[derive(Clone, Copy)]
enum Component {
    Host,
    /// Of an IPv6 address, with the escaped `%` before it.
    Zone,
    /// Path, user information or fragment.
    Text,
}

impl Component {
    fn may_contain(self, byte: u8) -> bool {
        match self {
            Self::Host | Self::Zone => !byte.is_ascii() || is_host_character(byte),
            Self::Text => true,
        }
    }

    fn may_escape(self, byte: u8) -> bool {
        match self {
            Self::Host => !byte.is_ascii() || byte == b'%',
            Self::Zone => is_host_character(byte) || byte == b'%' || byte == b' ',
            Self::Text => true,
        }
    }
}

/// Neither `?`, `\` nor `^` is one, escaped or not, so [`glob_matches`] never meets them.
fn is_host_character(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]<>\"".contains(&byte)
}

fn unescape(mut text: &[u8], component: Component) -> Result<Vec<u8>, InvalidPattern> {
    let mut decoded = Vec::with_capacity(text.len());
    while let [first, rest @ ..] = text {
        let (byte, rest) = if *first == b'%' {
            unescape_byte(rest).filter(|(byte, _)| component.may_escape(*byte)).ok_or(InvalidPattern::Escape)?
        } else if component.may_contain(*first) {
            (*first, rest)
        } else {
            return Err(InvalidPattern::HostCharacter);
        };
        decoded.push(byte);
        text = rest;
    }
    Ok(decoded)
}

fn unescape_byte(digits: &[u8]) -> Option<(u8, &[u8])> {
    let [high, low, rest @ ..] = digits else { return None };
    Some((hex_value(*high)? << 4 | hex_value(*low)?, rest))
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Where `net.SplitHostPort` finds no port, the whole host counts as the name. So `[::1]` keeps its brackets, which
/// makes it a character class, while `[::1]:5000` loses them.
fn split_port(host: &[u8]) -> (&[u8], &[u8]) {
    let Some(colon) = host.iter().rposition(|byte| *byte == b':') else {
        return (host, b"");
    };
    let (name, port) = (&host[..colon], &host[colon + 1..]);
    let name = match name {
        [b'[', address @ .., b']'] => address,
        _ => name,
    };
    if name.iter().chain(port).any(|byte| matches!(byte, b'[' | b']')) { (host, b"") } else { (name, port) }
}

fn labels(host: &[u8]) -> impl Iterator<Item = &[u8]> {
    host.split(|byte| *byte == b'.')
}

/// `filepath.Match` for what a parsed host can contain. Go reports a malformed pattern; to the kubelet it is no match.
fn glob_matches(mut pattern: &[u8], mut name: &[u8]) -> bool {
    // Behind the last `*`: the pattern, and the part of the name at which it was tried last.
    let mut last_star = None;
    while !(pattern.is_empty() && name.is_empty()) {
        if let [b'*', rest @ ..] = pattern {
            pattern = rest;
            last_star = Some((rest, name));
        } else if let Some(rest) = match_one(pattern, name) {
            (pattern, name) = rest;
        } else if let Some((rest, [_, tail @ ..])) = last_star {
            (pattern, name) = (rest, tail);
            last_star = Some((rest, tail));
        } else {
            return false;
        }
    }
    true
}

/// Matches one byte or class at the start of both and returns what follows in both.
fn match_one<'p, 'n>(pattern: &'p [u8], name: &'n [u8]) -> Option<(&'p [u8], &'n [u8])> {
    match (pattern, name) {
        ([b'[', class @ ..], name) => {
            let (character, name) = split_character(name)?;
            Some((match_class(class, character)?, name))
        }
        ([expected, pattern @ ..], [byte, name @ ..]) if expected == byte => Some((pattern, name)),
        _ => None,
    }
}

/// Returns what follows the class if it is well formed and contains `character`.
fn match_class(mut class: &[u8], character: char) -> Option<&[u8]> {
    let mut found = false;
    loop {
        let (low, rest) = split_class_character(class)?;
        let (high, rest) = match rest {
            [b'-', rest @ ..] => split_class_character(rest)?,
            rest => (low, rest),
        };
        found |= (low..=high).contains(&character);
        if let [b']', rest @ ..] = rest {
            return found.then_some(rest);
        }
        class = rest;
    }
}

fn split_class_character(class: &[u8]) -> Option<(char, &[u8])> {
    split_character(class).filter(|(character, _)| !matches!(character, '-' | ']'))
}

/// As Go, takes a byte that is not UTF-8 for U+FFFD.
fn split_character(text: &[u8]) -> Option<(char, &[u8])> {
    let chunk = text.utf8_chunks().next()?;
    match chunk.valid().chars().next() {
        Some(character) => Some((character, &text[character.len_utf8()..])),
        None => Some((char::REPLACEMENT_CHARACTER, &text[1..])),
    }
}

fn find(text: &[u8], wanted: u8) -> Option<usize> {
    text.iter().position(|byte| *byte == wanted)
}

/// Splits at the first `mark`, which belongs to neither side.
fn cut(text: &[u8], mark: u8) -> (&[u8], &[u8]) {
    match find(text, mark) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, image: &str) -> bool {
        MatchImage::parse(pattern).unwrap().matches(image)
    }

    #[test]
    fn ports_are_compared_as_text() {
        assert!(matches("r.io:443", "r.io:443/a"));
        assert!(!matches("r.io:443", "r.io:0443/a"));
        assert!(!matches("r.io:443", "r.io/a"));
        assert!(!matches("r.io", "r.io:443/a"));
        assert!(matches("r.io:", "r.io/a"), "an empty port is none");
    }

    #[test]
    fn path_prefix_may_end_within_a_segment() {
        assert!(matches("r.io/team", "r.io/team-b/app"));
        assert!(!matches("r.io/team/", "r.io/team-b/app"));
        assert!(!matches("r.io/*", "r.io/team"), "no globs in paths");
    }

    #[test]
    fn star_stays_within_one_label() {
        assert!(matches("*.r.io", "a.r.io/x"));
        assert!(!matches("*.r.io", "a.b.r.io/x"));
        assert!(matches("a*b*c.io", "abbcbc.io/x"));
        assert!(!matches("a*b*c.io", "acb.io/x"));
    }

    #[test]
    fn many_stars_take_no_exponential_time() {
        assert!(!matches(&("*a".repeat(200) + "b"), &"a".repeat(2000)));
    }

    #[test]
    fn only_host_port_and_path_count() {
        for pattern in ["u:p@r.io/team", "u@x@r.io/team", "r.io/team?x=%zz", "r.io/team#f", "r.io/t%65am"] {
            assert!(matches(pattern, "r.io/team/app"), "{pattern}");
        }
    }

    #[test]
    fn ipv6_host_without_port_is_a_character_class() {
        assert!(!matches("[::1]", "[::1]/a"));
        assert!(matches("[::1]", "1/a"));
        assert!(matches("[::1%25a-c]", "b/a"));
        assert!(matches("[::1]:5000", "[::1]:5000/a"));
    }

    #[test]
    fn image_that_go_cannot_parse_matches_nothing() {
        for image in ["r.io/%", "r.io\n/a", "r.io:x/a"] {
            assert!(!matches("r.io", image), "{image:?}");
        }
    }

    #[test]
    fn refusal_says_why() {
        for (pattern, reason) in [
            ("r.io/\t", InvalidPattern::ControlCharacter),
            ("r.io/%4", InvalidPattern::Escape),
            ("r%2e.io", InvalidPattern::Escape),
            ("r.io#%zz", InvalidPattern::Escape),
            ("{a,b}.io", InvalidPattern::HostCharacter),
            ("r[a-c].io", InvalidPattern::IpLiteral),
            ("[::1", InvalidPattern::IpLiteral),
            ("[127.0.0.1]", InvalidPattern::IpLiteral),
            ("[::1%25]", InvalidPattern::IpLiteral),
            ("[a-z].io", InvalidPattern::Port),
            ("r.io:80:90", InvalidPattern::Port),
            ("ü@r.io", InvalidPattern::UserInfo),
        ] {
            assert_eq!(MatchImage::parse(pattern), Err(reason), "{pattern:?}");
        }
    }
}
