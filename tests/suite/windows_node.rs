//! `node` by the Windows program, under Wine: paths, files, programs that run.
//!
//! This simulates Windows and verifies nothing about it: the service is one of Wine's, and no command line of another process was read.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::json;

use crate::support::Run;
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
    let control = |arguments: &[&str]| machine.tool("sc", arguments);
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

const KEY: &str = r"HKLM\SYSTEM\CurrentControlSet\Services\kubelet";

/// A kubelet of kubeadm that is a Windows service, on a machine that nobody else uses; removed when dropped.
struct Service {
    machine: Machine,
    _alone: fs::File,
}

impl Service {
    /// Makes the service, which runs a program of Wine's own called `kubelet.exe`.
    fn new(command: &str, program: &str) -> Option<Self> {
        let machine = Machine::new()?;
        let _alone = machine.alone();
        let service = Self { machine, _alone };
        let drive = service.drive();
        for dir in ["k", "var/lib/kubelet"] {
            fs::create_dir_all(drive.join(dir)).unwrap();
        }
        fs::copy(drive.join("windows/system32").join(program), drive.join("k/kubelet.exe")).unwrap();
        fs::write(drive.join("var/lib/kubelet/kubeadm-flags.env"), "KUBELET_KUBEADM_ARGS=\"--v=1\"\r\n").unwrap();
        service.machine.tool("sc", &["create", "kubelet", "binPath=", command]).done();
        Some(service)
    }

    fn drive(&self) -> PathBuf {
        self.machine.prefix.join("drive_c")
    }

    #[track_caller]
    fn set(&self, key: &str, name: &str, kind: &str, text: &str) {
        self.machine.tool("reg", &["add", key, "/v", name, "/t", kind, "/d", text, "/f"]).done();
    }

    /// The type of a value, and its text.
    #[track_caller]
    fn value(&self, key: &str, name: &str) -> (String, String) {
        let shown = self.machine.tool("reg", &["query", key, "/v", name]).done();
        let line = shown.lines().find_map(|line| line.strip_prefix(&format!("    {name}    "))).unwrap();
        let (kind, text) = line.split_once("    ").unwrap();
        (kind.to_owned(), text.to_owned())
    }

    fn node(&self, verb: &str, arguments: &[&str]) -> Run {
        self.machine.run(&[&["node", verb, "--kubelet-version", "1.34"], arguments].concat(), "")
    }

    fn apply(&self) -> Run {
        self.node("apply", &["--yes", "--match-image", "r.test"])
    }

    fn detect(&self) -> serde_json::Value {
        serde_json::from_str(&self.node("detect", &["--output", "json"]).done()).unwrap()
    }

    /// Files that are there or not as one.
    fn plugin_is_there(&self) -> bool {
        let there = ["k/credential-provider/keyring-credential-provider.exe", "etc/kubernetes/credential-providers"]
            .map(|name| self.drive().join(name).exists());
        assert_eq!(there[0], there[1]);
        there[0]
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for verb in ["stop", "delete"] {
            self.machine.tool("sc", &[verb, "kubelet"]);
        }
        for name in ["k", "var", "etc", "ProgramData/keyring-credential-provider"] {
            let _ = fs::remove_dir_all(self.drive().join(name));
        }
    }
}

const FLAGS: &str = r"--image-credential-provider-bin-dir=C:\k\credential-provider --image-credential-provider-config=C:\etc\kubernetes\credential-providers\config.yaml";

#[test]
fn a_kubelet_that_is_a_service_gets_its_flags_in_the_service() {
    // The last blank is somebody else's, too.
    let command = r#""C:\k\kubelet.exe" --windows-service "--config=C:\var\lib kubelet\c.yaml"  --v=2 "#;
    let Some(service) = Service::new(command, "spoolsv.exe") else { return };
    let image_path = || service.value(KEY, "ImagePath");
    let original = image_path();
    assert_eq!(original.1, command);
    let found = service.detect();
    assert_eq!(
        (&found["flavour"], &found["mode"], &found["flagsFrom"]),
        (&"kubeadm".into(), &"fresh".into(), &json!(null))
    );

    let plan = service.node("plan", &["--match-image", "r.test"]);
    assert_eq!((plan.code, image_path()), (10, original.clone()), "{plan:#?}");
    let shown = FLAGS.replacen("--", "  + ", 1).replacen(
        " --", "
  + ", 1,
    );
    let end = format!("change {KEY}\\ImagePath\n{shown}\nthen run: Restart-Service kubelet\n");
    assert!(plan.stdout.ends_with(&end), "{}{end}", plan.stdout);
    let apply = service.apply();
    assert_eq!((apply.code, &apply.stdout), (0, &plan.stdout), "{apply:#?}");
    let applied = (original.0.clone(), format!("{command} {FLAGS}"));
    assert_eq!(image_path(), applied);
    let flags = fs::read_to_string(service.drive().join("var/lib/kubelet/kubeadm-flags.env")).unwrap();
    assert_eq!(flags, "KUBELET_KUBEADM_ARGS=\"--v=1\"\r\n", "nothing reads it");
    let found = service.detect();
    assert_eq!(found["flagsFrom"], format!("{KEY}\\ImagePath"));
    assert_eq!((&found["mode"], &found["config"]), (&"merge".into(), &found["flags"]["config"]));

    let verify = service.node("verify", &[]);
    assert_eq!(verify.code, 0, "{verify:#?}");
    assert!(verify.stdout.contains(&format!("ok   `{KEY}\\ImagePath` is as it was written\n")), "{verify:#?}");
    let again = service.apply();
    assert_eq!((again.code, again.stdout.as_str(), image_path()), (0, "", applied.clone()), "{again:#?}");
    service.node("rollback", &[]).done();
    assert_eq!((image_path(), service.plugin_is_there()), (original.clone(), false));

    service.apply().done();
    // What others set since is not put back, and stays when ours goes.
    let theirs = (applied.0, format!("{} --node-ip=10.0.0.1", applied.1));
    service.set(KEY, "ImagePath", &theirs.0, &theirs.1);
    let rollback = service.node("rollback", &[]);
    assert_eq!((rollback.code, image_path()), (6, theirs), "{rollback:#?}");
    service.node("uninstall", &["--yes"]).done();
    let left = (original.0, format!("{command} --node-ip=10.0.0.1"));
    assert_eq!((image_path(), service.plugin_is_there()), (left, false));
}

#[test]
fn a_service_keeps_the_type_of_its_command_and_is_started_with_the_flags() {
    // It takes down its own arguments, and ends.
    let Some(service) = Service::new(r"C:\k\kubelet.exe /c echo --windows-service >> C:\k\started", "cmd.exe") else {
        return;
    };
    let command = r"%SystemDrive%\k\kubelet.exe /c echo --windows-service >> C:\k\started";
    service.set(KEY, "ImagePath", "REG_EXPAND_SZ", command);
    let run = service.node("apply", &["--yes", "--match-image", "r.test", "--restart", "--wait", "1s"]);
    let started = fs::read_to_string(service.drive().join("k/started")).unwrap();
    let lines: Vec<&str> = started.lines().map(str::trim_end).collect();
    let with_flags = format!("--windows-service  {FLAGS}");
    assert_eq!((run.code, lines), (8, vec![with_flags.as_str(), "--windows-service"]), "{run:#?}");
    assert_eq!(service.value(KEY, "ImagePath"), ("REG_EXPAND_SZ".to_owned(), command.to_owned()));
}

#[test]
fn a_kubelet_below_nssm_gets_its_flags_in_the_parameters_of_nssm() {
    let Some(service) = Service::new(r"C:\nssm\nssm.exe", "spoolsv.exe") else { return };
    let parameters = format!(r"{KEY}\Parameters");
    let image_path = service.value(KEY, "ImagePath");
    let of_nssm = || service.value(&parameters, "AppParameters");
    service.set(&parameters, "Application", "REG_EXPAND_SZ", r"%SystemDrive%\k\kubelet.exe");
    let arguments = r"--config=%ProgramData%\k.yaml --v=2";
    service.set(&parameters, "AppParameters", "REG_EXPAND_SZ", arguments);

    service.apply().done();
    assert_eq!(of_nssm(), ("REG_EXPAND_SZ".to_owned(), format!("{arguments} {FLAGS}")));
    assert_eq!(service.detect()["flagsFrom"], format!("{parameters}\\AppParameters"));
    assert_eq!(service.node("verify", &[]).code, 0);
    assert_eq!(service.apply().stdout, "");
    service.node("uninstall", &["--yes"]).done();
    assert_eq!(of_nssm(), ("REG_EXPAND_SZ".to_owned(), arguments.to_owned()));
    assert_eq!((service.value(KEY, "ImagePath"), service.plugin_is_there()), (image_path, false));

    // Providers that are there already are joined, wherever their variables lead.
    let theirs = r"--image-credential-provider-bin-dir=%SystemDrive%\p --image-credential-provider-config=C:\p.yaml";
    service.set(&parameters, "AppParameters", "REG_EXPAND_SZ", theirs);
    let found = service.detect();
    assert_eq!(
        (&found["mode"], &found["binDir"], &found["config"]),
        (&"merge".into(), &r"C:\p".into(), &r"C:\p.yaml".into())
    );

    // The kubelet looks for login files where it starts and at its home, which nssm says.
    service.set(&parameters, "AppDirectory", "REG_EXPAND_SZ", r"%SystemDrive%\k\work dir");
    service.set(&parameters, "AppEnvironmentExtra", "REG_MULTI_SZ", r"A=b\0HOME=C:\k\home");
    for dir in ["k/work dir", "k/home/.docker"] {
        fs::create_dir_all(service.drive().join(dir)).unwrap();
        fs::write(service.drive().join(dir).join("config.json"), r#"{"auths": {"r.test": {}}}"#).unwrap();
    }
    let doctor = service.machine.run(&["doctor"], "");
    let first = r"error: C:\k\work dir\config.json:1: `auths.r.test` has no login";
    let second = r"info: C:\k\home\.docker\config.json: the kubelet does not read this file";
    assert!(doctor.stdout.contains(first) && doctor.stdout.contains(second), "{doctor:#?}");

    // What a script is started with is not what it starts the kubelet with.
    service.set(&parameters, "Application", "REG_SZ", r"C:\windows\system32\powershell.exe");
    service.set(&parameters, "AppParameters", "REG_SZ", r"-File C:\k\StartKubelet.ps1");
    let plan = service.node("plan", &["--match-image", "r.test"]);
    assert!(plan.stdout.contains("change C:\\var\\lib\\kubelet\\kubeadm-flags.env\n"), "{plan:#?}");
}
