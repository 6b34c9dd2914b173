//! Images: the normal form is a fixed point, holds together, and is one that the kubelet finds again under its own registry.
#![no_main]

use keyring_credential_provider::kubelet::keyring;
use keyring_credential_provider::reference::Reference;
use keyring_credential_provider::windows_path::looks_like_path;
use libfuzzer_sys::fuzz_target;

const DIGEST: &str = "@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fuzz_target!(|text: &str| {
    let lenient = Reference::parse_lenient(text);
    match text.parse::<Reference>() {
        Ok(reference) => {
            assert!(looks_like_path(text).is_none(), "a path was taken for an image");
            assert_eq!(lenient.as_ref(), Ok(&reference), "with fewer rules it is another image");
            check(&reference);
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.is_ascii() && !message.contains(char::is_control) && message.len() < 200, "{message:?}");
            if let Ok(reference) = lenient {
                assert!(text.contains("://"), "only a scheme is forgiven");
                check(&reference);
            }
        }
    }
});

fn check(reference: &Reference) {
    let (name, domain, path) = (reference.name(), reference.domain(), reference.path());
    assert_eq!(reference.to_string(), name);
    assert_eq!(format!("{domain}/{path}"), name);
    assert!(!domain.is_empty() && !domain.contains('/') && domain != "index.docker.io", "{domain}");
    assert!((1..=255).contains(&path.len()), "{}", path.len());
    assert!(path.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/".contains(&b)), "{path}");
    assert!(domain.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:[]".contains(&b)), "{domain}");
    assert!(domain != "docker.io" || path.contains('/'), "{name}");
    assert!(looks_like_path(name).is_none(), "{name}");

    for spelling in [name.to_owned(), format!("{name}:1.27"), format!("{name}{DIGEST}"), format!("{name}:1.27{DIGEST}")]
    {
        assert_eq!(spelling.parse().as_ref(), Ok(reference), "{spelling}");
        assert_eq!(Reference::parse_lenient(&format!("https://{spelling}")).as_ref(), Ok(reference), "{spelling}");
    }

    // Of an IPv6 host in brackets the kubelet makes a character class, and no key reaches it. From a key, not from an image,
    // it cuts one `/v1/` or `/v2/`.
    if !domain.starts_with('[') {
        let has_version = path.starts_with("v1/") || path.starts_with("v2/");
        let whole = if has_version { format!("{domain}/v1/{path}") } else { name.to_owned() };
        for key in [domain, whole.as_str()] {
            assert_eq!(keyring::lookup(&[key], name), [key], "the kubelet finds nothing for {name} under {key}");
        }
    }
}
