//! `oauth2`: RFC 6749.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::fake::{Fake, Received, Reply};
use super::faults::{Subject, WRONG, fault_matrix};
use super::{ask, assert_form, assert_kept, ca_file, login, parts};
use crate::support::{Node, Run};

const SECRET: &str = "client secret: ä&=/+";

pub(super) const SUBJECT: Subject = Subject {
    issuer: "oauth2",
    scope: "r.test",
    image: "r.test/team/app",
    settings: |url| {
        let settings = ["--username kcp", "scope=pull read", "audience=registry", "username=oauth2accesstoken"];
        settings.into_iter().map(str::to_owned).chain([format!("token-url={url}/token")]).collect()
    },
    secret: SECRET,
    wrong: WRONG,
    by_pod: false,
    path: "/token",
    reply,
    refused: "answered 401: Client authentication failed for ***",
    answer: ("oauth2accesstoken", "at-1", 3600 - 60 - 900),
};

fault_matrix!(SUBJECT);

/// An authorization server with one client.
fn reply(received: &Received) -> Reply {
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", "/token"));
    assert_eq!(received.header("accept"), Some("application/json"));
    let fields = [("grant_type", "client_credentials"), ("scope", "pull read"), ("audience", "registry")];
    assert_form(received, &fields);
    let (client, secret) = received.basic().expect("the client authenticates");
    assert_eq!(client, "kcp");
    // RFC 6749 §2.3.1: form-encoded before it is encoded for Basic.
    if secret != "client%20secret%3A%20%C3%A4%26%3D%2F%2B" {
        let said = format!("Client authentication failed for {secret}");
        return Reply::json(401, &json!({ "error": "invalid_client", "error_description": said }));
    }
    Reply::json(200, &json!({ "access_token": "at-1", "token_type": "Bearer", "expires_in": 3600 }))
}

/// A node whose token server does this.
fn node(reply: impl Fn(&Received) -> Reply + Send + Sync + 'static, settings: &[&str]) -> (Fake, Node) {
    let (fake, node) = (Fake::https(reply), Node::new());
    let (url, trust) = (format!("token-url={}/token", fake.url()), ca_file(&node));
    let settings: Vec<&str> =
        [url.as_str(), &trust, "--username kcp"].into_iter().chain(settings.iter().copied()).collect();
    login(&node, "r.test", "oauth2", &settings, "s3cr3t-of-kcp").done();
    (fake, node)
}

/// What the server said says more than that the second try took too long.
#[test]
fn a_failure_before_the_deadline_is_told_not_the_deadline() {
    let count = AtomicUsize::new(0);
    let busy_then_silent = move |_: &Received| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::json(503, &json!({ "error": "under maintenance" })),
        _ => Reply::Drip,
    };
    let (fake, node) = node(busy_then_silent, &[]);
    let expected = format!(
        "keyring-credential-provider: r.test: `{}/token` answered 503: under maintenance; check what is stored with \
         `keyring-credential-provider explain`\n",
        fake.url()
    );
    assert_eq!((ask(&node, "r.test/a", "2s"), fake.count()), (Run::new(1, "", &expected), 2));
}

#[test]
fn the_client_can_authenticate_in_the_body() {
    let reply = |received: &Received| {
        assert_eq!(received.header("authorization"), None);
        let fields = [("grant_type", "client_credentials"), ("client_id", "kcp"), ("client_secret", "s3cr3t-of-kcp")];
        assert_form(received, &fields);
        Reply::json(200, &json!({ "access_token": "at", "expires_in": "600" }))
    };
    let (_fake, node) = node(reply, &["client-auth=post"]);
    let (user, password, seconds, key) = parts(ask(&node, "r.test/a", "10s"));
    assert_eq!((user.as_str(), password.as_str(), key.as_str()), ("kcp", "at", "r.test"));
    assert_kept(seconds, 600 - 60 - 300);
}

#[test]
fn a_refresh_token_is_redeemed() {
    let reply = |received: &Received| {
        assert_eq!(received.header("authorization"), None);
        let fields = [("grant_type", "refresh_token"), ("refresh_token", "s3cr3t-of-kcp"), ("client_id", "kcp")];
        assert_form(received, &fields);
        Reply::json(200, &json!({ "access_token": "at", "expires_in": 7200, "refresh_token": "s3cr3t-of-kcp" }))
    };
    let (_fake, node) = node(reply, &["grant=refresh_token"]);
    assert_kept(parts(ask(&node, "r.test/a", "10s")).2, 7200 - 60 - 900);
}

#[test]
fn a_rotating_refresh_token_is_refused_and_not_shown() {
    let reply = |_: &Received| Reply::json(200, &json!({ "access_token": "at", "refresh_token": "next-one" }));
    let (fake, node) = node(reply, &["grant=refresh_token"]);
    let run = ask(&node, "r.test/a", "10s");
    let expected = format!(
        "keyring-credential-provider: r.test: `{}/token` answered with something else than was asked for: a new refresh token with \
         every access token, which a node cannot keep; use `client_credentials`; check what is stored with \
         `keyring-credential-provider explain`\n",
        fake.url()
    );
    assert_eq!((run.code, run.stdout.as_str(), run.stderr), (1, "", expected));
}

/// How a server says when its token ends, and how long the kubelet keeps it then.
#[test]
fn expiry_formats() {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let web_token = format!("e30.{}.c2ln", encode(r#"{"iat":1000,"exp":4600}"#));
    for (answer, kept) in [
        (json!({ "access_token": "at", "expires_in": 3599.7 }), 3599 - 60 - 900),
        (json!({ "access_token": "at", "expires_in": "3600" }), 3600 - 60 - 900),
        (json!({ "access_token": "at", "expires_in": 100 }), 0),
        (json!({ "access_token": web_token }), 3600 - 60 - 900),
        (json!({ "access_token": web_token, "expires_in": 1800 }), 1800 - 60 - 900),
        // Nothing is said: five minutes.
        (json!({ "access_token": "opaque" }), 300 - 60 - 150),
    ] {
        let shown = answer.to_string();
        let (_fake, node) = node(move |_| Reply::json(200, &answer), &[]);
        let seconds = parts(ask(&node, "r.test/a", "10s")).2;
        assert!(seconds <= kept && seconds + kept / 10 + 5 >= kept, "{shown}: {seconds}");
    }
    for answer in [json!({ "access_token": "at", "expires_in": 0 }), json!({ "access_token": "at", "expires_in": -1 })]
    {
        let (_fake, node) = node(move |_| Reply::json(200, &answer), &[]);
        let run = ask(&node, "r.test/a", "10s");
        assert!(run.code == 1 && run.stderr.contains("a credential that has ended already"), "{run:?}");
    }
}

#[test]
fn what_cannot_be_a_password_is_refused() {
    for token in ["", "a\u{0}b", "a\n"] {
        let (_fake, node) = node(move |_| Reply::json(200, &json!({ "access_token": token, "expires_in": 60 })), &[]);
        let run = ask(&node, "r.test/a", "10s");
        assert!(run.code == 1 && run.stdout.is_empty() && run.stderr.contains(": password "), "{run:?}");
    }
}
