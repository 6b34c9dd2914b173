//! Scopes: which texts name one, in which spelling, and which images they fit.

use keyring_credential_provider::reference::Reference;
use keyring_credential_provider::scope::{Mismatch, Scope};
use proptest::prelude::*;

fn scope(text: &str) -> Scope {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn image(text: &str) -> Reference {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn every_spelling_of_docker_hub_is_one_scope() {
    for host in ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "DOCKER.IO"] {
        for scheme in ["", "https://", "http://", "HTTPS://"] {
            for end in ["", "/", "/v1", "/v1/", "/v2", "/v2/"] {
                assert_eq!(scope(&format!("{scheme}{host}{end}")).as_str(), "docker.io", "{scheme}{host}{end}");
            }
        }
    }
}

#[test]
fn docker_hub_serves_its_own_names_only() {
    let hub = scope("docker.io");
    for text in [
        "nginx",
        "docker.io/acme/app",
        "index.docker.io/acme/app",
        "registry-1.docker.io/library/nginx",
        "registry.hub.docker.com/a/b",
        "Registry-1.Docker.io/a/b",
    ] {
        assert!(hub.fit(&image(text)).is_ok(), "{text}");
    }
    for text in [
        "evil.docker.io/a/b",
        "docker.io.evil.test/a/b",
        "docker.io:5000/a/b",
        "docker.io:443/a/b",
        "index.docker.io:443/a/b",
        "hub.docker.com/a/b",
        "xdocker.io/a",
        "registry-1.docker.io.evil.test/a",
    ] {
        assert!(hub.fit(&image(text)).is_err(), "{text}");
    }
}

#[test]
fn scopes_have_one_spelling() {
    let table = [
        ("Registry.Example.test", "registry.example.test"),
        ("https://r.test/", "r.test"),
        ("r.test:5000", "r.test:5000"),
        ("https://r.test:5000/v2/team/", "r.test:5000/team"),
        ("r.test/v2", "r.test"),
        ("r.test/v2/app", "r.test/v2/app"),
        ("*.r.test/team", "*.r.test/team"),
        ("[::1]:5000/a", "[::1]:5000/a"),
        ("[FE80::1]:5000", "[fe80::1]:5000"),
        ("localhost", "localhost"),
        ("myhost:5000", "myhost:5000"),
        ("docker.io:5000", "docker.io:5000"),
        ("10.0.0.1:5000/a_b--c/d.e", "10.0.0.1:5000/a_b--c/d.e"),
    ];
    for (text, expected) in table {
        assert_eq!(scope(text).as_str(), expected, "{text}");
        assert_eq!(scope(expected), scope(text), "{text}");
    }
}

#[test]
fn what_could_never_fit_is_refused_with_the_reason() {
    let table = [
        ("", "scope is empty; give a registry such as `registry.example.com` or `docker.io`"),
        ("r.test /a", "scope has a blank or control character at position 7"),
        ("oci://r.test", "scope has a scheme other than `https://` and `http://`; leave it out"),
        ("user@r.test", "scope contains `@`, which no registry host or repository has"),
        ("r.test?a", "scope contains `?`, which no registry host or repository has"),
        ("r.test/%2e", "scope contains `%`, which no registry host or repository has"),
        ("{a,b}.test", "scope contains `{`, which no registry host or repository has"),
        ("[a-z].test", "scope does not start with a valid registry host"),
        ("r..test", "scope does not start with a valid registry host"),
        ("r.test.", "scope does not start with a valid registry host"),
        ("bücher.test", "scope does not start with a valid registry host"),
        ("r.test:", "scope has an invalid port; give a number from 1 to 65535"),
        ("r.test:0", "scope has an invalid port; give a number from 1 to 65535"),
        ("r.test:99999", "scope has an invalid port; give a number from 1 to 65535"),
        ("r.test:*", "scope has an invalid port; give a number from 1 to 65535"),
        (
            "acme",
            "scope has no registry host: a name without dot or port is a path on Docker Hub; put `docker.io/` before it",
        ),
        (
            "acme/app",
            "scope has no registry host: a name without dot or port is a path on Docker Hub; put `docker.io/` before it",
        ),
        ("r.test/*", "scope has a wildcard in its path; a path covers everything below it already, so leave out `/*`"),
        ("r.test/app:1.0", "scope has a tag; a scope covers all tags, so leave out the part from `:`"),
        ("r.test/App", "scope has an upper-case letter in its path; repositories are lower case"),
        ("r.test//a", "scope has an invalid repository path"),
    ];
    let long = format!("r.test/{}", "a".repeat(256)).parse::<Scope>().unwrap_err().to_string();
    assert_eq!(long, "scope has a path longer than 255 characters, which no image has");
    for (text, expected) in table {
        assert_eq!(text.parse::<Scope>().unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn fit_follows_the_kubelet_but_for_segments_and_case() {
    use Mismatch::{Host, Labels, Path, Port};
    let table: &[(&str, &str, Result<(), Mismatch>)] = &[
        ("r.test", "r.test/a/b", Ok(())),
        ("r.test", "R.TEST/a/b", Ok(())),
        ("r.test", "r.test:443/a", Err(Port)),
        ("r.test:443", "r.test/a", Err(Port)),
        ("r.test:5000", "r.test:5000/a", Ok(())),
        ("r.test", "q.test/a", Err(Host)),
        ("*.test", "r.test/a", Ok(())),
        ("*.test", "a.r.test/a", Err(Labels)),
        ("*.*.test", "a.r.test/a", Ok(())),
        ("app*.test", "app/x", Err(Host)),
        ("app*.test", "app7.test/x", Ok(())),
        ("app*.test", "app.test/x", Ok(())),
        ("*-good.test", "so-good.test/x", Ok(())),
        ("*-good.test", "so-bad.test/x", Err(Host)),
        ("r.test/team", "r.test/team", Ok(())),
        ("r.test/team", "r.test/team/app", Ok(())),
        ("r.test/team", "r.test/team-b/app", Err(Path)),
        ("r.test/team", "r.test/other", Err(Path)),
        ("[::1]:5000", "[::1]:5000/a", Ok(())),
        ("*:5000", "localhost:5000/a", Ok(())),
        ("*.docker.io", "registry-1.docker.io/a", Ok(())),
        ("*.docker.io", "docker.io/a", Err(Labels)),
        ("*.io", "docker.io/a", Ok(())),
    ];
    for (text, name, expected) in table {
        assert_eq!(scope(text).fit(&image(name)).map(drop), *expected, "{text} and {name}");
    }
}

#[test]
fn more_specific_is_longer_path_then_fewer_wildcards() {
    let pull = image("a.r.test/team/app/x");
    let order = [
        "*.*.test",
        "*.r.test",
        "a.r.test",
        "*.*.test/team",
        "a.r.test/team",
        "*.r.test/team/app",
        "a.r.test/team/app/x",
    ];
    let fits: Vec<_> = order.iter().map(|text| scope(text).fit(&pull).unwrap()).collect();
    assert!(fits.is_sorted_by(|a, b| a < b), "{fits:#?}");
}

#[test]
fn ties_are_found() {
    let table = [
        ("*.r.test", "a.*.test", true),
        ("*.r.test", "a.*.test/x", false),
        ("*.r.test", "*.q.test", false),
        ("a*.test", "*b.test", true),
        ("a*.test", "b*.test", false),
        ("a*.test", "*.test", true),
        ("*.r.test:1", "a.*.test:2", false),
        ("a.test", "*.test", false),
        ("*.*.test", "*.r.test", false),
        ("*.test", "*.test", false),
    ];
    for (a, b, expected) in table {
        assert_eq!(scope(a).ties_with(&scope(b)), expected, "{a} and {b}");
        assert_eq!(scope(b).ties_with(&scope(a)), expected, "{b} and {a}");
    }
}

proptest! {
    #[test]
    fn canonical_text_is_a_fixed_point(text in "(https://)?[a-zA-Z*]{1,4}(\\.[a-z0-9*-]{1,4}){0,3}(:[0-9]{1,5})?(/[a-z0-9._-]{1,5}){0,3}/?") {
        if let Ok(parsed) = text.parse::<Scope>() {
            prop_assert_eq!(parsed.as_str().parse::<Scope>(), Ok(parsed));
        }
    }

    #[test]
    fn a_scope_fits_itself_as_an_image(text in "[a-z]{1,4}(\\.[a-z0-9]{1,4}){1,3}(:[1-9][0-9]{1,3})?/[a-z]{1,3}(/[a-z]{1,3}){0,2}") {
        prop_assert!(scope(&text).fit(&image(&text)).is_ok());
    }

    #[test]
    fn an_image_that_fits_two_wildcards_equally_is_a_tie(a in "[ab*]{1,3}\\.[ab*]{1,3}", b in "[ab*]{1,3}\\.[ab*]{1,3}", host in "[ab]{1,3}\\.[ab]{1,3}") {
        let (a, b) = (scope(&a), scope(&b));
        let pull = image(&format!("{host}/x"));
        if let (Ok(x), Ok(y)) = (a.fit(&pull), b.fit(&pull)) && a != b && x == y {
            prop_assert!(a.ties_with(&b), "{} and {} on {}", a, b, pull);
        }
    }
}
