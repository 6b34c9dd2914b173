//! The kubelet's rules for what a decoded configuration says, in its words.
//!
//! Source: Kubernetes 1.36 `pkg/credentialprovider/plugin/config.go`, `validateCredentialProviderConfig`, and
//! `apimachinery/pkg/util/validation`, `IsQualifiedName`; Go 1.26 `net/url` for patterns.

use std::collections::{BTreeSet, HashSet};

use super::wire::{Provider, TokenAttributes};
use super::{KubeletVersion, Target, go};
use crate::kubelet::ApiVersion;
use crate::kubelet::image_match::{InvalidPattern, MatchImage};

/// Returns what the kubelet has against a provider. Each is one item of `failed to validate credential provider config`.
pub(super) fn provider(provider: &Provider, target: &Target) -> Vec<String> {
    let mut errors = Vec::new();
    let name = &provider.name;
    let bad_name = |reason: &str| format!("providers.name: Invalid value: {}: provider name {reason}", go::quote(name));
    if name.contains('/') {
        errors.push(bad_name("cannot contain '/'"));
    }
    if name.contains(' ') {
        errors.push(bad_name("cannot contain spaces"));
    }
    if matches!(name.as_str(), "." | "..") {
        errors.push(bad_name(&format!("cannot be '{name}'")));
    }
    if provider.api_version.is_empty() {
        errors.push("providers.apiVersion: Required value".to_owned());
    } else if ApiVersion::ALL.iter().all(|version| version.as_str() != provider.api_version) {
        let supported: BTreeSet<_> = ApiVersion::ALL.iter().map(|version| go::quote(version.as_str())).collect();
        let supported: Vec<_> = supported.into_iter().collect();
        errors.push(format!(
            "providers.apiVersion: Unsupported value: {}: supported values: {}",
            go::quote(&provider.api_version),
            supported.join(", ")
        ));
    }
    if provider.match_images.is_empty() {
        errors.push("providers.matchImages: Required value: at least 1 item in matchImages is required".to_owned());
    }
    errors.extend(provider.match_images.iter().filter_map(|pattern| bad_pattern(pattern, target.kubelet)));
    match provider.default_cache_duration {
        None => errors.push("providers.defaultCacheDuration: Required value".to_owned()),
        Some(duration @ ..0) => errors.push(format!(
            "providers.defaultCacheDuration: Invalid value: {}: must be greater than or equal to 0",
            go::quote(&go::show_duration(duration))
        )),
        Some(_) => {}
    }
    if let Some(attributes) = &provider.token_attributes {
        errors.extend(token_attributes(attributes, &provider.api_version, target));
    }
    errors
}

fn token_attributes(attributes: &TokenAttributes, api_version: &str, target: &Target) -> Vec<String> {
    const PATH: &str = "providers.tokenAttributes";
    let mut errors = Vec::new();
    let v1 = ApiVersion::V1.as_str();
    if !target.service_account_tokens {
        errors.push(format!(
            "{PATH}: Forbidden: tokenAttributes is not supported when {} feature gate is disabled",
            super::TOKEN_GATE
        ));
    }
    if attributes.audience.is_empty() {
        errors.push(format!("{PATH}.serviceAccountTokenAudience: Required value"));
    }
    if attributes.require_service_account.is_none() {
        errors.push(format!("{PATH}.requireServiceAccount: Required value"));
    }
    if api_version != v1 {
        errors.push(format!("{PATH}: Forbidden: tokenAttributes is only supported for {v1} API version"));
    }
    let (required, optional) = (&attributes.required_annotation_keys, &attributes.optional_annotation_keys);
    if attributes.require_service_account == Some(false) && !required.is_empty() {
        errors.push(format!(
            "{PATH}.requiredServiceAccountAnnotationKeys: Forbidden: requireServiceAccount cannot be false when \
             requiredServiceAccountAnnotationKeys is set"
        ));
    }
    for (field, keys) in [("required", required), ("optional", optional)] {
        let path = format!("{PATH}.{field}ServiceAccountAnnotationKeys");
        let mut seen = HashSet::new();
        for key in keys {
            let key_errors = qualified_name(&key.to_lowercase());
            errors
                .extend(key_errors.into_iter().map(|why| format!("{path}: Invalid value: {}: {why}", go::quote(key))));
            if !seen.insert(key) {
                errors.push(format!("{path}: Duplicate value: {}", go::quote(key)));
            }
        }
    }
    let both: BTreeSet<_> = required.iter().filter(|key| optional.contains(key)).collect();
    if !both.is_empty() {
        // Go writes the value as JSON.
        let both: Vec<_> = both.into_iter().map(|key| go::quote(key)).collect();
        errors.push(format!(
            "{PATH}: Invalid value: [{}]: annotation keys cannot be both required and optional",
            both.join(",")
        ));
    }
    match attributes.cache_type.as_str() {
        _ if target.kubelet < KubeletVersion::CACHE_TYPE => {}
        "" => errors.push(format!(
            "{PATH}.cacheType: Required value: cacheType is required to be set when tokenAttributes is specified. \
             Supported values are: ServiceAccount, Token"
        )),
        "ServiceAccount" | "Token" => {}
        other => errors.push(format!(
            "{PATH}.cacheType: Unsupported value: {}: supported values: \"ServiceAccount\", \"Token\"",
            go::quote(other)
        )),
    }
    errors
}

fn qualified_name(key: &str) -> Vec<String> {
    const NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                        alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation \
                        is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
                             '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used \
                             for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
    let mut errors = Vec::new();
    let parts: Vec<_> = key.split('/').collect();
    let name = match parts[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                if prefix.len() > 253 {
                    errors.push("prefix part must be no more than 253 bytes".to_owned());
                }
                if !prefix.split('.').all(|label| is_word(label, b"-")) {
                    errors.push(format!("prefix part {SUBDOMAIN}"));
                }
            }
            name
        }
        _ => {
            let prefix = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a valid label key {NAME} {prefix}")];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_word(name, b"-_.") {
        errors.push(format!("name part {NAME}"));
    }
    errors
}

/// Letters and digits, with the signs between them.
fn is_word(text: &str, signs: &[u8]) -> bool {
    let ends_well = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    ends_well(text.as_bytes().first())
        && ends_well(text.as_bytes().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || signs.contains(&byte))
}

fn bad_pattern(pattern: &str, kubelet: KubeletVersion) -> Option<String> {
    let error = MatchImage::parse(pattern).err()?;
    if kubelet < KubeletVersion::NEWEST && older_go_takes(pattern, error) {
        return None;
    }
    Some(format!(
        "providers.matchImages: Invalid value: {}: match image is invalid: parse {}: {}",
        go::quote(pattern),
        go::quote(&format!("https://{pattern}")),
        url_error(pattern, error)
    ))
}

/// Whether a kubelet that was built with an older Go takes a pattern that a newer one refuses: a `[` that is not at the start of
/// the host, brackets around something else than an IPv6 address, two ports. A class of characters worked there.
pub(super) fn older_go_takes(pattern: &str, error: InvalidPattern) -> bool {
    let end = pattern.find(['/', '?', '#']).unwrap_or(pattern.len());
    let (authority, rest) = pattern.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let user = &authority[..authority.len() - host.len()];
    let plain = match (error, host.strip_prefix('[')) {
        (InvalidPattern::IpLiteral, Some(literal)) => {
            literal.rsplit_once(']').map(|(literal, port)| format!("{}{port}", literal.replace(':', "")))
        }
        (InvalidPattern::IpLiteral | InvalidPattern::Port, None) => {
            let (name, port) = host.rsplit_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
            let name = name.replace([':', '[', ']'], "");
            Some(port.map_or_else(|| name.clone(), |port| format!("{name}:{port}")))
        }
        (InvalidPattern::Port, Some(_))
        | (
            InvalidPattern::ControlCharacter
            | InvalidPattern::Escape
            | InvalidPattern::HostCharacter
            | InvalidPattern::UserInfo,
            _,
        ) => None,
    };
    plain.is_some_and(|plain| MatchImage::parse(&format!("{user}{plain}{rest}")).is_ok())
}

/// Words the error as `net/url` does.
fn url_error(pattern: &str, error: InvalidPattern) -> String {
    let host_end = pattern.find(['/', '?', '#']).unwrap_or(pattern.len());
    let host = pattern[..host_end].rsplit('@').next().unwrap_or_default();
    match error {
        InvalidPattern::ControlCharacter => "net/url: invalid control character in URL".to_owned(),
        InvalidPattern::UserInfo => "net/url: invalid userinfo".to_owned(),
        InvalidPattern::Escape => {
            let escape = bad_escape(pattern, host);
            format!("invalid URL escape \"{}\"", escape.escape_ascii())
        }
        InvalidPattern::HostCharacter => {
            let bad = host.chars().find(|c| c.is_ascii() && !is_host_character(*c)).unwrap_or_default();
            format!("invalid character {} in host name", go::quote(&bad.to_string()))
        }
        InvalidPattern::IpLiteral if host.starts_with('[') && !host.contains(']') => "missing ']' in host".to_owned(),
        // Go adds what its parser of addresses says.
        InvalidPattern::IpLiteral => "invalid IP-literal".to_owned(),
        InvalidPattern::Port => {
            let port = match host.strip_prefix('[').and_then(|_| host.rfind(']')) {
                Some(close) => &host[close + 1..],
                None => &host[host.find(':').unwrap_or(0)..],
            };
            format!("invalid port {} after host", go::quote(port))
        }
    }
}

/// Returns the first escape that is incomplete or, in a host, not allowed.
fn bad_escape<'a>(pattern: &'a str, host: &str) -> &'a [u8] {
    let host_start = pattern.find(host).unwrap_or(0);
    let in_host = host_start..host_start + host.len();
    let bytes = pattern.as_bytes();
    let escapes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').map(|(at, _)| at);
    for at in escapes {
        let end = if in_host.contains(&at) { in_host.end } else { bytes.len() };
        let escape = &bytes[at..(at + 3).min(end)];
        let value = str::from_utf8(&escape[1..]).ok().and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let is_good = escape.len() == 3
            && escape[1..].iter().all(u8::is_ascii_hexdigit)
            && (!in_host.contains(&at) || value.is_some_and(|byte| byte == b'%' || !byte.is_ascii()));
        if !is_good {
            return escape;
        }
    }
    b"%"
}

fn is_host_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:[]<>\"%".contains(c)
}
