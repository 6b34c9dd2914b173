//! What `install/` holds for Kubernetes, Talos and systemd: parsed, judged by the program itself, and what the containers run, run.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{BINARY, Dir, Node, Run, run};

const IMAGE_TAG: &str = concat!(":", env!("CARGO_PKG_VERSION"));

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("install").join(name)
}

/// The documents of a file in `install/`.
fn documents(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(file(name)).unwrap();
    text.split("\n---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect()
}

fn of_kind(documents: &[Value], kind: &str) -> Value {
    documents.iter().find(|document| document["kind"] == kind).unwrap().clone()
}

fn containers(pod: &Value) -> Vec<Value> {
    let list = |key: &str| pod[key].as_array().unwrap().clone();
    [list("initContainers"), list("containers")].concat()
}

fn arguments(container: &Value) -> Vec<String> {
    container["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// What holds for every pod: nothing secret in the environment, no token of the cluster, images by version.
#[track_caller]
fn check_pod(pod: &Value) {
    assert_eq!(pod["automountServiceAccountToken"], false);
    for container in containers(pod) {
        assert!(container.get("env").is_none() && container.get("envFrom").is_none(), "{container}");
        let image = container["image"].as_str().unwrap();
        assert!(image.ends_with(IMAGE_TAG) || image == "registry.k8s.io/pause:3.10", "{image}");
    }
}

/// What holds for every container on Linux.
#[track_caller]
fn check_confined(pod: &Value) {
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert!(["hostPID", "hostIPC", "hostNetwork"].iter().all(|key| pod.get(key).is_none()), "{pod}");
    for container in containers(pod) {
        let context = &container["securityContext"];
        assert_eq!(context["privileged"], false, "{container}");
        assert_eq!(context["allowPrivilegeEscalation"], false, "{container}");
        assert_eq!(context["readOnlyRootFilesystem"], true, "{container}");
        assert_eq!(context["capabilities"]["drop"], json!(["ALL"]), "{container}");
    }
}

#[test]
fn the_linux_daemonset_is_confined_and_goes_node_by_node() {
    let documents = documents("kubernetes/linux.yaml");
    let spec = &of_kind(&documents, "DaemonSet")["spec"];
    let pod = &spec["template"]["spec"];
    check_pod(pod);
    check_confined(pod);
    assert_eq!(spec["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}));
    assert_eq!(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]);
    assert_eq!(pod["nodeSelector"], json!({"kubernetes.io/os": "linux"}));
    assert_eq!(pod["tolerations"], json!([{"operator": "Exists", "effect": "NoSchedule"}]));
    let terms = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    let workers = json!([{"key": "node-role.kubernetes.io/control-plane", "operator": "DoesNotExist"}]);
    assert_eq!(terms[0]["matchExpressions"], workers);
    let added = json!(["CHOWN", "DAC_OVERRIDE", "FOWNER"]);
    for container in pod["initContainers"].as_array().unwrap() {
        assert_eq!(container["securityContext"]["capabilities"]["add"], added);
    }
    assert_eq!(pod["containers"][0]["securityContext"]["runAsNonRoot"], true);
    let last = arguments(&pod["initContainers"][2]);
    assert!(last.starts_with(&["node".to_owned(), "apply".to_owned(), "--root".to_owned(), "/host".to_owned()]));
    assert!(!last.contains(&"--restart".to_owned()), "a rollout restarts no kubelet");
}

#[test]
fn the_windows_daemonset_runs_as_the_kubelet_does() {
    let spec = &of_kind(&documents("kubernetes/windows.yaml"), "DaemonSet")["spec"];
    let pod = &spec["template"]["spec"];
    check_pod(pod);
    assert_eq!(spec["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}));
    assert_eq!(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]);
    assert_eq!(pod["nodeSelector"], json!({"kubernetes.io/os": "windows"}));
    // HostProcess needs the host's network; LocalSystem has the Credential Manager that the plugin opens.
    assert_eq!(pod["hostNetwork"], true);
    let options = json!({"hostProcess": true, "runAsUserName": r"NT AUTHORITY\SYSTEM"});
    assert_eq!(pod["securityContext"], json!({ "windowsOptions": options }));
    let steps: Vec<_> = pod["initContainers"].as_array().unwrap().iter().map(arguments).collect();
    let words: Vec<_> = steps.iter().map(|step| step.join(" ")).collect();
    let apply = r"apply -f C:\hpc\credentials\credentials.yaml --prune";
    assert_eq!(words, ["store init --if-missing", apply, "node apply --yes"]);
}

/// The root of a container of ours, made as a container engine makes it: the program alone, everything read-only but the volumes.
struct Container {
    dir: Dir,
}

impl Container {
    /// On a node with these files, with a declaration as a volume shows it: links to a directory that is replaced at once.
    fn new(declaration: &str, node: &[(&str, &str)]) -> Self {
        let container = Self { dir: Dir::new() };
        for dir in [
            "root/dev",
            "root/proc",
            "root/etc/credentials",
            "root/host",
            "root/run/keyring-credential-provider",
            "root/var/lib/kubelet",
        ] {
            fs::create_dir_all(container.path(dir)).unwrap();
        }
        for dir in ["node/etc", "node/var/lib/kubelet", "node/run/marks", "volume/..2026"] {
            fs::create_dir_all(container.path(dir)).unwrap();
        }
        fs::write(container.path("root/keyring-credential-provider"), "").unwrap();
        fs::write(container.path("root/etc/machine-id"), "").unwrap();
        fs::write(container.path("node/etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        for (name, text) in node {
            let path = container.path("node").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        symlink("..2026", container.path("volume/..data")).unwrap();
        for (name, text) in [("credentials.yaml", declaration), ("docker-io", "made-up-password\n")] {
            fs::write(container.path("volume/..2026").join(name), text).unwrap();
            symlink(format!("..data/{name}"), container.path("volume").join(name)).unwrap();
        }
        container
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the program with the capabilities that the pod has, and with SYS_CHROOT, which only puts it into its root.
    fn run(&self, container: &Value) -> Run {
        let script = r#"
            cd "$1"; binary=$2; capabilities=$3; shift 3
            mount --bind root root
            mount --bind "$binary" root/keyring-credential-provider
            mount --rbind /dev root/dev
            mount --rbind /proc root/proc
            mount --bind node root/host
            mount --bind node/var/lib/kubelet root/var/lib/kubelet
            mount --bind node/etc/machine-id root/etc/machine-id
            mount --bind node/run/marks root/run/keyring-credential-provider
            mount --bind volume root/etc/credentials
            mount -o remount,bind,ro root
            mount -o remount,bind,ro root/etc/credentials
            exec setpriv --no-new-privs --bounding-set="-all,+sys_chroot$capabilities" chroot root /keyring-credential-provider "$@"
        "#;
        let added = container["securityContext"]["capabilities"]["add"].as_array().cloned().unwrap_or_default();
        let capabilities: String =
            added.iter().map(|name| format!(",+{}", name.as_str().unwrap().to_lowercase())).collect();
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-euc", script, "sh"]);
        command.arg(self.dir.path()).args([BINARY, &capabilities]).args(arguments(container));
        run(command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), "")
    }
}

fn declaration() -> String {
    let map = of_kind(&documents("kubernetes/linux.yaml"), "ConfigMap");
    map["data"]["credentials.yaml"].as_str().unwrap().to_owned()
}

#[test]
fn the_steps_of_the_linux_daemonset_make_a_store_and_change_the_node() {
    let drop_in = "usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf";
    let container = Container::new(&declaration(), &[(drop_in, "[Service]\nEnvironmentFile=-/etc/default/kubelet\n")]);
    let pod = &of_kind(&documents("kubernetes/linux.yaml"), "DaemonSet")["spec"]["template"]["spec"];
    let steps = pod["initContainers"].as_array().unwrap();
    let store = "/host/var/lib/keyring-credential-provider";
    let made = format!("made a store at `{store}`, its key in `host-key`\n");
    assert_eq!(container.run(&steps[0]), Run::new(0, "", &made));
    assert_eq!(container.run(&steps[0]), Run::new(0, "", &format!("the store at `{store}` stays as it is\n")));
    let stored = container.run(&steps[1]);
    assert_eq!(stored.code, 0, "{stored:#?}");
    let again = container.run(&steps[1]);
    assert_eq!(again.code, 0, "{again:#?}");
    // The kubelet's plugin opens it at the node's own path.
    let mut ask = steps[0].clone();
    ask["args"] = json!(["explain", "nginx", "--store", store]);
    assert!(container.run(&ask).done().contains("credential  docker.io as `alice`, by issuer `static`\n"));
    assert_eq!(fs::read_dir(container.path("node/run/marks")).unwrap().count(), 1, "the mark is the node's");

    let applied = container.run(&steps[2]);
    assert_eq!(applied.code, 0, "{applied:#?}");
    let flags = fs::read_to_string(container.path("node/etc/default/kubelet")).unwrap();
    assert!(
        flags.contains("--image-credential-provider-bin-dir=/usr/libexec/keyring-credential-provider/bin "),
        "{flags}"
    );
    let program = container.path("node/usr/libexec/keyring-credential-provider/bin/keyring-credential-provider");
    assert_eq!(fs::metadata(program).unwrap().len(), fs::metadata(BINARY).unwrap().len());
    // A pod that starts again finds everything as it should be.
    let again = container.run(&steps[2]);
    assert_eq!((again.code, again.stdout.as_str(), again.stderr.as_str()), (0, "", "nothing to change\n"));
}

#[test]
fn the_talos_pod_makes_a_store_that_the_plugin_of_the_patch_opens() {
    let documents = documents("talos/store.yaml");
    let pod = &documents[0]["spec"];
    check_pod(pod);
    check_confined(pod);
    let container = Container::new(&declaration(), &[]);
    for step in containers(pod) {
        let run = container.run(&step);
        assert_eq!(run.code, 0, "{run:#?}");
    }
    let provider = &talos_config()["providers"][0];
    let mut ask = pod["initContainers"][0].clone();
    let mut arguments = provider["args"].as_array().unwrap().clone();
    assert_eq!(arguments.remove(0), "get-credentials");
    ask["args"] = json!([vec!["explain".into(), "nginx".into()], arguments].concat());
    assert!(container.run(&ask).done().contains("credential  docker.io as `alice`, by issuer `static`\n"));
}

fn talos_config() -> Value {
    documents("talos/machine-config-patch.yaml")[0]["machine"]["kubelet"]["credentialProviderConfig"].clone()
}

#[test]
fn the_talos_configuration_pleases_the_kubelet() {
    let config = talos_config();
    assert_eq!(
        documents("talos/credential-provider-document.yaml")[0]["configuration"],
        config,
        "the two say the same"
    );
    let node = Node::bare();
    let path = node.dir().join("config.yaml");
    fs::write(&path, config.to_string()).unwrap();
    for version in ["1.26", "1.29", "1.33", "1.36"] {
        let run = node.run(&["config", "validate", path.to_str().unwrap(), "--kubelet-version", version], "");
        assert_eq!(run, Run::new(0, &format!("kubelet {version} takes it\n"), ""));
    }
}

#[test]
fn the_talos_manifest_names_this_program() {
    let manifest = &documents("talos/manifest.yaml")[0];
    assert_eq!(manifest["version"], "v1alpha1");
    assert_eq!(manifest["metadata"]["name"], "keyring-credential-provider");
    assert_eq!(manifest["metadata"]["compatibility"]["talos"]["version"], ">= v1.6.0");
}
