//! One test binary, a module a subject. Tests run the built program and compare its whole standard output, whole standard
//! error and exit code; rules that have a table run on the library.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test that fails to prepare itself has failed")]

mod apply;
mod cli;
mod codegen;
mod config;
mod config_merge;
mod contract;
mod crash;
#[cfg(target_os = "linux")]
mod doctor;
mod import;
mod install;
mod issuer;
mod keys;
mod kubelet_vectors;
mod leak;
mod manifests;
mod mirrors;
#[cfg(target_os = "linux")]
mod node;
#[cfg(target_os = "linux")]
mod node_refusals;
#[cfg(target_os = "linux")]
mod node_restart;
#[cfg(target_os = "linux")]
mod node_state;
mod plugin;
mod powershell;
mod reference;
mod scope;
mod scrub;
#[cfg(feature = "secret-service")]
mod secret_service;
mod store;
mod support;
mod traps;
#[cfg(target_os = "linux")]
mod windows;
#[cfg(target_os = "linux")]
mod windows_node;
