//! `exchange`: what a recipe's places come from.

use serde_json::json;

use super::fake::{Fake, Reply};
use super::{ask, ca_file, login, parts};
use crate::support::Node;

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
