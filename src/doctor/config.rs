//! The kubelet's credential provider configuration: whether the kubelet takes it, and asks for all that is stored.

use super::facts::ConfigFile;
use super::{Facts, Finding, Severity};
use crate::kubelet::config::ProviderSummary;
use crate::kubelet::image_match::MatchImage;
use crate::mirror::Source;
use crate::reference::DOCKER_HUB;

const REGENERATE: &str = "put it into `matchImages`; `keyring-credential-provider config generate` prints all of them";

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let Some(config) = &facts.flags.config else { return Vec::new() };
    let mut findings = Vec::new();
    match &facts.verdict {
        None => {}
        Some(Err(reason)) => findings.push(
            Finding::error(
                "config-unreadable",
                format!("the kubelet's configuration cannot be read: {reason}"),
                "restore it before the kubelet restarts: a kubelet without it does not start",
            )
            .at(config, None),
        ),
        Some(Ok(verdict)) => {
            findings.extend(verdict.errors.iter().map(|error| {
                let remedy = "correct it before the kubelet restarts, which it will not survive; `config validate` judges it again";
                Finding::error("config-refused", format!("the kubelet refuses its configuration: {error}"), remedy)
                    .at(config, None)
            }));
            findings.extend(verdict.warnings.iter().map(|warning| {
                let severity = if is_of_others(facts, warning) { Severity::Info } else { Severity::Warning };
                let remedy = "correct it, and restart the kubelet; `config validate` judges it again";
                Finding::new(severity, "config-mistake", warning.clone(), remedy).at(config, None)
            }));
        }
    }
    let ours: Vec<(&ConfigFile, &ProviderSummary)> = facts.providers().filter(|(_, one)| facts.is_ours(one)).collect();
    let Some((file, our)) = ours.first() else {
        if matches!(&facts.verdict, Some(Ok(verdict)) if verdict.is_valid()) {
            let message = "the kubelet's configuration does not name this plugin, so it is never asked";
            let remedy = "run `keyring-credential-provider node plan`, then `node apply --restart`";
            findings.push(Finding::error("not-configured", message, remedy).at(config, None));
        }
        return findings;
    };
    findings.extend(overlaps(facts, our).map(|finding| finding.at(&file.path, None)));
    findings.extend(not_covered(facts, our).into_iter().map(|finding| finding.at(&file.path, None)));
    for dir in &file.other_stores {
        let message = format!("the kubelet's plugin uses the store `{dir}`, and this is about another one");
        let remedy = format!("run this again with `--store {dir}`, or take the variable out of the configuration");
        findings.push(Finding::warning("other-store", message, remedy).at(&file.path, None));
    }
    findings
}

/// Whether a warning is about a provider that is not this plugin.
fn is_of_others(facts: &Facts, warning: &str) -> bool {
    let of = |name: &str| warning.contains(&format!("(provider \"{name}\""));
    let one = facts.providers().count() == 1;
    facts.providers().any(|(_, other)| !facts.is_ours(other) && (one || of(&other.name)))
}

/// Returns an image that a pattern is for.
fn example(pattern: &str) -> String {
    let image = pattern.replace('*', "a");
    if image.contains('/') { image } else { format!("{image}/app") }
}

fn matches(pattern: &str, image: &str) -> bool {
    MatchImage::parse(pattern).is_ok_and(|pattern| pattern.matches(image))
}

/// Providers that the kubelet asks for the same images.
fn overlaps<'a>(facts: &'a Facts, our: &'a ProviderSummary) -> impl Iterator<Item = Finding> + 'a {
    facts.providers().filter(|(_, other)| !facts.is_ours(other)).filter_map(|(_, other)| {
        let both = our.match_images.iter().find(|mine| {
            let is_both = |theirs: &String| matches(theirs, &example(mine)) || matches(mine, &example(theirs));
            other.match_images.iter().any(is_both)
        })?;
        let message = format!(
            "the kubelet asks `{}` for `{both}` too, and tries the credentials of both",
            crate::text::sanitize(&other.name, 100)
        );
        let remedy =
            "leave the pattern to one of them; a wrong credential that comes first costs a failed login at each pull";
        Some(Finding::warning("two-providers", message, remedy))
    })
}

/// What is stored and never asked for.
fn not_covered(facts: &Facts, our: &ProviderSummary) -> Vec<Finding> {
    let Ok(opened) = &facts.store else { return Vec::new() };
    let has = |image: &str| our.match_images.iter().any(|pattern| matches(pattern, image));
    let mut findings = Vec::new();
    let mut domains: Vec<&str> = Vec::new();
    for credential in &opened.credentials {
        // The login of a mirror serves the images of the registries behind it.
        let is_mirror =
            opened.mirrors.iter().any(|rule| rule.hosts.iter().any(|host| host.shares_domain(&credential.scope)));
        if !is_mirror {
            domains.push(credential.scope.domain());
        }
    }
    for rule in &opened.mirrors {
        if let (Source::Registry(scope), false) = (&rule.source, opened.credentials.is_empty()) {
            domains.push(scope.domain());
        }
    }
    domains.sort_unstable();
    domains.dedup();
    for domain in domains {
        if !has(&example(domain)) {
            let message = format!("the kubelet never asks for images of `{domain}`, for which there is a credential");
            findings.push(Finding::error("not-asked", message, REGENERATE));
        } else if domain == DOCKER_HUB && !has("registry-1.docker.io/library/app") {
            let message = "pods that write `registry-1.docker.io/...` are another registry to the kubelet, and it does not ask for them";
            findings.push(Finding::info("hub-name", message, REGENERATE));
        }
    }
    findings
}
