//! Writers that are killed, and disks that are full: the store holds the old state or the new one.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use keyring_credential_provider::store::Store;

use crate::support::{Node, Run};

/// A cheap generator with a fixed seed: the moments differ from each other, and a failure can be run again.
struct Moments(u64);

impl Moments {
    /// Returns a time below `limit`.
    fn next(&mut self, limit: Duration) -> Duration {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let part = u32::try_from(self.0 >> 40).unwrap();
        limit * part / (1 << 24)
    }
}

/// Starts the program, kills it after `delay`, and returns whether it was still running.
fn kill_after(node: &Node, arguments: &[&str], stdin: &str, delay: Duration) -> bool {
    let mut child =
        node.command(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // A program that was killed early does not read it.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    thread::sleep(delay);
    let running = child.try_wait().unwrap().is_none();
    let _ = child.kill();
    child.wait().unwrap();
    running
}

/// How long a whole run takes, so that kills fall into all of it.
fn time_of(mut run: impl FnMut()) -> Duration {
    (0..5)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .max()
        .unwrap()
}

#[test]
fn a_thousand_killed_writers_leave_the_old_or_the_new_state() {
    let node = Node::with(&["kept.test"]);
    let mut span = time_of(|| node.login("r.test", "u", "password-start"));
    let mut moments = Moments(1);
    let mut held = "password-start".to_owned();
    let (mut killed, mut old, mut new) = (0, 0, 0);
    for round in 0..1000 {
        let next = format!("password-{round}");
        let login = ["login", "r.test", "-u", "u", "--password-stdin"];
        // Follows the machine's speed, so that about half of the writers are killed while they run.
        let was_running = kill_after(&node, &login, &next, moments.next(span));
        span = if was_running { span * 21 / 20 } else { span * 19 / 20 };
        killed += i32::from(was_running);
        let opened = Store::at(node.store()).open().unwrap_or_else(|error| panic!("round {round}: {error}"));
        let found: Vec<_> = opened
            .credentials
            .iter()
            .map(|credential| (credential.scope.as_str(), std::str::from_utf8(credential.secret.expose()).unwrap()))
            .collect();
        assert_eq!(found[0], ("kept.test", "password-0"), "round {round}");
        assert_eq!((found.len(), found[1].0), (2, "r.test"), "round {round}");
        if found[1].1 == next {
            new += 1;
        } else {
            old += 1;
        }
        assert!([held.as_str(), next.as_str()].contains(&found[1].1), "round {round}: {}", found[1].1);
        held = found[1].1.to_owned();
    }
    // The numbers prove that the kills fell on both sides of the rename.
    assert!(killed >= 300 && old >= 100 && new >= 100, "killed {killed}, old {old}, new {new}");
    node.login("r.test", "u", "after");
    assert_eq!(fs::read_dir(node.store()).unwrap().count(), 3, "nothing is left behind");
}

#[test]
fn a_killed_rekey_loses_nothing() {
    let node = Node::with(&["r.test"]);
    let whole = time_of(|| drop(node.run(&["store", "rekey"], "").done()));
    let mut moments = Moments(2);
    let sources = ["host-key", "systemd-creds"];
    for round in 0..200 {
        let rekey = ["store", "rekey", "--key-source", sources[round % 2]];
        let limit = if round % 2 == 0 { whole } else { whole * 3 };
        kill_after(&node, &rekey, "", moments.next(limit));
        assert_eq!(node.credential("r.test/a"), Some(("r.test".to_owned(), "user-0".to_owned())), "round {round}");
    }
    node.run(&["store", "rekey", "--key-source", "host-key"], "").done();
    assert_eq!(fs::read_dir(node.store()).unwrap().count(), 3, "old keys are removed");
    node.run(&["store", "lock"], "").done();
}

#[test]
fn readers_beside_a_rekey_never_fail() {
    // Readers on the library, without a pause: some of them read the file just before its key is removed.
    let node = Node::with(&["r.test"]);
    let store = Store::at(node.store());
    thread::scope(|scope| {
        let rekeying = scope.spawn(|| (0..100).for_each(|_| drop(node.run(&["store", "rekey"], "").done())));
        let read = || {
            while !rekeying.is_finished() {
                let opened = store.open().unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(opened.credentials.len(), 1);
            }
        };
        thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(read))));
    });
}

#[test]
fn writers_beside_each_other_lose_nothing() {
    let node = Node::new();
    thread::scope(|scope| {
        for writer in 0..4 {
            let node = &node;
            scope.spawn(move || (0..10).for_each(|n| node.login(&format!("w{writer}.test/n{n}"), "u", "p")));
        }
    });
    let opened = Store::at(node.store()).open().unwrap();
    assert_eq!((opened.credentials.len(), opened.status.generation), (40, 41));
}

/// A file system of its own for the store, so that it can be filled.
struct SmallDisk<'a>(&'a Node);

impl<'a> SmallDisk<'a> {
    fn mount(node: &'a Node) -> Self {
        let dir = node.store();
        fs::create_dir(&dir).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs"]).arg(&dir).status();
        assert!(mounted.unwrap().success(), "root may mount a tmpfs");
        Self(node)
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.store()).status();
    }
}

#[test]
fn a_full_disk_keeps_the_old_state() {
    let node = Node::bare();
    let _disk = SmallDisk::mount(&node);
    node.run(&["store", "init", "--key-source", "host-key"], "").done();
    node.login("r.test", "u", "p");
    let filler = node.store().join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 512]).is_ok() {}
    drop(file);
    let before = fs::read(node.sealed()).unwrap();
    let full = |path: &str| {
        let path = node.store().join(path);
        let error =
            format!("error: cannot write `{}`\n  caused by: No space left on device (os error 28)\n", path.display());
        Run::new(4, "", &format!("{error}hint: check free space and permissions; nothing was changed\n"))
    };
    let login = node.run(&["login", "q.test", "-u", "u", "--password-stdin"], "p".repeat(4096));
    assert_eq!(login, full("credentials.sealed.new"));
    assert_eq!(node.run(&["store", "rekey", "--key-source", "systemd-creds"], ""), full("credentials.sealed.new"));
    assert_eq!(node.run(&["store", "rekey"], "").code, 4);
    assert_eq!(fs::read(node.sealed()).unwrap(), before);
    assert_eq!(node.credential("r.test/a"), Some(("r.test".to_owned(), "u".to_owned())));
    fs::remove_file(&filler).unwrap();
    node.login("q.test", "u", "p");
    assert_eq!(fs::read_dir(node.store()).unwrap().count(), 3, "nothing is left behind");
}
