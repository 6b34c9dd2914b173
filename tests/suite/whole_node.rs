//! A whole node: the real kubelet with this plugin, real containerd, and a registry behind `docker.io` that wants a login. Run by
//! `make test-node`, which builds the kubelet and says where it is in `KCP_KUBELET`.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::containerd::{Containerd, unmount_below};
use crate::registry::{Auth, PASSWORD, Registry, USER, free_port, hosts_toml, http, push_image, sha256, tar, wait_for};
use crate::support::{BINARY, Dir, Node};

/// A program that waits, without a C library at run time.
const PAUSE: &str = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n";

/// The kubelet, ended with this value together with what it started.
struct Kubelet<'a> {
    child: Child,
    port: u16,
    dir: Dir,
    containerd: &'a Containerd,
}

impl<'a> Kubelet<'a> {
    /// Starts it; `arguments` are the plugin's, besides its verb.
    fn start(node: &Node, containerd: &'a Containerd, arguments: &[&str]) -> Self {
        let program = std::env::var_os("KCP_KUBELET").expect("KCP_KUBELET names the kubelet; run `make test-node`");
        let dir = Dir::new();
        let path = |name: &str| dir.path().join(name).display().to_string();
        for name in ["pods", "bin", "root", "certs"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        symlink(BINARY, dir.path().join("bin/keyring-credential-provider")).unwrap();
        let mut providers = node.run(&["config", "generate"], "").done();
        let verb = providers.lines().find(|line| line.contains("get-credentials")).unwrap().to_owned();
        let all = arguments
            .iter()
            .fold(verb.clone(), |all, argument| format!("{all}\n{}", verb.replace("get-credentials", argument)));
        providers = providers.replace(&verb, &all);
        fs::write(dir.path().join("providers.yaml"), providers).unwrap();
        let port = free_port();
        let config = format!(
            r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: {pods}
containerRuntimeEndpoint: {endpoint}
address: 127.0.0.1
port: {secure}
readOnlyPort: {port}
healthzPort: 0
authentication: {{anonymous: {{enabled: true}}, webhook: {{enabled: false}}}}
authorization: {{mode: AlwaysAllow}}
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
fileCheckFrequency: 1s
evictionHard: {{memory.available: "0%", nodefs.available: "0%", imagefs.available: "0%"}}
"#,
            pods = path("pods"),
            endpoint = containerd.endpoint(),
            secure = free_port(),
        );
        fs::write(dir.path().join("config.yaml"), config).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(program)
            .args(["--config", &path("config.yaml"), "--root-dir", &path("root"), "--cert-dir", &path("certs")])
            .args(["--image-credential-provider-bin-dir", &path("bin")])
            .args(["--image-credential-provider-config", &path("providers.yaml")])
            .args(["--hostname-override", "node"])
            .env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the kubelet starts");
        let kubelet = Self { child, port, dir, containerd };
        wait_for("the kubelet", || TcpStream::connect(("127.0.0.1", port)).is_ok(), || kubelet.log());
        kubelet
    }

    /// Gives it a pod of one container.
    fn run(&self, name: &str, image: &str) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "hostNetwork": true, "terminationGracePeriodSeconds": 0,
                "containers": [{"name": "main", "image": image, "imagePullPolicy": "IfNotPresent"}],
            },
        });
        fs::write(self.dir.path().join("pods").join(format!("{name}.json")), pod.to_string()).unwrap();
    }

    /// The state of a pod's container: `running`, or the reason why not.
    fn state(&self, name: &str) -> String {
        let (status, _, body) = http(self.port, "GET", "/pods", &[], b"");
        let Ok(pods) = serde_json::from_slice::<Value>(&body) else { return format!("status {status}") };
        let of_pod = |pod: &&Value| pod["metadata"]["name"].as_str().is_some_and(|full| full.starts_with(name));
        let pod = pods["items"].as_array().and_then(|pods| pods.iter().find(of_pod));
        let Some(state) = pod.map(|pod| &pod["status"]["containerStatuses"][0]["state"]) else { return String::new() };
        if state["running"].is_object() { "running".to_owned() } else { state["waiting"]["reason"].to_string() }
    }

    #[track_caller]
    fn wait_until(&self, name: &str, states: &[&str]) {
        wait_for(
            &format!("`{name}` in {states:?}"),
            || states.contains(&self.state(name).trim_matches('"')),
            || format!("it is {}; the kubelet says\n{}", self.state(name), self.log()),
        );
    }

    /// The last lines that it wrote.
    fn log(&self) -> String {
        let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn ctr(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("ctr");
        command.arg("--address").arg(self.containerd.socket()).args(["--namespace", "k8s.io"]).args(arguments);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    }
}

impl Drop for Kubelet<'_> {
    /// Containers outlive kubelet and containerd, so they are ended one by one.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for task in self.ctr(&["tasks", "list", "--quiet"]).split_whitespace() {
            self.ctr(&["tasks", "delete", "--force", task]);
        }
        unmount_below(self.dir.path());
    }
}

/// Builds the waiting program.
fn pause(dir: &Path) -> Vec<u8> {
    let (source, program) = (dir.join("pause.c"), dir.join("pause"));
    fs::write(&source, PAUSE).unwrap();
    let status = Command::new("cc").args(["-static", "-Os", "-o"]).arg(&program).arg(&source).status();
    assert!(status.expect("cc, by tests/tools.sh base").success());
    let mut bytes = Vec::new();
    fs::File::open(program).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

/// A registry behind `docker.io` with three images of the waiting program.
fn registry(dir: &Path) -> Registry {
    let program = pause(dir);
    Registry::with(Auth::Basic, |port| {
        for name in ["acme/pause", "acme/first", "acme/second"] {
            let layer = tar("pause", &program);
            let config = json!({
                "architecture": "amd64", "os": "linux", "author": name, "config": {"Entrypoint": ["/pause"]},
                "rootfs": {"type": "layers", "diff_ids": [sha256(&layer)]},
            });
            push_image(port, name, config, &layer);
        }
    })
}

/// Runs one pod with the login, none without, and the other pod when the login is back; nothing is restarted meanwhile.
fn run_pods(plugin: &[&str], node: &Node, login: impl Fn(), logout: impl Fn()) {
    let dir = Dir::new();
    let registry = registry(dir.path());
    let containerd = Containerd::start_with_sandbox("docker.io/acme/pause:1");
    let text = format!("server = \"http://{}\"\n[host]\n", registry.host());
    hosts_toml(&containerd.certs(), "docker.io", &text);
    login();
    // The kubelet asks nobody for the sandbox's image, so it has to be there.
    let (config, endpoint) = (containerd.config().display().to_string(), containerd.endpoint());
    let arguments = ["check", "acme/pause:1", "--containerd-config", &config, "--cri", &endpoint, "--keep"];
    node.run(&arguments, "").done();

    let kubelet = Kubelet::start(node, &containerd, plugin);
    kubelet.run("first", "acme/first:1");
    kubelet.wait_until("first", &["running"]);

    logout();
    kubelet.run("second", "acme/second:1");
    kubelet.wait_until("second", &["ErrImagePull", "ImagePullBackOff"]);
    wait_for("a refusal", || kubelet.log().contains("401 Unauthorized"), || kubelet.log());

    login();
    kubelet.wait_until("second", &["running"]);
    assert_eq!(kubelet.state("first"), "running");
}

#[test]
#[ignore = "needs the kubelet: `make test-node`"]
fn a_private_image_runs_while_its_login_is_stored() {
    let node = Node::new();
    run_pods(
        &[],
        &node,
        || node.login("docker.io", USER, PASSWORD),
        || assert_eq!(node.run(&["logout", "docker.io"], "").code, 0),
    );
}

#[test]
#[ignore = "needs the kubelet: `make test-node`"]
fn a_private_image_runs_while_the_broker_has_its_login() {
    let node = Node::new();
    let socket = node.dir().join("broker.sock");
    let endpoint = format!("unix://{}", socket.display());
    let mut broker = node.command(&["broker", "serve", "--listen", &endpoint]).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the broker", || UnixStream::connect(&socket).is_ok(), String::new);
    let through = format!("--broker={endpoint}");
    let login = ["login", "docker.io", "--username", USER, "--password-stdin", &through];
    run_pods(
        &["--broker", &endpoint],
        &node,
        || assert_eq!(node.run(&login, PASSWORD).code, 0),
        || assert_eq!(node.run(&["logout", "docker.io", &through], "").code, 0),
    );
    broker.kill().unwrap();
    broker.wait().unwrap();
}
