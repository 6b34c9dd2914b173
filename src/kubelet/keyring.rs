//! Tells which keys of an answer's `auth` map the kubelet uses for an image, and in which order.
//!
//! Source: Kubernetes 1.36, `pkg/credentialprovider/keyring.go`, `BasicDockerKeyring.Add` and `Lookup`,
//! `isDefaultRegistryMatch`.

use super::image_match::Url;

/// Returns the keys whose credentials the kubelet tries for `image`, in its order.
///
/// Keys that the kubelet cannot parse are skipped, as it does. Keys that it takes for the same entry keep the order
/// given here; in the kubelet they come in the order of the configured providers, and at random within one answer.
pub fn lookup<'a>(auth_keys: &[&'a str], image: &str) -> Vec<&'a str> {
    let mut entries: Vec<_> = auth_keys.iter().filter_map(|key| Some((index_key(key)?, *key))).collect();
    entries.sort_by(|(left, _), (right, _)| right.cmp(left));

    let hits = keys_where(&entries, |index_key| matches(index_key, image));
    if hits.is_empty() && is_default_registry_match(image) {
        return keys_where(&entries, |index_key| index_key == DEFAULT_REGISTRY);
    }
    hits
}

/// Whether the kubelet takes `image` for one of Docker Hub, which a key `index.docker.io` serves if no other does.
pub fn is_default_registry_match(image: &str) -> bool {
    match image.split_once('/') {
        None => !image.is_empty(),
        Some(("docker.io" | "index.docker.io", _)) => true,
        Some((first, _)) => !first.is_empty() && !first.contains(['.', ':']),
    }
}

const DEFAULT_REGISTRY: &[u8] = b"index.docker.io";

/// Returns the key under which the kubelet files the credentials, or `None` where it skips the entry.
fn index_key(auth_key: &str) -> Option<Vec<u8>> {
    let location = auth_key.strip_prefix("https://").or_else(|| auth_key.strip_prefix("http://")).unwrap_or(auth_key);
    let Url { host, path } = Url::parse(location.as_bytes()).ok()?;
    let path = match path.as_slice() {
        // The API version of a registry's URL; without the final slash it is a path like any other.
        [b'/', b'v', b'1' | b'2', path @ ..] if path.starts_with(b"/") => path,
        path => path,
    };
    Some(if path == b"/" { host } else { [&host, path].concat() })
}

/// `URLsMatchStr`: parses a second time what [`index_key`] has decoded, so `%253A` becomes `:` in the end.
fn matches(index_key: &[u8], image: &str) -> bool {
    match (Url::parse(index_key), Url::parse(image.as_bytes())) {
        (Ok(pattern), Ok(image)) => pattern.matches(&image),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

fn keys_where<'a>(entries: &[(Vec<u8>, &'a str)], wanted: impl Fn(&[u8]) -> bool) -> Vec<&'a str> {
    entries.iter().filter(|(index_key, _)| wanted(index_key)).map(|(_, auth_key)| *auth_key).collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prop_assert;
    use proptest::proptest;

    use super::super::image_match::MatchImage;
    use super::*;

    #[test]
    fn keys_come_in_descending_byte_order() {
        let keys = ["*.io", "r.io", "r.*", "r.io/team", "r.io/other"];
        assert_eq!(lookup(&keys, "r.io/team/app"), ["r.io/team", "r.io", "r.*", "*.io"]);
    }

    #[test]
    fn keys_of_one_entry_keep_their_order() {
        assert_eq!(lookup(&["r.io/", "https://r.io/v2/"], "r.io/a"), ["r.io/", "https://r.io/v2/"]);
        assert_eq!(lookup(&["https://r.io/v2/", "r.io/"], "r.io/a"), ["https://r.io/v2/", "r.io/"]);
    }

    #[test]
    fn api_version_is_cut_only_with_its_final_slash() {
        assert_eq!(lookup(&["https://r.io/v1/"], "r.io/a"), ["https://r.io/v1/"]);
        assert_eq!(lookup(&["https://r.io/v1"], "r.io/a"), [""; 0]);
        assert_eq!(lookup(&["https://r.io/v3/"], "r.io/a"), [""; 0]);
    }

    #[test]
    fn docker_hub_key_serves_only_when_nothing_else_matches() {
        let keys = ["https://index.docker.io/v1/", "docker.io/acme"];
        assert_eq!(lookup(&keys, "docker.io/library/busybox"), ["https://index.docker.io/v1/"]);
        assert_eq!(lookup(&keys, "docker.io/acme/app"), ["docker.io/acme"]);
        assert_eq!(lookup(&keys, "r.io/acme/app"), [""; 0]);
    }

    #[test]
    fn unparseable_key_is_skipped() {
        assert_eq!(lookup(&["r.io/%", "r.io"], "r.io/a"), ["r.io"]);
    }

    #[test]
    fn escapes_of_a_key_are_decoded_twice() {
        assert_eq!(lookup(&["r.io/t%2565am"], "r.io/team/app"), ["r.io/t%2565am"]);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(
            keys in vec(r"(?s)(https?://)?([a-c*.:/%@?#\[\]0-9-]|(%25|%5B|/v1/|\[::1).?){0,12}|.{0,12}", 0..4),
            image in r"(?s)[a-c.:/%@?#\[\]0-9-]{0,12}|.{0,12}",
        ) {
            let keys: Vec<_> = keys.iter().map(String::as_str).collect();
            let found = lookup(&keys, &image);
            prop_assert!(found.len() <= keys.len());
            for key in keys {
                let _ = MatchImage::parse(key).map(|pattern| pattern.matches(&image));
            }
            is_default_registry_match(&image);
        }
    }
}
