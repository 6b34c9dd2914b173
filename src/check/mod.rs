//! What a pull comes to, tried: with the credentials that the kubelet would get, in its order, at the hosts that containerd would
//! ask, and by the container runtime itself.
//!
//! A credential goes nowhere where the runtime would not send it. What a registry or a runtime says is shown on one line, without
//! the credential.

pub mod registry;
mod runtime;
mod verdict;
mod warnings;

use serde::Serialize;

use crate::credential::Issued;
use crate::kubelet::keyring;
use crate::kubelet::response::CredentialProviderResponse;
use crate::reference::Reference;

pub use runtime::{Cleanup, Pulled, Pulling, RuntimePull, pull};
pub use verdict::{Evidence, Verdict, Word, judge};
pub use warnings::warn;

/// One attempt of the kubelet: a pull with a credential, or without one.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The key of the answer under which the kubelet found the credential, and the credential.
    pub credential: Option<(&'a str, &'a Issued)>,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The image can be had.
    Granted,
    /// The login was refused, or one was missing.
    Refused,
    /// There is no such image, or nothing that this login may know of.
    NotFound,
    /// Too many pulls.
    RateLimited,
    /// Nobody answers.
    Unreachable,
    /// Somebody answers whose certificate is not trusted.
    Untrusted,
    /// No answer in time.
    Late,
    /// Not tried, because the credential would go where it may not belong.
    Withheld,
    /// Anything else.
    Failed,
}

/// Returns the kubelet's attempts, in its order. Without any credential it pulls once without; it never adds such an attempt to
/// others (kubernetes `pkg/kubelet/kuberuntime/kuberuntime_image.go`).
pub fn attempts<'a>(image: &Reference, response: Option<&'a CredentialProviderResponse>) -> Vec<Attempt<'a>> {
    let auth = response.map(|response| response.auth.as_slice()).unwrap_or_default();
    let keys: Vec<&str> = auth.iter().map(|(key, _)| key.as_str()).collect();
    let order = keyring::lookup(&keys, image.name());
    let with = |key: &&str| auth.iter().find(|(known, _)| known == key).map(|(key, issued)| (key.as_str(), issued));
    let attempts: Vec<_> = order.iter().filter_map(with).map(|found| Attempt { credential: Some(found) }).collect();
    if attempts.is_empty() { vec![Attempt { credential: None }] } else { attempts }
}
