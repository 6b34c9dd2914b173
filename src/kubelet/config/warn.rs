//! What a kubelet takes in silence and does not do what its author wanted.

use std::collections::HashSet;
use std::path::Path;

use super::wire::Provider;
use super::{KubeletVersion, System, Target, Verdict, go, quote_path, validate};
use crate::kubelet::image_match::MatchImage;
use crate::reference;

/// Names of Docker Hub that the kubelet never asks for, because it writes `docker.io` instead or nobody names images so.
const OTHER_HUB_HOSTS: [&str; 3] = ["index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];

/// An image as the kubelet names those of Docker Hub.
const HUB_IMAGE: &str = "docker.io/library/busybox";

const HOUR: i64 = 3_600_000_000_000;

/// Warns of a byte order mark, and of UTF-16. The kubelet's reader of YAML knows both.
pub(super) fn encoding(bytes: &[u8], path: &Path, verdict: &mut Verdict) {
    let form = match bytes {
        [0xef, 0xbb, 0xbf, ..] => "UTF-8 with a byte order mark",
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "UTF-16",
        _ => return,
    };
    let path = quote_path(path);
    verdict.warning(format!("{path}: {form}; the kubelet reads it, other tools do not; write UTF-8 without the mark"));
}

/// Warns of what the decoder passed over.
pub(super) fn silence(ignored: &[String], has_more: bool, path: &Path, verdict: &mut Verdict) {
    let path = quote_path(path);
    for what in ignored {
        verdict.warning(format!("{path}: {what}: ignored; a kubelet from {} on refuses it", KubeletVersion::STRICT));
    }
    if has_more {
        verdict.warning(format!("{path}: second YAML document; the kubelet reads only the first one"));
    }
}

/// Warns of what a provider says.
pub(super) fn provider(provider: &Provider, place: &str, target: &Target, verdict: &mut Verdict) {
    let mut seen = HashSet::new();
    for pattern in &provider.match_images {
        let shown = go::quote(pattern);
        let mut warn = |why: &str| verdict.warning(format!("matchImages {shown}: {why}{place}"));
        if !seen.insert(pattern) {
            warn("stands there twice");
            continue;
        }
        match MatchImage::parse(pattern) {
            Ok(_) => pattern_mistakes(pattern).iter().for_each(|why| warn(why)),
            Err(error) if target.kubelet < KubeletVersion::NEWEST && validate::older_go_takes(pattern, error) => {
                warn("a kubelet built with a newer Go refuses to start with it");
            }
            Err(_) => {}
        }
    }
    let covers_hub = |pattern: &String| {
        let host = pattern.split('/').next().unwrap_or_default();
        MatchImage::parse(host).is_ok_and(|host| host.matches(HUB_IMAGE))
    };
    let names_hub = |pattern: &String| {
        let host = bare(pattern).split('/').next().unwrap_or_default().to_ascii_lowercase();
        OTHER_HUB_HOSTS.contains(&host.as_str()) || host == "*.docker.io" || host == "docker.io"
    };
    if provider.match_images.iter().any(names_hub) && !provider.match_images.iter().any(covers_hub) {
        verdict.warning(format!(
            "matchImages names Docker Hub, but not as `docker.io`, which is what the kubelet calls it{place}"
        ));
    }
    if provider.default_cache_duration.is_some_and(|duration| duration > HOUR) {
        let duration = go::show_duration(provider.default_cache_duration.unwrap_or_default());
        verdict.warning(format!(
            "defaultCacheDuration {}: where the plugin does not say how long, a wrong or revoked credential stays in use \
             that long{place}",
            go::quote(&duration)
        ));
    }
    let name = provider.name.as_str();
    let is_exe = name.to_ascii_lowercase().ends_with(".exe");
    if target.system == System::Windows && target.kubelet < KubeletVersion::LOOK_PATH && !is_exe && !name.is_empty() {
        verdict.warning(format!(
            "name {}: a Windows kubelet before {} looks for exactly this file, and runs nothing without extension; write {}{place}",
            go::quote(name),
            KubeletVersion::LOOK_PATH,
            go::quote(&format!("{name}.exe"))
        ));
    }
}

fn pattern_mistakes(pattern: &str) -> Vec<String> {
    let rest = bare(pattern);
    if pattern.contains("://") {
        return vec![format!("the scheme makes it match nothing; write `{}`", rest.trim_end_matches('/'))];
    }
    let mut mistakes = Vec::new();
    if let Some(sign) = pattern.chars().find(|c| matches!(c, '?' | '#')) {
        mistakes.push(format!("`{sign}` is no wildcard: it and all that follows is dropped"));
    }
    let pattern = pattern.split(['?', '#']).next().unwrap_or_default();
    let (domain, path) = pattern.split_once('/').unwrap_or((pattern, ""));
    if domain.is_empty() {
        mistakes.push("names no registry, and matches nothing".to_owned());
        return mistakes;
    }
    let domain = match domain.rsplit_once('@') {
        Some((_, domain)) => {
            mistakes.push("what is before `@` is dropped".to_owned());
            domain
        }
        None => domain,
    };
    let (host, port) = reference::split_port(domain);
    if domain.starts_with('[') && port.is_none() {
        mistakes.push("an address in brackets without a port matches nothing".to_owned());
    }
    if host.contains("**") {
        mistakes.push("`**` is the same as `*`, which stands for one part of a host name".to_owned());
    }
    if host == "*" {
        mistakes.push("`*` matches only hosts without a dot, such as `localhost`".to_owned());
    } else if port.is_none() && !host.contains(['.', '*', '[']) && host != "localhost" {
        mistakes.push(
            "names no registry: images without one are on Docker Hub, so write `docker.io/` before it".to_owned(),
        );
    }
    if host == "index.docker.io" && port.is_none() {
        mistakes.push("the kubelet never asks for this name; write `docker.io`".to_owned());
    }
    if domain.chars().any(|c| c.is_ascii_uppercase()) {
        mistakes.push("letter case counts: write the host in lower case".to_owned());
    }
    if path.chars().any(|c| c.is_ascii_uppercase()) {
        mistakes.push("has an upper-case letter in its path, and matches nothing".to_owned());
    }
    if path.contains('*') {
        mistakes.push(
            "`*` in a path is no wildcard, and matches nothing; a path covers all that starts with it, so leave `*` out"
                .to_owned(),
        );
    }
    if path.contains(['@', ':']) {
        mistakes.push("has a tag or digest, and matches nothing; a pattern is for all of them".to_owned());
    }
    mistakes
}

/// Drops the scheme.
fn bare(pattern: &str) -> &str {
    pattern.split_once("://").map_or(pattern, |(_, rest)| rest)
}
