//! How containerd names the directories of registries on Windows.

/// Returns the name of the directory of a registry without the `:` before its port, which no file name may have; containerd
/// looks for it after the one with `_` around the port.
pub fn plain_directory(registry: &str) -> String {
    registry.replace(':', "")
}
