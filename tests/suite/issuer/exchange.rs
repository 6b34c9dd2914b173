//! `exchange`: every recipe of this version against a server that verifies the whole request, and recipes of one's own.

use base64::Engine as _;
use serde_json::{Value, json};

use super::fake::{Fake, Received, Reply};
use super::faults::{Subject, WRONG, fault_matrix};
use super::{ask, ask_for_pod, assert_kept, assert_needs_pod, ca_file, login, parts, pod_token};
use crate::support::{Node, Run};

const KEY: &str = "ibm-api-key-of-44-characters";

pub(super) const SUBJECT: Subject = Subject {
    issuer: "exchange",
    scope: "de.icr.io",
    image: "de.icr.io/team/app",
    settings: |url| vec!["recipe=ibm".to_owned(), format!("url={url}")],
    secret: KEY,
    wrong: WRONG,
    by_pod: false,
    path: "/identity/token",
    reply: |received| {
        assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", "/identity/token"));
        assert_eq!(received.header("accept"), Some("application/json"));
        let form = received.form();
        let [(apikey, key), (grant_type, grant)] = form.as_slice() else { panic!("{form:?}") };
        assert_eq!((apikey.as_str(), grant_type.as_str()), ("apikey", "grant_type"));
        assert_eq!(grant, "urn:ibm:params:oauth:grant-type:apikey");
        if key != KEY {
            let said = format!("Provided API key {key} could not be found.");
            return Reply::json(400, &json!({ "errorCode": "BXNIM0415E", "message": said }));
        }
        let expiration = received.now + 3600;
        Reply::json(200, &json!({ "access_token": "iam-token", "expires_in": 3600, "expiration": expiration }))
    },
    refused: "answered 400: Provided API key *** could not be found.",
    answer: ("iambearer", "iam-token", 3600 - 60 - 900),
};

fault_matrix!(SUBJECT);

/// A node with an entry that asks this server.
#[track_caller]
fn node(
    scope: &str,
    settings: &[&str],
    secret: &str,
    reply: impl Fn(&Received) -> Reply + Send + Sync + 'static,
) -> (Fake, Node) {
    let (fake, node) = (Fake::https(reply), Node::new());
    let (url, trust) = (format!("url={}", fake.url()), ca_file(&node));
    let settings: Vec<&str> = [url.as_str(), &trust].into_iter().chain(settings.iter().copied()).collect();
    login(&node, scope, "exchange", &settings, secret).done();
    (fake, node)
}

fn web_token(life: i64) -> String {
    let claims = json!({ "iat": 1000, "exp": 1000 + life }).to_string();
    format!("e30.{}.c2ln", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(claims))
}

fn time(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds).unwrap().to_string()
}

#[track_caller]
fn assert_request(received: &Received, method: &str, target: &str) {
    assert_eq!((received.method.as_str(), received.target.as_str()), (method, target));
    assert_eq!(received.header("accept"), Some("application/json"));
}

/// Cloudsmith's plugin rounds a token's life down to whole hours, so that one of an hour is asked for at every pull.
#[test]
fn peer_bug_cloudsmith_tokens_of_an_hour_are_cached() {
    let (image, token) = ("docker.cloudsmith.io/acme/r/app", pod_token("team-a", "builder"));
    let sent = token.clone();
    let settings = ["recipe=cloudsmith", "organization=acme", "service=nodes-x1y2", "token-audience=cloudsmith"];
    let (fake, node) = node("docker.cloudsmith.io", &settings, "", move |received| {
        assert_request(received, "POST", "/openid/acme/");
        assert_eq!(received.json(), json!({ "oidc_token": sent, "service_slug": "nodes-x1y2" }));
        assert_eq!(received.header("authorization"), None);
        Reply::json(201, &json!({ "token": web_token(3600) }))
    });
    let (user, password, seconds, _) = parts(ask_for_pod(&node, image, &token, "10s"));
    assert_eq!((user.as_str(), password), ("token", web_token(3600)));
    assert_kept(seconds, 3600 - 60 - 900);
    parts(ask_for_pod(&node, image, &token, "10s"));
    assert_eq!(fake.count(), 1);
}

/// Two pods of different service accounts never share a credential, and there is none for a pull without one.
#[test]
fn a_pods_token_is_exchanged_for_its_service_account_alone() {
    let settings = ["recipe=cloudsmith", "organization=acme", "service=s", "token-audience=cloudsmith"];
    let (fake, node) = node("r.test", &settings, "", |received| {
        let sent = received.json()["oidc_token"].as_str().unwrap().len();
        Reply::json(201, &json!({ "token": format!("for-{sent}") }))
    });
    let get = |name: &str| parts(ask_for_pod(&node, "r.test/a", &pod_token("team-a", name), "10s")).1;
    let (first, second) = (get("builder"), get("another-builder"));
    assert_ne!(first, second);
    assert_eq!((get("builder"), get("another-builder"), fake.count()), (first, second, 2));
    assert_needs_pod(&node, "r.test/a");
}

#[test]
fn chainguard() {
    let settings = ["recipe=chainguard", "identity=720909c9/a1b2"];
    let (_fake, node) = node("cgr.dev", &settings, "oidc-token", |received| {
        assert_request(received, "POST", "/sts/exchange");
        assert_eq!(received.header("authorization"), Some("Bearer oidc-token"));
        let pairs = [("aud", "cgr.dev"), ("identity", "720909c9/a1b2")];
        assert_eq!(received.form(), pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Reply::json(200, &json!({ "token": "cg", "refresh_token": "", "expiry": time(received.now + 1800) }))
    });
    let (user, password, seconds, _) = parts(ask(&node, "cgr.dev/acme/app", "10s"));
    assert_eq!((user.as_str(), password.as_str()), ("_token", "cg"));
    assert_kept(seconds, 1800 - 60 - 900);
}

/// JFrog's plugin says nothing about time, and the kubelet keeps its answer for the configured hours.
#[test]
fn peer_bug_jfrog_answers_say_how_long() {
    for (extra, fields) in [
        (&[][..], json!({})),
        (&["audience=jfrog", "provider-type=Generic"], json!({ "audience": "jfrog", "provider_type": "Generic" })),
    ] {
        let settings: Vec<&str> = ["recipe=jfrog", "provider=cluster"].iter().chain(extra).copied().collect();
        let (_fake, node) = node("acme.jfrog.io", &settings, "oidc-token", move |received| {
            assert_request(received, "POST", "/access/api/v1/oidc/token");
            let mut expected = json!({
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
                "subject_token_type": "urn:ietf:params:oauth:token-type:id_token",
                "subject_token": "oidc-token",
                "provider_name": "cluster",
            });
            expected.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            assert_eq!(received.json(), expected);
            Reply::json(200, &json!({ "access_token": "jf", "expires_in": 600, "username": "pull@acme" }))
        });
        let (user, password, seconds, _) = parts(ask(&node, "acme.jfrog.io/docker/app", "10s"));
        assert_eq!((user.as_str(), password.as_str()), ("pull@acme", "jf"));
        assert_kept(seconds, 600 - 60 - 300);
    }
    let (_fake, node) = node("acme.jfrog.io", &["recipe=jfrog", "provider=c", "username=own"], "t", |_| {
        Reply::json(200, &json!({ "access_token": "jf", "expires_in": 600 }))
    });
    assert_eq!(parts(ask(&node, "acme.jfrog.io/docker/app", "10s")).0, "own");
    let (fake, node) = self::node("acme.jfrog.io", &["recipe=jfrog", "provider=c"], "t", |_| {
        Reply::json(200, &json!({ "access_token": "jf", "expires_in": 600 }))
    });
    let run = ask(&node, "acme.jfrog.io/docker/app", "10s");
    let reason = "something else than was asked for: no user where the recipe says; set `username`";
    assert!(run.code == 1 && run.stderr.contains(reason) && run.stderr.contains(fake.url()), "{run:?}");
}

/// Credentials that never end unless one asks for an end; Vultr's plugin keeps them for their whole life.
#[test]
fn peer_bug_digitalocean_and_vultr_credentials_end_and_are_dropped_before() {
    for (recipe, scope, setting, method, target) in [
        ("digitalocean", "registry.digitalocean.com", "name=acme", "GET", "/v2/registries/acme/docker-credentials"),
        ("vultr", "sjc.vultrcr.com", "id=b2-d4", "OPTIONS", "/v2/registry/b2-d4/docker-credentials"),
    ] {
        for (lifetime, seconds, kept) in [(None, 7200, 7200 - 960), (Some("lifetime=10m"), 600, 600 - 360)] {
            let recipe = format!("recipe={recipe}");
            let settings: Vec<&str> = [recipe.as_str(), setting].into_iter().chain(lifetime).collect();
            let target = format!("{target}?expiry_seconds={seconds}&read_write=false");
            let (_fake, node) = node(scope, &settings, "api-key", move |received| {
                assert_request(received, method, &target);
                assert_eq!(received.header("authorization"), Some("Bearer api-key"));
                assert!(received.body.is_empty());
                let pair = base64::engine::general_purpose::STANDARD.encode("user-1:pass:word");
                let auths: Value = [(scope.to_owned(), json!({ "auth": pair }))].into_iter().collect();
                Reply::json(200, &json!({ "auths": auths }))
            });
            let (user, password, seconds, key) = parts(ask(&node, &format!("{scope}/acme/app"), "10s"));
            assert_eq!((user.as_str(), password.as_str(), key.as_str()), ("user-1", "pass:word", scope));
            assert_kept(seconds, kept);
        }
    }
}

#[test]
fn harbor_makes_a_robot_for_a_day() {
    for (lifetime, days) in [("lifetime=1h", 1), ("lifetime=25h", 2)] {
        let settings = ["recipe=harbor-robot", "project=library", "-u robot-maker", lifetime];
        let (_fake, node) = node("harbor.test", &settings, "s3cr3t", move |received| {
            assert_request(received, "POST", "/api/v2.0/robots");
            assert_eq!(received.basic(), Some(("robot-maker".to_owned(), "s3cr3t".to_owned())));
            let mut body = received.json();
            let name = body["name"].take();
            let name = name.as_str().unwrap();
            let unique = name.strip_prefix("kubelet-").unwrap();
            assert!(unique.len() == 8 && unique.bytes().all(|b| b.is_ascii_hexdigit()), "{name}");
            let access = json!([{ "resource": "repository", "action": "pull" }]);
            let permissions = json!([{ "kind": "project", "namespace": "library", "access": access }]);
            let expected = json!({ "name": null, "duration": days, "level": "project", "permissions": permissions });
            assert_eq!(body, expected);
            let ends = received.now + days * 86_400;
            let name = format!("robot$library+{name}");
            Reply::json(201, &json!({ "id": 7, "name": name, "secret": "robot-secret", "expires_at": ends }))
        });
        let (user, password, seconds, _) = parts(ask(&node, "harbor.test/library/app", "10s"));
        assert!(user.starts_with("robot$library+kubelet-"), "{user}");
        assert_eq!(password, "robot-secret");
        assert_kept(seconds, 6 * 3600);
    }
}

#[test]
fn gitlab_makes_a_deploy_token_that_ends() {
    for (settings, target) in [
        (&["id=acme/app"][..], "/api/v4/projects/acme%2Fapp/deploy_tokens"),
        (&["id=42", "of=groups"], "/api/v4/groups/42/deploy_tokens"),
    ] {
        let rest = ["recipe=gitlab-deploy-token", "lifetime=2h"];
        let settings: Vec<&str> = rest.iter().chain(settings).copied().collect();
        let (_fake, node) = node("registry.gitlab.com", &settings, "glpat-x", move |received| {
            assert_request(received, "POST", target);
            assert_eq!(received.header("private-token"), Some("glpat-x"));
            let body = received.json();
            assert_eq!(body["scopes"], json!(["read_registry"]));
            assert_eq!(body.as_object().unwrap().len(), 3);
            let ends = body["expires_at"].as_str().unwrap();
            let left = ends.parse::<jiff::Timestamp>().unwrap().as_second() - received.now;
            assert!((7195..=7200).contains(&left), "{left}");
            Reply::json(201, &json!({ "username": "gitlab+deploy-token-1", "token": "gldt-1", "expires_at": ends }))
        });
        let (user, password, seconds, _) = parts(ask(&node, "registry.gitlab.com/acme/app", "10s"));
        assert_eq!((user.as_str(), password.as_str()), ("gitlab+deploy-token-1", "gldt-1"));
        assert_kept(seconds, 7200 - 60 - 900);
    }
}

/// A recipe of one's own has every part that those of this version have.
#[test]
fn a_recipe_can_be_given_as_json() {
    let recipe = r#"{"proof":"key","path":"/t/{tenant}?for={registry}","headers":{"x-key":"{secret}","x-none":"{none=}"},
        "form":{"a":"{user} {tenant}","b":"{empty=}"},"answer":{"username":"{user}","password":"/a/0/x~1y","expires":"/ttl",
        "expires-as":"duration"}}"#;
    let recipe = format!("recipe={recipe}");
    let settings = [recipe.as_str(), "tenant=a/b&c", "-u bot"];
    let (_fake, node) = node("*.test", &settings, "k3y", |received| {
        assert_request(received, "POST", "/t/a%2Fb%26c?for=r.test");
        assert_eq!(received.header("x-key"), Some("k3y"));
        assert_eq!(received.header("x-none"), None);
        assert_eq!(received.form(), [("a".to_owned(), "bot a/b&c".to_owned())]);
        Reply::json(200, &json!({ "a": [{ "x/y": "own-token" }], "ttl": "30m0.5s" }))
    });
    let (user, password, seconds, _) = parts(ask(&node, "r.test/a", "10s"));
    assert_eq!((user.as_str(), password.as_str()), ("bot", "own-token"));
    assert_kept(seconds, 1800 - 60 - 900);
}

/// The registry of the image is chosen by whoever writes the pod; whom to ask is not.
#[test]
fn peer_bug_no_image_chooses_whom_to_ask() {
    let node = Node::new();
    let run = login(&node, "*.jfrog.io", "exchange", &["recipe=jfrog", "provider=c"], "t");
    assert_eq!(run, Run::new(2, "", "error: issuer `exchange` needs `url`; give them as settings\n"));
}

#[test]
fn login_says_what_is_wrong() {
    let node = Node::new();
    let names =
        "`chainguard`, `cloudsmith`, `digitalocean`, `gitlab-deploy-token`, `harbor-robot`, `ibm`, `jfrog`, `vultr`";
    let custom = |text: &str| format!("recipe={text}");
    let small = |path: &str, answer: &str| custom(&format!(r#"{{"proof":"key","path":"{path}","answer":{answer}}}"#));
    let answer = r#"{"username":"u","password":"/t"}"#;
    for (settings, secret, error) in [
        (vec![], "s", "issuer `exchange` needs `recipe`; give them as settings".to_owned()),
        (vec!["recipe=quay".to_owned()], "s", format!("setting `recipe` is none of {names}, and no recipe in JSON")),
        (
            vec!["recipe=cloudsmith".to_owned()],
            "",
            "issuer `exchange` needs `organization`, `service`; give them as settings".to_owned(),
        ),
        (
            vec!["recipe=ibm".to_owned(), "organization=x".to_owned()],
            "s",
            "issuer `exchange` has no setting `organization`; it takes `allow`, `ca-file`, `cache`, `recipe`, \
             `require-service-account`, `timeout`, `token-audience`, `token-cache`, `url`, `username`"
                .to_owned(),
        ),
        (
            vec!["recipe=ibm".to_owned()],
            "",
            "no terminal to ask for the password; use `--password-stdin` or `--password-file`".to_owned(),
        ),
        (
            vec!["recipe=ibm".to_owned(), "-u me".to_owned()],
            "s",
            "issuer `exchange` takes no user with these settings".to_owned(),
        ),
        (
            vec!["recipe=harbor-robot".to_owned(), "project=p".to_owned()],
            "s",
            "issuer `exchange` needs a user; use `--username`".to_owned(),
        ),
        (
            vec!["recipe=vultr".to_owned(), "id=1".to_owned(), "lifetime=1s".to_owned()],
            "s",
            "setting `lifetime` is no duration such as `2h`, from five minutes to 30 days".to_owned(),
        ),
        (
            vec!["recipe=ibm".to_owned(), "url=http://iam.test".to_owned()],
            "s",
            "setting `url` is plain HTTP, which is allowed to loopback and metadata addresses only".to_owned(),
        ),
        (
            vec![custom(r#"{"proof":"key","s3cr3t":1}"#)],
            "s",
            "setting `recipe` is no recipe: something is wrong at line 1 column 23".to_owned(),
        ),
        (
            vec![small("/{secret}", answer)],
            "s",
            "setting `recipe` is no recipe: `path` has the secret in it, where every log would keep it".to_owned(),
        ),
        (
            vec![small("/{a", answer)],
            "s",
            "setting `recipe` is no recipe: a `{` or `}` is wrong in one of its texts".to_owned(),
        ),
        (
            vec![small("/a", r#"{"password":"/t"}"#)],
            "s",
            "setting `recipe` is no recipe: `answer` needs `username` and a pointer `password`, or a pointer `pair`"
                .to_owned(),
        ),
        (
            vec![small("/{until}", answer)],
            "s",
            "setting `recipe` is no recipe: it needs a `lifetime` for `{lifetime}`, `{days}` and `{until}`".to_owned(),
        ),
        (vec![small("/a", answer)], "s", "issuer `exchange` needs `url`; give them as settings".to_owned()),
    ] {
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        let run = login(&node, "r.test", "exchange", &settings, secret);
        assert_eq!(run, Run::new(2, "", &format!("error: {error}\n")), "{settings:?}");
    }
}

#[test]
fn what_is_not_where_the_recipe_says_is_named_and_not_shown() {
    for (settings, reply, reason) in [
        (&["recipe=ibm"][..], json!({ "token": "odd-one" }), "no text where the recipe says"),
        (
            &["recipe=digitalocean", "name=acme"],
            json!({ "auths": { "r.test": { "auth": "odd-one" } } }),
            "no user and password in base64 where the recipe says",
        ),
    ] {
        let (fake, node) = node("r.test", settings, "key", move |_| Reply::json(200, &reply));
        let run = ask(&node, "r.test/a", "5s");
        assert_eq!((run.code, run.stdout.as_str(), fake.count()), (1, "", 1), "{run:?}");
        let expected = format!("answered with something else than was asked for: {reason};");
        assert!(run.stderr.contains(&expected) && !run.stderr.contains("odd-one"), "{}", run.stderr);
    }
}
