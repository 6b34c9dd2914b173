//! What there is to judge: flags, configuration, program, store, and the files of others that come before the plugin.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::Deserialize;

use crate::containerd;
use crate::env;
use crate::import::{self, Format, Import};
use crate::kubelet::config::{self, KubeletVersion, ProviderSummary, System, Target, Verdict};
use crate::node::{Flags, Flavour, Live, Node, Root, Surroundings};
use crate::platform;
use crate::store::{Error, Opened, Store};

/// Everything that the checks look at. Paths are those of the node, but for the store's.
pub struct Facts {
    /// The node's operating system.
    pub system: System,
    /// Whether it is this machine.
    pub is_live: bool,
    /// The kubelet that runs.
    pub running: Option<Live>,
    /// The flags that the node's files give the kubelet.
    pub carried: Flags,
    /// The flags that count.
    pub flags: Flags,
    /// What the kubelet calls its version.
    pub version: Option<String>,
    /// The rules that it follows, or why they are not known.
    pub kubelet: Result<KubeletVersion, String>,
    /// What the kubelet makes of its configuration.
    pub verdict: Option<Result<Verdict, String>>,
    /// Files of the configuration.
    pub files: Vec<ConfigFile>,
    /// Names that this plugin may have.
    pub names: Vec<&'static str>,
    /// The plugin's program.
    pub program: Option<Program>,
    /// Files and directories that others could replace, and who.
    pub writable: Vec<(String, String)>,
    /// Docker's login files, in the order in which the kubelet looks for them.
    pub docker: Vec<(String, Result<Import, String>)>,
    /// Configuration of the container runtime, and what it is made from.
    pub runtime: Vec<RuntimeFile>,
    /// The plugin's store.
    pub store: Result<Opened, Error>,
    /// Where that is, on this machine.
    pub store_dir: PathBuf,
    /// Now, in seconds since 1970.
    pub now: i64,
    /// When the newest of the files was written.
    pub newest_file: Option<i64>,
}

/// A file of the kubelet's configuration.
pub struct ConfigFile {
    /// The file.
    pub path: String,
    /// Its providers.
    pub providers: Vec<ProviderSummary>,
    /// Stores that it names other than the one that is looked at.
    pub other_stores: Vec<String>,
}

/// The plugin's program.
pub struct Program {
    /// The file.
    pub path: String,
    /// Its name in the configuration.
    pub name: String,
    /// Whether there is a file of exactly that name.
    pub has_plain: bool,
    /// Whether there is one with `.exe` behind it.
    pub has_extension: bool,
    /// Whether nothing can run from its file system.
    pub is_noexec: bool,
}

/// A file or directory that says which hosts the container runtime tries, and with which logins.
pub struct RuntimeFile {
    /// The file or directory.
    pub path: String,
    /// What it is written in.
    pub format: Format,
    /// Whether a program writes it anew from another file.
    pub is_generated: bool,
    /// What is in it, or why containerd refuses it.
    pub import: Result<Import, String>,
}

impl Facts {
    /// Returns the providers of the configuration.
    pub fn providers(&self) -> impl Iterator<Item = (&ConfigFile, &ProviderSummary)> {
        self.files.iter().flat_map(|file| file.providers.iter().map(move |provider| (file, provider)))
    }

    /// Returns whether a provider is this plugin.
    pub fn is_ours(&self, provider: &ProviderSummary) -> bool {
        self.names.contains(&provider.name.as_str())
    }
}

/// Looks at a node. `store` is the directory that the operator named; else it is the one that the kubelet's plugin uses.
pub fn gather(node: &Node, store: Option<&Path>, now: i64) -> Facts {
    let root = &node.root;
    let kubelet = node.kubelet().map_err(|refusal| refusal.reason);
    let target = Target::new(*kubelet.as_ref().unwrap_or(&KubeletVersion::NEWEST), root.system());
    let names = node.names();
    let files = node.flags.config.as_deref().map(|config| node.config_files(config)).unwrap_or_default();
    let texts: Vec<(String, Vec<u8>)> = files
        .into_iter()
        .filter_map(|path| Some((root.read(&path).ok()??, path)).map(|(bytes, path)| (path, bytes)))
        .collect();
    let named: Vec<String> = texts.iter().flat_map(|(_, bytes)| stores(bytes, &names)).collect();
    let default = match root.system() {
        System::Linux => "/var/lib/keyring-credential-provider",
        System::Windows => r"C:\ProgramData\keyring-credential-provider",
    };
    let on_host = |path: &str| root.host(path).unwrap_or_else(|_| PathBuf::from(path));
    let store_dir = match store {
        Some(dir) => dir.to_owned(),
        None if named.is_empty() && root.is_live() => platform::default_store_dir(),
        None => on_host(named.first().map_or(default, String::as_str)),
    };
    let config_files = texts.iter().map(|(path, bytes)| ConfigFile {
        path: path.clone(),
        providers: config::providers(bytes).unwrap_or_default(),
        other_stores: stores(bytes, &names).into_iter().filter(|dir| on_host(dir) != store_dir).collect(),
    });
    let files: Vec<ConfigFile> = config_files.collect();
    let name = files.iter().flat_map(|file| &file.providers).find(|provider| names.contains(&provider.name.as_str()));
    let program = name.zip(node.flags.bin_dir.as_deref()).map(|(provider, dir)| program(root, dir, &provider.name));
    let paths = node.flags.config.iter().chain(&node.flags.bin_dir).cloned();
    let paths: Vec<String> = paths
        .chain(files.iter().map(|file| file.path.clone()))
        .chain(program.iter().map(|program| program.path.clone()))
        .collect();
    Facts {
        system: root.system(),
        is_live: root.is_live(),
        running: node.live.clone(),
        carried: node.carried.clone(),
        flags: node.flags.clone(),
        version: node.version.clone(),
        verdict: verdict(node, &target),
        kubelet,
        writable: writable(root, &paths),
        newest_file: paths.iter().filter_map(|path| written_at(&root.host(path).ok()?)).max(),
        files,
        names,
        program,
        docker: docker(node),
        runtime: runtime(root),
        store: Store::at(&store_dir).open(),
        store_dir,
        now,
    }
}

/// Returns the stores that a configuration names for this plugin.
fn stores(bytes: &[u8], names: &[&str]) -> Vec<String> {
    #[derive(Deserialize)]
    struct Config {
        #[serde(default)]
        providers: Vec<Provider>,
    }
    #[derive(Deserialize)]
    struct Provider {
        #[serde(default)]
        name: String,
        #[serde(default)]
        env: Vec<Variable>,
    }
    #[derive(Deserialize)]
    struct Variable {
        name: String,
        value: String,
    }
    let Some(config) = crate::text::decode(bytes).and_then(|text| serde_saphyr::from_str::<Config>(&text).ok()) else {
        return Vec::new();
    };
    let ours = config.providers.into_iter().filter(|provider| names.contains(&provider.name.as_str()));
    let variables = ours.flat_map(|provider| provider.env).filter(|variable| variable.name == env::STORE);
    variables.map(|variable| variable.value).filter(|value| !value.is_empty()).collect()
}

/// Judges the configuration by the kubelet's rules, in the node's own paths.
fn verdict(node: &Node, target: &Target) -> Option<Result<Verdict, String>> {
    let (bin_dir, config) = node.flags.both()?;
    let (on_host, dir_on_host) = (node.root.host(config), node.root.host(bin_dir));
    let (Ok(on_host), Ok(dir_on_host)) = (on_host, dir_on_host) else {
        return Some(Err(format!("`{config}` and `{bin_dir}` are not both absolute paths of this node")));
    };
    let spelled = |text: &str| {
        let text = text.replace(&on_host.display().to_string(), config);
        text.replace(&dir_on_host.display().to_string(), bin_dir)
    };
    Some(match config::judge(&on_host, Some(&dir_on_host), target) {
        Ok(Verdict { errors, warnings }) => {
            let all = |texts: Vec<String>| texts.iter().map(|text| spelled(text)).collect();
            Ok(Verdict { errors: all(errors), warnings: all(warnings) })
        }
        Err(error) => Err(spelled(&error.to_string())),
    })
}

fn program(root: &Root, dir: &str, name: &str) -> Program {
    let plain = root.join(dir, name);
    let extended = format!("{plain}.exe");
    let (has_plain, has_extension) = (root.exists(&plain), root.exists(&extended));
    let path = if !has_plain && has_extension && root.system() == System::Windows { extended } else { plain };
    let is_noexec = root.is_live() && root.host(&path).is_ok_and(|path| platform::is_noexec(&path));
    Program { path, name: name.to_owned(), has_plain, has_extension, is_noexec }
}

/// Looks at files and at all directories above them. Of a tree of another system nothing can be told.
fn writable(root: &Root, paths: &[String]) -> Vec<(String, String)> {
    let is_seen = Root::new(None).is_ok_and(|here| here.system() == root.system());
    let mut all: BTreeMap<String, bool> = BTreeMap::new();
    for path in paths.iter().filter(|_| is_seen) {
        all.insert(path.clone(), false);
        let mut above = root.parent(path);
        while !above.is_empty() {
            all.entry(above.to_owned()).or_insert(true);
            above = root.parent(above);
        }
    }
    let who = |(path, is_above): (String, bool)| {
        let who = platform::others_may_write(&root.host(&path).ok()?, is_above).ok()??;
        Some((path, who))
    };
    all.into_iter().filter_map(who).collect()
}

fn written_at(path: &Path) -> Option<i64> {
    let time = fs::metadata(path).ok()?.modified().ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

fn docker(node: &Node) -> Vec<(String, Result<Import, String>)> {
    let root = &node.root;
    let Surroundings { directory, home } = &node.profile.surroundings;
    // Where a kubelet of Windows starts, and what its home is, as its service says or as the usual scripts have it.
    let directory = directory.as_deref().unwrap_or(r"C:\k");
    let home = home.as_deref().unwrap_or(r"C:\k");
    let of_home = root.join(home, ".docker");
    let dirs: &[&str] = match (root.system(), node.flavour) {
        (System::Windows, _) => &[r"C:\var\lib\kubelet", directory, &of_home, r"C:\.docker"],
        (System::Linux, Flavour::K0s) => &["/var/lib/k0s/kubelet", "", "/root/.docker", "/.docker"],
        (System::Linux, Flavour::Microk8s) => {
            &["/var/snap/microk8s/common/var/lib/kubelet", "", "/root/.docker", "/.docker"]
        }
        (System::Linux, _) => &["/var/lib/kubelet", "", "/root/.docker", "/.docker"],
    };
    let old: &[&str] = match root.system() {
        System::Windows if root.same(directory, home) => &[r"C:\var\lib\kubelet", directory, "C:"],
        System::Windows => &[r"C:\var\lib\kubelet", directory, home, "C:"],
        System::Linux => &[dirs[0], "", "/root"],
    };
    let config = dirs.iter().map(|dir| root.join(dir, "config.json"));
    let paths = config.chain(old.iter().map(|dir| root.join(dir, ".dockercfg")));
    paths
        .filter(|path| root.exists(path))
        .map(|path| (path.clone(), parse(root, Format::DockerConfig, &path)))
        .collect()
}

fn parse(root: &Root, format: Format, path: &str) -> Result<Import, String> {
    let bytes = root.read(path).map_err(|error| error.to_string())?.unwrap_or_default();
    let text = crate::text::decode(&bytes).ok_or("is neither UTF-8 nor UTF-16 with a byte order mark")?;
    import::parse(format, Path::new(path), &text).map_err(|error| error.to_string())
}

fn runtime(root: &Root) -> Vec<RuntimeFile> {
    let (drop_ins, registries, directories): (&[&str], &[&str], &[&str]) = match root.system() {
        System::Linux => (
            &["/etc/containerd/conf.d", "/etc/k0s/containerd.d", "/etc/cri/conf.d"],
            &["/etc/rancher/k3s/registries.yaml", "/etc/rancher/rke2/registries.yaml"],
            &[
                "/etc/containerd/certs.d",
                "/etc/docker/certs.d",
                "/etc/cri/conf.d/hosts",
                "/var/snap/microk8s/current/args/certs.d",
                "/var/lib/rancher/k3s/agent/etc/containerd/certs.d",
                "/var/lib/rancher/rke2/agent/etc/containerd/certs.d",
            ],
        ),
        System::Windows => (
            &[],
            &[r"C:\etc\rancher\rke2\registries.yaml"],
            &[
                r"C:\ProgramData\containerd\certs.d",
                r"C:\etc\containerd\certs.d",
                r"C:\var\lib\rancher\rke2\agent\etc\containerd\certs.d",
            ],
        ),
    };
    let usual = containerd::usual_configs(root.system());
    let mut configs: Vec<String> = usual.iter().map(|path| (*path).to_owned()).collect();
    for dir in drop_ins {
        let names = root.list(dir).into_iter().filter(|name| name.ends_with(".toml"));
        configs.extend(names.map(|name| root.join(dir, &name)));
    }
    let is_generated = |path: &str| path.contains("rancher") && !path.ends_with("registries.yaml");
    let mut files: Vec<RuntimeFile> = Vec::new();
    let registries = registries.iter().map(|path| (Format::RegistriesYaml, (*path).to_owned()));
    for (format, path) in registries.chain(configs.into_iter().map(|path| (Format::Containerd, path))) {
        if root.exists(&path) {
            let import = parse(root, format, &path);
            files.push(RuntimeFile { is_generated: is_generated(&path), path, format, import });
        }
    }
    for dir in directories.iter().filter(|dir| root.is_dir(dir)) {
        let import = root.host(dir).map_err(|error| error.to_string()).and_then(|host| {
            let spelled = |text: &mut String| *text = text.replace(&host.display().to_string(), dir);
            let mut import = import::read(Format::Containerd, &host).map_err(|error| error.to_string())?;
            import.credentials.iter_mut().for_each(|found| spelled(&mut found.origin.file));
            for finding in &mut import.findings {
                spelled(&mut finding.file);
                spelled(&mut finding.message);
            }
            Ok(import)
        });
        files.push(RuntimeFile {
            path: (*dir).to_owned(),
            format: Format::Containerd,
            is_generated: is_generated(dir),
            import,
        });
    }
    files
}
