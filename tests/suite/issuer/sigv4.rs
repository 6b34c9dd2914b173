//! AWS Signature Version 4, computed a second time from AWS's description of it, to check what the program signs.

use sha2::{Digest, Sha256};

use super::fake::Received;

/// What a request must be signed for.
pub(crate) struct Expected<'a> {
    pub(crate) key_id: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) session: Option<&'a str>,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
}

/// Why AWS would refuse: its error code and sentence.
pub(crate) type Refusal = (&'static str, String);

/// Checks a request as AWS does: time, scope, session token, and the signature over all signed headers and the body.
pub(crate) fn check(received: &Received, expected: &Expected<'_>) -> Result<(), Refusal> {
    let date = received.header("x-amz-date").expect("a signed request has its time");
    let signed_at = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date).unwrap();
    let signed_at = signed_at.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_second();
    if (signed_at - received.now).abs() > 300 {
        return Err(("InvalidSignatureException", format!("Signature expired: {date} is now earlier than it may be")));
    }
    assert_eq!(received.header("x-amz-security-token"), expected.session, "session token");
    let scope = format!("{}/{}/{}/aws4_request", &date[..8], expected.region, expected.service);
    let authorization = received.header("authorization").expect("a signed request is authorized");
    let credential = format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=", expected.key_id);
    let rest = authorization
        .strip_prefix(&credential)
        .unwrap_or_else(|| panic!("{authorization} does not begin with {credential}"));
    let (signed, _) = rest.split_once(", Signature=").unwrap();
    let must = ["content-type", "host", "x-amz-date", "x-amz-security-token", "x-amz-target"];
    for name in must.into_iter().filter(|name| received.header(name).is_some()) {
        assert!(signed.split(';').any(|signed| signed == name), "`{name}` is not signed: {signed}");
    }
    if authorization == authorize(received, expected, true) {
        return Ok(());
    }
    let sentence = "The request signature we calculated does not match the signature you provided.";
    Err(("InvalidSignatureException", sentence.to_owned()))
}

/// The `Authorization` header that a request with its time and its list of signed headers must have.
pub(crate) fn authorize(received: &Received, expected: &Expected<'_>, normalize: bool) -> String {
    let authorization = received.header("authorization").unwrap();
    let (_, rest) = authorization.split_once("SignedHeaders=").unwrap();
    let signed = rest.split(',').next().unwrap();
    let date = received.header("x-amz-date").unwrap();
    let scope = format!("{}/{}/{}/aws4_request", &date[..8], expected.region, expected.service);

    let (path, query) = received.target.split_once('?').unwrap_or((&received.target, ""));
    let mut parameters: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (encode(&percent_decode(name)), encode(&percent_decode(value))))
        .collect();
    parameters.sort();
    let query: Vec<String> = parameters.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let headers: String = signed
        .split(';')
        .map(|name| {
            let values = received.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| {
                // Runs of spaces count as one.
                value.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
            });
            format!("{name}:{}\n", values.collect::<Vec<_>>().join(","))
        })
        .collect();
    let canonical = [
        received.method.as_str(),
        &canonical_path(path, normalize),
        &query.join("&"),
        &headers,
        signed,
        &hex(&Sha256::digest(&received.body)),
    ]
    .join("\n");
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));

    let mut key = format!("AWS4{}", expected.secret).into_bytes();
    for part in scope.split('/') {
        key = hmac(&key, part.as_bytes());
    }
    let signature = hex(&hmac(&key, to_sign.as_bytes()));
    format!("AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={signed}, Signature={signature}", expected.key_id)
}

fn canonical_path(path: &str, normalize: bool) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." | "" if normalize => {}
            ".." if normalize => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let ends_open = normalize && !parts.is_empty() && (path.ends_with('/') || path.ends_with("/."));
    let path = parts.iter().map(|part| format!("/{}", encode(part.as_bytes()))).collect::<String>();
    if path.is_empty() || ends_open { format!("{path}/") } else { path }
}

fn percent_decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = (*first == b'%').then(|| tail.get(..2)).flatten().and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

fn encode(bytes: &[u8]) -> String {
    let one = |byte: &u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(*byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    bytes.iter().map(one).collect()
}

/// RFC 2104.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut block = [0; 64];
    if key.len() > 64 {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The second computation is right itself: it agrees with AWS's published vectors.
#[test]
fn published_vectors_of_aws() {
    let vectors: serde_json::Value = serde_json::from_str(include_str!("../../data/sigv4.json")).unwrap();
    for (name, case) in vectors["cases"].as_object().unwrap() {
        let text = case["signed"].as_str().unwrap().replace("\r\n", "\n");
        let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let mut lines = head.lines();
        let first = lines.next().unwrap();
        let (method, rest) = first.split_once(' ').unwrap();
        let target = rest.strip_suffix(" HTTP/1.1").unwrap();
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            match (line.starts_with(' '), line.split_once(':'), headers.last_mut()) {
                (true, _, Some((_, value))) => *value = format!("{value} {}", line.trim()),
                (_, Some((name, value)), _) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
                _ => panic!("{name}: {line}"),
            }
        }
        let received = Received {
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body: body.as_bytes().to_vec(),
            has_certificate: false,
            now: 0,
        };
        let expected = Expected {
            key_id: "AKIDEXAMPLE",
            secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            session: None,
            region: "us-east-1",
            service: "service",
        };
        let normalize = case["normalize"].as_bool().unwrap();
        assert_eq!(received.header("authorization").unwrap(), authorize(&received, &expected, normalize), "{name}");
    }
}
