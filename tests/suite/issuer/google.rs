//! `google-ar`: a key's signature, the machine's account, the pod's account, and accounts that are impersonated.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

use super::fake::{Fake, Received, Reply};
use super::faults::{Subject, WRONG, fault_matrix};
use super::{ask, ask_for_pod, assert_form, assert_kept, assert_needs_pod, ca_file, login, parts, pod_token};
use crate::support::{Node, Run};

const REGISTRY: &str = "europe-docker.pkg.dev";
const IMAGE: &str = "europe-docker.pkg.dev/project/repo/app";
const USER: &str = "oauth2accesstoken";
const MAIL: &str = "puller@project.iam.gserviceaccount.com";
const READ: &str = "https://www.googleapis.com/auth/devstorage.read_only";
const PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
const POOL: &str = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/nodes/providers/cluster";

/// A key pair for these tests alone; the public half was written by another program.
const PRIVATE: &str = include_str!("../../data/google/key.pem");
const PRIVATE_PKCS1: &str = include_str!("../../data/google/key-pkcs1.pem");
const PUBLIC: &[u8] = include_bytes!("../../data/google/public.der");

const SUBJECT: Subject = Subject {
    issuer: "google-ar",
    scope: REGISTRY,
    image: IMAGE,
    settings: |url| vec![format!("token-endpoint={url}/token")],
    secret: "",
    wrong: "",
    by_pod: false,
    path: "/token",
    reply: |received| token(received, "key-1", READ),
    refused: "answered 400: Invalid JWT Signature.",
    answer: (USER, "ya29.token", 3599 - 60 - 900),
};

/// The key as a file of Google Cloud, under this id.
fn key(id: &str, pem: &str) -> String {
    json!({ "type": "service_account", "project_id": "project", "private_key_id": id, "private_key": pem,
        "client_email": MAIL, "client_id": "1", "token_uri": "https://oauth2.test/token" })
    .to_string()
}

/// The subject with its key; a secret that is wrong is a key that Google does not know.
pub(super) fn subject() -> Subject {
    static KEYS: OnceLock<[String; 2]> = OnceLock::new();
    let [secret, wrong] = KEYS.get_or_init(|| ["key-1", WRONG].map(|id| key(id, PRIVATE)));
    Subject { secret, wrong, ..SUBJECT }
}

fault_matrix!(subject());

/// Google's token server, which verifies the signature, the claims, and that it is now.
fn token(received: &Received, known: &str, scope: &str) -> Reply {
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", "/token"));
    assert_eq!(received.header("accept"), Some("application/json"));
    assert_eq!(received.header("authorization"), None);
    let form = received.form();
    let assertion = &form.last().expect("fields").1;
    let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_form(received, &[grant, ("assertion", assertion)]);

    let (signed, signature) = assertion.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    let (header, claims): (Value, Value) =
        (serde_json::from_slice(&decode(header)).unwrap(), serde_json::from_slice(&decode(claims)).unwrap());
    let refuse = |said: &str| Reply::json(400, &json!({ "error": "invalid_grant", "error_description": said }));
    let is_signed = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, PUBLIC)
        .verify(signed.as_bytes(), &decode(signature))
        .is_ok();
    if !is_signed || header != json!({ "alg": "RS256", "typ": "JWT", "kid": known }) {
        return refuse("Invalid JWT Signature.");
    }
    let (start, end) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    // The one for whom it is meant is whom the key names, not the address at which it is asked.
    let meant = json!({ "iss": MAIL, "scope": scope, "aud": "https://oauth2.test/token", "iat": start, "exp": end });
    assert_eq!(claims, meant);
    if start > received.now || end <= received.now || end - start > 3600 {
        return refuse("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe.");
    }
    Reply::json(200, &json!({ "access_token": "ya29.token", "expires_in": 3599, "token_type": "Bearer" }))
}

#[track_caller]
fn node(fakes: &[(&str, String)], settings: &[&str], secret: &str) -> Node {
    let node = Node::new();
    let trust = ca_file(&node);
    let urls: Vec<String> = fakes.iter().map(|(name, url)| format!("{name}={url}")).collect();
    let settings: Vec<&str> =
        urls.iter().map(String::as_str).chain([trust.as_str()]).chain(settings.iter().copied()).collect();
    login(&node, REGISTRY, "google-ar", &settings, secret).done();
    node
}

#[test]
fn a_key_in_pkcs1_signs_as_well() {
    let fake = Fake::https(|received| token(received, "key-2", READ));
    let node = node(&[("token-endpoint", format!("{}/token", fake.url()))], &[], &key("key-2", PRIVATE_PKCS1));
    let (user, password, seconds, cached_under) = parts(ask(&node, IMAGE, "10s"));
    assert_eq!((user.as_str(), password.as_str(), cached_under.as_str()), (USER, "ya29.token", REGISTRY));
    assert_kept(seconds, 3599 - 60 - 900);
}

/// A key names whom to ask, unless the entry does.
#[test]
fn the_key_names_the_server() {
    let fake = Fake::https(|_| Reply::json(200, &json!({ "access_token": "at", "expires_in": 3600 })));
    let node = node(&[], &[], &key("key-1", PRIVATE).replace("https://oauth2.test", fake.url()));
    assert_eq!(parts(ask(&node, IMAGE, "10s")).1, "at");
    assert_eq!(fake.received()[0].target, "/token");
}

/// The clock of a node that has just started is years behind; the server's own time is tried, and the error says so.
#[test]
fn a_clock_that_is_off_is_told() {
    let fake = Fake::with_clock(3600, |_| Reply::json(400, &json!({ "error": "invalid_grant" })));
    let url = format!("{}/token", fake.url());
    let run = ask(&node(&[("token-endpoint", url.clone())], &[], &key("key-1", PRIVATE)), IMAGE, "10s");
    let start = format!(
        "keyring-credential-provider: {REGISTRY}: `{url}` answered 400: invalid_grant; this machine's clock is "
    );
    assert!(run.code == 1 && run.stderr.starts_with(&start), "{run:?}");
    assert!(run.stderr.contains(" seconds behind the server's; check"), "{run:?}");
    assert_eq!(fake.count(), 2);
}

#[test]
fn what_is_no_key_is_refused_and_not_shown() {
    let node = Node::new();
    let whole = "error: issuer `google-ar` needs a password, which is the JSON key of a service account, whole\n";
    let pem = "error: issuer `google-ar` needs a key whose `private_key` is an RSA key in PEM\n";
    let kind =
        "error: issuer `google-ar` needs the key of a service account; other kinds of credentials are not for a node\n";
    let plain = "error: setting `token-endpoint` of the key is plain HTTP, which is allowed to loopback and metadata addresses only\n";
    let good = key("key-1", PRIVATE);
    for (secret, expected) in [
        ("s3cr3t".to_owned(), whole),
        (good[..good.len() / 2].to_owned(), whole),
        (good.replace("service_account", "authorized_user"), kind),
        (key("key-1", "-----BEGIN PRIVATE KEY-----\nczNjcjN0\n-----END PRIVATE KEY-----\n"), pem),
        (key("key-1", "s3cr3t"), pem),
        (good.replace("https://oauth2.test", "http://oauth2.test"), plain),
    ] {
        assert_eq!(login(&node, REGISTRY, "google-ar", &[], &secret), Run::new(2, "", expected));
    }
}

fn machine(received: &Received, seconds: i64) -> Reply {
    assert_eq!(received.method, "GET");
    assert_eq!(received.target, "/computeMetadata/v1/instance/service-accounts/default/token");
    if received.header("metadata-flavor") != Some("Google") {
        return Reply::new(403, "text/html", "");
    }
    let token = json!({ "access_token": "machine-token", "expires_in": seconds, "token_type": "Bearer" });
    Reply::json(200, &token).header("Metadata-Flavor", "Google")
}

/// The metadata service hands out what it has: a token with minutes left is not kept, and asked for again.
#[test]
fn the_machines_account_and_tokens_that_are_nearly_dead() {
    for (seconds, kept, asked) in [(3599, 3599 - 60 - 900, 1), (100, 0, 2)] {
        let metadata = Fake::http(move |received| machine(received, seconds));
        let node = node(&[("metadata-endpoint", metadata.url().to_owned())], &["source=metadata"], "");
        for _ in 0..2 {
            let (user, password, seconds, _) = parts(ask(&node, IMAGE, "10s"));
            assert_eq!((user.as_str(), password.as_str()), (USER, "machine-token"));
            assert_kept(seconds, kept);
        }
        assert_eq!(metadata.count(), asked);
    }
}

/// A metadata service never goes through a proxy: it could not be reached, and the proxy would learn the token.
#[test]
fn metadata_never_goes_through_a_proxy() {
    let (metadata, proxy) = (Fake::http(|received| machine(received, 3599)), Fake::http(|_| Reply::Close));
    let node = node(&[("metadata-endpoint", metadata.url().to_owned())], &["source=metadata"], "");
    let mut command = node.command(&["get-credentials"]);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy"] {
        command.env(name, proxy.url());
    }
    assert_eq!(parts(crate::support::run(&mut command, crate::support::request(IMAGE))).1, "machine-token");
    assert_eq!(proxy.count(), 0);
}

/// Google's plugin answers with nothing, and no error, when it fails; the kubelet then pulls anonymously.
#[test]
fn peer_bug_a_failure_is_no_empty_answer() {
    let metadata = Fake::http(|_| Reply::new(404, "text/html", "<html>no such account</html>"));
    let node = node(&[("metadata-endpoint", metadata.url().to_owned())], &["source=metadata"], "");
    let expected = format!(
        "keyring-credential-provider: {REGISTRY}: `{}/computeMetadata/v1/instance/service-accounts/default/token` answered 404; \
         check what is stored with `keyring-credential-provider explain`\n",
        metadata.url()
    );
    assert_eq!(ask(&node, IMAGE, "10s"), Run::new(1, "", &expected));
}

/// The security token service, which trusts the cluster.
fn sts(received: &Received) -> Reply {
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", "/v1/token"));
    let form = received.form();
    let subject = &form.iter().find(|(name, _)| name == "subject_token").expect("a subject token").1;
    assert_form(
        received,
        &[
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("audience", POOL),
            ("scope", PLATFORM),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("subject_token", subject),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ],
    );
    if *subject != pod_token("team", "builder") {
        let said = format!("The given credential {subject} is rejected by the attribute condition.");
        return Reply::json(403, &json!({ "error": "unauthorized_client", "error_description": said }));
    }
    Reply::json(200, &json!({ "access_token": "federated", "expires_in": 3599, "token_type": "Bearer" }))
}

/// The service that gives tokens of other accounts to whom may have them; times are as Google writes them.
fn iam(received: &Received, bearer: &str, seconds: i64) -> Reply {
    let path = format!("/v1/projects/-/serviceAccounts/{MAIL}:generateAccessToken");
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", path.as_str()));
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert_eq!(received.header("authorization"), Some(format!("Bearer {bearer}").as_str()));
    let body: Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(body, json!({ "scope": [READ], "lifetime": "3600s" }));
    let ends = jiff::Timestamp::from_second(received.now + seconds).unwrap();
    Reply::json(200, &json!({ "accessToken": "impersonated", "expireTime": ends.to_string() }))
}

#[test]
fn the_pods_account_by_federation() {
    let fake = Fake::https(sts);
    let (url, audience) = (format!("{}/v1/token", fake.url()), format!("audience={POOL}"));
    let node = node(&[("token-endpoint", url.clone())], &["source=workload-identity", &audience], "");
    let (user, password, seconds, _) = parts(ask_for_pod(&node, IMAGE, &pod_token("team", "builder"), "10s"));
    assert_eq!((user.as_str(), password.as_str()), (USER, "federated"));
    assert_kept(seconds, 3599 - 60 - 900);
    let run = ask_for_pod(&node, IMAGE, &pod_token("team", "other"), "10s");
    let expected = format!(
        "keyring-credential-provider: {REGISTRY}: `{url}` answered 403: The given credential *** is rejected by the attribute \
         condition.; check what is stored with `keyring-credential-provider explain`\n"
    );
    assert_eq!(run, Run::new(1, "", &expected));
}

/// A pod without a token never pulls as the machine.
#[test]
fn peer_bug_a_pod_without_a_token_never_gets_the_nodes_identity() {
    let (metadata, fake) = (Fake::http(|received| machine(received, 3599)), Fake::https(sts));
    let fakes =
        [("metadata-endpoint", metadata.url().to_owned()), ("token-endpoint", format!("{}/v1/token", fake.url()))];
    let node = node(&fakes, &["source=workload-identity", &format!("audience={POOL}")], "");
    assert_needs_pod(&node, IMAGE);
    assert_eq!((metadata.count(), fake.count()), (0, 0));
}

/// What is impersonated ends with the first of both tokens.
#[test]
fn an_account_is_impersonated_by_each_source() {
    let (other, audience) = (format!("impersonate={MAIL}"), format!("audience={POOL}"));
    for (seconds, kept) in [(36_000, 3599 - 60 - 900), (1800, 1800 - 60 - 900)] {
        let (fake, credentials) = (Fake::https(sts), Fake::https(move |received| iam(received, "federated", seconds)));
        let fakes =
            [("token-endpoint", format!("{}/v1/token", fake.url())), ("iam-endpoint", credentials.url().to_owned())];
        let node = node(&fakes, &["source=workload-identity", &audience, &other], "");
        let (user, password, seconds, _) = parts(ask_for_pod(&node, IMAGE, &pod_token("team", "builder"), "10s"));
        assert_eq!((user.as_str(), password.as_str()), (USER, "impersonated"));
        assert_kept(seconds, kept);
    }
    let (fake, credentials) = (
        Fake::https(|received| token(received, "key-1", PLATFORM)),
        Fake::https(|received| iam(received, "ya29.token", 3600)),
    );
    let fakes = [("token-endpoint", format!("{}/token", fake.url())), ("iam-endpoint", credentials.url().to_owned())];
    let node = node(&fakes, &[&other], &key("key-1", PRIVATE));
    assert_eq!(parts(ask(&node, IMAGE, "10s")).1, "impersonated");
}
