//! A real containerd with directories of its own and its CRI plugin on.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::registry::wait_for;
use crate::support::Dir;

/// A containerd process, ended with this value.
pub(crate) struct Containerd {
    child: Child,
    dir: Dir,
}

impl Containerd {
    /// Starts one; `registry` is added to the `registry` table of its CRI plugin.
    pub(crate) fn start(registry: &str) -> Self {
        Self::configured("registry.test/pause:1", registry)
    }

    /// Starts one that runs pods in a sandbox of this image.
    pub(crate) fn start_with_sandbox(image: &str) -> Self {
        Self::configured(image, "")
    }

    fn configured(sandbox: &str, registry: &str) -> Self {
        let dir = Dir::new();
        let path = |name: &str| dir.path().join(name).display().to_string();
        fs::create_dir(dir.path().join("certs.d")).unwrap();
        let config = format!(
            r#"version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{opt}"
[plugins."io.containerd.grpc.v1.cri"]
  stream_server_port = "0"
  restrict_oom_score_adj = true
  sandbox_image = "{sandbox}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{root}"
    conf_dir = "{root}"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{certs}"
{registry}"#,
            root = path("root"),
            state = path("state"),
            socket = path("socket"),
            opt = path("opt"),
            certs = path("certs.d"),
        );
        fs::write(dir.path().join("config.toml"), config).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new("containerd")
            .arg("--config")
            .arg(dir.path().join("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("containerd, by tests/tools.sh containerd");
        let containerd = Self { child, dir };
        let log = || fs::read_to_string(containerd.dir.path().join("log")).unwrap_or_default();
        wait_for("containerd", || UnixStream::connect(containerd.socket()).is_ok(), log);
        // It listens before the CRI plugin is ready.
        wait_for("the CRI plugin", || log().contains("containerd successfully booted"), log);
        containerd
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.dir.path().join("config.toml")
    }

    /// The directory of the hosts.toml files.
    pub(crate) fn certs(&self) -> PathBuf {
        self.dir.path().join("certs.d")
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        unmount_below(self.dir.path());
    }
}

/// Takes away what containerd and the kubelet leave mounted.
pub(crate) fn unmount_below(dir: &Path) {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let paths = mounts.lines().rev().filter_map(|line| line.split(' ').nth(1));
    for path in paths.filter(|path| Path::new(path).starts_with(dir)) {
        let _ = Command::new("umount").args(["--lazy", path]).status();
    }
}
