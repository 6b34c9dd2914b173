//! Turns a stored secret into what the kubelet gets: the map of the issuers.
//!
//! An issuer is a file here with three parts: the names of its `SETTINGS`; `check`, which says what is wrong with an entry; and
//! `plan`, which resolves everything that takes no network and returns what is to be asked (`engine::Plan`). The engine does
//! the rest: the sealed cache, one asker at a time, expiry, failures.

mod aws;
mod azure;
mod clock;
mod endpoint;
mod engine;
mod error;
mod exchange;
mod expiry;
mod google;
mod helper;
pub(crate) mod http;
mod json;
mod oauth2;
mod pod_token;
mod quay;
pub(crate) mod roots;
pub(crate) mod said;
mod settings;
mod stored;
mod token;
mod token_exchange;
mod vault;

use std::collections::BTreeMap;
use std::time::Instant;

use crate::credential::{Credential, Issued};
use crate::kubelet::service_account::ServiceAccount;
use crate::store::TokenCache;
use engine::Plan;
pub use error::IssuerError;
pub use pod_token::{PodTokenError, tokens};
use settings::Settings;

/// The issuers of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// Answers with the user name and password as they are stored.
    Static,
    /// OAuth 2.0: an access token for client credentials or a refresh token.
    Oauth2,
    /// Amazon Elastic Container Registry, private and public.
    AwsEcr,
    /// Azure Container Registry.
    AzureAcr,
    /// Artifact Registry of Google Cloud.
    GoogleAr,
    /// A robot of Quay that trusts the cluster.
    QuayFederation,
    /// OAuth 2.0 Token Exchange (RFC 8693): a stored token, or the pod's, for another.
    TokenExchange,
    /// A secret of HashiCorp Vault or OpenBao.
    Vault,
    /// One request, as a recipe describes it.
    Exchange,
    /// A Docker credential helper.
    Helper,
}

/// What an issuer cannot do without, so that `login` knows what to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// A user.
    pub user: bool,
    /// A secret.
    pub secret: bool,
}

/// What is known about a pull, and what may be used for it.
#[derive(Clone, Copy, Debug)]
pub struct Issuing<'a> {
    /// Seconds since 1970.
    pub now: i64,
    /// Registry of the image that is pulled, for entries whose scope has a wildcard.
    pub registry: &'a str,
    /// Service account of the pod.
    pub service_account: Option<&'a ServiceAccount>,
    /// What issuers gave before; without it every answer is asked for.
    pub tokens: Option<&'a TokenCache>,
    /// Until when an issuer may be asked over the network; `None` forbids it.
    pub deadline: Option<Instant>,
}

/// What would be asked for an entry.
#[derive(Debug)]
pub struct Preview {
    /// Who is asked.
    pub endpoint: String,
    /// When the cached credential was given and when it ends, in seconds since 1970, and its user.
    pub cached: Option<(String, i64, i64)>,
}

impl<'a> Issuing<'a> {
    /// Neither network nor cache nor service account: what can be said from an entry alone.
    pub fn offline(now: i64) -> Self {
        Self { now, registry: "", service_account: None, tokens: None, deadline: None }
    }

    /// The same for another registry.
    pub fn for_registry(self, registry: &'a str) -> Self {
        Self { registry, ..self }
    }
}

impl Issuer {
    /// Every issuer.
    pub const ALL: [Self; 10] = [
        Self::Static,
        Self::Oauth2,
        Self::AwsEcr,
        Self::AzureAcr,
        Self::GoogleAr,
        Self::QuayFederation,
        Self::TokenExchange,
        Self::Vault,
        Self::Exchange,
        Self::Helper,
    ];

    /// Returns the name used in the store and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Oauth2 => oauth2::NAME,
            Self::AwsEcr => aws::NAME,
            Self::AzureAcr => azure::NAME,
            Self::GoogleAr => google::NAME,
            Self::QuayFederation => quay::NAME,
            Self::TokenExchange => token_exchange::NAME,
            Self::Helper => helper::NAME,
            Self::Exchange => exchange::NAME,
            Self::Vault => vault::NAME,
        }
    }

    /// Finds an issuer by name.
    ///
    /// # Errors
    /// [`IssuerError::Unknown`].
    pub fn by_name(name: &str) -> Result<Self, IssuerError> {
        Self::ALL.into_iter().find(|issuer| issuer.name() == name).ok_or(IssuerError::Unknown)
    }

    /// Returns the names of all, for a message.
    pub(crate) fn names() -> String {
        Self::ALL.map(|issuer| format!("`{}`", issuer.name())).join(", ")
    }

    /// Returns whether it answers without asking anybody.
    pub fn is_offline(self) -> bool {
        match self {
            Self::Static => true,
            Self::Oauth2
            | Self::AwsEcr
            | Self::AzureAcr
            | Self::GoogleAr
            | Self::QuayFederation
            | Self::TokenExchange
            | Self::Vault
            | Self::Exchange
            | Self::Helper => false,
        }
    }

    /// Returns what it needs besides these settings.
    pub fn needs(self, settings: &BTreeMap<String, String>) -> Needs {
        match self {
            Self::Static | Self::Oauth2 => Needs { user: true, secret: true },
            Self::AwsEcr => aws::needs(Settings(settings)),
            Self::AzureAcr => azure::needs(Settings(settings)),
            Self::GoogleAr => google::needs(Settings(settings)),
            Self::QuayFederation => Needs { user: true, secret: false },
            Self::TokenExchange => Needs { user: false, secret: false },
            Self::Helper => Needs { user: false, secret: false },
            Self::Exchange => exchange::needs(Settings(settings)),
            Self::Vault => vault::needs(Settings(settings)),
        }
    }

    /// Checks what an operator wants to store.
    ///
    /// # Errors
    /// [`IssuerError`], for everything that [`issue`] would refuse without asking anybody, and for what the kubelet's
    /// configuration could not be made from.
    pub fn check(self, credential: &Credential) -> Result<(), IssuerError> {
        self.check_stored(credential)?;
        pod_token::check(self, credential)
    }

    /// Checks what the store has.
    fn check_stored(self, credential: &Credential) -> Result<(), IssuerError> {
        let settings = Settings(&credential.settings);
        match self {
            Self::Static => {
                settings.check(self.name(), &[], false)?;
                stored::check(credential)
            }
            Self::Oauth2 => {
                settings.check(self.name(), &oauth2::SETTINGS, true)?;
                oauth2::check(credential)
            }
            Self::AwsEcr => {
                settings.check(self.name(), &aws::SETTINGS, true)?;
                aws::check(credential)
            }
            Self::AzureAcr => {
                settings.check(self.name(), &azure::SETTINGS, true)?;
                azure::check(credential)
            }
            Self::GoogleAr => {
                settings.check(self.name(), &google::SETTINGS, true)?;
                google::check(credential)
            }
            Self::QuayFederation => {
                settings.check(self.name(), &quay::SETTINGS, true)?;
                quay::check(credential)
            }
            Self::TokenExchange => {
                settings.check(self.name(), &token_exchange::SETTINGS, true)?;
                token_exchange::check(credential)
            }
            Self::Helper => {
                settings.check(self.name(), &helper::SETTINGS, true)?;
                helper::check(credential)
            }
            // Its recipe says which settings it has.
            Self::Exchange => exchange::check(credential),
            Self::Vault => {
                settings.check(self.name(), &vault::SETTINGS, true)?;
                vault::check(credential)
            }
        }
    }
}

/// Issues a credential.
///
/// # Errors
/// [`IssuerError`].
pub fn issue(credential: &Credential, issuing: &Issuing<'_>) -> Result<Issued, IssuerError> {
    match prepare(credential, issuing)? {
        Some(plan) => engine::issue(&plan, credential, issuing),
        None => stored::issue(credential, issuing.now),
    }
}

/// Says what [`issue`] would ask, and whom; `None` for what it answers from the store alone.
///
/// # Errors
/// As [`issue`], of those that need nobody to be asked.
pub fn preview(credential: &Credential, issuing: &Issuing<'_>) -> Result<Option<Preview>, IssuerError> {
    let plan = prepare(credential, issuing)?;
    Ok(plan.map(|plan| Preview {
        cached: engine::cached(&plan, credential, issuing)
            .map(|token| (token.username, token.minted_at, token.expires_at)),
        endpoint: plan.endpoint,
    }))
}

/// Checks that the entry is sound and the pod may have it, and plans what to ask.
fn prepare<'a>(credential: &'a Credential, issuing: &Issuing<'a>) -> Result<Option<Plan<'a>>, IssuerError> {
    if let Some(expires_at) = credential.expires_at.filter(|&end| end <= issuing.now) {
        return Err(IssuerError::Expired { expires_at });
    }
    let issuer = Issuer::by_name(&credential.issuer)?;
    issuer.check_stored(credential)?;
    admit(Settings(&credential.settings), issuing.service_account)?;
    match issuer {
        Issuer::Static => Ok(None),
        Issuer::Oauth2 => oauth2::plan(credential).map(Some),
        Issuer::AwsEcr => aws::plan(credential, issuing).map(Some),
        Issuer::AzureAcr => azure::plan(credential, issuing).map(Some),
        Issuer::GoogleAr => google::plan(credential, issuing).map(Some),
        Issuer::QuayFederation => quay::plan(credential, issuing).map(Some),
        Issuer::TokenExchange => token_exchange::plan(credential, issuing).map(Some),
        Issuer::Helper => helper::plan(credential, issuing).map(Some),
        Issuer::Exchange => exchange::plan(credential, issuing).map(Some),
        Issuer::Vault => vault::plan(credential, issuing).map(Some),
    }
}

/// Decides whether a pod with this service account, or one without, may have the credential.
fn admit(settings: Settings<'_>, account: Option<&ServiceAccount>) -> Result<(), IssuerError> {
    let allowed = settings.allow()?;
    if !settings.requires_service_account()? && allowed.is_none() {
        return Ok(());
    }
    let account = account.ok_or(IssuerError::NoServiceAccount)?;
    let Some(allowed) = allowed else { return Ok(()) };
    let (namespace, name) = account.name.as_ref().ok_or(IssuerError::UnreadableServiceAccount)?;
    if allowed.iter().any(|(space, of)| space == namespace && (*of == "*" || of == name)) {
        return Ok(());
    }
    Err(IssuerError::NotAllowed { name: crate::text::sanitize(&format!("{namespace}/{name}"), 100) })
}
