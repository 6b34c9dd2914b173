//! `doctor` on file trees of nodes: a healthy one, and one thing wrong at a time, each with the whole output.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use keyring_credential_provider::store::Store;
use snapbox::{IntoData, str};

use crate::support::{BINARY, Dir, Run, run};

const CONFIG: &str = "/etc/kubernetes/cp.yaml";
const PROGRAM: &str = "/usr/libexec/kcp/bin/keyring-credential-provider";
const FLAGS: &str = "KUBELET_EXTRA_ARGS=\"--image-credential-provider-config=/etc/kubernetes/cp.yaml --image-credential-provider-bin-dir=/usr/libexec/kcp/bin\"\n";
const PROVIDERS: &str = "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: keyring-credential-provider\n  apiVersion: credentialprovider.kubelet.k8s.io/v1\n  matchImages: [docker.io, registry-1.docker.io, r.test]\n  defaultCacheDuration: 0s\n  args: [get-credentials]\n";
const ECR: &str = "- name: ecr-credential-provider\n  apiVersion: credentialprovider.kubelet.k8s.io/v1\n  matchImages: ['*.test', '*.dkr.ecr.*.amazonaws.com']\n  defaultCacheDuration: 12h\n";
const SECRET: &str = "S3CRET-S3CRET";

/// A node's file tree, with a store in its usual place.
struct Tree(Dir);

impl Tree {
    /// Files that every Linux tree below has.
    fn healthy() -> Self {
        let tree = Self::linux();
        tree.login("docker.io", &[]);
        tree.login("r.test", &[]);
        tree
    }

    fn linux() -> Self {
        let tree = Self(Dir::new());
        tree.write("/var/lib/kubelet/kubeadm-flags.env", "KUBELET_KUBEADM_ARGS=\"\"\n");
        tree.write("/etc/default/kubelet", FLAGS);
        tree.write(CONFIG, PROVIDERS);
        tree.write(PROGRAM, "#!/bin/sh\n");
        tree.chmod(PROGRAM, 0o755);
        tree.command(&["store", "init", "--key-source", "host-key"], "").done();
        tree
    }

    /// RKE2 on Windows.
    fn windows() -> Self {
        let tree = Self(Dir::new());
        let dir = "/C/var/lib/rancher/credentialprovider";
        tree.write("/C/var/lib/rancher/credentialprovider/config.yaml", PROVIDERS);
        tree.write(&format!("{dir}/bin/keyring-credential-provider.exe"), "MZ");
        let flags = "image-credential-provider-bin-dir: 'C:\\var\\lib\\rancher\\credentialprovider\\bin'\nimage-credential-provider-config: 'C:\\var\\lib\\rancher\\credentialprovider\\config.yaml'\n";
        tree.write("/C/etc/rancher/rke2/config.yaml.d/50-keyring-credential-provider.yaml", flags);
        tree.command(&["store", "init", "--key-source", "host-key"], "").done();
        tree.login("docker.io", &[]);
        tree.login("r.test", &[]);
        tree
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name.trim_start_matches('/'))
    }

    fn write(&self, name: &str, text: &str) -> &Self {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
        self
    }

    fn chmod(&self, name: &str, mode: u32) -> &Self {
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    fn remove(&self, name: &str) -> &Self {
        fs::remove_file(self.path(name)).unwrap();
        self
    }

    fn edit(&self, name: &str, old: &str, new: &str) -> &Self {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(old), "{text}");
        self.write(name, &text.replace(old, new))
    }

    fn store(&self) -> PathBuf {
        let linux = self.path("/var/lib/keyring-credential-provider");
        if self.path("/C").is_dir() { self.path("/C/ProgramData/keyring-credential-provider") } else { linux }
    }

    fn command(&self, arguments: &[&str], stdin: &str) -> Run {
        let mut command = Command::new(BINARY);
        run(command.args(arguments).arg("--store").arg(self.store()).env_clear(), stdin)
    }

    fn login(&self, scope: &str, arguments: &[&str]) -> &Self {
        let arguments = [&["login", scope, "-u", "u", "--password-stdin"], arguments].concat();
        self.command(&arguments, SECRET).done();
        self
    }

    /// Runs `doctor`, with the kubelet's version; the tree's own place is left out of what it says.
    fn doctor(&self, version: &str, arguments: &[&str]) -> Run {
        let mut command = Command::new(BINARY);
        command.args(["doctor", "--kubelet-version", version, "--root"]).arg(self.0.path()).args(arguments).env_clear();
        let mut run = run(&mut command, "");
        assert!(!format!("{run:?}").contains(SECRET), "{run:#?}");
        run.stdout = run.stdout.replace(&self.0.path().display().to_string(), "ROOT");
        run
    }
}

/// Asserts what `doctor` says about a tree: whole output, and the exit code that follows.
#[track_caller]
fn finds(tree: &Tree, expected: impl IntoData) {
    finds_with(tree, "1.34", &[], expected);
}

#[track_caller]
fn finds_with(tree: &Tree, version: &str, arguments: &[&str], expected: impl IntoData) {
    let run = tree.doctor(version, arguments);
    let is_healthy = !run.stdout.lines().any(|line| line.starts_with("error: ") || line.starts_with("warning: "));
    let said = if is_healthy { "nothing is wrong here\n" } else { "" };
    assert_eq!((run.code, run.stderr.as_str()), (i32::from(!is_healthy), said), "{run:#?}");
    snapbox::assert_data_eq!(run.stdout, expected.raw());
}

#[test]
fn a_healthy_node_has_nothing_to_say() {
    finds(&Tree::healthy(), str![]);
    let run = Tree::healthy().doctor("1.34", &["--output", "json"]);
    assert_eq!(run, Run::new(0, "{\n  \"healthy\": true,\n  \"findings\": []\n}\n", ""));
    finds_with(&Tree::windows(), "v1.34.1+rke2r1", &[], str![]);
}

#[test]
fn a_tree_that_is_not_there_and_a_version_that_is_none() {
    let run = run(Command::new(BINARY).args(["doctor", "--root", "/no/such"]).env_clear(), "");
    let error = "error: cannot look below `/no/such`: No such file or directory (os error 2)\n";
    assert_eq!(run, Run::new(2, "", error));
    finds_with(
        &Tree::healthy(),
        "new",
        &[],
        str![[r#"
info: the kubelet's version cannot be read [kubelet-version]
  say `--kubelet-version`; the rules of the newest known kubelet were used

"#]],
    );
}

#[test]
fn flags() {
    let tree = Tree::healthy();
    tree.write("/etc/default/kubelet", "KUBELET_EXTRA_ARGS=\"--v=2\"\n");
    finds(
        &tree,
        str![[r#"
error: the kubelet has no flags for credential providers, so it asks none [no-flags]
  run `keyring-credential-provider node plan`, then `node apply --restart`

"#]],
    );
    tree.write(
        "/etc/default/kubelet",
        "KUBELET_EXTRA_ARGS=\"--image-credential-provider-config=/etc/kubernetes/cp.yaml\"\n",
    );
    finds(
        &tree,
        str![[r#"
error: the kubelet has `--image-credential-provider-config` without `--image-credential-provider-bin-dir`, and does not start with one of them [one-flag]
  complete or remove it where it was set, before the kubelet restarts

"#]],
    );
    // What runs counts, and differs from what the next start will have.
    let tree = Tree::healthy();
    tree.write("/proc/100/cmdline", "/usr/bin/kubelet\0--image-credential-provider-config=/etc/old.yaml\0--image-credential-provider-bin-dir\0/opt\0");
    finds(
        &tree,
        str![[r#"
warning: the kubelet runs with other credential provider flags than the node's files give it: `--image-credential-provider-bin-dir=/opt --image-credential-provider-config=/etc/old.yaml`, not `--image-credential-provider-bin-dir=/usr/libexec/kcp/bin --image-credential-provider-config=/etc/kubernetes/cp.yaml` [flags-differ]
  restart the kubelet, or correct the file if the running ones are right

"#]],
    );
}

#[test]
fn a_configuration_that_the_kubelet_refuses() {
    finds(
        Tree::healthy().remove(CONFIG),
        str![[r#"
error: /etc/kubernetes/cp.yaml: the kubelet's configuration cannot be read: cannot read `/etc/kubernetes/cp.yaml`: no such file or directory [config-unreadable]
  restore it before the kubelet restarts: a kubelet without it does not start

"#]],
    );
    finds(
        Tree::healthy().edit(CONFIG, "  args:", "  arg:"),
        str![[r#"
error: /etc/kubernetes/cp.yaml: the kubelet refuses its configuration: error decoding config "/etc/kubernetes/cp.yaml": strict decoding error: unknown field "providers[0].arg" [config-refused]
  correct it before the kubelet restarts, which it will not survive; `config validate` judges it again

"#]],
    );
    finds(
        Tree::healthy().edit(CONFIG, "docker.io, ", "'https://docker.io', "),
        str![[r#"
error: /etc/kubernetes/cp.yaml: the kubelet never asks for images of `docker.io`, for which there is a credential [not-asked]
  put it into `matchImages`; `keyring-credential-provider config generate` prints all of them
warning: /etc/kubernetes/cp.yaml: matchImages "https://docker.io": the scheme makes it match nothing; write `docker.io` [config-mistake]
  correct it, and restart the kubelet; `config validate` judges it again
warning: /etc/kubernetes/cp.yaml: matchImages "registry-1.'https://docker.io'": the scheme makes it match nothing; write `docker.io'` [config-mistake]
  correct it, and restart the kubelet; `config validate` judges it again
warning: /etc/kubernetes/cp.yaml: matchImages names Docker Hub, but not as `docker.io`, which is what the kubelet calls it [config-mistake]
  correct it, and restart the kubelet; `config validate` judges it again

"#]],
    );
    finds(
        Tree::healthy().remove(PROGRAM),
        str![[r#"
error: /etc/kubernetes/cp.yaml: the kubelet refuses its configuration: plugin binary executable  did not exist (provider "keyring-credential-provider") [config-refused]
  correct it before the kubelet restarts, which it will not survive; `config validate` judges it again

"#]],
    );
    finds(
        Tree::healthy().chmod(PROGRAM, 0o644),
        str![[r#"
error: /etc/kubernetes/cp.yaml: the kubelet refuses its configuration: error inspecting binary executable : exec: "/usr/libexec/kcp/bin/keyring-credential-provider": permission denied (provider "keyring-credential-provider") [config-refused]
  correct it before the kubelet restarts, which it will not survive; `config validate` judges it again

"#]],
    );
}

#[test]
fn a_configuration_that_does_not_ask_for_what_is_stored() {
    let tree = Tree::healthy();
    tree.write(CONFIG, &format!("{}{ECR}", PROVIDERS.split("- name").next().unwrap()));
    tree.write("/usr/libexec/kcp/bin/ecr-credential-provider", "")
        .chmod("/usr/libexec/kcp/bin/ecr-credential-provider", 0o755);
    finds(
        &tree,
        str![[r#"
error: /etc/kubernetes/cp.yaml: the kubelet's configuration does not name this plugin, so it is never asked [not-configured]
  run `keyring-credential-provider node plan`, then `node apply --restart`
info: /etc/kubernetes/cp.yaml: defaultCacheDuration "12h0m0s": where the plugin does not say how long, a wrong or revoked credential stays in use that long [config-mistake]
  correct it, and restart the kubelet; `config validate` judges it again

"#]],
    );
    // Both are asked for the same image; the mistake of the other provider is not ours.
    tree.write(CONFIG, &format!("{PROVIDERS}{ECR}"));
    finds(
        &tree,
        str![[r#"
warning: /etc/kubernetes/cp.yaml: the kubelet asks `ecr-credential-provider` for `r.test` too, and tries the credentials of both [two-providers]
  leave the pattern to one of them; a wrong credential that comes first costs a failed login at each pull
info: /etc/kubernetes/cp.yaml: defaultCacheDuration "12h0m0s": where the plugin does not say how long, a wrong or revoked credential stays in use that long (provider "ecr-credential-provider") [config-mistake]
  correct it, and restart the kubelet; `config validate` judges it again

"#]],
    );
    finds(
        Tree::healthy().login("s.test:5000/team", &[]),
        str![[r#"
error: /etc/kubernetes/cp.yaml: the kubelet never asks for images of `s.test:5000`, for which there is a credential [not-asked]
  put it into `matchImages`; `keyring-credential-provider config generate` prints all of them

"#]],
    );
    finds(
        Tree::healthy().edit(CONFIG, "registry-1.docker.io, ", ""),
        str![[r#"
info: /etc/kubernetes/cp.yaml: pods that write `registry-1.docker.io/...` are another registry to the kubelet, and it does not ask for them [hub-name]
  put it into `matchImages`; `keyring-credential-provider config generate` prints all of them

"#]],
    );
}

#[test]
fn another_store() {
    let tree = Tree::healthy();
    let store = tree.store();
    tree.edit(CONFIG, "  args:", "  env: [{name: KEYRING_CREDENTIAL_PROVIDER_STORE, value: /srv/store}]\n  args:");
    // Without `--store` the plugin's own is looked at, and there is none.
    finds(
        &tree,
        str![[r#"
error: ROOT/srv/store: no store at `ROOT/srv/store` [no-store]
  run `keyring-credential-provider store init`

"#]],
    );
    finds_with(
        &tree,
        "1.34",
        &["--store", store.to_str().unwrap()],
        str![[r#"
warning: /etc/kubernetes/cp.yaml: the kubelet's plugin uses the store `/srv/store`, and this is about another one [other-store]
  run this again with `--store /srv/store`, or take the variable out of the configuration

"#]],
    );
}

#[test]
fn what_others_could_replace() {
    let tree = Tree::healthy();
    // As `/tmp` is: others may put files there, but not replace these. In the plugins' directory they may not even do that.
    tree.chmod("/etc/kubernetes", 0o1777).chmod("/usr/libexec/kcp/bin", 0o1777);
    tree.chmod(PROGRAM, 0o777).chmod("/usr/libexec", 0o777).chmod(CONFIG, 0o666);
    finds(
        &tree,
        str![[r#"
error: /etc/kubernetes/cp.yaml: others could replace what the kubelet runs or reads, as root or SYSTEM: `/etc/kubernetes/cp.yaml` has mode 0666 and group 0 [replaceable]
  give it to root with `chown root:root`, and take the right away with `chmod go-w`
error: /usr/libexec: others could replace what the kubelet runs or reads, as root or SYSTEM: `/usr/libexec` has mode 0777 and group 0 [replaceable]
  give it to root with `chown root:root`, and take the right away with `chmod go-w`
error: /usr/libexec/kcp/bin: others could replace what the kubelet runs or reads, as root or SYSTEM: `/usr/libexec/kcp/bin` has mode 1777 and group 0 [replaceable]
  give it to root with `chown root:root`, and take the right away with `chmod go-w`
error: /usr/libexec/kcp/bin/keyring-credential-provider: others could replace what the kubelet runs or reads, as root or SYSTEM: `/usr/libexec/kcp/bin/keyring-credential-provider` has mode 0777 and group 0 [replaceable]
  give it to root with `chown root:root`, and take the right away with `chmod go-w`

"#]],
    );
}

#[test]
fn docker_logins_that_come_first() {
    let tree = Tree::healthy();
    let empty = "{\n  \"auths\": {\n    \"https://index.docker.io/v1/\": {},\n    \"r.test\": {\"username\": \"u\", \"password\": \"S3CRET-S3CRET\"},\n    \"q.test\": {\"auth\": \"dTpTM0NSRVQtUzNDUkVU\"}\n  }\n}\n";
    tree.write("/config.json", "{\"auths\": {\"r.test\": {\"auth\": \"S3CRET-S3CRET\n")
        .write("/root/.docker/config.json", empty);
    tree.write("/root/.dockercfg", "{}");
    finds(
        &tree,
        str![[r#"
error: /root/.docker/config.json:3: `auths.https://index.docker.io/v1/` has no login, and the kubelet tries it first: anonymously [docker-empty]
  remove the entry
warning: /root/.docker/config.json:4: a login for `r.test` stands here in plain text, and the kubelet tries it before the one that is stored [docker-first]
  run `keyring-credential-provider import docker-config /root/.docker/config.json --scrub`
warning: /root/.docker/config.json:5: a login for `q.test` stands here in plain text [docker-login]
  run `keyring-credential-provider import docker-config /root/.docker/config.json --scrub`
info: /config.json: the kubelet cannot read this file of docker logins, and goes to the next one: `/config.json`, line 1, column 31: not valid YAML or JSON [docker-unreadable]
  remove it
info: /root/.dockercfg: the kubelet does not read this file of docker logins, because there is one before it [docker-unused]
  remove it

"#]],
    );
    let tree = Tree::windows();
    tree.write("/C/k/config.json", "{\"auths\": {\"docker.io\": {\"auth\": \"dTpTM0NSRVQtUzNDUkVU\"}}}");
    finds(
        &tree,
        str![[r#"
warning: C:\k\config.json:1: a login for `docker.io` stands here in plain text, and the kubelet tries it before the one that is stored [docker-first]
  run `keyring-credential-provider import docker-config C:\k\config.json --scrub`

"#]],
    );
}

#[test]
fn logins_that_containerd_ignores() {
    let tree = Tree::healthy();
    let login = |host: &str| {
        format!(
            "[plugins.'io.containerd.cri.v1.images'.registry.configs.'{host}'.auth]\nusername = 'u'\npassword = '{SECRET}'\n"
        )
    };
    tree.write("/etc/containerd/config.toml", &format!("version = 3\n{}{}", login("docker.io"), login("q.test")));
    tree.write("/etc/containerd/conf.d/r.toml", &login("r.test"));
    tree.write("/etc/cri/containerd.toml", &login("s.test"));
    tree.write(
        "/etc/rancher/k3s/registries.yaml",
        &format!("configs:\n  registry-1.docker.io:\n    auth: {{username: u, password: {SECRET}}}\n"),
    );
    finds_with(
        &tree,
        "1.34",
        &["--flavour", "kubeadm"],
        str![[r#"
warning: /etc/rancher/k3s/registries.yaml:3: a login for `docker.io` stands here in plain text, and is ignored, because the plugin answers first [runtime-ignored]
  run `keyring-credential-provider import registries-yaml /etc/rancher/k3s/registries.yaml --scrub`
warning: /etc/containerd/config.toml:2: `plugins.io.containerd.cri.v1.images.registry.configs.docker.io.auth` is never looked up: containerd asks by the host that it dials, `registry-1.docker.io` [hub-key]
  run `keyring-credential-provider import containerd /etc/containerd/config.toml --scrub`
warning: /etc/containerd/conf.d/r.toml:1: a login for `r.test` stands here in plain text, and is ignored, because the plugin answers first [runtime-ignored]
  run `keyring-credential-provider import containerd /etc/containerd/conf.d/r.toml --scrub`
info: /etc/cri/containerd.toml:1: a login for `s.test` stands here in plain text [runtime-login]
  run `keyring-credential-provider import containerd /etc/cri/containerd.toml --scrub`
info: /etc/containerd/config.toml:5: a login for `q.test` stands here in plain text [runtime-login]
  run `keyring-credential-provider import containerd /etc/containerd/config.toml --scrub`

"#]],
    );
    let tree = Tree::healthy();
    tree.write("/etc/containerd/config.toml", "[plugins]\n[plugins]\n");
    tree.write("/etc/containerd/certs.d/r.test/hosts.toml", "[host\n");
    finds(
        &tree,
        str![[r#"
error: /etc/containerd/config.toml: the container runtime's configuration cannot be read: `/etc/containerd/config.toml`, line 2, column 2: a key or table stands twice; containerd refuses such a file, so keep one of them [runtime-refused]
  correct it; containerd does not start with it
error: /etc/containerd/certs.d: the container runtime cannot read this: `/etc/containerd/certs.d/r.test/hosts.toml`, line 1, column 6: not valid TOML; in double quotes `\` starts an escape, so write a Windows path in single quotes [runtime-refused]
  correct it; pulls from that registry fail

"#]],
    );
}

#[test]
fn a_mirror_that_learns_a_login() {
    let tree = Tree::healthy();
    tree.write(
        "/etc/containerd/certs.d/docker.io/hosts.toml",
        "server = 'https://registry-1.docker.io'\n[host.'https://m.test']\n",
    );
    finds(
        &tree,
        str![[r#"
warning: /etc/containerd/certs.d: the mirror `m.test` of `docker.io` learns the login that is stored for it: the store has no mirror rule [mirror-learns]
  run `keyring-credential-provider import containerd /etc/containerd/certs.d`

"#]],
    );
    let directory = tree.path("/etc/containerd/certs.d");
    tree.command(&["import", "containerd", directory.to_str().unwrap()], "").done();
    finds(&tree, str![]);
}

#[test]
fn rke2_on_windows() {
    let tree = Tree::windows();
    let broken = include_str!("../data/import/containerd/config-rke2-windows-1.29.13-broken.toml");
    tree.write("/C/var/lib/rancher/rke2/agent/etc/containerd/config.toml", broken);
    tree.write("/C/etc/rancher/rke2/registries.yaml", include_str!("../data/import/registries/rke2-windows.yaml"));
    // The name without `.exe`, of which an older kubelet needs the file too.
    finds_with(
        &tree,
        "v1.29.13+rke2r1",
        &[],
        str![[r#"
error: C:\var\lib\rancher\credentialprovider\config.yaml: the kubelet refuses its configuration: plugin binary executable C:\var\lib\rancher\credentialprovider\bin/keyring-credential-provider did not exist [config-refused]
  correct it before the kubelet restarts, which it will not survive; `config validate` judges it again
error: C:\var\lib\rancher\credentialprovider\bin\keyring-credential-provider.exe: a kubelet before 1.30 looks for `keyring-credential-provider` and runs `keyring-credential-provider.exe`, and both have to be there [exe-name]
  name the provider with `.exe`, or keep the program under both names
error: C:\var\lib\rancher\rke2\agent\etc\containerd\config.toml:5: RKE2 wrote a login or TLS setting where containerd never looks (rancher/rke2#7103): `plugins.io.containerd.grpc.v1.cri.registry.configs.auth` [rke2-template]
  run `keyring-credential-provider import registries-yaml C:\etc\rancher\rke2\registries.yaml` for the logins; for TLS, upgrade RKE2
error: C:\etc\rancher\rke2\registries.yaml: RKE2 v1.29.13+rke2r1 on Windows ignores logins and TLS settings of this file (rancher/rke2#7103) [rke2-ignores]
  run `keyring-credential-provider import registries-yaml C:\etc\rancher\rke2\registries.yaml --scrub` for the logins; for TLS, upgrade to 1.29.14, 1.30.10, 1.31.6, 1.32.2 or later
warning: C:\var\lib\rancher\credentialprovider\config.yaml: name "keyring-credential-provider": a Windows kubelet before 1.30 looks for exactly this file, and runs nothing without extension; write "keyring-credential-provider.exe" [config-mistake]
  correct it, and restart the kubelet; `config validate` judges it again
warning: C:\etc\rancher\rke2\registries.yaml: the mirror `harbor.example.test` of `docker.io` learns the login that is stored for it: the store has no mirror rule [mirror-learns]
  run `keyring-credential-provider import registries-yaml C:\etc\rancher\rke2\registries.yaml`
info: C:\etc\rancher\rke2\registries.yaml:10: a login for `harbor.example.test` stands here in plain text [runtime-login]
  run `keyring-credential-provider import registries-yaml C:\etc\rancher\rke2\registries.yaml --scrub`

"#]],
    );
    tree.write("/C/var/lib/rancher/credentialprovider/bin/keyring-credential-provider", "MZ");
    tree.remove("/C/var/lib/rancher/rke2/agent/etc/containerd/config.toml");
    finds_with(
        &tree,
        "v1.29.14+rke2r1",
        &[],
        str![[r#"
warning: C:\var\lib\rancher\credentialprovider\config.yaml: name "keyring-credential-provider": a Windows kubelet before 1.30 looks for exactly this file, and runs nothing without extension; write "keyring-credential-provider.exe" [config-mistake]
  correct it, and restart the kubelet; `config validate` judges it again
warning: C:\etc\rancher\rke2\registries.yaml: the mirror `harbor.example.test` of `docker.io` learns the login that is stored for it: the store has no mirror rule [mirror-learns]
  run `keyring-credential-provider import registries-yaml C:\etc\rancher\rke2\registries.yaml`
info: C:\etc\rancher\rke2\registries.yaml:10: a login for `harbor.example.test` stands here in plain text [runtime-login]
  run `keyring-credential-provider import registries-yaml C:\etc\rancher\rke2\registries.yaml --scrub`

"#]],
    );
}

#[test]
fn a_store_that_does_not_open() {
    let tree = Tree::healthy();
    let sealed = tree.store().join("credentials.sealed");
    fs::set_permissions(&sealed, fs::Permissions::from_mode(0o644)).unwrap();
    finds(
        &tree,
        str![[r#"
error: ROOT/var/lib/keyring-credential-provider: the plugin fails at each pull: `ROOT/var/lib/keyring-credential-provider/credentials.sealed` has mode 0644, must be 0600 [store-refused]
  restore the owner and mode, or make the store anew

"#]],
    );
    fs::remove_dir_all(tree.store()).unwrap();
    finds(
        &tree,
        str![[r#"
error: ROOT/var/lib/keyring-credential-provider: no store at `ROOT/var/lib/keyring-credential-provider` [no-store]
  run `keyring-credential-provider store init`

"#]],
    );
    finds(
        &Tree::linux(),
        str![[r#"
warning: nothing is stored, so every answer is empty [empty-store]
  store a credential with `login`, `import` or `apply`

"#]],
    );
}

#[test]
fn an_older_store_is_told_apart() {
    let tree = Tree::healthy();
    let sealed = tree.store().join("credentials.sealed");
    let older = fs::read(&sealed).unwrap();
    tree.login("r.test", &[]);
    fs::write(&sealed, older).unwrap();
    finds(
        &tree,
        str![[r#"
error: ROOT/var/lib/keyring-credential-provider: store `ROOT/var/lib/keyring-credential-provider/credentials.sealed` was rolled back: it is generation 3, and 4 has been seen [store-rolled-back]
  if you restored a backup, run `store rekey --accept-rollback`

"#]],
    );
}

#[test]
fn a_key_that_the_next_reboot_takes() {
    let tree = Tree::healthy();
    // In a session keyring of its own, as systemd gives one to every service.
    let in_session = |arguments: &[&str]| {
        let mut command = Command::new("keyctl");
        run(command.args(["session", "-", BINARY]).args(arguments).arg("--store").arg(tree.store()), "")
    };
    let rekeyed = in_session(&["store", "rekey", "--key-source", "keyring"]);
    assert_eq!(rekeyed.code, 0, "{rekeyed:#?}");
    let run = in_session(&["doctor", "--kubelet-version", "1.34", "--root", tree.0.path().to_str().unwrap()]);
    let found = "warning: the store's key is in the kernel keyring, and gone with the next reboot [key-is-lost]\n  \
                 run `keyring-credential-provider store rekey --key-source systemd-creds`\n";
    assert!(run.code == 1 && run.stdout.ends_with(found), "{run:#?}");
}

#[test]
fn credentials_that_expire() {
    let tree = Tree::healthy();
    // Nobody can store an expired one, so time has passed since.
    let store = Store::at(tree.store());
    let mut writer = store.write().unwrap();
    let mut credential = writer.credentials().iter().find(|found| found.scope.as_str() == "r.test").unwrap().clone();
    credential.expires_at = Some(1_000_000_000);
    writer.put(credential);
    writer.commit().unwrap();
    finds(
        &tree,
        str![[r#"
error: the credential for `r.test` expired at 2001-09-09T01:46:40Z [expired]
  get a new one and store it with `keyring-credential-provider login r.test`

"#]],
    );
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 6);
    tree.login("r.test", &["--expires-at", &soon.to_string()]);
    let run = tree.doctor("1.34", &[]);
    assert!(run.code == 1 && run.stdout.starts_with("warning: the credential for `r.test` expires at 20"), "{run:#?}");
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 8);
    tree.login("r.test", &["--expires-at", &later.to_string()]);
    finds(&tree, str![]);
}

#[test]
fn a_clock_that_is_behind() {
    let tree = Tree::healthy();
    let day = std::time::SystemTime::now() + std::time::Duration::from_secs(86_400);
    fs::File::options().write(true).open(tree.path(CONFIG)).unwrap().set_modified(day).unwrap();
    let run = tree.doctor("1.34", &[]);
    let clock = "error: this machine's clock is at least 14";
    assert!(run.code == 1 && run.stdout.starts_with(clock) && run.stdout.contains("[clock]"), "{run:#?}");
}

#[test]
fn every_finding_in_json_has_its_place() {
    let tree = Tree::healthy();
    tree.write("/var/lib/kubelet/config.json", "{\"auths\":\n{\"docker.io\": {}}}");
    let run = tree.doctor("1.34", &["--output", "json"]);
    assert_eq!((run.code, run.stderr.as_str()), (1, ""));
    snapbox::assert_data_eq!(
        run.stdout,
        str![[r#"
{
  "healthy": false,
  "findings": [
    {
      "severity": "error",
      "code": "docker-empty",
      "message": "`auths.docker.io` has no login, and the kubelet tries it first: anonymously",
      "file": "/var/lib/kubelet/config.json",
      "line": 2,
      "remedy": "remove the entry"
    }
  ]
}

"#]]
        .raw()
    );
}
