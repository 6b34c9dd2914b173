//! A kubelet image credential provider that answers from a sealed store.
//!
//! # The process contract
//!
//! Called as `keyring-credential-provider get-credentials`, or without an argument and with a standard input that is no
//! terminal, the program is the kubelet's plugin ([`plugin`]):
//!
//! - standard input: one `CredentialProviderRequest`, then its end;
//! - standard output: exactly one `CredentialProviderResponse` and a line feed, or nothing;
//! - standard error: nothing, or one line of less than 1 KiB, without a secret;
//! - exit code 0: the answer is on standard output, be it empty because nothing is stored for the image; any other code:
//!   it could not be found out, and standard output is empty.
//!
//! Everything else is the command line of an operator ([`cli`]), whose exit codes are [`exit::Code`].
//!
//! # The path of a request
//!
//! [`kubelet::request`] → [`mod@reference`] → [`store`] → [`matching`] → [`issuer`] → [`kubelet::response`]; [`provider`] joins the
//! middle, which knows neither files nor clocks. ARCHITECTURE.md has the picture.

pub mod broker;
mod challenge;
pub mod check;
pub mod cli;
pub mod containerd;
pub mod credential;
pub mod cri;
pub mod declaration;
pub mod doctor;
pub mod env;
pub mod exit;
pub mod grpc;
pub mod import;
pub mod issuer;
pub mod kms;
pub mod kubelet;
pub mod matching;
pub mod mirror;
pub mod node;
pub mod platform;
pub mod plugin;
mod process;
pub mod provider;
pub mod reference;
pub mod scope;
pub mod secret;
pub mod store;
pub mod text;
pub mod time;
pub mod windows_path;
