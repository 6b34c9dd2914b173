//! The registry's side: in which cloud it is, its challenge, and the exchange of an Entra token for one of its own.

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::super::IssuerError;
use super::super::endpoint::Endpoint;
use super::super::http::{Http, Request};
use super::super::token::Lifetime;
use crate::challenge::{Bearer, Challenge};

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
    let (realm, service) = match Challenge::choose(response.challenges.iter().map(String::as_str)) {
        Some(Challenge::Bearer(Bearer { realm, service: Some(service), .. })) => (realm, service),
        Some(Challenge::Bearer(_) | Challenge::Basic | Challenge::Unsupported) | None => {
            return Err(response.unexpected("no challenge of a Bearer token with realm and service"));
        }
    };
    if !Endpoint::parse(&realm).is_ok_and(|realm| realm.origin() == registry.origin()) {
        return Err(response.unexpected("a challenge that names another host; is `endpoint` the registry's own name?"));
    }
    let exchange = registry.join("/oauth2/exchange");
    let mut fields: Vec<(&str, &[u8])> = vec![("grant_type", b"access_token"), ("service", service.as_bytes())];
    fields.extend(tenant.map(|tenant| ("tenant", tenant.as_bytes())));
    fields.push(("access_token", entra.as_bytes()));
    let request = Request::form(&exchange, &fields).header("accept", "application/json").hiding(entra.as_bytes());
    let response = http.send(&request)?.ok()?;
    let answer: Answer = response.json()?;
    let lifetime = Lifetime::default().or_claim(answer.refresh_token.as_bytes(), response.date);
    Ok((answer.refresh_token, lifetime))
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
}
