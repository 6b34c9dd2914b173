//! Windows: protected access control lists, `MachineGuid`, Credential Manager.

mod access;
pub(super) mod cache;
pub(super) mod containerd;
pub(super) mod daemon;
pub(super) mod deadline;
pub(super) mod files;
pub(super) mod identity;
pub(super) mod keyring;
pub(super) mod listener;
pub(super) mod lock;
pub(super) mod mark;
pub(super) mod process;
pub(super) mod registry;
pub(super) mod roots;
pub(super) mod running;
mod security;
pub(super) mod service;
pub(super) mod socket;
pub(super) mod stage;
pub(super) mod start;
pub(super) mod temporary_service;
pub(super) mod trust;
mod wide;
