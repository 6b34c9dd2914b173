//! The operator's command line: whole standard output, whole standard error, exit code.

use std::fs;

use crate::support::{Dir, Node, Run};

fn login(node: &Node, arguments: &[&str], stdin: impl AsRef<[u8]>) -> Run {
    node.run(&[&["login"], arguments].concat(), stdin)
}

fn usage(error: &str) -> Run {
    Run::new(2, "", &format!("error: {error}\n"))
}

#[test]
fn login_prints_the_scope_that_it_stored() {
    let node = Node::new();
    let table = [
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry-1.docker.io", "docker.io"),
        ("HTTPS://R.Test:5000/v2/team/", "r.test:5000/team"),
    ];
    for (typed, stored) in table {
        let verb = if typed.starts_with("registry-1") { "replaced" } else { "stored" };
        let run = login(&node, &[typed, "-u", "u", "--password-stdin"], "p");
        assert_eq!(run, Run::new(0, "", &format!("{verb} the credential for `{stored}`\n")), "{typed}");
    }
}

#[test]
fn login_answers_in_json_too() {
    let node = Node::with(&["r.test"]);
    let run = login(&node, &["r.test/team", "-u", "u", "--password-stdin", "--output", "json"], "p");
    let warning = "`r.test` is stored as well; `r.test/team` now comes first for its images";
    let json = format!(
        "{{\n  \"replaced\": false,\n  \"scope\": \"r.test/team\",\n  \"warnings\": [\n    \"{warning}\"\n  ]\n}}\n"
    );
    assert_eq!(run, Run::new(0, &json, &format!("warning: {warning}\n")));
}

#[test]
fn login_warns_of_a_broader_and_a_narrower_entry_of_the_same_host() {
    let node = Node::with(&["r.test/team", "r.test:5000", "q.test"]);
    let run = login(&node, &["r.test", "-u", "u", "--password-stdin"], "p");
    let warning = "warning: `r.test/team` is stored as well, and stays in use for its images\n";
    assert_eq!(run, Run::new(0, "", &format!("{warning}stored the credential for `r.test`\n")));
    let run = login(&node, &["r.test/team/app", "-u", "u", "--password-stdin"], "p");
    let warnings = "warning: `r.test` is stored as well; `r.test/team/app` now comes first for its images\n\
                    warning: `r.test/team` is stored as well; `r.test/team/app` now comes first for its images\n";
    assert_eq!(run, Run::new(0, "", &format!("{warnings}stored the credential for `r.test/team/app`\n")));
}

#[test]
fn a_tie_is_refused_when_it_is_stored() {
    let node = Node::with(&["*.r.test"]);
    let run = login(&node, &["a.*.test", "-u", "u", "--password-stdin"], "p");
    let error = "error: `a.*.test` and `*.r.test` fit the same images equally well\n\
                 hint: store one of them without its wildcard\n";
    assert_eq!(run, Run::new(6, "", error));
    assert_eq!(node.credential("a.r.test/x"), Some(("a.r.test".to_owned(), "user-0".to_owned())));
}

#[test]
fn what_basic_authentication_cannot_carry_is_refused() {
    let node = Node::new();
    let table: [(&str, &[u8], &str); 9] = [
        ("", b"p", "user name is empty; the container runtime would pull anonymously"),
        (
            "<token>",
            b"p",
            "user name `<token>` marks an identity token, which the kubelet cannot pass on; store a user name and password",
        ),
        ("a:b", b"p", "user name contains `:`, which basic authentication cannot carry"),
        ("a\tb", b"p", "user name contains a control character"),
        ("u", b"", "password is empty"),
        ("u", b"\n", "password is empty"),
        ("u", b"\na", "password starts or ends with a line break, beyond the one at the end that is left out"),
        ("u", b"p\n\n", "password starts or ends with a line break, beyond the one at the end that is left out"),
        ("u", b"a\0b", "password contains a control character"),
    ];
    for (user, password, expected) in table {
        assert_eq!(
            login(&node, &["r.test", "-u", user, "--password-stdin"], password),
            usage(expected),
            "{user} {password:?}"
        );
    }
    let run = login(&node, &["r.test", "-u", "u", "--password-stdin"], b"\xff\x00\x80");
    let error = "error: cannot read the password from standard input\n  caused by: it is neither UTF-8 nor UTF-16 with a byte order mark\n";
    assert_eq!(run, Run::new(2, "", error));
    assert_eq!(node.run(&["list", "--output", "json"], "").done(), "[]\n");
}

#[test]
fn passwords_arrive_as_tools_write_them() {
    let node = Node::new();
    let utf16: Vec<u8> =
        [0xff, 0xfe].into_iter().chain("pä\"ss\r\n".encode_utf16().flat_map(u16::to_le_bytes)).collect();
    let table: [(&str, Vec<u8>); 5] = [
        ("plain", "pä\"ss".into()),
        ("echo", "pä\"ss\n".into()),
        ("CRLF", "pä\"ss\r\n".into()),
        ("Set-Content -Encoding UTF8", "\u{feff}pä\"ss\r\n".into()),
        ("Out-File", utf16),
    ];
    let file = node.dir().join("password");
    for (name, bytes) in table {
        fs::write(&file, &bytes).unwrap();
        let path = file.to_str().unwrap();
        assert_eq!(login(&node, &["stdin.test", "-u", "u", "--password-stdin"], &bytes).code, 0, "{name}");
        assert_eq!(login(&node, &["file.test", "-u", "u", "--password-file", path], "").code, 0, "{name}");
        for host in ["stdin.test", "file.test"] {
            let answer: serde_json::Value = serde_json::from_str(&node.ask(&format!("{host}/a")).done()).unwrap();
            assert_eq!(answer["auth"][host]["password"], "pä\"ss", "{name} {host}");
        }
    }
    let missing = file.with_extension("not");
    assert_eq!(
        login(&node, &["r.test", "-u", "u", "--password-file", missing.to_str().unwrap()], ""),
        usage(&format!("cannot open `{}`\n  caused by: No such file or directory (os error 2)", missing.display()))
    );
}

#[test]
fn a_key_file_of_several_lines_is_a_password() {
    let node = Node::new();
    let key = "{\n\t\"type\": \"service_account\",\r\n  \"private_key\": \"fake\"\n}";
    assert_eq!(login(&node, &["gcr.test", "-u", "_json_key", "--password-stdin"], format!("{key}\n")).code, 0);
    let answer: serde_json::Value = serde_json::from_str(&node.ask("gcr.test/p/a").done()).unwrap();
    assert_eq!(answer["auth"]["gcr.test"]["password"], key);
}

#[test]
fn a_password_is_never_taken_from_an_argument() {
    let node = Node::new();
    for arguments in [&["-p", "hunter2"][..], &["--password", "hunter2"], &["--password=hunter2"], &["-phunter2"]] {
        let run = login(&node, &[&["r.test", "-u", "u"], arguments].concat(), "");
        let expected = "a password is never taken from an argument, where everybody on the node could read it; use `--password-stdin`";
        assert_eq!(run, usage(expected), "{arguments:?}");
    }
}

#[test]
fn without_terminal_and_without_a_choice_login_says_what_to_do() {
    let node = Node::new();
    let expected = "no terminal to ask for the password; use `--password-stdin` or `--password-file`";
    assert_eq!(login(&node, &["r.test", "-u", "u"], "p"), usage(expected));
}

#[test]
fn on_a_terminal_login_asks_without_echo() {
    let node = Node::new();
    // util-linux `script` gives the program a terminal; the password is typed after the prompt.
    let command = format!("{} login r.test -u u", crate::support::BINARY);
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
    let run = crate::support::run(&mut script, "typed-secret\n");
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stdout.contains("Password for r.test: "), "{run:?}");
    assert!(run.stdout.contains("stored the credential for `r.test`"), "{run:?}");
    let answer: serde_json::Value = serde_json::from_str(&node.ask("r.test/a").done()).unwrap();
    assert_eq!(answer["auth"]["r.test"]["password"], "typed-secret");
}

#[test]
fn settings_and_times_are_checked() {
    let node = Node::new();
    let unknown_issuer = keyring_credential_provider::issuer::IssuerError::Unknown.to_string();
    let table: [(&[&str], &str); 9] = [
        (&["--issuer", "vendor"], &unknown_issuer),
        (
            &["--set", "region=x"],
            "issuer `static` has no setting `region`; it takes `allow`, `cache`, `require-service-account`, `token-audience`, `token-cache`",
        ),
        (&["--set", "cache"], "`--set` takes `name=value`"),
        (&["--set", "cache=1s", "--set", "cache=2s"], "`--set` gives the same setting twice"),
        (
            &["--set", "cache=1d"],
            "setting `cache` is no duration in whole seconds, minutes or hours such as `300s`, or is longer than a day",
        ),
        (
            &["--set", "cache=25h"],
            "setting `cache` is no duration in whole seconds, minutes or hours such as `300s`, or is longer than a day",
        ),
        (&["--expires-at", "tomorrow"], "`--expires-at` takes a time with its zone, such as `2027-01-31T00:00:00Z`"),
        (
            &["--expires-at", "2100-01-01T00:00:00"],
            "`--expires-at` takes a time with its zone, such as `2027-01-31T00:00:00Z`",
        ),
        (&["--expires-at", "2020-01-01T00:00:00Z"], "`--expires-at` lies in the past"),
    ];
    for (arguments, expected) in table {
        let run = login(&node, &[&["r.test", "-u", "u", "--password-stdin"], arguments].concat(), "p");
        assert_eq!(run, usage(expected), "{arguments:?}");
    }
}

#[test]
fn windows_paths_are_refused_as_scopes() {
    let node = Node::new();
    for path in [r"C:\certs", "C:/certs", r"\\srv\share", r"\\?\C:\x", "file:///C:/x"] {
        let run = login(&node, &[path, "-u", "u", "--password-stdin"], "p");
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{path}");
        assert!(run.stderr.starts_with("error: scope "), "{path}: {}", run.stderr);
        assert!(
            run.stderr.ends_with("; give a registry such as `registry.example.com:5000/team`\n"),
            "{path}: {}",
            run.stderr
        );
    }
}

#[test]
fn logout_removes_by_any_spelling() {
    let node = Node::with(&["docker.io", "r.test"]);
    assert_eq!(
        node.run(&["logout", "https://index.docker.io/v1/"], ""),
        Run::new(0, "", "removed the credential for `docker.io`\n")
    );
    assert_eq!(node.credential("nginx"), None);
    let again = "error: nothing is stored for `docker.io`\nhint: `keyring-credential-provider list` shows what is\n";
    assert_eq!(node.run(&["logout", "docker.io"], ""), Run::new(3, "", again));
    assert_eq!(
        node.run(&["logout", "r.test", "--output", "json"], ""),
        Run::new(0, "{\n  \"scope\": \"r.test\"\n}\n", "")
    );
    assert_eq!(node.run(&["logout", "r.test/*"], "").code, 2);
}

#[test]
fn list_shows_everything_but_secrets() {
    let node = Node::new();
    let run =
        login(&node, &["r.test", "-u", "u", "--password-stdin", "--expires-at", "2100-01-01T00:00:00Z"], "hunter2");
    assert_eq!(run.code, 0);
    let updated = |text: &str| {
        let at = text.find("20").unwrap();
        let found = text[at..].split(['"', ' ']).find(|word| word.ends_with('Z') && !word.starts_with("2100")).unwrap();
        found.to_owned()
    };
    let table = node.run(&["list"], "").done();
    let heading = "SCOPE   USERNAME  ISSUER  EXPIRES               UPDATED               ORIGIN\n";
    assert_eq!(table, format!("{heading}r.test  u         static  2100-01-01T00:00:00Z  {}  login\n", updated(&table)));
    let json = node.run(&["list", "--output", "json"], "").done();
    let expected = serde_json::json!([{
        "scope": "r.test", "username": "u", "issuer": "static", "expiresAt": "2100-01-01T00:00:00Z",
        "updatedAt": updated(&json), "origin": "login",
    }]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), expected);
}

#[test]
fn explain_tells_what_the_kubelet_gets_and_why() {
    let node = Node::with(&["docker.io", "r.test", "r.test/team"]);
    let expected = "\
image       r.test/team/app
credential  r.test/team as `user-2`, by issuer `static`
answer      key `r.test/team/app`, good for this image, kept by the kubelet for 0 seconds
considered  no  docker.io: other host
            yes r.test: fits, but another is more specific
            yes r.test/team: most specific
";
    assert_eq!(node.run(&["explain", "r.test/team/app:v1"], ""), Run::new(0, expected, ""));
    let expected = "\
image       q.test:5000/a
credential  none; the kubelet pulls with other credentials, or anonymously
considered  no  docker.io: other port; a scope without port is not for an image with one
            no  r.test: other port; a scope without port is not for an image with one
            no  r.test/team: other port; a scope without port is not for an image with one
";
    assert_eq!(node.run(&["explain", "q.test:5000/a"], ""), Run::new(3, expected, ""));
}

#[test]
fn explain_json_is_a_contract() {
    let node = Node::with(&["docker.io"]);
    let explain = |image: &str| -> (i32, serde_json::Value) {
        let run = node.run(&["explain", image, "--output", "json"], "");
        (run.code, serde_json::from_str(&run.stdout).unwrap())
    };
    let v1 = "credentialprovider.kubelet.k8s.io/v1";
    assert_eq!(
        explain("nginx"),
        (
            0,
            serde_json::json!({
                "image": "docker.io/library/nginx",
                "answer": {
                    "kind": "CredentialProviderResponse", "apiVersion": v1, "cacheKeyType": "Registry", "cacheDuration": "0s",
                    "auth": { "docker.io": { "username": "user-0", "password": "***" } },
                },
                "credential": { "scope": "docker.io", "username": "user-0", "issuer": "static", "expiresAt": null },
                "considered": [{ "scope": "docker.io", "matches": true, "reason": "most specific" }],
                "mirrors": [],
                "warnings": [],
            })
        )
    );
    assert_eq!(
        explain("r.test/a"),
        (
            3,
            serde_json::json!({
                "image": "r.test/a",
                "answer": { "kind": "CredentialProviderResponse", "apiVersion": v1, "cacheKeyType": "Image", "cacheDuration": "0s", "auth": {} },
                "credential": null,
                "considered": [{ "scope": "docker.io", "matches": false, "reason": "other host" }],
                "mirrors": [],
                "warnings": [],
            })
        )
    );
}

#[test]
fn explain_warns_of_what_a_pod_cannot_name() {
    let node = Node::with(&["r.test"]);
    let told = node.run(&["explain", "https://r.test/a"], "").done();
    assert!(
        told.ends_with("warning     a pod cannot name an image with `https://`; without it, this is what it gets\n"),
        "{told}"
    );
}

#[test]
fn explain_and_the_plugin_agree() {
    let node = Node::with(&["docker.io", "r.test/team", "*.q.test", "r.test:5000"]);
    for image in [
        "nginx",
        "registry-1.docker.io/a/b",
        "r.test/team/x",
        "r.test/other",
        "a.q.test/x",
        "r.test:5000/x",
        "R.TEST/team/x",
    ] {
        let told = node.run(&["explain", image, "--output", "json"], "");
        let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
        let mut said: serde_json::Value = serde_json::from_str(&node.ask(image).done()).unwrap();
        for auth in said["auth"].as_object_mut().unwrap().values_mut() {
            auth["password"] = "***".into();
        }
        assert_eq!(told["answer"], said, "{image}");
        assert_eq!(told["warnings"], serde_json::json!([]), "{image}");
    }
}

#[test]
fn words_in_the_wrong_place_are_not_repeated() {
    let node = Node::new();
    for arguments in [
        &["hunter2"][..],
        &["login", "r.test", "hunter2"],
        &["login", "r.test", "-u", "u", "--output", "hunter2"],
        &["list", "-z=hunter2"],
        &["explain", "HUNTER2/hunter2!"],
        &["login", "hunter2!", "-u", "u"],
    ] {
        let run = node.run(arguments, "");
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(!run.stderr.contains("hunter2"), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn generate_writes_pages_and_completions() {
    let node = Node::new();
    let page = node.run(&["generate", "man"], "").done();
    assert!(page.contains(".TH keyring-credential-provider 1"), "{page}");
    let dir = Dir::new();
    node.run(&["generate", "man", "--dir", dir.path().to_str().unwrap()], "").done();
    let mut pages: Vec<_> =
        fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    pages.sort();
    let expected = [
        "",
        "-apply",
        "-broker-install",
        "-broker-serve",
        "-broker-status",
        "-broker-uninstall",
        "-broker",
        "-config",
        "-config-generate",
        "-config-validate",
        "-doctor",
        "-check",
        "-explain",
        "-generate",
        "-generate-completions",
        "-generate-man",
        "-import",
        "-get-credentials",
        "-list",
        "-login",
        "-logout",
        "-node",
        "-node-apply",
        "-node-detect",
        "-node-plan",
        "-node-rollback",
        "-node-uninstall",
        "-node-verify",
        "-store",
        "-store-init",
        "-store-lock",
        "-store-rekey",
        "-store-status",
    ];
    let mut expected = expected.map(|name| format!("keyring-credential-provider{name}.1"));
    expected.sort();
    assert_eq!(pages, expected);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(
            node.run(&["generate", "completions", shell], "").done().contains("keyring-credential-provider"),
            "{shell}"
        );
    }
}

#[test]
fn help_and_version_are_data() {
    let node = Node::new();
    assert_eq!(
        node.run(&["--version"], ""),
        Run::new(0, concat!("keyring-credential-provider ", env!("CARGO_PKG_VERSION"), "\n"), "")
    );
    let help = node.run(&["--help"], "").done();
    for verb in [
        "store",
        "login",
        "logout",
        "list",
        "apply",
        "import",
        "explain",
        "config",
        "node",
        "broker",
        "generate",
        "get-credentials",
    ] {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb} in\n{help}");
    }
}

#[test]
fn a_reader_that_stops_early_is_no_error() {
    let node = Node::with(&["r.test"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = node.command(&["list"]).stdout(writer).output().unwrap();
    assert_eq!(Run::from(output), Run::new(0, "", ""));
}
