//! `exchange`: what a recipe's places come from, and whom a credential is for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::fake::{Fake, Reply};
use super::{ask, ca_file, login, parts};
use crate::support::Node;

/// A scope with a wildcard stands for many registries, and each has a login of its own.
#[test]
fn registries_of_one_entry_do_not_share_a_credential() {
    let fake = Fake::https(|_| {
        let pair = |text: &str| json!({ "auth": STANDARD.encode(text) });
        Reply::json(200, &json!({ "auths": { "sjc.vultrcr.com": pair("u:one"), "ams.vultrcr.com": pair("u:two") } }))
    });
    let node = Node::new();
    let (url, trust) = (format!("url={}", fake.url()), ca_file(&node));
    login(&node, "*.vultrcr.com", "exchange", &["recipe=vultr", "id=1", &url, &trust], "key").done();
    for (host, password) in [("sjc", "one"), ("ams", "two"), ("sjc", "one")] {
        assert_eq!(parts(ask(&node, &format!("{host}.vultrcr.com/a/b"), "10s")).1, password);
    }
    assert_eq!(fake.count(), 2);
}

/// What an operator sets is one name in the answer, be there a `/` or a `~` in it (RFC 6901 §3).
#[test]
fn a_value_in_a_pointer_is_one_name() {
    let fake = Fake::https(|_| {
        let tokens = json!({ "team/a~1": { "token": "right" }, "team": { "a~1": { "token": "wrong" } } });
        Reply::json(200, &json!({ "tokens": tokens }))
    });
    let recipe = r#"recipe={"proof":"key","path":"/","answer":{"username":"u","password":"/tokens/{name}/token"}}"#;
    let node = Node::new();
    let (url, trust) = (format!("url={}", fake.url()), ca_file(&node));
    login(&node, "r.test", "exchange", &[recipe, "name=team/a~1", &url, &trust], "key").done();
    assert_eq!(parts(ask(&node, "r.test/a", "10s")).1, "right");
}
