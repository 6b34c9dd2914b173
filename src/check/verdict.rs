//! One word for all that was seen, and what to do about it.

use serde::Serialize;

use super::registry::Tried;
use super::{Outcome, RuntimePull};
use crate::exit::Code;

/// The verdict; `--output json` of `check`, part of the command line's contract.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// For programs.
    pub word: Word,
    /// For people.
    pub message: String,
}

/// What a pull by the kubelet comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Word {
    /// It succeeds with a stored credential.
    Pulls,
    /// It succeeds without a credential.
    PullsAnonymously,
    /// It succeeds with a login in the runtime's own configuration.
    PullsWithRuntimeLogin,
    /// It fails, because the registry wants a login and nothing is stored.
    NothingStored,
    /// It fails, because the registry refuses what is stored.
    Refused,
    /// It fails, because there is no such image, or the login may not know of it.
    NotFound,
    /// It fails, because of too many pulls.
    RateLimited,
    /// It fails, because no host answers, or none that is trusted.
    Unreachable,
    /// It fails for another reason.
    Failed,
}

/// What was seen.
pub struct Evidence<'a> {
    /// Registry of the image.
    pub registry: &'a str,
    /// Whether the kubelet gets a credential.
    pub has_credential: bool,
    /// The last attempt at the registry's hosts.
    pub hosts: Option<&'a Tried>,
    /// What the runtime did, if it was asked.
    pub runtime: Option<&'a RuntimePull>,
    /// Why what is stored cannot be turned into a credential.
    pub no_credential: Option<String>,
    /// Where the runtime's own configuration has a login for a host that it asks.
    pub own_login: Option<String>,
}

impl Word {
    /// Returns the exit code.
    pub fn code(self) -> Code {
        match self {
            Self::Pulls | Self::PullsAnonymously | Self::PullsWithRuntimeLogin => Code::Done,
            Self::NothingStored => Code::NothingStored,
            Self::Refused | Self::NotFound | Self::RateLimited => Code::Refused,
            Self::Unreachable | Self::Failed => Code::Failed,
        }
    }
}

/// Judges. What the runtime did counts more than what its hosts said: it is what the kubelet asks.
pub fn judge(evidence: &Evidence<'_>) -> Verdict {
    let pulled = evidence.runtime.and_then(|runtime| runtime.attempts.last()).map(|last| last.outcome);
    let asked = evidence.hosts.map(|tried| tried.outcome);
    let outcome = pulled.or(asked).unwrap_or(Outcome::Failed);
    let registry = evidence.registry;
    // Where the two differ, the runtime asked another host than those that are known here.
    let known = if pulled.is_some() && pulled != asked { None } else { evidence.hosts };
    let host = known
        .and_then(|tried| tried.decided_by.as_ref())
        .map_or_else(|| "the host that the runtime asks".to_owned(), |host| format!("`{host}`"));
    let no_login = evidence.hosts.is_some_and(|tried| {
        tried.outcome == Outcome::Granted && tried.hosts.last().is_some_and(|answer| answer.learned.is_empty())
    });
    let login = format!("`keyring-credential-provider login {registry}`");
    // The hosts want a login and the runtime pulled without ours: it has one of its own.
    let is_own = !evidence.has_credential && pulled == Some(Outcome::Granted) && asked == Some(Outcome::Refused);
    let (word, message) = match outcome {
        Outcome::Granted if evidence.has_credential && no_login => (
            Word::PullsAnonymously,
            format!("the kubelet pulls this image; {host} asks for no login, so none was shown to it"),
        ),
        Outcome::Granted if evidence.has_credential => {
            (Word::Pulls, "the kubelet pulls this image with a stored credential".to_owned())
        }
        Outcome::Granted if is_own || (pulled.is_none() && evidence.own_login.is_some()) => {
            let place = evidence.own_login.as_ref().map_or_else(
                || "its own configuration, which could not be read here".to_owned(),
                |place| format!("its own configuration, {place}"),
            );
            let message = format!(
                "the kubelet gets no credential, and the runtime pulls with a login in {place}; {login} takes that over"
            );
            (Word::PullsWithRuntimeLogin, message)
        }
        Outcome::Granted => (
            Word::PullsAnonymously,
            "the kubelet pulls this image without a credential; nothing is stored for it".to_owned(),
        ),
        Outcome::Refused if evidence.has_credential => (
            Word::Refused,
            format!(
                "{host} refuses the stored credential; {login} replaces it, or the account lacks the right to pull"
            ),
        ),
        Outcome::Refused if evidence.no_credential.is_some() => (
            Word::Refused,
            format!(
                "{host} wants a login, and the stored credential cannot be used: {}; {login} replaces it",
                evidence.no_credential.as_deref().unwrap_or_default()
            ),
        ),
        Outcome::Refused if evidence.own_login.is_some() && pulled.is_some() => (
            Word::Refused,
            format!(
                "nothing is stored for this image, and {host} refuses the login in the runtime's own configuration, {}; \
                 {login} stores one",
                evidence.own_login.as_deref().unwrap_or_default()
            ),
        ),
        Outcome::Refused => (
            Word::NothingStored,
            format!("{host} wants a login, and neither the store nor the runtime has one; {login} stores one"),
        ),
        Outcome::NotFound => (
            Word::NotFound,
            format!(
                "{host} has no such image, or hides it from this login; compare name and tag, then the account's rights"
            ),
        ),
        Outcome::RateLimited => (
            Word::RateLimited,
            format!("{host} has counted too many pulls; wait, or pull with a login that has a higher limit"),
        ),
        Outcome::Unreachable => (
            Word::Unreachable,
            format!("{host} cannot be reached from this node; look at its address, the proxy and the firewall"),
        ),
        Outcome::Untrusted => (
            Word::Unreachable,
            format!("{host} has a certificate that is not trusted; name its authority as `ca` in hosts.toml"),
        ),
        Outcome::Late => (Word::Unreachable, format!("{host} does not answer in time")),
        Outcome::Withheld => (
            Word::Failed,
            format!("whether {host} takes the credential was not tried, so as not to show it to a third party"),
        ),
        Outcome::Failed => (Word::Failed, format!("{host} answers as no registry should")),
    };
    Verdict { word, message }
}
