//! `aws-ecr`: stored keys, assumed roles, the instance's role, the pod's role.

use base64::Engine as _;
use serde_json::json;

use super::fake::{Fake, Received, Reply};
use super::faults::{Subject, WRONG, fault_matrix};
use super::sigv4::{self, Expected};
use super::{ask, assert_form, assert_kept, assert_needs_pod, ca_file, login, parts, pod_request, pod_token};
use crate::support::Node;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const REGISTRY: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const IMAGE: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app";
const ROLE: &str = "arn:aws:iam::123456789012:role/pull";

/// The kubelet may keep an answer for six hours of the twelve.
const KEPT: u64 = 6 * 3600;

const STORED: Expected<'_> =
    Expected { key_id: "AKIDEXAMPLE", secret: SECRET, session: None, region: "eu-west-1", service: "ecr" };
const ASSUMED: Expected<'_> =
    Expected { key_id: "ASIAROLE", secret: "role-secret", session: Some("role-session"), ..STORED };

pub(super) const SUBJECT: Subject = Subject {
    issuer: "aws-ecr",
    scope: REGISTRY,
    image: IMAGE,
    settings: |url| vec!["--username AKIDEXAMPLE".to_owned(), format!("endpoint={url}")],
    secret: SECRET,
    wrong: WRONG,
    by_pod: false,
    path: "/",
    reply: |received| ecr(received, &STORED),
    refused: "answered 400: The request signature we calculated does not match the signature you provided.",
    answer: ("AWS", "ecr-password", KEPT),
};

fault_matrix!(SUBJECT);

/// The private service.
fn ecr(received: &Received, signer: &Expected<'_>) -> Reply {
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", "/"));
    assert_eq!(received.header("content-type"), Some("application/x-amz-json-1.1"));
    let target = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
    assert_eq!(received.header("x-amz-target"), Some(target));
    assert_eq!(received.body, b"{}");
    match sigv4::check(received, signer) {
        Ok(()) => {
            let authorization = authorization(received);
            Reply::json(200, &json!({ "authorizationData": [authorization] }))
        }
        Err((code, said)) => Reply::json(400, &json!({ "__type": code, "message": said })),
    }
}

fn authorization(received: &Received) -> serde_json::Value {
    let token = base64::engine::general_purpose::STANDARD.encode("AWS:ecr-password");
    #[expect(clippy::cast_precision_loss, reason = "a time of this century")]
    let ends = (received.now + 43_200) as f64 + 0.123;
    json!({ "authorizationToken": token, "expiresAt": ends, "proxyEndpoint": format!("https://{REGISTRY}") })
}

fn sts_answer(action: &str, received: &Received, seconds: i64) -> Reply {
    let ends = jiff::Timestamp::from_second(received.now + seconds).unwrap();
    let xml = format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <{action}Result>\n    <Credentials>\n      \
         <AccessKeyId>ASIAROLE</AccessKeyId>\n      <SecretAccessKey>role-secret</SecretAccessKey>\n      \
         <SessionToken>role-session</SessionToken>\n      <Expiration>{ends}</Expiration>\n    </Credentials>\n  \
         </{action}Result>\n</{action}Response>"
    );
    Reply::new(200, "text/xml", xml)
}

#[track_caller]
fn node(fakes: &[(&str, &Fake)], settings: &[&str], secret: &str) -> Node {
    let node = Node::new();
    let trust = ca_file(&node);
    let urls: Vec<String> = fakes.iter().map(|(name, fake)| format!("{name}={}", fake.url())).collect();
    let settings: Vec<&str> =
        urls.iter().map(String::as_str).chain([trust.as_str()]).chain(settings.iter().copied()).collect();
    login(&node, REGISTRY, "aws-ecr", &settings, secret).done();
    node
}

#[test]
fn the_public_registry_is_another_service() {
    let fake = Fake::https(|received| {
        assert_eq!(received.header("x-amz-target"), Some("SpencerFrontendService.GetAuthorizationToken"));
        let public = Expected { region: "us-east-1", service: "ecr-public", ..STORED };
        assert_eq!(sigv4::check(received, &public), Ok(()));
        Reply::json(200, &json!({ "authorizationData": authorization(received) }))
    });
    let node = Node::new();
    let (trust, url) = (ca_file(&node), format!("endpoint={}", fake.url()));
    login(&node, "public.ecr.aws", "aws-ecr", &[&trust, &url, "--username AKIDEXAMPLE"], SECRET).done();
    let (user, password, seconds, key) = parts(ask(&node, "public.ecr.aws/nginx/nginx", "10s"));
    assert_eq!((user.as_str(), password.as_str(), key.as_str()), ("AWS", "ecr-password", "public.ecr.aws"));
    assert_kept(seconds, KEPT);
}

/// The token is good for no longer than the session that it was asked with.
#[test]
fn a_role_is_assumed_with_stored_keys() {
    let ecr_fake = Fake::https(|received| ecr(received, &ASSUMED));
    let sts = Fake::https(|received| {
        assert_eq!(sigv4::check(received, &Expected { service: "sts", ..STORED }), Ok(()));
        let session = ("RoleSessionName", "keyring-credential-provider");
        assert_form(received, &[("Action", "AssumeRole"), ("Version", "2011-06-15"), ("RoleArn", ROLE), session]);
        sts_answer("AssumeRole", received, 3600)
    });
    let role = format!("role-arn={ROLE}");
    let settings = ["--username AKIDEXAMPLE", role.as_str()];
    let node = node(&[("endpoint", &ecr_fake), ("sts-endpoint", &sts)], &settings, SECRET);
    let (user, _, seconds, _) = parts(ask(&node, IMAGE, "10s"));
    assert_eq!(user, "AWS");
    assert_kept(seconds, 3600 - 60 - 900);
    assert_eq!((sts.count(), ecr_fake.count()), (1, 1));
}

#[test]
fn a_role_that_may_not_be_assumed_is_told() {
    let ecr_fake = Fake::https(|received| ecr(received, &ASSUMED));
    let sts = Fake::https(|_| {
        let said = "User: arn:aws:iam::123456789012:user/kcp is not authorized to perform: sts:AssumeRole";
        let xml =
            format!("<ErrorResponse><Error><Code>AccessDenied</Code><Message>{said}</Message></Error></ErrorResponse>");
        Reply::new(403, "text/xml", xml)
    });
    let role = format!("role-arn={ROLE}");
    let node =
        node(&[("endpoint", &ecr_fake), ("sts-endpoint", &sts)], &["--username AKIDEXAMPLE", role.as_str()], SECRET);
    let run = ask(&node, IMAGE, "10s");
    let expected = format!(
        "keyring-credential-provider: {REGISTRY}: `{}` answered 403: User: arn:aws:iam::123456789012:user/kcp is not authorized to \
         perform: sts:AssumeRole; check what is stored with `keyring-credential-provider explain`\n",
        sts.url()
    );
    assert_eq!((run.code, run.stdout.as_str(), run.stderr), (1, "", expected));
    assert_eq!(ecr_fake.count(), 0);
}

/// An instance with a role; it answers nothing without a session token (IMDSv2).
fn imds(received: &Received) -> Reply {
    let token = received.header("x-aws-ec2-metadata-token");
    match (received.method.as_str(), received.target.as_str()) {
        ("PUT", "/latest/api/token") => {
            let seconds = received.header("x-aws-ec2-metadata-token-ttl-seconds").map(str::parse::<u32>);
            assert!(matches!(seconds, Some(Ok(1..=21_600))), "{seconds:?}");
            Reply::new(200, "text/plain", "imds-session")
        }
        _ if token != Some("imds-session") => Reply::new(401, "text/plain", ""),
        ("GET", "/latest/meta-data/iam/security-credentials/") => Reply::new(200, "text/plain", "node-role"),
        ("GET", "/latest/meta-data/iam/security-credentials/node-role") => {
            let ends = jiff::Timestamp::from_second(received.now + 4 * 3600).unwrap();
            let role = json!({ "Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ASIAROLE",
                "SecretAccessKey": "role-secret", "Token": "role-session", "Expiration": ends.to_string() });
            Reply::new(200, "text/plain", role.to_string())
        }
        (method, target) => panic!("{method} {target}"),
    }
}

#[test]
fn the_instances_role_by_imds_version_2() {
    let ecr_fake = Fake::https(|received| ecr(received, &ASSUMED));
    let metadata = Fake::http(imds);
    let node = node(&[("endpoint", &ecr_fake), ("imds-endpoint", &metadata)], &["source=imds"], "");
    let (user, _, seconds, _) = parts(ask(&node, IMAGE, "10s"));
    assert_eq!(user, "AWS");
    assert_kept(seconds, 4 * 3600 - 60 - 900);
    let asked: Vec<String> = metadata.received().iter().map(|r| format!("{} {}", r.method, r.target)).collect();
    let path = "/latest/meta-data/iam/security-credentials/";
    assert_eq!(asked, ["PUT /latest/api/token".to_owned(), format!("GET {path}"), format!("GET {path}node-role")]);
}

/// A metadata service never goes through a proxy: it could not be reached, and the proxy would learn the role's keys.
#[test]
fn metadata_never_goes_through_a_proxy() {
    let ecr_fake = Fake::https(|received| ecr(received, &ASSUMED));
    let (metadata, proxy) = (Fake::http(imds), Fake::http(|_| Reply::new(502, "text/plain", "")));
    let node = node(&[("endpoint", &ecr_fake), ("imds-endpoint", &metadata)], &["source=imds"], "");
    let mut command = node.command(&["get-credentials"]);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy"] {
        command.env(name, proxy.url());
    }
    assert_eq!(parts(crate::support::run(&mut command, crate::support::request(IMAGE))).0, "AWS");
    assert_eq!(proxy.count(), 0);
}

#[test]
fn the_pods_role_by_its_token() {
    let ecr_fake = Fake::https(|received| ecr(received, &ASSUMED));
    let sts = Fake::https(|received| {
        assert_eq!(received.header("authorization"), None, "the token is the proof");
        let token = pod_token("team-a", "builder");
        assert_form(
            received,
            &[
                ("Action", "AssumeRoleWithWebIdentity"),
                ("Version", "2011-06-15"),
                ("RoleArn", ROLE),
                ("RoleSessionName", "keyring-credential-provider"),
                ("WebIdentityToken", &token),
            ],
        );
        sts_answer("AssumeRoleWithWebIdentity", received, 3600)
    });
    let fakes = [("endpoint", &ecr_fake), ("sts-endpoint", &sts)];
    let by_setting = node(&fakes, &["source=web-identity", &format!("role-arn={ROLE}")], "");
    let by_annotation = node(&fakes, &["source=web-identity"], "");
    let annotated = json!({ "eks.amazonaws.com/ecr-role-arn": ROLE });
    for (node, annotations) in [(by_setting, json!({})), (by_annotation, annotated)] {
        let request = pod_request(IMAGE, &pod_token("team-a", "builder"), &annotations);
        let (user, _, seconds, _) = parts(node.run(&["get-credentials"], request));
        assert_eq!(user, "AWS");
        assert_kept(seconds, 3600 - 60 - 900);
    }
}

/// The upstream plugin falls back to the node's identity in silence (peers: `buildCredentialsProvider` returns nil).
#[test]
fn peer_bug_a_pod_without_a_token_never_gets_the_nodes_identity() {
    let ecr_fake = Fake::https(|received| ecr(received, &ASSUMED));
    let (sts, metadata) = (Fake::https(|_| Reply::new(500, "text/xml", "")), Fake::http(imds));
    let fakes = [("endpoint", &ecr_fake), ("sts-endpoint", &sts), ("imds-endpoint", &metadata)];
    let node = node(&fakes, &["source=web-identity", &format!("role-arn={ROLE}")], "");
    assert_needs_pod(&node, IMAGE);
    let request = pod_request(IMAGE, &pod_token("a", "b"), &json!({}));
    let run = node.run(&["get-credentials", "--timeout", "1s"], request);
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    assert_eq!((ecr_fake.count(), metadata.count()), (0, 0));
}
