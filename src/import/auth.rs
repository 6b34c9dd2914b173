//! Reads the map of user, password and tokens that every format has in some spelling.
//!
//! Source of the rules: containerd `internal/cri/server/images/image_pull.go`, `ParseAuth`; docker/cli
//! `cli/config/configfile/file.go`; the kubelet's `pkg/credentialprovider/config.go`.

use zeroize::Zeroizing;

use super::gather::{At, Gather, NOT_IMPORTED};
use super::tree::{Node, Value};
use super::{Outcome, base64};
use crate::scope::Scope;

/// How a format spells the keys, and which of two answers it takes.
pub(super) struct Dialect {
    pub(super) identity_token: &'static str,
    pub(super) registry_token: Option<&'static str>,
    /// Keys that have nothing to do with the credential.
    pub(super) other: &'static [&'static str],
    /// Whether `auth` counts when it and `username` differ.
    pub(super) auth_first: bool,
}

type Login = (Zeroizing<String>, Zeroizing<Vec<u8>>);

/// Reads a map, and hands over what is in it.
pub(super) fn read(gather: &mut Gather, at: &At, node: &Node, scope: &Scope, dialect: &Dialect) {
    if !gather.is_map(at, node, "a map with `username` and `password`") {
        gather.stays(at, NOT_IMPORTED);
        return;
    }
    // A login leaves its source as a whole, with nothing in it that was not understood.
    let mut beside = None;
    let mut known = vec!["username", "password", "auth", dialect.identity_token];
    known.extend(dialect.registry_token);
    for (name, value) in node.entries() {
        let child = at.child(if is_plain_name(name) { name } else { "…" }, value);
        if dialect.other.contains(&name.as_str()) {
            continue;
        }
        if !known.contains(&name.as_str()) {
            gather.unknown_key(&child, name, &known);
            beside = Some("a key beside it was not imported");
        } else if matches!(value.value, Value::List(_) | Value::Map(_)) {
            gather.wrong_type(&child, "a text");
            beside = Some("a key beside it was not imported");
        }
    }
    let field = |name: &str| node.get(name).filter(|value| value.text().is_some_and(|text| !text.is_empty()));
    let mut refused = false;
    if let Some(value) = field(dialect.identity_token) {
        refused = true;
        gather.error(
            &at.child(dialect.identity_token, value),
            Outcome::NotRepresentable,
            "identity-token",
            "an identity token has to be exchanged at the registry first, and this version has no issuer \
                that does; store a \
             user name with a password or access token",
        );
    }
    if let Some((name, value)) = dialect.registry_token.and_then(|name| Some((name, field(name)?))) {
        refused = true;
        gather.error(
            &at.child(name, value),
            Outcome::NotRepresentable,
            "registry-token",
            "neither the kubelet nor containerd passes a bearer token on; store a user name with a \
                password or access token",
        );
    }
    let decoded = match field("auth") {
        None => None,
        Some(value) => match value.text().and_then(decode) {
            Some(login) => Some(login),
            None => {
                refused = true;
                gather.error(
                    &at.child("auth", value),
                    Outcome::Ignored,
                    "auth-not-base64",
                    "`auth` is not base64 of `user:password`; put a token into `password`, beside `username`",
                );
                None
            }
        },
    };
    let text = |name: &str| Zeroizing::new(field(name).and_then(Node::text).unwrap_or_default().to_owned());
    let (username, password) = (text("username"), text("password"));
    let has_fields = !username.is_empty() || !password.is_empty();
    let fields: Option<Login> = has_fields.then(|| (username, Zeroizing::new(password.as_bytes().to_vec())));
    if let (Some(fields), Some(decoded)) = (&fields, &decoded)
        && fields != decoded
    {
        let (counts, other) = if dialect.auth_first { ("auth", "username") } else { ("username", "auth") };
        let message = format!("`{counts}` and `{other}` differ; `{counts}` counts, so remove the other");
        gather.warning(at, Outcome::Merged, "auth-differs", message);
        beside = Some("`auth` and `username` in it differ");
    }
    if refused {
        beside = Some("a token or an `auth` in it was not imported");
    }
    if let Some(reason) = beside {
        gather.stays(at, reason);
    }
    let login = if dialect.auth_first { decoded.or(fields) } else { fields.or(decoded) };
    match login {
        // A token's companion: `00000000-0000-0000-0000-000000000000:` of ACR, and `<token>`.
        Some((username, password)) if refused && (password.is_empty() || *username == "<token>") => {}
        Some((username, password)) => gather.login(at, scope.clone(), &username, password),
        None if refused => {}
        None => gather.info(at, Outcome::Ignored, "no-login", "there is no user name and password here"),
    }
}

/// Decodes base64 of `user:password`.
pub(super) fn decode(text: &str) -> Option<Login> {
    let bytes = base64::decode(text)?;
    let text = std::str::from_utf8(&bytes).ok()?;
    let (username, password) = text.split_once(':')?;
    // As containerd and docker: some tools pad with zeros.
    let password = password.trim_matches('\0');
    Some((Zeroizing::new(username.to_owned()), Zeroizing::new(password.as_bytes().to_vec())))
}

/// Returns whether a key beside secrets can be shown: it is a name, not a secret in the wrong place.
fn is_plain_name(name: &str) -> bool {
    name.len() <= 24 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_uppercase() || b == b'_')
}
