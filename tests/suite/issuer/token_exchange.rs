//! `token-exchange`: RFC 8693, with a stored token and with the pod's.

use serde_json::json;

use super::fake::{Fake, Received, Reply};
use super::faults::{Subject, WRONG, fault_matrix};
use super::{
    ask, ask_for_pod, assert_form, assert_kept, assert_needs_pod, ca_file, login, parts, pod_request, pod_token,
};
use crate::support::Node;

const SECRET: &str = "subject-token&of=some+length";
const GRANT: (&str, &str) = ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
const JWT: (&str, &str) = ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt");

pub(super) const SUBJECT: Subject = Subject {
    issuer: "token-exchange",
    scope: "r.test",
    image: "r.test/team/app",
    settings: |url| {
        let settings = [
            "audience=registry",
            "resource=https://r.test/v2",
            "scope=pull read",
            "subject-token-type=access_token",
            "requested-token-type=urn:example:registry-token",
            "username=exchanged",
        ];
        settings.into_iter().map(str::to_owned).chain([format!("token-url={url}/token")]).collect()
    },
    secret: SECRET,
    wrong: WRONG,
    by_pod: false,
    path: "/token",
    reply,
    refused: "answered 400: the subject token *** is not ours",
    answer: ("exchanged", "at-1", 3600 - 60 - 900),
};

fault_matrix!(SUBJECT);

/// A security token service that knows one subject.
fn reply(received: &Received) -> Reply {
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", "/token"));
    assert_eq!(received.header("accept"), Some("application/json"));
    assert_eq!(received.header("authorization"), None);
    let form = received.form();
    let subject = &form.iter().find(|(name, _)| name == "subject_token").expect("a subject token").1;
    assert_form(
        received,
        &[
            GRANT,
            ("resource", "https://r.test/v2"),
            ("audience", "registry"),
            ("scope", "pull read"),
            ("requested_token_type", "urn:example:registry-token"),
            ("subject_token", subject),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ],
    );
    if subject != SECRET {
        let said = format!("the subject token {subject} is not ours");
        return Reply::json(400, &json!({ "error": "invalid_request", "error_description": said }));
    }
    Reply::json(
        200,
        &json!({ "access_token": "at-1", "issued_token_type": "urn:example:registry-token", "token_type": "N_A",
            "expires_in": 3600 }),
    )
}

fn node(fake: &Fake, settings: &[&str]) -> Node {
    let node = Node::new();
    let (url, trust) = (format!("token-url={}/token", fake.url()), ca_file(&node));
    let settings: Vec<&str> = [url.as_str(), &trust, "username=pod", "token-audience=sts"]
        .into_iter()
        .chain(settings.iter().copied())
        .collect();
    login(&node, "r.test", "token-exchange", &settings, "").done();
    node
}

/// Two pods of an account share a token, those of two accounts never do.
#[test]
fn the_pods_token_is_exchanged_and_the_result_is_for_its_account_alone() {
    let fake = Fake::https(|received| {
        let form = received.form();
        let subject = form.iter().find(|(name, _)| name == "subject_token").unwrap().1.clone();
        assert_form(received, &[GRANT, ("audience", "registry"), ("subject_token", &subject), JWT]);
        let mut accounts = ["one", "two"].into_iter().filter(|name| subject == pod_token("team", name));
        let name = accounts.next_back().expect("the token of one of them");
        Reply::json(200, &json!({ "access_token": format!("for-{name}"), "expires_in": "1800" }))
    });
    let node = node(&fake, &["audience=registry"]);
    for name in ["one", "two", "one"] {
        let run = ask_for_pod(&node, "r.test/a", &pod_token("team", name), "10s");
        let (user, password, seconds, _) = parts(run);
        assert_eq!((user, password), ("pod".to_owned(), format!("for-{name}")));
        assert_kept(seconds, 1800 - 60 - 900);
    }
    assert_eq!(fake.count(), 2);
}

/// Peers fall back to the node's identity, or to an empty answer, when a pod brings no token.
#[test]
fn peer_bug_without_a_pods_token_nothing_else_is_tried() {
    let fake = Fake::https(|_| Reply::json(200, &json!({ "access_token": "at" })));
    assert_needs_pod(&node(&fake, &[]), "r.test/a");
    assert_eq!(fake.count(), 0);
}

/// Peers send the token to wherever an annotation says (Cloudsmith, VaultT, Quay).
#[test]
fn peer_bug_annotations_do_not_choose_who_is_shown_the_token() {
    let elsewhere = Fake::https(|_| Reply::json(200, &json!({ "access_token": "stolen" })));
    let fake = Fake::https(|_| Reply::json(200, &json!({ "access_token": "at", "expires_in": 3600 })));
    let node = node(&fake, &[]);
    let annotations = json!({ "token-url": elsewhere.url(), "keyring-credential-provider/token-url": elsewhere.url() });
    let request = pod_request("r.test/a", &pod_token("team", "one"), &annotations);
    assert_eq!(parts(node.run(&["get-credentials"], request)).1, "at");
    assert_eq!((elsewhere.count(), fake.count()), (0, 1));
}

/// A server may hand the pod's own token back (KEP-4412): the kubelet then wants the answer to end before it.
#[test]
fn a_token_that_is_handed_back_ends_before_the_pods_does() {
    use base64::Engine as _;
    let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
    let end = jiff::Timestamp::now().as_second() + 600;
    let token = format!("e30.{}.c2ln", encode(&format!(r#"{{"exp":{end}}}"#)));
    let same = token.clone();
    let fake = Fake::https(move |_| Reply::json(200, &json!({ "access_token": same, "expires_in": 36_000 })));
    let (_, password, seconds, _) = parts(ask_for_pod(&node(&fake, &[]), "r.test/a", &token, "10s"));
    assert!(password == token && (400..=540).contains(&seconds), "{seconds}");
}

#[test]
fn a_stored_token_is_used_for_every_pod() {
    let fake = Fake::https(reply);
    let node = SUBJECT.node(&fake);
    for _ in 0..2 {
        assert_eq!(parts(ask_for_pod(&node, "r.test/a", &pod_token("a", "b"), "10s")).1, "at-1");
    }
    assert_eq!(parts(ask(&node, "r.test/a", "10s")).1, "at-1");
    assert_eq!(fake.count(), 1);
}
