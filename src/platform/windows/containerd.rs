//! Where containerd's configuration is on Windows.

use std::path::PathBuf;

/// Returns where distributions keep config.toml of the containerd that the kubelet uses, the most particular first.
pub fn containerd_configs() -> Vec<PathBuf> {
    [
        r"C:\var\lib\rancher\rke2\agent\etc\containerd\config.toml",
        r"C:\k\containerd\config.toml",
        r"C:\Program Files\containerd\config.toml",
        r"C:\ProgramData\containerd\config.toml",
    ]
    .map(PathBuf::from)
    .to_vec()
}

/// Returns the name of the directory of a registry without the `:` before its port, which no file name may have; containerd
/// looks for it after the one with `_` around the port.
pub fn plain_directory(registry: &str) -> String {
    registry.replace(':', "")
}
