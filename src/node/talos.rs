//! What a Talos node needs, which is changed from outside: a system extension with the program, and a patch of the machine
//! configuration, from which Talos makes the kubelet's configuration and flags.
//!
//! Source: Talos 1.9 `internal/app/machined/pkg/controllers/k8s/kubelet_spec.go` and the extension format of siderolabs/extensions.

use serde::Serialize;

use super::NAME;
use crate::kubelet::config::Generated;

/// Where Talos lets extensions put plugins.
const BIN_DIR: &str = "/usr/local/lib/kubelet/credentialproviders";

/// Where the plugin, inside of the kubelet's container, finds a store that survives a restart.
pub const STORE: &str = "/var/lib/kubelet/keyring-credential-provider";

/// What to give to Talos.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Extension {
    /// The patch for `talosctl patch machineconfig`.
    pub patch: String,
    /// The file of the extension's image that describes it.
    pub manifest: String,
    /// Where the program is in that image, with mode 0755; it must be a static one.
    pub program: String,
}

/// Makes the patch and the description.
pub fn extension(provider: &Generated) -> Extension {
    let mut patch = String::from(
        "machine:\n  kubelet:\n    credentialProviderConfig:\n      apiVersion: kubelet.config.k8s.io/v1\n      kind: CredentialProviderConfig\n      providers:\n",
    );
    for line in provider.provider_lines() {
        patch.push_str(&format!("      {line}\n"));
    }
    let manifest = format!(
        "version: v1alpha1\nmetadata:\n  name: {NAME}\n  version: {}\n  author: {NAME}\n  description: {}\n  compatibility:\n    talos:\n      version: \">= v1.6.0\"\n",
        env!("CARGO_PKG_VERSION"),
        "Kubelet image credential provider that answers from a sealed store",
    );
    Extension { patch, manifest, program: format!("/rootfs{BIN_DIR}/{NAME}") }
}
