//! Which hosts containerd asks for an image, and with which certificates: read from the configuration on this node.
//!
//! `config` finds the directories, `hosts` reads the one of a registry, `host` is one host. Nothing is asked here. What is wrong
//! in a file becomes a warning, with what containerd makes of it: it never fails a pull for a broken hosts.toml but goes
//! on without it, in silence.

mod config;
mod host;
mod hosts;
#[cfg(test)]
mod tests;

use crate::kubelet::config::System;
pub use config::{Config, ConfigError, Login, read};
pub use host::{Host, Pair, default_authority, is_loopback};
pub use hosts::Chain;

/// Returns where distributions keep config.toml of the containerd that the kubelet uses, the most particular first.
pub const fn usual_configs(system: System) -> &'static [&'static str] {
    match system {
        System::Linux => &[
            "/var/lib/rancher/rke2/agent/etc/containerd/config.toml",
            "/var/lib/rancher/k3s/agent/etc/containerd/config.toml",
            "/etc/cri/containerd.toml",
            "/var/snap/microk8s/current/args/containerd.toml",
            "/etc/k0s/containerd.toml",
            "/etc/containerd/config.toml",
        ],
        System::Windows => &[
            r"C:\var\lib\rancher\rke2\agent\etc\containerd\config.toml",
            r"C:\k\containerd\config.toml",
            r"C:\Program Files\containerd\config.toml",
            r"C:\ProgramData\containerd\config.toml",
        ],
    }
}
