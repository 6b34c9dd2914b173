//! `node` with a kubelet that runs: restarts, and what happens when it does not come up.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use keyring_credential_provider::kubelet::config::System;

use crate::node::{KUBEADM_UNIT, Tree, program};
use crate::support::{Run, run};

/// A node that this program sees as its own machine, by chroot(2): `systemctl` is a script that starts a kubelet, which is a
/// file below `/proc`, with the flags that stand in `/etc/default/kubelet`.
struct Machine {
    tree: Tree,
}

const SYSTEMCTL: &str = r#"#!/bin/sh
read n </n
echo $((n + 1)) >/n
. /etc/default/kubelet
echo "4242 (kubelet) S 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 $n 0" >/proc/4242/stat
: >/proc/4242/cmdline
[ ! -e /dead ] || [ "$n" -lt 101 ] || exit 0
case $KUBELET_EXTRA_ARGS in *image-credential*) [ ! -e /broken ] || exit 0 ;; esac
for word in /usr/bin/kubelet $KUBELET_EXTRA_ARGS; do printf '%s\000' "$word"; done >/proc/4242/cmdline
"#;

impl Machine {
    fn new(sign: &str) -> Self {
        let settings = "KUBELET_EXTRA_ARGS=\"--max-pods=42\"\n";
        let cmdline = "/usr/bin/kubelet\0--max-pods=42\0";
        let files = [
            KUBEADM_UNIT,
            ("/etc/default/kubelet", settings),
            ("/proc/4242/cmdline", cmdline),
            ("/proc/4242/stat", "4242 (kubelet) S 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0"),
            ("/n", "100\n"),
            (sign, ""),
            ("/usr/bin/systemctl!", SYSTEMCTL),
        ];
        let tree = Tree::new(&files, &[]);
        let libraries = String::from_utf8(Command::new("ldd").arg("/bin/sh").output().unwrap().stdout).unwrap();
        let libraries = libraries.split_whitespace().filter(|word| word.starts_with('/'));
        for file in libraries.chain(["/bin/sh"]) {
            fs::create_dir_all(tree.path(file).parent().unwrap()).unwrap();
            fs::copy(file, tree.path(file)).unwrap();
        }
        fs::copy(program(System::Linux), tree.path("/kcp")).unwrap();
        Self { tree }
    }

    fn node(&self, arguments: &[&str]) -> Run {
        let mut command = Command::new("/usr/sbin/chroot");
        command.arg(self.tree.dir.path()).args(["/kcp", "node"]).args(arguments).env_clear();
        run(command.args(["--kubelet-version", "1.34"]), "")
    }

    fn apply(&self, arguments: &[&str]) -> Run {
        self.node(&[&["apply", "--yes", "--match-image", "r.test", "--binary", "/kcp"], arguments].concat())
    }

    /// The node's own files, without those of the machinery.
    fn files(&self) -> BTreeMap<String, (u32, Vec<u8>)> {
        let mut files = self.tree.files();
        files.retain(|name, _| name.starts_with("etc/") || name.contains("credential-provider"));
        files
    }
}

#[test]
fn a_kubelet_that_does_not_come_up_gets_everything_back() {
    // The kubelet's health port, for as long as this test runs.
    let listener = std::net::TcpListener::bind("127.0.0.1:10248").unwrap();
    std::thread::spawn(move || {
        use std::io::{Read, Write};
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 256]);
            let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nok");
        }
    });

    let well = Machine::new("/well");
    let original = well.files();
    let apply = well.apply(&["--restart", "--wait", "4s"]);
    assert_eq!((apply.code, apply.stderr.as_str()), (0, "the plugin is on this node\n"), "{apply:#?}");
    let verify = well.node(&["verify"]).done();
    assert!(verify.ends_with("ok   the kubelet, process 4242, runs with it\n"), "{verify}");
    let uninstall = well.node(&["uninstall", "--yes", "--restart", "--wait", "4s"]);
    assert_eq!((uninstall.code, uninstall.stderr.as_str()), (0, "the plugin is off this node\n"), "{uninstall:#?}");
    assert_eq!(well.files(), original);

    // Without `--restart`, the kubelet is left alone, and so is the program that it still calls.
    let told = "a restart is needed for this to take effect; run: systemctl restart kubelet\n";
    assert_eq!(well.apply(&[]).stderr, format!("the plugin is on this node\n{told}"));
    assert_eq!(well.apply(&[]), Run::new(0, "", &format!("nothing to change\n{told}")));
    assert!(well.node(&["verify"]).stdout.ends_with("was not restarted since\n"));
    let late = well.apply(&["--restart", "--wait", "4s"]);
    assert_eq!(late, Run::new(0, "", "restarted the kubelet\n"));
    well.node(&["verify"]).done();
    let stays = "the program stays until the kubelet was restarted; run this again then\n";
    let uninstall = well.node(&["uninstall", "--yes"]);
    assert_eq!(uninstall.stderr, format!("{told}{stays}"), "{uninstall:#?}");
    assert_eq!(well.files().len(), original.len() + 1);
    assert_eq!(well.node(&["uninstall", "--yes"]), Run::new(0, "", &format!("nothing to change\n{told}{stays}")));
    let restart =
        Command::new("/usr/sbin/chroot").arg(well.tree.dir.path()).arg("/usr/bin/systemctl").status().unwrap();
    assert!(restart.success());
    assert_eq!(well.node(&["uninstall", "--yes"]).stderr, "the plugin is off this node\n");
    assert_eq!(well.files(), original);

    let broken = Machine::new("/broken");
    let original = broken.files();
    let apply = broken.apply(&["--restart", "--wait", "4s"]);
    let stderr = "error: the kubelet did not come up with the change, which was taken back: no kubelet runs\nhint: the kubelet's log says why\n";
    assert_eq!((apply.code, apply.stderr.as_str()), (7, stderr), "{apply:#?}");
    assert_eq!(broken.files(), original);
    assert_eq!(broken.tree.text("/proc/4242/cmdline"), "/usr/bin/kubelet\0--max-pods=42\0");

    let dead = Machine::new("/dead");
    fs::write(dead.tree.path("/n"), "101\n").unwrap();
    let original = dead.files();
    let apply = dead.apply(&["--restart", "--wait", "2s"]);
    let stderr = "error: the kubelet did not come up with the change (no kubelet runs), nor after it was taken back: no kubelet runs\nhint: this node needs a person: look at the kubelet's log\n";
    assert_eq!((apply.code, apply.stderr.as_str()), (8, stderr), "{apply:#?}");
    assert_eq!(dead.files(), original);
}
