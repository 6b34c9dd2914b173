//! The server's own sentence about a refusal, made fit to be shown.

use serde_json::Value;

use crate::text;

/// Longest sentence, in characters.
const LONGEST: usize = 200;

/// Longest word that is shown: names and messages have shorter ones, tokens are longer.
const LONGEST_WORD: usize = 40;

/// Where services put it: OAuth 2.0 (RFC 6749 §5.2), AWS, registries (`errors`), Vault, and everybody else.
const FIELDS: [&str; 7] = ["error_description", "message", "Message", "detail", "error", "errors", "title"];

/// Returns `: SENTENCE`, or nothing when the body has none. What was sent does not appear in it, nor anything like a token.
pub(crate) fn sentence(body: &[u8], secrets: &[&[u8]]) -> String {
    let Ok(body) = std::str::from_utf8(body) else { return String::new() };
    let body = body.trim();
    let sentence = match body.as_bytes().first() {
        Some(b'{') => serde_json::from_str(body).ok().and_then(|value| from_json(&value)),
        Some(b'<') => from_xml(body),
        _ => None,
    };
    let Some(mut sentence) = sentence else { return String::new() };
    for secret in secrets.iter().filter_map(|secret| std::str::from_utf8(secret).ok()).filter(|s| s.len() >= 4) {
        sentence = sentence.replace(secret, "***");
    }
    let sentence = text::sanitize(&hide_tokens(&sentence), LONGEST);
    if sentence.trim().is_empty() { String::new() } else { format!(": {}", sentence.trim()) }
}

fn from_json(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => items.first().and_then(from_json),
        Value::Object(fields) => FIELDS.iter().find_map(|name| fields.get(*name).and_then(from_json)),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// AWS's query services answer in XML, with the sentence in `<Message>`.
fn from_xml(body: &str) -> Option<String> {
    let (_, rest) = body.split_once("<Message>")?;
    rest.split_once("</Message>").map(|(message, _)| message.to_owned())
}

/// Replaces what looks like a token.
pub(super) fn hide_tokens(sentence: &str) -> String {
    let is_separator = |c: char| c.is_whitespace() || "\"'`,;:()[]{}<>=/".contains(c);
    let word = |word: &str| {
        let is_token = word.len() > LONGEST_WORD || (word.starts_with("eyJ") && word.len() > 12);
        if is_token { "***".to_owned() } else { word.to_owned() }
    };
    let mut shown = String::new();
    for piece in sentence.split_inclusive(is_separator) {
        let end = piece.char_indices().last().filter(|(_, c)| is_separator(*c)).map_or(piece.len(), |(at, _)| at);
        shown += &word(&piece[..end]);
        shown += &piece[end..];
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn the_sentence_is_found_where_services_put_it() {
        for (body, said) in [
            (r#"{"error":"invalid_client","error_description":"unknown client"}"#, ": unknown client"),
            (r#"{"error":"invalid_client"}"#, ": invalid_client"),
            (r#"{"__type":"X","message":"The security token is invalid."}"#, ": The security token is invalid."),
            (r#"{"errors":[{"code":"DENIED","message":"no"}]}"#, ": no"),
            (r#"{"errors":["permission denied"]}"#, ": permission denied"),
            (r#"{"error":{"code":403,"message":"nope"}}"#, ": nope"),
            ("<ErrorResponse><Error><Message>not you</Message></Error></ErrorResponse>", ": not you"),
            ("<html>gateway</html>", ""),
            ("plain", ""),
            ("{", ""),
            ("", ""),
            (r#"{"message":"\u001b[31mred\nline"}"#, ": \u{fffd}[31mred\u{fffd}line"),
        ] {
            assert_eq!(sentence(body.as_bytes(), &[]), said, "{body}");
        }
        let long = format!(r#"{{"message":"{}"}}"#, "ab ".repeat(200));
        assert_eq!(sentence(long.as_bytes(), &[]).chars().count(), 203);
    }

    #[test]
    fn what_was_sent_and_what_looks_like_a_token_is_hidden() {
        let body = br#"{"message":"secret s3cr3t of eyJhbGciOiJub25lIn0.e30.c2ln and Wm9vLW9oLXdoYXQtYS1sb25nLXRva2VuLXRoaXMtaXMtdmVyeS1sb25n, arn:aws:iam::123456789012:role/a"}"#;
        assert_eq!(sentence(body, &[b"s3cr3t"]), ": secret *** of *** and ***, arn:aws:iam::123456789012:role/a");
    }
}
