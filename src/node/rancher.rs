//! The configuration of k3s and RKE2: `config.yaml`, then the files of `config.yaml.d` in order, of which the last word counts.
//!
//! Source: k3s `pkg/configfilearg` and `pkg/cli/cmds/agent.go`: without a word, a directory and a file at the default places
//! are used when both are there.

use serde::Deserialize;

use super::flags::{BIN_DIR, CONFIG, Flags};
use super::root::Root;

#[derive(Default, Deserialize)]
struct Config {
    #[serde(rename = "image-credential-provider-bin-dir")]
    bin_dir: Option<String>,
    #[serde(rename = "image-credential-provider-config")]
    config: Option<String>,
    #[serde(rename = "kubelet-arg", alias = "kubelet-arg+", default)]
    kubelet_arguments: Words,
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Words {
    #[default]
    None,
    One(String),
    Several(Vec<String>),
}

impl Words {
    fn flags(&self) -> Flags {
        let words: Vec<String> = match self {
            Self::None => Vec::new(),
            Self::One(word) => vec![format!("--{word}")],
            Self::Several(words) => words.iter().map(|word| format!("--{word}")).collect(),
        };
        Flags::of(words.iter().map(String::as_str))
    }
}

/// Returns the flags that k3s or RKE2 will give the kubelet by what its configuration says, without the file `ignored`.
pub(super) fn flags(root: &Root, dir: &str, ignored: Option<&str>) -> Flags {
    let drop_ins = root.join(dir, "config.yaml.d");
    let names = root.list(&drop_ins).into_iter().filter(|name| name.ends_with(".yaml") || name.ends_with(".yml"));
    let files = [root.join(dir, "config.yaml")].into_iter().chain(names.map(|name| root.join(&drop_ins, &name)));
    let mut flags = Flags::default();
    let mut arguments = Flags::default();
    for file in files.filter(|file| Some(file.as_str()) != ignored) {
        let text = root.text(&file).unwrap_or_default();
        // k3s would not start with a file that cannot be parsed; it is not for us to tell.
        let config: Config = serde_saphyr::from_str(&text).unwrap_or_default();
        arguments = config.kubelet_arguments.flags().or(&arguments);
        flags = Flags { bin_dir: config.bin_dir, config: config.config }.or(&flags);
    }
    // `kubelet-arg` comes behind what k3s says itself.
    arguments.or(&flags)
}

/// Returns the text of a file that sets both flags. Single quotes keep backslashes as they are.
pub(super) fn text(flags: &Flags) -> String {
    let line = |flag: &str, value: &Option<String>| {
        value.as_ref().map(|value| format!("{}: '{value}'\n", flag.trim_start_matches("--"))).unwrap_or_default()
    };
    line(BIN_DIR, &flags.bin_dir) + &line(CONFIG, &flags.config)
}
