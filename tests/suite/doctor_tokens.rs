//! `doctor` on what the kubelet is told of service accounts.

use std::fs;

use crate::node::{Tree, k3s};
use crate::support::{BINARY, Run, run};

const CONFIG: &str = "/var/lib/rancher/credentialprovider/config.yaml";
const REMEDY: &str = "`keyring-credential-provider config generate` prints `tokenAttributes`; then restart the kubelet, or run `node apply`";

/// A node that `node apply` left as its store wants it.
fn tree(settings: &[&str]) -> Tree {
    let tree = k3s();
    fs::create_dir_all(tree.path("/var/lib")).unwrap();
    operate(&tree, &["store", "init", "--key-source", "host-key"]);
    login(&tree, "a.azurecr.io", settings);
    tree.wish("apply", &["--yes", "--match-image", "a.azurecr.io"]).done();
    tree
}

#[track_caller]
fn operate(tree: &Tree, arguments: &[&str]) {
    let mut command = std::process::Command::new(BINARY);
    let store = tree.path("/var/lib/keyring-credential-provider");
    let run = run(command.arg("--store").arg(store).args(arguments).env_clear(), "password");
    assert_eq!(run.code, 0, "{run:?}");
}

#[track_caller]
fn login(tree: &Tree, scope: &str, settings: &[&str]) {
    let issuer = ["login", scope, "--issuer", "azure-acr", "--set", "source=workload-identity"];
    let settings = settings.iter().flat_map(|setting| ["--set", setting]);
    operate(tree, &issuer.into_iter().chain(settings).collect::<Vec<_>>());
}

/// The findings about tokens: severity, code and message of each.
#[track_caller]
fn findings(tree: &Tree) -> Vec<(String, String, String)> {
    let mut command = std::process::Command::new(BINARY);
    let version = ["--kubelet-version", "v1.34.2+k3s1"];
    command.args(["doctor", "--output", "json", "--root"]).arg(tree.dir.path()).args(version).env_clear();
    let Run { stdout, .. } = run(&mut command, "");
    let all: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let all = all["findings"].as_array().or(all.as_array()).unwrap();
    let of_tokens = all.iter().filter(|one| one["code"].as_str().unwrap().starts_with("token-"));
    let text = |one: &serde_json::Value, field: &str| one[field].as_str().unwrap().to_owned();
    of_tokens
        .map(|one| {
            assert_eq!(one["file"], CONFIG);
            (text(one, "severity"), text(one, "code"), format!("{} / {}", text(one, "message"), text(one, "remedy")))
        })
        .collect()
}

#[track_caller]
fn finds(tree: &Tree, expected: &[(&str, &str, &str)]) {
    let expected = expected
        .iter()
        .map(|(severity, code, message)| ((*severity).to_owned(), (*code).to_owned(), format!("{message} / {REMEDY}")));
    assert_eq!(findings(tree), expected.collect::<Vec<_>>());
}

fn edit(tree: &Tree, old: &str, new: &str) {
    let text = tree.text(CONFIG);
    assert!(text.contains(old), "{text}");
    fs::write(tree.path(CONFIG), text.replace(old, new)).unwrap();
}

#[test]
fn what_node_apply_wrote_is_right() {
    finds(&tree(&[]), &[]);
    finds(&tree(&["token-audience=own", "token-cache=token"]), &[]);
}

#[test]
fn each_thing_that_the_kubelet_is_not_told_is_found() {
    let tree = tree(&["token-cache=token"]);
    let good = tree.text(CONFIG);
    edit(&tree, "api://AzureADTokenExchange", "other");
    let audience =
        "the kubelet has tokens made for `other`, and for `api://AzureADTokenExchange` is needed for `a.azurecr.io`";
    finds(&tree, &[("error", "token-audience", audience)]);

    fs::write(tree.path(CONFIG), &good).unwrap();
    edit(&tree, "cacheType: Token", "cacheType: ServiceAccount");
    let cache =
        "the kubelet keeps for a whole service account what is good for one token, and drops an answer that repeats it";
    finds(&tree, &[("error", "token-cache", cache)]);

    fs::write(tree.path(CONFIG), &good).unwrap();
    edit(&tree, "    - \"azure.workload.identity/client-id\"\n", "");
    let annotation = "the kubelet does not hand over the annotation `azure.workload.identity/client-id`, which is read for `a.azurecr.io`";
    finds(&tree, &[("warning", "token-annotation", annotation)]);

    fs::write(tree.path(CONFIG), good.split("  tokenAttributes:").next().unwrap()).unwrap();
    let missing = "the kubelet does not hand over the pod's token, which is needed for `a.azurecr.io`";
    finds(&tree, &[("error", "token-missing", missing)]);

    fs::write(tree.path(CONFIG), &good).unwrap();
    operate(&tree, &["login", "docker.io", "-u", "u", "--password-stdin"]);
    let left_out =
        "the kubelet asks nothing for a pod without a service account, and there are credentials for such pods";
    finds(&tree, &[("error", "token-required", left_out)]);
    operate(&tree, &["logout", "a.azurecr.io"]);
    finds(&tree, &[("error", "token-required", left_out)]);
    edit(&tree, "requireServiceAccount: true", "requireServiceAccount: false");
    finds(&tree, &[]);
}

#[test]
fn entries_that_cannot_share_a_provider_are_found() {
    let tree = tree(&[]);
    login(&tree, "b.azurecr.io", &["token-audience=own"]);
    let found = findings(&tree);
    assert_eq!(found.len(), 1, "{found:?}");
    let (severity, code, message) = &found[0];
    let expected = "the kubelet asks for one audience a provider, and the entries want several: `api://AzureADTokenExchange` for \
                    `a.azurecr.io`; `own` for `b.azurecr.io` / give them one audience";
    assert!(severity == "error" && code == "token-audience" && message.starts_with(expected), "{message}");
}
