//! Chooses between the kubelet's plugin and the command line, on the raw arguments, before any command line code runs.
//!
//! On Linux the C library calls us without the start-up of Rust's library in between: reading `/proc/self/maps` and setting up
//! a second stack, all to name a stack overflow, costs a tenth of an answer. What we need of it is in
//! [`platform::harden_process`].
#![cfg_attr(all(target_os = "linux", target_env = "gnu"), no_main)]

use std::ffi::OsString;
use std::io::{self, IsTerminal};

use keyring_credential_provider::exit::Code;
use keyring_credential_provider::{cli, platform, plugin};

/// `process::exit` rather than a return: it also flushes standard output.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "the name `main` is the C library's, and nothing else in this program has it")]
#[unsafe(no_mangle)]
extern "C" fn main(_count: std::ffi::c_int, _arguments: *const *const std::ffi::c_char) -> std::ffi::c_int {
    std::process::exit(run() as i32)
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn main() -> std::process::ExitCode {
    run().into()
}

fn run() -> Code {
    platform::harden_process();
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let is_plugin = match arguments.first() {
        Some(first) => first == plugin::VERB,
        None => !io::stdin().is_terminal(),
    };
    if is_plugin {
        arguments.drain(..arguments.len().min(1));
        return plugin::main(&arguments);
    }
    cli::main()
}
