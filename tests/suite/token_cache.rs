//! The sealed token cache, by the library: what is kept, and what is dropped.

use keyring_credential_provider::secret::Secret;
use keyring_credential_provider::store::{Store, Token, TokenCache};
use zeroize::Zeroizing;

use crate::support::Node;

fn token(key: u8, password: &str, expires_at: i64) -> Token {
    Token {
        key: [key; 32],
        scope: format!("r{key}.test"),
        username: "u".to_owned(),
        password: Secret::new(Zeroizing::new(password.as_bytes().to_vec())),
        minted_at: 0,
        expires_at,
        failure: None,
        retry_at: 0,
    }
}

/// The passwords of these tokens.
fn passwords(cache: &TokenCache, keys: &[u8]) -> Vec<Option<String>> {
    let password = |key: &u8| Some(String::from_utf8(cache.get(&[*key; 32])?.password.expose().to_vec()).unwrap());
    keys.iter().map(password).collect()
}

fn cache(node: &Node) -> TokenCache {
    Store::at(node.store()).open().unwrap().tokens
}

#[test]
fn a_token_takes_the_place_of_its_forerunner_and_of_no_other() {
    let node = Node::new();
    let cache = cache(&node);
    for (key, password, end) in [(1, "old", 900), (2, "other", 800), (1, "new", 700)] {
        cache.put(&token(key, password, end), 0).unwrap();
    }
    assert_eq!(passwords(&cache, &[1, 2, 3]), [Some("new".to_owned()), Some("other".to_owned()), None]);
}

#[test]
fn what_has_ended_is_dropped_at_the_next_write() {
    let node = Node::new();
    let cache = cache(&node);
    cache.put(&token(1, "ended", 100), 0).unwrap();
    // A failure is remembered for a while, though there is no credential with it.
    cache.put(&Token { failure: Some("why".to_owned()), retry_at: 105, ..token(2, "", 0) }, 100).unwrap();
    cache.put(&token(3, "good", 200), 100).unwrap();
    assert_eq!(passwords(&cache, &[1, 2, 3]), [None, Some(String::new()), Some("good".to_owned())]);
    cache.put(&token(4, "good", 200), 105).unwrap();
    assert_eq!(passwords(&cache, &[2, 3]), [None, Some("good".to_owned())]);
    assert!(cache.get(&[3; 32]).unwrap().is_alive(199) && !cache.get(&[3; 32]).unwrap().is_alive(200));
}

#[test]
fn what_is_forgotten_is_that_of_one_scope() {
    let node = Node::new();
    let cache = cache(&node);
    cache.put(&token(1, "one", 100), 0).unwrap();
    cache.put(&token(2, "two", 100), 0).unwrap();
    cache.forget(&"r1.test".parse().unwrap()).unwrap();
    assert_eq!(passwords(&cache, &[1, 2]), [None, Some("two".to_owned())]);
}
