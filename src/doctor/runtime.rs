//! The container runtime's own configuration: logins that it ignores or never looks up, and mirrors that learn a credential.
//!
//! Source: containerd `internal/cri/server/images/image_pull.go`: a credential of the kubelet is used for every host of a pull, and
//! only without one does containerd look up its own, by the host that it dials.

use super::facts::RuntimeFile;
use super::{Facts, Finding};
use crate::import::Format;
use crate::kubelet::config::System;
use crate::mirror::MirrorRule;
use crate::reference::{DOCKER_HUB, Reference};

/// rancher/rke2#7103: first releases in which RKE2 on Windows writes logins and TLS where containerd looks for them.
const FIXED: [(u32, u32); 4] = [(29, 14), (30, 10), (31, 6), (32, 2)];
const BUG: &str = "rancher/rke2#7103";

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &facts.runtime {
        match &file.import {
            Ok(_) => findings.extend(logins(facts, file)),
            Err(reason) => {
                let message = format!("the container runtime's configuration cannot be read: {reason}");
                findings.push(
                    Finding::error("runtime-refused", message, "correct it; containerd does not start with it")
                        .at(&file.path, None),
                );
            }
        }
    }
    findings.extend(ignored_by_rke2(facts));
    findings.extend(leaks(facts));
    findings
}

fn logins(facts: &Facts, file: &RuntimeFile) -> Vec<Finding> {
    let Ok(import) = &file.import else { return Vec::new() };
    let mut findings = Vec::new();
    for bug in import.findings.iter().filter(|finding| finding.code == "misnested") {
        let message = format!("RKE2 wrote a login or TLS setting where containerd never looks ({BUG}): `{}`", bug.key);
        let remedy = r"run `keyring-credential-provider import registries-yaml C:\etc\rancher\rke2\registries.yaml` for the logins; for TLS, upgrade RKE2";
        findings.push(Finding::error("rke2-template", message, remedy).at(&bug.file, bug.line));
    }
    for broken in import.findings.iter().filter(|finding| finding.code == "unreadable") {
        let message = format!("the container runtime cannot read this: {}", broken.message);
        findings.push(
            Finding::error("runtime-refused", message, "correct it; pulls from that registry fail")
                .at(&broken.file, broken.line),
        );
    }
    for found in import.credentials.iter().filter(|_| !file.is_generated) {
        let scope = &found.scope;
        let is_looked_up = file.format != Format::Containerd
            || scope.domain() != DOCKER_HUB
            || found.origin.key.contains("registry-1.docker.io");
        let is_answered = example(scope.domain()).is_some_and(|image| answers(facts, &image));
        let remedy = format!("run `keyring-credential-provider import {} {} --scrub`", file.format.name(), file.path);
        let finding = if !is_looked_up {
            let message = format!(
                "`{}` is never looked up: containerd asks by the host that it dials, `registry-1.docker.io`",
                found.origin.key
            );
            Finding::warning("hub-key", message, remedy)
        } else if is_answered {
            let message = format!(
                "a login for `{scope}` stands here in plain text, and is ignored, because the plugin answers first"
            );
            Finding::warning("runtime-ignored", message, remedy)
        } else {
            let message = format!("a login for `{scope}` stands here in plain text");
            Finding::info("runtime-login", message, remedy)
        };
        findings.push(finding.at(&found.origin.file, found.origin.line));
    }
    findings
}

/// A Windows node of an RKE2 that loses what registries.yaml says.
fn ignored_by_rke2(facts: &Facts) -> Option<Finding> {
    let file = facts.runtime.iter().find(|file| file.format == Format::RegistriesYaml)?;
    let version =
        facts.version.as_deref().filter(|version| facts.system == System::Windows && version.contains("rke2"))?;
    let mut numbers = version.trim_start_matches("v1.").split(['.', '+', '-']).map(|number| number.parse::<u32>().ok());
    let (minor, patch) = (numbers.next()??, numbers.next()??);
    let is_fixed = FIXED.iter().any(|(fixed, since)| *fixed == minor && patch >= *since) || minor > 32;
    (!is_fixed).then(|| {
        let message = format!("RKE2 {version} on Windows ignores logins and TLS settings of this file ({BUG})");
        let remedy = format!(
            "run `keyring-credential-provider import registries-yaml {} --scrub` for the logins; for TLS, upgrade to 1.29.14, 1.30.10, \
             1.31.6, 1.32.2 or later",
            file.path
        );
        Finding::error("rke2-ignores", message, remedy).at(&file.path, None)
    })
}

/// Mirrors on the node that the store has no rule for, so that they learn the login of the registry.
fn leaks(facts: &Facts) -> Vec<Finding> {
    let Ok(opened) = &facts.store else { return Vec::new() };
    let mut findings = Vec::new();
    for credential in &opened.credentials {
        let Some(image) = example(credential.scope.domain()) else { continue };
        if MirrorRule::find(&opened.mirrors, &image).is_some() {
            continue;
        }
        let front = facts.runtime.iter().find_map(|file| {
            let rule = MirrorRule::find(&file.import.as_ref().ok()?.mirrors, &image)?;
            let host = rule.hosts.iter().find(|host| !host.shares_domain(&credential.scope))?;
            Some((file, host))
        });
        if let Some((file, host)) = front {
            let message = format!(
                "the mirror `{host}` of `{}` learns the login that is stored for it: the store has no mirror rule",
                credential.scope.domain()
            );
            let remedy = format!("run `keyring-credential-provider import {} {}`", file.format.name(), file.path);
            findings.push(Finding::warning("mirror-learns", message, remedy).at(&file.path, None));
        }
    }
    findings
}

fn example(domain: &str) -> Option<Reference> {
    Reference::parse_lenient(&format!("{}/app", domain.replace('*', "a"))).ok()
}

fn answers(facts: &Facts, image: &Reference) -> bool {
    facts
        .store
        .as_ref()
        .is_ok_and(|opened| !crate::matching::choose(image, &opened.credentials, &opened.mirrors).chain.is_empty())
}
