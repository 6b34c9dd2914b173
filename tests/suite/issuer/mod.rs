//! Issuers, against servers inside the test that verify what they are sent.
//!
//! A new issuer plugs in with a file that has a [`Subject`](faults::Subject) and `fault_matrix!(SUBJECT);`, a word in `windows`,
//! which runs the same on the Windows program, and then tests of its own ways.

mod apart;
mod aws;
mod azure;
mod cache;
mod ends;
mod exchange;
mod fake;
mod faults;
mod google;
mod helper;
mod login;
mod oauth2;
mod peers;
mod pod;
mod quay;
mod recipe;
mod sigv4;
mod token_exchange;
mod trust;
mod vault;
#[cfg(target_os = "linux")]
mod windows;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::support::{AnyNode, Run, answer, request};
use fake::{Received, authority};

/// Logs in with a secret, or none, and settings; those that begin with `-` are options as they are.
#[track_caller]
fn login(node: &dyn AnyNode, scope: &str, issuer: &str, settings: &[&str], secret: &str) -> Run {
    let mut arguments = vec!["login".to_owned(), scope.to_owned(), "--issuer".to_owned(), issuer.to_owned()];
    for setting in settings {
        if setting.starts_with('-') {
            arguments.extend(setting.split(' ').map(str::to_owned));
        } else {
            arguments.extend(["--set".to_owned(), (*setting).to_owned()]);
        }
    }
    if !secret.is_empty() {
        arguments.push("--password-stdin".to_owned());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    node.run(&arguments, secret)
}

/// The setting that makes the program trust the test's certificate authority.
fn ca_file(node: &dyn AnyNode) -> String {
    authority().copy_to(&node.on_disk("ca.pem"));
    format!("ca-file={}", node.path("ca.pem"))
}

/// Asks as the kubelet does, with a deadline.
fn ask(node: &dyn AnyNode, image: &str, timeout: &str) -> Run {
    node.run(&["get-credentials", "--timeout", timeout], &request(image))
}

/// A pod's token: claims of the cluster, and a signature that nobody here can check.
fn pod_token(namespace: &str, name: &str) -> String {
    let claims = json!({ "iss": "https://cluster.test", "aud": ["registry"], "exp": 4_000_000_000_u64,
        "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": name, "uid": format!("uid-{name}") } } });
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", encode(r#"{"alg":"RS256"}"#), encode(&claims.to_string()), encode("signature"))
}

fn pod_request(image: &str, token: &str, annotations: &serde_json::Value) -> String {
    json!({ "kind": "CredentialProviderRequest", "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "image": image,
        "serviceAccountToken": token, "serviceAccountAnnotations": annotations })
    .to_string()
}

/// Asks as the kubelet does for a pod with this token, with a deadline.
fn ask_for_pod(node: &dyn AnyNode, image: &str, token: &str, timeout: &str) -> Run {
    node.run(&["get-credentials", "--timeout", timeout], &pod_request(image, token, &json!({})))
}

/// Whether a request without a pod's token fails with the one line that says so.
#[track_caller]
fn assert_needs_pod(node: &dyn AnyNode, image: &str) {
    let host = image.split('/').next().unwrap();
    let expected = format!(
        "keyring-credential-provider: {host}: the request has no service-account token, and this credential is for pods that \
         have one; set `tokenAttributes` in the kubelet's configuration, and check the pod's service account\n"
    );
    assert_eq!(ask(node, image, "10s"), Run::new(1, "", &expected));
}

/// Whether a form has these fields, in this order.
#[track_caller]
fn assert_form(received: &Received, expected: &[(&str, &str)]) {
    assert_eq!(received.header("content-type"), Some("application/x-www-form-urlencoded"));
    let form = received.form();
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(form, expected);
}

/// Takes an answer apart: user, password, seconds that the kubelet keeps it, and its key.
#[track_caller]
fn parts(run: Run) -> (String, String, u64, String) {
    assert_eq!(run.stderr, "", "{run:?}");
    let text = run.done();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let seconds = value["cacheDuration"].as_str().unwrap();
    let (key, auth) = value["auth"].as_object().unwrap().iter().next().expect("a credential");
    let (user, password) = (auth["username"].as_str().unwrap(), auth["password"].as_str().unwrap());
    // The whole answer, byte for byte.
    let auth = format!(r#""{key}":{{"username":"{user}","password":"{password}"}}"#);
    assert_eq!(text, answer("v1", value["cacheKeyType"].as_str().unwrap(), seconds, &auth));
    let seconds = seconds.strip_suffix('s').unwrap().parse().unwrap();
    (user.to_owned(), password.to_owned(), seconds, key.clone())
}

/// Whether a duration is `longest`, or up to a tenth less by jitter and some seconds less by a slow machine.
#[track_caller]
fn assert_kept(seconds: u64, longest: u64) {
    assert!(((longest * 9 / 10).saturating_sub(5)..=longest).contains(&seconds), "{seconds} of {longest}");
}

/// A client's certificate and its key, in PEM.
pub(crate) fn client_certificate() -> &'static str {
    authority().client()
}
