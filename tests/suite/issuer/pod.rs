//! Whose an issued credential is: the pod's token, handed back or exchanged, and the service account that it names.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::fake::{Fake, Reply};
use super::{ask_for_pod, assert_kept, ca_file, login, parts};
use crate::support::{Node, Run};

/// A token of a pod of this account; `end` is in seconds from now.
fn token(account: &Value, pod: &str, end: Option<i64>) -> String {
    let mut claims = json!({ "iss": "https://cluster.test", "kubernetes.io": account, "pod": pod });
    if let Some(end) = end {
        claims["exp"] = json!(jiff::Timestamp::now().as_second() + end);
    }
    format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn account(namespace: &str, name: &str, uid: &str) -> Value {
    json!({ "namespace": namespace, "serviceaccount": { "name": name, "uid": uid } })
}

fn node(fake: &Fake, settings: &[&str]) -> Node {
    let node = Node::new();
    let (url, trust) = (format!("token-url={}/token", fake.url()), ca_file(&node));
    let own = [url.as_str(), &trust, "username=pod", "token-audience=sts"];
    let settings: Vec<&str> = own.into_iter().chain(settings.iter().copied()).collect();
    login(&node, "r.test", "token-exchange", &settings, "").done();
    node
}

/// A service that hands back the token that it is given, and says that it is good for ten hours.
fn echo() -> Fake {
    Fake::https(|received| {
        let form = received.form();
        let subject = &form.iter().find(|(name, _)| name == "subject_token").unwrap().1;
        Reply::json(200, &json!({ "access_token": subject, "expires_in": 36_000 }))
    })
}

/// The kubelet's rule (KEP-4412): an answer that repeats the token is kept no longer than the token is good.
#[test]
fn a_password_that_is_the_pods_token_is_kept_until_before_the_token_ends() {
    let fake = echo();
    for (end, kept) in [(Some(3600), 3540), (Some(600), 540), (Some(90), 30), (Some(60), 0), (Some(-5), 0), (None, 0)] {
        let node = node(&fake, &[]);
        let token = token(&account("team", "builder", "1"), "a", end);
        let (user, password, seconds, _) = parts(ask_for_pod(&node, "r.test/a", &token, "10s"));
        assert_eq!((user.as_str(), password), ("pod", token));
        assert!((kept - i64::min(kept, 5)..=kept).contains(&seconds.cast_signed()), "{end:?}: {seconds} of {kept}");
    }
    // The entry may want less, never more.
    let token = token(&account("team", "builder", "1"), "a", Some(3600));
    assert_kept(parts(ask_for_pod(&node(&fake, &["cache=2m"]), "r.test/a", &token, "10s")).2, 120);
    let (_, _, seconds, _) = parts(ask_for_pod(&node(&fake, &["cache=24h"]), "r.test/a", &token, "10s"));
    assert!((3530..=3540).contains(&seconds), "{seconds}");
}

/// A token ends with its pod, so another pod of the same account would be left with a dead one; and the kubelet, which
/// compares with that other pod's token, would not notice.
#[test]
fn a_password_that_is_a_pods_token_is_not_given_to_another_pod() {
    let fake = echo();
    let node = node(&fake, &[]);
    for (count, pod) in ["a", "b", "a"].into_iter().enumerate() {
        let token = token(&account("team", "builder", "1"), pod, Some(3600));
        assert_eq!(parts(ask_for_pod(&node, "r.test/a", &token, "10s")).1, token);
        assert_eq!(fake.count(), count + 1);
    }
}

/// One account is told from another by everything that makes it one, not by its name alone.
#[test]
fn no_two_accounts_share_a_credential_and_all_pods_of_one_do() {
    let count = Arc::new(AtomicU64::new(0));
    let fake = Fake::https(move |_| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        Reply::json(200, &json!({ "access_token": format!("token-{number}"), "expires_in": 3600 }))
    });
    let node = node(&fake, &[]);
    let accounts = [
        account("team", "builder", "1"),
        account("team", "other", "1"),
        account("other", "builder", "1"),
        account("team", "builder", "2"),
        account("teamb", "uilder", "1"),
        account("team", "builder1", ""),
    ];
    for pod in ["a", "b"] {
        for (number, account) in accounts.iter().enumerate() {
            let token = token(account, pod, Some(3600));
            assert_eq!(parts(ask_for_pod(&node, "r.test/a", &token, "10s")).1, format!("token-{number}"));
        }
    }
    assert_eq!(fake.count(), accounts.len());
}

/// A failure for one account is no failure for another.
#[test]
fn an_account_that_is_refused_spoils_nothing_for_others() {
    let fake = Fake::https(|received| {
        let form = received.form();
        let subject = &form.iter().find(|(name, _)| name == "subject_token").unwrap().1;
        let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(subject.split('.').nth(1).unwrap()).unwrap()).unwrap();
        if claims.contains("stranger") {
            return Reply::json(403, &json!({ "error": "access_denied" }));
        }
        Reply::json(200, &json!({ "access_token": "token", "expires_in": 3600 }))
    });
    let node = node(&fake, &[]);
    let ask = |name: &str| ask_for_pod(&node, "r.test/a", &token(&account("team", name, "1"), "a", None), "10s");
    let refused = format!(
        "keyring-credential-provider: r.test: `{}/token` answered 403: access_denied; check what is stored with \
         `keyring-credential-provider explain`\n",
        fake.url()
    );
    assert_eq!(ask("stranger"), Run::new(1, "", &refused));
    assert_eq!(parts(ask("builder")).1, "token");
    assert_eq!((ask("stranger").code, fake.count()), (1, 2));
}
