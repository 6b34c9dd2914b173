//! The plugin's process contract: whole standard output, whole standard error, exit code.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Node, Run, answer, request, request_in, run, vectors};

fn refused(reason: &str) -> Run {
    Run::new(1, "", &format!("keyring-credential-provider: {reason}\n"))
}

#[test]
fn a_credential_of_the_whole_registry_is_keyed_by_the_registry() {
    let node = Node::with(&["r.test"]);
    let expected = answer("v1", "Registry", "0s", r#""r.test":{"username":"user-0","password":"password-0"}"#);
    assert_eq!(node.ask("r.test/team/app"), Run::new(0, &expected, ""));
}

#[test]
fn nothing_stored_is_an_answer() {
    let node = Node::with(&["r.test"]);
    assert_eq!(node.ask("q.test/team/app"), Run::new(0, &answer("v1", "Image", "0s", ""), ""));
}

#[test]
fn without_an_argument_and_a_terminal_it_is_the_plugin() {
    let node = Node::with(&["r.test"]);
    assert_eq!(node.run(&[], request("r.test/a")), node.ask("r.test/a"));
}

#[test]
fn the_kubelets_own_bytes_are_answered_in_kind() {
    let node = Node::with(&["test.registry.io"]);
    let cases = vectors("encode_request");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let stdin = case["stdin"].as_str().unwrap();
        let version =
            ["v1alpha1", "v1beta1", "v1"].into_iter().find(|version| stdin.contains(&format!("/{version}\""))).unwrap();
        let auth = r#""test.registry.io":{"username":"user-0","password":"password-0"}"#;
        assert_eq!(
            node.run(&["get-credentials"], stdin),
            Run::new(0, &answer(version, "Registry", "0s", auth), ""),
            "{}",
            case["name"]
        );
    }
}

#[test]
fn requests_typed_by_hand_are_tolerated() {
    let node = Node::with(&["r.test", "docker.io"]);
    let expected = node.ask("r.test/a").stdout;
    let v1 = "credentialprovider.kubelet.k8s.io/v1";
    let plain = request("r.test/a");
    let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let table = [
        ("no final newline", plain.trim_end().to_owned()),
        ("blanks around", format!("\r\n  {}  \r\n\n", plain.trim_end())),
        ("tag", request("r.test/a:v1.2")),
        ("digest", request(&format!("r.test/a@{digest}"))),
        ("tag and digest", request(&format!("r.test/a:v1@{digest}"))),
        ("scheme", request("https://r.test/a")),
        (
            "unknown fields",
            format!(
                r#"{{"future":{{"x":[1,null]}},"kind":"CredentialProviderRequest","apiVersion":"{v1}","image":"r.test/a","more":1}}"#
            ),
        ),
        ("escapes", format!(r#"{{"kind":"CredentialProviderRequest","apiVersion":"{v1}","image":"r.test\u002fa"}}"#)),
        ("byte order mark", format!("\u{feff}{plain}")),
        (
            "brackets in a string",
            format!(
                r#"{{"x":"{}\"","kind":"CredentialProviderRequest","apiVersion":"{v1}","image":"r.test/a"}}"#,
                "[".repeat(99)
            ),
        ),
        (
            "token and annotations",
            format!(
                r#"{{"kind":"CredentialProviderRequest","apiVersion":"{v1}","image":"r.test/a","serviceAccountToken":"a.b.c","serviceAccountAnnotations":{{"k":"v"}}}}"#
            ),
        ),
    ];
    for (name, stdin) in table {
        assert_eq!(node.run(&["get-credentials"], stdin), Run::new(0, &expected, ""), "{name}");
    }
    assert_eq!(node.credential("nginx"), Some(("docker.io".to_owned(), "user-1".to_owned())));
}

#[test]
fn bad_input_is_one_line_and_never_echoed() {
    let node = Node::with(&["r.test"]);
    let v1 = "credentialprovider.kubelet.k8s.io/v1";
    let nested = "[".repeat(10_000);
    let deep = "request on standard input is nested deeper than 64 levels";
    let kind =
        |kind: &str, version: &str| format!(r#"{{"kind":"{kind}","apiVersion":"{version}","image":"r.test/a"}}"#);
    let fields = |line: usize, column: usize| {
        format!(
            "request lacks `kind`, `apiVersion` or `image`, or has a field of the wrong type, at line {line} column {column}"
        )
    };
    let versions =
        "request has an `apiVersion` other than `credentialprovider.kubelet.k8s.io/v1`, `/v1beta1` and `/v1alpha1`";
    let empty = "request on standard input is empty; send a CredentialProviderRequest as JSON";
    let path = |form: &str| {
        format!("request cannot be answered: image {form}; give an image such as `registry.example.com/team/app`")
    };
    let backslash = keyring_credential_provider::windows_path::looks_like_path(r"C:\images\x").unwrap();
    let table: Vec<(&str, Vec<u8>, String)> = vec![
        ("empty", b"".to_vec(), empty.to_owned()),
        ("blank", b" \n\n".to_vec(), empty.to_owned()),
        ("truncated", br#"{"kind":"Cred"#.to_vec(), "request ends too early at line 1 column 13".to_owned()),
        (
            "truncated at the end",
            request("r.test/a").trim_end().trim_end_matches('}').into(),
            "request ends too early at line 1 column 106".to_owned(),
        ),
        ("huge", vec![b' '; 64 << 20], "request on standard input is larger than 1048576 bytes".to_owned()),
        ("nested", nested.clone().into(), deep.to_owned()),
        (
            "nested in an unknown field",
            request("r.test/a").replace("{", &format!(r#"{{"x":{nested}{},"#, "]".repeat(10_000))).into(),
            deep.to_owned(),
        ),
        ("not UTF-8", b"{\"image\":\"\xff\"}".to_vec(), "request on standard input is not UTF-8".to_owned()),
        (
            "two documents",
            (request("r.test/a") + &request("r.test/a")).into(),
            "request is no valid JSON at line 2 column 1".to_owned(),
        ),
        ("YAML", b"kind: CredentialProviderRequest".to_vec(), "request is no valid JSON at line 1 column 1".to_owned()),
        ("array", b"[]".to_vec(), fields(1, 1)),
        (
            "wrong kind",
            kind("CredentialProviderResponse", v1).into(),
            "request has a `kind` other than `CredentialProviderRequest`".to_owned(),
        ),
        ("wrong group", kind("CredentialProviderRequest", "kubelet.config.k8s.io/v1").into(), versions.to_owned()),
        (
            "wrong version",
            kind("CredentialProviderRequest", "credentialprovider.kubelet.k8s.io/v2").into(),
            versions.to_owned(),
        ),
        (
            "missing image",
            format!(r#"{{"kind":"CredentialProviderRequest","apiVersion":"{v1}"}}"#).into(),
            fields(1, 88),
        ),
        ("empty image", request("").into(), "request cannot be answered: image is empty".to_owned()),
        (
            "image is a number",
            format!(r#"{{"kind":"CredentialProviderRequest","apiVersion":"{v1}","image":123456}}"#).into(),
            fields(1, 102),
        ),
        ("image with a backslash", request(r"C:\images\x").into(), path(backslash)),
        (
            "image with a blank",
            request("r.test/a b").into(),
            "request cannot be answered: image has a blank or control character at position 9".to_owned(),
        ),
        (
            "image with a control character",
            request("r.test/a\u{1b}[31m").into(),
            "request cannot be answered: image has a blank or control character at position 9".to_owned(),
        ),
    ];
    for (name, stdin, expected) in table {
        assert_eq!(node.run(&["get-credentials"], stdin), refused(&expected), "{name}");
    }
}

#[test]
fn windows_paths_are_never_hosts() {
    let node = Node::with(&["r.test", "*:5000"]);
    for image in [
        r"C:\x",
        "C:/x",
        r"\\srv\x",
        r"\\?\C:\x",
        "//srv/share/x",
        r"registry\team/app",
        r"docker-archive:C:\x.tar",
        "file:///C:/x",
    ] {
        let run = node.ask(image);
        assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{image}");
        assert!(
            run.stderr.starts_with("keyring-credential-provider: request cannot be answered: image "),
            "{image}: {}",
            run.stderr
        );
        assert_eq!(run.stderr.lines().count(), 1, "{image}");
    }
    assert_eq!(node.credential("c:5000/x"), Some(("c:5000".to_owned(), "user-1".to_owned())));
}

#[test]
fn what_cannot_be_found_out_is_an_error_with_registry_reason_and_remedy() {
    let node = Node::bare();
    let store = node.store();
    assert_eq!(
        node.ask("r.test/a"),
        refused(&format!("r.test: no store at `{}`; run `keyring-credential-provider store init`", store.display()))
    );
}

#[test]
fn an_expired_credential_is_an_error_not_an_anonymous_pull() {
    let node = Node::new();
    let run = node.run(&["login", "r.test", "-u", "u", "--password-stdin", "--expires-at", &in_seconds(2)], "p");
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(node.ask("r.test/a").code, 0);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(
        node.ask("r.test/a"),
        refused("r.test: stored credential has expired; run `keyring-credential-provider login r.test` on the node")
    );
}

#[test]
fn the_cache_setting_is_cut_to_the_life_of_the_secret() {
    let node = Node::new();
    let login = |expires: &str| {
        let run = node.run(
            &["login", "r.test", "-u", "u", "--password-stdin", "--set", "cache=1h", "--expires-at", expires],
            "p",
        );
        assert_eq!(run.code, 0, "{run:?}");
        let answer: serde_json::Value = serde_json::from_str(&node.ask("r.test/a").done()).unwrap();
        answer["cacheDuration"].as_str().unwrap().trim_end_matches('s').parse::<u64>().unwrap()
    };
    assert_eq!(login(&in_seconds(86_400)), 3600);
    assert!((230..=240).contains(&login(&in_seconds(300))), "300 s less a margin of 60 s");
    assert_eq!(login(&in_seconds(30)), 0, "never negative");
}

#[test]
fn options_are_read_by_hand() {
    let node = Node::with(&["r.test"]);
    let store = node.store();
    let other = Node::bare();
    let by_option = [
        vec!["get-credentials", "--store", store.to_str().unwrap(), "--timeout", "5s"],
        vec!["get-credentials", "--timeout=55s"],
    ];
    assert_eq!(other.run(&by_option[0], request("r.test/a")), node.ask("r.test/a"));
    assert_eq!(node.run(&by_option[1], request("r.test/a")), node.ask("r.test/a"));
    let table = [
        (vec!["get-credentials", "--timeout", "60s"], "`--timeout` takes `1s` to `55s`"),
        (vec!["get-credentials", "--timeout"], "`--timeout` takes `1s` to `55s`"),
        (vec!["get-credentials", "--store"], "`--store` takes a directory"),
        (
            vec!["get-credentials", "hunter2"],
            "`get-credentials` takes `--store DIR`, `--timeout DURATION`, `--broker ENDPOINT` and `--broker-fallback` only",
        ),
    ];
    for (arguments, expected) in table {
        assert_eq!(
            node.run(&arguments, request("r.test/a")),
            refused(&format!("wrong arguments: {expected}")),
            "{arguments:?}"
        );
    }
}

#[test]
fn it_ends_at_its_own_deadline() {
    let node = Node::with(&["r.test"]);
    for mut command in [node.command(&["get-credentials", "--timeout", "1s"]), with_blocked_alarm(&node)] {
        ends_at_its_own_deadline(&mut command);
    }
}

/// A signal mask outlives `exec`, so a parent could take the deadline's signal away.
fn with_blocked_alarm(node: &Node) -> Command {
    let program = node.command(&["get-credentials", "--timeout", "1s"]);
    let mut command = Command::new("env");
    command.arg("--block-signal=ALRM").arg(program.get_program()).args(program.get_args());
    command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command
}

fn ends_at_its_own_deadline(command: &mut Command) {
    let start = Instant::now();
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    // Nobody ever closes its standard input.
    let mut child = child.unwrap();
    let stdin = child.stdin.take();
    while child.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = child.kill();
    let run = Run::from(child.wait_with_output().unwrap());
    drop(stdin);
    assert_eq!(run, refused("no answer within 1 seconds; run `keyring-credential-provider explain` on the node"));
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_closed_standard_output_is_an_error() {
    let node = Node::with(&["r.test"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut child =
        node.command(&["get-credentials"]).stdin(Stdio::piped()).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), request("r.test/a").as_bytes()).unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run, refused("cannot write the answer to standard output: Broken pipe (os error 32)"));
}

#[test]
fn closed_standard_streams_never_become_files() {
    let node = Node::with(&["r.test"]);
    let store = node.store().display().to_string();
    let shell = |script: &str| {
        let program = node.command(&[]).get_program().to_owned();
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh"]).arg(program).arg(&store);
        run(&mut command, request("r.test/a"))
    };
    // Descriptor 0 would otherwise be the sealed file, 1 the mark of its generation, and 2 the lock of a writer.
    assert_eq!(
        shell(r#""$1" get-credentials --store "$2" <&-"#),
        refused("request on standard input is empty; send a CredentialProviderRequest as JSON")
    );
    assert_eq!(shell(r#""$1" get-credentials --store "$2" >&-"#), Run::new(0, "", ""));
    assert_eq!(shell(r#""$1" --store "$2" logout r.test 2>&- >&-"#), Run::new(0, "", ""));
    let nothing = "SCOPE  USERNAME  ISSUER  EXPIRES  UPDATED  ORIGIN\n";
    assert_eq!(shell(r#""$1" --store "$2" list"#), Run::new(0, nothing, ""));
}

#[test]
fn every_version_is_answered_in_kind() {
    let node = Node::with(&["r.test"]);
    for version in ["v1", "v1beta1", "v1alpha1"] {
        let stdout = node.run(&["get-credentials"], request_in(version, "r.test/a")).done();
        assert_eq!(
            stdout,
            answer(version, "Registry", "0s", r#""r.test":{"username":"user-0","password":"password-0"}"#)
        );
    }
}

#[test]
fn sixty_four_at_once_all_answer() {
    let node = Node::with(&["r.test"]);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let node = &node;
        let threads: Vec<_> = (0..64).map(|n| scope.spawn(move || node.ask(&format!("r.test/app-{n}")))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let expected = answer("v1", "Registry", "0s", r#""r.test":{"username":"user-0","password":"password-0"}"#);
    assert_eq!(answers, vec![Run::new(0, &expected, ""); 64]);
}

#[test]
fn a_relative_store_is_refused() {
    let node = Node::with(&["r.test"]);
    let reason = "wrong arguments: `--store` and `KEYRING_CREDENTIAL_PROVIDER_STORE` take an absolute path";
    assert_eq!(node.run(&["get-credentials", "--store", "store"], request("r.test/a")), refused(reason));
    let mut command = node.command(&["get-credentials"]);
    command.env("KEYRING_CREDENTIAL_PROVIDER_STORE", "store");
    assert_eq!(run(&mut command, request("r.test/a")), refused(reason));
}

#[test]
fn it_needs_no_environment_and_no_working_directory() {
    let node = Node::with(&["r.test"]);
    let mut command = node.command(&["get-credentials", "--store", node.store().to_str().unwrap()]);
    command.env_clear().current_dir("/");
    assert_eq!(run(&mut command, request("r.test/a")), node.ask("r.test/a"));
}

fn in_seconds(seconds: i64) -> String {
    (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds)).to_string()
}
