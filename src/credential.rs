//! What the store holds for one scope, and what a pull gets.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::scope::Scope;
use crate::secret::Secret;

/// Longest secret: the kubelet passes it on in one CRI message of at most 16 MiB, and no registry token comes near this.
pub const MAX_SECRET: usize = 1024 * 1024;

/// A stored credential. Debug shows everything but the secret.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Which images it is for.
    pub scope: Scope,
    /// The user name to answer with, or what the issuer makes of it.
    pub username: String,
    /// The password, or what the issuer makes of it.
    pub secret: Secret,
    /// Name of the issuer that turns the secret into an answer, such as `static`.
    pub issuer: String,
    /// Settings of the issuer.
    pub settings: BTreeMap<String, String>,
    /// When the secret itself ends, in seconds since 1970.
    pub expires_at: Option<i64>,
    /// When it was stored, in seconds since 1970.
    pub updated_at: i64,
    /// Where it came from, for people.
    pub origin: String,
}

/// A credential as the container runtime uses it.
#[derive(Debug)]
pub struct Issued {
    /// Name of the user.
    pub username: String,
    /// Password or token.
    pub password: Secret,
    /// How long the kubelet may keep it; whole seconds.
    pub cache_duration: Duration,
}

/// Checks that a user name and password can reach a registry over HTTP Basic (RFC 7617) and survive the kubelet.
///
/// # Errors
/// [`BasicAuthError`], without a byte of either.
pub fn check_basic_auth(username: &str, password: &[u8]) -> Result<(), BasicAuthError> {
    if username.is_empty() {
        return Err(BasicAuthError::EmptyUsername);
    }
    if username == "<token>" {
        return Err(BasicAuthError::TokenUsername);
    }
    if username.contains(':') {
        return Err(BasicAuthError::ColonInUsername);
    }
    if username.chars().any(char::is_control) {
        return Err(BasicAuthError::ControlInUsername);
    }
    if password.is_empty() {
        return Err(BasicAuthError::EmptyPassword);
    }
    if password.len() > MAX_SECRET {
        return Err(BasicAuthError::LongPassword);
    }
    let Ok(password) = std::str::from_utf8(password) else {
        return Err(BasicAuthError::PasswordNotUtf8);
    };
    // RFC 7617 forbids them all, but a key file of several lines is a password all the same (`_json_key` of Google).
    if password.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(BasicAuthError::ControlInPassword);
    }
    if password.trim_matches(['\n', '\r']) != password {
        return Err(BasicAuthError::LineBreakAround);
    }
    Ok(())
}

/// Why a user name and password would not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum BasicAuthError {
    #[error("user name is empty; the container runtime would pull anonymously")]
    EmptyUsername,
    #[error(
        "user name `<token>` marks an identity token, which the kubelet cannot pass on; store a user name and password"
    )]
    TokenUsername,
    #[error("user name contains `:`, which basic authentication cannot carry")]
    ColonInUsername,
    #[error("user name contains a control character")]
    ControlInUsername,
    #[error("password is empty")]
    EmptyPassword,
    #[error("password is longer than {MAX_SECRET} bytes")]
    LongPassword,
    #[error("password is not valid UTF-8; the kubelet would silently change it")]
    PasswordNotUtf8,
    #[error("password contains a control character")]
    ControlInPassword,
    #[error("password starts or ends with a line break, beyond the one at the end that is left out")]
    LineBreakAround,
}
