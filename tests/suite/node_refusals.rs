//! What `node` does not touch, and what it says instead.

use std::fs;

use keyring_credential_provider::kubelet::config::System;

use crate::node::{ACR, ECR, KUBEADM_UNIT, Tree, program};
use crate::support::Run;

#[test]
fn nodes_that_own_their_files_are_left_alone_with_the_way_out() {
    let release = |id: &str| Tree::new(&[("/etc/os-release", &format!("NAME=x\nID={id}\n"))], &[]);
    let cases = [
        (release("bottlerocket"), "Bottlerocket's image is verified", "settings.container-registry.credentials"),
        (release("talos"), "Talos has no shell", "node plan --flavour talos"),
        (release("\"rhcos\""), "the Machine Config Operator owns", "MachineConfig"),
        (release("cos"), "GKE's image is read-only", "Artifact Registry"),
        (Tree::new(&[("/etc/NIXOS", "")], &[]), "NixOS writes the kubelet's service", "services.k3s.extraFlags"),
        (
            Tree::new(&[("/C/k/windows-instance-config-daemon.exe", "")], &[]),
            "the Windows Machine Config Operator owns",
            "pull secrets",
        ),
    ];
    for (tree, reason, remedy) in cases {
        let run = tree.wish("apply", &["--yes"]);
        assert_eq!((run.code, run.stdout.as_str()), (6, ""), "{run:#?}");
        assert!(run.stderr.starts_with(&format!("error: {reason}")) && run.stderr.contains(remedy), "{run:#?}");
        let found = tree.node("detect", &[]).done();
        assert!(found.contains(reason) && found.contains(remedy), "{found}");
        assert!(!tree.path("/var").exists() && !tree.path("/C/ProgramData").exists());
    }
}

/// Runs a wish that must be refused without a byte written.
#[track_caller]
fn refused(tree: &Tree, arguments: &[&str], code: i32, stderr: &str) {
    let original = tree.files();
    for verb in ["plan", "apply"] {
        let yes = if verb == "apply" { &["--yes"][..] } else { &[] };
        assert_eq!(tree.wish(verb, &[arguments, yes].concat()), Run::new(code, "", stderr));
    }
    assert_eq!(tree.files(), original);
}

#[test]
fn what_would_stop_the_kubelet_is_refused() {
    let kubeadm = |arguments: &str| {
        let settings = format!("KUBELET_EXTRA_ARGS=\"{arguments}\"\n");
        Tree::new(&[KUBEADM_UNIT, ("/etc/default/kubelet", &settings)], &["--kubelet-version", "1.32"])
    };
    refused(
        &kubeadm("--image-credential-provider-bin-dir=/p"),
        &[],
        6,
        "error: the kubelet has one of its two credential provider flags, and starts only with both or none\nhint: complete or remove the flag where it was set\n",
    );
    let both = "--image-credential-provider-bin-dir=/p --image-credential-provider-config=/p.yaml";
    let merging = |config: &str, programs: &[&str]| {
        let tree = kubeadm(both);
        fs::create_dir(tree.path("/p")).unwrap();
        fs::write(tree.path("/p.yaml"), config).unwrap();
        programs.iter().for_each(|name| fs::write(tree.path("/p").join(name), "").unwrap());
        tree
    };
    refused(
        &merging(ECR, &[]),
        &[],
        6,
        "error: the kubelet would not start: `/p` has no program of the provider `ecr-credential-provider`\nhint: put it there, or take the provider out of the configuration\n",
    );
    refused(
        &merging(&ACR.replace("defaultCacheDuration", "defaultcacheduration"), &["acr-credential-provider"]),
        &[],
        6,
        "error: kubelet 1.32 would refuse the configuration and not start: error decoding config /p.yaml: strict decoding error: unknown field \"providers[0].defaultcacheduration\"\nhint: mend `/p.yaml` first; `config validate` judges it\n",
    );
    refused(
        &merging(ECR, &["ecr-credential-provider"]),
        &["--bin-dir", "/q"],
        6,
        "error: the kubelet's plugins are in `/p` and its configuration is `/p.yaml`, and it takes one of each\nhint: leave out `--bin-dir` and `--config`, so that this plugin joins the others there\n",
    );
    refused(
        &kubeadm(""),
        &["--bin-dir", "/with blank"],
        6,
        "error: the path `/with blank` has a blank or another sign that a file of flags cannot hold for certain\nhint: choose one of letters, digits, `.`, `-` and `_` by `--bin-dir` and `--config`\n",
    );
    refused(
        &kubeadm(""),
        &["--match-image", "r.test:x"],
        6,
        "error: kubelet 1.32 would refuse the configuration and not start: providers.matchImages: Invalid value: \"r.test:x\": match image is invalid: parse \"https://r.test:x\": invalid port \":x\" after host\nhint: mend `/etc/kubernetes/credential-providers/config.yaml` first; `config validate` judges it\n",
    );
    let windows = program(System::Windows);
    let other = kubeadm("").node("plan", &["--match-image", "r.test", "--binary", windows.to_str().unwrap()]);
    let stderr = "error: the program is none for Linux, which this node runs\nhint: name the right one by `--binary`\n";
    assert_eq!(other, Run::new(6, "", stderr));
    let unknown = Tree::new(&[KUBEADM_UNIT], &[]);
    let version = "error: the kubelet's version is not known\nhint: say `--kubelet-version`, such as 1.34\n";
    refused(&unknown, &[], 6, version);
}

#[test]
fn flags_of_the_operator_are_not_left_without_a_configuration() {
    let settings = "image-credential-provider-bin-dir: /p\nimage-credential-provider-config: /p.yaml\n";
    let tree = Tree::new(&[("/etc/rancher/k3s/config.yaml", settings)], &["--kubelet-version", "1.34"]);
    tree.wish("apply", &["--yes"]).done();
    let applied = tree.files();
    let stderr = "error: this is the kubelet's only provider, and its flags are set in a place that is not known\nhint: take the flags out yourself, then run this again: --image-credential-provider-bin-dir=/p --image-credential-provider-config=/p.yaml\n";
    assert_eq!(tree.node("uninstall", &["--yes"]), Run::new(6, "", stderr));
    assert_eq!(tree.files(), applied);
    fs::write(tree.path("/etc/rancher/k3s/config.yaml"), "").unwrap();
    tree.node("uninstall", &["--yes"]).done();
    assert!(!tree.path("/p.yaml").exists() && !tree.path("/p").exists());
}
