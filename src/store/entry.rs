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
    // The writer puts the credentials first. Ten thousand of them are passed over here; whatever does not look so is decoded
    // in the ordinary way.
    let mut rest = &*payload;
    if image.is_some() {
        while take_first_field(&mut rest).is_some() {}
    }
    let tail = v1::Payload::decode(payload.slice_ref(rest)).map_err(|error| unsupported(error.to_string()))?;
    let mirrors =
        tail.mirrors.into_iter().map(|rule| MirrorRule::try_from(rule).map_err(|e| unsupported(e.to_string())));
    let mirrors: Vec<MirrorRule> = mirrors.collect::<Result<_, _>>()?;

    let mut credentials = Vec::new();
    if let Some(image) = image {
        let on_mirrors = MirrorRule::find(&mirrors, image).into_iter().flat_map(|rule| rule.images(image));
        let images: Vec<Reference> = on_mirrors.chain([image.clone()]).collect();
        let mut passed = &payload[..payload.len() - rest.len()];
        while let Some(bytes) = take_first_field(&mut passed) {
            if take_first_field(&mut { bytes })
                .is_none_or(|scope| images.iter().any(|image| Scope::stored_fits_domain(scope, image)))
            {
                let credential = v1::Credential::decode(payload.slice_ref(bytes));
                credentials.push(credential.map_err(|error| unsupported(error.to_string()))?.into());
            }
        }
    }
    credentials.extend(tail.credentials.into_iter().map(Credential::from));
    Ok(Content { credentials, mirrors })
}

/// Takes field 1 off the front of a message when it stands there, as bytes, text or a message; `None` otherwise.
///
/// Field 1 is what a reader looks at first: the credentials of a payload, the scope of a credential.
fn take_first_field<'a>(message: &mut &'a [u8]) -> Option<&'a [u8]> {
    const FIELD_1_LENGTH_DELIMITED: u8 = 1 << 3 | 2;
    let mut rest = message.strip_prefix(&[FIELD_1_LENGTH_DELIMITED])?;
    let length = prost::decode_length_delimiter(&mut rest).ok()?;
    let (field, rest) = rest.split_at_checked(length)?;
    *message = rest;
    Some(field)
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
