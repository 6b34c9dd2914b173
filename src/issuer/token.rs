//! Tokens as issuers give them: text, and how long it is good.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use zeroize::Zeroizing;

use super::http::Response;
use super::{IssuerError, Issuing};
use crate::credential::Credential;
use crate::kubelet::service_account::ServiceAccount;
use crate::secret::Secret;
use crate::time;

/// The setting that says which audience the pod's token is for.
pub(super) const AUDIENCE: &str = "token-audience";
/// The setting that says whether the kubelet keeps an answer for all tokens of a service account, or for one.
pub(super) const CACHE: &str = "token-cache";

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

/// How an issuer says when its token ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Expiry {
    /// Seconds from now, as a number or as text.
    #[default]
    Seconds,
    /// Seconds since 1970; what is not positive stands for never.
    Epoch,
    /// A time of RFC 3339.
    Time,
    /// A duration as Go writes it, from now: `1h30m0s`.
    Duration,
}

impl Expiry {
    /// Understands a value; `date` is the issuer's clock where that is known.
    pub(super) fn lifetime(self, value: &Value, date: Option<i64>) -> Option<Duration> {
        let from_now = |end| until(end, date.unwrap_or_else(time::now));
        match self {
            Self::Seconds => Lifetime::deserialize(value).ok()?.0,
            Self::Epoch => {
                let end = value.as_i64().or_else(|| value.as_str()?.trim().parse().ok());
                end.filter(|end| *end > 0).map(from_now)
            }
            Self::Time => remaining(value.as_str()?, date),
            Self::Duration => {
                // Go writes fractions of a second, and those are dropped.
                let text = value.as_str()?;
                let whole = text.split_once('.').map(|(whole, _)| format!("{whole}s"));
                time::parse_duration(whole.as_deref().unwrap_or(text))
            }
        }
    }
}

/// Returns how long it is until a time of RFC 3339, by the issuer's clock `date` where that is known.
pub(super) fn remaining(end: &str, date: Option<i64>) -> Option<Duration> {
    let end: jiff::Timestamp = end.trim().parse().ok()?;
    Some(until(end.as_second(), date.unwrap_or_else(time::now)))
}

/// Whether the pod's token proves who asks where a stored secret could as well.
pub(super) fn is_of_pod(credential: &Credential) -> bool {
    credential.secret.expose().is_empty()
}

/// Returns what proves who asks: the stored secret, or, where none is stored, the token of the pod, and then whose it is.
///
/// # Errors
/// [`IssuerError::NoServiceAccount`] when there is neither. One never stands in for the other.
pub(super) fn subject<'a>(
    credential: &Credential,
    issuing: &Issuing<'a>,
) -> Result<(Secret, Option<&'a ServiceAccount>), IssuerError> {
    if !is_of_pod(credential) {
        return Ok((credential.secret.clone(), None));
    }
    let account = issuing.service_account.ok_or(IssuerError::NoServiceAccount)?;
    Ok((account.token.clone(), Some(account)))
}

/// Returns the time from `start` to `end`, both in seconds since 1970; none when that has passed.
pub(super) fn until(end: i64, start: i64) -> Duration {
    Duration::from_secs(end.saturating_sub(start).max(0).unsigned_abs())
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
    fn every_way_to_say_when_a_token_ends() {
        let now = Some(1_000_000_000);
        for (expiry, json, seconds) in [
            (Expiry::Seconds, "3600", Some(3600)),
            (Expiry::Seconds, "\"3600\"", Some(3600)),
            (Expiry::Epoch, "1000003600", Some(3600)),
            (Expiry::Epoch, "\"1000003600\"", Some(3600)),
            (Expiry::Epoch, "999999999", Some(0)),
            (Expiry::Epoch, "-1", None),
            (Expiry::Epoch, "0", None),
            (Expiry::Time, "\"2001-09-09T02:46:40Z\"", Some(3600)),
            (Expiry::Time, "\"2001-09-09T04:46:40.123456789+02:00\"", Some(3600)),
            (Expiry::Time, "\"2001-09-09T01:00:00.000Z\"", Some(0)),
            (Expiry::Time, "\"2001-09-09\"", None),
            (Expiry::Duration, "\"1h0m0s\"", Some(3600)),
            (Expiry::Duration, "\"59m59.999s\"", Some(3599)),
            (Expiry::Duration, "\"90m\"", Some(5400)),
            (Expiry::Duration, "\"soon\"", None),
            (Expiry::Duration, "3600", None),
        ] {
            let value = serde_json::from_str(json).unwrap();
            assert_eq!(expiry.lifetime(&value, now), seconds.map(Duration::from_secs), "{expiry:?} {json}");
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
