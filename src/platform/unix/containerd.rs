//! How containerd names the directories of registries on Linux.

/// Returns the name of the directory of a registry as it stands in an image, after the one with `_` around the port.
pub fn plain_directory(registry: &str) -> String {
    registry.to_owned()
}
