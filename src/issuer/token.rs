//! Tokens as issuers give them: text, and how long it is good.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::IssuerError;
use super::http::Response;
use crate::secret::Secret;
use crate::time;

/// What a token endpoint answers (RFC 6749 §5.1).
#[derive(Deserialize)]
pub(super) struct AccessToken {
    #[serde(rename = "access_token")]
    pub(super) text: Zeroizing<String>,
    #[serde(default, rename = "expires_in")]
    lifetime: Lifetime,
    #[serde(rename = "refresh_token")]
    pub(super) refresh: Option<Zeroizing<String>>,
}

impl AccessToken {
    /// Reads an answer.
    pub(super) fn read(response: &Response) -> Result<Self, IssuerError> {
        let mut token: Self = response.json()?;
        token.lifetime = Lifetime(token.lifetime.or_claim(token.text.as_bytes(), response.date));
        Ok(token)
    }

    /// How long it is good: as the endpoint says, else as the token says of itself.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        self.lifetime.0
    }
}

/// A lifetime in seconds, as issuers write it: a number, a fraction, or either as text. Anything else is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Lifetime(pub(super) Option<Duration>);

impl Lifetime {
    /// Falls back to what a JSON Web Token says of itself (RFC 7519 §4.1), by the issuer's clock `date` where that is known.
    pub(super) fn or_claim(self, token: &[u8], date: Option<i64>) -> Option<Duration> {
        self.0.or_else(|| {
            let claims = claims(token)?;
            let start = claims.issued_at.or(date).unwrap_or_else(time::now);
            Some(until(claims.expires_at?, start))
        })
    }
}

/// Returns the time from `start` to `end`, both in seconds since 1970; none when that has passed.
pub(super) fn until(end: i64, start: i64) -> Duration {
    Duration::from_secs(end.saturating_sub(start).max(0).unsigned_abs())
}

/// Returns how long it is until a time of RFC 3339, by the server's clock.
pub(super) fn remaining(end: &str, response: &Response) -> Option<Duration> {
    let end: jiff::Timestamp = end.parse().ok()?;
    Some(until(end.as_second(), response.date.unwrap_or_else(time::now)))
}

/// Takes over text as a secret.
pub(super) fn into_secret(mut text: Zeroizing<String>) -> Secret {
    Secret::new(Zeroizing::new(std::mem::take(&mut *text).into_bytes()))
}

impl<'de> Deserialize<'de> for Lifetime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Wire {
            Number(f64),
            Text(String),
            Other(serde::de::IgnoredAny),
        }
        let seconds = match Wire::deserialize(deserializer)? {
            Wire::Number(seconds) => Some(seconds),
            Wire::Text(text) => text.trim().parse().ok(),
            Wire::Other(_) => None,
        };
        Ok(Self(seconds.map(|seconds: f64| Duration::try_from_secs_f64(seconds.floor()).unwrap_or(Duration::ZERO))))
    }
}

#[derive(Deserialize)]
struct Claims {
    #[serde(rename = "exp")]
    expires_at: Option<i64>,
    #[serde(rename = "iat")]
    issued_at: Option<i64>,
}

fn claims(token: &[u8]) -> Option<Claims> {
    let payload = token.split(|byte| *byte == b'.').nth(1)?;
    let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_read_as_issuers_write_them() {
        for (json, seconds) in [
            ("3600", Some(3600)),
            ("3599.9", Some(3599)),
            ("\"3600\"", Some(3600)),
            ("0", Some(0)),
            ("-5", Some(0)),
            ("1e300", Some(0)),
            ("null", None),
            ("\"soon\"", None),
            ("{}", None),
        ] {
            let lifetime: Lifetime = serde_json::from_str(json).unwrap();
            assert_eq!(lifetime.0, seconds.map(Duration::from_secs), "{json}");
        }
    }

    #[test]
    fn a_web_token_says_when_it_ends() {
        let token = |claims: &str| format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims));
        let of = |claims: &str, date| Lifetime(None).or_claim(token(claims).as_bytes(), date);
        assert_eq!(of(r#"{"iat":1000,"exp":1600}"#, Some(5)), Some(Duration::from_secs(600)));
        assert_eq!(of(r#"{"exp":1600}"#, Some(1500)), Some(Duration::from_secs(100)));
        assert_eq!(of(r#"{"exp":1600}"#, Some(1700)), Some(Duration::ZERO));
        assert_eq!(of("{}", Some(5)), None);
        assert_eq!(Lifetime(None).or_claim(b"opaque", Some(5)), None);
    }
}
