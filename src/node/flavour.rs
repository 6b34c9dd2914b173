//! What kind of node this is, by the files that each distribution leaves, and which kinds are not ours to change.

use std::str::FromStr;

use serde::Serialize;

use super::root::Root;
use crate::kubelet::config::System;

/// A way to set up a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Flavour {
    /// kubeadm, with the kubelet as a service of its own.
    Kubeadm,
    /// k3s.
    K3s,
    /// RKE2.
    Rke2,
    /// Amazon EKS, Amazon Linux 2023.
    Eks,
    /// Azure AKS.
    Aks,
    /// k0s.
    K0s,
    /// MicroK8s.
    Microk8s,
    /// Talos.
    Talos,
    /// Bottlerocket.
    Bottlerocket,
    /// OpenShift, its Windows nodes included.
    Openshift,
    /// Google GKE.
    Gke,
    /// NixOS.
    Nixos,
    /// Anything else: the two flags are yours to set.
    Other,
}

/// Why a node is left alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What is in the way.
    pub reason: String,
    /// What to do.
    pub remedy: String,
}

impl Refusal {
    /// Makes one.
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into() }
    }
}

impl FromStr for Flavour {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const NAMES: &str =
            "known are kubeadm, k3s, rke2, eks, aks, k0s, microk8s, talos, bottlerocket, openshift, gke, nixos, other";
        Self::ALL.into_iter().find(|flavour| flavour.name() == text).ok_or(NAMES)
    }
}

impl Flavour {
    const ALL: [Self; 13] = [
        Self::Kubeadm,
        Self::K3s,
        Self::Rke2,
        Self::Eks,
        Self::Aks,
        Self::K0s,
        Self::Microk8s,
        Self::Talos,
        Self::Bottlerocket,
        Self::Openshift,
        Self::Gke,
        Self::Nixos,
        Self::Other,
    ];

    /// Returns the name, as `--flavour` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kubeadm => "kubeadm",
            Self::K3s => "k3s",
            Self::Rke2 => "rke2",
            Self::Eks => "eks",
            Self::Aks => "aks",
            Self::K0s => "k0s",
            Self::Microk8s => "microk8s",
            Self::Talos => "talos",
            Self::Bottlerocket => "bottlerocket",
            Self::Openshift => "openshift",
            Self::Gke => "gke",
            Self::Nixos => "nixos",
            Self::Other => "other",
        }
    }

    /// Finds the kind of a node. Systems that own their files come first: what runs on them does not count.
    pub fn of(root: &Root) -> Option<Self> {
        let signs: &[(Self, &[&str])] = match root.system() {
            System::Linux => LINUX,
            System::Windows => WINDOWS,
        };
        let of_release = match root.system() {
            System::Linux => of_os_release(&root.text("/etc/os-release").unwrap_or_default()),
            System::Windows => None,
        };
        of_release.or_else(|| {
            signs.iter().find(|(_, paths)| paths.iter().any(|path| root.exists(path))).map(|(flavour, _)| *flavour)
        })
    }

    /// Says why the files of such a node are not changed by hand, where that is so.
    pub fn refusal(self, system: System) -> Option<Refusal> {
        let (reason, remedy) = match (self, system) {
            (Self::Talos, _) => (
                "Talos has no shell and owns the kubelet's configuration",
                "put the program into the node as a system extension, and apply the patch that `node plan --flavour talos` prints",
            ),
            (Self::Bottlerocket, _) => (
                "Bottlerocket's image is verified and holds the only providers that it runs",
                "set `settings.container-registry.credentials`, or build a variant of Bottlerocket with this program",
            ),
            (Self::Openshift, System::Linux) => (
                "the Machine Config Operator owns this node's files, and calls it degraded when they change",
                "put the program and the configuration into a MachineConfig",
            ),
            (Self::Openshift, System::Windows) => (
                "the Windows Machine Config Operator owns the services of this node, and reverts what others change",
                "use pull secrets on these nodes; the operator has no way to add a provider",
            ),
            (Self::Gke, _) => (
                "GKE's image is read-only and replaced at upgrades, the kubelet's flags with it",
                "use Artifact Registry's own provider or pull secrets, or workload identity through a mirror",
            ),
            (Self::Nixos, _) => (
                "NixOS writes the kubelet's service and `/etc` from its own configuration",
                "set `services.kubernetes.kubelet.extraOpts`, `services.k3s.extraFlags` or `services.rke2.extraFlags`, the \
                 directory of the plugins being a `symlinkJoin`",
            ),
            (Self::K0s | Self::Microk8s | Self::K3s | Self::Eks, System::Windows) => (
                "where such a Windows node has the kubelet's flags is not known",
                "say `--flavour other` with `--bin-dir` and `--config`, and set the two flags yourself",
            ),
            (
                Self::Kubeadm
                | Self::K3s
                | Self::Rke2
                | Self::Eks
                | Self::Aks
                | Self::K0s
                | Self::Microk8s
                | Self::Other,
                _,
            ) => return None,
        };
        Some(Refusal::new(reason, remedy))
    }
}

const LINUX: &[(Flavour, &[&str])] = &[
    (Flavour::Nixos, &["/etc/NIXOS"]),
    (Flavour::Openshift, &["/etc/machine-config-daemon"]),
    (Flavour::Gke, &["/etc/srv/kubernetes/cri_auth_config.yaml"]),
    (Flavour::Eks, &["/etc/eks/kubelet/environment", "/etc/eks/image-credential-provider", "/usr/bin/nodeadm"]),
    (Flavour::Aks, &["/etc/kubernetes/azure.json"]),
    (Flavour::Rke2, &["/etc/rancher/rke2", "/var/lib/rancher/rke2"]),
    (Flavour::K3s, &["/etc/rancher/k3s", "/var/lib/rancher/k3s"]),
    (Flavour::Microk8s, &["/var/snap/microk8s/current/args/kubelet"]),
    (
        Flavour::K0s,
        &["/etc/systemd/system/k0sworker.service", "/etc/systemd/system/k0scontroller.service", "/var/lib/k0s"],
    ),
    (
        Flavour::Kubeadm,
        &[
            "/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
            "/lib/systemd/system/kubelet.service.d/10-kubeadm.conf",
            "/etc/systemd/system/kubelet.service.d/10-kubeadm.conf",
            "/var/lib/kubelet/kubeadm-flags.env",
        ],
    ),
];

const WINDOWS: &[(Flavour, &[&str])] = &[
    (Flavour::Openshift, &[r"C:\k\windows-instance-config-daemon.exe"]),
    (Flavour::Rke2, &[r"C:\etc\rancher\rke2", r"C:\var\lib\rancher\rke2"]),
    (Flavour::Aks, &[r"C:\k\kubeletstart.ps1", r"C:\k\azure.json"]),
    (Flavour::Kubeadm, &[r"C:\var\lib\kubelet\kubeadm-flags.env", r"C:\k\StartKubelet.ps1"]),
    (Flavour::Eks, &[r"C:\ProgramData\Amazon\EKS"]),
];

/// os-release(5): `ID=` names the distribution.
fn of_os_release(text: &str) -> Option<Flavour> {
    let id = text.lines().find_map(|line| line.strip_prefix("ID="))?.trim().trim_matches(['"', '\'']);
    match id {
        "bottlerocket" => Some(Flavour::Bottlerocket),
        "talos" => Some(Flavour::Talos),
        "rhcos" | "scos" => Some(Flavour::Openshift),
        "cos" => Some(Flavour::Gke),
        "nixos" => Some(Flavour::Nixos),
        _ => None,
    }
}
