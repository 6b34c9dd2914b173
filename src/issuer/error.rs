//! Why no credential could be issued. No variant carries a byte of a secret.

use super::Issuer;
use crate::credential::BasicAuthError;

/// Why no credential could be issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum IssuerError {
    #[error("issuer is not known to this version; known are {}", Issuer::names())]
    Unknown,
    #[error("stored credential has expired")]
    Expired { expires_at: i64 },
    #[error(transparent)]
    BasicAuth(#[from] BasicAuthError),
    #[error("issuer `{issuer}` has no {name}; it takes {known}")]
    UnknownSetting { issuer: &'static str, name: String, known: String },
    #[error("issuer `{issuer}` needs {names}; give them as settings")]
    MissingSettings { issuer: &'static str, names: String },
    #[error("issuer `{issuer}` needs {what}")]
    Needs { issuer: &'static str, what: &'static str },
    #[error("issuer `{issuer}` takes no {what} with these settings")]
    TakesNo { issuer: &'static str, what: &'static str },
    #[error("setting `{name}` {reason}")]
    Setting { name: &'static str, reason: String },
    #[error(
        "setting `cache` is no duration in whole seconds, minutes or hours such as `300s`, or is longer than a day"
    )]
    Cache,
    #[error("the request has no service-account token, and this credential is for pods that have one")]
    NoServiceAccount,
    #[error("the service-account token does not say whose it is")]
    UnreadableServiceAccount,
    #[error("`allow` does not name service account `{name}`")]
    NotAllowed { name: String },
    #[error("issuer `{issuer}` was not asked yet")]
    NotAsked { issuer: &'static str },
    #[error("another process is asking `{issuer}` and has no answer yet")]
    Busy { issuer: &'static str },
    #[error("`{endpoint}` answered {status}{said}")]
    Refused { endpoint: String, status: u16, said: String },
    #[error("`{endpoint}` answered {status} with a redirect, which is not followed with a credential")]
    Redirect { endpoint: String, status: u16 },
    #[error("`{endpoint}` cannot be reached: {reason}")]
    Unreachable { endpoint: String, reason: String },
    #[error("`{endpoint}` did not answer in time")]
    Late { endpoint: String },
    #[error("`{endpoint}` answered with something else than was asked for: {reason}")]
    Answer { endpoint: String, reason: String },
    #[error("`{program}` {reason}")]
    Program { program: String, reason: String },
    #[error("{failure} (remembered for some seconds)")]
    Remembered { failure: String },
}

impl IssuerError {
    /// Returns the next step for an operator, where the registry's name is `registry`.
    pub fn remedy(&self, registry: &str) -> String {
        match self {
            Self::Unknown
            | Self::Expired { .. }
            | Self::BasicAuth(_)
            | Self::UnknownSetting { .. }
            | Self::MissingSettings { .. }
            | Self::Needs { .. }
            | Self::TakesNo { .. }
            | Self::Setting { .. }
            | Self::Cache => format!("run `keyring-credential-provider login {registry}` on the node"),
            Self::NoServiceAccount | Self::UnreadableServiceAccount => {
                "set `tokenAttributes` in the kubelet's configuration, and check the pod's service account".to_owned()
            }
            Self::NotAllowed { .. } => {
                "use another service account, or store the credential with another `allow`".to_owned()
            }
            Self::NotAsked { .. } | Self::Busy { .. } | Self::Remembered { .. } => "try again".to_owned(),
            Self::Refused { .. } | Self::Redirect { .. } | Self::Answer { .. } => {
                "check what is stored with `keyring-credential-provider explain`".to_owned()
            }
            Self::Program { .. } => "run it by hand with `get`, as the kubelet's user".to_owned(),
            Self::Unreachable { .. } | Self::Late { .. } => {
                "check the address, the proxy, `ca-file` and the network".to_owned()
            }
        }
    }

    /// Returns whether somebody outside this machine is the reason.
    pub fn is_remote(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::Redirect { .. }
            | Self::Unreachable { .. }
            | Self::Late { .. }
            | Self::Answer { .. }
            | Self::Program { .. }
            | Self::Remembered { .. } => true,
            Self::Unknown
            | Self::Expired { .. }
            | Self::BasicAuth(_)
            | Self::UnknownSetting { .. }
            | Self::MissingSettings { .. }
            | Self::Needs { .. }
            | Self::TakesNo { .. }
            | Self::Setting { .. }
            | Self::Cache
            | Self::NoServiceAccount
            | Self::UnreadableServiceAccount
            | Self::NotAllowed { .. }
            | Self::NotAsked { .. }
            | Self::Busy { .. } => false,
        }
    }
}
