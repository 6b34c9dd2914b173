//! Where containerd's configuration is on Linux.

use std::path::PathBuf;

/// Returns where distributions keep config.toml of the containerd that the kubelet uses, the most particular first.
pub fn containerd_configs() -> Vec<PathBuf> {
    [
        "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
        "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
        "/etc/cri/containerd.toml",
        "/var/snap/microk8s/current/args/containerd.toml",
        "/etc/k0s/containerd.toml",
        "/etc/containerd/config.toml",
    ]
    .map(PathBuf::from)
    .to_vec()
}

/// Returns the name of the directory of a registry as it stands in an image, after the one with `_` around the port.
pub fn plain_directory(registry: &str) -> String {
    registry.to_owned()
}
