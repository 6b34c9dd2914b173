//! `quay-federation`: a robot's token for the pod's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::fake::{Fake, Received, Reply};
use super::faults::{Subject, WRONG, fault_matrix};
use super::{ask_for_pod, assert_kept, assert_needs_pod, ca_file, login, parts, pod_request, pod_token};
use crate::support::Node;

const ROBOT: &str = "team+pull";
/// What the pod of the tests shows.
const PROOF: &str = "e30.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6dGVhbTpidWlsZGVyIn0.c2lnbmF0dXJl";

pub(super) const SUBJECT: Subject = Subject {
    issuer: "quay-federation",
    scope: "quay.test",
    image: "quay.test/team/app",
    settings: |url| vec![format!("--username {ROBOT}"), format!("endpoint={url}"), "token-audience=quay".to_owned()],
    secret: PROOF,
    wrong: WRONG,
    by_pod: true,
    path: "/oauth2/federation/robot/token",
    reply: |received| quay(received, PROOF),
    refused: "answered 401: Token *** does not match the robot",
    answer: (ROBOT, "e30.eyJpYXQiOjEwMDAsImV4cCI6NDYwMH0.cm9ib3Q", 3600 - 60 - 900),
};

fault_matrix!(SUBJECT);

/// A Quay that trusts one token; what it gives says itself that it lives for an hour.
fn quay(received: &Received, trusted: &str) -> Reply {
    assert_eq!((received.method.as_str(), received.target.as_str()), ("GET", SUBJECT.path));
    assert_eq!((received.header("content-type"), received.body.len()), (None, 0));
    let (robot, proof) = received.basic().expect("the robot authenticates");
    assert_eq!(robot, ROBOT);
    if proof != trusted {
        return Reply::json(401, &json!({ "error": format!("Token {proof} does not match the robot") }));
    }
    let claims = URL_SAFE_NO_PAD.encode(r#"{"iat":1000,"exp":4600}"#);
    Reply::json(200, &json!({ "token": format!("e30.{claims}.{}", URL_SAFE_NO_PAD.encode("robot")) }))
}

fn node(fake: &Fake, settings: &[&str]) -> Node {
    let node = Node::new();
    let (url, trust) = (format!("endpoint={}", fake.url()), ca_file(&node));
    let user = format!("--username {ROBOT}");
    let settings: Vec<&str> =
        [url.as_str(), &trust, &user, "token-audience=quay"].into_iter().chain(settings.iter().copied()).collect();
    login(&node, "quay.test", "quay-federation", &settings, "").done();
    node
}

/// The plugin for Quay drops the registry's port; its tokens then go to whoever listens on 443.
#[test]
fn peer_bug_the_registrys_port_is_kept() {
    let fake = Fake::https(|received| quay(received, PROOF));
    let host = fake.url().strip_prefix("https://").unwrap();
    let node = Node::new();
    let trust = ca_file(&node);
    login(&node, host, "quay-federation", &[&trust, "--username team+pull", "token-audience=quay"], "").done();
    let (user, _, _, key) = parts(ask_for_pod(&node, &format!("{host}/team/app"), PROOF, "10s"));
    assert_eq!((user.as_str(), key.as_str(), fake.count()), (ROBOT, host, 1));
}

/// The plugin for Quay lets the kubelet keep a token for its whole life, and so beyond it.
#[test]
fn peer_bug_a_token_is_not_kept_for_its_whole_life() {
    let fake = Fake::https(|received| quay(received, PROOF));
    let (_, _, seconds, _) = parts(ask_for_pod(&node(&fake, &[]), "quay.test/a", PROOF, "10s"));
    assert_kept(seconds, 3600 - 60 - 900);
}

/// The plugin for Quay asks the host that an annotation names.
#[test]
fn peer_bug_annotations_do_not_choose_the_registry() {
    let elsewhere = Fake::https(|received| quay(received, PROOF));
    let fake = Fake::https(|received| quay(received, PROOF));
    let node = node(&fake, &[]);
    let annotations = json!({ "quay.io/host": elsewhere.url(), "quay.io/host-override": elsewhere.url() });
    let run = node.run(&["get-credentials"], pod_request("quay.test/a", PROOF, &annotations));
    assert_eq!(parts(run).0, ROBOT);
    assert_eq!((elsewhere.count(), fake.count()), (0, 1));
}

/// The plugin for Quay answers with nothing when the pod brings no token.
#[test]
fn peer_bug_no_token_is_an_error() {
    let fake = Fake::https(|received| quay(received, PROOF));
    assert_needs_pod(&node(&fake, &[]), "quay.test/a");
    assert_eq!(fake.count(), 0);
}

#[test]
fn two_accounts_never_share_a_robots_token() {
    let fake = Fake::https(|received| quay(received, &pod_token("team", "builder")));
    let node = node(&fake, &[]);
    for _ in 0..2 {
        assert_eq!(parts(ask_for_pod(&node, "quay.test/a", &pod_token("team", "builder"), "10s")).0, ROBOT);
    }
    let run = ask_for_pod(&node, "quay.test/a", &pod_token("team", "other"), "10s");
    assert!(run.code == 1 && run.stderr.contains("answered 401: Token *** does not match the robot"), "{run:?}");
    assert_eq!(fake.count(), 2);
}
