//! A service account's key, and the assertion that it signs for an access token (RFC 7523).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::json;
use zeroize::Zeroizing;

use super::super::IssuerError;
use super::super::endpoint::Endpoint;
use super::super::http::{Http, Request};
use super::super::{clock, token::AccessToken};
use super::NAME;

const GRANT: &[u8] = b"urn:ietf:params:oauth:grant-type:jwt-bearer";

/// Where tokens are, for a key that does not say.
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";

/// How long an assertion is good: one request. It begins a little earlier, for clocks that differ.
const LIFE: i64 = 10 * 60;
const EARLIER: i64 = 30;

/// A key.
pub(super) struct Key {
    mail: String,
    id: Option<String>,
    token_uri: String,
    pair: RsaKeyPair,
}

impl Key {
    /// Parses the JSON file that Google Cloud gives for a key. An error quotes nothing of it.
    pub(super) fn parse(json: &[u8]) -> Result<Self, IssuerError> {
        #[derive(Deserialize)]
        struct File {
            #[serde(rename = "type")]
            kind: String,
            client_email: String,
            private_key: Zeroizing<String>,
            private_key_id: Option<String>,
            token_uri: Option<String>,
        }
        let needs = |what| IssuerError::Needs { issuer: NAME, what };
        let file: File = serde_json::from_slice(json)
            .map_err(|_| needs("a password, which is the JSON key of a service account, whole"))?;
        if file.kind != "service_account" {
            return Err(needs("the key of a service account; other kinds of credentials are not for a node"));
        }
        let pair = pair(file.private_key.as_bytes());
        Ok(Self {
            mail: file.client_email,
            id: file.private_key_id,
            token_uri: file.token_uri.unwrap_or_else(|| TOKEN_URI.to_owned()),
            pair: pair.ok_or_else(|| needs("a key whose `private_key` is an RSA key in PEM"))?,
        })
    }

    /// Returns who is asked: `setting`, or whom the key names.
    pub(super) fn endpoint(&self, setting: Option<&Endpoint>) -> Result<Endpoint, IssuerError> {
        let endpoint = setting.cloned().map_or_else(|| Endpoint::parse(&self.token_uri), Ok);
        // What the key has there was not written by the operator, but counts as the setting that it stands for.
        endpoint
            .map_err(|reason| IssuerError::Setting { name: "token-endpoint", reason: format!("of the key {reason}") })
    }

    /// Gets an access token.
    pub(super) fn token(&self, endpoint: &Endpoint, scope: &str, http: &Http) -> Result<AccessToken, IssuerError> {
        let request = |now| {
            let assertion = self.assertion(scope, now).ok_or_else(|| IssuerError::Answer {
                endpoint: endpoint.to_string(),
                reason: "the request cannot be signed".to_owned(),
            })?;
            let fields = [("grant_type", GRANT), ("assertion", assertion.as_bytes())];
            Ok(Request::form(endpoint, &fields).header("accept", "application/json"))
        };
        AccessToken::read(&clock::send(http, &request)?.ok()?)
    }

    /// Signs what is asked for, to the one whom the key names: whoever stands between cannot use it elsewhere.
    fn assertion(&self, scope: &str, now: i64) -> Option<Zeroizing<String>> {
        let mut header = json!({ "alg": "RS256", "typ": "JWT" });
        if let Some(id) = &self.id {
            header["kid"] = json!(id);
        }
        let start = now - EARLIER;
        let claims =
            json!({ "iss": self.mail, "scope": scope, "aud": self.token_uri, "iat": start, "exp": start + LIFE });
        let encode = |part: serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let signed = format!("{}.{}", encode(header), encode(claims));
        let mut signature = vec![0; self.pair.public().modulus_len()];
        self.pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
        Some(Zeroizing::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// Reads an RSA key in PKCS #8, as Google gives it, or in PKCS #1.
fn pair(pem: &[u8]) -> Option<RsaKeyPair> {
    let key = Zeroizing::new(PrivateKeyDer::from_pem_slice(pem).ok()?);
    match &*key {
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).ok(),
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()).ok(),
        // Foreign, and open for more: keys of elliptic curves.
        _ => None,
    }
}
