//! Answers: an image, two scopes, a policy with the mirrors of every registry, a user name and a password, a line each, the
//! password to the end. The answer is strict JSON of the five known fields; it holds sound credentials that the policy allows,
//! under keys that the kubelet uses for this image in the order of the policy.
#![no_main]

use std::collections::BTreeMap;

use keyring_credential_provider::credential::{Credential, check_basic_auth};
use keyring_credential_provider::issuer::Issuing;
use keyring_credential_provider::kubelet::response::CredentialProviderResponse;
use keyring_credential_provider::kubelet::{ApiVersion, keyring};
use keyring_credential_provider::mirror::{self, MirrorRule, Policy, Source};
use keyring_credential_provider::provider;
use keyring_credential_provider::reference::Reference;
use keyring_credential_provider::scope::Scope;
use keyring_credential_provider::secret::Secret;
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use zeroize::Zeroizing;

fuzz_target!(|data: &[u8]| {
    let mut lines = data.splitn(6, |byte| *byte == b'\n');
    let mut text = || std::str::from_utf8(lines.next()?).ok();
    let (Some(image), Some(first), Some(second), Some(mirrors), Some(username)) =
        (text(), text(), text(), text(), text())
    else {
        return;
    };
    let password = lines.next().unwrap_or_default();
    let Ok(image) = Reference::parse_lenient(image) else { return };
    let mut scopes: Vec<Scope> = [first, second].iter().filter_map(|text| text.parse().ok()).collect();
    scopes.sort();
    scopes.dedup();
    // Each has a name of its own, so that an answer tells which it is.
    let names = [username.to_owned(), format!("{username}-2")];
    let credentials: Vec<Credential> =
        scopes.into_iter().zip(&names).map(|(scope, name)| credential(scope, name, password)).collect();
    let rules: Vec<MirrorRule> = rule(mirrors).into_iter().collect();

    match provider::provide(ApiVersion::V1, &image, &credentials, &rules, &Issuing::offline(0)) {
        Ok(response) => {
            check_choice(&response, &image, &credentials, rules.first());
            check_wire(&response, &image, password);
        }
        Err(_) => {
            let sound = |name: &String| check_basic_auth(name, password).is_ok();
            assert!(!names.iter().all(sound), "sound credentials were refused");
        }
    }
});

/// What is answered, the policy allows, and where it allows something, that is answered.
fn check_choice(
    response: &CredentialProviderResponse,
    image: &Reference,
    credentials: &[Credential],
    rule: Option<&MirrorRule>,
) {
    let fits = |credential: &Credential| credential.scope.fit(image).is_ok();
    let fits_mirror = |credential: &Credential| {
        rule.is_some_and(|rule| rule.images(image).any(|image| credential.scope.fit(&image).is_ok()))
    };
    // One that cannot be issued is left out of a chain.
    let sound = || credentials.iter().filter(|one| check_basic_auth(&one.username, one.secret.expose()).is_ok());
    let allowed = |credential: &Credential| match rule.map(|rule| rule.policy) {
        None | Some(Policy::UpstreamOnly) => fits(credential),
        Some(Policy::MirrorOnly) => fits_mirror(credential),
        Some(Policy::MirrorThenUpstream | Policy::UpstreamThenMirror) => fits(credential) || fits_mirror(credential),
    };
    let answered: Vec<&Credential> = response
        .auth
        .iter()
        .map(|(_, issued)| credentials.iter().find(|one| one.username == issued.username).expect("it is stored"))
        .collect();
    assert!(answered.iter().all(|credential| allowed(credential)), "{answered:?} for {image} by {rule:?}");
    assert_eq!(answered.is_empty(), !credentials.iter().any(allowed), "{credentials:?} for {image} by {rule:?}");
    match rule.map(|rule| rule.policy) {
        None | Some(Policy::UpstreamOnly) => {
            assert!(answered.len() <= 1, "{answered:?}");
            let best = credentials.iter().filter_map(|credential| credential.scope.fit(image).ok()).max();
            assert_eq!(
                answered.first().and_then(|credential| credential.scope.fit(image).ok()),
                best,
                "{credentials:?}"
            );
        }
        Some(Policy::MirrorThenUpstream) => {
            assert!(answered.first().is_none_or(|first| fits_mirror(first) || !sound().any(fits_mirror)));
        }
        Some(Policy::UpstreamThenMirror) => {
            assert!(answered.first().is_none_or(|first| fits(first) || !sound().any(fits)));
        }
        Some(Policy::MirrorOnly) => {}
    }
}

fn check_wire(response: &CredentialProviderResponse, image: &Reference, password: &[u8]) {
    let mut written = Vec::new();
    response.write_to(&mut written).expect("memory takes every answer");
    assert_eq!(written.iter().position(|byte| *byte == b'\n'), Some(written.len() - 1), "the answer is one line");
    let answer: Value = serde_json::from_slice(&written).expect("the answer is JSON");
    let auth = answer["auth"].as_object().expect("auth is an object");
    let reuse = answer["cacheKeyType"].as_str().expect("cacheKeyType is a string");
    assert_eq!(
        answer,
        json!({
            "kind": "CredentialProviderResponse",
            "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "cacheKeyType": reuse,
            "cacheDuration": "0s",
            "auth": auth,
        })
    );
    assert!(reuse == "Image" || reuse == "Registry" && !auth.is_empty(), "{reuse}");
    let chain: Vec<&str> = response.auth.iter().map(|(_, issued)| issued.username.as_str()).collect();
    assert_eq!(auth.len(), chain.len(), "two credentials under one key");
    for username in &chain {
        check_basic_auth(username, password).expect("an answered credential is sound");
    }

    // Of an IPv6 host in brackets the kubelet makes a character class, and no key reaches it.
    if image.domain().starts_with('[') {
        return;
    }
    let keys: Vec<&str> = auth.keys().map(String::as_str).collect();
    let found = keyring::lookup(&keys, image.name());
    let password = std::str::from_utf8(password).unwrap_or_default();
    let found: Vec<&Value> = found.into_iter().map(|key| &auth[key]).collect();
    let expected: Vec<Value> =
        chain.iter().map(|username| json!({ "username": username, "password": password })).collect();
    assert!(found.iter().copied().eq(&expected), "the kubelet finds {found:?} for {image} in {answer}");
}

/// The mirrors of every registry: `POLICY HOST...`.
fn rule(text: &str) -> Option<MirrorRule> {
    let mut words = text.split(' ');
    let policy = words.next()?.parse().ok()?;
    let hosts = words.map(mirror::host).collect::<Result<_, _>>().ok()?;
    Some(MirrorRule { source: Source::Any, hosts, policy, origin: String::new() })
}

fn credential(scope: Scope, username: &str, password: &[u8]) -> Credential {
    Credential {
        scope,
        username: username.to_owned(),
        secret: Secret::new(Zeroizing::new(password.to_vec())),
        issuer: "static".to_owned(),
        settings: BTreeMap::new(),
        expires_at: None,
        updated_at: 0,
        origin: String::new(),
    }
}
