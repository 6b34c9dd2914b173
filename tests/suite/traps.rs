//! The known ways in which a kubelet credential provider goes wrong without a word, each with a test of its name.
//!
//! The first part are traps of the kubelet's contract; the second, bugs that other providers had. Where a module of this suite
//! or the tests with real kubelet code show more of the same, the comment says which.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::{Node, Run, answer, request, request_in};

fn auth_of(run: Run) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(&run.done()).unwrap()["auth"].clone()
}

#[test]
fn trap_01_silent_anonymous_fall_back_is_explained() {
    let node = Node::with(&["r.test"]);
    let told = node.run(&["explain", "r.test:443/a"], "");
    assert_eq!(told.code, 3);
    assert!(
        told.stdout.contains("no  r.test: other port; a scope without port is not for an image with one"),
        "{}",
        told.stdout
    );
}

#[test]
fn trap_02_stdout_holds_exactly_the_five_fields() {
    // Judged by the kubelet's own strict decoder in tests/kubelet as well.
    let node = Node::with(&["r.test"]);
    for image in ["r.test/a", "q.test/a"] {
        let stdout = node.ask(image).done();
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&stdout).unwrap();
        let mut names: Vec<_> = object.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["apiVersion", "auth", "cacheDuration", "cacheKeyType", "kind"]);
        assert_eq!(stdout.matches('\n').count(), 1, "one line");
    }
}

#[test]
fn trap_03_api_version_is_echoed() {
    let node = Node::with(&["r.test"]);
    for version in ["v1", "v1beta1", "v1alpha1"] {
        let stdout = node.run(&["get-credentials"], request_in(version, "r.test/a")).done();
        assert!(stdout.contains(&format!(r#""apiVersion":"credentialprovider.kubelet.k8s.io/{version}""#)), "{stdout}");
    }
}

#[test]
fn trap_04_docker_hub_under_any_name_answers_under_the_requested_one() {
    for stored in [
        "https://index.docker.io/v1/",
        "index.docker.io",
        "docker.io",
        "https://docker.io",
        "registry-1.docker.io",
        "https://registry-1.docker.io/v2/",
        "registry.hub.docker.com",
    ] {
        let node = Node::with(&[stored]);
        for (image, key) in [
            ("docker.io/library/nginx", "docker.io"),
            ("registry-1.docker.io/library/nginx", "registry-1.docker.io"),
            ("registry.hub.docker.com/library/nginx", "registry.hub.docker.com"),
        ] {
            assert_eq!(node.credential(image), Some((key.to_owned(), "user-0".to_owned())), "{stored} {image}");
        }
        for image in [
            "evil.docker.io/a/b",
            "docker.io.evil.test/a/b",
            "docker.io:443/a/b",
            "docker.io:5000/a/b",
            "index.docker.io:443/a/b",
        ] {
            assert_eq!(node.credential(image), None, "{stored} {image}");
        }
    }
}

#[test]
fn trap_05_an_answer_never_starves_another_image() {
    let node = Node::with(&["r.test/team", "r.test"]);
    for image in ["r.test/team/a", "r.test/other"] {
        let run = node.ask(image);
        assert!(
            run.stdout.contains(r#""cacheKeyType":"Image""#),
            "a registry with paths is cached by image: {}",
            run.stdout
        );
        assert!(run.stdout.contains(&format!(r#""auth":{{"{image}":"#)), "{}", run.stdout);
    }
    let nothing = node.ask("q.test/a").stdout;
    assert!(nothing.contains(r#""cacheKeyType":"Image","cacheDuration":"0s""#), "{nothing}");
}

#[test]
fn trap_06_no_empty_username_and_no_token_username() {
    let node = Node::new();
    for user in ["", "<token>"] {
        assert_eq!(node.run(&["login", "r.test", "-u", user, "--password-stdin"], "p").code, 2, "{user:?}");
    }
    assert_eq!(node.credential("r.test/a"), None);
}

#[test]
fn trap_07_at_most_one_credential_and_never_an_expired_one() {
    let node = Node::with(&["docker.io", "docker.io/library", "*.io"]);
    assert_eq!(auth_of(node.ask("nginx")).as_object().unwrap().len(), 1);
    // The expired one: plugin::an_expired_credential_is_an_error_not_an_anonymous_pull.
}

#[test]
fn trap_08_a_locked_store_is_an_error_and_never_a_prompt() {
    let node = Node::with(&["r.test"]);
    fs::remove_file(node.host_key()).unwrap();
    let start = Instant::now();
    let run = node.ask("r.test/a");
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.lines().count()), (1, "", 1));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn trap_09_no_child_outlives_the_plugin() {
    // keys::a_child_that_hangs_is_killed_and_holds_no_pipe shows the deadline; this, that no child is left when we are killed.
    let node = Node::bare();
    let marker = format!("7{}.125", std::process::id());
    let fake = node.dir().join("fake");
    fs::write(&fake, format!("#!/bin/sh\nexec sleep {marker}\n")).unwrap();
    fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = format!(
        "mount --bind {} /usr/bin/systemd-creds; {} store init --key-source systemd-creds & sleep 1; pgrep -ax sleep | grep -c {marker}; kill -9 $!; sleep 0.5; pgrep -ax sleep | grep -c {marker}",
        fake.display(),
        crate::support::BINARY
    );
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "bash", "-c", &script]).env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
    let run = crate::support::run(&mut command, "");
    assert_eq!(run.stdout, "1\n0\n", "a child runs, and then none: {run:?}");
}

#[test]
fn trap_10_readers_take_no_lock() {
    let node = Node::with(&["r.test"]);
    let lock = fs::File::open(node.store().join("credentials.lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(node.credential("r.test/a"), Some(("r.test".to_owned(), "user-0".to_owned())));
    // plugin::sixty_four_at_once_all_answer.
}

#[test]
fn trap_11_a_pull_needs_no_network() {
    let node = Node::with(&["r.test"]);
    let mut command = std::process::Command::new("unshare");
    command.args(["--net", crate::support::BINARY, "get-credentials"]);
    command.env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
    assert_eq!(crate::support::run(&mut command, request("r.test/a")), node.ask("r.test/a"));
}

#[test]
fn trap_12_no_secret_in_arguments_environment_or_stderr() {
    let node = Node::new();
    assert_eq!(node.run(&["login", "r.test", "-u", "u", "--password", "hunter2"], "").code, 2);
    let mut command = node.command(&["login", "r.test", "-u", "u"]);
    command.env("PASSWORD", "hunter2").env("REGISTRY_PASSWORD", "hunter2");
    assert_eq!(crate::support::run(&mut command, "").code, 2);
    // leak::*.
}

#[test]
fn trap_13_exit_code_tells_not_found_from_not_found_out() {
    let node = Node::with(&["r.test"]);
    assert_eq!(node.ask("q.test/a").code, 0);
    fs::remove_file(node.sealed()).unwrap();
    let run = node.ask("q.test/a");
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    // A closed standard output: plugin::a_closed_standard_output_is_an_error.
}

#[test]
fn trap_14_ports_case_and_ipv6() {
    let node = Node::with(&["https://r.test/v2/", "r.test:443", "[::1]:5000"]);
    let table = [
        ("r.test/a", Some(("r.test", "user-0"))),
        ("r.test:443/a", Some(("r.test:443", "user-1"))),
        ("r.test:8443/a", None),
        ("R.Test/a", Some(("R.Test", "user-0"))),
        ("[::1]:5000/a", Some(("[::1]:5000", "user-2"))),
        ("[::1]/a", None),
    ];
    for (image, expected) in table {
        assert_eq!(node.credential(image), expected.map(|(key, user)| (key.to_owned(), user.to_owned())), "{image}");
    }
}

#[test]
fn trap_15_paths_end_at_segments() {
    let node = Node::with(&["r.test/team"]);
    assert_eq!(node.credential("r.test/team-b/app"), None);
    assert_eq!(node.credential("r.test/team/app"), Some(("r.test/team/app".to_owned(), "user-0".to_owned())));
    assert_eq!(node.credential("r.test/team"), Some(("r.test/team".to_owned(), "user-0".to_owned())));
}

#[test]
fn trap_15_a_repository_below_v1_or_v2_keeps_its_path() {
    // The kubelet cuts `/v1/` and `/v2/` off a key's path; found by fuzzing the answer against a model of its keyring.
    let node = Node::with(&["r.test/v1/team", "r.test/v2/team"]);
    let table =
        [("r.test/v1/team/app", "r.test/v1/v1/team/app", "user-0"), ("r.test/v2/team", "r.test/v1/v2/team", "user-1")];
    for (image, key, user) in table {
        assert_eq!(node.credential(image), Some((key.to_owned(), user.to_owned())), "{image}");
        assert_eq!(keyring_credential_provider::kubelet::keyring::lookup(&[key], image), [key], "{image}");
    }
}

#[test]
fn trap_16_cache_duration_is_whole_seconds_of_go() {
    let node = Node::new();
    let login = ["login", "r.test", "-u", "u", "--password-stdin", "--set", "cache=1h30m"];
    assert_eq!(node.run(&login, "p").code, 0);
    assert!(node.ask("r.test/a").stdout.contains(r#""cacheDuration":"5400s""#));
}

#[test]
fn trap_17_default_cache_duration_is_never_inherited() {
    let node = Node::with(&["r.test"]);
    for image in ["r.test/a", "q.test/a"] {
        assert!(node.ask(image).stdout.contains(r#""cacheDuration":"0s""#), "{image}");
    }
}

#[test]
fn trap_18_stdout_has_no_mark_and_no_carriage_return() {
    // The Windows binary: windows.rs.
    let node = Node::with(&["r.test"]);
    let output = node.ask("r.test/a").stdout;
    assert!(output.starts_with('{') && output.is_ascii() && !output.contains('\r'));
    node.login("r.test", r"DOMAIN\user", r"back\slash");
    let auth = auth_of(node.ask("r.test/a"));
    assert_eq!(auth["r.test"], serde_json::json!({ "username": r"DOMAIN\user", "password": r"back\slash" }));
}

#[test]
fn trap_19_mirrors_are_documented() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(readme.contains("containerd hands the credential to every host that it tries, mirrors included"));
}

#[test]
fn trap_20_least_privilege_is_documented_and_scopes_can_be_narrow() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(readme.contains("every pod on the node"));
    let node = Node::with(&["r.test/team/app"]);
    assert_eq!(node.credential("r.test/team/other"), None);
}

#[test]
fn trap_21_secrets_that_are_not_utf8_are_refused() {
    let node = Node::new();
    for password in [&b"p\xff"[..], b"\xed\xa0\x80", b"\xff\xfe\x00\xd8"] {
        assert_eq!(node.run(&["login", "r.test", "-u", "u", "--password-stdin"], password).code, 2, "{password:?}");
    }
}

#[test]
fn trap_22_the_sample_config_avoids_the_silent_mistakes() {
    // The kubelet's own code registers it in tests/kubelet.
    let sample =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/install/kubernetes/credential-provider-config.yaml"))
            .unwrap();
    let patterns: Vec<_> = sample
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- \""))
        .map(|line| line.trim_end_matches('"'))
        .collect();
    assert!(patterns.contains(&"docker.io"), "{patterns:?}");
    for pattern in patterns {
        assert!(!pattern.contains("://") && !pattern.contains("/*") && pattern != "index.docker.io", "{pattern}");
        assert!(keyring_credential_provider::kubelet::image_match::MatchImage::parse(pattern).is_ok(), "{pattern}");
    }
    assert!(sample.contains("defaultCacheDuration: \"0s\""));
    assert!(!sample.contains("\n---"), "one YAML document");
}

#[test]
fn trap_23_other_sources_that_win_are_documented() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(readme.contains("/var/lib/kubelet/config.json"));
}

#[test]
fn trap_24_what_never_asks_the_plugin_is_documented() {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    assert!(readme.contains("sandbox (pause) image") && readme.contains("crictl pull"));
}

#[test]
fn trap_25_a_replaced_store_answers_at_once() {
    // Replacing the binary between two pulls: tests/kubelet.
    let node = Node::with(&["r.test"]);
    node.login("r.test", "rotated", "p2");
    assert_eq!(node.credential("r.test/a"), Some(("r.test".to_owned(), "rotated".to_owned())));
}

#[test]
fn trap_26_later_kubelets_and_people_are_understood() {
    let node = Node::with(&["r.test"]);
    let v1 = "credentialprovider.kubelet.k8s.io/v1";
    let stdin = format!(
        r#"{{"new":true,"image":"https://r.test/a:v1@sha256:{}","apiVersion":"{v1}","kind":"CredentialProviderRequest"}}"#,
        "0".repeat(64)
    );
    assert_eq!(node.run(&["get-credentials"], stdin), node.ask("r.test/a"));
}

#[test]
fn peer_bug_password_is_not_the_username() {
    let node = Node::new();
    node.login("r.test", "somebody", "something");
    assert_eq!(
        auth_of(node.ask("r.test/a"))["r.test"],
        serde_json::json!({ "username": "somebody", "password": "something" })
    );
}

#[test]
fn peer_bug_the_port_is_not_dropped() {
    let node = Node::with(&["r.test:5000"]);
    assert_eq!(node.credential("r.test:5000/a"), Some(("r.test:5000".to_owned(), "user-0".to_owned())));
    assert_eq!(node.credential("r.test/a"), None);
}

#[test]
fn peer_bug_durations_over_a_day_and_under_an_hour_are_whole() {
    use keyring_credential_provider::time::parse_duration;
    assert_eq!(parse_duration("36h"), Some(Duration::from_secs(129_600)), "not modulo 24 hours");
    assert_eq!(parse_duration("59m"), Some(Duration::from_secs(3540)), "not cut to whole hours");
}

#[test]
fn peer_bug_no_trailing_newline_is_needed() {
    let node = Node::with(&["r.test"]);
    assert_eq!(node.run(&["get-credentials"], request("r.test/a").trim_end()), node.ask("r.test/a"));
}

#[test]
fn peer_bug_nothing_is_written_relative_to_the_working_directory() {
    let node = Node::with(&["r.test"]);
    let empty = crate::support::Dir::new();
    let mut command = node.command(&["get-credentials"]);
    command.current_dir(empty.path());
    assert_eq!(crate::support::run(&mut command, request("r.test/a")).code, 0);
    assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0);
}

#[test]
fn peer_bug_annotations_choose_nothing() {
    let node = Node::with(&["r.test"]);
    let v1 = "credentialprovider.kubelet.k8s.io/v1";
    let stdin = format!(
        r#"{{"kind":"CredentialProviderRequest","apiVersion":"{v1}","image":"q.test/a","serviceAccountToken":"a.b.c","serviceAccountAnnotations":{{"registry":"r.test","host":"r.test","endpoint":"http://evil.test"}}}}"#
    );
    assert_eq!(node.run(&["get-credentials"], stdin), Run::new(0, &answer("v1", "Image", "0s", ""), ""));
}

#[test]
fn peer_bug_documented_commands_exist() {
    let node = Node::new();
    for file in ["README.md", "SECURITY.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(format!("{}/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        for line in text.split("keyring-credential-provider ").skip(1) {
            let words: Vec<_> = line
                .split([' ', '\n', '`', '|', ')'])
                .take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
                .take(2)
                .collect();
            let [first, ..] = words[..] else { continue };
            if ![
                "store", "login", "logout", "list", "apply", "import", "config", "explain", "check", "doctor",
                "generate", "node", "broker",
            ]
            .contains(&first)
            {
                continue;
            }
            let verbs: Vec<_> =
                if matches!(first, "store" | "generate" | "config" | "node" | "broker") { words } else { vec![first] };
            let run = node.run(&[&verbs[..], &["--help"]].concat(), "");
            assert_eq!(run.code, 0, "{file} names `{}`", verbs.join(" "));
        }
    }
}
