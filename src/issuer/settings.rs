//! The settings of an entry: which an issuer takes, which it lacks, and what they mean.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::IssuerError;
use super::endpoint::Endpoint;
use super::token;
use crate::time;

/// What every issuer takes.
const COMMON: [&str; 5] = ["allow", "cache", "require-service-account", token::AUDIENCE, token::CACHE];
/// And every one that asks somebody.
const ONLINE: [&str; 2] = ["ca-file", "timeout"];

/// Longest `cache`: a rotated password stays wrong for that long, since the kubelet never drops an answer early.
const MAX_CACHE: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_TIMEOUT: Duration = Duration::from_secs(55);

/// Longest audience: those of clouds have two hundred signs.
const MAX_AUDIENCE: usize = 1024;

/// The settings of one entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings<'a>(pub(super) &'a BTreeMap<String, String>);

impl<'a> Settings<'a> {
    pub(super) fn get(self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Checks the names, and the values that every issuer shares.
    pub(super) fn check(self, issuer: &'static str, own: &[&str], is_online: bool) -> Result<(), IssuerError> {
        let online: &[&str] = if is_online { &ONLINE } else { &[] };
        let known = || own.iter().chain(online).chain(&COMMON);
        if let Some(name) = self.0.keys().find(|name| !known().any(|known| known == name)) {
            let mut names: Vec<String> = known().map(|name| format!("`{name}`")).collect();
            names.sort();
            return Err(IssuerError::UnknownSetting { issuer, name: quote(name), known: names.join(", ") });
        }
        self.cache()?;
        self.timeout()?;
        self.requires_service_account()?;
        self.token_audience()?;
        self.keeps_by_token()?;
        self.allow().map(drop)
    }

    /// Returns the values of settings that must be there; the error names all that are not.
    pub(super) fn required<const N: usize>(
        self,
        issuer: &'static str,
        names: [&'static str; N],
    ) -> Result<[&'a str; N], IssuerError> {
        let missing: Vec<String> =
            names.iter().filter(|name| self.get(name).is_none()).map(|name| format!("`{name}`")).collect();
        if !missing.is_empty() {
            return Err(IssuerError::MissingSettings { issuer, names: missing.join(", ") });
        }
        Ok(names.map(|name| self.get(name).unwrap_or_default()))
    }

    /// Returns one of a few words, the first when the setting is absent.
    pub(super) fn one_of<T: Copy>(self, name: &'static str, words: &[(&'static str, T)]) -> Result<T, IssuerError> {
        let Some(value) = self.get(name) else { return Ok(words[0].1) };
        words.iter().find(|(word, _)| *word == value).map(|(_, meaning)| *meaning).ok_or_else(|| {
            let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            IssuerError::Setting { name, reason: format!("is none of {}", words.join(", ")) }
        })
    }

    /// Returns a URL that is safe to send a credential to.
    pub(super) fn endpoint(self, name: &'static str) -> Result<Option<Endpoint>, IssuerError> {
        let endpoint = self.get(name).map(Endpoint::parse).transpose();
        endpoint.map_err(|reason| IssuerError::Setting { name, reason: reason.to_owned() })
    }

    /// Returns how long the kubelet may keep an answer at most.
    pub(super) fn cache(self) -> Result<Option<Duration>, IssuerError> {
        let Some(text) = self.0.get("cache") else { return Ok(None) };
        let duration = time::parse_duration(text).filter(|duration| *duration <= MAX_CACHE);
        duration.map(Some).ok_or(IssuerError::Cache)
    }

    /// Returns how long an issuer may take.
    pub(super) fn timeout(self) -> Result<Option<Duration>, IssuerError> {
        let Some(text) = self.0.get("timeout") else { return Ok(None) };
        let range = Duration::from_secs(1)..=MAX_TIMEOUT;
        let timeout = time::parse_duration(text).filter(|timeout| range.contains(timeout));
        timeout.map(Some).ok_or(IssuerError::Setting { name: "timeout", reason: "is not `1s` to `55s`".to_owned() })
    }

    /// Returns the only authorities to trust, instead of the machine's own.
    pub(super) fn ca_file(self) -> Option<PathBuf> {
        self.get("ca-file").map(PathBuf::from)
    }

    /// Whether an answer is only ever given to a pod with a service account.
    pub(super) fn requires_service_account(self) -> Result<bool, IssuerError> {
        self.one_of("require-service-account", &[("false", false), ("true", true)])
    }

    /// Returns the audience that the pod's token is for.
    pub(super) fn token_audience(self) -> Result<Option<&'a str>, IssuerError> {
        let Some(audience) = self.0.get(token::AUDIENCE) else { return Ok(None) };
        let is_audience =
            (1..=MAX_AUDIENCE).contains(&audience.len()) && audience.bytes().all(|b| b.is_ascii_graphic());
        let reason = || "is no audience such as `https://registry.example.com`".to_owned();
        if is_audience {
            Ok(Some(audience))
        } else {
            Err(IssuerError::Setting { name: token::AUDIENCE, reason: reason() })
        }
    }

    /// Whether the kubelet is to keep an answer for one token of a service account, rather than for all of them.
    pub(super) fn keeps_by_token(self) -> Result<bool, IssuerError> {
        self.one_of(token::CACHE, &[("service-account", false), ("token", true)])
    }

    /// Returns the service accounts that may have the credential: `namespace/name` or `namespace/*`. `None` allows all.
    pub(super) fn allow(self) -> Result<Option<Vec<(&'a str, &'a str)>>, IssuerError> {
        let Some(text) = self.0.get("allow") else { return Ok(None) };
        let is_name = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-.".contains(&b))
        };
        let account = |item: &'a str| {
            let (namespace, name) = item.trim().split_once('/')?;
            (is_name(namespace) && (name == "*" || is_name(name))).then_some((namespace, name))
        };
        let accounts: Option<Vec<_>> = text.split(',').map(account).collect();
        accounts.map(Some).ok_or(IssuerError::Setting {
            name: "allow",
            reason: "is no list of `NAMESPACE/SERVICEACCOUNT` or `NAMESPACE/*`, with `,` between".to_owned(),
        })
    }
}

/// Repeats a name only when it can be one: a secret in the wrong place must not be shown.
fn quote(name: &str) -> String {
    let is_name = name.len() <= 30 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    if is_name { format!("setting `{name}`") } else { "such setting".to_owned() }
}
