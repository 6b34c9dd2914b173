//! Whether the kubelet runs credential providers at all: its two flags, which it takes both or none.

use super::{Facts, Finding};
use crate::node::Flags;
use crate::text;

const NODE_APPLY: &str = "run `keyring-credential-provider node plan`, then `node apply --restart`";

pub(super) fn check(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.is_live && facts.running.is_none() {
        let message = "no kubelet runs here, so what it was started with cannot be seen";
        findings.push(Finding::warning(
            "no-kubelet",
            message,
            "start the kubelet, and look at its log if it does not stay",
        ));
    }
    match (&facts.flags.bin_dir, &facts.flags.config) {
        (Some(_), Some(_)) => {}
        (None, None) => {
            let message = "the kubelet has no flags for credential providers, so it asks none";
            findings.push(Finding::error("no-flags", message, NODE_APPLY));
        }
        (Some(_), None) => findings.push(one_flag("bin-dir", "config")),
        (None, Some(_)) => findings.push(one_flag("config", "bin-dir")),
    }
    if let Some(running) = &facts.running
        && !running.is_embedded
        && !facts.carried.is_empty()
        && running.flags != facts.carried
    {
        let words = |flags: &Flags| text::sanitize(&flags.words().join(" "), 400);
        let message = format!(
            "the kubelet runs with other credential provider flags than the node's files give it: `{}`, not `{}`",
            words(&running.flags),
            words(&facts.carried)
        );
        let remedy = "restart the kubelet, or correct the file if the running ones are right";
        findings.push(Finding::warning("flags-differ", message, remedy));
    }
    match &facts.kubelet {
        Ok(_) => {}
        Err(reason) => {
            let remedy = "say `--kubelet-version`; the rules of the newest known kubelet were used";
            findings.push(Finding::info("kubelet-version", reason.clone(), remedy));
        }
    }
    findings
}

fn one_flag(has: &str, lacks: &str) -> Finding {
    let message = format!(
        "the kubelet has `--image-credential-provider-{has}` without `--image-credential-provider-{lacks}`, and does not \
         start with one of them"
    );
    Finding::error("one-flag", message, "complete or remove it where it was set, before the kubelet restarts")
}
