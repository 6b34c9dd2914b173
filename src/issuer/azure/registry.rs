//! The registry's side: in which cloud it is, its challenge, and the exchange of an Entra token for one of its own.

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::IssuerError;
use super::super::endpoint::Endpoint;
use super::super::http::{Http, Request};
use super::super::token::Lifetime;

/// Domains of registries, with the host of Microsoft Entra ID of the same cloud: public, China, US Government.
const CLOUDS: [(&str, &str); 3] = [
    (".azurecr.io", "login.microsoftonline.com"),
    (".azurecr.cn", "login.chinacloudapi.cn"),
    (".azurecr.us", "login.microsoftonline.us"),
];

/// Returns the host of the cloud's Microsoft Entra ID; a registry under a name of one's own does not tell.
pub(super) fn authority(registry: &str) -> Option<&'static str> {
    let registry = registry.to_ascii_lowercase();
    let cloud = CLOUDS.iter().find(|(suffix, _)| registry.strip_suffix(suffix).is_some_and(|name| !name.is_empty()));
    cloud.map(|(_, authority)| *authority)
}

/// Exchanges a token of Microsoft Entra ID for the registry's own. The challenge says by which name the registry knows itself,
/// and never whom to ask: a challenge that names another host is refused.
pub(super) fn exchange(
    registry: &Endpoint,
    tenant: Option<&str>,
    entra: &str,
    http: &Http,
) -> Result<(Zeroizing<String>, Option<Duration>), IssuerError> {
    #[derive(Deserialize)]
    struct Answer {
        refresh_token: Zeroizing<String>,
    }
    let base = registry.join("/v2/");
    let response = http.send(&Request::get(&base))?;
    if response.status != 401 {
        return Err(match response.status {
            200..400 => response.unexpected("no challenge; it wants no login"),
            _ => response.refused(""),
        });
    }
    let challenge = response.challenges.iter().find_map(|challenge| Bearer::parse(challenge));
    let challenge =
        challenge.ok_or_else(|| response.unexpected("no challenge of a Bearer token with realm and service"))?;
    if !Endpoint::parse(&challenge.realm).is_ok_and(|realm| realm.origin() == registry.origin()) {
        return Err(response.unexpected("a challenge that names another host; is `endpoint` the registry's own name?"));
    }
    let exchange = registry.join("/oauth2/exchange");
    let mut fields: Vec<(&str, &[u8])> =
        vec![("grant_type", b"access_token"), ("service", challenge.service.as_bytes())];
    fields.extend(tenant.map(|tenant| ("tenant", tenant.as_bytes())));
    fields.push(("access_token", entra.as_bytes()));
    let request = Request::form(&exchange, &fields).header("accept", "application/json").hiding(entra.as_bytes());
    let response = http.send(&request)?.ok()?;
    let answer: Answer = response.json()?;
    let lifetime = Lifetime::default().or_claim(answer.refresh_token.as_bytes(), response.date);
    Ok((answer.refresh_token, lifetime))
}

/// A challenge for a Bearer token (RFC 6750 §3, and the registry protocol's token specification).
#[derive(Debug, PartialEq, Eq)]
struct Bearer {
    realm: String,
    service: String,
}

impl Bearer {
    /// Parses the value of a `WWW-Authenticate` header; `None` for other schemes, and without realm or service.
    fn parse(header: &str) -> Option<Self> {
        let (scheme, mut rest) = header.trim().split_once(' ')?;
        let (mut realm, mut service) = (None, None);
        while let Some((name, value)) = rest.split_once('=') {
            let (value, tail) = match value.trim_start().strip_prefix('"') {
                Some(quoted) => unquote(quoted)?,
                None => {
                    let (value, tail) = value.split_once(',').unwrap_or((value, ""));
                    (value.trim().to_owned(), tail)
                }
            };
            match name.trim_matches([' ', '\t', ',']).to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                _ => {}
            }
            rest = tail;
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        Some(Self { realm: realm?, service: service? })
    }
}

/// Reads a quoted string behind its first quote (RFC 9110 §5.6.4); returns what follows it as well.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registrys_name_tells_the_cloud() {
        for (registry, host) in [
            ("team.azurecr.io", Some("login.microsoftonline.com")),
            ("Team.AzureCR.io", Some("login.microsoftonline.com")),
            ("team.azurecr.cn", Some("login.chinacloudapi.cn")),
            ("team.azurecr.us", Some("login.microsoftonline.us")),
            ("team.azurecr.io.evil.test", None),
            ("teamazurecr.io", None),
            (".azurecr.io", None),
            ("team.azurecr.io:5000", None),
            ("registry.example.com", None),
        ] {
            assert_eq!(authority(registry), host, "{registry}");
        }
    }

    /// Azure's own parser runs past the end of an unquoted last parameter.
    #[test]
    fn peer_bug_challenges_are_read_to_their_end() {
        let team = || Some(Bearer { realm: "https://team.test/t".to_owned(), service: "team.test".to_owned() });
        for (header, expected) in [
            (r#"Bearer realm="https://team.test/t",service="team.test""#, team()),
            (r#"Bearer realm="https://team.test/t",service=team.test"#, team()),
            (r#"bearer  Realm = "https://team.test/t" , service="team.test", error="invalid_token""#, team()),
            (r#"Bearer service="team.test",scope="a,b=\"c\"",realm="https:\//team.test/t""#, team()),
            (r#"Basic realm="https://team.test/t",service="team.test""#, None),
            (r#"Bearer realm="https://team.test/t"#, None),
            (r#"Bearer realm="https://team.test/t""#, None),
            (r#"Bearer realm="https://team.test/t\"#, None),
            ("Bearer service=", None),
            ("Bearer", None),
            ("", None),
        ] {
            assert_eq!(Bearer::parse(header), expected, "{header}");
        }
    }
}
