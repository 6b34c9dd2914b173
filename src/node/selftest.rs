//! Asks a plugin's program as the kubelet would, before a kubelet depends on it.

use std::path::Path;
use std::time::Duration;

use super::NAME;
use crate::process::{self, ProcessError};

/// Longer than the plugin's own limit; the first start of a new program may wait for a virus scanner.
const TIMEOUT: Duration = Duration::from_secs(30);

const REQUEST: &str = concat!(
    r#"{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/v1","image":"selftest.invalid/a"}"#,
    "\n"
);

/// Asks for an image with a store that does not exist. The program must refuse in its own words, or say that nothing is stored.
///
/// # Errors
/// What it did instead.
pub(super) fn ask(program: &Path) -> Result<(), String> {
    let store = program.with_extension("no-store");
    let (Some(program), Some(store)) = (program.to_str(), store.to_str()) else {
        return Err("its path is not written in Unicode".to_owned());
    };
    match process::run(program, &[crate::kubelet::VERB, "--store", store], REQUEST.as_bytes(), TIMEOUT) {
        // The program names itself first.
        Err(ProcessError::Failed(said)) if said.contains(&format!("{NAME}: ")) => Ok(()),
        Err(error @ (ProcessError::Start(_) | ProcessError::Timeout(_) | ProcessError::Failed(_))) => {
            Err(error.to_string())
        }
        Ok(answer) => {
            let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
            let is_answer = answer["kind"] == "CredentialProviderResponse";
            if is_answer { Ok(()) } else { Err("does not answer as a credential provider".to_owned()) }
        }
    }
}
