//! `vault`: logins, KV and dynamic secrets, namespaces. The fake keeps to the HTTP API that Vault and OpenBao share.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::fake::{Fake, Received, Reply, authority};
use super::faults::{Subject, WRONG, fault_matrix};
use super::{ask, ask_for_pod, assert_kept, assert_needs_pod, ca_file, login, parts, pod_request, pod_token};
use crate::support::{Node, Run};

const SECRET_ID: &str = "4d3c2b1a-secret-id";

pub(super) const SUBJECT: Subject = Subject {
    issuer: "vault",
    scope: "r.test",
    image: "r.test/team/app",
    settings: |url| {
        let address = format!("address={url}");
        let rest = ["--username role-id", "auth=approle", "path=artifactory/token/pull", "namespace=team/a"];
        let fields = ["password-field=access_token"];
        rest.into_iter().chain(fields).map(str::to_owned).chain([address]).collect()
    },
    secret: SECRET_ID,
    wrong: WRONG,
    by_pod: false,
    path: "/v1/auth/approle/login",
    reply: |received| {
        assert_eq!(received.header("x-vault-namespace"), Some("team/a"));
        match received.target.as_str() {
            "/v1/auth/approle/login" => {
                let body = received.json();
                let secret = body["secret_id"].as_str().unwrap();
                assert_eq!(body, json!({ "role_id": "role-id", "secret_id": secret }));
                if secret == SECRET_ID {
                    logged_in(received, 7200)
                } else {
                    refused(&format!("invalid secret id {secret}"))
                }
            }
            "/v1/artifactory/token/pull" => {
                read(received, 3600, json!({ "username": "v-pull", "access_token": "dynamic-1" }))
            }
            other => panic!("{other}"),
        }
    },
    refused: "answered 400: invalid secret id ***",
    answer: ("v-pull", "dynamic-1", 3600 - 60 - 900),
};

fault_matrix!(SUBJECT);

/// An answer to a login, with a token for so many seconds.
#[track_caller]
fn logged_in(received: &Received, seconds: u64) -> Reply {
    assert_eq!(received.method, "POST");
    assert_eq!(received.header("x-vault-request"), Some("true"));
    assert_eq!(received.header("x-vault-token"), None);
    Reply::json(
        200,
        &json!({ "request_id": "1", "lease_id": "", "data": null,
            "auth": { "client_token": "hvs.CAES", "policies": ["default"], "lease_duration": seconds, "renewable": true } }),
    )
}

/// An answer to a read with the token of [`logged_in`].
#[track_caller]
fn read(received: &Received, lease: u64, data: Value) -> Reply {
    assert_eq!(received.method, "GET");
    assert_eq!(received.header("x-vault-request"), Some("true"));
    assert_eq!(received.header("x-vault-token"), Some("hvs.CAES"));
    assert_eq!(received.header("authorization"), None);
    let mut answer = json!({ "lease_id": "x/1", "renewable": false, "lease_duration": lease, "auth": null });
    answer["data"] = data;
    Reply::json(200, &answer)
}

fn refused(said: &str) -> Reply {
    Reply::json(400, &json!({ "errors": [said] }))
}

/// A server that answers each path by itself, and a node that has an entry for it.
#[track_caller]
fn node(settings: &[&str], secret: &str, reply: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> (Fake, Node) {
    let (fake, node) = (Fake::https(reply), Node::new());
    add(&node, &fake, settings, secret);
    (fake, node)
}

#[track_caller]
fn add(node: &Node, fake: &Fake, settings: &[&str], secret: &str) {
    let (address, trust) = (format!("address={}", fake.url()), ca_file(node));
    let settings: Vec<&str> = [address.as_str(), &trust].into_iter().chain(settings.iter().copied()).collect();
    login(node, "r.test", "vault", &settings, secret).done();
}

fn kubernetes(received: &Received) -> Reply {
    match received.target.as_str() {
        "/v1/auth/kubernetes/login" => {
            let body = received.json();
            assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), ["jwt", "role"]);
            if body["role"] == "pull" { logged_in(received, 3600) } else { refused("invalid role name \"other\"") }
        }
        "/v1/kv/registry" => {
            assert_eq!(received.header("x-vault-namespace"), None);
            read(received, 2_764_800, json!({ "username": "robot", "password": "from-kv" }))
        }
        other => panic!("{other}"),
    }
}

/// The pod's own token logs in, and what comes of it is for pods of this service account alone.
#[test]
fn a_pods_service_account_logs_in() {
    let settings = ["auth=kubernetes", "role=pull", "kv-version=1", "path=/kv/registry", "token-audience=vault"];
    let (fake, node) = node(&settings, "", kubernetes);
    for (name, count) in [("builder", 2), ("builder", 2), ("deployer", 4), ("builder", 4)] {
        let token = pod_token("team-a", name);
        let (user, password, seconds, key) = parts(ask_for_pod(&node, "r.test/a", &token, "10s"));
        assert_eq!((user.as_str(), password.as_str(), key.as_str()), ("robot", "from-kv", "r.test"));
        // A secret of KV may change at any time, whatever `lease_duration` it is given.
        assert_kept(seconds, 300 - 60 - 150);
        assert_eq!(fake.count(), count, "{name}");
        if count > 2 || name == "deployer" {
            assert!(fake.received().iter().any(|received| received.target.contains("login")));
        }
        if (name, count) == ("deployer", 4) {
            assert_eq!(fake.received()[2].json(), json!({ "role": "pull", "jwt": token }));
        }
    }
    // Without a pod there is nobody else to be.
    assert_needs_pod(&node, "r.test/a");
}

/// Vault's plugins end with success and an empty answer when the role is wrong, and the kubelet pulls anonymously.
#[test]
fn peer_bug_a_wrong_role_is_a_failure_and_not_an_empty_answer() {
    let settings = ["auth=kubernetes", "role=other", "kv-version=1", "path=kv/registry"];
    let (fake, node) = node(&settings, "a.stored.token", kubernetes);
    let expected = format!(
        "keyring-credential-provider: r.test: `{}/v1/auth/kubernetes/login` answered 400: invalid role name \"other\"; check what is \
         stored with `keyring-credential-provider explain`\n",
        fake.url()
    );
    assert_eq!(ask(&node, "r.test/a", "5s"), Run::new(1, "", &expected));
}

/// Vault's plugins take the server's address from an annotation of the service account, which then learns the token.
#[test]
fn peer_bug_no_annotation_chooses_address_role_or_path() {
    let evil = Fake::https(|_| Reply::Close);
    let settings = ["auth=kubernetes", "role=pull", "kv-version=1", "path=kv/registry", "token-audience=vault"];
    let (fake, node) = node(&settings, "", kubernetes);
    let names = ["vault-addr", "address", "secrets-store.csi.k8s.io/vault-address", "role", "path", "namespace"];
    let annotations = names.iter().map(|name| ((*name).to_owned(), json!(evil.url())));
    let request = pod_request("r.test/a", &pod_token("team-a", "builder"), &Value::Object(annotations.collect()));
    assert_eq!(parts(node.run(&["get-credentials"], request)).1, "from-kv");
    assert_eq!((evil.count(), fake.count()), (0, 2));
}

#[test]
fn a_stored_token_logs_in_by_jwt_at_another_mount() {
    let settings =
        ["auth=jwt", "mount=oidc/nodes", "path=secret/data/team/registry", "kv-version=2", "username=puller"];
    let (_fake, node) = node(&settings, "stored.jwt.token", |received| match received.target.as_str() {
        "/v1/auth/oidc/nodes/login" => {
            // Without `role`, the mount's default role counts.
            assert_eq!(received.json(), json!({ "jwt": "stored.jwt.token" }));
            logged_in(received, 0)
        }
        "/v1/secret/data/team/registry" => {
            let metadata = json!({ "version": 3, "deletion_time": "", "destroyed": false });
            read(received, 0, json!({ "data": { "password": "from-kv2" }, "metadata": metadata }))
        }
        other => panic!("{other}"),
    });
    let (user, password, seconds, _) = parts(ask(&node, "r.test/a", "10s"));
    assert_eq!((user.as_str(), password.as_str()), ("puller", "from-kv2"));
    assert_kept(seconds, 300 - 60 - 150);
}

#[test]
fn a_certificate_logs_in() {
    let fake = Fake::mutual_tls(|received| match received.target.as_str() {
        "/v1/auth/cert/login" => {
            assert!(received.has_certificate);
            assert_eq!(received.json(), json!({ "name": "nodes" }));
            logged_in(received, 3600)
        }
        "/v1/secret/data/registry" => {
            assert!(received.has_certificate);
            read(received, 0, json!({ "data": { "username": "node", "password": "by-certificate" } }))
        }
        other => panic!("{other}"),
    });
    let node = Node::new();
    add(&node, &fake, &["auth=cert", "role=nodes", "path=secret/data/registry", "kv-version=2"], authority().client());
    let (user, password, _, _) = parts(ask(&node, "r.test/a", "10s"));
    assert_eq!((user.as_str(), password.as_str(), fake.count()), ("node", "by-certificate", 2));
}

/// A lease ends with the token that it hangs on.
#[test]
fn a_lease_is_good_as_long_as_its_token() {
    for (token, lease, kept) in
        [(1800, 7200, 1800 - 960), (7200, 1800, 1800 - 960), (0, 3600, 3600 - 960), (3600, 0, 3600 - 960), (0, 0, 90)]
    {
        let settings = ["auth=approle", "--username id", "path=db/creds/pull"];
        let (_fake, node) = node(&settings, "s", move |received| match received.target.as_str() {
            "/v1/auth/approle/login" => logged_in(received, token),
            _ => read(received, lease, json!({ "username": "u", "password": "p" })),
        });
        assert_kept(parts(ask(&node, "r.test/a", "10s")).2, kept);
    }
}

/// One lease for a burst of images, not one for each: leases that pile up bring Vault down.
#[test]
fn a_lease_is_made_once() {
    let count = AtomicUsize::new(0);
    let settings = ["auth=approle", "--username id", "path=db/creds/pull"];
    let (fake, node) = node(&settings, "s", move |received| match received.target.as_str() {
        "/v1/auth/approle/login" => logged_in(received, 3600),
        _ => {
            let number = count.fetch_add(1, Ordering::Relaxed) + 1;
            read(received, 3600, json!({ "username": "u", "password": format!("lease-{number}") }))
        }
    });
    for image in ["r.test/a", "r.test/b", "r.test/c"] {
        assert_eq!(parts(ask(&node, image, "10s")).1, "lease-1");
    }
    assert_eq!(fake.count(), 2);
}

#[test]
fn what_is_read_must_be_there() {
    let approle = ["auth=approle", "--username id"];
    for (settings, reply, reason) in [
        (
            &["path=secret/registry"][..],
            Reply::json(200, &json!({ "data": { "data": { "password": "p-of-kv2" }, "metadata": {} } })),
            "/v1/secret/registry` answered with something else than was asked for: a secret of KV version 2; set `kv-version=2`",
        ),
        (
            &["path=kv/registry", "kv-version=1", "username=u", "password-field=token"],
            Reply::json(200, &json!({ "data": { "password": "p-of-kv1" } })),
            "/v1/kv/registry` answered with something else than was asked for: no text in the field `token`",
        ),
        (
            &["path=secret/data/none", "kv-version=2"],
            Reply::json(404, &json!({ "errors": [] })),
            "/v1/secret/data/none` answered 404 (no secret is at this path)",
        ),
        (
            &["path=secret/data/forbidden", "kv-version=2"],
            Reply::json(403, &json!({ "errors": ["1 error occurred:\n\t* permission denied\n\n"] })),
            "/v1/secret/data/forbidden` answered 403: 1 error occurred:\u{fffd}\u{fffd}* permission denied",
        ),
    ] {
        let settings: Vec<&str> = approle.iter().chain(settings).copied().collect();
        let (fake, node) = node(&settings, "s", move |received| match received.target.as_str() {
            "/v1/auth/approle/login" => logged_in(received, 3600),
            _ => reply.clone(),
        });
        let run = ask(&node, "r.test/a", "5s");
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{run:?}");
        assert!(run.stderr.contains(&format!("`{}{reason}", fake.url())), "{reason}: {}", run.stderr);
        assert!(!run.stderr.contains("p-of-kv") && !run.stderr.contains("hvs."), "{}", run.stderr);
    }
}

#[test]
fn login_says_what_is_wrong() {
    let node = Node::new();
    let with = |rest: &[&'static str]| [&["address=https://v.test", "path=secret/data/r"], rest].concat();
    for (settings, secret, error) in [
        (vec![], "", "issuer `vault` needs `address`, `auth`, `path`; give them as settings"),
        (with(&["auth=kubernetes"]), "", "issuer `vault` needs `role`; give them as settings"),
        (with(&["auth=ldap"]), "", "setting `auth` is none of `kubernetes`, `jwt`, `approle`, `cert`"),
        (with(&["auth=approle"]), "s", "issuer `vault` needs a user; use `--username`"),
        (
            with(&["auth=approle", "-u id"]),
            "",
            "no terminal to ask for the password; use `--password-stdin` or `--password-file`",
        ),
        (with(&["auth=jwt", "-u id"]), "", "issuer `vault` takes no user with these settings"),
        (with(&["auth=jwt"]), "a b", "issuer `vault` needs a secret of printable characters"),
        (
            with(&["auth=cert"]),
            "no certificate",
            "issuer `vault` needs a password, which is a certificate and its key in PEM",
        ),
        (with(&["auth=jwt", "mount=../sys"]), "", "setting `mount` is no path such as `secret/data/registry`"),
        (with(&["auth=jwt", "namespace=a b"]), "", "setting `namespace` is no path such as `secret/data/registry`"),
        (
            vec!["address=https://v.test", "auth=jwt", "path=secret/r", "kv-version=2"],
            "",
            "setting `path` is no path of KV version 2 as the API has it, such as `secret/data/registry`",
        ),
        (
            vec!["address=http://v.test", "auth=jwt", "path=secret/r"],
            "",
            "setting `address` is plain HTTP, which is allowed to loopback and metadata addresses only",
        ),
        (
            with(&["auth=jwt", "token=x"]),
            "",
            "issuer `vault` has no setting `token`; it takes `address`, `allow`, `auth`, `ca-file`, `cache`, `kv-version`, `mount`, \
             `namespace`, `password-field`, `path`, `require-service-account`, `role`, `timeout`, `token-audience`, `token-cache`, \
             `username-field`, `username`",
        ),
    ] {
        let run = login(&node, "r.test", "vault", &settings, secret);
        assert_eq!(run, Run::new(2, "", &format!("error: {error}\n")), "{settings:?}");
    }
    // A key that belongs to another certificate.
    let (certificate, other) = (authority().client(), rcgen::KeyPair::generate().unwrap().serialize_pem());
    let mixed = format!("{}{other}", certificate.split("-----BEGIN PRIVATE KEY").next().unwrap());
    let run = login(&node, "r.test", "vault", &with(&["auth=cert"]), &mixed);
    let error = "error: issuer `vault` needs a password, which is a certificate and its key in PEM\n";
    assert_eq!(run, Run::new(2, "", error));
}
