//! A marked secret through every command and every error: it leaves the program in the plugin's answer only.

use std::fs;

use crate::support::{Node, Run, request, run};

const MARK: &str = "s3cr3t-M4RK";

/// The secret in every form in which it could slip out.
fn forms() -> Vec<Vec<u8>> {
    let hex: String = MARK.bytes().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{:?}", MARK.as_bytes());
    let utf16: Vec<u8> = MARK.encode_utf16().flat_map(u16::to_le_bytes).collect();
    // Base64 of the whole, and of `user:secret` as a header would have it.
    let base64 = ["czNjcjN0LU00Uks", "dTpzM2NyM3QtTTRSSw"];
    let mut forms =
        vec![MARK.as_bytes().to_vec(), hex.into_bytes(), list.trim_matches(['[', ']']).as_bytes().to_vec(), utf16];
    forms.extend(base64.map(|text| text.as_bytes().to_vec()));
    forms
}

fn holds_secret(bytes: &[u8]) -> bool {
    forms().iter().any(|form| bytes.windows(form.len()).any(|window| window == form))
}

#[track_caller]
fn clean(run: &Run, what: &str) {
    assert!(!holds_secret(run.stdout.as_bytes()), "{what}: standard output: {}", run.stdout);
    assert!(!holds_secret(run.stderr.as_bytes()), "{what}: standard error: {}", run.stderr);
}

#[test]
fn the_check_itself_sees_every_form() {
    for form in forms() {
        assert!(holds_secret(&[b"before ", form.as_slice(), b" after"].concat()));
    }
    assert!(!holds_secret(b"nothing here"));
}

#[test]
fn no_command_and_no_error_shows_a_secret() {
    let node = Node::new();
    let quiet = |arguments: &[&str], stdin: &str| clean(&node.run(arguments, stdin), &format!("{arguments:?}"));
    // Well, and with everything wrong that can be.
    let logins: [&[&str]; 12] = [
        &["login", "r.test", "-u", "u", "--password-stdin"],
        &["login", "r.test", "-u", "u", "--password-stdin", "--output", "json"],
        &["login", "", "-u", "u", "--password-stdin"],
        &["login", "r.test/*", "-u", "u", "--password-stdin"],
        &["login", "r.test", "-u", "a:b", "--password-stdin"],
        &["login", "r.test", "-u", "u", "--password-stdin", "--set", MARK],
        &["login", "r.test", "-u", "u", "--password-stdin", "--set", &format!("cache={MARK}")],
        &["login", "r.test", "-u", "u", "--password-stdin", "--set", &format!("{MARK}=1")],
        &["login", "r.test", "-u", "u", "--password-stdin", "--expires-at", MARK],
        &["login", "r.test", "-u", "u", "--password-stdin", "--issuer", MARK],
        &["login", "r.test", "-u", "u", "-p", MARK],
        &["login", "r.test", "-u", "u", MARK],
    ];
    for arguments in logins {
        for verbosity in [&[][..], &["-v"], &["-vvv"]] {
            quiet(&[arguments, verbosity].concat(), MARK);
            quiet(&[arguments, verbosity].concat(), &format!("{MARK}\n{MARK}"));
        }
    }
    node.login("r.test", "u", MARK);
    let commands: [&[&str]; 15] = [
        &["list"],
        &["list", "--output", "json"],
        &["store", "status"],
        &["store", "rekey"],
        &["store", "lock"],
        &["store", "init"],
        &["explain", "r.test/a"],
        &["explain", "r.test/a", "--output", "json"],
        &["explain", MARK],
        &["explain", &format!("r.test/{MARK}")],
        &["logout", MARK],
        &["login", MARK, "-u", "u", "--password-stdin"],
        &["generate", "man"],
        &["generate", "completions", "bash"],
        &["get-credentials", MARK],
    ];
    for arguments in commands {
        quiet(&[arguments, &["-vvv"]].concat(), "");
        quiet(arguments, MARK);
    }
    assert!(node.ask("r.test/a").stdout.contains(MARK), "the answer is where it belongs");
}

#[test]
fn requests_are_never_echoed() {
    let node = Node::with(&["r.test"]);
    let v1 = "credentialprovider.kubelet.k8s.io/v1";
    let whole = format!(
        r#"{{"kind":"CredentialProviderRequest","apiVersion":"{v1}","image":"r.test/a","serviceAccountToken":"{MARK}"}}"#
    );
    for length in 0..=whole.len() {
        clean(&node.run(&["get-credentials"], &whole[..length]), &whole[..length]);
    }
    let requests = [
        whole.replace("r.test/a", MARK),
        whole.replace("r.test/a", &format!("C:\\\\{MARK}")),
        whole.replace("CredentialProviderRequest", MARK),
        whole.replace(v1, MARK),
        whole.replace(r#""image":"r.test/a""#, &format!(r#""image":["{MARK}"]"#)),
        whole.replace(r#""image":"r.test/a""#, &format!(r#""image":{{"{MARK}":1}}"#)),
        format!("{whole}{MARK}"),
        format!("{MARK}{whole}"),
    ];
    for request in requests {
        let run = node.run(&["get-credentials"], &request);
        clean(&run, &request);
        assert!(run.stderr.len() < 1024, "{}", run.stderr.len());
    }
}

#[test]
fn errors_of_the_store_show_no_secret() {
    let node = Node::new();
    node.login("r.test", "u", MARK);
    let good = fs::read(node.sealed()).unwrap();
    assert!(!holds_secret(&good), "sealed");
    for at in (0..good.len()).step_by(97) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(node.sealed(), &bad).unwrap();
        for arguments in [&["get-credentials"][..], &["list", "-vvv"], &["store", "status", "-vvv"]] {
            clean(&node.run(arguments, request("r.test/a")), &format!("{arguments:?}, byte {at}"));
        }
    }
}

#[test]
fn debug_output_shows_no_secret() {
    let node = Node::new();
    node.login("r.test", "u", MARK);
    let opened = keyring_credential_provider::store::Store::at(node.store()).open().unwrap();
    let image = "r.test/a".parse().unwrap();
    let v1 = keyring_credential_provider::kubelet::ApiVersion::V1;
    let offline = keyring_credential_provider::issuer::Issuing::offline(0);
    let answer =
        keyring_credential_provider::provider::provide(v1, &image, &opened.credentials, &opened.mirrors, &offline)
            .unwrap();
    for shown in [format!("{opened:?}"), format!("{opened:#?}"), format!("{answer:?}"), answer.redacted().to_string()] {
        assert!(!holds_secret(shown.as_bytes()), "{shown}");
    }
    assert!(format!("{opened:?}").contains("[REDACTED]"));
}

#[test]
fn the_process_cannot_be_dumped_or_traced() {
    let node = Node::with(&["r.test"]);
    let mut child = node
        .command(&["get-credentials"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // It waits for its request. `status` tells nothing of dumpability, but the owner of /proc/PID files does (proc(5)), and
    // for root's own processes prlimit shows the core limit.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    child.kill().unwrap();
    child.wait().unwrap();

    // As an ordinary user, a dumpable process has /proc files of that user; this one has root's.
    let binary = node.dir().join("plugin");
    fs::copy(crate::support::BINARY, &binary).unwrap();
    fs::set_permissions(node.dir(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = r#""$0" get-credentials <&3 & sleep 0.3; stat -c %u /proc/$!/environ; kill $!"#;
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "bash", "-c"]);
    command.arg(format!("exec 3< <(sleep 5); {script}")).arg(&binary);
    let run = run(&mut command, "");
    assert_eq!(run.stdout, "0\n", "{run:?}");
}
