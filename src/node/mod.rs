//! Puts the plugin on a node and takes it off again, without ever leaving the node with a configuration that its kubelet refuses.
//!
//! - `root` the node's files, `flavour` its kind, `profile` the tables, `live` the kubelet that runs, `detect` all of that at once
//! - `flags` the kubelet's two flags, `carrier` and the files beside it (`rancher`, `script`, `service`, `unit`, `words`) where they
//!   stand
//! - `plan` what would change, `removal` the same for taking it off, `change` one file's change and what is shown of it, `talos` the
//!   patch for nodes that are changed from outside
//! - `apply` carries a plan out, `state` remembers it, `rollback` takes the last one back, `verify` looks whether it still holds,
//!   `selftest` asks the program, `health` waits for the kubelet
//!
//! # Invariants
//!
//! A plan is a list of changes of whole files, each written by one rename, or of one value of the registry, set at once, in an
//! order in which the node is valid after each of them: program, configuration, flags; and backwards when it is taken off. What was there is kept before the first of them. The
//! merged configuration is judged by the rules of the node's kubelet before a byte is written. A file that somebody else changed
//! since is never put back.

pub mod apply;
mod carrier;
mod change;
mod detect;
mod flags;
mod flavour;
mod health;
mod live;
mod plan;
mod profile;
mod rancher;
mod removal;
mod rollback;
mod root;
mod script;
mod selftest;
mod service;
pub mod state;
mod talos;
mod unit;
mod verify;
mod words;

pub use carrier::Carrier;
pub use change::{Change, Kind};
pub use detect::{Node, Options, Place, detect};
pub use flags::Flags;
pub use flavour::{Flavour, Refusal};
pub use live::{Live, kubelet};
pub use plan::{Plan, Program, plan};
pub use profile::{Profile, Restart};
pub use removal::removal;
pub use rollback::rollback;
pub use root::Root;
pub use service::Surroundings;
pub use state::{State, StateError};
pub use talos::{Extension, STORE as TALOS_STORE, extension};
pub use verify::{Check, verify};

/// Name of the plugin's program, and of its entry in a configuration.
pub const NAME: &str = "keyring-credential-provider";
/// The same where Windows needs the extension.
pub const WINDOWS_NAME: &str = "keyring-credential-provider.exe";
