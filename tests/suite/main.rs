//! One test binary, a module a subject. Tests run the built program and compare its whole standard output, whole standard
//! error and exit code; rules that have a table run on the library.

mod cli;
mod codegen;
mod contract;
mod crash;
mod keys;
mod leak;
mod kubelet_vectors;
mod plugin;
mod reference;
mod scope;
mod store;
mod support;
mod traps;
