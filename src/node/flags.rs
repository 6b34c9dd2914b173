//! The kubelet's two flags for credential providers, which are command-line only, and which it takes both or none.

use serde::Serialize;

/// Directory of the plugins.
pub(super) const BIN_DIR: &str = "--image-credential-provider-bin-dir";
/// File, or directory, of the configuration.
pub(super) const CONFIG: &str = "--image-credential-provider-config";

/// What the flags are set to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Flags {
    /// Value of `--image-credential-provider-bin-dir`.
    pub bin_dir: Option<String>,
    /// Value of `--image-credential-provider-config`.
    pub config: Option<String>,
}

impl Flags {
    /// Both flags.
    pub fn new(bin_dir: &str, config: &str) -> Self {
        Self { bin_dir: Some(bin_dir.to_owned()), config: Some(config.to_owned()) }
    }

    /// Takes them from a command line; the last of each counts, as for the kubelet.
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut flags = Self::default();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            for (name, place) in [(BIN_DIR, &mut flags.bin_dir), (CONFIG, &mut flags.config)] {
                let value = match word.strip_prefix(name) {
                    Some("") => words.next(),
                    Some(rest) => rest.strip_prefix('='),
                    None => None,
                };
                if let Some(value) =
                    value.map(|value| value.trim_matches(['"', '\''])).filter(|value| !value.is_empty())
                {
                    *place = Some(value.to_owned());
                }
            }
        }
        flags
    }

    /// Returns the flags, those of `self` before those of `other`.
    pub fn or(self, other: &Self) -> Self {
        Self {
            bin_dir: self.bin_dir.or_else(|| other.bin_dir.clone()),
            config: self.config.or_else(|| other.config.clone()),
        }
    }

    /// Returns both values when both are set.
    pub fn both(&self) -> Option<(&str, &str)> {
        Some((self.bin_dir.as_deref()?, self.config.as_deref()?))
    }

    /// Returns whether neither is set.
    pub fn is_empty(&self) -> bool {
        self.bin_dir.is_none() && self.config.is_none()
    }

    /// Returns the words for a command line.
    pub fn words(&self) -> Vec<String> {
        let word = |name, value: &Option<String>| value.as_ref().map(|value| format!("{name}={value}"));
        [word(BIN_DIR, &self.bin_dir), word(CONFIG, &self.config)].into_iter().flatten().collect()
    }
}
