//! What the API server accepts from a plugin, so that a store is never sealed with what Kubernetes itself would refuse.

use std::collections::BTreeMap;

use super::{Encrypted, KmsError};

const MAX_KEY_ID: usize = 1024;
const MAX_CIPHERTEXT: usize = 1024;
const MAX_ANNOTATIONS: usize = 32 * 1024;

/// RFC 1035, which Kubernetes applies to a "fully qualified domain name".
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

pub(super) fn check_key_id(key_id: &str) -> Result<(), KmsError> {
    match key_id.len() {
        0 => Err(KmsError::Rule("its key id is empty".to_owned())),
        length if length > MAX_KEY_ID => too_long("its key id", length, MAX_KEY_ID),
        _ => Ok(()),
    }
}

pub(super) fn check_encrypted(encrypted: &Encrypted) -> Result<(), KmsError> {
    check_key_id(&encrypted.key_id)?;
    match encrypted.ciphertext.len() {
        0 => Err(KmsError::Rule("its ciphertext is empty".to_owned())),
        length if length > MAX_CIPHERTEXT => too_long("its ciphertext", length, MAX_CIPHERTEXT),
        _ => check_annotations(&encrypted.annotations),
    }
}

fn check_annotations(annotations: &BTreeMap<String, Vec<u8>>) -> Result<(), KmsError> {
    if !annotations.keys().all(|name| is_domain_name(name)) {
        return Err(KmsError::Rule("an annotation's name is no fully qualified domain name".to_owned()));
    }
    let length = annotations.iter().map(|(name, value)| name.len() + value.len()).sum();
    if length > MAX_ANNOTATIONS { too_long("its annotations", length, MAX_ANNOTATIONS) } else { Ok(()) }
}

fn too_long(what: &str, length: usize, limit: usize) -> Result<(), KmsError> {
    let verb = if what.ends_with('s') { "have" } else { "has" };
    Err(KmsError::Rule(format!("{what} {verb} {length} bytes, more than {limit}")))
}

/// kubernetes `apimachinery/pkg/util/validation.IsFullyQualifiedDomainName`: lower case, two labels at least, a final dot allowed.
fn is_domain_name(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= MAX_NAME && name.contains('.') && name.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    !label.is_empty()
        && label.len() <= MAX_LABEL
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encrypted(ciphertext: usize, key_id: usize, annotations: &[(&str, usize)]) -> Encrypted {
        Encrypted {
            ciphertext: vec![7; ciphertext],
            key_id: "k".repeat(key_id),
            annotations: annotations.iter().map(|(name, length)| ((*name).to_owned(), vec![7; *length])).collect(),
        }
    }

    #[test]
    fn what_fits_the_limits_is_taken() {
        for (ciphertext, key_id, annotations) in [
            (1, 1, &[][..]),
            (1024, 1024, &[("a.b", 32 * 1024 - 3)]),
            (1, 1, &[("kms.example.com", 0), ("version.encryption.remote.io.", 9), ("1.2-3", 9)]),
        ] {
            assert!(check_encrypted(&encrypted(ciphertext, key_id, annotations)).is_ok());
        }
    }

    #[test]
    fn what_does_not_is_named() {
        let long = format!("{}.test", "l".repeat(64));
        for (ciphertext, key_id, annotations, expected) in [
            (0, 1, &[][..], "its ciphertext is empty"),
            (1025, 1, &[], "its ciphertext has 1025 bytes, more than 1024"),
            (1, 0, &[], "its key id is empty"),
            (1, 1025, &[], "its key id has 1025 bytes, more than 1024"),
            (1, 1, &[("a.b", 32 * 1024 - 2)], "its annotations have 32769 bytes, more than 32768"),
            (1, 1, &[("local", 1)], "an annotation's name is no fully qualified domain name"),
            (1, 1, &[("Kms.Example.Com", 1)], "an annotation's name is no fully qualified domain name"),
            (1, 1, &[("-a.b", 1)], "an annotation's name is no fully qualified domain name"),
            (1, 1, &[("a..b", 1)], "an annotation's name is no fully qualified domain name"),
            (1, 1, &[(long.as_str(), 1)], "an annotation's name is no fully qualified domain name"),
        ] {
            let error = check_encrypted(&encrypted(ciphertext, key_id, annotations)).unwrap_err();
            assert_eq!(error.to_string(), format!("broke the rules of the API: {expected}"));
        }
    }
}
