//! Images are normalised as the kubelet does it.

use keyring_credential_provider::reference::{Reference, ReferenceError};
use proptest::prelude::*;

use crate::support::vectors;

#[test]
fn images_are_normalised_like_the_kubelet() {
    let cases: Vec<_> = ["parse_image_name", "probe_parse_image"].into_iter().flat_map(vectors).collect();
    assert_eq!(cases.len(), 39);
    for case in cases {
        let image = case["podImage"].as_str().unwrap();
        let parsed = image.parse::<Reference>();
        match case["pluginImage"].as_str() {
            Some(expected) => {
                let parsed = parsed.unwrap_or_else(|error| panic!("{image}: {error}"));
                assert_eq!(parsed.name(), expected, "{image}");
                if let Some(registry) = case["cacheRegistry"].as_str() {
                    assert_eq!(parsed.domain(), registry, "{image}");
                }
            }
            None => assert!(parsed.is_err(), "{image} must be refused, became {parsed:?}"),
        }
    }
}

#[test]
fn a_scheme_is_dropped_only_where_people_type() {
    assert_eq!("https://r.io/a".parse::<Reference>(), Err(ReferenceError::Scheme));
    assert_eq!(Reference::parse_lenient("https://r.io/a").unwrap().name(), "r.io/a");
    assert_eq!(Reference::parse_lenient("HTTP://r.io/a:v1").unwrap().name(), "r.io/a");
    assert_eq!(Reference::parse_lenient("oci://r.io/a"), Err(ReferenceError::Scheme));
}

#[test]
fn refusals_say_what_is_wrong() {
    let table = [
        ("", "image is empty"),
        ("r.io/a b", "image has a blank or control character at position 7"),
        ("r.io/a\u{7}", "image has a blank or control character at position 7"),
        ("r.io/A", "image has an upper-case letter in its repository; repositories are lower case"),
        ("-r.io/a", "image does not start with a valid registry host"),
        ("r.io:80x/a", "image does not start with a valid registry host"),
        ("r.io/a..b", "image has an invalid repository path"),
        ("r.io/a//b", "image has an invalid repository path"),
        ("r.io/a:", "image has an invalid tag or digest"),
        ("r.io/a@sha256:12", "image has an invalid tag or digest"),
    ];
    for (image, expected) in table {
        assert_eq!(image.parse::<Reference>().unwrap_err().to_string(), expected, "{image}");
    }
    let long = format!("r.io/{}", "a".repeat(256));
    assert_eq!(long.parse::<Reference>(), Err(ReferenceError::TooLong));
}

proptest! {
    #[test]
    fn any_text_is_refused_or_stays_as_it_is(text in "\\PC{0,40}|[a-zA-Z0-9./:@_\\[\\]-]{0,40}") {
        if let Ok(image) = Reference::parse_lenient(&text) {
            prop_assert_eq!(format!("{}/{}", image.domain(), image.path()), image.name());
            prop_assert_eq!(image.name().parse::<Reference>(), Ok(image));
        }
    }
}
