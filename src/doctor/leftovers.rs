//! Docker's login files, which the kubelet reads by itself, before it asks a plugin.
//!
//! Source: `pkg/credentialprovider/config.go`, `ReadDockerConfigFile`: of the files in the kubelet's root directory, its working
//! directory, its home and `/`, the first that parses counts. An entry without a login is tried as well, and pulls anonymously.

use super::{Facts, Finding};

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut is_first = true;
    for (path, import) in &facts.docker {
        let import = match import {
            Ok(import) => import,
            Err(reason) => {
                let message =
                    format!("the kubelet cannot read this file of docker logins, and goes to the next one: {reason}");
                findings.push(Finding::info("docker-unreadable", message, "remove it").at(path, None));
                continue;
            }
        };
        if !is_first {
            let message = "the kubelet does not read this file of docker logins, because there is one before it";
            findings.push(Finding::info("docker-unused", message, "remove it").at(path, None));
            continue;
        }
        is_first = false;
        for empty in
            import.findings.iter().filter(|finding| matches!(finding.code, "empty-login" | "credential-helper"))
        {
            if !empty.key.starts_with("auths") {
                continue;
            }
            let message = format!("`{}` has no login, and the kubelet tries it first: anonymously", empty.key);
            findings.push(Finding::error("docker-empty", message, "remove the entry").at(path, empty.line));
        }
        for found in &import.credentials {
            let stored = facts
                .store
                .as_ref()
                .is_ok_and(|opened| opened.credentials.iter().any(|stored| stored.scope.shares_domain(&found.scope)));
            let message = format!("a login for `{}` stands here in plain text", found.scope);
            let remedy = format!("run `keyring-credential-provider import docker-config {path} --scrub`");
            let finding = if stored {
                let message = format!("{message}, and the kubelet tries it before the one that is stored");
                Finding::warning("docker-first", message, remedy)
            } else {
                Finding::warning("docker-login", message, remedy)
            };
            findings.push(finding.at(path, found.origin.line));
        }
    }
    findings
}
