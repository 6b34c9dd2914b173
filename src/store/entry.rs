//! What is sealed, on the wire and in the program.

use prost::Message;
use prost::bytes::Bytes;

use super::{Error, v1};
use crate::credential::Credential;
use crate::mirror::{self, MirrorError, MirrorRule, Policy};
use crate::reference::Reference;
use crate::scope::Scope;
use crate::secret::Secret;

/// What a store holds.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// In the order of their scopes.
    pub(super) credentials: Vec<Credential>,
    /// In the order of their sources.
    pub(super) mirrors: Vec<MirrorRule>,
}

/// Decodes an opened payload, or of its credentials only those that can matter to an image. Secrets are slices of the
/// payload, never copies.
///
/// It is authentic, so only a newer writer could have made something that is not understood.
pub(super) fn decode(payload: Bytes, image: Option<&Reference>) -> Result<Content, Error> {
    let unsupported = |reason: String| Error::Unsupported { what: "the content of the store".to_owned(), reason };
    let index = v1::PayloadIndex::decode(payload).map_err(|error| unsupported(error.to_string()))?;
    let mirrors =
        index.mirrors.into_iter().map(|rule| MirrorRule::try_from(rule).map_err(|e| unsupported(e.to_string())));
    let mirrors: Vec<MirrorRule> = mirrors.collect::<Result<_, _>>()?;

    let hosts: Option<Vec<Reference>> = image.map(|image| {
        let on_mirrors = MirrorRule::find(&mirrors, image).into_iter().flat_map(|rule| rule.images(image));
        on_mirrors.chain([image.clone()]).collect()
    });
    let mut credentials = Vec::new();
    for bytes in index.credentials {
        if let Some(hosts) = &hosts {
            let view = v1::CredentialScope::decode(&*bytes).map_err(|error| unsupported(error.to_string()))?;
            let scope = Scope::from_stored(view.scope);
            if hosts.iter().all(|host| scope.fit_domain(host).is_err()) {
                continue;
            }
        }
        let credential = v1::Credential::decode(bytes).map_err(|error| unsupported(error.to_string()))?;
        credentials.push(credential.into());
    }
    Ok(Content { credentials, mirrors })
}

/// Makes the payload; secrets are shared, not copied.
pub(super) fn payload(content: &Content) -> v1::Payload {
    v1::Payload {
        credentials: content.credentials.iter().map(v1::Credential::from).collect(),
        mirrors: content.mirrors.iter().map(v1::MirrorRule::from).collect(),
    }
}

impl From<v1::Credential> for Credential {
    fn from(wire: v1::Credential) -> Self {
        Self {
            scope: Scope::from_stored(wire.scope),
            username: wire.username,
            secret: Secret::from_wiped(wire.secret),
            issuer: wire.issuer,
            settings: wire.settings,
            expires_at: wire.expires_at,
            updated_at: wire.updated_at,
            origin: wire.origin,
        }
    }
}

impl From<&Credential> for v1::Credential {
    fn from(credential: &Credential) -> Self {
        Self {
            scope: credential.scope.to_string(),
            username: credential.username.clone(),
            secret: credential.secret.share(),
            issuer: credential.issuer.clone(),
            settings: credential.settings.clone(),
            expires_at: credential.expires_at,
            updated_at: credential.updated_at,
            origin: credential.origin.clone(),
        }
    }
}

impl TryFrom<v1::MirrorRule> for MirrorRule {
    type Error = MirrorError;

    fn try_from(wire: v1::MirrorRule) -> Result<Self, MirrorError> {
        let policy = match wire.policy() {
            v1::MirrorPolicy::MirrorOnly => Policy::MirrorOnly,
            v1::MirrorPolicy::MirrorThenUpstream => Policy::MirrorThenUpstream,
            v1::MirrorPolicy::UpstreamThenMirror => Policy::UpstreamThenMirror,
            v1::MirrorPolicy::UpstreamOnly => Policy::UpstreamOnly,
            v1::MirrorPolicy::Unspecified => return Err(MirrorError::Policy),
        };
        let hosts = wire.hosts.iter().map(|text| mirror::host(text)).collect::<Result<_, _>>()?;
        Ok(Self { source: wire.source.parse()?, hosts, policy, origin: wire.origin })
    }
}

impl From<&MirrorRule> for v1::MirrorRule {
    fn from(rule: &MirrorRule) -> Self {
        let policy = match rule.policy {
            Policy::MirrorOnly => v1::MirrorPolicy::MirrorOnly,
            Policy::MirrorThenUpstream => v1::MirrorPolicy::MirrorThenUpstream,
            Policy::UpstreamThenMirror => v1::MirrorPolicy::UpstreamThenMirror,
            Policy::UpstreamOnly => v1::MirrorPolicy::UpstreamOnly,
        };
        Self {
            source: rule.source.to_string(),
            hosts: rule.hosts.iter().map(ToString::to_string).collect(),
            policy: policy.into(),
            origin: rule.origin.clone(),
        }
    }
}
