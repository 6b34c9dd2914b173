//! The rules of containerd, each by a file that needs it.
#![expect(clippy::disallowed_methods, reason = "no file of a store")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Config, read};

struct Dir(PathBuf);

impl Dir {
    fn with(files: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("kcp-containerd-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = Self(std::env::temp_dir().join(name));
        for (path, text) in files {
            let path = dir.0.join(path);
            fs::create_dir_all(path.parent().unwrap_or(Path::new(""))).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        dir
    }

    fn urls(&self, registry: &str) -> Vec<String> {
        Config::with_roots(vec![self.0.clone()]).chain(registry).hosts.iter().map(super::Host::url).collect()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn without_a_file_the_registry_itself_is_asked() {
    let dir = Dir::with(&[]);
    for (registry, url) in [
        ("docker.io", "https://registry-1.docker.io/v2"),
        ("r.test:5000", "https://r.test:5000/v2"),
        ("localhost", "https://localhost/v2"),
        ("127.0.0.1:80", "http://127.0.0.1:80/v2"),
        ("127.0.0.1:5000", "https://127.0.0.1:5000/v2"),
    ] {
        assert_eq!(dir.urls(registry), [url]);
    }
    let chain = Config::with_roots(vec![dir.0.clone()]).chain("127.0.0.1:5000");
    assert!(chain.hosts[0].tls_first && chain.hosts[0].is_plain && chain.hosts[0].skips_verification);
}

#[test]
fn hosts_come_in_the_order_of_the_file_and_the_server_last() {
    let dir = Dir::with(&[(
        "docker.io/hosts.toml",
        r#"
server = "https://up.test/prefix"
[host."http://z.test:5000"]
[host."a.test"]
  capabilities = ["pull", "resolve"]
[host."https://b.test/own/root"]
  override_path = true
[host."https://c.test/v2/"]
  capabilities = ["push"]
"#,
    )]);
    let urls = [
        "http://z.test:5000/v2",
        "https://a.test/v2",
        "https://b.test/own/root",
        "https://c.test/v2",
        "https://up.test/prefix/v2",
    ];
    assert_eq!(dir.urls("docker.io"), urls);
    let chain = Config::with_roots(vec![dir.0.clone()]).chain("docker.io");
    assert_eq!(chain.hosts.iter().map(|host| host.resolves).collect::<Vec<_>>(), [true, true, true, false, true]);
    assert_eq!(chain.warnings.len(), 1);
    assert_eq!(chain.hosts[0].origin, Some((dir.0.join("docker.io/hosts.toml"), 3)));
}

#[test]
fn the_first_directory_that_is_there_counts_even_without_a_file() {
    let dir = Dir::with(&[
        ("r.test_5000_/ca.crt", ""),
        ("r.test:5000/hosts.toml", "server = \"https://other.test\"\n"),
        ("s.test:5000/hosts.toml", "server = \"https://other.test\"\n"),
        ("_default/hosts.toml", "[host.\"https://cache.test\"]\n"),
    ]);
    assert_eq!(dir.urls("r.test:5000"), ["https://r.test:5000/v2"]);
    assert_eq!(dir.urls("s.test:5000"), ["https://other.test/v2"]);
    assert_eq!(dir.urls("t.test"), ["https://cache.test/v2", "https://t.test/v2"]);
    let chain = Config::with_roots(vec![dir.0.clone()]).chain("r.test:5000");
    assert_eq!(chain.hosts[0].authorities, [dir.0.join("r.test_5000_/ca.crt")]);
}

#[test]
fn a_broken_file_is_passed_over_as_containerd_does_and_said() {
    for text in ["server = ", "[host.\"ftp://a.test\"]\n", "[host.\"https://\"]\n"] {
        let dir = Dir::with(&[("docker.io/hosts.toml", text)]);
        let chain = Config::with_roots(vec![dir.0.clone()]).chain("docker.io");
        assert_eq!(chain.hosts[0].url(), "https://registry-1.docker.io/v2", "{text}");
        assert!(chain.warnings[0].ends_with("containerd goes on without the file, as if it had no mirrors"), "{text}");
    }
}

#[test]
fn a_file_without_hosts_is_said_to_be_ignored_by_old_versions() {
    for (text, count) in [("server = \"https://a.test\"\n", 1), ("server = \"https://a.test\"\n[host]\n", 0)] {
        let dir = Dir::with(&[("docker.io/hosts.toml", text)]);
        assert_eq!(Config::with_roots(vec![dir.0.clone()]).chain("docker.io").warnings.len(), count, "{text}");
    }
}

#[test]
fn settings_of_a_host_are_its_own() {
    let dir = Dir::with(&[(
        "r.test/hosts.toml",
        r#"
ca = "root.pem"
[host."https://m.test"]
  ca = ["one.pem", '/abs/two.pem', 'C:\certs\three.pem']
  client = [["c.pem", "k.pem"], "both.pem"]
  skip_verify = true
  [host."https://m.test".header]
    authorization = "Basic x"
[host."http://n.test:8080"]
  ca = "one.pem"
"#,
    )]);
    let chain = Config::with_roots(vec![dir.0.clone()]).chain("r.test");
    let base = dir.0.join("r.test");
    let mirror = &chain.hosts[0];
    assert_eq!(mirror.authorities, [base.join("one.pem"), "/abs/two.pem".into(), r"C:\certs\three.pem".into()]);
    assert_eq!(mirror.clients[0].key, base.join("k.pem"));
    assert_eq!(mirror.clients[1].key, mirror.clients[1].certificate);
    assert!(mirror.skips_verification && mirror.has_login());
    assert!(chain.hosts[1].tls_first && chain.hosts[1].is_plain);
    assert_eq!(chain.hosts[2].authorities, [base.join("root.pem")]);
    assert!(!chain.hosts[2].skips_verification && !chain.hosts[2].has_login());
}

#[test]
fn config_toml_names_the_directories_and_the_logins() {
    let dir = Dir::with(&[
        (
            "config.toml",
            r#"
version = 2
imports = ["conf.d/*.toml"]
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "/one:/two"
[plugins."io.containerd.grpc.v1.cri".registry.configs."registry-1.docker.io".auth]
  username = "u"
  password = "p"
[plugins."io.containerd.grpc.v1.cri".registry.configs."r.test".auth]
"#,
        ),
        (
            "conf.d/10.toml",
            "[plugins.\"io.containerd.cri.v1.images\".registry]\nconfig_path = '''C:\\certs;D:\\more'''\n",
        ),
    ]);
    let config = read(&dir.0.join("config.toml")).expect("a configuration");
    assert_eq!(config.roots, [PathBuf::from(r"C:\certs"), r"D:\more".into()]);
    let hosts: Vec<_> = config.logins.iter().map(|login| (login.host.as_str(), login.line)).collect();
    assert_eq!(hosts, [("registry-1.docker.io", 6)]);
}

#[test]
fn mirrors_in_config_toml_are_followed_without_config_path() {
    let dir = Dir::with(&[(
        "config.toml",
        r#"
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."docker.io"]
  endpoint = ["http://m.test:5000", "https://n.test/sub"]
[plugins."io.containerd.grpc.v1.cri".registry.mirrors."*"]
  endpoint = ["localhost:5001"]
[plugins."io.containerd.grpc.v1.cri".registry.configs."n.test".tls]
  ca_file = "/ca.pem"
"#,
    )]);
    let config = read(&dir.0.join("config.toml")).expect("a configuration");
    let urls = |registry: &str| config.chain(registry).hosts.iter().map(super::Host::url).collect::<Vec<_>>();
    let hub = ["http://m.test:5000/v2", "https://n.test/sub/v2", "https://registry-1.docker.io/v2"];
    assert_eq!(urls("docker.io"), hub);
    assert_eq!(urls("r.test"), ["http://localhost:5001/v2", "https://r.test/v2"]);
    assert_eq!(config.chain("docker.io").hosts[1].authorities, [PathBuf::from("/ca.pem")]);
}
