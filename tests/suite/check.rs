//! `check` with real parts: containerd pulls from registries that want a login.

use std::fs;

use keyring_credential_provider::store::Store;
use serde_json::Value;

use crate::containerd::Containerd;
use crate::registry::{Auth, IMAGE, PASSWORD, Registry, TokenServer, USER, free_port, hosts_toml};
use crate::support::{Dir, Node, Run};

const WRONG: &str = "made-up-wrong-password";

/// Asks for a report, with the runtime where there is one, and looks for passwords in it.
#[track_caller]
pub(crate) fn check(node: &Node, containerd: Option<&Containerd>, image: &str, more: &[&str]) -> (i32, Value) {
    let mut arguments = vec!["check", image, "--output", "json"];
    let (config, endpoint);
    if let Some(containerd) = containerd {
        (config, endpoint) = (containerd.config().display().to_string(), containerd.endpoint());
        arguments.extend(["--containerd-config", &config, "--cri", &endpoint]);
    }
    let run = node.run(&[&arguments[..], more].concat(), "");
    assert_eq!(run.stderr, "");
    assert!(!run.stdout.contains(PASSWORD) && !run.stdout.contains(WRONG), "{run:#?}");
    (run.code, serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:#?}")))
}

#[track_caller]
pub(crate) fn verdict(report: &(i32, Value)) -> (i32, &str) {
    (report.0, report.1["verdict"]["word"].as_str().unwrap())
}

/// The outcomes of every attempt: at the hosts in order, and by the runtime.
pub(crate) fn outcomes(report: &Value) -> (Vec<Vec<&str>>, Vec<&str>) {
    let attempts = report["attempts"].as_array().unwrap();
    let by_hosts = attempts
        .iter()
        .map(|tried| {
            tried["hosts"].as_array().unwrap().iter().map(|answer| answer["outcome"].as_str().unwrap()).collect()
        })
        .collect();
    let pulls = report["runtime"]["attempts"].as_array();
    let by_runtime = pulls.map(|pulls| pulls.iter().map(|pulled| pulled["outcome"].as_str().unwrap()).collect());
    (by_hosts, by_runtime.unwrap_or_default())
}

pub(crate) fn warnings(report: &Value) -> Vec<&str> {
    report["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap()).collect()
}

#[test]
fn a_login_is_tried_at_the_registry_and_through_the_runtime() {
    let containerd = Containerd::start("");
    let tokens = TokenServer::start();
    for registry in [Registry::start(Auth::Basic), Registry::start(Auth::Token(&tokens))] {
        let (node, image) = (Node::new(), registry.image());
        let nothing = check(&node, Some(&containerd), &image, &[]);
        assert_eq!(verdict(&nothing), (3, "nothing-stored"), "{nothing:#?}");
        assert_eq!(outcomes(&nothing.1), (vec![vec!["refused"]], vec!["refused"]));

        node.login(&registry.host(), USER, WRONG);
        let wrong = check(&node, Some(&containerd), &image, &[]);
        assert_eq!(verdict(&wrong), (5, "refused"), "{wrong:#?}");
        assert_eq!(outcomes(&wrong.1), (vec![vec!["refused"]], vec!["refused"]));

        node.login(&registry.host(), USER, PASSWORD);
        tokens.seen();
        let right = check(&node, Some(&containerd), &image, &[]);
        assert_eq!(verdict(&right), (0, "pulls"), "{right:#?}");
        assert_eq!(outcomes(&right.1), (vec![vec!["granted"]], vec!["granted"]));
        assert_eq!(right.1["runtime"]["cleanup"], "removed");
        assert_eq!(warnings(&right.1), [""; 0]);
        let digest = right.1["attempts"][0]["hosts"][0]["manifest"]["digest"].as_str().unwrap();
        assert!(digest.starts_with("sha256:"), "{right:#?}");
        // The distribution's token server takes a form; one that does not gets a query (below).
        if right.1["hosts"][0]["challenge"] == "Bearer" {
            assert_eq!(tokens.seen().first().unwrap(), &format!("POST {USER}"));
        }

        let missing = check(&node, Some(&containerd), &registry.no_image(), &[]);
        assert_eq!(verdict(&missing), (5, "not-found"), "{missing:#?}");
    }
}

#[test]
fn what_was_pulled_is_removed_unless_it_was_there_or_shall_stay() {
    let containerd = Containerd::start("");
    let registry = Registry::start(Auth::Basic);
    let (node, image) = (Node::new(), registry.image());
    node.login(&registry.host(), USER, PASSWORD);
    for (more, cleanup) in [(&[][..], "removed"), (&[], "removed"), (&["--keep"], "kept"), (&[], "was-there")] {
        let report = check(&node, Some(&containerd), &image, more);
        assert_eq!(report.1["runtime"]["cleanup"], cleanup, "{report:#?}");
    }
}

#[test]
fn the_report_for_people_is_a_line_each() {
    let containerd = Containerd::start("");
    let registry = Registry::start(Auth::Basic);
    let node = Node::new();
    node.login(&registry.host(), USER, PASSWORD);
    let (host, config) = (registry.host(), containerd.config().display().to_string());
    let run = |more: &[&str]| {
        let arguments = ["check", &registry.image(), "--containerd-config", &config];
        node.run(&[&arguments[..], more].concat(), "")
    };
    let told = run(&[]);
    let digest = told.stdout.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap().to_owned();
    let expected = format!(
        "\
image       {host}/{IMAGE}:1
answer      key `{host}` as `{USER}`
containerd  configured by {config}
host        http://{host}/v2: wants a login, Basic
try         with key `{host}` as `{USER}`
            {host}: granted: {digest}
            the credential went to {host}
verdict     the kubelet pulls this image with a stored credential
"
    );
    assert_eq!(told, Run::new(0, &expected, ""));
    let with_runtime = run(&["--cri", &containerd.endpoint()]).done();
    let lines: Vec<&str> = with_runtime.lines().collect();
    assert!(lines[7].starts_with("runtime     containerd 1."), "{with_runtime}");
    assert!(lines[8].starts_with(&format!("pull        with key `{host}` as `{USER}`: done in ")), "{with_runtime}");
    assert_eq!(lines[9], "            the image was removed again");
}

#[test]
fn a_token_that_has_expired_is_told_from_a_wrong_password() {
    let containerd = Containerd::start("");
    let tokens = TokenServer::start();
    let registry = Registry::start(Auth::Token(&tokens));
    let node = Node::new();
    node.login(&registry.host(), USER, PASSWORD);
    tokens.set_lifetime(-3600);
    let report = check(&node, Some(&containerd), &registry.image(), &[]);
    assert_eq!(verdict(&report), (5, "refused"), "{report:#?}");
    let answer = &report.1["attempts"][0]["hosts"][0];
    assert_eq!(answer["login"][0]["status"], 200);
    assert!(answer["message"].as_str().unwrap().contains("expired already"), "{report:#?}");

    // A stored credential that has ended: the plugin fails, and the kubelet pulls without.
    tokens.set_lifetime(300);
    let store = Store::at(node.store());
    let mut ended = store.open().unwrap().credentials.remove(0);
    ended.expires_at = Some(1);
    let mut writer = store.write().unwrap();
    writer.put(ended);
    writer.commit().unwrap();
    let report = check(&node, Some(&containerd), &registry.image(), &[]);
    assert_eq!(verdict(&report), (5, "refused"), "{report:#?}");
    assert!(report.1["verdict"]["message"].as_str().unwrap().contains("stored credential has expired"), "{report:#?}");
}

#[test]
fn a_mirror_in_front_learns_what_it_cannot_use() {
    let containerd = Containerd::start("");
    let (upstream, tokens) = (Registry::start(Auth::Basic), TokenServer::start());
    let mirror = Registry::start(Auth::Token(&tokens));
    let text = format!("server = \"http://{}\"\n[host.\"http://{}\"]\n", upstream.host(), mirror.host());
    hosts_toml(&containerd.certs(), "registry.test", &text);
    let (node, image) = (Node::new(), format!("registry.test/{IMAGE}:1"));

    // The registry's login, which the mirror does not know: the pull works, and the mirror has learned it.
    node.login("registry.test", "upstream", WRONG);
    let refused = check(&node, Some(&containerd), &image, &[]);
    assert_eq!(verdict(&refused), (5, "refused"), "{refused:#?}");
    assert_eq!(outcomes(&refused.1).0, [["refused", "refused"]]);
    let learned: Vec<&Value> =
        refused.1["attempts"][0]["hosts"].as_array().unwrap().iter().map(|answer| &answer["learned"][0]).collect();
    assert_eq!(learned[1], &upstream.host());
    assert!(tokens.realm().contains(learned[0].as_str().unwrap()));

    // The mirror's login by a rule: granted by the mirror, and the registry itself is not asked.
    let rule = format!(
        "apiVersion: keyring-credential-provider/v1\nkind: Credentials\ncredentials:\n- scope: {mirror}\n  username: {USER}\n  \
         passwordFile: password\nmirrors:\n- source: registry.test\n  hosts: [\"{mirror}\"]\n",
        mirror = mirror.host()
    );
    fs::write(node.dir().join("rule.yaml"), rule).unwrap();
    fs::write(node.dir().join("password"), PASSWORD).unwrap();
    let path = node.dir().join("rule.yaml").display().to_string();
    assert_eq!(node.run(&["apply", "-f", &path], "").code, 0);
    let granted = check(&node, Some(&containerd), &image, &[]);
    assert_eq!(verdict(&granted), (0, "pulls"), "{granted:#?}");
    assert_eq!(outcomes(&granted.1), (vec![vec!["granted"]], vec!["granted"]));
    let warning = format!("`{}` learns the credential too when the hosts before it fail", upstream.host());
    assert_eq!(warnings(&granted.1), [warning.as_str()]);
}

#[test]
fn a_mirror_that_is_down_is_passed_over_and_said() {
    let containerd = Containerd::start("");
    let upstream = Registry::start(Auth::Basic);
    let down = format!("127.0.0.1:{}", free_port());
    let text = format!("server = \"http://{}\"\n[host.\"http://{down}\"]\n", upstream.host());
    hosts_toml(&containerd.certs(), "registry.test", &text);
    let (node, image) = (Node::new(), format!("registry.test/{IMAGE}:1"));
    node.login("registry.test", USER, PASSWORD);
    let report = check(&node, Some(&containerd), &image, &[]);
    assert_eq!(verdict(&report), (0, "pulls"), "{report:#?}");
    assert_eq!(outcomes(&report.1), (vec![vec!["unreachable", "granted"]], vec!["granted"]));
    let warning = format!("`{down}` is of no use for this image: connection refused");
    assert_eq!(warnings(&report.1), [warning.as_str()]);

    // And with nobody behind it.
    drop(upstream);
    let report = check(&node, Some(&containerd), &image, &[]);
    assert_eq!(verdict(&report), (1, "unreachable"), "{report:#?}");
}

#[test]
fn docker_hub_behind_another_name_gets_the_login_of_docker_hub() {
    let registry = Registry::start(Auth::Basic);
    // As Talos wrote it once: a login for the name in the image, where containerd asks another.
    let own = "[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"docker.io\".auth]\nusername = \"u\"\npassword = \"p\"\n";
    let containerd = Containerd::start(own);
    hosts_toml(&containerd.certs(), "docker.io", &format!("server = \"http://{}\"\n[host]\n", registry.host()));
    let node = Node::new();
    let image = format!("{IMAGE}:1");
    let nothing = check(&node, Some(&containerd), &image, &[]);
    assert_eq!(verdict(&nothing), (3, "nothing-stored"), "{nothing:#?}");
    let asked = registry.host();
    assert!(warnings(&nothing.1)[0].ends_with(&format!("is never used: containerd asks `{asked}`")), "{nothing:#?}");
    assert!(nothing.1["verdict"]["message"].as_str().unwrap().contains("login docker.io`"), "{nothing:#?}");

    node.login("docker.io", USER, PASSWORD);
    let report = check(&node, Some(&containerd), &image, &[]);
    assert_eq!(verdict(&report), (0, "pulls"), "{report:#?}");
    assert_eq!(report.1["image"], format!("docker.io/{IMAGE}:1"));
    assert_eq!(report.1["attempts"][0]["hosts"][0]["learned"][0], asked);
    assert!(report.1["hosts"][0]["origin"].as_str().unwrap().ends_with("docker.io/hosts.toml:1"));
}

#[test]
fn a_login_of_the_runtime_s_own_is_told_from_none() {
    let (with, without) = (Registry::start(Auth::Basic), Registry::start(Auth::Basic));
    let own = format!(
        "[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"{}\".auth]\nusername = \"{USER}\"\npassword = \"{PASSWORD}\"\n",
        with.host()
    );
    let containerd = Containerd::start(&own);
    let node = Node::new();
    let report = check(&node, Some(&containerd), &with.image(), &[]);
    assert_eq!(verdict(&report), (0, "pulls-with-runtime-login"), "{report:#?}");
    let message = report.1["verdict"]["message"].as_str().unwrap();
    assert!(message.contains("config.toml`, line ") && message.contains("login 127.0.0.1:"), "{message}");
    let report = check(&node, Some(&containerd), &without.image(), &[]);
    assert_eq!(verdict(&report), (3, "nothing-stored"), "{report:#?}");

    // What is stored is used in place of it, be it wrong.
    node.login(&with.host(), USER, WRONG);
    let report = check(&node, Some(&containerd), &with.image(), &[]);
    assert_eq!(verdict(&report), (5, "refused"), "{report:#?}");
    assert!(warnings(&report.1)[0].ends_with("is not used while the kubelet passes on a credential"), "{report:#?}");
}

#[test]
fn a_certificate_is_trusted_as_hosts_toml_says() {
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let registry = Registry::start(Auth::Tls(&certified));
    let containerd = Containerd::start("");
    let node = Node::new();
    let server = format!("server = \"https://{}\"\n", registry.host());
    hosts_toml(&containerd.certs(), "registry.test", &format!("{server}[host]\n"));
    let image = format!("registry.test/{IMAGE}:1");
    let report = check(&node, Some(&containerd), &image, &[]);
    assert_eq!(verdict(&report), (1, "unreachable"), "{report:#?}");
    assert_eq!(outcomes(&report.1), (vec![vec!["untrusted"]], vec!["untrusted"]));

    hosts_toml(&containerd.certs(), "registry.test", &format!("{server}ca = \"ca.pem\"\n[host]\n"));
    fs::write(containerd.certs().join("registry.test/ca.pem"), certified.cert.pem()).unwrap();
    let report = check(&node, Some(&containerd), &image, &[]);
    assert_eq!(verdict(&report), (0, "pulls-anonymously"), "{report:#?}");

    hosts_toml(&containerd.certs(), "registry.test", &format!("{server}skip_verify = true\n[host]\n"));
    let report = check(&node, Some(&containerd), &image, &[]);
    assert_eq!(verdict(&report), (0, "pulls-anonymously"), "{report:#?}");
    assert!(warnings(&report.1)[0].contains("is not verified"), "{report:#?}");
}

#[test]
fn a_runtime_that_is_not_there_is_said_in_one_line() {
    let node = Node::with(&["registry.test"]);
    let (dir, down) = (Dir::new(), free_port());
    hosts_toml(dir.path(), "registry.test", &format!("server = \"http://127.0.0.1:{down}\"\n[host]\n"));
    let root = dir.path().display().to_string();
    let socket = dir.path().join("none.sock").display().to_string();
    let run = node.run(&["check", "registry.test/a", "--hosts-dir", &root, "--cri", &format!("unix://{socket}")], "");
    let expected = format!(
        "error: the container runtime at `{socket}`\n  caused by: does not exist\n\
         hint: run this as root or Administrator while the runtime runs; the kubelet's `--container-runtime-endpoint` is the address\n"
    );
    assert_eq!(run, Run::new(1, "", &expected));
    let run = node.run(&["check", "registry.test/a", "--cri", "npipe:////./pipe/x"], "");
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
}
