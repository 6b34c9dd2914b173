//! What a node is and says: its kind, its kubelet, its flags, and which providers it has.
//!
//! The running kubelet comes first, the files that it will be started with next, tables last.

use super::NAME;
use super::flags::Flags;
use super::flavour::{Flavour, Refusal};
use super::live::{self, Live};
use super::profile::Profile;
use super::root::Root;
use crate::kubelet::config::{self, KubeletVersion, ProviderSummary, System};

/// What an operator says in place of what is found.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Kind of the node.
    pub flavour: Option<Flavour>,
    /// Directory of the plugins.
    pub bin_dir: Option<String>,
    /// The configuration.
    pub config: Option<String>,
    /// Version of the kubelet, as it tells it.
    pub version: Option<String>,
}

/// A node, as found.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its files.
    pub root: Root,
    /// Its kind.
    pub flavour: Flavour,
    /// What is known of that kind.
    pub profile: Profile,
    /// The running kubelet.
    pub live: Option<Live>,
    /// What the kubelet calls its version.
    pub version: Option<String>,
    /// What the node's files say the flags are at the next start.
    pub carried: Flags,
    /// What the flags are at the next start, as far as can be known.
    pub flags: Flags,
    /// Where the flags were found, for people: the file, the value of a service, the process. Nothing when there are none.
    pub source: Option<String>,
    wanted: Flags,
}

/// Where the plugin goes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Directory of the plugins.
    pub bin_dir: String,
    /// The configuration, a file or a directory.
    pub config: String,
    /// Whether the node has both flags already, so that they stay as they are.
    pub is_merge: bool,
}

/// Looks at a node.
pub fn detect(root: Root, options: Options) -> Node {
    let live = live::kubelet(&root);
    let of_process = live.as_ref().and_then(|live| match live.name.as_str() {
        "k3s" | "k3s-server" | "k3s-agent" => Some(Flavour::K3s),
        "kubelite" => Some(Flavour::Microk8s),
        _ => None,
    });
    let flavour = options.flavour.or_else(|| Flavour::of(&root)).or(of_process).unwrap_or(Flavour::Other);
    let profile = Profile::of(flavour, &root);
    let carried = profile.carriers.iter().fold(Flags::default(), |flags, carrier| carrier.read(&root).or(&flags));
    // Flags whose file is gone were taken out and wait for the restart.
    let running = live.as_ref().map(|live| live.flags.clone()).unwrap_or_default();
    let running =
        if running.config.as_deref().is_some_and(|config| root.exists(config)) { running } else { Flags::default() };
    let is_embedded = live.as_ref().is_some_and(|live| live.is_embedded);
    let mut flags = if is_embedded { running.clone().or(&carried) } else { carried.clone().or(&running) };
    let carrier = || profile.carriers.iter().rev().find(|carrier| !carrier.read(&root).is_empty());
    let mut source = if running.is_empty() || !is_embedded && !carried.is_empty() {
        carrier().map(|carrier| carrier.path().to_owned())
    } else {
        live.as_ref().map(|live| format!("process {}", live.pid))
    };
    if let (true, true, Some(bin_dir), Some(config)) =
        (flags.is_empty(), profile.finds_defaults, &profile.bin_dir, &profile.config)
        && root.is_dir(bin_dir)
        && root.exists(config)
    {
        flags = Flags::new(bin_dir, config);
        source = Some("the default places of the node's kubelet".to_owned());
    }
    let version = options.version.clone().or_else(|| version(&root, live.as_ref(), &profile));
    let wanted = Flags { bin_dir: options.bin_dir, config: options.config };
    Node { root, flavour, profile, live, version, carried, flags, source, wanted }
}

impl Node {
    /// Returns the rules that the kubelet follows.
    ///
    /// # Errors
    /// [`Refusal`] where the version is not known, or too old.
    pub fn kubelet(&self) -> Result<KubeletVersion, Refusal> {
        let Some(version) = &self.version else {
            return Err(Refusal::new("the kubelet's version is not known", "say `--kubelet-version`, such as 1.34"));
        };
        let minor = version.trim_start_matches('v').strip_prefix("1.").and_then(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            rest[..end].parse::<u32>().ok()
        });
        let newest = KubeletVersion::NEWEST.to_string();
        match minor {
            Some(minor) if minor > 36 => Ok(KubeletVersion::NEWEST),
            Some(minor) => format!("1.{minor}").parse().map_err(|_| {
                Refusal::new(
                    format!("kubelet 1.{minor} does not know the configuration that this program needs"),
                    format!("upgrade the node: {} to {newest} are known", KubeletVersion::OLDEST),
                )
            }),
            None => Err(Refusal::new("the kubelet's version cannot be read", "say `--kubelet-version`, such as 1.34")),
        }
    }

    /// Decides where the plugin goes.
    ///
    /// # Errors
    /// [`Refusal`] where this node is not ours to change, or contradicts itself or the operator.
    pub fn place(&self) -> Result<Place, Refusal> {
        if let Some(refusal) = self.flavour.refusal(self.root.system()) {
            return Err(refusal);
        }
        match (&self.flags.bin_dir, &self.flags.config) {
            (Some(bin_dir), Some(config)) => {
                let differs = |wanted: &Option<String>, found: &str| {
                    wanted.as_deref().is_some_and(|wanted| !self.root.same(wanted, found))
                };
                if differs(&self.wanted.bin_dir, bin_dir) || differs(&self.wanted.config, config) {
                    return Err(Refusal::new(
                        format!(
                            "the kubelet's plugins are in `{bin_dir}` and its configuration is `{config}`, and it takes one of each"
                        ),
                        "leave out `--bin-dir` and `--config`, so that this plugin joins the others there",
                    ));
                }
                Ok(Place { bin_dir: bin_dir.clone(), config: config.clone(), is_merge: true })
            }
            (None, None) => {
                let pick = |wanted: &Option<String>, known: &Option<String>, option: &str| {
                    wanted.clone().or_else(|| known.clone()).ok_or_else(|| {
                        Refusal::new(
                            "what kind of node this is cannot be seen, nor what its kubelet was started with",
                            format!("say `--flavour`, or where the plugin goes by `{option}`"),
                        )
                    })
                };
                Ok(Place {
                    bin_dir: pick(&self.wanted.bin_dir, &self.profile.bin_dir, "--bin-dir")?,
                    config: pick(&self.wanted.config, &self.profile.config, "--config")?,
                    is_merge: false,
                })
            }
            (Some(_), None) | (None, Some(_)) => Err(Refusal::new(
                "the kubelet has one of its two credential provider flags, and starts only with both or none",
                "complete or remove the flag where it was set",
            )),
        }
    }

    /// Returns the files of a configuration: itself, or those of the directory that the kubelet reads, in its order.
    pub fn config_files(&self, config: &str) -> Vec<String> {
        if !self.root.is_dir(config) {
            return vec![config.to_owned()];
        }
        let is_read = |name: &String| [".json", ".yaml", ".yml"].iter().any(|end| name.ends_with(end));
        self.root.list(config).into_iter().filter(is_read).map(|name| self.root.join(config, &name)).collect()
    }

    /// Returns the providers that the kubelet is configured with; files that cannot be read have none.
    pub fn providers(&self) -> Vec<ProviderSummary> {
        let files = self.flags.config.as_deref().map(|config| self.config_files(config)).unwrap_or_default();
        let bytes = files.iter().filter_map(|file| self.root.read(file).ok().flatten());
        bytes.flat_map(|bytes| config::providers(&bytes).unwrap_or_default()).collect()
    }

    /// Returns the names that our provider may have in a configuration.
    pub fn names(&self) -> Vec<&'static str> {
        match self.root.system() {
            System::Linux => vec![NAME],
            System::Windows => vec![NAME, super::WINDOWS_NAME],
        }
    }
}

fn version(root: &Root, live: Option<&Live>, profile: &Profile) -> Option<String> {
    if root.is_live() {
        let running = live.and_then(|live| live.program.as_deref()).into_iter();
        let mut programs = running
            .chain(profile.program.as_deref())
            .chain(profile.programs.iter().copied().filter(|program| root.exists(program)));
        return programs.find_map(live::version_of);
    }
    // RKE2 unpacks what it runs into a directory of that version.
    let data = root.list("/var/lib/rancher/rke2/data");
    let mut releases = data.iter().filter(|name| name.starts_with("v1."));
    if let (Some(release), None) = (releases.next(), releases.next()) {
        return Some(release.replacen("-rke2", "+rke2", 1));
    }
    let packages = root.text("/var/lib/dpkg/status")?;
    let kubelet = packages.split("\n\n").find(|package| package.lines().any(|line| line == "Package: kubelet"))?;
    let version = kubelet.lines().find_map(|line| line.strip_prefix("Version: "))?;
    Some(format!("v{}", version.split('-').next()?))
}
