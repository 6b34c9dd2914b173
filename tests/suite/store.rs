//! The sealed store: what it refuses, what it survives.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use crate::support::{Dir, Node, Run, request};

fn refused(reason: &str) -> Run {
    Run::new(1, "", &format!("keyring-credential-provider: r.test: {reason}\n"))
}

const RESTORE: &str = "restore the owner and mode, or make the store anew";

/// The store's bytes, as they are.
fn bytes(node: &Node) -> Vec<u8> {
    fs::read(node.sealed()).unwrap()
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

#[test]
fn every_bit_flip_and_every_truncation_is_corrupt() {
    // On the library: ten thousand processes would take minutes, and say the same.
    let node = Node::with(&["r.test"]);
    let store = keyring_credential_provider::store::Store::at(node.store());
    let good = bytes(&node);
    let expect_corrupt = |changed: &[u8], what: String| {
        overwrite(&node.sealed(), changed);
        match store.open() {
            Err(keyring_credential_provider::store::Error::Corrupt { .. }) => {}
            other => panic!("{what}: {other:?}"),
        }
    };
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        expect_corrupt(&changed, format!("bit {bit} flipped"));
    }
    for length in 0..good.len() {
        expect_corrupt(&good[..length], format!("cut to {length} bytes"));
    }
    expect_corrupt(&[&good[..], b"\0"].concat(), "one byte more".to_owned());
    overwrite(&node.sealed(), &good);
    assert!(store.open().is_ok());
}

#[test]
fn a_damaged_file_is_one_line_for_the_kubelet() {
    let node = Node::with(&["r.test"]);
    let path = node.sealed();
    let remedy = "restore it from a backup, or remove it and run `store init` and `login` again";
    let good = bytes(&node);
    let table = [
        (9, "its header is damaged"),
        (0, "it does not start as a sealed file does"),
        (good.len() - 1, "its content is not authentic"),
    ];
    for (at, reason) in table {
        let mut changed = good.clone();
        changed[at] ^= 0xff;
        overwrite(&path, &changed);
        let reason = if at == 9 { "it is too short" } else { reason };
        assert_eq!(
            node.ask("r.test/a"),
            refused(&format!("store `{}` is corrupt: {reason}; {remedy}", path.display()))
        );
    }
}

#[test]
fn entries_cannot_be_moved_between_stores() {
    let (one, two) = (Node::with(&["r.test"]), Node::with(&["r.test"]));
    fs::copy(one.sealed(), two.sealed()).unwrap();
    let run = two.ask("r.test/a");
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    assert!(run.stderr.contains("is locked: the host key is missing; "), "{}", run.stderr);
    fs::remove_file(two.host_key()).unwrap();
    fs::copy(one.host_key(), two.store().join(one.host_key().file_name().unwrap())).unwrap();
    // Both together are the other store; on the same node that is a copy, and opens.
    assert_eq!(two.ask("r.test/a").code, 0);
}

#[test]
fn open_files_and_directories_are_refused_by_name() {
    let node = Node::with(&["r.test"]);
    let (sealed, store) = (node.sealed(), node.store());
    let key = node.host_key();
    let chmod = |path: &Path, mode: u32| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    for (path, good, bad, reason) in [
        (&sealed, 0o600, 0o644, "has mode 0644, must be 0600"),
        (&sealed, 0o600, 0o620, "has mode 0620, must be 0600"),
        (&key, 0o400, 0o444, "has mode 0444, must be 0600"),
        (&store, 0o700, 0o755, "has mode 0755, must be 0700"),
    ] {
        chmod(path, bad);
        assert_eq!(node.ask("r.test/a"), refused(&format!("`{}` {reason}; {RESTORE}", path.display())));
        chmod(path, good);
        assert_eq!(node.ask("r.test/a").code, 0);
    }
}

#[test]
fn a_directory_above_that_others_may_write_is_refused() {
    let node = Node::with(&["r.test"]);
    fs::set_permissions(node.dir(), Permissions::from_mode(0o777)).unwrap();
    let reason = format!(
        "`{}` lies below `{}`, which uid 0 owns with mode 0777: others could replace it; {RESTORE}",
        node.store().display(),
        node.dir().display()
    );
    assert_eq!(node.ask("r.test/a"), refused(&reason));
}

#[test]
fn what_is_no_plain_file_is_refused_and_never_waited_for() {
    let node = Node::with(&["r.test"]);
    let sealed = node.sealed();
    let kept = node.dir().join("kept");
    fs::rename(&sealed, &kept).unwrap();
    let expect = |reason: &str| {
        assert_eq!(node.ask("r.test/a"), refused(&format!("`{}` {reason}; {RESTORE}", sealed.display())));
        if sealed.is_dir() {
            fs::remove_dir(&sealed).unwrap();
        } else {
            fs::remove_file(&sealed).unwrap();
        };
    };

    symlink(&kept, &sealed).unwrap();
    expect("is a symbolic link, must be a regular file");

    assert!(Command::new("mkfifo").arg("-m600").arg(&sealed).status().unwrap().success());
    expect("is no regular file");

    fs::create_dir(&sealed).unwrap();
    expect("is no regular file");

    fs::hard_link(&kept, &sealed).unwrap();
    expect("has 2 names (hard links), must have one");

    let sparse = fs::OpenOptions::new().create_new(true).write(true).open(&sealed).unwrap();
    fs::set_permissions(&sealed, Permissions::from_mode(0o600)).unwrap();
    sparse.set_len(10 << 30).unwrap();
    expect("has 10737418240 bytes, more than the 67108864 that a store may have");

    fs::rename(&kept, &sealed).unwrap();
    assert_eq!(node.ask("r.test/a").code, 0);
}

#[test]
fn a_linked_store_directory_is_refused() {
    let node = Node::with(&["r.test"]);
    let moved = node.dir().join("moved");
    fs::rename(node.store(), &moved).unwrap();
    symlink(&moved, node.store()).unwrap();
    assert_eq!(
        node.ask("r.test/a"),
        refused(&format!("`{}` is a symbolic link, must be a directory; {RESTORE}", node.store().display()))
    );
}

#[test]
fn a_foreign_owner_is_refused() {
    let node = Node::with(&["r.test"]);
    for path in [node.sealed(), node.host_key(), node.store()] {
        std::os::unix::fs::chown(&path, Some(65534), None).unwrap();
        assert_eq!(
            node.ask("r.test/a"),
            refused(&format!("`{}` belongs to uid 65534, must belong to uid 0; {RESTORE}", path.display()))
        );
        std::os::unix::fs::chown(&path, Some(0), None).unwrap();
    }
    assert_eq!(node.ask("r.test/a").code, 0);
}

#[test]
fn another_user_is_told_to_become_root() {
    let node = Node::with(&["r.test"]);
    // Where uid 65534 can reach it.
    let binary = node.dir().join("plugin");
    fs::copy(crate::support::BINARY, &binary).unwrap();
    fs::set_permissions(node.dir(), Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |arguments: &[&str], stdin: &str| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(&binary).args(arguments);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
        crate::support::run(&mut command, stdin)
    };
    let store = node.store();
    let reason = format!("`{}` belongs to uid 0, must belong to uid 65534", store.display());
    // Root's directory is fine, and closed to this user; the file behind it cannot be reached.
    let expected = format!("`{}` cannot be read: Permission denied (os error 13)", node.sealed().display());
    assert_ne!(reason, expected);
    assert_eq!(
        as_nobody(&["get-credentials"], &request("r.test/a")),
        refused(&format!("{expected}; run as root or Administrator"))
    );
    assert_eq!(
        as_nobody(&["list"], ""),
        Run::new(9, "", &format!("error: {expected}\nhint: run as root or Administrator\n"))
    );
}

#[test]
fn a_missing_or_foreign_host_key_locks_the_store() {
    let node = Node::with(&["r.test"]);
    let key = node.host_key();
    let good = fs::read(&key).unwrap();
    let remedy = "run `keyring-credential-provider store status` on the node";
    let locked = |reason: &str| refused(&format!("store `{}` is locked: {reason}; {remedy}", key.display()));
    fs::remove_file(&key).unwrap();
    assert_eq!(node.ask("r.test/a"), locked("the host key is missing"));
    for bad in [vec![7; 32], good[..31].to_vec(), Vec::new()] {
        overwrite(&key, &bad);
        fs::set_permissions(&key, Permissions::from_mode(0o400)).unwrap();
        assert_eq!(node.ask("r.test/a"), locked("the host key is not the one it was sealed with"));
        fs::remove_file(&key).unwrap();
    }
    overwrite(&key, &good);
    fs::set_permissions(&key, Permissions::from_mode(0o400)).unwrap();
    assert_eq!(node.ask("r.test/a").code, 0);
}

#[test]
fn an_older_file_is_a_roll_back_until_it_is_accepted() {
    let node = Node::with(&["r.test"]);
    let old = bytes(&node);
    node.login("q.test", "u", "p");
    overwrite(&node.sealed(), &old);
    let reason =
        format!("store `{}` was rolled back: it is generation 2, and 3 has been seen", node.sealed().display());
    let remedy = "if you restored a backup, run `store rekey --accept-rollback`";
    assert_eq!(node.ask("r.test/a"), refused(&format!("{reason}; {remedy}")));
    let login = node.run(&["login", "x.test", "-u", "u", "--password-stdin"], "p");
    assert_eq!(login, Run::new(4, "", &format!("error: {reason}\nhint: {remedy}\n")));
    assert_eq!(node.run(&["store", "rekey"], "").code, 4);
    node.run(&["store", "rekey", "--accept-rollback"], "").done();
    assert_eq!(node.credential("r.test/a"), Some(("r.test".to_owned(), "user-0".to_owned())));
    assert_eq!(node.credential("q.test/a"), None);
    let status: serde_json::Value =
        serde_json::from_str(&node.run(&["store", "status", "--output", "json"], "").done()).unwrap();
    assert_eq!(status["generation"], 4);
}

#[test]
fn a_reader_that_meets_a_newer_file_raises_the_mark() {
    let node = Node::with(&["r.test"]);
    let status: serde_json::Value =
        serde_json::from_str(&node.run(&["store", "status", "--output", "json"], "").done()).unwrap();
    let mark = Path::new("/run/keyring-credential-provider").join(status["storeId"].as_str().unwrap());
    // As after a reboot.
    fs::remove_file(&mark).unwrap();
    assert_eq!(node.ask("r.test/a").code, 0);
    assert_eq!(fs::read(&mark).unwrap(), 2_u64.to_le_bytes());
    assert_eq!(fs::metadata(&mark).unwrap().permissions().mode() & 0o7777, 0o600);
}

#[test]
fn files_are_closed_from_the_start() {
    let node = Node::with(&["r.test"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&node.store()), 0o700);
    assert_eq!(mode(&node.sealed()), 0o600);
    assert_eq!(mode(&node.host_key()), 0o400);
    let names: Vec<_> = fs::read_dir(node.store()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn the_file_shows_neither_names_nor_lengths() {
    let short = Node::with(&["r.test"]);
    let long = Node::new();
    long.login("registry-with-a-long-name.example.test:5000/team/project", "somebody", &"x".repeat(500));
    assert_eq!(bytes(&short).len(), bytes(&long).len());
    for word in ["registry", "somebody", "xxxx"] {
        assert!(!bytes(&long).windows(word.len()).any(|window| window == word.as_bytes()), "{word}");
    }
}

#[test]
fn secrets_of_any_size_fit() {
    let node = Node::new();
    for size in [1, 2_560, 2_561, 32_768, 1_048_576] {
        let password = "p".repeat(size);
        node.login("r.test", "u", &password);
        let answer: serde_json::Value = serde_json::from_str(&node.ask("r.test/a").done()).unwrap();
        assert_eq!(answer["auth"]["r.test"]["password"].as_str().unwrap().len(), size);
    }
    let run = node.run(&["login", "r.test", "-u", "u", "--password-stdin"], "p".repeat(1_048_577));
    assert_eq!(run, Run::new(2, "", "error: password is longer than 1048576 bytes\n"));
}

#[test]
fn init_never_overwrites() {
    let node = Node::with(&["r.test"]);
    let before = bytes(&node);
    assert_eq!(
        node.run(&["store", "init", "--key-source", "host-key"], ""),
        Run::new(
            6,
            "",
            &format!(
                "error: there is a store at `{}` already\nhint: use it, or remove the directory first\n",
                node.store().display()
            )
        )
    );
    assert_eq!(bytes(&node), before);
    assert_eq!(node.ask("r.test/a").code, 0);
}

#[test]
fn init_refuses_a_directory_that_somebody_else_made() {
    let node = Node::bare();
    fs::create_dir(node.store()).unwrap();
    let run = node.run(&["store", "init", "--key-source", "host-key"], "");
    assert_eq!(
        run,
        Run::new(4, "", &format!("error: `{}` has mode 0755, must be 0700\nhint: {RESTORE}\n", node.store().display()))
    );
}

#[test]
fn rekey_changes_every_key_and_keeps_every_credential() {
    let node = Node::with(&["r.test", "q.test/team"]);
    let (old_file, old_key) = (bytes(&node), node.host_key());
    let old_key_bytes = fs::read(&old_key).unwrap();
    let run = node.run(&["store", "rekey"], "");
    assert_eq!(run, Run::new(0, "", "sealed everything anew; the key is in `host-key`\n"));
    assert!(!old_key.exists());
    assert_ne!(fs::read(node.host_key()).unwrap(), old_key_bytes);
    assert_eq!(node.credential("r.test/a"), Some(("r.test".to_owned(), "user-0".to_owned())));
    assert_eq!(node.credential("q.test/team/a"), Some(("q.test/team/a".to_owned(), "user-1".to_owned())));
    // The old file no longer opens, even where roll-back is accepted.
    overwrite(&node.sealed(), &old_file);
    let run = node.run(&["store", "rekey", "--accept-rollback"], "");
    assert_eq!(run.code, 4, "{run:?}");
}

#[test]
fn a_store_of_another_machine_is_refused_until_it_is_accepted() {
    // A mount namespace with another /etc/machine-id stands for the other machine.
    let node = Node::with(&["r.test"]);
    let other_id = node.dir().join("machine-id");
    fs::write(&other_id, "0123456789abcdef0123456789abcdef\n").unwrap();
    let elsewhere = |arguments: &[&str], stdin: &str| {
        let mut command = Command::new("unshare");
        let script = format!("mount --bind {} /etc/machine-id && exec \"$@\"", other_id.display());
        command.args(["--mount", "sh", "-c", &script, "sh", crate::support::BINARY]).args(arguments);
        command.env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
        crate::support::run(&mut command, stdin)
    };
    let remedy =
        "if this is the same machine with a new identity, run `store rekey --accept-node`; else `store init` anew";
    assert_eq!(
        elsewhere(&["get-credentials"], &request("r.test/a")),
        refused(&format!("store `{}` was sealed on another machine; {remedy}", node.sealed().display()))
    );
    elsewhere(&["store", "rekey", "--accept-node"], "").done();
    assert_eq!(elsewhere(&["get-credentials"], &request("r.test/a")).code, 0);
    assert_eq!(node.ask("r.test/a").code, 1, "and now it belongs to the other");
}

#[test]
fn status_says_what_is_there_and_whether_it_opens() {
    let node = Node::with(&["r.test"]);
    let status = node.run(&["store", "status"], "").done();
    let shown: Vec<&str> = status.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(
        shown,
        [
            "directory",
            "state",
            "credentials",
            "generation",
            "store id",
            "key source",
            "key id",
            "data key cached",
            "bound to node",
            "created"
        ]
    );
    let key = node.host_key();
    fs::remove_file(&key).unwrap();
    let run = node.run(&["store", "status", "--output", "json"], "");
    assert_eq!(run.code, 4);
    let status: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(status["state"], format!("store `{}` is locked: the host key is missing", key.display()));
    assert_eq!((&status["credentials"], &status["generation"]), (&serde_json::Value::Null, &2.into()));
}

#[test]
fn the_whole_format_is_pinned() {
    // A file of the first version, with its key, made once: later versions must open it. It is bound to no machine.
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store-v1");
    let dir = Dir::new();
    let store = dir.path().join("store");
    fs::create_dir(&store).unwrap();
    fs::set_permissions(&store, Permissions::from_mode(0o700)).unwrap();
    for (name, mode) in [("credentials.sealed", 0o600), ("host-65eda5b69299a7c1.key", 0o400)] {
        fs::copy(data.join(name), store.join(name)).unwrap();
        fs::set_permissions(store.join(name), Permissions::from_mode(mode)).unwrap();
    }
    let opened = keyring_credential_provider::store::Store::at(&store).open().unwrap();
    let found: Vec<_> = opened
        .credentials
        .iter()
        .map(|c| (c.scope.as_str(), c.username.as_str(), c.secret.expose(), c.issuer.as_str(), c.expires_at))
        .collect();
    assert_eq!(
        found,
        [
            ("*.example.test/team", "robot$app", "päss\"wörd".as_bytes(), "static", Some(4_102_444_800)),
            ("docker.io", "alice", b"fake-1".as_slice(), "static", None),
        ]
    );
}

#[test]
fn init_leaves_a_store_that_is_there() {
    let node = Node::with(&["r.test"]);
    let before = fs::read(node.sealed()).unwrap();
    let dir = node.store().display().to_string();
    let refused = format!("error: there is a store at `{dir}` already\nhint: use it, or remove the directory first\n");
    assert_eq!(node.run(&["store", "init"], ""), Run::new(6, "", &refused));
    let kept = format!("the store at `{dir}` stays as it is\n");
    assert_eq!(node.run(&["store", "init", "--if-missing"], ""), Run::new(0, "", &kept));
    let object = format!("{{\"directory\":\"{dir}\",\"keySource\":null}}\n");
    let json = node.run(&["store", "init", "--if-missing", "--output", "json"], "").done();
    assert_eq!(json.split_whitespace().collect::<String>() + "\n", object);
    assert_eq!(fs::read(node.sealed()).unwrap(), before);
    // What is there and does not open is not replaced either.
    fs::write(node.sealed(), "rotten").unwrap();
    assert_eq!(node.run(&["store", "init", "--if-missing"], ""), Run::new(0, "", &kept));
    assert_eq!(fs::read(node.sealed()).unwrap(), b"rotten");
}
