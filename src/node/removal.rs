//! What has to change so that a node is without the plugin, and its other providers go on.

use super::change::{Change, Kind};
use super::detect::Node;
use super::flags::Flags;
use super::flavour::Refusal;
use super::plan::{change, read};
use super::state::State;
use super::{NAME, WINDOWS_NAME};
use crate::kubelet::config::{self, Merged};

/// Where the Debian package has its program, and where dpkg lists the files of an installed package.
const PACKAGED_DIR: &str = "/usr/libexec/keyring-credential-provider/bin";
const PACKAGE_LIST: &str = "/var/lib/dpkg/info/keyring-credential-provider.list";

/// Plans how the plugin leaves a node: flags and configuration first, its program last.
///
/// `state` is what was written down when it came; without it, what is found decides.
///
/// # Errors
/// [`Refusal`] where the node would be left with a configuration that its kubelet refuses.
pub fn removal(node: &Node, state: Option<&State>) -> Result<Vec<Change>, Refusal> {
    let root = &node.root;
    let known = state.map(|state| Flags::new(&state.bin_dir, &state.config)).unwrap_or_default();
    let flags = node.flags.clone().or(&known);
    let (Some(bin_dir), Some(config)) = (&flags.bin_dir, &flags.config) else { return Ok(Vec::new()) };
    let mut changes = Vec::new();
    let names = node.names();
    let rewritten = node.profile.rewritten.as_ref().filter(|rewritten| root.same(config, rewritten.ours));
    let base = state.and_then(|state| state.base_config.as_deref()).or(rewritten.map(|rewritten| rewritten.file));

    if let Some(base) = base {
        // The node's own configuration never had our provider.
        let back = Flags::new(bin_dir, base);
        for carrier in &node.profile.carriers {
            changes.push(if carrier.is_ours() {
                change(node, Kind::Flags, carrier.path(), None, 0)?
            } else {
                set_flags(node, carrier, |text| carrier.set(Some(text), &back).map(Some))?
            });
        }
        changes.push(change(node, Kind::Config, config, None, 0)?);
    } else {
        let (config_changes, is_last) = config_changes(node, config)?;
        if is_last {
            let ours = |carrier: &&super::carrier::Carrier| !carrier.read(root).is_empty() || carrier.is_ours();
            for carrier in node.profile.carriers.iter().filter(ours) {
                changes.push(set_flags(node, carrier, |text| Ok(carrier.unset(text)))?);
            }
            let left = !node.flags.is_empty() && node.carried.is_empty() && !node.profile.finds_defaults;
            let stale = node.live.is_none();
            let rest = |carrier: &super::carrier::Carrier| !carrier.rest(root).is_empty();
            if left && !stale || node.profile.carriers.iter().any(rest) {
                return Err(Refusal::new(
                    "this is the kubelet's only provider, and its flags are set in a place that is not known",
                    format!("take the flags out yourself, then run this again: {}", node.flags.words().join(" ")),
                ));
            }
        }
        changes.extend(config_changes);
    }
    // What the Debian package brought, the package takes away.
    let is_packaged = bin_dir == PACKAGED_DIR && root.exists(PACKAGE_LIST);
    for name in [NAME, WINDOWS_NAME] {
        if names.contains(&name) && !is_packaged {
            changes.push(change(node, Kind::Program, &root.join(bin_dir, name), None, 0)?);
        }
    }
    changes.retain(|change| change.before != change.after);
    Ok(changes)
}

/// Plans the files of the configuration, and tells whether no provider is left.
fn config_changes(node: &Node, config: &str) -> Result<(Vec<Change>, bool), Refusal> {
    let names = node.names();
    let mut changes = Vec::new();
    let mut left = 0;
    for file in node.config_files(config) {
        let Some(bytes) = read(node, &file)? else { continue };
        let by_hand =
            |error| Refusal::new(format!("`{file}` {error}"), "take the provider out by hand, then run this again");
        left += config::providers(&bytes)
            .map_err(by_hand)?
            .iter()
            .filter(|provider| !names.contains(&provider.name.as_str()))
            .count();
        match config::remove(&bytes, &names).map_err(by_hand)? {
            Merged::Same => {}
            Merged::Changed(text) => changes.push(change(node, Kind::Config, &file, Some(text.into_bytes()), 0o644)?),
            Merged::Empty => changes.push(change(node, Kind::Config, &file, None, 0)?),
        }
    }
    Ok((changes, left == 0))
}

fn set_flags(
    node: &Node,
    carrier: &super::carrier::Carrier,
    edit: impl FnOnce(&str) -> Result<Option<String>, Refusal>,
) -> Result<Change, Refusal> {
    let before = read(node, carrier.path())?;
    let after = match before.as_deref().map(std::str::from_utf8) {
        None => None,
        Some(Ok(text)) => edit(text)?.map(String::into_bytes),
        Some(Err(_)) => {
            return Err(Refusal::new(format!("`{}` is no UTF-8 text", carrier.path()), "take the flags out by hand"));
        }
    };
    Ok(Change { before, ..change(node, Kind::Flags, carrier.path(), after, 0o644)? })
}
