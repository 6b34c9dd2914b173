//! When what was issued ends: with the first of what it is made from, by the clock of who issued it and not by the node's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::fake::{Fake, Received, Reply};
use super::{ask, assert_kept, ca_file, login, parts};
use crate::support::Node;

const REGISTRY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";

fn time(received: &Received, seconds: i64) -> String {
    jiff::Timestamp::from_second(received.now + seconds).unwrap().to_string()
}

/// A registry whose tokens are good for so many seconds.
fn ecr(received: &Received, seconds: i64) -> Reply {
    let token = STANDARD.encode("AWS:password");
    let data = json!({ "authorizationToken": token, "expiresAt": received.now + seconds });
    Reply::json(200, &json!({ "authorizationData": [data] }))
}

#[track_caller]
fn kept(fakes: &[(&str, &Fake)], settings: &[&str], secret: &str) -> u64 {
    let node = Node::new();
    let urls: Vec<String> = fakes.iter().map(|(name, fake)| format!("{name}={}", fake.url())).collect();
    let trust = ca_file(&node);
    let settings: Vec<&str> =
        urls.iter().map(String::as_str).chain([trust.as_str()]).chain(settings.iter().copied()).collect();
    login(&node, REGISTRY, "aws-ecr", &settings, secret).done();
    parts(ask(&node, &format!("{REGISTRY}/a"), "10s")).2
}

#[test]
fn a_node_whose_clock_is_wrong_keeps_a_token_no_longer() {
    for offset in [-600, 0, 600] {
        let fake = Fake::with_clock(offset, |received| ecr(received, 1800));
        assert_kept(kept(&[("endpoint", &fake)], &["-u AKID"], "key"), 1800 - 60 - 900);
    }
}

/// The role of the instance, the role that it assumes, and the token: whichever ends first.
#[test]
fn an_assumed_role_ends_with_the_role_that_assumed_it() {
    for (instance, assumed, token, expected) in
        [(1200, 3600, 43_200, 540), (3600, 1200, 43_200, 540), (3600, 3600, 1200, 540), (43_200, 43_200, 3600, 2640)]
    {
        let metadata = Fake::http(move |received| match received.target.as_str() {
            "/latest/api/token" => Reply::new(200, "text/plain", "session"),
            "/latest/meta-data/iam/security-credentials/" => Reply::new(200, "text/plain", "role"),
            _ => {
                let role = json!({ "Code": "Success", "AccessKeyId": "ASIA", "SecretAccessKey": "s", "Token": "t",
                    "Expiration": time(received, instance) });
                Reply::new(200, "text/plain", role.to_string())
            }
        });
        let sts = Fake::https(move |received| {
            let ends = time(received, assumed);
            let xml = format!(
                "<Credentials><AccessKeyId>ASIB</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                 <SessionToken>t</SessionToken><Expiration>{ends}</Expiration></Credentials>"
            );
            Reply::new(200, "text/xml", xml)
        });
        let registry = Fake::https(move |received| ecr(received, token));
        let fakes = [("endpoint", &registry), ("sts-endpoint", &sts), ("imds-endpoint", &metadata)];
        let seconds = kept(&fakes, &["source=imds", "role-arn=arn:aws:iam::123456789012:role/pull"], "");
        assert_kept(seconds, expected);
    }
}

/// A token with life left is served while its issuer is down, one without is not: a wrong credential is worse than none.
#[test]
fn what_has_ended_is_not_served_although_the_issuer_is_down() {
    let count = AtomicUsize::new(0);
    let fake = Fake::https(move |_| match count.fetch_add(1, Ordering::Relaxed) {
        0 => Reply::json(200, &json!({ "access_token": "token", "expires_in": 1 })),
        _ => Reply::json(400, &json!({ "error": "down" })),
    });
    let node = Node::new();
    let (url, trust) = (format!("token-url={}/token", fake.url()), ca_file(&node));
    login(&node, "r.test", "oauth2", &[&url, &trust, "-u id"], "secret").done();
    assert_eq!(parts(ask(&node, "r.test/a", "10s")).1, "token");
    // Two seconds, since the program counts whole ones.
    thread::sleep(Duration::from_secs(2));
    let run = ask(&node, "r.test/a", "10s");
    assert_eq!((run.code, run.stdout.as_str(), fake.count()), (1, "", 2), "{run:?}");
}
