//! Reads a `CredentialProviderRequest` from the kubelet.
//!
//! Input is bounded, parsed once, and wiped: it may hold a service-account token. Errors name the place, never the content.
//! Unknown fields are ignored, because kubelets get newer than this program.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};

use serde::Deserialize;
use zeroize::Zeroizing;

use super::ApiVersion;
use super::service_account::{ServiceAccount, TokenError};
use crate::reference::{Reference, ReferenceError};
use crate::secret::Secret;
use crate::text;

/// The kubelet sends a few KiB; annotations may be 256 KiB at most (kubernetes `TotalAnnotationSizeLimitB`).
const MAX_REQUEST: usize = 1024 * 1024;

/// Most requests fit in this; wiping more than that costs more than it reads.
const USUAL_REQUEST: usize = 4 * 1024;

/// The kubelet's own requests have two levels. serde_json skips unknown fields of any depth, so it sets no limit here.
const MAX_DEPTH: usize = 64;

/// What the kubelet asks for.
#[derive(Debug)]
pub struct CredentialProviderRequest {
    /// The version to answer in.
    pub api_version: ApiVersion,
    /// The image about to be pulled.
    pub image: Reference,
    /// The pod's service account, where the provider's `tokenAttributes` ask for it and the pod has one.
    pub service_account: Option<ServiceAccount>,
}

impl CredentialProviderRequest {
    /// Reads one request up to the end of `input`.
    ///
    /// # Errors
    /// [`RequestError`]; at most 1 MiB is read.
    pub fn read(input: impl Read) -> Result<Self, RequestError> {
        Self::parse(&read_bounded(input)?)
    }

    /// Parses one request.
    ///
    /// # Errors
    /// [`RequestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RequestError> {
        // A byte order mark comes from PowerShell pipes when people test by hand.
        let text = match text::decode(bytes).ok_or(RequestError::Encoding)? {
            Cow::Borrowed(text) => return Self::parse_text(text),
            Cow::Owned(text) => Zeroizing::new(text),
        };
        Self::parse_text(&text)
    }

    fn parse_text(text: &str) -> Result<Self, RequestError> {
        if text.trim_ascii().is_empty() {
            return Err(RequestError::Empty);
        }
        if depth(text) > MAX_DEPTH {
            return Err(RequestError::TooDeep);
        }
        // To serde a struct may also be an array of its fields.
        if text.trim_ascii_start().starts_with('[') {
            return Err(RequestError::Fields { line: 1, column: 1 });
        }
        let wire: Wire = serde_json::from_str(text).map_err(|error| RequestError::from_json(&error))?;
        if wire.kind != "CredentialProviderRequest" {
            return Err(RequestError::Kind);
        }
        let api_version = ApiVersion::ALL
            .into_iter()
            .find(|version| version.as_str() == wire.api_version)
            .ok_or(RequestError::ApiVersion)?;
        let image = Reference::parse_lenient(&wire.image)?;
        let token = wire.service_account_token.filter(|token| !token.0.expose().is_empty());
        let annotations = wire.service_account_annotations.unwrap_or_default();
        let service_account = token.map(|token| ServiceAccount::new(token.0, annotations)).transpose()?;
        Ok(Self { api_version, image, service_account })
    }
}

/// Why a request could not be understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum RequestError {
    #[error("cannot read the request from standard input: {0}")]
    Read(io::Error),
    #[error("request on standard input is larger than {MAX_REQUEST} bytes")]
    TooLarge,
    #[error("request on standard input is empty; send a CredentialProviderRequest as JSON")]
    Empty,
    #[error("request on standard input is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("request on standard input is not UTF-8")]
    Encoding,
    #[error("request ends too early at line {line} column {column}")]
    Truncated { line: usize, column: usize },
    #[error("request is no valid JSON at line {line} column {column}")]
    Syntax { line: usize, column: usize },
    #[error(
        "request lacks `kind`, `apiVersion` or `image`, or has a field of the wrong type, at line {line} column {column}"
    )]
    Fields { line: usize, column: usize },
    #[error("request has a `kind` other than `CredentialProviderRequest`")]
    Kind,
    #[error(
        "request has an `apiVersion` other than `credentialprovider.kubelet.k8s.io/v1`, `/v1beta1` and `/v1alpha1`"
    )]
    ApiVersion,
    #[error("request cannot be answered: {0}")]
    Image(#[from] ReferenceError),
    #[error("request has a `serviceAccountToken` that {0}")]
    Token(#[from] TokenError),
}

impl RequestError {
    /// serde_json quotes what it read in its messages, so only the place is taken over.
    fn from_json(error: &serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            serde_json::error::Category::Data => Self::Fields { line, column },
            serde_json::error::Category::Eof => Self::Truncated { line, column },
            serde_json::error::Category::Syntax | serde_json::error::Category::Io => Self::Syntax { line, column },
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    kind: String,
    api_version: String,
    image: String,
    service_account_token: Option<Token>,
    service_account_annotations: Option<BTreeMap<String, String>>,
}

/// A token, taken over by its buffer.
struct Token(Secret);

impl<'de> Deserialize<'de> for Token {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(Secret::new(Zeroizing::new(text.into_bytes()))))
    }
}

/// Returns how deep arrays and objects are nested, in text that need not be valid.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Reads all of `input`. What outgrows its buffer moves to a larger one, and the smaller one is wiped: no copy of a token stays.
pub(crate) fn read_bounded(mut input: impl Read) -> Result<Zeroizing<Vec<u8>>, RequestError> {
    let mut bytes = Zeroizing::new(vec![0; USUAL_REQUEST]);
    let mut filled = 0;
    loop {
        if filled > MAX_REQUEST {
            return Err(RequestError::TooLarge);
        }
        if filled == bytes.len() {
            let mut larger = Zeroizing::new(vec![0; bytes.len() * 2]);
            larger[..filled].copy_from_slice(&bytes);
            bytes = larger;
        }
        match input.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(RequestError::Read(error)),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
