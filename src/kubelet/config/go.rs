//! Two things that Go's standard library writes into the kubelet's messages: `%q`, and `time.ParseDuration`.
//!
//! Source: Go 1.26 `strconv.Quote` and `time/format.go`.

use std::fmt::Write as _;

/// Returns the text in Go's double quotes, as `%q`.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            '\r' => quoted.push_str("\\r"),
            c if c < ' ' || c == '\u{7f}' => push(&mut quoted, format_args!("\\x{:02x}", u32::from(c))),
            c if is_printable(c) => quoted.push(c),
            c if u32::from(c) <= 0xffff => push(&mut quoted, format_args!("\\u{:04x}", u32::from(c))),
            c => push(&mut quoted, format_args!("\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// As `time.quote`, which escapes every byte that is not printable ASCII.
fn quote_bytes(text: &[u8]) -> String {
    let mut quoted = String::from("\"");
    for byte in text {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => quoted.push(char::from(*byte)),
            _ => push(&mut quoted, format_args!("\\x{byte:02x}")),
        }
    }
    quoted.push('"');
    quoted
}

/// Parses a duration into nanoseconds.
///
/// # Errors
/// Go's own message.
pub(super) fn parse_duration(text: &str) -> Result<i64, String> {
    let invalid = || format!("time: invalid duration {}", quote_bytes(text.as_bytes()));
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if unsigned == "0" {
        return Ok(0);
    }
    if unsigned.is_empty() {
        return Err(invalid());
    }
    let mut total: u128 = 0;
    let mut rest = unsigned.as_bytes();
    while !rest.is_empty() {
        let (whole, tail) = split_while(rest, |byte| byte.is_ascii_digit());
        let (fraction, tail) = match tail {
            [b'.', tail @ ..] => split_while(tail, |byte| byte.is_ascii_digit()),
            _ => (&[][..], tail),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let (unit, tail) = split_while(tail, |byte| byte != b'.' && !byte.is_ascii_digit());
        let Some(nanoseconds) = unit_length(unit) else {
            return Err(match unit {
                [] => format!("time: missing unit in duration {}", quote_bytes(text.as_bytes())),
                _ => format!("time: unknown unit {} in duration {}", quote_bytes(unit), quote_bytes(text.as_bytes())),
            });
        };
        let part = amount(whole, fraction, nanoseconds).filter(|part| *part <= LIMIT).ok_or_else(invalid)?;
        total += part;
        if total > LIMIT {
            return Err(invalid());
        }
        rest = tail;
    }
    // Only the most negative duration has this magnitude.
    let magnitude = i128::try_from(total).map_err(|_| invalid())?;
    i64::try_from(if negative { -magnitude } else { magnitude }).map_err(|_| invalid())
}

/// Magnitude of the smallest `time.Duration`.
const LIMIT: u128 = 1 << 63;

fn amount(whole: &[u8], fraction: &[u8], unit: u64) -> Option<u128> {
    let whole: u128 = if whole.is_empty() { 0 } else { str::from_utf8(whole).ok()?.parse().ok()? };
    // Further digits stand for less than a nanosecond.
    let (mut part, mut scale) = (0, 1);
    for digit in fraction.iter().take(15) {
        part = part * 10 + u128::from(digit - b'0');
        scale *= 10;
    }
    let part = part * u128::from(unit) / scale;
    whole.checked_mul(u128::from(unit))?.checked_add(part)
}

fn unit_length(unit: &[u8]) -> Option<u64> {
    Some(match unit {
        b"ns" => 1,
        b"us" | b"\xc2\xb5s" | b"\xce\xbcs" => 1_000,
        b"ms" => 1_000_000,
        b"s" => 1_000_000_000,
        b"m" => 60_000_000_000,
        b"h" => 3_600_000_000_000,
        _ => return None,
    })
}

/// Writes a duration as `time.Duration.String`: `1h30m0s`, `1.5µs`.
pub(super) fn show_duration(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let magnitude = nanoseconds.unsigned_abs();
    let text = match magnitude {
        0 => "0s".to_owned(),
        1..1_000 => format!("{magnitude}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(magnitude, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(magnitude, 1_000_000)),
        _ => {
            let minutes = magnitude / 60_000_000_000;
            let seconds = decimal(magnitude % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    };
    format!("{sign}{text}")
}

/// Writes `value / unit`, `unit` being a power of ten, without zeros at the end.
fn decimal(value: u64, unit: u64) -> String {
    let width = unit.ilog10() as usize;
    let fraction = format!("{:0width$}", value % unit);
    let fraction = fraction.trim_end_matches('0');
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{}{dot}{fraction}", value / unit)
}

fn split_while(bytes: &[u8], belongs: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|byte| !belongs(*byte)).unwrap_or(bytes.len()))
}

/// As `strconv.IsPrint`, as far as it matters for text that a person should see.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && (c == ' ' || !c.is_whitespace())
        && !matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}')
}

fn push(text: &mut String, more: std::fmt::Arguments<'_>) {
    text.write_fmt(more).expect("a string takes everything");
}
