//! `import --scrub`: the imported logins leave their files, and every other byte stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Dir, Node, Run, run};

/// Format, sample, what is left of it, and how many secrets stay.
const SAMPLES: &[(&str, &str, usize)] = &[
    ("registries-yaml", "registries/hub-aliases.yaml", 4),
    ("registries-yaml", "registries/k3s-basic.yaml", 0),
    ("registries-yaml", "registries/rke2-linux-full.yaml", 2),
    ("registries-yaml", "registries/rke2-windows.yaml", 0),
    ("talos", "talos/hub-attempt-1-docker-io.yaml", 0),
    ("talos", "talos/hub-attempt-2-registry-1.yaml", 0),
    ("talos", "talos/hub-attempt-4-mirror.yaml", 0),
    ("talos", "talos/multidoc-registry.yaml", 1),
    ("talos", "talos/v1alpha1-full.yaml", 1),
    ("docker-config", "docker/config-basic.json", 0),
    ("docker-config", "docker/dockercfg-legacy.json", 0),
    ("containerd", "containerd/config-v2-linux.toml", 1),
    ("containerd", "containerd/config-v2-old-mirrors.toml", 0),
    ("containerd", "containerd/config-v2-windows.toml", 0),
    ("containerd", "containerd/config-v3-linux.toml", 0),
    ("containerd", "containerd/certs.d-linux/docker.io/hosts.toml", 0),
    ("containers-auth", "crio/auth.json", 0),
    ("kubernetes-secret", "kubernetes/dockercfg-secret.yaml", 0),
    ("kubernetes-secret", "kubernetes/dockerconfigjson-secret.yaml", 0),
    ("kubernetes-secret", "kubernetes/dockerconfigjson-stringdata.yaml", 0),
];

/// The password in the tables below, and `u:S3CRET-S3CRET` in base64.
const SECRET: &str = "S3CRET-S3CRET";
const ENCODED: &str = "dTpTM0NSRVQtUzNDUkVU";

const STORED: &str = "what was imported is stored";

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import")
}

fn scrub(node: &Node, format: &str, name: &str, arguments: &[&str]) -> Run {
    let arguments = [&["import", format, name, "--scrub"], arguments].concat();
    run(node.command(&arguments).current_dir(node.dir()), "")
}

/// Returns the content of every file below a directory but the store.
fn everything(dir: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        content.extend(entry.file_name().as_encoded_bytes());
        if path.is_dir() && !path.ends_with("store") {
            content.extend(everything(&path));
        } else if path.is_file() {
            content.extend(fs::read(path).unwrap());
        }
    }
    content
}

fn has(content: &[u8], text: &str) -> bool {
    content.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn every_sample_keeps_all_but_what_was_imported() {
    for (format, sample, stays) in SAMPLES {
        let node = Node::new();
        // The name of a directory of hosts.toml counts.
        let name = sample.rsplit_once("certs.d-linux/").map_or("source", |(_, name)| name);
        let path = node.dir().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(data().join(sample), &path).unwrap();
        let expected = fs::read_to_string(data().join("scrubbed").join(sample.replace('/', "-"))).unwrap();
        // Of logins that contradict each other, a second run would take the next.
        let times = if *sample == "registries/hub-aliases.yaml" { &["first"][..] } else { &["first", "second"] };
        for &time in times {
            let run = scrub(&node, format, name, &["--replace"]);
            assert_eq!(run.code, i32::from(*stays > 0), "{sample}, {time}: {run:#?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), expected, "{sample}, {time}");
            assert_eq!(run.stderr.lines().filter(|line| line.contains(" stays: ")).count(), *stays, "{sample}, {time}");
            assert_eq!(run.stderr.contains("removed "), time == "first", "{sample}: {run:#?}");
        }
        let names = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
        let names: Vec<_> = names.filter(|name| name != "store").collect();
        assert_eq!(names, [path.file_name().unwrap()], "{sample}");
    }
}

#[test]
fn what_was_said_and_done_is_exact() {
    let node = Node::new();
    let source = format!(
        "configs:\n  a.test: {{auth: {{username: u, password: {SECRET}}}}}\n  b.test:\n    auth: {{username: u, password: p, identity_token: t}}\n"
    );
    fs::write(node.dir().join("f"), &source).unwrap();
    let found = "info: f:2: `configs.a.test.auth` imported: the credential for `a.test`\n\
                 error: f:4: `configs.b.test.auth.identity_token` not representable: an identity token has to be exchanged at the registry first, and this version has no issuer that does; store a user name with a password or access token\n\
                 info: f:4: `configs.b.test.auth` imported: the credential for `b.test`\n\
                 warning: f:4: `configs.b.test.auth` stays: a token or an `auth` in it was not imported\n";
    let table = "SCOPE   USERNAME  KEY\na.test  u         configs.a.test.auth\nb.test  u         configs.b.test.auth\n";
    let run = scrub(&node, "registries-yaml", "f", &["--dry-run"]);
    let would = "info: f:2: `configs.a.test.auth` would be removed\n";
    assert_eq!(run, Run::new(10, table, &format!("{found}{would}")));
    assert_eq!(fs::read_to_string(node.dir().join("f")).unwrap(), source);

    let run = scrub(&node, "registries-yaml", "f", &["--dry-run", "--output", "json"]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let expected = serde_json::json!({
        "removed": [{"file": "f", "key": "configs.a.test.auth", "line": 2}],
        "stays": [{"file": "f", "key": "configs.b.test.auth", "line": 4, "reason": "a token or an `auth` in it was not imported"}],
    });
    assert_eq!((run.code, &report["scrub"]), (10, &expected));

    let run = scrub(&node, "registries-yaml", "f", &[]);
    let done = "stored 2 of 2 credentials and 0 of 0 mirror rules; the others are there already\n\
                removed a credential from `f`\n\
                error: a secret stays in the source, for the reasons above\n";
    assert_eq!(run, Run::new(1, table, &format!("{found}{done}hint: {STORED}; remove the rest by hand\n")));
    let left = "configs:\n  b.test:\n    auth: {username: u, password: p, identity_token: t}\n";
    assert_eq!(fs::read_to_string(node.dir().join("f")).unwrap(), left);
    assert_eq!(node.credential("a.test/x"), Some(("a.test".to_owned(), "u".to_owned())));
    // The same file without the option is not changed.
    fs::write(node.dir().join("f"), &source).unwrap();
    crate::support::run(node.command(&["import", "registries-yaml", "f"]).current_dir(node.dir()), "").done();
    assert_eq!(fs::read_to_string(node.dir().join("f")).unwrap(), source);
}

/// Spellings of the same, what is left of each, and nothing stays.
#[test]
fn every_spelling_leaves_exactly_the_rest() {
    let plugin = "plugins.'io.containerd.cri.v1.images'.registry";
    let cases: &[(&str, String, String)] = &[
        // Comments and blank lines, also those on the lines that go.
        (
            "registries-yaml",
            format!("# top\nconfigs: # logins\n\n  # about a\n  a.test:\n    # the login\n    auth: # robot\n      username: u\n      # rotated monthly\n      password: {SECRET}  # since May\n\n    tls: {{insecure_skip_verify: true}}\n# end"),
            "# top\nconfigs: # logins\n\n  # about a\n  a.test:\n    # the login\n    # robot\n      # rotated monthly\n      # since May\n\n    tls: {insecure_skip_verify: true}\n# end".to_owned(),
        ),
        // No end of the last line, and ends of Windows.
        ("registries-yaml", format!("configs:\r\n  a.test:\r\n    auth:\r\n      auth: {ENCODED}"), "configs: {}\r\n".to_owned()),
        // Brackets: first, middle, last and only.
        ("registries-yaml", format!("configs: {{a.test: {{auth: {{username: u, password: {SECRET}}}, tls: {{}}}}, b.test: {{tls: {{x: y}}}}}}\n"), "configs: {a.test: {tls: {}}, b.test: {tls: {x: y}}}\n".to_owned()),
        ("registries-yaml", format!("configs: {{a.test: {{tls: {{}}, auth: {{auth: {ENCODED}}} }}}}\n"), "configs: {a.test: {tls: {} }}\n".to_owned()),
        ("registries-yaml", format!("configs: {{ a.test: {{ auth: {{auth: {ENCODED}}} }} }}\n"), "configs: {}\n".to_owned()),
        // Quoted keys and a text over several lines.
        ("registries-yaml", format!("\"configs\":\n  'a.test':\n    \"auth\":\n      'username': u\n      password: |-\n        {SECRET}\n    tls:\n      ca_file: /x\n"), "\"configs\":\n  'a.test':\n    tls:\n      ca_file: /x\n".to_owned()),
        // A configuration that is shared as a whole.
        ("registries-yaml", format!("x: &all\n  a.test:\n    auth: {{username: u, password: {SECRET}}}\n    tls: {{}}\nconfigs: *all\n"), "x: &all\n  a.test:\n    tls: {}\nconfigs: *all\n".to_owned()),
        ("registries-yaml", format!("auths:\n  https://a.test:\n    username: u\n    password: {SECRET}\nmirrors:\n  docker.io:\n    endpoint: [https://a.test]\n"), "auths: {}\nmirrors:\n  docker.io:\n    endpoint: [https://a.test]\n".to_owned()),
        // JSON on one line, as `docker login` writes it, and with tabs.
        ("docker-config", format!("{{\"auths\":{{\"a.test\":{{\"auth\":\"{ENCODED}\"}}}},\"credsStore\":\"x\"}}"), "{\"auths\":{},\"credsStore\":\"x\"}".to_owned()),
        ("docker-config", format!("{{\n\t\"auths\": {{\n\t\t\"b.test\": {{}},\n\t\t\"a.test\": {{\n\t\t\t\"auth\": \"{ENCODED}\"\n\t\t}}\n\t}}\n}}"), "{\n\t\"auths\": {\n\t\t\"b.test\": {}\n\t}\n}".to_owned()),
        ("docker-config", format!("{{\"a.test\": {{\"auth\": \"{ENCODED}\", \"email\": \"e\"}}}}\n"), "{}\n".to_owned()),
        ("containers-auth", format!("{{\"auths\": {{\"a.test/x\": {{\"auth\": \"{ENCODED}\"}}, \"b.test\": {{}}}}}}"), "{\"auths\": {\"b.test\": {}}}".to_owned()),
        // TOML: tables, inline tables, dotted keys, comments.
        ("containerd", format!("version = 3\n# a\n[{plugin}.configs.'a.test'.auth] # b\n  username = 'u' # c\n  # d\n  password = '''\n{SECRET}'''\n\n[{plugin}.configs.'a.test'.tls]\n  ca_file = '/x'\n"), format!("version = 3\n# a\n# b\n  # c\n  # d\n\n[{plugin}.configs.'a.test'.tls]\n  ca_file = '/x'\n")),
        ("containerd", format!("[{plugin}]\nconfigs.'a.test'.auth.username = 'u'\r\nconfigs.'a.test'.auth.password = '{SECRET}'\r\nconfig_path = ''\r\n"), format!("[{plugin}]\nconfig_path = ''\r\n")),
        ("containerd", format!("[{plugin}.configs]\n'a.test' = {{ tls = {{ ca_file = '/x' }}, auth = {{ username = 'u', password = '{SECRET}' }} }}\n"), format!("[{plugin}.configs]\n'a.test' = {{ tls = {{ ca_file = '/x' }} }}\n")),
        ("containerd", format!("[{plugin}.configs.'a.test']\nauth = {{ username = 'u', password = '{SECRET}' }}\n[{plugin}.mirrors.'b.test']\nendpoint = ['https://m.test']\n"), format!("[{plugin}.mirrors.'b.test']\nendpoint = ['https://m.test']\n")),
        // Documents of Talos: the first, and one in a file that starts with its marker.
        ("talos", format!("apiVersion: v1alpha1\nkind: RegistryAuthConfig\nname: a.test\nusername: u\npassword: {SECRET}\n---\nmachine: {{}}\n"), "---\nmachine: {}\n".to_owned()),
        ("talos", format!("---\n# the login\napiVersion: v1alpha1\nkind: RegistryAuthConfig # here\nname: a.test\nauth: {ENCODED}\n"), "# the login\n# here\n".to_owned()),
        // What talosctl prints holds the configuration as a text.
        ("talos", format!("metadata:\n  type: MachineConfigs.config.talos.dev\nspec: |\n  # kept\n  machine:\n    registries:\n      config:\n        a.test:\n          auth:\n            username: u\n            password: {SECRET}\n"), "metadata:\n  type: MachineConfigs.config.talos.dev\nspec: |\n  # kept\n  machine:\n    registries:\n      config: {}\n".to_owned()),
        ("talos", format!("metadata:\n  type: MachineConfigs.config.talos.dev\nspec: \"machine: {{registries: {{config: {{a.test: {{auth: {{auth: {ENCODED}}}}}}}}}}}\\n\"\n"), "metadata:\n  type: MachineConfigs.config.talos.dev\nspec: \"machine: {registries: {config: {}}}\\n\"\n".to_owned()),
        // A secret in JSON, as kubectl prints it, and as a block of text.
        ("kubernetes-secret", "{\"kind\": \"Secret\", \"type\": \"kubernetes.io/dockercfg\", \"data\": {\".dockercfg\": \"eyJhLnRlc3QiOnsiYXV0aCI6ImRUcFRNME5TUlZRdFV6TkRVa1ZVIn19\"}}".to_owned(), "{\"kind\": \"Secret\", \"type\": \"kubernetes.io/dockercfg\", \"data\": {\".dockercfg\": \"e30=\"}}".to_owned()),
        ("kubernetes-secret", format!("kind: Secret\ntype: kubernetes.io/dockerconfigjson\nstringData:\n  .dockerconfigjson: |\n    {{\n      \"auths\": {{\n        \"a.test\": {{\"auth\": \"{ENCODED}\"}},\n        \"b.test\": {{}}\n      }}\n    }}\n"), "kind: Secret\ntype: kubernetes.io/dockerconfigjson\nstringData:\n  .dockerconfigjson: |\n    {\n      \"auths\": {\n        \"b.test\": {}\n      }\n    }\n".to_owned()),
    ];
    for (format, source, left) in cases {
        for (name, encode) in ENCODINGS {
            let node = Node::new();
            fs::write(node.dir().join("f"), encode(source)).unwrap();
            let run = scrub(&node, format, "f", &[]);
            assert_eq!(run.code, 0, "{source}: {run:#?}");
            assert_eq!(fs::read(node.dir().join("f")).unwrap(), encode(left), "{name}, {source}");
            let credential = node.credential("a.test/x").map(|(_, user)| user);
            assert_eq!(credential.as_deref(), Some("u"), "{source}");
            let content = everything(node.dir());
            assert!(!has(&content, SECRET) && !has(&content, ENCODED), "{source}");
            if !source.contains('#') {
                break;
            }
        }
    }
}

type Encode = fn(&str) -> Vec<u8>;
const ENCODINGS: [(&str, Encode); 4] = [
    ("UTF-8", |text| text.as_bytes().to_vec()),
    ("with a mark", |text| [b"\xef\xbb\xbf", text.as_bytes()].concat()),
    ("UTF-16", |text| format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ("high byte first", |text| format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect()),
];

#[test]
fn what_cannot_be_taken_out_alone_stays_with_its_reason() {
    let alias = "an alias (`*name`) stands in for it or in it; remove it by hand";
    let alone = "it cannot be taken out without changing something else; remove it by hand";
    let cases = [
        (
            format!("x: &x {{username: u, password: {SECRET}}}\nconfigs:\n  a.test: {{auth: *x}}\n"),
            3,
            "configs.a.test.auth",
            alias,
        ),
        (
            format!("x: &x {{password: {SECRET}}}\nconfigs:\n  a.test:\n    auth:\n      <<: *x\n      username: u\n"),
            4,
            "configs.a.test.auth",
            alone,
        ),
        (
            format!("configs:\n  a.test:\n    auth: &x\n      username: u\n      password: {SECRET}\nx: *x\n"),
            3,
            "configs.a.test.auth",
            alone,
        ),
        (
            format!("configs:\n  a.test:\n    auth: {{username: u, # him\n      password: {SECRET}}}\n"),
            3,
            "configs.a.test.auth",
            "there is a comment in its braces; remove it by hand",
        ),
        (
            format!("configs:\n  a.test:\n    auth: {{username: u, password: {SECRET}, pasword: x}}\n"),
            3,
            "configs.a.test.auth",
            "a key beside it was not imported",
        ),
        (
            format!("configs:\n  a.test:\n    auth: {{username: u, password: {SECRET}, auth: dTpw}}\n"),
            3,
            "configs.a.test.auth",
            "`auth` and `username` in it differ",
        ),
        (
            format!(
                "configs:\n  a.test: {{auth: {{username: v, password: old}}}}\n  a.test: {{auth: {{username: u, password: {SECRET}}}}}\n"
            ),
            3,
            "configs.a.test.auth",
            alone,
        ),
    ];
    for (source, line, key, reason) in cases {
        let node = Node::new();
        fs::write(node.dir().join("f"), &source).unwrap();
        let run = scrub(&node, "registries-yaml", "f", &[]);
        let stays = format!("warning: f:{line}: `{key}` stays: {reason}\n");
        assert!(run.code == 1 && run.stderr.contains(&stays), "{source}: {run:#?}");
        assert_eq!(fs::read_to_string(node.dir().join("f")).unwrap(), source);
        assert_eq!(node.credential("a.test/x").map(|(_, user)| user).as_deref(), Some("u"), "{source}");
    }
}

#[test]
fn a_password_that_stands_elsewhere_in_the_file_is_reported() {
    let node = Node::new();
    let source = format!("# old: {SECRET}\nconfigs:\n  a.test: {{auth: {{username: u, password: {SECRET}}}}}\n");
    fs::write(node.dir().join("f"), source).unwrap();
    let run = scrub(&node, "registries-yaml", "f", &[]);
    let stays =
        "warning: f:1: stays: an imported password stands here too, where it was not looked for; remove it by hand\n";
    assert!(run.code == 1 && run.stderr.contains(stays), "{run:#?}");
    assert!(!run.stderr.contains(SECRET));
    assert_eq!(fs::read_to_string(node.dir().join("f")).unwrap(), format!("# old: {SECRET}\nconfigs: {{}}\n"));
}

#[test]
fn files_that_containerd_names_are_rewritten_too() {
    let node = Node::new();
    let write = |name: &str, content: String| {
        let path = node.dir().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let auth = format!("[plugins.'io.containerd.cri.v1.images'.registry.configs.'a.test'.auth]\nauth = '{ENCODED}'\n");
    write(
        "config.toml",
        "imports = ['conf.d/*.toml']\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = 'certs.d'\n"
            .to_owned(),
    );
    write("conf.d/a.toml", format!("# a\n{auth}"));
    write(
        "certs.d/b.test/hosts.toml",
        format!(
            "[host.'https://b.test']\n  [host.'https://b.test'.header]\n  Authorization = ['Basic {ENCODED}']\n  X-Other = 'x'\n"
        ),
    );
    write(
        "certs.d/c.test/hosts.toml",
        format!("[host.'https://c.test']\n  header = {{ authorization = 'Basic {ENCODED}' }}\n"),
    );
    let before = fs::read(node.dir().join("config.toml")).unwrap();
    let run = scrub(&node, "containerd", "config.toml", &[]);
    assert_eq!(run.code, 0, "{run:#?}");
    let left = |name: &str| fs::read_to_string(node.dir().join(name)).unwrap();
    assert_eq!(left("conf.d/a.toml"), "# a\n");
    assert_eq!(
        left("certs.d/b.test/hosts.toml"),
        "[host.'https://b.test']\n  [host.'https://b.test'.header]\n  X-Other = 'x'\n"
    );
    assert_eq!(left("certs.d/c.test/hosts.toml"), "[host.'https://c.test']\n");
    assert_eq!(fs::read(node.dir().join("config.toml")).unwrap(), before);
    assert!(!has(&everything(node.dir()), ENCODED));
    for host in ["a.test", "b.test", "c.test"] {
        assert_eq!(node.credential(&format!("{host}/x")), Some((host.to_owned(), "u".to_owned())));
    }
}

#[test]
fn a_source_without_its_logins_changes_no_mirror_rule() {
    let node = Node::new();
    let source = format!(
        "mirrors:\n  docker.io:\n    endpoint: [\"https://m.test\"]\nconfigs:\n  'm.test:443':\n    auth: {{username: u, password: {SECRET}}}\n"
    );
    fs::write(node.dir().join("f"), source).unwrap();
    assert_eq!(scrub(&node, "registries-yaml", "f", &[]).code, 0);
    let sealed = fs::read(node.sealed()).unwrap();
    assert_eq!(scrub(&node, "registries-yaml", "f", &[]).code, 0);
    assert_eq!(fs::read(node.sealed()).unwrap(), sealed);
    assert_eq!(node.credential("nginx"), Some(("docker.io".to_owned(), "u".to_owned())));
}

#[cfg(unix)]
#[test]
fn mode_owner_attributes_and_links_stay() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    let node = Node::new();
    let real = node.dir().join("real");
    fs::create_dir(&real).unwrap();
    let file = real.join("registries.yaml");
    fs::write(&file, format!("configs: {{a.test: {{auth: {{auth: {ENCODED}}}}}}}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let is_root = fs::metadata(&file).unwrap().uid() == 0;
    if is_root {
        chown(&file, Some(1234), Some(2345)).unwrap();
    }
    let attribute = |arguments: &[&str]| {
        Command::new("setfattr").args(arguments).arg(&file).status().is_ok_and(|status| status.success())
    };
    let has_attributes = attribute(&["-n", "user.kcp", "-v", "kept"]);
    symlink(&file, node.dir().join("f")).unwrap();
    let before = fs::metadata(&file).unwrap();
    let run = scrub(&node, "registries-yaml", "f", &[]);
    assert!(run.code == 0 && run.stderr.ends_with("removed a credential from `f`\n"), "{run:#?}");
    assert!(fs::symlink_metadata(node.dir().join("f")).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&file).unwrap(), "configs: {}\n");
    let after = fs::metadata(&file).unwrap();
    assert_eq!((after.mode(), after.uid(), after.gid()), (before.mode(), before.uid(), before.gid()));
    assert_ne!(after.ino(), before.ino(), "it is replaced, not written over");
    if has_attributes {
        let value = Command::new("getfattr").args(["--only-values", "-n", "user.kcp"]).arg(&file).output().unwrap();
        assert_eq!(value.stdout, b"kept");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_replaced_stays_as_it_was_and_the_import_is_done() {
    use rustix::process::geteuid;
    let node = Node::new();
    let dir = node.dir().join("d");
    fs::create_dir(&dir).unwrap();
    let source = format!("configs: {{a.test: {{auth: {{auth: {ENCODED}}}}}}}\n");
    let hint =
        "hint: what was imported is stored; remove it from the file by hand, or try again when it can be written\n";
    let stored = |number: u8| {
        format!("stored {number} of 1 credentials and 0 of 0 mirror rules; the others are there already\n")
    };
    let found = "info: d/f:1: `configs.a.test.auth` imported: the credential for `a.test`\n";
    let table = "SCOPE   USERNAME  KEY\na.test  u         configs.a.test.auth\n";
    fs::write(dir.join("f"), &source).unwrap();

    // Root writes where the mode forbids it, but not on what is mounted to be read.
    let script = "mount --bind d d && mount -o remount,bind,ro d && exec \"$0\" import registries-yaml d/f --scrub";
    assert!(geteuid().is_root() || std::env::var_os("CI").is_none(), "needs root to mount a directory");
    if geteuid().is_root() {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", script, crate::support::BINARY]);
        command.current_dir(node.dir()).env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
        let error =
            "error: cannot rewrite `d/f`, which is as it was\n  caused by: Read-only file system (os error 30)\n";
        assert_eq!(run(&mut command, ""), Run::new(1, table, &format!("{found}{}{error}{hint}", stored(1))));
        assert_eq!(fs::read_to_string(dir.join("f")).unwrap(), source);
        assert_eq!(node.credential("a.test/x"), Some(("a.test".to_owned(), "u".to_owned())));
    } else {
        node.run(&["import", "registries-yaml", dir.join("f").to_str().unwrap()], "").done();
    }

    // Another name of the file would keep the secret.
    fs::hard_link(dir.join("f"), dir.join("g")).unwrap();
    let run = scrub(&node, "registries-yaml", "d/f", &[]);
    let error = "error: cannot rewrite `d/f`, which is as it was\n  caused by: it has 2 names (hard links)\n";
    assert_eq!(run, Run::new(1, table, &format!("{found}{}{error}{hint}", stored(0))));
    assert_eq!(fs::read_to_string(dir.join("f")).unwrap(), source);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "nothing is left beside it");
}

#[cfg(unix)]
#[test]
fn a_killed_scrub_leaves_the_source_or_what_is_left_of_it() {
    let node = Node::new();
    let dir = Dir::new();
    let path = dir.path().join("f");
    let logins = |number: usize| format!("  r{number}.test: {{auth: {{username: u, password: {SECRET}-{number}}}}}\n");
    let source = format!("# kept\nconfigs:\n{}", (0..200).map(logins).collect::<String>());
    let left = "# kept\nconfigs: {}\n";
    let arguments = ["import", "registries-yaml", path.to_str().unwrap(), "--scrub"];
    fs::write(&path, &source).unwrap();
    let start = Instant::now();
    node.run(&arguments, "").done();
    let whole = start.elapsed();
    let (mut before, mut after) = (0, 0);
    for round in 0..40 {
        fs::write(&path, &source).unwrap();
        let mut command = node.command(&arguments);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(whole * round / 40 + Duration::from_micros(1));
        let _ = child.kill();
        child.wait().unwrap();
        match fs::read_to_string(&path).unwrap() {
            text if text == source => before += 1,
            text => {
                assert_eq!(text, left);
                after += 1;
            }
        }
        fs::remove_file(&path).unwrap();
        assert!(!has(&everything(dir.path()), SECRET), "what a killed run leaves beside it holds no secret");
    }
    assert!(before > 0 && before + after == 40, "{before} {after}");
}
