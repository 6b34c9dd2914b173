//! What other credential plugins get wrong in issuing and caching, where no other file has a test for it. The burst, answers that
//! outlive their tokens, endpoints chosen by annotations and empty answers are in `cache.rs` and in the issuers' own files.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::fake::{Fake, Reply};
use super::{ask, ask_for_pod, assert_kept, ca_file, login, parts, pod_token};
use crate::support::{Node, Run};

fn token_exchange(fake: &Fake, settings: &[&str]) -> Node {
    let node = Node::new();
    let (url, trust) = (format!("token-url={}/token", fake.url()), ca_file(&node));
    let own = [url.as_str(), &trust, "username=pod", "token-audience=sts"];
    login(&node, "r.test", "token-exchange", &[&own, settings].concat(), "").done();
    node
}

/// Quay's plugin reads a boolean only when it cannot be read, so that three of its settings never work.
#[test]
fn peer_bug_a_boolean_setting_means_what_it_says() {
    for (setting, without_token) in [("true", 1), ("false", 0), ("", 0)] {
        let node = Node::new();
        let setting = format!("require-service-account={setting}");
        login(&node, "r.test", "static", &["-u u", &setting], "p").done();
        assert_eq!(ask(&node, "r.test/a", "10s").code, without_token, "{setting}");
        assert_eq!(ask_for_pod(&node, "r.test/a", &pod_token("team", "builder"), "10s").code, 0, "{setting}");
    }
    for odd in ["TRUE", "1", "yes", " true"] {
        let run = login(&Node::new(), "r.test", "static", &["-u u", &format!("require-service-account={odd}")], "p");
        let error = "error: setting `require-service-account` is none of `false`, `true`\n";
        assert_eq!(run, Run::new(2, "", error), "{odd}");
    }
}

/// JFrog's plugin logs the request with the pod's token in it, Google's the answer that it cannot read, Vault's its login.
#[test]
fn peer_bug_neither_the_pods_token_nor_an_unreadable_answer_is_shown() {
    let token = pod_token("team", "builder");
    let given = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.dGhlIGlzc3VlZCBvbmU";
    let body = |received: &super::fake::Received| String::from_utf8(received.body.clone()).unwrap();
    let faults: [fn(String, &str) -> Reply; 5] = [
        |sent, _| Reply::json(400, &json!({ "error_description": format!("cannot parse {sent}") })),
        |sent, _| Reply::new(500, "text/plain", sent),
        |_, given| Reply::new(200, "application/json", format!(r#"{{"access_token":"{given}","expires_in":3600"#)),
        |_, given| Reply::json(200, &json!({ "token": given })),
        |sent, _| Reply::new(302, "text/plain", "").header("Location", &format!("https://other.test/?{sent}")),
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        let fake = Fake::https(move |received| fault(body(received), given));
        let node = token_exchange(&fake, &[]);
        let request = super::pod_request("r.test/a", &token, &json!({}));
        let arguments = ["get-credentials", "--timeout", "1s"];
        let run = crate::support::run(node.command(&arguments).env("RUST_LOG", "trace"), request);
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.lines().count()), (1, "", 1), "{number}: {run:?}");
        for secret in [token.as_str(), given] {
            for part in secret.split('.').filter(|part| part.len() > 12) {
                assert!(!run.stderr.contains(part), "{number}: {run:?}");
            }
        }
    }
}

/// The plugin for ECR asks its default region for a token whenever it does not know the registry, and answers with that.
#[test]
fn peer_bug_a_registry_that_is_not_ecrs_gets_no_token_of_ecr() {
    let endpoint = "endpoint=https://api.ecr.eu-west-1.amazonaws.com";
    let settings = ["source=imds", endpoint];
    let refused =
        |run: Run, code: i32, start: &str| assert!(run.code == code && run.stderr.starts_with(start), "{run:?}");
    for host in ["docker.io", "r.test", "123456789012.dkr.ecr.eu-west-1.amazonaws.com.evil.test"] {
        refused(login(&Node::new(), host, "aws-ecr", &settings, ""), 2, "error: issuer `aws-ecr` needs ");
    }
    let fake = Fake::http(|_| Reply::Close);
    let node = Node::new();
    let imds = format!("imds-endpoint={}", fake.url());
    login(&node, "*.*.*", "aws-ecr", &["source=imds", &imds], "").done();
    refused(ask(&node, "a.b.test/app", "5s"), 1, "keyring-credential-provider: a.b.test: issuer `aws-ecr` needs ");
    assert_eq!(fake.count(), 0);
}

/// The helper for ECR keeps its tokens in plain text, for everybody who may read the home directory's backup.
#[test]
fn peer_bug_cached_tokens_are_not_in_plain_text() {
    let fake = Fake::https(|_| Reply::json(200, &json!({ "access_token": "issued-token", "expires_in": 3600 })));
    let node = token_exchange(&fake, &[]);
    let pod = pod_token("team", "builder");
    assert_eq!(parts(ask_for_pod(&node, "r.test/a", &pod, "10s")).1, "issued-token");
    let mut files = 0;
    for file in fs::read_dir(node.store()).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        files += 1;
        for secret in ["issued-token", pod.as_str(), "team"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }
    assert!(files >= 4, "store, key, cache and its lock: {files}");
    assert_eq!((parts(ask_for_pod(&node, "r.test/a", &pod, "10s")).1, fake.count()), ("issued-token".to_owned(), 1));
}

/// Oracle's, Quay's and Amazon's plugins have no time limit of their own; the kubelet ends them after a minute and says nothing.
#[test]
fn peer_bug_a_server_that_never_answers_is_given_up_in_time() {
    let fake = Fake::https(|_| {
        thread::sleep(Duration::from_secs(60));
        Reply::Close
    });
    let node = token_exchange(&fake, &[]);
    let start = Instant::now();
    let run = ask_for_pod(&node, "r.test/a", &pod_token("team", "builder"), "1s");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    let expected = format!(
        "keyring-credential-provider: r.test: `{}/token` did not answer in time; check the address, the proxy, `ca-file` and the \
         network\n",
        fake.url()
    );
    assert_eq!(run, Run::new(1, "", &expected));
    // An entry can be given less than the whole time.
    let node = token_exchange(&fake, &["timeout=1s"]);
    let start = Instant::now();
    assert_eq!(ask_for_pod(&node, "r.test/a", &pod_token("team", "builder"), "30s").code, 1);
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

/// Vault's plugins, JFrog's and CRI-O's leave the duration out, so the kubelet keeps for hours what may end in minutes.
#[test]
fn peer_bug_a_token_that_does_not_say_when_it_ends_is_kept_for_a_minute() {
    let fake = Fake::https(|_| Reply::json(200, &json!({ "access_token": "opaque" })));
    for settings in [&[][..], &["cache=24h"]] {
        let node = token_exchange(&fake, settings);
        let (_, _, seconds, _) = parts(ask_for_pod(&node, "r.test/a", &pod_token("team", "builder"), "10s"));
        assert_kept(seconds, 90);
    }
}

/// The plugin for Azure answers with an empty user and password besides, and the kubelet then pulls anonymously first.
#[test]
fn peer_bug_an_empty_token_is_a_failure() {
    let fake = Fake::https(|_| Reply::json(200, &json!({ "access_token": "", "expires_in": 3600 })));
    let node = token_exchange(&fake, &[]);
    let run = ask_for_pod(&node, "r.test/a", &pod_token("team", "builder"), "10s");
    let remedy = "run `keyring-credential-provider login r.test` on the node";
    assert_eq!(run, Run::new(1, "", &format!("keyring-credential-provider: r.test: password is empty; {remedy}\n")));
}

/// A broker for Harbor says that answers end with the robot, and has the kubelet keep none.
#[test]
fn peer_bug_a_robots_answer_ends_before_the_robot_does() {
    for (life, kept) in [(1800_i64, 1800 - 60 - 900), (7 * 86_400, 6 * 3600)] {
        let fake = Fake::https(move |received| {
            Reply::json(201, &json!({ "name": "robot$x", "secret": "s", "expires_at": received.now + life }))
        });
        let node = Node::new();
        let (url, trust) = (format!("url={}", fake.url()), ca_file(&node));
        login(&node, "h.test", "exchange", &["recipe=harbor-robot", "project=p", "-u maker", &url, &trust], "k").done();
        assert_kept(parts(ask(&node, "h.test/p/a", "10s")).2, kept);
        assert_kept(parts(ask(&node, "h.test/p/b", "10s")).2, kept);
        assert_eq!(fake.count(), 1);
    }
}

/// A robot of Harbor without an end says -1, which is not the past.
#[test]
fn a_robot_without_an_end_is_asked_for_again_after_minutes() {
    let fake = Fake::https(|_| Reply::json(201, &json!({ "name": "robot$x", "secret": "s", "expires_at": -1 })));
    let node = Node::new();
    let (url, trust) = (format!("url={}", fake.url()), ca_file(&node));
    login(&node, "h.test", "exchange", &["recipe=harbor-robot", "project=p", "-u maker", &url, &trust], "k").done();
    assert_kept(parts(ask(&node, "h.test/p/a", "10s")).2, 90);
}
