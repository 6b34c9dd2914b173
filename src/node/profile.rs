//! Where each kind of node has its plugins, its configuration and its flags, and which service runs the kubelet.
//!
//! Used where the running kubelet says nothing. Paths have neither blanks nor signs that a file of flags could not hold.

use super::carrier::Carrier;
use super::flavour::Flavour;
use super::root::Root;
use super::service::{Service, Surroundings};
use crate::kubelet::config::System;

/// What is known of a kind of node.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Directory of the plugins.
    pub bin_dir: Option<String>,
    /// The configuration.
    pub config: Option<String>,
    /// What carries the kubelet's flags; the last says what counts.
    pub carriers: Vec<Carrier>,
    /// What restarts the kubelet.
    pub restart: Option<Restart>,
    /// Whether the kubelet's program uses the default places of its own accord when both are there.
    pub finds_defaults: bool,
    /// A configuration that the node writes anew at every boot, and where ours goes then.
    pub rewritten: Option<Rewritten>,
    /// The kubelet's program, as its Windows service names it.
    pub program: Option<String>,
    /// What surrounds the kubelet, as its Windows service says.
    pub surroundings: Surroundings,
    /// Programs that tell the kubelet's version.
    pub programs: Vec<&'static str>,
    /// What an operator should know.
    pub notes: Vec<&'static str>,
}

/// A configuration that does not stay as it is.
#[derive(Clone, Debug)]
pub struct Rewritten {
    /// The node's file.
    pub file: &'static str,
    /// Ours: the same and our provider.
    pub ours: &'static str,
}

/// What restarts the kubelet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restart {
    /// A unit of systemd; `reload` when the unit itself changed.
    Systemd {
        /// The unit.
        unit: String,
        /// Whether systemd has to read its units again first.
        reload: bool,
    },
    /// A service of a snap.
    Snap(&'static str),
    /// A Windows service.
    Service(&'static str),
}

impl Restart {
    /// Returns the commands that an operator would type.
    pub fn commands(&self) -> Vec<Vec<String>> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        match self {
            Self::Systemd { unit, reload } => {
                let restart = words(&["systemctl", "restart", unit]);
                if *reload { vec![words(&["systemctl", "daemon-reload"]), restart] } else { vec![restart] }
            }
            Self::Snap(service) => vec![words(&["snap", "restart", service])],
            Self::Service(service) => vec![words(&["Restart-Service", service])],
        }
    }
}

const RANCHER: (&str, &str) =
    ("/var/lib/rancher/credentialprovider/bin", "/var/lib/rancher/credentialprovider/config.yaml");
const DROP_IN: &str = "50-keyring-credential-provider.yaml";

impl Profile {
    /// Returns what is known of a kind of node.
    pub fn of(flavour: Flavour, root: &Root) -> Self {
        match root.system() {
            System::Linux => linux(flavour, root),
            System::Windows => windows(flavour, root).with_service(flavour, root),
        }
    }

    /// Where the kubelet is a service of its own, its arguments stand there, and no file that the table names counts.
    fn with_service(mut self, flavour: Flavour, root: &Root) -> Self {
        let name = match (flavour, &self.restart) {
            (Flavour::Other, _) => "kubelet",
            (_, Some(Restart::Service(name))) => name,
            (_, _) => return self,
        };
        self.surroundings = Surroundings::of(root, name);
        if let Some(service) = Service::of(root, name) {
            self.carriers = vec![Carrier::Service { path: service.value }];
            self.restart = Some(Restart::Service(name));
            self.program = Some(service.program);
            self.notes = vec!["what sets up the kubelet's service anew takes the flags out: run `node apply` after it"];
        }
        self
    }

    fn at(mut self, (bin_dir, config): (&str, &str)) -> Self {
        self.bin_dir = Some(bin_dir.to_owned());
        self.config = Some(config.to_owned());
        self
    }
}

fn linux(flavour: Flavour, root: &Root) -> Profile {
    let kubelet = Some(systemd("kubelet"));
    match flavour {
        Flavour::Kubeadm => Profile {
            carriers: vec![Carrier::Variable { path: settings_file(root), name: "KUBELET_EXTRA_ARGS" }],
            restart: kubelet,
            programs: vec!["/usr/bin/kubelet", "/usr/local/bin/kubelet", "/opt/bin/kubelet"],
            ..Profile::default()
        }
        .at(("/usr/libexec/keyring-credential-provider/bin", "/etc/kubernetes/credential-providers/config.yaml")),
        Flavour::K3s => {
            let server = root.exists("/etc/systemd/system/k3s.service") || !root.exists("/etc/systemd/system/k3s-agent.service");
            Profile {
                carriers: vec![rancher(root, "/etc/rancher/k3s")],
                restart: Some(systemd(if server { "k3s" } else { "k3s-agent" })),
                finds_defaults: true,
                programs: vec!["/usr/local/bin/k3s", "/opt/bin/k3s", "/usr/bin/k3s"],
                notes: if server { vec!["a restart of k3s on a server also restarts its API server: one server at a time"] } else { vec![] },
                ..Profile::default()
            }
            .at(RANCHER)
        }
        Flavour::Rke2 => Profile {
            carriers: vec![rancher(root, "/etc/rancher/rke2")],
            restart: Some(systemd(if root.exists("/var/lib/rancher/rke2/server") { "rke2-server" } else { "rke2-agent" })),
            finds_defaults: true,
            programs: vec!["/usr/local/bin/rke2", "/usr/bin/rke2", "/opt/rke2/bin/rke2"],
            notes: vec!["RKE2 itself runs the provider to pull its runtime, before there is a kubelet, and asks for `index.docker.io`"],
            ..Profile::default()
        }
        .at(RANCHER),
        Flavour::Eks => Profile {
            carriers: vec![
                Carrier::NodeConfig { path: "/etc/eks/nodeadm.d/50-keyring-credential-provider.yaml".to_owned() },
                Carrier::Variable { path: "/etc/eks/kubelet/environment".to_owned(), name: "NODEADM_KUBELET_ARGS" },
            ],
            restart: kubelet,
            rewritten: Some(Rewritten {
                file: "/etc/eks/image-credential-provider/config.json",
                ours: "/etc/keyring-credential-provider/credential-providers.json",
            }),
            programs: vec!["/usr/bin/kubelet"],
            notes: vec![
                "nodeadm writes `config.json` and the kubelet's flags anew at every boot; the NodeConfig in `/etc/eks/nodeadm.d` keeps ours, \
                 and a change of the ECR provider comes in with the next `node apply`",
            ],
            ..Profile::default()
        }
        .at(("/etc/eks/image-credential-provider", "/etc/eks/image-credential-provider/config.json")),
        Flavour::Aks => Profile {
            carriers: vec![Carrier::Variable { path: "/etc/default/kubelet".to_owned(), name: "KUBELET_FLAGS" }],
            restart: kubelet,
            programs: vec!["/usr/local/bin/kubelet", "/opt/bin/kubelet"],
            notes: vec!["an upgrade of the node image replaces the node, and this change with it: roll it out by a DaemonSet"],
            ..Profile::default()
        }
        .at(("/var/lib/kubelet/credential-provider", "/var/lib/kubelet/credential-provider-config.yaml")),
        Flavour::K0s => {
            let controller = root.exists("/etc/systemd/system/k0scontroller.service");
            let unit = if controller { "k0scontroller" } else { "k0sworker" };
            Profile {
                carriers: vec![Carrier::Unit { path: format!("/etc/systemd/system/{unit}.service") }],
                restart: Some(Restart::Systemd { unit: unit.to_owned(), reload: true }),
                programs: vec!["/var/lib/k0s/bin/kubelet"],
                notes: vec!["`k0s install --force` writes the unit anew: run `node apply` after it"],
                ..Profile::default()
            }
            .at(("/var/lib/k0s/credentialprovider/bin", "/etc/k0s/credential-providers/config.yaml"))
        }
        Flavour::Microk8s => Profile {
            carriers: vec![Carrier::Lines { path: "/var/snap/microk8s/current/args/kubelet".to_owned() }],
            restart: Some(Restart::Snap("microk8s.daemon-kubelite")),
            notes: vec!["a restart of MicroK8s's kubelite also restarts its control plane"],
            ..Profile::default()
        }
        .at((
            "/var/snap/microk8s/common/credentialprovider/bin",
            "/var/snap/microk8s/common/credentialprovider/config.yaml",
        )),
        Flavour::Other => Profile { restart: None, ..Profile::default() },
        Flavour::Talos | Flavour::Bottlerocket | Flavour::Openshift | Flavour::Gke | Flavour::Nixos => Profile::default(),
    }
}

fn windows(flavour: Flavour, root: &Root) -> Profile {
    match flavour {
        Flavour::Kubeadm => {
            let flags = r"C:\var\lib\kubelet\kubeadm-flags.env".to_owned();
            // What kubeadm writes is data, and stays when the script is written anew.
            let carrier = if root.exists(&flags) {
                Carrier::Variable { path: flags, name: "KUBELET_KUBEADM_ARGS" }
            } else {
                Carrier::Script { path: r"C:\k\StartKubelet.ps1".to_owned(), variable: "$global:KubeletArgs" }
            };
            Profile {
                carriers: vec![carrier],
                restart: Some(Restart::Service("kubelet")),
                programs: vec![r"C:\k\kubelet.exe"],
                notes: vec!["`kubeadm join` writes the kubelet's flags anew: run `node apply` after it"],
                ..Profile::default()
            }
            .at((r"C:\k\credential-provider", r"C:\etc\kubernetes\credential-providers\config.yaml"))
        }
        Flavour::Rke2 => Profile {
            carriers: vec![rancher(root, r"C:\etc\rancher\rke2")],
            restart: Some(Restart::Service("rke2")),
            finds_defaults: true,
            programs: vec![r"C:\var\lib\rancher\rke2\bin\kubelet.exe", r"C:\usr\local\bin\rke2.exe"],
            ..Profile::default()
        }
        .at((r"C:\var\lib\rancher\credentialprovider\bin", r"C:\var\lib\rancher\credentialprovider\config.yaml")),
        Flavour::Aks => Profile {
            carriers: vec![Carrier::Script { path: r"C:\k\kubeletstart.ps1".to_owned(), variable: "$KubeletArgList" }],
            restart: Some(Restart::Service("kubelet")),
            programs: vec![r"C:\k\kubelet.exe"],
            notes: vec![
                "an upgrade of the node image replaces the node, and this change with it: roll it out by a DaemonSet",
            ],
            ..Profile::default()
        }
        .at((r"C:\var\lib\kubelet\credential-provider", r"C:\k\credential-provider-config.yaml")),
        Flavour::Other
        | Flavour::K3s
        | Flavour::Eks
        | Flavour::K0s
        | Flavour::Microk8s
        | Flavour::Talos
        | Flavour::Bottlerocket
        | Flavour::Openshift
        | Flavour::Gke
        | Flavour::Nixos => Profile::default(),
    }
}

fn systemd(unit: &str) -> Restart {
    Restart::Systemd { unit: unit.to_owned(), reload: false }
}

fn rancher(root: &Root, dir: &str) -> Carrier {
    Carrier::Rancher { path: root.join(&root.join(dir, "config.yaml.d"), DROP_IN), dir: dir.to_owned() }
}

/// Returns the file of `KUBELET_EXTRA_ARGS`: Debian's packages read `/etc/default`, those of Red Hat `/etc/sysconfig`.
fn settings_file(root: &Root) -> String {
    const DEBIAN: &str = "/etc/default/kubelet";
    const RED_HAT: &str = "/etc/sysconfig/kubelet";
    let units =
        ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
    for dir in units {
        let text = root.text(&format!("{dir}/kubelet.service.d/10-kubeadm.conf")).unwrap_or_default();
        for file in [RED_HAT, DEBIAN] {
            if text.contains(file) {
                return file.to_owned();
            }
        }
    }
    if root.exists(RED_HAT) && !root.exists(DEBIAN) { RED_HAT } else { DEBIAN }.to_owned()
}
