//! What `node` remembers: drift, runs that were cut short, the way back, and who may read it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Instant;

use keyring_credential_provider::kubelet::config::System;

use crate::node::{ECR, SECRET, Tree, aks, k3s, program};
use crate::support::{BINARY, Run, run};

#[test]
fn what_somebody_else_changed_is_never_put_back() {
    let tree = aks();
    let config = "/var/lib/kubelet/credential-provider-config.yaml";
    tree.wish("apply", &["--yes"]).done();
    let edited = tree.text(config).replace("*.azurecr.cn", "*.azurecr.us") + "# by somebody else\n";
    fs::write(tree.path(config), &edited).unwrap();
    let drift = tree.files();
    let rollback = tree.node("rollback", &[]);
    let stderr = format!(
        "error: `{config}` was changed by somebody else since, and is left as it is\nhint: `node uninstall` takes out what is ours and leaves what others wrote\n"
    );
    assert_eq!(rollback, Run::new(6, "", &stderr));
    assert_eq!(tree.files(), drift);
    // Still ours, still valid, and told.
    let verify = tree.node("verify", &[]);
    assert_eq!(verify.code, 0, "{verify:#?}");
    assert!(verify.stdout.contains(&format!("ok   `{config}` was changed by somebody else since\n")), "{verify:#?}");
    tree.node("uninstall", &["--yes"]).done();
    assert!(tree.text(config).contains("azurecr.us") && tree.text(config).ends_with("# by somebody else\n"));
    assert_eq!(tree.judge().unwrap(), ["acr-credential-provider"]);
}

#[test]
fn an_apply_that_was_cut_short_is_completed_and_taken_back_as_one() {
    let tree = k3s();
    let original = tree.files();
    tree.wish("apply", &["--yes"]).done();
    // As after a kill before the last file: the state is written first.
    fs::remove_dir_all(tree.path("/etc/rancher/k3s/config.yaml.d")).unwrap();
    fs::remove_file(tree.path("/var/lib/rancher/credentialprovider/config.yaml")).unwrap();
    assert_eq!(tree.node("verify", &[]).code, 1);
    tree.wish("apply", &["--yes"]).done();
    assert_eq!(tree.node("verify", &[]).code, 0);
    tree.node("rollback", &[]).done();
    assert_eq!(tree.files(), original);
    let again = tree.node("rollback", &[]);
    assert_eq!(again, Run::new(1, "", "error: the plugin was not put on this node by `node apply`\n"));
}

#[test]
fn an_update_is_taken_back_to_the_version_before() {
    let tree = k3s();
    tree.wish("apply", &["--yes"]).done();
    let first = tree.files();
    let update = tree.wish("apply", &["--yes", "--match-image", "new.test"]).done();
    assert_eq!(
        update,
        "change /var/lib/rancher/credentialprovider/config.yaml\n  + matchImages: \"new.test\"\nthen run: systemctl restart k3s\n"
    );
    tree.node("rollback", &[]).done();
    assert_eq!(tree.files(), first);
    let stderr = "error: there is nothing to take back\nhint: `node uninstall` takes the plugin off this node; the change before the last is not kept\n";
    assert_eq!(tree.node("rollback", &[]), Run::new(6, "", stderr));
    tree.node("uninstall", &["--yes"]).done();
    assert_eq!(tree.files(), k3s().files());
}

#[test]
fn two_runs_at_a_time_are_one_too_many() {
    let tree = k3s();
    tree.wish("apply", &["--yes"]).done();
    let lock = fs::File::open(tree.path("/var/lib/keyring-credential-provider/node/lock")).unwrap();
    lock.lock().unwrap();
    let stderr = "error: another run of this program is changing this node\nhint: wait until it has ended\n";
    assert_eq!(tree.wish("apply", &["--yes"]), Run::new(6, "", stderr));
}

#[test]
fn copies_of_other_peoples_secrets_are_closed() {
    let tree = aks();
    tree.wish("apply", &["--yes"]).done();
    let dir = tree.path("/var/lib/keyring-credential-provider/node");
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
    let mut copies = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600, "{}", path.display());
        let holds_secret = String::from_utf8_lossy(&fs::read(&path).unwrap()).contains(SECRET);
        assert!(!holds_secret || path.file_name().unwrap().to_str().unwrap().starts_with("before-"));
        copies += u32::from(holds_secret);
    }
    assert_eq!(copies, 1);
}

#[test]
fn without_a_terminal_nothing_is_changed_without_yes() {
    let tree = k3s();
    let original = tree.files();
    let run = tree.wish("apply", &[]);
    assert_eq!((run.code, tree.files()), (2, original));
    assert!(run.stderr.ends_with("error: without a terminal there is nobody to ask\nhint: say `--yes`\n"), "{run:#?}");
}

#[test]
fn the_running_kubelet_comes_before_every_table() {
    let tree = Tree::new(
        &[
            ("/proc/7/cmdline", "/usr/sbin/init\0--image-credential-provider-config=/no\0"),
            (
                "/proc/12/cmdline",
                "/opt/kubelet\0--token=made-up\0--image-credential-provider-bin-dir\0/p\0--image-credential-provider-config=/p.json\0",
            ),
            ("/proc/12/stat", "12 (kube let) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0"),
            ("/p/ecr-credential-provider!", ""),
            ("/p.json", ECR),
        ],
        &["--kubelet-version", "1.35"],
    );
    let found: serde_json::Value = serde_json::from_str(&tree.node("detect", &["--output", "json"]).done()).unwrap();
    assert_eq!(
        found,
        serde_json::json!({
            "system": "linux", "flavour": "other", "kubeletVersion": "1.35", "kubeletPid": 12,
            "liveFlags": {"binDir": "/p", "config": "/p.json"}, "flags": {"binDir": "/p", "config": "/p.json"},
            "flagsFrom": "process 12",
            "binDir": "/p", "config": "/p.json", "mode": "merge", "providers": ["ecr-credential-provider"],
            "restart": [], "refusal": null,
        })
    );
    tree.wish("apply", &["--yes"]).done();
    assert_eq!(tree.judge().unwrap(), ["ecr-credential-provider", "keyring-credential-provider"]);
    // The process is the same as before: it has not read the file yet.
    let verify = tree.node("verify", &[]);
    assert_eq!(verify.code, 1);
    assert!(verify.stdout.ends_with("FAIL the kubelet, process 12, was not restarted since\n"), "{verify:#?}");
}

#[test]
fn only_a_store_is_purged_and_only_that_of_the_tree() {
    let tree = k3s();
    let store = tree.path("/var/lib/keyring-credential-provider");
    let init = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        run(command.args(["--store", store.to_str().unwrap()]).args(arguments).env_clear(), "password").done()
    };
    init(&["store", "init", "--key-source", "host-key"]);
    init(&["login", "stored.test", "-u", "u", "--password-stdin"]);
    // The tree's own store says what the plugin is asked for, and is the one that it finds by itself.
    tree.node("apply", &["--yes", "--binary", program(System::Linux).to_str().unwrap()]).done();
    let config = tree.text("/var/lib/rancher/credentialprovider/config.yaml");
    assert!(config.contains("- \"stored.test\"\n") && !config.contains("env:"), "{config}");
    tree.node("uninstall", &["--yes"]).done();
    assert!(store.join("credentials.sealed").exists());
    let purge = tree.node("uninstall", &["--yes", "--purge"]);
    assert_eq!(purge, Run::new(0, "", "nothing to change\nremoved the store\nthe plugin is off this node\n"));
    assert!(!store.exists());
    let none = tree.node("uninstall", &["--yes", "--purge", "--store", tree.path("/etc").to_str().unwrap()]);
    let said = format!(
        "nothing to change\nthere is no store at `{}`\nthe plugin is off this node\n",
        tree.path("/etc").display()
    );
    assert_eq!(none, Run::new(0, "", &said));
    assert_eq!(tree.files(), k3s().files());
}

#[test]
fn killed_at_any_moment_the_node_is_valid() {
    let start = Instant::now();
    k3s().wish("apply", &["--yes"]).done();
    let whole = start.elapsed();
    let mut finished = 0;
    for part in 0..12 {
        let tree = k3s();
        let original = tree.files();
        let mut child = tree.start("apply", &["--yes"]);
        std::thread::sleep(whole * part / 10);
        let _ = child.kill();
        finished += u32::from(child.wait().unwrap().success());
        tree.judge();
        tree.wish("apply", &["--yes"]).done();
        assert_eq!(tree.node("verify", &[]).code, 0);
        tree.node("rollback", &[]).done();
        assert_eq!(tree.files(), original);
    }
    assert!(finished < 12, "no run was killed");
}
