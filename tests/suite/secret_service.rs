//! Key source `secret-service`, against a real daemon on a session bus of its own, and against one that hangs.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{BINARY, Node, Run, answer, request, run};

/// Runs a script on a session bus of its own, with a home of its own.
fn on_session_bus(node: &Node, script: &str) -> Run {
    let home = node.dir().join("home");
    fs::create_dir_all(home.join("runtime")).unwrap();
    let mut command = Command::new("dbus-run-session");
    command.args(["--", "sh", "-euc", script, BINARY]).env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &home);
    command.env("XDG_RUNTIME_DIR", home.join("runtime")).env("XDG_DATA_HOME", home.join("data"));
    command.env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store()).env("REQUEST", request("r.test/a").trim_end());
    run(&mut command, "")
}

#[test]
fn a_desktop_keyring_holds_the_key() {
    let node = Node::bare();
    let script = r#"
        printf unlock | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1
        "$0" store init --key-source secret-service
        printf p | "$0" login r.test -u u --password-stdin
        echo "$REQUEST" | "$0" get-credentials
        "$0" store rekey
        echo "$REQUEST" | "$0" get-credentials
        "$0" store rekey --key-source host-key
    "#;
    let expected = answer("v1", "Registry", "0s", r#""r.test":{"username":"u","password":"p"}"#);
    let run = on_session_bus(&node, script);
    let talk = format!(
        "made a store at `{}`, its key in `secret-service`\nstored the credential for `r.test`\n\
         sealed everything anew; the key is in `secret-service`\nsealed everything anew; the key is in `host-key`\n",
        node.store().display()
    );
    let said: String =
        run.stderr.lines().filter(|line| !line.contains("dbus-daemon")).map(|line| format!("{line}\n")).collect();
    assert_eq!((run.code, run.stdout, said), (0, expected.repeat(2), talk));
    assert_eq!(node.ask("r.test/a"), Run::new(0, &expected, ""), "off the bus, with the host key");
}

#[test]
fn a_daemon_that_never_starts_is_given_up() {
    let node = Node::bare();
    let services = node.dir().join("home/data/dbus-1/services");
    fs::create_dir_all(&services).unwrap();
    // It outlives the bus, so it must not hold the test's pipes.
    let hang = r#"/bin/sh -c "exec sleep 60 >/dev/null 2>&1""#;
    let service = format!("[D-BUS Service]\nName=org.freedesktop.secrets\nExec={hang}\n");
    fs::write(services.join("org.freedesktop.secrets.service"), service).unwrap();
    let start = Instant::now();
    let run = on_session_bus(&node, r#"exec "$0" store init --key-source secret-service 2>&1"#);
    let expected = "error: Secret Service is unavailable: it did not answer within 5 seconds; its collection may be locked\n\
                    hint: run `keyring-credential-provider store status` on the node\n";
    assert_eq!((run.code, run.stdout.as_str()), (4, expected), "{}", run.stderr);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn without_a_bus_the_reason_is_named() {
    let node = Node::bare();
    let run = node.run(&["store", "init", "--key-source", "secret-service"], "");
    assert_eq!((run.code, run.stdout.as_str()), (4, ""));
    assert!(run.stderr.starts_with("error: Secret Service is unavailable: "), "{}", run.stderr);
}
