//! `node` by the Windows program, under Wine: paths, files, programs that run.
//!
//! This simulates Windows and verifies nothing about it: the service is one of Wine's, and no command line of another process was read.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::json;

use crate::support::{self, Run};
use crate::windows::Machine;

const ACR: &str = include_str!("../data/config/samples/aks-linux.yaml");
const SCRIPT: &str = "$KubeletArgList = @('--image-credential-provider-bin-dir=C:\\k\\p', '--image-credential-provider-config=C:\\k\\p.yaml')\r\n";

impl Machine {
    fn put(&self, name: &str, text: &str) {
        let path = self.on_disk(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn node(&self, verb: &str, arguments: &[&str]) -> Run {
        let root = self.path("root");
        self.run(&[&["node", verb, "--root", &root, "--kubelet-version", "1.29"], arguments].concat(), "")
    }

    fn apply(&self, arguments: &[&str]) -> Run {
        self.node("apply", &[&["--yes", "--match-image", "r.test"], arguments].concat())
    }

    /// The node's files but for what `node` keeps for itself.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        fn collect(dir: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    collect(&path, files);
                } else {
                    files.insert(path.to_str().unwrap().to_owned(), fs::read(&path).unwrap());
                }
            }
        }
        let mut files = BTreeMap::new();
        collect(&self.on_disk("root"), &mut files);
        files.retain(|name, _| !name.contains("ProgramData"));
        files
    }

    /// Starts a program that waits for its standard input.
    fn wait_with(&self, program: &str, arguments: &[&str]) -> Child {
        let mut command = self.wine("wine");
        command.arg(program).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    child.wait().unwrap();
}

#[test]
fn a_node_of_aks_is_changed_and_put_back() {
    let Some(machine) = Machine::new() else { return };
    // Another case than in the flags: names on Windows have none.
    machine.put("root/C/K/kubeletstart.ps1", SCRIPT);
    machine.put("root/C/K/P.yaml", &ACR.replace('\n', "\r\n"));
    machine.put("root/C/K/p/acr-credential-provider", "");
    machine.put("root/C/K/p/acr-credential-provider.exe", "");
    let original = machine.files();

    let plan = machine.node("plan", &["--match-image", "r.test"]);
    assert_eq!((plan.code, machine.files()), (10, original.clone()), "{plan:#?}");
    let apply = machine.apply(&[]);
    assert_eq!(apply.code, 0, "{apply:#?}");
    assert_eq!(apply.stdout, plan.stdout);
    let applied = machine.files();
    assert_eq!(applied.len(), original.len() + 2, "the program has both names");
    let config = String::from_utf8(fs::read(machine.on_disk("root/C/K/P.yaml")).unwrap()).unwrap();
    assert!(config.contains("# a comment that a merge must keep\r\n"));
    assert!(config.contains("  - name: \"keyring-credential-provider.exe\"\r\n"), "{config}");

    let verify = machine.node("verify", &[]);
    assert_eq!(verify.code, 0, "{verify:#?}");
    assert!(
        verify.stdout.ends_with("ok   kubelet 1.29 takes the configuration\nok   the program answers\n"),
        "{verify:#?}"
    );
    let again = machine.apply(&[]);
    assert_eq!((again.code, again.stdout.as_str(), machine.files()), (0, "", applied.clone()), "{again:#?}");
    let rollback = machine.node("rollback", &[]);
    assert_eq!((rollback.code, machine.files()), (0, original.clone()), "{rollback:#?}");
    machine.apply(&[]).done();
    assert_eq!(machine.files(), applied);
    let uninstall = machine.node("uninstall", &["--yes"]);
    assert_eq!((uninstall.code, machine.files()), (0, original), "{uninstall:#?}");
    assert!(!machine.on_disk("root/C/ProgramData/keyring-credential-provider").exists());
}

#[test]
fn a_program_that_runs_is_replaced_and_removed() {
    let Some(machine) = Machine::new() else { return };
    machine.put("root/C/etc/rancher/rke2/config.yaml", "");
    machine.apply(&[]).done();
    let bin = "root/C/var/lib/rancher/credentialprovider/bin/keyring-credential-provider.exe";
    let mut newer = fs::read(&machine.binary).unwrap();
    newer.extend(b"of a later version");
    fs::write(machine.on_disk("newer.exe"), &newer).unwrap();

    // It waits for a password.
    let started = |store: &str| {
        machine.run(&["--store", &machine.path(store), "store", "init"], "").done();
        let mut arguments = vec!["--store"];
        let store = machine.path(store);
        arguments.extend([store.as_str(), "login", "r.test", "-u", "u", "--password-stdin"]);
        machine.wait_with(&machine.path(bin), &arguments)
    };
    let mut running = started("one");
    running.stdin.as_mut().unwrap().write_all(b"pass").unwrap();
    let update = machine.apply(&["--binary", &machine.path("newer.exe")]);
    assert_eq!(update.code, 0, "{update:#?}");
    assert_eq!(fs::read(machine.on_disk(bin)).unwrap(), newer);
    let uninstall = machine.node("uninstall", &["--yes"]);
    assert_eq!(uninstall.code, 0, "{uninstall:#?}");
    assert!(!machine.on_disk(bin).exists());
    end(running);
}

#[test]
fn a_running_kubelet_is_found() {
    let Some(machine) = Machine::new() else { return };
    let _alone = machine.alone();
    // A program of Wine's own that takes any word, and waits. Wine tells nobody the command line of another process
    // (`ProcessCommandLineInformation`), so its flags are not seen here.
    fs::copy(machine.prefix.join("drive_c/windows/system32/cmd.exe"), machine.on_disk("kubelet.exe")).unwrap();
    let child =
        machine.wait_with(&machine.path("kubelet.exe"), &["/k", "rem", "--image-credential-provider-config=C:\\p"]);
    let mut found = json!(null);
    for _ in 0..50 {
        found = machine.json(&["node", "detect"]);
        if !found["kubeletPid"].is_null() {
            break;
        }
    }
    assert_eq!(found["system"], "windows");
    assert!(found["kubeletPid"].is_u64(), "{found:#}");
    end(child);
}

#[test]
fn the_service_is_restarted_and_without_a_kubelet_everything_is_put_back() {
    let Some(machine) = Machine::new() else { return };
    let _alone = machine.alone();
    let drive = machine.prefix.join("drive_c");
    let control = |arguments: &[&str]| support::run(machine.wine("wine").arg("sc").args(arguments), "");
    // A service of Wine's own, which stops and starts as it is told.
    control(&["create", "rke2", "binPath=", "C:\\windows\\system32\\spoolsv.exe"]).done();
    fs::create_dir_all(drive.join("etc/rancher/rke2")).unwrap();
    let apply = ["node", "apply", "--yes", "--match-image", "r.test", "--kubelet-version", "1.34"];
    let run = machine.run(&[&apply[..], &["--restart", "--wait", "1s"]].concat(), "");
    let state = control(&["query", "rke2"]).stdout;
    control(&["stop", "rke2"]);
    control(&["delete", "rke2"]);
    let left = drive.join("var/lib/rancher/credentialprovider/bin/keyring-credential-provider.exe").exists();
    for name in ["etc", "var", "ProgramData/keyring-credential-provider"] {
        fs::remove_dir_all(drive.join(name)).unwrap();
    }
    let stderr = "error: the kubelet did not come up with the change (no kubelet runs), nor after it was taken back: no kubelet runs\nhint: this node needs a person: look at the kubelet's log\n";
    assert_eq!((run.code, run.stderr.as_str()), (8, stderr), "{run:#?}");
    assert!(run.stdout.ends_with("then run: Restart-Service rke2\n"), "{run:#?}");
    assert!(state.contains("RUNNING"), "{state}");
    assert!(!left);
}
