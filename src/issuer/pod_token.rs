//! What the kubelet has to hand over for what is stored: the pod's service-account token, for which audience, and which
//! annotations of the account (KEP-4412).
//!
//! An entry either wants the token at every pull or never: nothing here falls back from one identity to another. The kubelet
//! asks for one audience a provider, so entries that show the token to different services cannot share one.

use std::collections::BTreeMap;

use super::settings::Settings;
use super::{Issuer, IssuerError, aws, azure, exchange, google, quay, token, token_exchange, vault};
use crate::credential::Credential;
use crate::kubelet::config::Tokens;
use crate::scope::Scope;

/// Whom an issuer shows the pod's token.
pub(super) struct Shown {
    /// The audience that this service expects wherever nobody chose another one.
    pub(super) audience: Option<String>,
    /// Annotations of the service account that are read as well.
    pub(super) annotations: Vec<&'static str>,
}

impl Shown {
    /// To a service that was told by its operator which audience to expect.
    pub(super) fn to_any() -> Self {
        Self { audience: None, annotations: Vec::new() }
    }
}

/// What an entry wants of the pod's token.
struct Wanted {
    /// `None` when the token is shown to nobody: any audience will do.
    shown: Option<Shown>,
    /// As the entry says, else as the service expects.
    audience: Option<String>,
    /// What is answered is good for this token alone.
    is_for_one_token: bool,
}

/// Returns what an entry wants of the pod's token, nothing when it makes no use of it.
fn wanted(issuer: Issuer, credential: &Credential) -> Result<Option<Wanted>, IssuerError> {
    let settings = Settings(&credential.settings);
    let shown = match issuer {
        Issuer::Static | Issuer::Oauth2 | Issuer::Helper => None,
        Issuer::AwsEcr => aws::shown(settings)?,
        Issuer::AzureAcr => azure::shown(credential)?,
        Issuer::GoogleAr => google::shown(settings)?,
        Issuer::QuayFederation => Some(quay::shown()),
        Issuer::TokenExchange => token_exchange::shown(credential),
        Issuer::Vault => vault::shown(credential)?,
        Issuer::Exchange => exchange::shown(credential)?,
    };
    if shown.is_none() && !settings.requires_service_account()? && settings.allow()?.is_none() {
        return Ok(None);
    }
    let own = settings.get(token::AUDIENCE).map(str::to_owned);
    let audience = own.or_else(|| shown.as_ref()?.audience.clone());
    Ok(Some(Wanted { shown, audience, is_for_one_token: settings.keeps_by_token()? }))
}

/// Checks that an entry which shows the pod's token says for which audience, and that no other entry does.
pub(super) fn check(issuer: Issuer, credential: &Credential) -> Result<(), IssuerError> {
    let settings = Settings(&credential.settings);
    match wanted(issuer, credential)? {
        None if [token::AUDIENCE, token::CACHE].into_iter().any(|name| settings.get(name).is_some()) => {
            Err(IssuerError::TakesNo { issuer: issuer.name(), what: "`token-audience` and `token-cache`" })
        }
        None => Ok(()),
        Some(Wanted { shown: Some(_), audience: None, .. }) => {
            Err(IssuerError::MissingSettings { issuer: issuer.name(), names: "`token-audience`".to_owned() })
        }
        Some(Wanted { .. }) => Ok(()),
    }
}

/// Why no configuration of a kubelet serves all that is stored.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PodTokenError {
    /// An entry cannot be understood.
    #[error("`{scope}`: {source}")]
    Entry {
        /// The entry's scope.
        scope: Scope,
        /// What is wrong with it.
        source: IssuerError,
    },
    /// Nobody says which audience.
    #[error("{scopes}: for pods with a service account, and no setting says which audience their token is for")]
    NoAudience {
        /// The entries.
        scopes: String,
    },
    /// More than one audience.
    #[error("the kubelet asks for one audience a provider, and the entries want several: {wishes}")]
    Audiences {
        /// Each audience with its entries.
        wishes: String,
    },
}

impl PodTokenError {
    /// Returns the next step for an operator.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Entry { .. } => "store it again with `keyring-credential-provider login`",
            Self::NoAudience { .. } => {
                "store it again with `--set token-audience=AUDIENCE`; where the token is shown to nobody, any will do"
            }
            Self::Audiences { .. } => {
                "give them one audience with `--set token-audience=AUDIENCE`, or keep them in a store for each audience, \
                 with a provider of its own: `--store DIR config generate --name NAME`, and a link NAME to this program"
            }
        }
    }
}

/// Returns what a kubelet has to hand over for these entries, and the scopes of those that want it; nothing when none does.
///
/// # Errors
/// [`PodTokenError`]
pub fn tokens(credentials: &[Credential]) -> Result<Option<(Tokens, Vec<&Scope>)>, PodTokenError> {
    let mut found = Vec::new();
    for credential in credentials {
        let wanted = Issuer::by_name(&credential.issuer).and_then(|issuer| wanted(issuer, credential));
        let wanted = wanted.map_err(|source| PodTokenError::Entry { scope: credential.scope.clone(), source })?;
        found.extend(wanted.map(|wanted| (&credential.scope, wanted)));
    }
    if found.is_empty() {
        return Ok(None);
    }
    let list = |scopes: &[&Scope]| scopes.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(", ");
    let mut audiences: BTreeMap<&str, Vec<&Scope>> = BTreeMap::new();
    for (scope, wanted) in &found {
        match &wanted.audience {
            Some(audience) => audiences.entry(audience).or_default().push(scope),
            // Stored by an earlier version.
            None if wanted.shown.is_some() => return Err(PodTokenError::NoAudience { scopes: list(&[scope]) }),
            None => {}
        }
    }
    let scopes: Vec<&Scope> = found.iter().map(|(scope, _)| *scope).collect();
    let audience = match audiences.keys().collect::<Vec<_>>()[..] {
        [] => return Err(PodTokenError::NoAudience { scopes: list(&scopes) }),
        [audience] => (*audience).to_owned(),
        _ => {
            let wishes = audiences.iter().map(|(audience, scopes)| format!("`{audience}` for {}", list(scopes)));
            return Err(PodTokenError::Audiences { wishes: wishes.collect::<Vec<_>>().join("; ") });
        }
    };
    let annotations = found.iter().filter_map(|(_, wanted)| wanted.shown.as_ref()).flat_map(|shown| &shown.annotations);
    let tokens = Tokens {
        audience,
        // The kubelet asks nothing for a pod without an account then, and other entries serve such pods.
        is_required: found.len() == credentials.len(),
        is_kept_by_token: found.iter().any(|(_, wanted)| wanted.is_for_one_token),
        annotations: annotations.map(|name| (*name).to_owned()).collect(),
    };
    Ok(Some((tokens, scopes)))
}
