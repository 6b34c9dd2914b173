//! `helper`: scripts that keep to the protocol of Docker's credential helpers, or do not, and the real one for `pass`.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::json;

use super::{ask, ask_for_pod, assert_kept, login, parts, pod_token};
use crate::support::{Node, Run, run};

/// Writes a helper that takes down how it was called and then does this.
#[track_caller]
fn script(node: &Node, does: &str) -> PathBuf {
    let path = node.dir().join("docker-credential-test");
    let text = format!("#!/bin/sh\necho \"$*\" >> \"$0.calls\"\ncat > \"$0.stdin\"\nenv > \"$0.env\"\n{does}\n");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn says(answer: &serde_json::Value) -> String {
    format!("cat <<'END'\n{answer}\nEND")
}

/// A node with an entry that a script answers.
#[track_caller]
fn node(scope: &str, settings: &[&str], does: &str) -> (Node, PathBuf) {
    let node = Node::new();
    let program = script(&node, does);
    let program_setting = format!("program={}", program.display());
    let settings: Vec<&str> = [program_setting.as_str()].into_iter().chain(settings.iter().copied()).collect();
    login(&node, scope, "helper", &settings, "").done();
    (node, program)
}

fn beside(program: &Path, suffix: &str) -> String {
    fs::read_to_string(format!("{}.{suffix}", program.display())).unwrap_or_default()
}

#[test]
fn the_protocol_is_kept_and_the_answer_cached() {
    let answer = json!({ "ServerURL": "r.test:5000", "Username": "bot", "Secret": "from helper" });
    let settings = ["environment=PASSWORD_STORE_DIR=/srv/a b,HOME=/nonexistent"];
    let (node, program) = node("r.test:5000", &settings, &says(&answer));
    let mut command = node.command(&["get-credentials"]);
    command.env("HOME", "/elsewhere").env("TMP", "/var/tmp").env("AWS_SECRET_ACCESS_KEY", "not for it");
    let (user, password, seconds, key) = parts(run(&mut command, crate::support::request("r.test:5000/a")));
    assert_eq!((user.as_str(), password.as_str(), key.as_str()), ("bot", "from helper", "r.test:5000"));
    // Nobody says how long it is good: five minutes.
    assert_kept(seconds, 300 - 60 - 150);
    assert_eq!((beside(&program, "calls"), beside(&program, "stdin")), ("get\n".to_owned(), "r.test:5000".to_owned()));
    let environment = beside(&program, "env");
    let mut names: Vec<&str> =
        environment.lines().filter(|line| !line.starts_with("PWD=") && !line.starts_with("_=")).collect();
    names.sort_unstable();
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(names, ["HOME=/nonexistent", "PASSWORD_STORE_DIR=/srv/a b", path, "TMP=/var/tmp"]);
    assert_eq!(parts(ask(&node, "r.test:5000/b", "10s")).1, "from helper");
    assert_eq!(beside(&program, "calls"), "get\n");
}

#[test]
fn the_server_is_named_as_docker_names_it() {
    let answer = says(&json!({ "ServerURL": "", "Username": "bot", "Secret": "s" }));
    for (scope, settings, image, server) in [
        ("docker.io", &[][..], "nginx", "https://index.docker.io/v1/"),
        ("*.r.test", &[], "a.r.test/x", "a.r.test"),
        ("r.test/team", &["server=https://r.test/v2"], "r.test/team/x", "https://r.test/v2"),
    ] {
        let (node, program) = node(scope, settings, &answer);
        parts(ask(&node, image, "10s"));
        assert_eq!(beside(&program, "stdin"), server, "{scope}");
    }
}

/// An identity token is for `docker`, which exchanges it; as a user name, `<token>` would be taken at its word.
#[test]
fn peer_bug_an_identity_token_is_never_answered_as_a_user() {
    let answer = says(&json!({ "ServerURL": "r.test", "Username": "<token>", "Secret": "identity-token" }));
    let (node, program) = node("r.test", &[], &answer);
    let expected = format!(
        "keyring-credential-provider: r.test: `{}` answered with something else than was asked for: an identity token; set \
         `username` if the registry takes one as a password; check what is stored with `keyring-credential-provider explain`\n",
        program.display()
    );
    assert_eq!(ask(&node, "r.test/a", "10s"), Run::new(1, "", &expected));
    for (scope, settings, user) in [
        ("r.test", &["username=oauth2"][..], "oauth2"),
        ("acme.azurecr.io", &[], "00000000-0000-0000-0000-000000000000"),
        ("acme.azurecr.cn", &["username=other"], "other"),
    ] {
        let (node, _) = self::node(scope, settings, &answer);
        let (name, password, _, _) = parts(ask(&node, &format!("{scope}/a"), "10s"));
        assert_eq!((name.as_str(), password.as_str()), (user, "identity-token"));
    }
}

#[test]
fn a_web_token_says_when_it_ends() {
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"iat":1000,"exp":4600}"#);
    let answer = json!({ "ServerURL": "r.test", "Username": "bot", "Secret": format!("e30.{claims}.c2ln") });
    let (node, _) = node("r.test", &[], &says(&answer));
    assert_kept(parts(ask(&node, "r.test/a", "10s")).2, 3600 - 60 - 900);
}

/// What a helper prints may be anything: a sentence that is known is repeated, nothing else of its standard output is.
#[test]
fn a_helper_that_fails_is_named_and_its_output_is_not_shown() {
    let token = "dckr_pat_0123456789012345678901234567890123456789";
    let explain = "check what is stored with `keyring-credential-provider explain`";
    let by_hand = "run it by hand with `get`, as the kubelet's user";
    let odd = "answered with something else than was asked for: no JSON with `Username` and `Secret`";
    for (does, reason, remedy) in [
        (
            "echo 'credentials not found in native keychain'; exit 1".to_owned(),
            "has no credential for `r.test`",
            by_hand,
        ),
        (
            format!("echo {token}; echo 'cannot open {token}: locked' >&2; exit 3"),
            "failed: exit status: 3: cannot open ***: locked",
            by_hand,
        ),
        (says(&json!({ "Username": "", "Secret": token })), "has no credential for `r.test`", by_hand),
        ("exit 1".to_owned(), "failed: exit status: 1: no message", by_hand),
        (format!("echo {token}"), odd, explain),
        (says(&json!({ "username": "bot", "secret": token })), odd, explain),
        ("head -c 1000000 /dev/zero | tr '\\0' ' '".to_owned(), odd, explain),
    ] {
        let (node, program) = node("r.test", &[], &does);
        let expected = format!("keyring-credential-provider: r.test: `{}` {reason}; {remedy}\n", program.display());
        assert_eq!(ask(&node, "r.test/a", "10s"), Run::new(1, "", &expected), "{does}");
    }
}

/// The kubelet waits for whoever holds the plugin's pipes, for longer than its own time-out.
#[test]
fn peer_bug_a_helper_that_hangs_is_killed_with_its_children_in_time() {
    // One hangs itself; the other ends, and leaves a child with its pipes.
    for does in ["sleep 60 & echo $! > \"$0.child\"; sleep 60", "sleep 60 & echo $! > \"$0.child\""] {
        let (node, program) = node("r.test", &[], does);
        let start = Instant::now();
        let run = ask(&node, "r.test/a", "2s");
        assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
        let expected = format!(
            "keyring-credential-provider: r.test: `{}` did not answer in time; check the address, the proxy, `ca-file` and the \
             network\n",
            program.display()
        );
        assert_eq!(run, Run::new(1, "", &expected));
        let child = beside(&program, "child");
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.trim())).unwrap_or_default();
        let is_gone = stat.is_empty() || stat.contains(") Z ");
        assert!(!child.is_empty() && is_gone, "{does}: {stat}");
    }
}

#[test]
fn a_program_that_others_could_replace_is_not_run() {
    let (node, program) = node("r.test", &[], &says(&json!({ "Username": "bot", "Secret": "s" })));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o757)).unwrap();
    let run = ask(&node, "r.test/a", "10s");
    let reason = format!("`{0}` is not run, because `{0}` has mode 0757", program.display());
    assert!(run.code == 1 && run.stdout.is_empty() && run.stderr.contains(&reason), "{run:?}");
    assert_eq!(beside(&program, "calls"), "");
    let (node, program) = self::node("s.test", &[], "");
    fs::remove_file(program).unwrap();
    let run = ask(&node, "s.test/a", "10s");
    assert!(run.code == 1 && run.stderr.contains("cannot be looked at: entity not found"), "{run:?}");
}

/// A helper answers for the node, so an entry that is for pods alone never asks it without one.
#[test]
fn an_entry_for_pods_asks_no_helper_without_one() {
    let answer = says(&json!({ "Username": "bot", "Secret": "s" }));
    let (node, program) = node("r.test", &["allow=team-a/builder"], &answer);
    assert_eq!(ask(&node, "r.test/a", "10s").code, 1);
    assert_eq!(ask_for_pod(&node, "r.test/a", &pod_token("team-a", "deployer"), "10s").code, 1);
    assert_eq!(beside(&program, "calls"), "");
    assert_eq!(parts(ask_for_pod(&node, "r.test/a", &pod_token("team-a", "builder"), "10s")).0, "bot");
}

#[test]
fn login_says_what_is_wrong() {
    let node = Node::new();
    let name = "setting `program` is no absolute path of a program whose name begins with `docker-credential-`";
    let variables = "setting `environment` is no list of `NAME=VALUE`, with `,` between";
    let program = "program=/usr/bin/docker-credential-pass";
    for (settings, secret, error) in [
        (&[][..], "", "issuer `helper` needs `program`; give them as settings"),
        (&["program=pass"], "", name),
        (&["program=docker-credential-pass"], "", name),
        (&["program=/bin/sh"], "", name),
        (&["program=/usr/bin/docker-credential-"], "", name),
        (&["program=/usr/bin/../../tmp/docker-credential-x"], "", name),
        (&["program=/usr/bin/docker-credential-x y"], "", name),
        (&[program, "environment=HOME"], "", variables),
        (&[program, "environment=A B=c"], "", variables),
        (&[program, "-u me"], "", "issuer `helper` takes no user and password with these settings"),
        (&[program], "s", "issuer `helper` takes no user and password with these settings"),
    ] {
        let run = login(&node, "r.test", "helper", settings, secret);
        assert_eq!(run, Run::new(2, "", &format!("error: {error}\n")), "{settings:?}");
    }
}

/// The program that Docker gives away for `pass`, with a password store and a key of its own.
#[test]
fn a_real_helper() {
    let program = Path::new("/usr/bin/docker-credential-pass");
    if !program.is_file() {
        assert!(std::env::var_os("CI").is_none(), "no Docker helper: call `tests/tools.sh helper`");
        let _ = writeln!(io::stderr(), "\nTHE TEST OF A REAL HELPER DID NOT RUN: call `tests/tools.sh helper`\n");
        return;
    }
    let node = Node::new();
    let (home, keys, passwords) = (node.dir().join("home"), node.dir().join("gpg"), node.dir().join("passwords"));
    for dir in [&home, &keys] {
        fs::create_dir(dir).unwrap();
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).unwrap();
    }
    let tool = |program: &str, arguments: &[&str], input: &str| {
        let mut command = Command::new(program);
        command.args(arguments).env("HOME", &home).env("GNUPGHOME", &keys).env("PASSWORD_STORE_DIR", &passwords);
        run(&mut command, input).done()
    };
    let key = ["--batch", "--quiet", "--passphrase", "", "--quick-generate-key", "kcp@node.test", "future-default"];
    tool("gpg", &key, "");
    tool("pass", &["init", "kcp@node.test"], "");
    for (server, secret) in [("r.test", "p&ss wörd"), ("https://index.docker.io/v1/", "dckr_pat_x")] {
        let stored = json!({ "ServerURL": server, "Username": "robot$a", "Secret": secret });
        tool(program.to_str().unwrap(), &["store"], &stored.to_string());
    }
    let environment = format!(
        "environment=HOME={},GNUPGHOME={},PASSWORD_STORE_DIR={}",
        home.display(),
        keys.display(),
        passwords.display()
    );
    for scope in ["r.test", "docker.io", "unknown.test"] {
        login(&node, scope, "helper", &["program=/usr/bin/docker-credential-pass", &environment], "").done();
    }
    for (image, secret) in [("r.test/a", "p&ss wörd"), ("nginx", "dckr_pat_x")] {
        let (user, password, _, _) = parts(ask(&node, image, "30s"));
        assert_eq!((user.as_str(), password.as_str()), ("robot$a", secret));
    }
    let expected = "keyring-credential-provider: unknown.test: `/usr/bin/docker-credential-pass` has no credential for \
                    `unknown.test`; run it by hand with `get`, as the kubelet's user\n";
    assert_eq!(ask(&node, "unknown.test/a", "30s"), Run::new(1, "", expected));
    tool("gpgconf", &["--kill", "all"], "");
}
