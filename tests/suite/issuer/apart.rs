//! One entry for many registries, accounts and roles, and entries that are nearly the same: none gets what is for another.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::fake::{Fake, Received, Reply};
use super::{ask, ca_file, login, parts, pod_request, pod_token};
use crate::support::Node;

#[test]
fn registries_of_one_recipe() {
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

#[test]
fn registries_of_one_helper() {
    let node = Node::new();
    let program = node.dir().join("docker-credential-test");
    let text = "#!/bin/sh\nread -r server\necho >>\"$0.calls\"\nprintf '{\"Username\":\"u\",\"Secret\":\"for %s\"}' \"$server\"\n";
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    login(&node, "*.r.test", "helper", &[&format!("program={}", program.display())], "").done();
    for host in ["a.r.test", "b.r.test", "a.r.test"] {
        assert_eq!(parts(ask(&node, &format!("{host}/x"), "10s")).1, format!("for {host}"));
    }
    assert_eq!(fs::read_to_string(node.dir().join("docker-credential-test.calls")).unwrap(), "\n\n");
}

/// What signs a request: key and region of `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
fn signer(received: &Received) -> (String, String) {
    let authorization = received.header("authorization").unwrap();
    let scope = authorization.split_once("Credential=").unwrap().1.split_once(',').unwrap().0;
    let parts: Vec<&str> = scope.split('/').collect();
    (parts[0].to_owned(), parts[2].to_owned())
}

/// A registry that names in the password who asked, and from where.
fn ecr(received: &Received) -> Reply {
    let (key, region) = signer(received);
    let token = STANDARD.encode(format!("AWS:{key} in {region}"));
    let ends = received.now + 43_200;
    Reply::json(200, &json!({ "authorizationData": [{ "authorizationToken": token, "expiresAt": ends }] }))
}

#[test]
fn regions_of_one_key() {
    let fake = Fake::https(ecr);
    let node = Node::new();
    let (url, trust) = (format!("endpoint={}", fake.url()), ca_file(&node));
    login(&node, "*.dkr.ecr.*.amazonaws.com", "aws-ecr", &[&url, &trust, "-u AKID"], "key").done();
    for region in ["eu-west-1", "us-east-1", "eu-west-1"] {
        let image = format!("123456789012.dkr.ecr.{region}.amazonaws.com/a");
        assert_eq!(parts(ask(&node, &image, "10s")).1, format!("AKID in {region}"));
    }
    assert_eq!(fake.count(), 2);
}

/// The annotation may change, and then the role does; a role that the entry names is nobody's to change.
#[test]
fn roles_of_one_account() {
    let registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let role = |name: &str| format!("arn:aws:iam::123456789012:role/{name}");
    for (of_entry, expected) in [(None, ["ONE", "TWO", "ONE"]), (Some("OWN"), ["OWN", "OWN", "OWN"])] {
        let fake = Fake::https(ecr);
        let sts = Fake::https(|received| {
            let form = received.form();
            let role = &form.iter().find(|(name, _)| name == "RoleArn").unwrap().1;
            let id = role.rsplit('/').next().unwrap();
            let ends = jiff::Timestamp::from_second(received.now + 3600).unwrap();
            Reply::new(
                200,
                "text/xml",
                format!(
                    "<Credentials><AccessKeyId>{id}</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                     <SessionToken>t</SessionToken><Expiration>{ends}</Expiration></Credentials>"
                ),
            )
        });
        let node = Node::new();
        let urls = [format!("endpoint={}", fake.url()), format!("sts-endpoint={}", sts.url()), ca_file(&node)];
        let own = of_entry.map(|name| format!("role-arn={}", role(name)));
        let settings: Vec<&str> = urls.iter().chain(&own).map(String::as_str).chain(["source=web-identity"]).collect();
        login(&node, registry, "aws-ecr", &settings, "").done();
        for (annotated, key) in ["ONE", "TWO", "ONE"].into_iter().zip(expected) {
            let annotations = json!({ "eks.amazonaws.com/ecr-role-arn": role(annotated) });
            let request = pod_request(&format!("{registry}/a"), &pod_token("team", "builder"), &annotations);
            assert_eq!(parts(node.run(&["get-credentials"], request)).1, format!("{key} in eu-west-1"));
        }
        assert_eq!(sts.count(), if of_entry.is_some() { 1 } else { 2 });
    }
}

/// Everything that an entry is made of counts, its scope and its user as well as what is secret.
#[test]
fn entries_that_are_nearly_the_same() {
    let fake = Fake::https(|received| {
        let (user, secret) = received.basic().unwrap();
        Reply::json(200, &json!({ "access_token": format!("for {user} {secret}"), "expires_in": 3600 }))
    });
    let node = Node::new();
    let (url, trust) = (format!("token-url={}/token", fake.url()), ca_file(&node));
    let add = |scope: &str, user: &str, secret: &str, other: &[&str]| {
        let user = format!("-u {user}");
        login(&node, scope, "oauth2", &[&[url.as_str(), &trust, &user], other].concat(), secret).done();
        parts(ask(&node, &format!("{scope}/a"), "10s")).1
    };
    assert_eq!(add("r.test", "one", "s", &[]), "for one s");
    assert_eq!(add("r.test", "two", "s", &[]), "for two s");
    assert_eq!(add("r.test", "two", "t", &[]), "for two t");
    assert_eq!(fake.count(), 3);
    // The same again, for another registry, with another setting: each asks for itself.
    add("s.test", "two", "t", &[]);
    assert_eq!(fake.count(), 4);
    for (count, setting) in [(5, "audience=s"), (6, "scope=s"), (7, "scope=t"), (8, "timeout=9s")] {
        add("s.test", "two", "t", &[setting]);
        assert_eq!(fake.count(), count, "{setting}");
    }
    // What is removed takes nothing of another entry with it.
    node.run(&["logout", "s.test"], "").done();
    parts(ask(&node, "r.test/a", "10s"));
    assert_eq!(fake.count(), 8);
}
