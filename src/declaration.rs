//! What an `apply` file declares: entries and mirror rules, secrets by reference to files.
//!
//! `docs/apply.schema.json` describes the same shape for editors; a test holds the two together.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::issuer::{Issuer, IssuerError};
use crate::mirror::{self, MirrorError, MirrorRule, Policy};
use crate::scope::{Scope, ScopeError};

/// `apiVersion` of the file.
const API_VERSION: &str = "keyring-credential-provider/v1";
const KIND: &str = "Credentials";

/// A file, parsed and checked; its secrets are not read yet.
#[derive(Debug)]
pub struct Declaration {
    /// In the order of the file.
    pub credentials: Vec<DeclaredCredential>,
    /// In the order of the file; their origin is left empty.
    pub mirrors: Vec<MirrorRule>,
}

/// One entry, its secret named by the file that holds it.
#[derive(Debug)]
pub struct DeclaredCredential {
    /// Which images it is for.
    pub scope: Scope,
    /// User name; some issuers take none.
    pub username: Option<String>,
    /// File with the secret: UTF-8, or UTF-16 with a byte order mark; some issuers take none.
    pub password_file: Option<PathBuf>,
    /// What turns the secret into the answer.
    pub issuer: Issuer,
    /// Settings of the issuer.
    pub settings: BTreeMap<String, String>,
    /// When the secret itself ends, as RFC 3339 has it.
    pub expires_at: Option<String>,
}

impl Declaration {
    /// Parses a file.
    ///
    /// # Errors
    /// [`DeclarationError`] names the entry, by its number in the file, and never repeats its text: passwords are pasted into
    /// such files although there is no field for them.
    pub fn parse(text: &str) -> Result<Self, DeclarationError> {
        let wire: Wire = serde_saphyr::from_str(text).map_err(|error| {
            let place = error.location();
            DeclarationError::Yaml { line: place.map_or(0, |at| at.line()), column: place.map_or(0, |at| at.column()) }
        })?;
        if wire.api_version != API_VERSION || wire.kind != KIND {
            return Err(DeclarationError::Kind);
        }
        let mut credentials: Vec<DeclaredCredential> = Vec::new();
        for (index, wire) in wire.credentials.into_iter().enumerate() {
            let number = index + 1;
            let declared =
                DeclaredCredential::try_from(wire).map_err(|reason| DeclarationError::Credential { number, reason })?;
            if let Some(first) = credentials.iter().position(|other| other.scope == declared.scope) {
                return Err(DeclarationError::Twice { what: "credential", first: first + 1, number });
            }
            credentials.push(declared);
        }
        let mut mirrors: Vec<MirrorRule> = Vec::new();
        for (index, wire) in wire.mirrors.into_iter().enumerate() {
            let number = index + 1;
            let rule = MirrorRule::try_from(wire).map_err(|reason| DeclarationError::Mirror { number, reason })?;
            if let Some(first) = mirrors.iter().position(|other| other.source == rule.source) {
                return Err(DeclarationError::Twice { what: "mirror rule", first: first + 1, number });
            }
            mirrors.push(rule);
        }
        Ok(Self { credentials, mirrors })
    }
}

/// Why a file was not understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum DeclarationError {
    #[error(
        "not understood at line {line} column {column}: no YAML, an unknown field, a missing one, or one of the wrong type"
    )]
    Yaml { line: u64, column: u64 },
    #[error("is no `{KIND}` of `{API_VERSION}`; see docs/apply.schema.json")]
    Kind,
    #[error("credential {number}: {reason}")]
    Credential { number: usize, reason: EntryError },
    #[error("mirror rule {number}: {reason}")]
    Mirror { number: usize, reason: MirrorError },
    #[error("{what} {number} is for the same as {what} {first}")]
    Twice { what: &'static str, first: usize, number: usize },
}

/// Why an entry was not understood.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum EntryError {
    Scope(#[from] ScopeError),
    Issuer(#[from] IssuerError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    api_version: String,
    kind: String,
    #[serde(default)]
    credentials: Vec<WireCredential>,
    #[serde(default)]
    mirrors: Vec<WireMirror>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WireCredential {
    scope: String,
    username: Option<String>,
    password_file: Option<PathBuf>,
    issuer: Option<String>,
    #[serde(default)]
    settings: BTreeMap<String, String>,
    expires_at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct WireMirror {
    source: String,
    hosts: Vec<String>,
    policy: Option<String>,
}

impl TryFrom<WireCredential> for DeclaredCredential {
    type Error = EntryError;

    fn try_from(wire: WireCredential) -> Result<Self, EntryError> {
        Ok(Self {
            scope: wire.scope.parse()?,
            username: wire.username,
            password_file: wire.password_file,
            issuer: wire.issuer.as_deref().map_or(Ok(Issuer::Static), Issuer::by_name)?,
            settings: wire.settings,
            expires_at: wire.expires_at,
        })
    }
}

impl TryFrom<WireMirror> for MirrorRule {
    type Error = MirrorError;

    fn try_from(wire: WireMirror) -> Result<Self, MirrorError> {
        Ok(Self {
            source: wire.source.parse()?,
            hosts: wire.hosts.iter().map(|text| mirror::host(text)).collect::<Result<_, _>>()?,
            policy: wire.policy.as_deref().map_or(Ok(Policy::default()), str::parse)?,
            origin: String::new(),
        })
    }
}
