//! Registries with mirrors: whose credential is answered, under which keys, and what `explain` says of it.

use keyring_credential_provider::kubelet::keyring;
use keyring_credential_provider::mirror::{self, MirrorRule, Policy, Source};
use keyring_credential_provider::store::Store;

use crate::support::{Node, Run, answer};

/// Stores a rule as `import` does.
fn mirror(node: &Node, source: &str, hosts: &[&str], policy: Policy) {
    let source: Source = source.parse().unwrap();
    let hosts = hosts.iter().map(|text| mirror::host(text).unwrap()).collect();
    let store = Store::at(node.store());
    let mut writer = store.write().unwrap();
    writer.put_mirror(MirrorRule { source, hosts, policy, origin: "test".to_owned() });
    writer.commit().unwrap();
}

/// Returns auth keys and user names in the order in which they are written.
fn chain(node: &Node, image: &str) -> Vec<(String, String)> {
    let stdout = node.ask(image).done();
    let auth = &stdout[stdout.find(r#""auth":{"#).unwrap() + 8..];
    let parts: Vec<&str> = auth.split('"').collect();
    parts.windows(5).filter(|w| w[2] == "username").map(|w| (w[0].to_owned(), w[4].to_owned())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(key, user)| ((*key).to_owned(), (*user).to_owned())).collect()
}

#[test]
fn each_policy_answers_with_its_chain() {
    let table: [(Policy, &[(&str, &str)]); 4] = [
        (Policy::MirrorOnly, &[("docker.io", "user-1")]),
        (Policy::MirrorThenUpstream, &[("docker.io", "user-1"), ("*.io", "user-0")]),
        (Policy::UpstreamThenMirror, &[("docker.io", "user-0"), ("*.io", "user-1")]),
        (Policy::UpstreamOnly, &[("docker.io", "user-0")]),
    ];
    for (policy, expected) in table {
        let node = Node::with(&["docker.io", "mirror.test:5000"]);
        mirror(&node, "docker.io", &["mirror.test:5000"], policy);
        assert_eq!(chain(&node, "nginx"), pairs(expected), "{policy}");
    }
}

#[test]
fn the_kubelet_tries_every_chain_in_its_order() {
    // With the model of the kubelet's keyring here; with the keyring itself in tests/kubelet.
    for registry in [
        "docker.io",
        "registry.k8s.io",
        "localhost:5000",
        "10.0.0.1:5000",
        "[::1]:5000",
        "registry.test",
        "a.b.c.test:443",
    ] {
        let node = Node::with(&[registry, "one.mirror.test", "two.mirror.test:5000"]);
        mirror(&node, registry, &["one.mirror.test", "two.mirror.test:5000"], Policy::MirrorThenUpstream);
        let image = format!("{registry}/team/app");
        let chain = chain(&node, &image);
        let users: Vec<_> = chain.iter().map(|(_, user)| user.as_str()).collect();
        let labels = registry.split(':').next().unwrap().split('.').count();
        let expected = ["user-1", "user-2", "user-0"];
        assert_eq!(users, expected[..expected.len().min(labels + 1)], "{registry}");
        let keys: Vec<_> = chain.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(keyring::lookup(&keys, &image), keys, "{registry}");
    }
}

#[test]
fn the_upstream_credential_is_withheld_from_a_mirror_without_one() {
    let node = Node::with(&["docker.io"]);
    mirror(&node, "docker.io", &["mirror.test"], Policy::default());
    assert_eq!(node.ask("nginx"), Run::new(0, &answer("v1", "Image", "0s", ""), ""));
    let expected = "\
image       docker.io/library/nginx
mirrors     mirror.test, policy `mirror-only`
credential  none; the kubelet pulls with other credentials, or anonymously
considered  yes docker.io: most specific, but withheld from the mirrors
warning     the credential for `docker.io` is withheld: the mirrors `mirror.test` would learn it; policy `mirror-only` says so
";
    assert_eq!(node.run(&["explain", "nginx"], ""), Run::new(3, expected, ""));
}

#[test]
fn explain_shows_the_chain_and_every_leak() {
    let node = Node::with(&["docker.io", "mirror.test"]);
    mirror(&node, "docker.io", &["mirror.test"], Policy::MirrorThenUpstream);
    let expected = "\
image       docker.io/library/nginx
mirrors     mirror.test, policy `mirror-then-upstream`
credential  mirror.test as `user-1`, by issuer `static`
answer      key `docker.io`, then `*.io`, good for every image of the registry, kept by the kubelet for 0 seconds
considered  yes docker.io: most specific; number 2 of the answer
            yes mirror.test: for the mirror `mirror.test`; number 1 of the answer
warning     the mirrors `mirror.test` learn the credential for `docker.io` when they ask; policy `mirror-then-upstream` allows it
warning     when no mirror has the image, `docker.io` learns the credential for `mirror.test`
";
    assert_eq!(node.run(&["explain", "nginx"], ""), Run::new(0, expected, ""));
    let json: serde_json::Value =
        serde_json::from_str(&node.run(&["explain", "nginx", "--output", "json"], "").done()).unwrap();
    assert_eq!(
        json["mirrors"],
        serde_json::json!([{ "source": "docker.io", "hosts": ["mirror.test"], "policy": "mirror-then-upstream" }])
    );
}

#[test]
fn rules_follow_docker_hubs_names_and_the_registry_itself_is_no_mirror() {
    let node = Node::with(&["docker.io", "mirror.test"]);
    mirror(&node, "index.docker.io", &["mirror.test", "registry-1.docker.io"], Policy::MirrorOnly);
    for image in ["nginx", "registry-1.docker.io/library/nginx"] {
        let host = image.split_once("/library").map_or("docker.io", |(host, _)| host);
        assert_eq!(chain(&node, image), pairs(&[(host, "user-1")]), "{image}");
    }
}

#[test]
fn a_rule_of_its_own_comes_before_the_one_for_every_registry() {
    let node = Node::with(&["one.test", "two.test", "r.test"]);
    mirror(&node, "*", &["one.test"], Policy::MirrorOnly);
    mirror(&node, "r.test", &["two.test"], Policy::MirrorOnly);
    assert_eq!(chain(&node, "r.test/a"), pairs(&[("r.test", "user-1")]));
    assert_eq!(chain(&node, "other.test/a"), pairs(&[("other.test", "user-0")]));
}

#[test]
fn path_scopes_of_a_mirror_are_answered_by_image() {
    let node = Node::with(&["docker.io", "mirror.test/library"]);
    mirror(&node, "docker.io", &["mirror.test"], Policy::MirrorThenUpstream);
    assert_eq!(chain(&node, "nginx"), pairs(&[("docker.io/library/nginx", "user-1"), ("docker.io", "user-0")]));
    assert_eq!(chain(&node, "acme/app"), pairs(&[("docker.io/acme/app", "user-0")]));
}

#[test]
fn rules_survive_other_writers_and_rekey() {
    let node = Node::with(&["docker.io", "mirror.test"]);
    mirror(&node, "docker.io", &["mirror.test"], Policy::MirrorOnly);
    node.login("r.test", "u", "p");
    node.run(&["store", "rekey"], "").done();
    assert_eq!(chain(&node, "nginx"), pairs(&[("docker.io", "user-1")]));
    let store = Store::at(node.store());
    let mut writer = store.write().unwrap();
    assert!(writer.remove_mirror(&"docker.io".parse().unwrap()));
    writer.commit().unwrap();
    assert_eq!(chain(&node, "nginx"), pairs(&[("docker.io", "user-0")]));
}

#[test]
fn what_is_no_rule_is_refused() {
    for (text, expected) in [
        ("r.test/team", "a mirror rule is for a host, without a path"),
        ("*.test", "a mirror rule is for one host, without a wildcard, or for `*`"),
        ("", "scope is empty; give a registry such as `registry.example.com` or `docker.io`"),
    ] {
        assert_eq!(text.parse::<Source>().unwrap_err().to_string(), expected, "{text}");
    }
}
