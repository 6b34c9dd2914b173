//! What Docker Hub says of its limits, and for whom it counted.
//!
//! Source: docs.docker.com `docker-hub/usage/pulls`: `ratelimit-limit: 100;w=21600`, `ratelimit-remaining`, and
//! `docker-ratelimit-source`, which is an address for anonymous pulls and an account's identity for others. Unlimited accounts get no
//! such headers.

use std::net::IpAddr;

use serde::Serialize;

/// The limit of whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// Pulls in each window.
    pub limit: u64,
    /// Pulls that are left.
    pub remaining: Option<u64>,
    /// Length of the window in seconds.
    pub window: Option<u64>,
    /// Who was counted.
    pub counted: Counted,
}

/// Whose pulls were counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counted {
    /// Those of an account.
    Authenticated,
    /// Those of an address.
    Anonymous,
    /// The answer does not say.
    Unknown,
}

impl RateLimit {
    /// Reads the headers of an answer, by name; `None` when it has no limit.
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Self> {
        let (limit, window) = number(header("ratelimit-limit")?)?;
        let (remaining, _) = header("ratelimit-remaining").and_then(number).unzip();
        let counted = match header("docker-ratelimit-source").map(str::trim) {
            None | Some("") => Counted::Unknown,
            Some(source) if is_address(source) => Counted::Anonymous,
            Some(_) => Counted::Authenticated,
        };
        Some(Self { limit, remaining, window, counted })
    }
}

/// Reads `100;w=21600`.
fn number(text: &str) -> Option<(u64, Option<u64>)> {
    let mut parts = text.split(';').map(str::trim);
    let number = parts.next()?.parse().ok()?;
    Some((number, parts.find_map(|part| part.strip_prefix("w=")?.parse().ok())))
}

/// An address, or the network of one: an IPv6 client is counted by its /64.
fn is_address(source: &str) -> bool {
    source.split('/').next().is_some_and(|address| address.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_hub_says_whom_it_counted() {
        let read = |source: Option<&'static str>| {
            RateLimit::read(move |name| match name {
                "ratelimit-limit" => Some("100;w=21600"),
                "ratelimit-remaining" => Some("97;w=21600"),
                "docker-ratelimit-source" => source,
                _ => None,
            })
        };
        for (source, counted) in [
            (Some("203.0.113.7"), Counted::Anonymous),
            (Some("2001:db8::/64"), Counted::Anonymous),
            (Some("2f1c9d4e-1111-4222-8333-944444444444"), Counted::Authenticated),
            (Some("acme"), Counted::Authenticated),
            (None, Counted::Unknown),
        ] {
            let expected = RateLimit { limit: 100, remaining: Some(97), window: Some(21600), counted };
            assert_eq!(read(source), Some(expected));
        }
    }

    #[test]
    fn an_answer_without_limit_has_none() {
        assert_eq!(RateLimit::read(|_| None), None);
        assert_eq!(RateLimit::read(|_| Some("many")), None);
    }
}
