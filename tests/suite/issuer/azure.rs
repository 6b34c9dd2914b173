//! `azure-acr`: an application's secret, the machine's identity, the pod's application; the registry's challenge and exchange.

use serde_json::json;

use super::fake::{Fake, Received, Reply};
use super::faults::{Subject, WRONG, fault_matrix};
use super::{
    ask, ask_for_pod, assert_form, assert_kept, assert_needs_pod, ca_file, login, parts, pod_request, pod_token,
};
use crate::support::{Node, Run};

const SECRET: &str = "client~secret.of+Azure&co=";
const CLIENT: &str = "11111111-2222-3333-4444-555555555555";
const TENANT: &str = "99999999-8888-7777-6666-555555555555";
const REGISTRY: &str = "team.azurecr.io";
const IMAGE: &str = "team.azurecr.io/app/web";
const USER: &str = "00000000-0000-0000-0000-000000000000";
/// Says of itself that it lives for three hours.
const REFRESH: &str = "e30.eyJpYXQiOjEwMDAsImV4cCI6MTE4MDB9.cmVnaXN0cnk";
const TOKEN_PATH: &str = "/99999999-8888-7777-6666-555555555555/oauth2/v2.0/token";

pub(super) const SUBJECT: Subject = Subject {
    issuer: "azure-acr",
    scope: REGISTRY,
    image: IMAGE,
    settings: |url| {
        vec![
            format!("--username {CLIENT}"),
            format!("tenant={TENANT}"),
            format!("authority={url}"),
            format!("endpoint={url}"),
        ]
    },
    secret: SECRET,
    wrong: WRONG,
    by_pod: false,
    path: TOKEN_PATH,
    reply,
    refused: "answered 401: AADSTS7000215: Invalid client secret provided: ***",
    answer: (USER, REFRESH, 3599 - 60 - 900),
};

fault_matrix!(SUBJECT);

/// Microsoft Entra ID and the registry in one.
fn reply(received: &Received) -> Reply {
    if received.target == TOKEN_PATH { entra(received) } else { registry(received, Some(TENANT)) }
}

fn entra(received: &Received) -> Reply {
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", TOKEN_PATH));
    assert_eq!(received.header("authorization"), None);
    let form = received.form();
    let secret = &form.last().expect("fields").1;
    assert_form(
        received,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", CLIENT),
            ("scope", "https://containerregistry.azure.net/.default"),
            ("client_secret", secret),
        ],
    );
    if secret != SECRET {
        let said = format!("AADSTS7000215: Invalid client secret provided: {secret}");
        return Reply::json(401, &json!({ "error": "invalid_client", "error_description": said }));
    }
    Reply::json(200, &json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": "entra-token" }))
}

/// A registry that knows itself by its own name, whatever host it is asked at.
fn registry(received: &Received, tenant: Option<&str>) -> Reply {
    match (received.method.as_str(), received.target.as_str()) {
        ("GET", "/v2/") => {
            assert_eq!(received.header("authorization"), None);
            let realm = format!("https://{}/oauth2/token", received.header("host").unwrap());
            let challenge = format!(r#"Bearer realm="{realm}",service="{REGISTRY}""#);
            Reply::json(401, &json!({ "errors": [{ "code": "UNAUTHORIZED" }] })).header("WWW-Authenticate", &challenge)
        }
        ("POST", "/oauth2/exchange") => {
            let mut fields = vec![("grant_type", "access_token"), ("service", REGISTRY)];
            fields.extend(tenant.map(|tenant| ("tenant", tenant)));
            fields.push(("access_token", "entra-token"));
            assert_form(received, &fields);
            Reply::json(200, &json!({ "refresh_token": REFRESH }))
        }
        (method, target) => panic!("{method} {target}"),
    }
}

#[track_caller]
fn node(fakes: &[(&str, &Fake)], settings: &[&str], secret: &str) -> Node {
    let node = Node::new();
    let trust = ca_file(&node);
    let urls: Vec<String> = fakes.iter().map(|(name, fake)| format!("{name}={}", fake.url())).collect();
    let settings: Vec<&str> =
        urls.iter().map(String::as_str).chain([trust.as_str()]).chain(settings.iter().copied()).collect();
    login(&node, REGISTRY, "azure-acr", &settings, secret).done();
    node
}

/// Settings of an application that is stored.
fn stored() -> [String; 2] {
    [format!("--username {CLIENT}"), format!("tenant={TENANT}")]
}

/// The machine has two identities; without a choice it is the first. Times are text, as the service writes them.
fn imds(received: &Received) -> Reply {
    if received.header("metadata") != Some("true") {
        return Reply::json(
            400,
            &json!({ "error": "invalid_request", "error_description": "Required metadata header not specified" }),
        );
    }
    let path =
        "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fcontainerregistry.azure.net";
    assert_eq!(received.method, "GET");
    assert!([path.to_owned(), format!("{path}&client_id={CLIENT}")].contains(&received.target), "{}", received.target);
    let ends = (received.now + 86_400).to_string();
    Reply::json(
        200,
        &json!({ "access_token": "entra-token", "expires_in": "86399", "expires_on": ends, "token_type": "Bearer",
            "resource": "https://containerregistry.azure.net" }),
    )
}

/// A registry's token lives for three hours; the kubelet keeps it for half of that.
#[test]
fn the_machines_identity() {
    for user in [&[][..], &["--username 11111111-2222-3333-4444-555555555555"]] {
        let (metadata, acr) = (Fake::http(imds), Fake::https(|received| registry(received, None)));
        let settings: Vec<&str> = ["source=imds"].into_iter().chain(user.iter().copied()).collect();
        let node = node(&[("imds-endpoint", &metadata), ("endpoint", &acr)], &settings, "");
        let (name, password, seconds, key) = parts(ask(&node, IMAGE, "10s"));
        assert_eq!((name.as_str(), password.as_str(), key.as_str()), (USER, REFRESH, REGISTRY));
        assert_kept(seconds, 90 * 60);
        assert_eq!(metadata.received()[0].target.contains("client_id"), !user.is_empty());
        assert_eq!((metadata.count(), acr.count()), (1, 2));
    }
}

/// A metadata service never goes through a proxy: it could not be reached, and the proxy would learn the token.
#[test]
fn metadata_never_goes_through_a_proxy() {
    let (metadata, acr) = (Fake::http(imds), Fake::https(|received| registry(received, None)));
    let proxy = Fake::http(|_| Reply::new(502, "text/plain", ""));
    let node = node(&[("imds-endpoint", &metadata), ("endpoint", &acr)], &["source=imds"], "");
    let mut command = node.command(&["get-credentials"]);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "https_proxy", "http_proxy"] {
        command.env(name, proxy.url());
    }
    assert_eq!(parts(crate::support::run(&mut command, crate::support::request(IMAGE))).0, USER);
    assert_eq!(proxy.count(), 0);
}

/// Microsoft Entra ID where an application trusts one service account.
fn federation(received: &Received) -> Reply {
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", TOKEN_PATH));
    assert_form(
        received,
        &[
            ("grant_type", "client_credentials"),
            ("client_id", CLIENT),
            ("scope", "https://containerregistry.azure.net/.default"),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", &pod_token("team-a", "builder")),
        ],
    );
    Reply::json(200, &json!({ "token_type": "Bearer", "expires_in": 3599, "access_token": "entra-token" }))
}

#[test]
fn the_pods_application_by_setting_and_by_annotation() {
    let (client, tenant) = (format!("--username {CLIENT}"), format!("tenant={TENANT}"));
    let none = json!({});
    let azures = json!({ "kubernetes.azure.com/acr-client-id": CLIENT, "kubernetes.azure.com/acr-tenant-id": TENANT });
    let workload = json!({ "azure.workload.identity/client-id": CLIENT, "azure.workload.identity/tenant-id": TENANT });
    for (settings, annotations) in
        [(&[client.as_str(), &tenant][..], &none), (&[], &azures), (&[], &workload), (&[client.as_str()], &azures)]
    {
        let (login, acr) = (Fake::https(federation), Fake::https(|received| registry(received, Some(TENANT))));
        let settings: Vec<&str> = ["source=workload-identity"].into_iter().chain(settings.iter().copied()).collect();
        let node = node(&[("authority", &login), ("endpoint", &acr)], &settings, "");
        let request = pod_request(IMAGE, &pod_token("team-a", "builder"), annotations);
        let (user, password, seconds, _) = parts(node.run(&["get-credentials"], request));
        assert_eq!((user.as_str(), password.as_str()), (USER, REFRESH));
        assert_kept(seconds, 3599 - 60 - 900);
    }
}

#[test]
fn a_pod_whose_application_nobody_names_is_refused() {
    let fake = Fake::https(|_| Reply::json(500, &json!({})));
    let node = node(&[("authority", &fake), ("endpoint", &fake)], &["source=workload-identity"], "");
    // What could leave the path is no tenant.
    let odd = json!({ "kubernetes.azure.com/acr-client-id": CLIENT, "kubernetes.azure.com/acr-tenant-id": "../x" });
    for (annotations, reason) in [
        (json!({}), "issuer `azure-acr` needs a user, which is the client's id"),
        (odd, "issuer `azure-acr` needs `tenant`; give them as settings"),
    ] {
        let run = node.run(&["get-credentials"], pod_request(IMAGE, &pod_token("a", "b"), &annotations));
        let expected = format!(
            "keyring-credential-provider: {REGISTRY}: {reason}; run `keyring-credential-provider login {REGISTRY}` on the node\n"
        );
        assert_eq!(run, Run::new(1, "", &expected));
    }
    assert_eq!(fake.count(), 0);
}

/// Azure's plugin uses the node's identity for what a pod should have pulled by its own.
#[test]
fn peer_bug_a_pod_without_a_token_never_gets_the_nodes_identity() {
    let (metadata, fake) = (Fake::http(imds), Fake::https(|_| Reply::json(500, &json!({}))));
    let fakes = [("imds-endpoint", &metadata), ("authority", &fake), ("endpoint", &fake)];
    let [client, tenant] = stored();
    let node = node(&fakes, &["source=workload-identity", &client, &tenant], "");
    assert_needs_pod(&node, IMAGE);
    assert_eq!(ask_for_pod(&node, IMAGE, &pod_token("a", "b"), "1s").code, 1);
    assert_eq!(metadata.count(), 0);
}

/// With an application's secret, Azure's plugin answers that very secret, for every registry of Azure.
#[test]
fn peer_bug_the_applications_secret_is_never_the_answer() {
    let fake = Fake::https(reply);
    let node = SUBJECT.node(&fake);
    let (user, password, _, key) = parts(ask(&node, IMAGE, "10s"));
    assert_eq!((user.as_str(), password.as_str(), key.as_str()), (USER, REFRESH, REGISTRY));
    let other = ask(&node, "other.azurecr.io/app", "10s");
    assert!(other.code == 0 && other.stdout.contains(r#""auth":{}"#), "{other:?}");
}

/// Azure's plugin sends the token to wherever the registry's challenge says.
#[test]
fn peer_bug_a_challenge_does_not_choose_who_is_shown_the_token() {
    let elsewhere = Fake::https(reply);
    let realm = format!("{}/oauth2/token", elsewhere.url());
    let acr = Fake::https(move |_| {
        let challenge = format!(r#"Bearer realm="{realm}",service="{REGISTRY}""#);
        Reply::new(401, "text/plain", "").header("WWW-Authenticate", &challenge)
    });
    let (login, [client, tenant]) = (Fake::https(entra), stored());
    let run = ask(&node(&[("authority", &login), ("endpoint", &acr)], &[&client, &tenant], SECRET), IMAGE, "10s");
    let expected = format!(
        "keyring-credential-provider: {REGISTRY}: `{}/v2/` answered with something else than was asked for: a challenge that names \
         another host; is `endpoint` the registry's own name?; check what is stored with `keyring-credential-provider explain`\n",
        acr.url()
    );
    assert_eq!(run, Run::new(1, "", &expected));
    assert_eq!((elsewhere.count(), acr.count()), (0, 1));
}

/// What is no challenge, and an exchange that is refused.
#[test]
fn a_registry_that_does_not_exchange_is_told() {
    let said = "the registry's name is wrong";
    for (reply, place, reason) in [
        (Reply::json(200, &json!({})), "/v2/", "no challenge; it wants no login"),
        (Reply::json(404, &json!({ "message": said })), "/v2/", said),
        (
            Reply::new(401, "text/plain", "").header("WWW-Authenticate", "Basic realm=\"x\""),
            "/v2/",
            "no challenge of a Bearer token with realm and service",
        ),
    ] {
        let acr = Fake::https(move |_| reply.clone());
        let (login, [client, tenant]) = (Fake::https(entra), stored());
        let run = ask(&node(&[("authority", &login), ("endpoint", &acr)], &[&client, &tenant], SECRET), IMAGE, "10s");
        assert_eq!((run.code, run.stdout.as_str(), run.stderr.lines().count()), (1, "", 1));
        assert!(run.stderr.contains(&format!("`{}{place}`", acr.url())) && run.stderr.contains(reason), "{run:?}");
    }
    let acr = Fake::https(|received| match received.target.as_str() {
        "/oauth2/exchange" => {
            Reply::json(403, &json!({ "errors": [{ "code": "DENIED", "message": "entra-token may not pull" }] }))
        }
        _ => registry(received, Some(TENANT)),
    });
    let (login, [client, tenant]) = (Fake::https(entra), stored());
    let run = ask(&node(&[("authority", &login), ("endpoint", &acr)], &[&client, &tenant], SECRET), IMAGE, "10s");
    let expected = format!(
        "keyring-credential-provider: {REGISTRY}: `{}/oauth2/exchange` answered 403: *** may not pull; check what is stored with \
         `keyring-credential-provider explain`\n",
        acr.url()
    );
    assert_eq!(run, Run::new(1, "", &expected));
}

/// Microsoft's sentences are long, and so are its paths; the remedy is what an operator needs, and the line has an end.
#[test]
fn a_long_refusal_keeps_its_remedy_and_the_line_its_end() {
    let said = "AADSTS700016: L’application n’a pas été trouvée dans l’annuaire. ".repeat(8);
    let entra = Fake::https(move |_| Reply::json(400, &json!({ "error": "x", "error_description": said })));
    let [client, tenant] = stored();
    let node = node(&[("authority", &entra), ("endpoint", &entra)], &[&client, &tenant], SECRET);
    let run = ask(&node, IMAGE, "10s");
    let end = "…; check what is stored with `keyring-credential-provider explain`\n";
    assert!(run.code == 1 && run.stderr.ends_with(end) && run.stderr.len() < 1024, "{run:?}");
    let folders = "deep/".repeat(200);
    let long = format!("authority={}/{folders}", entra.url());
    login(&node, REGISTRY, "azure-acr", &[&long, &ca_file(&node), &client, &tenant], SECRET).done();
    let run = ask(&node, IMAGE, "10s");
    assert!(run.code == 1 && run.stderr.ends_with("…\n") && run.stderr.len() < 1024, "{run:?}");
}

/// Whom `explain` says it would ask, for registries of every cloud, and for a scope of all registries of one.
#[test]
fn registries_of_every_cloud_are_their_own_endpoint() {
    let node = Node::new();
    for scope in ["team.azurecr.io", "*.azurecr.cn", "team.azurecr.us"] {
        let [client, tenant] = stored();
        login(&node, scope, "azure-acr", &[&client, &tenant], SECRET).done();
        let registry = scope.replace('*', "some");
        let text = node.run(&["explain", &format!("{registry}/app")], "").done();
        assert!(text.contains(&format!("asks        `https://{registry}`")), "{text}");
    }
}
