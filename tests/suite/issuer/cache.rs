//! The sealed token cache: bursts, killed processes, issuers that are down, and whom a token is for.

use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::json;

use super::fake::{Fake, Reply};
use super::{ask, assert_kept, ca_file, login, parts};
use crate::support::{AnyNode, Node, Run, request};

/// A token server that numbers its tokens, each good for so long.
fn counting(seconds: i64) -> Fake {
    let count = AtomicUsize::new(0);
    Fake::https(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed) + 1;
        Reply::json(200, &json!({ "access_token": format!("token-{number}"), "expires_in": seconds }))
    })
}

/// A node with an entry for `r.test` that asks this server.
#[track_caller]
fn node(fake: &Fake, settings: &[&str]) -> Node {
    let node = Node::new();
    add(&node, "r.test", fake, settings);
    node
}

#[track_caller]
fn add(node: &dyn AnyNode, scope: &str, fake: &Fake, settings: &[&str]) {
    let (url, trust) = (format!("token-url={}/token", fake.url()), ca_file(node));
    let settings: Vec<&str> = [url.as_str(), &trust, "-u id"].into_iter().chain(settings.iter().copied()).collect();
    login(node, scope, "oauth2", &settings, "client-secret").done();
}

#[track_caller]
fn password(node: &dyn AnyNode, image: &str) -> String {
    parts(ask(node, image, "10s")).1
}

fn start(node: &dyn AnyNode, image: &str) -> Child {
    let mut child = node
        .command(&["get-credentials"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(request(image).as_bytes()).unwrap();
    child
}

/// The password of an answer that was started.
#[track_caller]
fn finish(node: &dyn AnyNode, child: Child) -> (String, u64) {
    let (_, password, seconds, _) = parts(node.read(child.wait_with_output().unwrap()));
    (password, seconds)
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// A cold node starts 64 pods with 64 images of one registry: kubelet runs a plugin for each at the same time.
#[test]
fn peer_bug_a_burst_asks_once_and_everybody_answers() {
    a_burst_asks_once(&Node::new(), 64);
}

#[track_caller]
pub(super) fn a_burst_asks_once(node: &dyn AnyNode, processes: usize) {
    let fake = Fake::https(|_| {
        thread::sleep(Duration::from_millis(300));
        Reply::json(200, &json!({ "access_token": "token", "expires_in": 3600 }))
    });
    add(node, "r.test", &fake, &[]);
    let images = (0..processes).map(|number| format!("r.test/team/app-{number}"));
    let children: Vec<Child> = images.map(|image| start(node, &image)).collect();
    for child in children {
        let (password, seconds) = finish(node, child);
        assert_eq!(password, "token");
        assert_kept(seconds, 3600 - 60 - 900);
    }
    assert_eq!(fake.count(), 1);
}

#[test]
fn a_killed_asker_costs_one_more_request() {
    a_killed_asker_costs_one_more(&Node::new());
}

#[track_caller]
pub(super) fn a_killed_asker_costs_one_more(node: &dyn AnyNode) {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let fake = Fake::https(move |_| {
        if seen.fetch_add(1, Ordering::SeqCst) == 0 {
            thread::sleep(Duration::from_secs(60));
        }
        Reply::json(200, &json!({ "access_token": "token", "expires_in": 3600 }))
    });
    add(node, "r.test", &fake, &[]);
    let mut first = start(node, "r.test/a");
    wait_for("the first asks", || count.load(Ordering::SeqCst) == 1);
    let others: Vec<Child> = (0..8).map(|number| start(node, &format!("r.test/b-{number}"))).collect();
    first.kill().unwrap();
    first.wait().unwrap();
    for other in others {
        assert_eq!(finish(node, other).0, "token");
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

/// A registry whose issuer hangs must not keep the pulls of another waiting.
#[test]
fn one_issuer_that_hangs_does_not_stop_another() {
    let hangs = Fake::https(|_| {
        thread::sleep(Duration::from_secs(60));
        Reply::Close
    });
    let fake = counting(3600);
    let node = node(&fake, &[]);
    add(&node, "hangs.test", &hangs, &[]);
    let mut child = start(&node, "hangs.test/a");
    wait_for("the other asks", || hangs.count() == 1);
    assert_eq!(parts(ask(&node, "r.test/a", "5s")).1, "token-1");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn with_the_issuer_down_a_token_with_life_left_is_served() {
    a_token_with_life_left_is_served(&Node::new());
}

#[track_caller]
pub(super) fn a_token_with_life_left_is_served(node: &dyn AnyNode) {
    let is_down = Arc::new(AtomicBool::new(false));
    let down = is_down.clone();
    // Never fresh: with less than two minutes left, the issuer is asked every time.
    let fake = Fake::https(move |_| {
        if down.load(Ordering::SeqCst) {
            return Reply::json(400, &json!({ "error": "down" }));
        }
        Reply::json(200, &json!({ "access_token": "token", "expires_in": 100 }))
    });
    add(node, "r.test", &fake, &[]);
    assert_eq!(password(node, "r.test/a"), "token");
    is_down.store(true, Ordering::SeqCst);
    let (_, password, seconds, _) = parts(ask(node, "r.test/a", "10s"));
    assert_eq!((password.as_str(), seconds), ("token", 0));
    assert_eq!(fake.count(), 2);
    // And it is not asked again for some seconds.
    assert_eq!(parts(ask(node, "r.test/a", "10s")).1, "token");
    assert_eq!(fake.count(), 2);
}

#[test]
fn with_none_left_the_failure_is_one_line_and_remembered_for_seconds() {
    let fake = Fake::https(|_| Reply::json(400, &json!({ "error": "no such client" })));
    let node = node(&fake, &[]);
    let endpoint = format!("`{}/token` answered 400: no such client", fake.url());
    let first = ask(&node, "r.test/a", "10s");
    let explain = "check what is stored with `keyring-credential-provider explain`";
    assert_eq!(first, Run::new(1, "", &format!("keyring-credential-provider: r.test: {endpoint}; {explain}\n")));
    let second = ask(&node, "r.test/b", "10s");
    let remembered =
        format!("keyring-credential-provider: r.test: {endpoint} (remembered for some seconds); try again\n");
    assert_eq!(second, Run::new(1, "", &remembered));
    assert_eq!(fake.count(), 1);
    wait_for("it is forgotten", || {
        ask(&node, "r.test/c", "10s");
        fake.count() == 2
    });
}

#[test]
fn a_warm_cache_asks_nobody_and_counts_down() {
    a_warm_cache_asks_nobody(&Node::new());
}

#[track_caller]
pub(super) fn a_warm_cache_asks_nobody(node: &dyn AnyNode) {
    let fake = counting(3600);
    add(node, "r.test", &fake, &["cache=10m"]);
    for image in ["r.test/a", "r.test/b", "r.test/a"] {
        let (_, password, seconds, _) = parts(ask(node, image, "10s"));
        assert_eq!(password, "token-1");
        assert_kept(seconds, 600);
    }
    assert_eq!(fake.count(), 1);
}

#[test]
fn a_cache_that_is_lost_damaged_or_foreign_is_a_miss() {
    a_bad_cache_is_a_miss(&Node::new());
}

#[track_caller]
pub(super) fn a_bad_cache_is_a_miss(node: &dyn AnyNode) {
    let fake = counting(3600);
    add(node, "r.test", &fake, &[]);
    let cache = node.on_disk("store/tokens.sealed");
    assert_eq!(password(node, "r.test/a"), "token-1");
    let sealed = fs::read(&cache).unwrap();
    assert!(!sealed.windows(7).any(|window| window == b"token-1"), "it is sealed");

    fs::remove_file(&cache).unwrap();
    assert_eq!(password(node, "r.test/a"), "token-2");
    let mut bad = fs::read(&cache).unwrap();
    let last = bad.len() - 1;
    bad[last] ^= 1;
    fs::write(&cache, &bad).unwrap();
    assert_eq!(password(node, "r.test/a"), "token-3");
    fs::write(&cache, b"").unwrap();
    assert_eq!(password(node, "r.test/a"), "token-4");
    // Another store's cache, and the store itself, in its place.
    fs::write(&cache, fs::read(node.on_disk("store/credentials.sealed")).unwrap()).unwrap();
    assert_eq!(password(node, "r.test/a"), "token-5");
    // One that others could have written.
    fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    assert_eq!(password(node, "r.test/a"), "token-6");
    // And one that cannot be read or replaced at all.
    fs::remove_file(&cache).unwrap();
    fs::create_dir(&cache).unwrap();
    assert_eq!(password(node, "r.test/a"), "token-7");
    assert_eq!(password(node, "r.test/a"), "token-8");
    fs::remove_dir(&cache).unwrap();
    assert_eq!(password(node, "r.test/a"), "token-9");
    assert_eq!(password(node, "r.test/a"), "token-9");
}

#[test]
fn what_is_stored_anew_is_asked_for_anew() {
    let fake = counting(3600);
    let node = node(&fake, &[]);
    assert_eq!(password(&node, "r.test/a"), "token-1");
    add(&node, "r.test", &fake, &["scope=other"]);
    assert_eq!(password(&node, "r.test/a"), "token-2");
    let (url, trust) = (format!("token-url={}/token", fake.url()), ca_file(&node));
    login(&node, "r.test", "oauth2", &[&url, &trust, "-u id"], "rotated").done();
    assert_eq!(password(&node, "r.test/a"), "token-3");
    assert_eq!(node.run(&["store", "rekey"], "").code, 0);
    assert!(!node.store().join("tokens.sealed").exists());
    assert_eq!(password(&node, "r.test/a"), "token-4");
    assert_eq!(password(&node, "r.test/a"), "token-4");
    // A credential that is removed leaves nothing behind.
    assert_eq!(node.run(&["logout", "r.test"], "").code, 0);
    login(&node, "r.test", "oauth2", &[&url, &trust, "-u id"], "rotated").done();
    assert_eq!(password(&node, "r.test/a"), "token-5");
}

/// Quay's and Vultr's plugins keep a token for its full life, JFrog's and ECR's for longer: the configured default.
#[test]
fn peer_bug_no_answer_outlives_its_token_and_every_answer_says_how_long() {
    for (life, kept) in [(1, 0), (60, 0), (119, 0), (178, 0), (300, 90), (3600, 2640), (7200, 6240)] {
        let fake = counting(life);
        let (_, _, seconds, _) = parts(ask(&node(&fake, &[]), "r.test/a", "10s"));
        assert!(seconds <= kept && seconds + kept / 10 + 5 >= kept, "{life}: {seconds}");
    }
}

/// Cloudsmith's plugin truncates to whole hours, Oracle's takes hours modulo 24.
#[test]
fn peer_bug_durations_are_neither_truncated_to_hours_nor_taken_modulo_a_day() {
    for (life, kept) in [(3599, 3599 - 960), (90_000, 6 * 3600)] {
        let fake = counting(life);
        assert_kept(parts(ask(&node(&fake, &[]), "r.test/a", "10s")).2, kept);
    }
}

/// Kubernetes#92326: an anonymous answer under a wide key poisoned later pulls.
#[test]
fn peer_bug_a_failure_is_never_an_empty_answer() {
    let fake = Fake::https(|_| Reply::json(403, &json!({})));
    let run = ask(&node(&fake, &[]), "r.test/a", "10s");
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
}

/// Cloudsmith's, Vault's and Quay's plugins let an annotation choose where the token goes.
#[test]
fn peer_bug_no_annotation_chooses_an_endpoint() {
    let (fake, evil) = (counting(3600), Fake::https(|_| Reply::Close));
    let node = node(&fake, &[]);
    let names = ["token-url", "endpoint", "host", "cloudsmith.io/api-host", "vault-addr"];
    let annotations: serde_json::Map<_, _> = names.iter().map(|name| ((*name).to_owned(), json!(evil.url()))).collect();
    let request = json!({ "kind": "CredentialProviderRequest", "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
        "image": "r.test/a", "serviceAccountToken": "a.b.c", "serviceAccountAnnotations": annotations });
    assert_eq!(parts(node.run(&["get-credentials"], request.to_string())).1, "token-1");
    assert_eq!(evil.count(), 0);
}

fn pod(image: &str, claims: &serde_json::Value) -> String {
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims.to_string());
    json!({ "kind": "CredentialProviderRequest", "apiVersion": "credentialprovider.kubelet.k8s.io/v1", "image": image,
        "serviceAccountToken": format!("e30.{claims}.c2ln") })
    .to_string()
}

#[test]
fn allow_names_the_service_accounts_that_may_have_a_credential() {
    allow_names_service_accounts(&Node::new());
}

#[track_caller]
pub(super) fn allow_names_service_accounts(node: &dyn AnyNode) {
    let arguments = ["login", "r.test", "-u", "u", "--password-stdin", "--set", "allow=team-a/*,team-b/builder"];
    node.run(&arguments, "p").done();
    let account = |namespace: &str, name: &str| json!({ "kubernetes.io": { "namespace": namespace, "serviceaccount": { "name": name } } });
    let line = |reason: &str| Run::new(1, "", &format!("keyring-credential-provider: r.test: {reason}\n"));
    for (claims, refusal) in [
        (account("team-a", "any"), None),
        (account("team-b", "builder"), None),
        (account("team-b", "other"), Some("`allow` does not name service account `team-b/other`")),
        (account("team-ab", "any"), Some("`allow` does not name service account `team-ab/any`")),
        (account("team-a/x", "any"), Some("`allow` does not name service account `team-a/x/any`")),
    ] {
        let run = node.run(&["get-credentials"], &pod("r.test/a", &claims));
        match refusal {
            None => assert_eq!(parts(run).0, "u"),
            Some(reason) => {
                let remedy = "use another service account, or store the credential with another `allow`";
                assert_eq!(run, line(&format!("{reason}; {remedy}")));
            }
        }
    }
    let tokens = "set `tokenAttributes` in the kubelet's configuration, and check the pod's service account";
    assert_eq!(
        node.run(&["get-credentials"], &pod("r.test/a", &json!({}))),
        line(&format!("the service-account token does not say whose it is; {tokens}"))
    );
    let none = "the request has no service-account token, and this credential is for pods that have one";
    assert_eq!(node.run(&["get-credentials"], &request("r.test/a")), line(&format!("{none}; {tokens}")));
}

#[test]
fn an_entry_can_require_a_service_account() {
    let node = Node::new();
    let arguments = ["login", "r.test", "-u", "u", "--password-stdin", "--set", "require-service-account=true"];
    node.run(&arguments, "p").done();
    assert_eq!(node.ask("r.test/a").code, 1);
    assert_eq!(parts(node.run(&["get-credentials"], pod("r.test/a", &json!({})))).0, "u");
}
