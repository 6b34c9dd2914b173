//! `node` on the file trees of nodes of every kind, those of Windows included, and what a kubelet would make of them.
//!
//! The trees are made here: nothing of this was run on a real node of these distributions.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use keyring_credential_provider::kubelet::config::{self, Position, System, Target};
use keyring_credential_provider::node::{self, Options, Program, Root};

use crate::support::{BINARY, Dir, Run, run};

pub(crate) const ECR: &str = include_str!("../data/config/samples/eks-config.json");
pub(crate) const ACR: &str = include_str!("../data/config/samples/aks-linux.yaml");
pub(crate) const SECRET: &str = "made-up-secret-of-another-provider";

/// A node's file tree.
pub(crate) struct Tree {
    pub(crate) dir: Dir,
    arguments: Vec<String>,
}

impl Tree {
    /// Files below the root: a name with `!` at its end is a program.
    pub(crate) fn new(files: &[(&str, &str)], arguments: &[&str]) -> Self {
        let dir = Dir::new();
        for (path, text) in files {
            let name = path.trim_end_matches('!');
            let file = dir.path().join(name.trim_start_matches('/'));
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, text).unwrap();
            let mode = if name == *path { 0o644 } else { 0o755 };
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        }
        Self { dir, arguments: arguments.iter().map(|word| (*word).to_owned()).collect() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name.trim_start_matches('/'))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn node(&self, verb: &str, arguments: &[&str]) -> Run {
        run(&mut self.command(verb, arguments), "")
    }

    fn command(&self, verb: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(["node", verb, "--root"]).arg(self.dir.path()).args(&self.arguments).args(arguments).env_clear();
        command
    }

    /// `plan` or `apply` with the usual wishes.
    pub(crate) fn wish(&self, verb: &str, arguments: &[&str]) -> Run {
        run(&mut self.wishing(verb, arguments), "")
    }

    /// As [`Tree::wish`], without waiting.
    pub(crate) fn start(&self, verb: &str, arguments: &[&str]) -> Child {
        self.wishing(verb, arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn wishing(&self, verb: &str, arguments: &[&str]) -> Command {
        let program = program(self.system());
        let usual = ["--match-image", "docker.io", "--match-image", "r.test", "--binary", program.to_str().unwrap()];
        self.command(verb, &[&usual, arguments].concat())
    }

    fn system(&self) -> System {
        Root::new(Some(self.dir.path())).unwrap().system()
    }

    pub(crate) fn detect(&self) -> node::Node {
        let version = self.arguments.iter().position(|word| word == "--kubelet-version");
        let version = version.map(|index| self.arguments[index + 1].clone());
        let flavour = self.arguments.iter().position(|word| word == "--flavour");
        let flavour = flavour.map(|index| self.arguments[index + 1].parse().unwrap());
        node::detect(Root::new(Some(self.dir.path())).unwrap(), Options { version, flavour, ..Options::default() })
    }

    /// Every file, with its mode; what `node` keeps for itself is left out.
    pub(crate) fn files(&self) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut files = BTreeMap::new();
        collect(self.dir.path(), self.dir.path(), &mut files);
        files.retain(|name, _| !name.contains("keyring-credential-provider/node"));
        files
    }

    /// What a kubelet that is started now would say. None: it has no providers.
    #[track_caller]
    pub(crate) fn judge(&self) -> Option<Vec<String>> {
        let node = self.detect();
        let (bin_dir, config) = node.flags.both()?;
        let (bin_dir, file) = (node.root.host(bin_dir).unwrap(), node.root.host(config).unwrap());
        let target = Target::new(node.kubelet().unwrap(), node.root.system());
        let verdict = config::judge(&file, Some(&bin_dir), &target).unwrap();
        assert_eq!(verdict.errors, [""; 0], "{}", self.dir.path().display());
        Some(node.providers().into_iter().map(|provider| provider.name).collect())
    }
}

fn collect(root: &Path, dir: &Path, files: &mut BTreeMap<String, (u32, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, (path.metadata().unwrap().mode(), fs::read(&path).unwrap()));
        }
    }
}

/// The program under test without what only debuggers read, or what Windows would take for a program.
pub(crate) fn program(system: System) -> PathBuf {
    static LINUX: OnceLock<PathBuf> = OnceLock::new();
    static WINDOWS: OnceLock<PathBuf> = OnceLock::new();
    // Beside the test program, not in a directory that goes away with one test.
    let path = |name: &str| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    match system {
        System::Linux => LINUX.get_or_init(|| {
            let path = path("stripped");
            let strip = Command::new("strip").arg("-o").arg(&path).arg(BINARY).status().unwrap();
            assert!(strip.success());
            path
        }),
        System::Windows => WINDOWS.get_or_init(|| {
            let path = path("windows");
            fs::write(&path, "MZ, which is how programs for Windows start").unwrap();
            path
        }),
    }
    .clone()
}

/// A whole life: nothing is left invalid at any moment, nothing of others is lost.
///
/// `before` and `during` are the providers of the kubelet, `after` what `uninstall` leaves where that is not all as it was.
#[track_caller]
fn lives(tree: &Tree, before: Option<&[&str]>, during: &[&str], after: &[(&str, &str)]) {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let original = tree.files();
    assert_eq!(tree.judge(), before.map(names));

    let plan = tree.wish("plan", &[]);
    assert_eq!(plan.code, 10, "{plan:#?}");
    assert_eq!(tree.files(), original, "a plan writes nothing");
    assert!(!format!("{plan:?}").contains(SECRET), "{plan:#?}");

    let apply = tree.wish("apply", &["--yes"]);
    assert_eq!(apply.code, 0, "{apply:#?}");
    assert!(!format!("{apply:?}").contains(SECRET), "{apply:#?}");
    assert_eq!(apply.stdout, plan.stdout);
    assert_eq!(tree.judge(), Some(names(during)));
    for (name, (mode, _)) in &original {
        assert_eq!(tree.files()[name].0, *mode, "{name}");
    }
    let verify = tree.node("verify", &[]);
    assert_eq!(verify.code, 0, "{verify:#?}");

    let applied = tree.files();
    let again = tree.wish("apply", &["--yes"]);
    assert_eq!((again.code, again.stdout.as_str(), again.stderr.lines().last()), (0, "", Some("nothing to change")));
    assert_eq!(tree.files(), applied, "the second time changes nothing");
    assert_eq!(tree.wish("plan", &[]).code, 0);

    let rollback = tree.node("rollback", &[]);
    assert_eq!(rollback.code, 0, "{rollback:#?}");
    assert_eq!(tree.files(), original, "roll-back restores every byte");

    tree.wish("apply", &["--yes"]).done();
    assert_eq!(tree.files(), applied);
    let uninstall = tree.node("uninstall", &["--yes"]);
    assert_eq!(uninstall.code, 0, "{uninstall:#?}");
    assert!(!format!("{uninstall:?}").contains(SECRET), "{uninstall:#?}");
    assert_eq!(tree.judge(), before.map(names));
    let mut left = original.clone();
    for (name, text) in after {
        left.insert((*name).to_owned(), (0o100_644, text.as_bytes().to_vec()));
    }
    assert_eq!(tree.files(), left);
    assert!(!tree.path("/var/lib/keyring-credential-provider").exists());
}

/// After each of the single steps, and each of the way back, the kubelet would start.
#[track_caller]
fn is_valid_at_every_moment(make: impl Fn() -> Tree) {
    let steps = |tree: &Tree| {
        let node = tree.detect();
        let patterns = vec!["docker.io".to_owned(), "r.test".to_owned()];
        let kubelet = node.kubelet().unwrap();
        let provider = config::generate_for(patterns, node::NAME, kubelet, node.root.system(), None).unwrap();
        let bytes = fs::read(program(tree.system())).unwrap();
        let program = Program { bytes, provider, position: Position::Last };
        (node::plan(&node, &program).unwrap().changes, node)
    };
    let (count, _) = (steps(&make()).0.len(), ());
    for killed_after in 0..=count {
        let tree = make();
        let original = tree.files();
        let (changes, node) = steps(&tree);
        for change in &changes[..killed_after] {
            change.write(&node.root).unwrap();
        }
        tree.judge();
        // What was cut short is completed by the next run.
        tree.wish("apply", &["--yes"]).done();
        assert!(tree.judge().unwrap().iter().any(|name| name.starts_with(node::NAME)));

        let removal = node::removal(&tree.detect(), None).unwrap();
        for (index, change) in removal.iter().enumerate() {
            let node = tree.detect();
            change.write(&node.root).unwrap();
            tree.judge();
            assert!(index + 1 < removal.len() || tree.files().len() <= original.len() + 1);
        }
    }
}

pub(crate) fn k3s() -> Tree {
    Tree::new(&[("/etc/rancher/k3s/config.yaml", "token: made-up\n")], &["--kubelet-version", "v1.34.2+k3s1"])
}

#[test]
fn k3s_without_providers() {
    lives(&k3s(), None, &["keyring-credential-provider"], &[]);
    is_valid_at_every_moment(k3s);
}

fn k3s_with_ecr() -> Tree {
    let bin = "/var/lib/rancher/credentialprovider/bin/ecr-credential-provider!";
    let config = "/var/lib/rancher/credentialprovider/config.yaml";
    Tree::new(&[("/etc/rancher/k3s/x", ""), (bin, ""), (config, ECR)], &["--kubelet-version", "1.33"])
}

#[test]
fn k3s_that_finds_its_providers_at_the_default_places() {
    let both = ["ecr-credential-provider", "keyring-credential-provider"];
    lives(&k3s_with_ecr(), Some(&both[..1]), &both, &[]);
    is_valid_at_every_moment(k3s_with_ecr);
}

fn rke2() -> Tree {
    let release = "/var/lib/rancher/rke2/data/v1.31.6-rke2r1-0123456789ab/bin/kubelet!";
    Tree::new(&[("/etc/rancher/rke2/config.yaml.d/50-rancher.yaml", "token: made-up\n"), (release, "")], &[])
}

#[test]
fn rke2_tells_its_version_and_asks_for_its_own_runtime() {
    lives(&rke2(), None, &["keyring-credential-provider"], &[]);
    is_valid_at_every_moment(rke2);
    let tree = rke2();
    tree.wish("apply", &["--yes"]).done();
    let drop_in = "image-credential-provider-bin-dir: '/var/lib/rancher/credentialprovider/bin'\nimage-credential-provider-config: '/var/lib/rancher/credentialprovider/config.yaml'\n";
    assert_eq!(tree.text("/etc/rancher/rke2/config.yaml.d/50-keyring-credential-provider.yaml"), drop_in);
    assert!(tree.text("/var/lib/rancher/credentialprovider/config.yaml").contains("- \"index.docker.io\"\n"));
}

pub(crate) const KUBEADM_UNIT: (&str, &str) = (
    "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
    "[Service]\nEnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env\nEnvironmentFile=-/etc/default/kubelet\n",
);

fn kubeadm() -> Tree {
    let settings = "# node settings\nKUBELET_EXTRA_ARGS=\"--max-pods=42 --node-labels=a=b\"\n";
    Tree::new(&[KUBEADM_UNIT, ("/etc/default/kubelet", settings)], &["--kubelet-version", "1.36"])
}

#[test]
fn kubeadm_gets_the_flags_behind_those_of_the_operator() {
    lives(&kubeadm(), None, &["keyring-credential-provider"], &[]);
    is_valid_at_every_moment(kubeadm);
    let tree = kubeadm();
    tree.wish("apply", &["--yes"]).done();
    let settings = "# node settings\nKUBELET_EXTRA_ARGS=\"--max-pods=42 --node-labels=a=b --image-credential-provider-bin-dir=/usr/libexec/keyring-credential-provider/bin --image-credential-provider-config=/etc/kubernetes/credential-providers/config.yaml\"\n";
    assert_eq!(tree.text("/etc/default/kubelet"), settings);
}

fn kubeadm_rpm() -> Tree {
    let unit = KUBEADM_UNIT.1.replace("/etc/default", "/etc/sysconfig");
    Tree::new(&[(KUBEADM_UNIT.0, &unit), ("/etc/sysconfig/other", "")], &["--kubelet-version", "1.30"])
}

#[test]
fn kubeadm_from_packages_of_red_hat_gets_its_file_made() {
    let left = [("etc/sysconfig/kubelet", "KUBELET_EXTRA_ARGS=\"\"\n")];
    lives(&kubeadm_rpm(), None, &["keyring-credential-provider"], &left);
    is_valid_at_every_moment(kubeadm_rpm);
}

fn eks() -> Tree {
    let environment = format!(
        "NODEADM_KUBELET_ARGS=--config=/etc/kubernetes/kubelet/config.json --image-credential-provider-bin-dir=/etc/eks/image-credential-provider --image-credential-provider-config=/etc/eks/image-credential-provider/config.json --node-labels=token={SECRET}\n"
    );
    Tree::new(
        &[
            ("/etc/eks/image-credential-provider/ecr-credential-provider!", ""),
            ("/etc/eks/image-credential-provider/config.json", ECR),
            ("/etc/eks/kubelet/environment", &environment),
        ],
        &["--kubelet-version", "v1.33.1-eks-113cf36"],
    )
}

#[test]
fn eks_keeps_what_nodeadm_writes_at_every_boot() {
    let both = ["ecr-credential-provider", "keyring-credential-provider"];
    lives(&eks(), Some(&both[..1]), &both, &[]);
    is_valid_at_every_moment(eks);
    let tree = eks();
    tree.wish("apply", &["--yes"]).done();
    assert_eq!(tree.text("/etc/eks/image-credential-provider/config.json"), ECR);
    let flags = "      - --image-credential-provider-bin-dir=/etc/eks/image-credential-provider\n      - --image-credential-provider-config=/etc/keyring-credential-provider/credential-providers.json\n";
    let drop_in = "apiVersion: node.eks.aws/v1alpha1\nkind: NodeConfig\nspec:\n  kubelet:\n    flags:\n";
    assert_eq!(tree.text("/etc/eks/nodeadm.d/50-keyring-credential-provider.yaml"), format!("{drop_in}{flags}"));
    // A new boot: nodeadm writes both flags of its own and then those of the drop-in; ECR's part has changed.
    let environment = tree.text("/etc/eks/kubelet/environment").replace(
        "--image-credential-provider-config=/etc/keyring-credential-provider/credential-providers.json",
        "--image-credential-provider-config=/etc/eks/image-credential-provider/config.json",
    );
    let rebooted = format!(
        "{} --image-credential-provider-config=/etc/keyring-credential-provider/credential-providers.json\n",
        environment.trim_end()
    );
    fs::write(tree.path("/etc/eks/kubelet/environment"), &rebooted).unwrap();
    fs::write(
        tree.path("/etc/eks/image-credential-provider/config.json"),
        ECR.replace("public.ecr.aws", "new.ecr.aws"),
    )
    .unwrap();
    tree.wish("apply", &["--yes"]).done();
    assert_eq!(tree.text("/etc/eks/kubelet/environment"), rebooted);
    assert!(tree.text("/etc/keyring-credential-provider/credential-providers.json").contains("new.ecr.aws"));
    assert_eq!(tree.judge().unwrap(), both);
}

pub(crate) fn aks() -> Tree {
    let settings = "KUBELET_CONFIG_FILE_FLAGS=\nKUBELET_FLAGS=--address=0.0.0.0 --image-credential-provider-bin-dir=/var/lib/kubelet/credential-provider --image-credential-provider-config=/var/lib/kubelet/credential-provider-config.yaml --max-pods=30\n";
    let config = ACR.to_owned() + &format!("    env:\n      - name: TOKEN\n        value: {SECRET}\n");
    Tree::new(
        &[
            ("/etc/kubernetes/azure.json", "{}"),
            ("/etc/default/kubelet", settings),
            ("/var/lib/kubelet/credential-provider/acr-credential-provider!", ""),
            ("/var/lib/kubelet/credential-provider-config.yaml", &config),
        ],
        &["--kubelet-version", "1.32"],
    )
}

#[test]
fn aks_keeps_its_provider_with_comments_and_secrets() {
    let both = ["acr-credential-provider", "keyring-credential-provider"];
    lives(&aks(), Some(&both[..1]), &both, &[]);
    is_valid_at_every_moment(aks);
    let tree = aks();
    let before = tree.text("/var/lib/kubelet/credential-provider-config.yaml");
    tree.wish("apply", &["--yes"]).done();
    let after = tree.text("/var/lib/kubelet/credential-provider-config.yaml");
    assert!(after.starts_with(&before) && after.contains("# a comment that a merge must keep"), "{after}");
}

fn aks_without_providers() -> Tree {
    let settings =
        "KUBELET_CONFIG_FILE_FLAGS=\nKUBELET_FLAGS=--address=0.0.0.0 --max-pods=30\nKUBELET_NODE_LABELS=a=b\n";
    Tree::new(
        &[("/etc/kubernetes/azure.json", "{}"), ("/etc/default/kubelet", settings)],
        &["--kubelet-version", "1.32"],
    )
}

#[test]
fn aks_without_providers_gets_the_flags() {
    lives(&aks_without_providers(), None, &["keyring-credential-provider"], &[]);
    is_valid_at_every_moment(aks_without_providers);
}

fn k0s(command: &str) -> Tree {
    let unit = format!("[Unit]\nDescription=k0s\n[Service]\nExecStart={command}\nRestart=always\n");
    Tree::new(&[("/etc/systemd/system/k0sworker.service", &unit)], &["--kubelet-version", "1.34"])
}

#[test]
fn k0s_gets_the_flags_in_its_unit_however_it_is_quoted() {
    const NEW: &str = "--image-credential-provider-bin-dir=/var/lib/k0s/credentialprovider/bin --image-credential-provider-config=/etc/k0s/credential-providers/config.yaml";
    let escaped = NEW.replace(' ', r"\x20");
    for (before, after) in [
        ("/usr/local/bin/k0s worker", format!("/usr/local/bin/k0s worker \"--kubelet-extra-args={NEW}\"")),
        (
            "/usr/local/bin/k0s worker \"--kubelet-extra-args=--v=2 --x\" --token-file=/t",
            format!("/usr/local/bin/k0s worker \"--kubelet-extra-args=--v=2 --x {NEW}\" --token-file=/t"),
        ),
        (
            "/usr/local/bin/k0s worker --kubelet-extra-args=--v=2 --token-file=/t",
            format!("/usr/local/bin/k0s worker --kubelet-extra-args=--v=2\\x20{escaped} --token-file=/t"),
        ),
        (
            "/usr/local/bin/k0s worker --kubelet-extra-args='--v=2 --x'",
            format!("/usr/local/bin/k0s worker --kubelet-extra-args='--v=2 --x {NEW}'"),
        ),
    ] {
        lives(&k0s(before), None, &["keyring-credential-provider"], &[]);
        let tree = k0s(before);
        tree.wish("apply", &["--yes"]).done();
        let unit = tree.text("/etc/systemd/system/k0sworker.service");
        assert_eq!(unit.lines().nth(3).unwrap(), format!("ExecStart={after}"));
    }
    is_valid_at_every_moment(|| k0s("/usr/local/bin/k0s worker"));
    let refused = k0s("/usr/local/bin/k0s worker \\\n  --token-file=/t").wish("apply", &["--yes"]);
    assert_eq!(refused.code, 6, "{refused:#?}");
    assert!(refused.stderr.contains(&format!("add by hand: {NEW}")), "{refused:#?}");
}

fn microk8s() -> Tree {
    let arguments = "--kubeconfig=${SNAP_DATA}/credentials/kubelet.config\n--root-dir=${SNAP_COMMON}/var/lib/kubelet\n--serialize-image-pulls=false\n";
    Tree::new(&[("/var/snap/microk8s/current/args/kubelet", arguments)], &["--kubelet-version", "1.32"])
}

#[test]
fn microk8s_gets_a_line_a_flag() {
    lives(&microk8s(), None, &["keyring-credential-provider"], &[]);
    is_valid_at_every_moment(microk8s);
}

fn windows_kubeadm() -> Tree {
    let flags = "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=npipe:////./pipe/containerd-containerd\"\r\n";
    Tree::new(
        &[("/C/var/lib/kubelet/kubeadm-flags.env", flags), ("/C/k/StartKubelet.ps1", "")],
        &["--kubelet-version", "1.31"],
    )
}

#[test]
fn windows_kubeadm_gets_the_flags_in_the_file_of_kubeadm() {
    lives(&windows_kubeadm(), None, &["keyring-credential-provider"], &[]);
    is_valid_at_every_moment(windows_kubeadm);
    let tree = windows_kubeadm();
    tree.wish("apply", &["--yes"]).done();
    let flags = "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=npipe:////./pipe/containerd-containerd --image-credential-provider-bin-dir=C:\\k\\credential-provider --image-credential-provider-config=C:\\etc\\kubernetes\\credential-providers\\config.yaml\"\r\n";
    assert_eq!(tree.text("/C/var/lib/kubelet/kubeadm-flags.env"), flags);
}

fn windows_script() -> Tree {
    let script = "$FileContent = Get-Content x\r\n$global:KubeletArgs = $FileContent.Trim()\r\n$cmd = \"C:\\k\\kubelet.exe $global:KubeletArgs\"\r\nInvoke-Expression $cmd\r\n";
    Tree::new(&[("/C/k/StartKubelet.ps1", script)], &["--kubelet-version", "1.31"])
}

#[test]
fn windows_kubeadm_before_a_join_gets_a_block_in_its_script() {
    lives(&windows_script(), None, &["keyring-credential-provider"], &[]);
    is_valid_at_every_moment(windows_script);
    let tree = windows_script();
    tree.wish("apply", &["--yes"]).done();
    let block = "# BEGIN keyring-credential-provider\r\n$global:KubeletArgs += ' --image-credential-provider-bin-dir=C:\\k\\credential-provider --image-credential-provider-config=C:\\etc\\kubernetes\\credential-providers\\config.yaml'\r\n# END keyring-credential-provider\r\n$cmd";
    assert!(tree.text("/C/k/StartKubelet.ps1").contains(block));
}

fn windows_rke2() -> Tree {
    Tree::new(&[("/C/etc/rancher/rke2/config.yaml", "token: x\r\n")], &["--kubelet-version", "v1.29.13+rke2r1"])
}

#[test]
fn windows_rke2_of_1_29_gets_both_names_of_the_program() {
    lives(&windows_rke2(), None, &["keyring-credential-provider.exe"], &[]);
    is_valid_at_every_moment(windows_rke2);
    let tree = windows_rke2();
    tree.wish("apply", &["--yes"]).done();
    let drop_in = "image-credential-provider-bin-dir: 'C:\\var\\lib\\rancher\\credentialprovider\\bin'\nimage-credential-provider-config: 'C:\\var\\lib\\rancher\\credentialprovider\\config.yaml'\n";
    assert_eq!(tree.text("/C/etc/rancher/rke2/config.yaml.d/50-keyring-credential-provider.yaml"), drop_in);
    let bin = tree.path("/C/var/lib/rancher/credentialprovider/bin");
    let mut names: Vec<_> = fs::read_dir(bin).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["keyring-credential-provider", "keyring-credential-provider.exe"]);
    // After an upgrade of the node the name without extension is found, and takes the place of the other.
    let upgraded = Tree { arguments: vec!["--kubelet-version".to_owned(), "1.30".to_owned()], dir: tree.dir };
    upgraded.wish("apply", &["--yes"]).done();
    assert_eq!(upgraded.judge().unwrap(), ["keyring-credential-provider"]);
}

fn windows_aks() -> Tree {
    let script = "$KubeletArgList = $Global:ClusterConfiguration.Kubernetes.Kubelet.ConfigArgs\r\n$KubeletArgList += \"--image-credential-provider-bin-dir=c:\\var\\lib\\kubelet\\credential-provider\"\r\n$KubeletArgList += \"--image-credential-provider-config=c:\\k\\credential-provider-config.yaml\"\r\n";
    Tree::new(
        &[
            ("/C/k/kubeletstart.ps1", script),
            ("/C/k/credential-provider-config.yaml", &ACR.replace('\n', "\r\n")),
            ("/C/var/lib/kubelet/credential-provider/acr-credential-provider", ""),
            ("/C/var/lib/kubelet/credential-provider/acr-credential-provider.exe", ""),
        ],
        &["--kubelet-version", "1.29"],
    )
}

#[test]
fn windows_aks_keeps_its_provider_and_its_line_ends() {
    let both = ["acr-credential-provider", "keyring-credential-provider.exe"];
    lives(&windows_aks(), Some(&both[..1]), &both, &[]);
    is_valid_at_every_moment(windows_aks);
    let tree = windows_aks();
    tree.wish("apply", &["--yes"]).done();
    let config = tree.text("/C/k/credential-provider-config.yaml");
    assert_eq!(config.matches('\n').count(), config.matches("\r\n").count());
}

fn windows_aks_without_providers() -> Tree {
    let script = "$KubeletArgList = $Global:ClusterConfiguration.Kubernetes.Kubelet.ConfigArgs\r\nC:\\k\\kubelet.exe $KubeletArgList\r\n";
    Tree::new(&[("/C/k/kubeletstart.ps1", script)], &["--kubelet-version", "1.32"])
}

#[test]
fn windows_aks_without_providers_gets_a_block_in_its_script() {
    lives(&windows_aks_without_providers(), None, &["keyring-credential-provider"], &[]);
    is_valid_at_every_moment(windows_aks_without_providers);
}

#[test]
fn a_directory_of_configurations_gets_a_file_of_its_own() {
    let make = || {
        let flags = "KUBELET_EXTRA_ARGS=\"--image-credential-provider-bin-dir=/p --image-credential-provider-config=/etc/p.d\"\n";
        let files = [
            KUBEADM_UNIT,
            ("/etc/default/kubelet", flags),
            ("/p/ecr-credential-provider!", ""),
            ("/etc/p.d/10-ecr.json", ECR),
        ];
        Tree::new(&files, &["--kubelet-version", "1.34"])
    };
    let both = ["ecr-credential-provider", "keyring-credential-provider"];
    lives(&make(), Some(&both[..1]), &both, &[]);
    is_valid_at_every_moment(make);
    let tree = make();
    tree.wish("apply", &["--yes", "--first"]).done();
    assert_eq!(tree.judge().unwrap(), ["keyring-credential-provider", "ecr-credential-provider"]);
}

#[test]
fn talos_gets_a_patch_and_the_layout_of_its_extension() {
    let plan = Tree::new(&[], &["--flavour", "talos"]).wish("plan", &[]).done();
    let patch = plan.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect::<String>();
    let expected = "machine:
  kubelet:
    credentialProviderConfig:
      apiVersion: kubelet.config.k8s.io/v1
      kind: CredentialProviderConfig
      providers:
      - name: \"keyring-credential-provider\"
        apiVersion: credentialprovider.kubelet.k8s.io/v1
        matchImages:
        - \"docker.io\"
        - \"r.test\"
        defaultCacheDuration: \"0s\"
        args:
        - \"get-credentials\"
        env:
        - name: KEYRING_CREDENTIAL_PROVIDER_STORE
          value: \"/var/lib/kubelet/keyring-credential-provider\"
";
    assert_eq!(patch, expected);
    assert!(plan.contains("/rootfs/usr/local/lib/kubelet/credentialproviders/keyring-credential-provider"), "{plan}");
}
