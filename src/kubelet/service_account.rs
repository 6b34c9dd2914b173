//! The service account of the pod that pulls (KEP-4412): its token, and whom the token names.
//!
//! The claims are read, not verified: this program has no key of the cluster. They are as good as who wrote them to standard
//! input, which is the kubelet; whoever else can start this program on this store is root. A registry or cloud that is shown
//! the token verifies it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// Longest token: the API server makes them of one or two kilobytes.
const MAX_TOKEN: usize = 64 * 1024;

/// A pod's service account. Debug shows everything but the token.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    /// The token, for the audience of the provider's `tokenAttributes`.
    pub token: Secret,
    /// Namespace and name; nothing when the token does not say.
    pub name: Option<(String, String)>,
    /// When the token ends, in seconds since 1970.
    pub expires_at: Option<i64>,
    /// Those annotations of the service account that `tokenAttributes` name.
    pub annotations: BTreeMap<String, String>,
    identity: [u8; 32],
}

impl ServiceAccount {
    /// Reads the claims of a token.
    ///
    /// # Errors
    /// [`TokenError`] for what cannot be sent in an HTTP header or form; a token without readable claims is none.
    pub fn new(token: Secret, annotations: BTreeMap<String, String>) -> Result<Self, TokenError> {
        let bytes = token.expose();
        if bytes.len() > MAX_TOKEN {
            return Err(TokenError::Long);
        }
        if !bytes.iter().all(u8::is_ascii_graphic) {
            return Err(TokenError::Characters);
        }
        let claims = claims(bytes).unwrap_or_default();
        let account = claims.kubernetes.as_ref();
        let name = account.map(|account| (account.namespace.clone(), account.account.name.clone()));
        let mut digest = Sha256::new();
        match account {
            // All pods of an account are one; an account that was made anew under the same name is another.
            Some(Account { namespace, account }) => {
                for part in ["account", namespace, &account.name, &account.uid, claims.issuer.as_deref().unwrap_or("")]
                {
                    digest.update(part.len().to_le_bytes());
                    digest.update(part);
                }
            }
            None => digest.update(bytes),
        }
        Ok(Self { name, expires_at: claims.expires_at, annotations, identity: digest.finalize().into(), token })
    }

    /// Returns what tells this account from every other: never the same for two of them.
    pub fn identity(&self) -> [u8; 32] {
        self.identity
    }
}

/// Why a token cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its variant means")]
pub enum TokenError {
    #[error("is longer than {MAX_TOKEN} bytes")]
    Long,
    #[error("holds characters that no token has")]
    Characters,
}

#[derive(Default, Deserialize)]
struct Claims {
    #[serde(rename = "exp")]
    expires_at: Option<i64>,
    #[serde(rename = "iss")]
    issuer: Option<String>,
    #[serde(rename = "kubernetes.io")]
    kubernetes: Option<Account>,
}

#[derive(Deserialize)]
struct Account {
    namespace: String,
    #[serde(rename = "serviceaccount")]
    account: Named,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    uid: String,
}

fn claims(token: &[u8]) -> Option<Claims> {
    let mut parts = token.split(|byte| *byte == b'.');
    let payload = parts.nth(1)?;
    let json = Zeroizing::new(URL_SAFE_NO_PAD.decode(payload).ok()?);
    serde_json::from_slice(&json).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(claims: &str) -> ServiceAccount {
        let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        ServiceAccount::new(Secret::new(Zeroizing::new(token.into_bytes())), BTreeMap::new()).unwrap()
    }

    #[test]
    fn accounts_are_told_apart_and_their_pods_are_not() {
        let of = |namespace: &str, name: &str, uid: &str, exp: i64| {
            account(&format!(
                r#"{{"iss":"c","exp":{exp},"kubernetes.io":{{"namespace":"{namespace}","serviceaccount":{{"name":"{name}","uid":"{uid}"}}}}}}"#
            ))
        };
        let first = of("a", "b", "1", 5);
        assert_eq!((first.name.clone(), first.expires_at), (Some(("a".to_owned(), "b".to_owned())), Some(5)));
        assert_eq!(first.identity(), of("a", "b", "1", 6).identity());
        for other in [of("a", "c", "1", 5), of("c", "b", "1", 5), of("a", "b", "2", 5), of("ab", "", "1", 5)] {
            assert_ne!(first.identity(), other.identity());
        }
        let of_cluster = |issuer: &str| {
            account(&format!(
                r#"{{"iss":"{issuer}","kubernetes.io":{{"namespace":"a","serviceaccount":{{"name":"b","uid":"1"}}}}}}"#
            ))
        };
        assert_eq!(first.identity(), of_cluster("c").identity());
        assert_ne!(first.identity(), of_cluster("d").identity());
    }

    #[test]
    fn a_token_without_claims_is_an_identity_of_its_own() {
        assert_eq!(account("{}").name, None);
        assert_ne!(account("{}").identity(), account(r#"{"exp":1}"#).identity());
        let bad = ServiceAccount::new(Secret::new(Zeroizing::new(b"a b".to_vec())), BTreeMap::new());
        assert_eq!(bad.unwrap_err(), TokenError::Characters);
    }
}
