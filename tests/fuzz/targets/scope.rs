//! Scopes: two of them and an image, a line each. The canonical form is a fixed point and fits the images it names, and what
//! the order of scopes cannot decide is called a tie.
#![no_main]

use keyring_credential_provider::reference::Reference;
use keyring_credential_provider::scope::Scope;
use keyring_credential_provider::windows_path::looks_like_path;
use libfuzzer_sys::fuzz_target;

/// Longest path of an image.
const MAX_PATH: usize = 255;

fuzz_target!(|text: &str| {
    let mut lines = text.splitn(3, '\n');
    let (first, second) = (lines.next().and_then(scope), lines.next().and_then(scope));
    let (Some(first), Some(second)) = (first, second) else { return };
    assert_eq!(first.ties_with(&second), second.ties_with(&first), "{first} {second}");
    assert!(!first.ties_with(&first), "{first}");
    let Some(Ok(image)) = lines.next().map(str::parse::<Reference>) else { return };
    if let (Ok(one), Ok(other)) = (first.fit(&image), second.fit(&image))
        && one == other
    {
        assert!(first == second || first.ties_with(&second), "{first} and {second} fit {image} equally well");
    }
});

fn scope(text: &str) -> Option<Scope> {
    let parsed = text.parse::<Scope>();
    if looks_like_path(text).is_some() {
        assert!(parsed.is_err(), "a path was taken for a scope");
    }
    match parsed {
        Ok(scope) => {
            check(&scope);
            Some(scope)
        }
        Err(error) => {
            let message = error.to_string();
            assert!(!message.contains(char::is_control) && message.chars().count() < 200, "{message:?}");
            None
        }
    }
}

fn check(scope: &Scope) {
    let (text, domain, path) = (scope.as_str(), scope.domain(), scope.path());
    assert_eq!(scope.to_string(), text);
    assert_eq!(text, if path.is_empty() { domain.to_owned() } else { format!("{domain}/{path}") });
    assert!(!text.contains(|c: char| c.is_ascii_uppercase() || c.is_whitespace() || c.is_control()), "{text:?}");
    assert!(looks_like_path(text).is_none(), "{text}");
    assert_eq!(text.parse::<Scope>().as_ref(), Ok(scope), "{text} is stored and does not name itself");
    assert_eq!(
        text.to_ascii_uppercase().split('/').next().unwrap_or_default().parse::<Scope>(),
        domain.parse(),
        "{domain}"
    );
    if path.is_empty() {
        assert_eq!(format!("https://{domain}/v2/").parse::<Scope>().as_ref(), Ok(scope), "{text}");
    }

    // `*` stands for any run of characters, `x` among them. Where that turns the host into one that a name without registry
    // would not have, or into one of Docker Hub's, there is no image to try.
    let is_full = path.len() > MAX_PATH - "/x".len();
    let name = text.replace('*', "x") + if is_full { "" } else { "/x" };
    match name.parse::<Reference>() {
        Ok(image) if image.domain() == domain.replace('*', "x") => {
            let fit = scope.fit(&image).unwrap_or_else(|mismatch| panic!("{text} does not fit {image}: {mismatch}"));
            let registry: Scope = domain.parse().expect("a scope without its path is one");
            let wider = registry.fit(&image).expect("a scope without its path fits more");
            assert!(path.is_empty() == (fit == wider) && fit >= wider, "{text} is no more specific than {registry}");
        }
        Ok(_) => assert!(domain.contains('*'), "{text} is not the registry of {name}"),
        // A name of one part on Docker Hub is below `library/`, so the path may be a name space with no room for a name.
        Err(error) => {
            assert!(domain.contains('*') || is_full && domain == "docker.io", "{text} fits no image: {error}")
        }
    }
}
