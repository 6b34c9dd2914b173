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

pub use config::{Config, ConfigError, Login, read};
pub use host::{Host, Pair, default_authority, is_loopback};
pub use hosts::Chain;
