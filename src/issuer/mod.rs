//! Turns a stored secret into what the kubelet gets.

mod stored;

use std::collections::BTreeMap;

use crate::credential::{BasicAuthError, Credential, Issued};

/// The issuers of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// Answers with the user name and password as they are stored.
    Static,
}

impl Issuer {
    /// Returns the name used in the store and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
        }
    }

    /// Finds an issuer by name.
    ///
    /// # Errors
    /// [`IssuerError::Unknown`].
    pub fn by_name(name: &str) -> Result<Self, IssuerError> {
        [Self::Static].into_iter().find(|issuer| issuer.name() == name).ok_or(IssuerError::Unknown)
    }

    /// Checks what an operator wants to store.
    ///
    /// # Errors
    /// [`IssuerError`], for everything that [`issue`] would refuse later.
    pub fn check(self, username: &str, secret: &[u8], settings: &BTreeMap<String, String>) -> Result<(), IssuerError> {
        match self {
            Self::Static => stored::check(username, secret, settings),
        }
    }
}

/// Issues a credential at the time `now`, in seconds since 1970.
///
/// # Errors
/// [`IssuerError`].
pub fn issue(credential: &Credential, now: i64) -> Result<Issued, IssuerError> {
    if let Some(expires_at) = credential.expires_at.filter(|&end| end <= now) {
        return Err(IssuerError::Expired { expires_at });
    }
    let issuer = Issuer::by_name(&credential.issuer)?;
    issuer.check(&credential.username, credential.secret.expose(), &credential.settings)?;
    match issuer {
        Issuer::Static => stored::issue(credential, now),
    }
}

/// Why no credential could be issued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum IssuerError {
    #[error("issuer is not known to this version; known is `static`")]
    Unknown,
    #[error("stored credential has expired")]
    Expired { expires_at: i64 },
    #[error(transparent)]
    BasicAuth(#[from] BasicAuthError),
    #[error("issuer `{issuer}` has no such setting; it takes {known}")]
    UnknownSetting { issuer: &'static str, known: &'static str },
    #[error(
        "setting `cache` is no duration in whole seconds, minutes or hours such as `300s`, or is longer than a day"
    )]
    Cache,
}
