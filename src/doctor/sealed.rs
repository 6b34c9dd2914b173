//! The sealed store: whether it opens, outlives a reboot, and holds what has not expired; and the clock that decides that.

use super::{Facts, Finding};
use crate::credential::Credential;
use crate::kubelet::config::System;
use crate::store::{Error, KeySource, Opened};

/// Notice that is enough to get a new token.
const SOON: i64 = 7 * 86_400;
/// Clocks of nodes and workstations differ by less.
const SKEW: i64 = 300;

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let opened = match &facts.store {
        Ok(opened) => opened,
        Err(error) => return vec![refused(facts, error)],
    };
    let mut findings = Vec::new();
    if opened.credentials.is_empty() {
        let message = "nothing is stored, so every answer is empty";
        findings.push(Finding::warning("empty-store", message, "store a credential with `login`, `import` or `apply`"));
    }
    if opened.status.key_source == KeySource::Keyring && facts.system == System::Linux {
        let message = "the store's key is in the kernel keyring, and gone with the next reboot";
        findings.push(Finding::warning(
            "key-is-lost",
            message,
            "run `keyring-credential-provider store rekey --key-source systemd-creds`",
        ));
    }
    findings.extend(opened.credentials.iter().filter_map(|credential| expiry(credential, facts.now)));
    findings.extend(clock(opened, facts));
    findings
}

fn refused(facts: &Facts, error: &Error) -> Finding {
    let finding = match error {
        Error::Rollback { .. } => Finding::error("store-rolled-back", error.to_string(), error.remedy()),
        Error::NotFound { .. } => Finding::error("no-store", error.to_string(), error.remedy()),
        error if error.needs_privilege() => Finding::warning("not-root", error.to_string(), error.remedy()),
        error => Finding::error("store-refused", format!("the plugin fails at each pull: {error}"), error.remedy()),
    };
    finding.at(facts.store_dir.display().to_string(), None)
}

fn expiry(credential: &Credential, now: i64) -> Option<Finding> {
    let end = credential.expires_at?;
    let remedy = format!("get a new one and store it with `keyring-credential-provider login {}`", credential.scope);
    let shown = jiff::Timestamp::from_second(end).map_or_else(|_| end.to_string(), |time| time.to_string());
    if end <= now {
        let message = format!("the credential for `{}` expired at {shown}", credential.scope);
        Some(Finding::error("expired", message, remedy))
    } else if end - now <= SOON {
        let message = format!("the credential for `{}` expires at {shown}", credential.scope);
        Some(Finding::warning("expires-soon", message, remedy))
    } else {
        None
    }
}

/// A clock that is behind what was written on this node makes expired tokens look good, and good certificates look early.
fn clock(opened: &Opened, facts: &Facts) -> Option<Finding> {
    let written = opened.credentials.iter().map(|credential| credential.updated_at);
    let newest = written.chain([opened.status.created_at]).chain(facts.newest_file).max()?;
    (newest > facts.now + SKEW).then(|| {
        let message = format!(
            "this machine's clock is at least {} minutes behind what was written on it",
            (newest - facts.now) / 60
        );
        let remedy = "set the clock, and see to it that the node keeps time; tokens and certificates depend on it";
        Finding::error("clock", message, remedy)
    })
}
