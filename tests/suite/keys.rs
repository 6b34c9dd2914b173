//! Key sources, each against the real thing: `systemd-creds`, the kernel keyring.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use keyring_credential_provider::store::Store;

use crate::support::{BINARY, Node, Run, request, run};

fn status(node: &Node, name: &str) -> serde_json::Value {
    let status: serde_json::Value =
        serde_json::from_str(&node.run(&["store", "status", "--output", "json"], "").stdout).unwrap();
    status[name].clone()
}

fn init(arguments: &[&str]) -> (Node, Run) {
    let node = Node::bare();
    let run = node.run(&[&["store", "init"], arguments].concat(), "");
    (node, run)
}

/// Runs the program in a session keyring of its own, as systemd and sshd give one to every service and login.
fn in_session(node: &Node, arguments: &[&str], stdin: &str) -> Run {
    let mut command = Command::new("keyctl");
    command.args(["session", "-", BINARY]).args(arguments).env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
    let mut run = run(&mut command, stdin);
    run.stderr = run
        .stderr
        .lines()
        .filter(|line| !line.starts_with("Joined session keyring"))
        .map(|line| format!("{line}\n"))
        .collect();
    run.stdout = run
        .stdout
        .lines()
        .filter(|line| !line.starts_with("Joined session keyring"))
        .map(|line| format!("{line}\n"))
        .collect();
    run
}

#[test]
fn systemd_creds_seals_the_key_and_the_kernel_keeps_it() {
    let (node, run) = init(&["--key-source", "systemd-creds", "--systemd-key", "host"]);
    assert_eq!(
        run,
        Run::new(0, "", &format!("made a store at `{}`, its key in `systemd-creds`\n", node.store().display()))
    );
    node.login("r.test", "u", "p");
    assert_eq!(status(&node, "dataKeyCached"), true);
    assert_eq!(fs::read_dir(node.store()).unwrap().count(), 2, "no key file beside it");
    assert_eq!(node.run(&["store", "lock"], ""), Run::new(0, "", "forgot the cached data key\n"));
    assert_eq!(node.run(&["store", "lock"], ""), Run::new(0, "", "no data key was cached\n"));
    assert_eq!(node.credential("r.test/a"), Some(("r.test".to_owned(), "u".to_owned())), "unsealed anew");
    assert_eq!(node.run(&["store", "lock", "--output", "json"], ""), Run::new(0, "{\n  \"wasCached\": true\n}\n", ""));
}

#[test]
fn the_default_on_linux_is_systemd_creds_where_it_works() {
    let (node, run) = init(&["--output", "json"]);
    let expected =
        format!("{{\n  \"directory\": \"{}\",\n  \"keySource\": \"systemd-creds\"\n}}\n", node.store().display());
    assert_eq!(run, Run::new(0, &expected, ""));
}

#[test]
fn without_systemd_creds_the_default_is_a_host_key() {
    // A mount namespace in which the program is an empty file that cannot be run.
    let node = Node::bare();
    let script = format!("mount --bind /dev/null /usr/bin/systemd-creds && exec {BINARY} store init");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
    let expected = format!("made a store at `{}`, its key in `host-key`\n", node.store().display());
    assert_eq!(run(&mut command, ""), Run::new(0, "", &expected));
}

#[test]
fn a_key_source_never_falls_through_when_reading() {
    let (node, run) = init(&["--key-source", "systemd-creds", "--systemd-key", "host", "--data-key-cache", "0"]);
    assert_eq!(run.code, 0, "{run:?}");
    node.login("r.test", "u", "p");
    let script = format!("mount --bind /dev/null /usr/bin/systemd-creds && exec {BINARY} get-credentials");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
    let expected = "keyring-credential-provider: r.test: /usr/bin/systemd-creds is unavailable: cannot be started: \
                    Permission denied (os error 13); run `keyring-credential-provider store status` on the node\n";
    assert_eq!(crate::support::run(&mut command, request("r.test/a")), Run::new(1, "", expected));
}

#[test]
fn a_cache_of_zero_keeps_nothing() {
    let (node, run) = init(&["--key-source", "systemd-creds", "--systemd-key", "host", "--data-key-cache", "0"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(node.ask("r.test/a").code, 0);
    assert_eq!(status(&node, "dataKeyCached"), false);
    assert_eq!(status(&node, "dataKeyCacheSeconds"), 0);
}

#[test]
fn a_cached_data_key_times_out() {
    let (node, run) = init(&["--key-source", "systemd-creds", "--systemd-key", "host", "--data-key-cache", "2s"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(node.ask("r.test/a").code, 0);
    let is_cached = || Store::at(node.store()).has_cached_data_key().unwrap();
    assert!(is_cached());
    std::thread::sleep(Duration::from_secs(3));
    assert!(!is_cached());
}

fn store_id(node: &Node) -> String {
    Store::at(node.store()).status().unwrap().store_id
}

#[test]
fn the_environment_cannot_redirect_systemd_creds() {
    let (node, run) = init(&["--key-source", "systemd-creds", "--systemd-key", "host", "--data-key-cache", "0"]);
    assert_eq!(run.code, 0, "{run:?}");
    let mut command = node.command(&["get-credentials"]);
    command.env("SYSTEMD_CREDENTIAL_SECRET", "/nonexistent").env("PATH", "/nonexistent");
    assert_eq!(crate::support::run(&mut command, request("r.test/a")).code, 0);
}

#[test]
fn the_kernel_keyring_holds_the_key_for_every_session_of_root() {
    let node = Node::bare();
    let run = in_session(&node, &["store", "init", "--key-source", "keyring"], "");
    assert_eq!(run, Run::new(0, "", &format!("made a store at `{}`, its key in `keyring`\n", node.store().display())));
    assert_eq!(in_session(&node, &["login", "r.test", "-u", "u", "--password-stdin"], "p").code, 0);
    assert!(
        in_session(&node, &["get-credentials"], &request("r.test/a")).stdout.contains(r#""r.test":{"username":"u""#)
    );
    let keys =
        || fs::read_to_string("/proc/keys").unwrap().lines().filter(|line| line.contains(&store_id(&node))).count();
    assert_eq!(in_session(&node, &["store", "rekey"], "").code, 0);
    assert!(
        in_session(&node, &["get-credentials"], &request("r.test/a")).stdout.contains(r#""r.test":{"username":"u""#)
    );
    assert_eq!(in_session(&node, &["store", "rekey", "--key-source", "host-key"], "").code, 0);
    // The kernel collects invalidated keys in the background.
    let deadline = Instant::now() + Duration::from_secs(10);
    while keys() > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(keys(), 0, "the old keys are removed");
    assert_eq!(node.credential("r.test/a"), Some(("r.test".to_owned(), "u".to_owned())));
}

#[test]
fn a_key_that_the_kernel_lost_is_named() {
    let node = Node::bare();
    assert_eq!(in_session(&node, &["store", "init", "--key-source", "keyring"], "").code, 0);
    let script = "for key in $(keyctl show $(keyctl get_persistent @s) | sed -n \"s/^ *\\([0-9]*\\).*:key:$1\\..*/\\1/p\"); do keyctl invalidate $key; done";
    let mut forget = Command::new("keyctl");
    forget.args(["session", "-", "sh", "-c", script, "sh", &store_id(&node)]);
    assert_eq!(run(&mut forget, "").code, 0);
    let expected = "keyring-credential-provider: r.test: the kernel keyring is unavailable: the store's key is not there; \
                    the kernel keyring is emptied at every boot; run `keyring-credential-provider store status` on the node\n";
    assert_eq!(in_session(&node, &["get-credentials"], &request("r.test/a")), Run::new(1, "", expected));
}

#[cfg(not(feature = "secret-service"))]
#[test]
fn a_build_without_secret_service_says_so() {
    let (_node, run) = init(&["--key-source", "secret-service"]);
    let expected = "error: key source `secret-service` is not supported: this program was built without the cargo feature \
                    `secret-service`\nhint: choose another with `store init --key-source`, or another build\n";
    assert_eq!(run, Run::new(4, "", expected));
}

#[test]
fn an_unknown_key_source_is_a_usage_error() {
    let (_node, run) = init(&["--key-source", "vault"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""));
    assert!(
        run.stderr.contains("key source is one of `host-key`, `systemd-creds`, `keyring`, `secret-service`, `kms`"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_child_that_hangs_is_killed_and_holds_no_pipe() {
    // Stands for a TPM that never answers: a script in place of systemd-creds that sleeps with its pipes open.
    let (node, run) = init(&["--key-source", "systemd-creds", "--systemd-key", "host", "--data-key-cache", "0"]);
    assert_eq!(run.code, 0, "{run:?}");
    let fake = node.dir().join("fake");
    fs::write(&fake, "#!/bin/sh\nexec sleep 30\n").unwrap();
    fs::set_permissions(&fake, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let script = format!("mount --bind {} /usr/bin/systemd-creds && exec {BINARY} get-credentials", fake.display());
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
    let start = Instant::now();
    let expected = "keyring-credential-provider: r.test: /usr/bin/systemd-creds is unavailable: did not answer within 5 \
                    seconds; run `keyring-credential-provider store status` on the node\n";
    assert_eq!(crate::support::run(&mut command, request("r.test/a")), Run::new(1, "", expected));
    assert!(start.elapsed().as_secs() < 15);
}
