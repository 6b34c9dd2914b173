//! Chooses between the kubelet's plugin and the command line, on the raw arguments, before any command line code runs.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use keyring_credential_provider::{cli, platform, plugin};

fn main() -> ExitCode {
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
