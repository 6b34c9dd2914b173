//! `import`: every sample of every format has its exact report, and what was imported is answered.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use keyring_credential_provider::import::{self, Error, Format};
use proptest::prelude::*;

use crate::support::{BINARY, Dir, Node, Run, run, shipped};

const FORMATS: [Format; 6] = [
    Format::RegistriesYaml,
    Format::Talos,
    Format::DockerConfig,
    Format::ContainersAuth,
    Format::Containerd,
    Format::KubernetesSecret,
];

/// Format, sample, exit code of a dry run on an empty store. The report lies in `reports`.
const SAMPLES: &[(&str, &str, i32)] = &[
    ("registries-yaml", "registries/hub-aliases.yaml", 6),
    ("registries-yaml", "registries/k3s-basic.yaml", 10),
    ("registries-yaml", "registries/pat-in-auth-field.yaml", 0),
    ("registries-yaml", "registries/rke2-linux-full.yaml", 10),
    ("registries-yaml", "registries/rke2-windows.yaml", 10),
    ("registries-yaml", "registries/typo-endpoint-key.yaml", 10),
    ("talos", "talos/hub-attempt-1-docker-io.yaml", 10),
    ("talos", "talos/hub-attempt-2-registry-1.yaml", 10),
    ("talos", "talos/hub-attempt-4-mirror.yaml", 10),
    ("talos", "talos/misplaced-machine-config.yaml", 0),
    ("talos", "talos/multidoc-kubelet-provider.yaml", 0),
    ("talos", "talos/multidoc-registry.yaml", 10),
    ("talos", "talos/v1alpha1-full.yaml", 10),
    ("talos", "talos/v1alpha1-kubelet-provider.yaml", 0),
    ("docker-config", "docker/config-basic.json", 10),
    ("docker-config", "docker/config-helpers.json", 0),
    ("docker-config", "docker/config-tokens.json", 0),
    ("docker-config", "docker/dockercfg-legacy.json", 10),
    ("containers-auth", "crio/auth.json", 10),
    ("containerd", "containerd/certs.d-linux", 10),
    ("containerd", "containerd/certs.d-windows", 0),
    ("containerd", "containerd/config-rke2-windows-1.29.13-broken.toml", 0),
    ("containerd", "containerd/config-v2-linux.toml", 10),
    ("containerd", "containerd/config-v2-old-mirrors.toml", 10),
    ("containerd", "containerd/config-v2-windows.toml", 10),
    ("containerd", "containerd/config-v3-linux.toml", 10),
    ("kubernetes-secret", "kubernetes/dockercfg-secret.yaml", 10),
    ("kubernetes-secret", "kubernetes/dockerconfigjson-secret.yaml", 10),
    ("kubernetes-secret", "kubernetes/dockerconfigjson-stringdata.yaml", 10),
];

/// What marks a secret in the tests below.
const MARK: &str = "S3CRET";
/// The same in base64, at each of its three offsets.
const ENCODED_MARKS: [&str; 3] = ["UzNDUkVU", "MzQ1JFV", "TM0NSRV"];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import")
}

/// Runs a dry run among the samples, on a machine without a store.
fn dry_run(format: &str, path: &str, form: &str) -> Run {
    let mut command = Command::new(BINARY);
    command.args(["import", format, path, "--dry-run", "--output", form, "--store", "no-such-store"]);
    run(command.env_clear().current_dir(data()), "")
}

/// Writes a file and imports it without a store; the name of the directory is left out of what was printed.
fn try_text(format: &str, name: &str, content: impl AsRef<[u8]>) -> Run {
    let dir = Dir::new();
    fs::write(dir.path().join(name), content).unwrap();
    try_in(&dir, format, name)
}

fn try_in(dir: &Dir, format: &str, name: &str) -> Run {
    let mut command = Command::new(BINARY);
    command.args(["import", format, name, "--dry-run", "--store", "no-such-store"]);
    run(command.env_clear().current_dir(dir.path()), "")
}

/// Imports a text into a node's store, with these arguments after it.
fn import_into(node: &Node, format: &str, content: &str, arguments: &[&str]) -> Run {
    fs::write(node.dir().join("source"), content).unwrap();
    let arguments = [&["import", format, "source"], arguments].concat();
    run(node.command(&arguments).current_dir(node.dir()), "")
}

fn configs(host: &str, user: &str, password: &str) -> String {
    format!("configs:\n  {host}:\n    auth: {{username: {user}, password: {password}}}\n")
}

#[test]
fn every_sample_has_its_exact_report() {
    for (format, sample, code) in SAMPLES {
        let report =
            fs::read_to_string(data().join("reports").join(format!("{}.json", sample.replace('/', "-")))).unwrap();
        let conflicts = "error: nothing is stored because of 4 conflicts\n\
                         hint: resolve them in the source, or give `--replace`\n";
        let stderr = if *code == 6 { conflicts } else { "" };
        // Backslashes of a Windows machine, in the paths of a directory's files.
        let mut run = dry_run(format, sample, "json");
        let unix = |line: &str| if line.contains("\"file\"") { line.replace(r"\\", "/") } else { line.to_owned() };
        run.stdout = run.stdout.lines().map(|line| unix(line) + "\n").collect();
        assert_eq!(run, Run::new(*code, &report, stderr), "{sample}");
    }
}

#[test]
fn auto_finds_the_format_of_every_sample() {
    for (format, sample, _) in SAMPLES {
        assert_eq!(dry_run("auto", sample, "text"), dry_run(format, sample, "text"), "{sample}");
        assert_eq!(import::detect(&data().join(sample)).unwrap().name(), *format, "{sample}");
    }
    let run = dry_run("auto", "crio/registries.conf", "text");
    let error = "error: cannot tell the format of `crio/registries.conf`; name it in place of `auto`\n";
    assert_eq!(run, Run::new(1, "", error));
}

#[test]
fn no_secret_of_a_sample_is_printed() {
    for (format, sample, _) in SAMPLES {
        for form in ["text", "json"] {
            let Run { stdout, stderr, .. } = dry_run(format, sample, form);
            let printed = format!("{stdout}{stderr}");
            // Every password in the samples has this word, but for that of `p:q`; base64 of it starts so.
            for secret in ["fake", "FAKE", "pa:ss:word", "cHVs", "aHVi", "Y2Fj", "cm9i", "dGVh", "cXVh", "eyJ", "LS0t"]
            {
                assert!(!printed.contains(secret), "{secret} of {sample}: {printed}");
            }
        }
    }
}

#[test]
fn a_backslash_that_is_no_escape_gets_a_hint() {
    let run = dry_run("auto", "registries/rke2-windows-parse-error.yaml", "text");
    let error = r"error: `registries/rke2-windows-parse-error.yaml`, line 5, column 16: unknown escape: in double quotes `\` starts one; write a Windows path in single quotes, or each `\` twice";
    assert_eq!(run, Run::new(1, "", &format!("{error}\n")));
}

#[test]
fn a_backslash_that_is_an_escape_is_found() {
    let yaml = "configs:\n  r.test:\n    tls:\n      ca_file: \"C:\\etc\\rancher\"\n      key_file: \"C:\\Program\"\n";
    let toml = "[plugins.'io.containerd.grpc.v1.cri'.registry.configs.'r.test'.tls]\nca_file = \"C:\\tls\"\n";
    for (format, content, places) in
        [("registries-yaml", yaml, &[("ca_file", 4), ("key_file", 5)][..]), ("containerd", toml, &[("ca_file", 2)])]
    {
        let run = try_text(format, "f", content);
        for (key, line) in places {
            let finding = format!(
                "{key}` ignored: the path has a control character at position 3; in double quotes `\\` starts an escape, so \
                 write the path in single quotes, or each `\\` twice\n"
            );
            assert!(run.stderr.contains(&finding), "{key}: {run:#?}");
            assert!(run.stderr.contains(&format!("error: f:{line}:")), "{run:#?}");
        }
    }
}

/// What the samples do not have, each with its whole report.
#[test]
fn cases_without_a_sample_have_their_exact_report() {
    let escapes =
        "configs:\n  r.test:\n    auth: {username: u, password: p}\n    tls:\n      ca_file: \"C:\\etc\\rancher\"\n";
    let escaped = "info: f:3: `configs.r.test.auth` imported: the credential for `r.test`\n\
        info: f:5: `configs.r.test.tls.ca_file` not representable: stays in the configuration it is in; a credential store cannot hold it\n\
        error: f:5: `configs.r.test.tls.ca_file` ignored: the path has a control character at position 3; in double quotes `\\` starts an escape, so write the path in single quotes, or each `\\` twice\n";
    let table = "SCOPE   USERNAME  KEY\nr.test  u         configs.r.test.auth\n";
    let marked = format!("\u{feff}{}", configs("r.test", "u", "p").replace('\n', "\r\n"));
    let utf16: Vec<u8> = marked.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let plain = "info: f:3: `configs.r.test.auth` imported: the credential for `r.test`\n";
    let list = "{\n \"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [\n  {\"kind\": \"Secret\", \"type\": \"kubernetes.io/dockercfg\", \"metadata\": {\"name\": \"a\", \"namespace\": \"n\"},\n   \"data\": {\".dockercfg\": \"eyJyLnRlc3QiOnsiYXV0aCI6ImRUcHcifX0=\"}},\n  {\"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"c\"}},\n  {\"kind\": \"Secret\", \"type\": \"kubernetes.io/dockerconfigjson\", \"metadata\": {\"name\": \"b\"},\n   \"data\": {\".dockerconfigjson\": \"bm90IGpzb246IHs=\"}}\n ]\n}\n";
    let listed = "warning: f:4: `n/a` imported: the secret is for pods of the namespace `n`, and a credential in the store is for every pod of the node\n\
        info: f:4: `n/a.r.test` imported: the credential for `r.test`\n\
        info: f:5: `c` ignored: is no secret of the type `kubernetes.io/dockerconfigjson` or `kubernetes.io/dockercfg`\n\
        error: f:7: `b` ignored: is not valid JSON\n";
    let third = "machine:\n  registries:\n    config:\n      docker.io:\n        auth:\n          auth: aHViLXVzZXI6ZmFrZS1odWItdG9rZW4=\n";
    let hub = "info: f:5: `machine.registries.config.docker.io.auth` imported: the credential for `docker.io`\n";
    let hub_table = "SCOPE      USERNAME  KEY\ndocker.io  hub-user  machine.registries.config.docker.io.auth\n";
    let cases: [(&str, &[u8], i32, &str, &str); 7] = [
        ("a path whose escapes mean control characters", escapes.as_bytes(), 10, table, escaped),
        ("a byte order mark and ends of lines of Windows", marked.as_bytes(), 10, table, plain),
        ("UTF-16", &utf16, 10, table, plain),
        ("a table twice", b"[plugins.'io.containerd.grpc.v1.cri'.registry]\nconfig_path = ''\n[plugins.'io.containerd.grpc.v1.cri'.registry]\n", 1, "", "error: `f`, line 3, column 38: a key or table stands twice; containerd refuses such a file, so keep one of them\n"),
        ("what kubectl prints", list.as_bytes(), 10, "SCOPE   USERNAME  KEY\nr.test  u         n/a.r.test\n", listed),
        ("two documents", b"mirrors: {}\n---\nconfigs: {}\n", 1, "", "error: `f` has more than one document; this format has one\n"),
        ("the third attempt of the Talos user", third.as_bytes(), 10, hub_table, hub),
    ];
    for (what, content, code, stdout, stderr) in cases {
        let format = if what == "a table twice" { "containerd" } else { "auto" };
        assert_eq!(try_text(format, "f", content), Run::new(code, stdout, stderr), "{what}");
    }
    assert_eq!(
        try_text("registries-yaml", "f", ""),
        Run::new(0, "", "warning: f: ignored: there is nothing in this file\n")
    );
}

#[test]
fn every_name_of_docker_hub_ends_up_answered_for_its_images() {
    for host in ["docker.io", "index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/"] {
        let node = Node::new();
        let run = import_into(&node, "registries-yaml", &configs(host, "u", "p"), &[]);
        assert_eq!(run.code, 0, "{run:#?}");
        let answer = Some(("docker.io".to_owned(), "u".to_owned()));
        assert_eq!(node.credential("docker.io/library/nginx"), answer, "{host}");
    }
}

#[test]
fn a_mirrors_credential_is_answered_for_images_of_the_registry() {
    let node = Node::new();
    let source = data().join("registries/k3s-basic.yaml");
    let arguments = ["import", "registries-yaml", source.to_str().unwrap()];
    let run = node.run(&arguments, "");
    assert_eq!(run.code, 0, "{run:#?}");
    assert!(run.stderr.ends_with("stored 2 of 2 credentials and 1 of 1 mirror rules; the others are there already\n"));
    let answer: serde_json::Value = serde_json::from_str(&node.ask("docker.io/library/nginx").done()).unwrap();
    let expected = serde_json::json!({"docker.io": {"username": "cache-puller", "password": "fake-cache-password-1"}});
    assert_eq!(answer["auth"], expected);
    let answer: serde_json::Value = serde_json::from_str(&node.ask("registry.example.test:5000/a").done()).unwrap();
    assert_eq!(answer["auth"]["registry.example.test:5000"]["password"], "fake:with:colons and spaces");
    let list = node.run(&["list", "--output", "json"], "").done();
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let origin = format!("import registries-yaml {} configs.cache.example.test.auth", source.display());
    assert_eq!(list[0]["origin"], origin);

    // Once more changes nothing, and a dry run says so.
    let before = fs::read(node.sealed()).unwrap();
    let run = node.run(&arguments, "");
    assert!(run.stderr.ends_with("stored 0 of 2 credentials and 0 of 1 mirror rules; the others are there already\n"));
    assert_eq!((run.code, fs::read(node.sealed()).unwrap()), (0, before));
    assert_eq!(node.run(&[&arguments[..], &["--dry-run"]].concat(), "").code, 0);
}

#[test]
fn the_port_that_a_scheme_implies_does_not_hide_a_mirrors_credential() {
    let node = Node::new();
    let mirror = "mirrors:\n  docker.io:\n    endpoint: [\"https://m.test\"]\n";
    let run = import_into(&node, "registries-yaml", &(mirror.to_owned() + &configs("'m.test:443'", "u", "p")), &[]);
    assert_eq!(run.code, 0, "{run:#?}");
    assert_eq!(node.credential("nginx"), Some(("docker.io".to_owned(), "u".to_owned())));
}

#[test]
fn a_registrys_credential_is_not_shown_to_mirrors_unless_it_is_tried_first() {
    let source =
        |endpoints: &str| format!("mirrors:\n  r.test:\n    endpoint: [{endpoints}]\n{}", configs("r.test", "u", "p"));
    let node = Node::new();
    let run = import_into(&node, "registries-yaml", &source("https://m.test, https://r.test"), &[]);
    assert!(run.stderr.contains("`mirrors.r.test` imported: no mirror has a credential, so none is answered, and that of `r.test` is withheld, because each mirror that asks would learn it; if they all may, give this rule the policy `mirror-then-upstream` with `apply`\n"), "{run:#?}");
    assert_eq!(node.credential("r.test/a"), None);
    let node = Node::new();
    let run = import_into(&node, "registries-yaml", &source("https://r.test, https://m.test"), &[]);
    assert!(run.stderr.contains("`r.test` is tried first, so its credential is answered"), "{run:#?}");
    assert_eq!(node.credential("r.test/a"), Some(("r.test".to_owned(), "u".to_owned())));
}

#[test]
fn a_conflict_in_the_source_stores_nothing_unless_told_to() {
    let source = "configs:\n  docker.io: {auth: {username: u, password: a}}\n  index.docker.io: {auth: {username: v, password: b}}\n";
    let node = Node::new();
    let before = fs::read(node.sealed()).unwrap();
    let run = import_into(&node, "registries-yaml", source, &[]);
    let table = "SCOPE      USERNAME  KEY\ndocker.io  u         configs.docker.io.auth\n";
    let report = "info: source:2: `configs.docker.io.auth` imported: the credential for `docker.io`\n\
                  error: source:3: `configs.index.docker.io.auth` conflict: another user for `docker.io` than `configs.docker.io.auth` in line 2; remove one, or take the first with `--replace`\n";
    let error =
        "error: nothing is stored because of a conflict\nhint: resolve them in the source, or give `--replace`\n";
    assert_eq!(run, Run::new(6, table, &format!("{report}{error}")));
    assert_eq!(fs::read(node.sealed()).unwrap(), before);
    let done = "stored 1 of 1 credentials and 0 of 0 mirror rules; the others are there already\n";
    let run = import_into(&node, "registries-yaml", source, &["--replace"]);
    assert_eq!(run, Run::new(0, table, &format!("{report}{done}")));
    assert_eq!(node.credential("nginx"), Some(("docker.io".to_owned(), "u".to_owned())));
}

#[test]
fn the_same_credential_twice_is_no_conflict() {
    let source = "auths: {'https://r.test': {username: u, password: p}}\nconfigs: {r.test: {auth: {auth: dTpw}}}\n";
    let run = try_text("registries-yaml", "f", source);
    assert_eq!(run.code, 10);
    assert!(run.stderr.contains("info: f:2: `configs.r.test.auth` merged: the credential for `r.test` is that of `auths.https://r.test` in line 1\n"), "{run:#?}");
}

#[test]
fn what_login_stored_is_not_replaced_unless_told_to() {
    let node = Node::with(&["r.test"]);
    let source = configs("r.test", "other", "p");
    let run = import_into(&node, "registries-yaml", &source, &[]);
    assert_eq!(run.code, 6);
    assert!(run.stderr.contains("conflict: another user or password is stored for it already, not by `import`"));
    assert_eq!(node.credential("r.test/a"), Some(("r.test".to_owned(), "user-0".to_owned())));
    assert_eq!(import_into(&node, "registries-yaml", &source, &["--replace"]).code, 0);
    assert_eq!(node.credential("r.test/a"), Some(("r.test".to_owned(), "other".to_owned())));
    // What an import stored is its own to replace.
    assert_eq!(import_into(&node, "registries-yaml", &configs("r.test", "third", "p"), &[]).code, 0);
    assert_eq!(node.credential("r.test/a"), Some(("r.test".to_owned(), "third".to_owned())));
    // And what login stored with the same user and password is no conflict.
    let node = Node::with(&["r.test"]);
    assert_eq!(import_into(&node, "registries-yaml", &configs("r.test", "user-0", "password-0"), &[]).code, 0);
}

#[test]
fn what_apply_chose_for_a_registry_stays() {
    let node = Node::new();
    let rule = |host: &str| {
        format!(
            "apiVersion: keyring-credential-provider/v1\nkind: Credentials\nmirrors:\n- {{source: r.test, hosts: [{host}], policy: mirror-then-upstream}}\n"
        )
    };
    let source = "mirrors: {r.test: {endpoint: ['https://m.test']}}\n";
    let apply = |host: &str| {
        fs::write(node.dir().join("f"), rule(host)).unwrap();
        assert_eq!(node.run(&["apply", "-f", node.dir().join("f").to_str().unwrap()], "").code, 0);
    };
    apply("m.test");
    let run = import_into(&node, "registries-yaml", source, &[]);
    assert_eq!(run.stdout, "REGISTRY  MIRRORS  POLICY\nr.test    m.test   mirror-then-upstream\n");
    assert!(run.stderr.ends_with("stored 0 of 0 credentials and 0 of 1 mirror rules; the others are there already\n"));
    apply("other.test");
    let run = import_into(&node, "registries-yaml", source, &[]);
    assert_eq!(run.code, 6);
    assert!(run.stderr.contains("error: source: `r.test` conflict: another mirror rule is stored for it already"));
    assert_eq!(import_into(&node, "registries-yaml", source, &["--replace"]).code, 0);
}

#[test]
fn a_source_with_nothing_but_errors_fails() {
    let node = Node::new();
    let run = import_into(&node, "registries-yaml", "configs: {docker.io: {auth: {auth: dckr_pat_X}}}\n", &[]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.ends_with("error: nothing in `source` could be imported\n"), "{run:#?}");
}

#[test]
fn utf_16_byte_order_marks_and_line_ends_do_not_matter() {
    let text = configs("r.test", "u", "p");
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let expected = try_text("registries-yaml", "f", &text);
    assert_eq!(expected.code, 10);
    for bytes in [
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        [b"\xff\xfe", &*utf16(&text)].concat(),
        [b"\xff\xfe", &*utf16(&text.replace('\n', "\r\n"))].concat(),
        text.replace('\n', "\r\n").into_bytes(),
    ] {
        assert_eq!(try_text("registries-yaml", "f", &bytes), expected, "{bytes:?}");
        assert_eq!(try_text("auto", "f", &bytes), expected, "{bytes:?}");
    }
    let toml = "[plugins.'io.containerd.grpc.v1.cri'.registry.configs.'r.test'.auth]\nusername = 'u'\npassword = 'p'\n";
    let expected = try_text("containerd", "f", toml);
    assert_eq!(expected.code, 10);
    assert_eq!(
        try_text("containerd", "f", [b"\xef\xbb\xbf", toml.replace('\n', "\r\n").as_bytes()].concat()),
        expected
    );
}

#[test]
fn files_that_cannot_be_read_whole_are_refused_in_one_line() {
    let table: [(&str, &[u8], &str); 10] = [
        ("registries-yaml", b"a: \xff", "error: `f` is neither UTF-8 nor UTF-16 with a byte order mark\n"),
        ("registries-yaml", b"a: 1\n---\nb: 2\n", "error: `f` has more than one document; this format has one\n"),
        ("docker-config", b"{\"auths\": {\n", "error: `f`, line 1, column 11: not valid YAML or JSON\n"),
        (
            "talos",
            b"- {op: add, path: /machine, value: {}}\n",
            "error: `f` is a JSON patch; give the machine configuration, or a patch that starts with `machine:`\n",
        ),
        (
            "registries-yaml",
            b"a: &a [*a]\n",
            "error: `f`, line 1, column 8: the aliases in it stand for more than 32 MiB, or for themselves\n",
        ),
        (
            "registries-yaml",
            b"mirrors:\n  *: {}\n",
            "error: `f`, line 2, column 3: an alias (`*name`) without its anchor; a `*` that stands for itself needs quotes\n",
        ),
        (
            "containerd",
            b"[a]\nb = 1\n[a]\n",
            "error: `f`, line 3, column 2: a key or table stands twice; containerd refuses such a file, so keep one of them\n",
        ),
        (
            "containerd",
            b"a = \"C:\\Program\"\n",
            "error: `f`, line 1, column 9: not valid TOML; in double quotes `\\` starts an escape, so write a Windows path in single quotes\n",
        ),
        ("auto", b"just text", "error: cannot tell the format of `f`; name it in place of `auto`\n"),
        ("auto", b"", "error: cannot tell the format of `f`; name it in place of `auto`\n"),
    ];
    for (format, content, error) in table {
        assert_eq!(try_text(format, "f", content), Run::new(1, "", error), "{format}");
    }
    let dir = Dir::new();
    let missing = try_in(&dir, "talos", "none");
    assert!(missing.stderr.starts_with("error: cannot read `none`\n  caused by: "), "{missing:#?}");
    fs::create_dir(dir.path().join("d")).unwrap();
    let error = "error: `d` is a directory; only the format `containerd` has directories\n";
    assert_eq!(try_in(&dir, "talos", "d"), Run::new(1, "", error));
    fs::File::create(dir.path().join("large")).unwrap().set_len(100 * 1024 * 1024).unwrap();
    for format in ["registries-yaml", "containerd", "auto"] {
        let error = "error: `large` is larger than 16 MiB, which no such file is\n";
        assert_eq!(try_in(&dir, format, "large"), Run::new(1, "", error));
    }
}

#[cfg(unix)]
#[test]
fn pipes_links_to_themselves_and_files_of_others_are_refused() {
    let dir = Dir::new();
    assert!(Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    assert_eq!(try_in(&dir, "talos", "pipe"), Run::new(1, "", "error: `pipe` is neither a file nor a directory\n"));
    std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
    let run = try_in(&dir, "containerd", "loop");
    assert!(run.code == 1 && run.stderr.starts_with("error: cannot read `loop`\n"), "{run:#?}");
    fs::create_dir(dir.path().join("certs.d")).unwrap();
    std::os::unix::fs::symlink("r.test", dir.path().join("certs.d/r.test")).unwrap();
    let run = try_in(&dir, "containerd", "certs.d");
    assert!(run.code == 0 && run.stderr.lines().count() == 1, "{run:#?}");
    assert!(run.stderr.starts_with("error: certs.d: ignored: cannot read `certs.d/r.test/hosts.toml`: "), "{run:#?}");
}

#[test]
fn a_file_with_nothing_in_it_says_so() {
    for format in FORMATS {
        let finding = "warning: f: ignored: there is nothing in this file\n";
        assert_eq!(try_text(format.name(), "f", ""), Run::new(0, "", finding), "{}", format.name());
    }
}

#[test]
fn an_alias_is_replaced_and_a_bomb_is_not() {
    let aliases =
        "a: &a {username: u, password: p}\nconfigs:\n  r.test: {auth: *a}\n  q.test: {auth: {<<: *a, username: v}}\n";
    let run = try_text("registries-yaml", "f", aliases);
    assert_eq!(
        run.stdout,
        "SCOPE   USERNAME  KEY\nr.test  u         configs.r.test.auth\nq.test  v         configs.q.test.auth\n"
    );
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    let wide = format!("a: &a {}\nb: [{}]\n", "x".repeat(1024 * 1024), vec!["*a"; 1000].join(", "));
    let start = Instant::now();
    for bomb in [bomb, wide] {
        let run = try_text("registries-yaml", "f", bomb);
        assert_eq!(run.code, 1);
        assert!(
            run.stderr.ends_with(": the aliases in it stand for more than 32 MiB, or for themselves\n"),
            "{run:#?}"
        );
    }
    assert!(start.elapsed() < Duration::from_secs(10));
    let deep = "[".repeat(100_000);
    assert_eq!(try_text("registries-yaml", "f", deep).code, 1);
    let deep = format!("a = {}", "[".repeat(100_000));
    assert_eq!(try_text("containerd", "f", deep).code, 1);
}

#[test]
fn a_key_that_stands_twice_is_reported_and_the_last_counts() {
    let source =
        "configs:\n  r.test: {auth: {username: u, password: p}}\n  r.test: {auth: {username: v, password: p}}\n";
    let run = try_text("registries-yaml", "f", source);
    let table = "SCOPE   USERNAME  KEY\nr.test  v         configs.r.test.auth\n";
    let report = "warning: f:2: `r.test` ignored: stands twice in one map; the last one counts, where the file is not refused, so remove this one\n\
                  info: f:3: `configs.r.test.auth` imported: the credential for `r.test`\n";
    assert_eq!(run, Run::new(10, table, report));
}

#[test]
fn a_list_of_secrets_conflicts_across_namespaces() {
    let secret = |namespace: &str, auth: &str| {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockercfg",
            "metadata": {"name": "s", "namespace": namespace}, "data": {".dockercfg": auth},
        })
    };
    // {"r.test":{"auth":"dTpw"}}, which is u:p, and {"r.test":{"auth":"dTpx"}}.
    let (one, other) = ("eyJyLnRlc3QiOnsiYXV0aCI6ImRUcHcifX0=", "eyJyLnRlc3QiOnsiYXV0aCI6ImRUcHgifX0=");
    let opaque = serde_json::json!({"kind": "Secret", "type": "Opaque", "metadata": {"name": "o"}, "data": {}});
    let items = [secret("a", one), secret("b", one), secret("c", other), opaque];
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items});
    let run = try_text("auto", "f", serde_json::to_string_pretty(&list).unwrap());
    assert_eq!(run.code, 6, "{run:#?}");
    assert_eq!(run.stdout, "SCOPE   USERNAME  KEY\nr.test  u         a/s.r.test\n");
    for part in [
        "`b/s.r.test` merged: the credential for `r.test` is that of `a/s.r.test` in line",
        "`c/s.r.test` conflict: another password for `r.test` than `a/s.r.test` in line",
        "`o` ignored: is no secret of the type `kubernetes.io/dockerconfigjson` or `kubernetes.io/dockercfg`",
        "`a/s` imported: the secret is for pods of the namespace `a`, and a credential in the store is for every pod of the node",
    ] {
        assert!(run.stderr.contains(part), "{part}: {run:#?}");
    }
}

#[test]
fn what_talosctl_prints_is_unwrapped() {
    let config = fs::read_to_string(data().join("talos/v1alpha1-full.yaml")).unwrap();
    let indented: String = config.lines().map(|line| format!("    {line}\n")).collect();
    let resource = format!(
        "node: 10.0.0.2\nmetadata:\n  namespace: config\n  type: MachineConfigs.config.talos.dev\n  id: v1alpha1\nspec: |\n{indented}"
    );
    let expected = try_text("talos", "f", &config);
    for format in ["talos", "auto"] {
        let run = try_text(format, "f", &resource);
        assert_eq!((run.code, &run.stdout), (10, &expected.stdout), "{run:#?}");
        assert_eq!(run.stderr.lines().count(), expected.stderr.lines().count());
    }
}

#[test]
fn containerds_imports_and_directories_are_followed_once() {
    let dir = Dir::new();
    let write = |name: &str, content: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    let auth = |host: &str, user: &str| {
        format!(
            "[plugins.'io.containerd.cri.v1.images'.registry.configs.'{host}'.auth]\nusername='{user}'\npassword='p'\n"
        )
    };
    write(
        "config.toml",
        "imports = ['conf.d/*.toml', 'config.toml', 'none.toml']\n[plugins.'io.containerd.cri.v1.images'.registry]\nconfig_path = 'certs.d'\n",
    );
    write("conf.d/a.toml", &(format!("imports = ['../config.toml', 'a.toml']\n{}", auth("a.test", "a"))));
    write("conf.d/b.toml", &auth("b.test", "b"));
    write("conf.d/c.conf", &auth("c.test", "c"));
    write("conf.d/d.toml", "broken");
    write(
        "certs.d/docker.io/hosts.toml",
        "server = 'https://registry-1.docker.io'\n[host.'https://a.test']\n[host.'https://push.test']\ncapabilities = ['push']\n",
    );
    write("certs.d/r.test/hosts.toml", "server = 'https://b.test'\n");
    write("certs.d/_default/hosts.toml", "[host.'https://any.test']\n");
    let run = try_in(&dir, "containerd", "config.toml");
    assert_eq!(run.code, 10, "{run:#?}");
    let rows = |stdout: &str| {
        stdout.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let expected = [
        "SCOPE USERNAME",
        "a.test a",
        "b.test b",
        "REGISTRY MIRRORS",
        "* any.test",
        "docker.io a.test",
        "r.test b.test",
    ];
    assert_eq!(rows(&run.stdout), expected);
    for part in [
        "warning: config.toml:1: `imports[1]` ignored: names a file that was read already\n",
        "error: config.toml:1: `imports[2]` ignored: cannot read `none.toml`: ",
        "error: config.toml:1: `imports[0]` ignored: `conf.d/d.toml`, line 1, column 7: not valid TOML",
        "`docker.io.host.https://push.test` ignored: has neither `pull` nor `resolve` among its capabilities, so no pull asks it\n",
    ] {
        assert!(run.stderr.contains(part), "{part}: {run:#?}");
    }
}

#[test]
fn no_secret_in_any_place_is_printed() {
    let mark = format!("x{MARK}x");
    let encoded = |text: &str| {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let sextets = |chunk: &[u8]| {
            let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
            (0..=chunk.len()).map(|i| char::from(alphabet[(bits >> (18 - 6 * i) & 63) as usize])).collect::<String>()
        };
        text.as_bytes().chunks(3).map(sextets).collect::<String>()
    };
    let login = encoded(&format!("u:{mark}"));
    let sources = [
        (
            "registries-yaml",
            format!(
                "configs:\n  r.test: {{auth: {{username: u, password: {mark}}}}}\n  a.test: {{auth: {{auth: {mark}}}}}\n  b.test: {{auth: {{auth: {login}, {mark}-1: {mark}, password: [{mark}]}}}}\n  c.test: {{auth: {mark}}}\n  'https://u:{mark}@d.test': {{auth: {{identity_token: {mark}}}}}\n  auth: {{username: u, password: {mark}}}\nmirrors:\n  docker.io: {{endpoint: ['https://u:{mark}@m.test/v2?token={mark}', '{mark} {mark}']}}\n  q.test: {{endpoint: {mark}}}\n"
            ),
        ),
        ("registries-yaml", format!("configs: {{r.test: {{auth: {{password: \"{mark}\\q\"}}}}}}\n")),
        ("registries-yaml", format!("configs:\n  r.test:\n    auth: {{password: {mark}\n  - {mark}\n")),
        (
            "registries-yaml",
            format!(
                "configs: {{r.test: {{auth: {{username: 'a:b', password: {mark}}}, tls: {{ca_file: \"{mark}\\t\", key_file: {mark}}}}}}}\n"
            ),
        ),
        (
            "docker-config",
            format!(
                "{{\"auths\": {{\"r.test\": {{\"auth\": \"{mark}\", \"registrytoken\": \"{mark}\"}}, \"https://{mark}@q.test\": {{\"username\": \"u\", \"password\": \"{mark}\"}}}}, \"HttpHeaders\": {{\"A\": \"{mark}\"}}, \"credsStore\": \"{mark}\"}}"
            ),
        ),
        ("docker-config", format!("{{\"auths\": {{\"r.test\": {{\"auth\": \"{mark}\" \"{mark}\"")),
        (
            "talos",
            format!(
                "machine: {{token: {mark}, registries: {{config: {{r.test: {{auth: {{username: u, password: {mark}, auth: {login}}}, tls: {{clientIdentity: {{key: {mark}}}}}}}}}}}}}\ncluster: {{secret: {mark}}}\n"
            ),
        ),
        (
            "containerd",
            format!(
                "[plugins.'io.containerd.grpc.v1.cri'.registry.configs.'r.test'.auth]\nusername='u'\npassword='{mark}'\nidentitytoken='{mark}'\n[plugins.'io.containerd.grpc.v1.cri'.registry.headers]\nA=['{mark}']\n"
            ),
        ),
        ("containerd", format!("a = '{mark}\n")),
        (
            "kubernetes-secret",
            format!(
                "{{\"kind\": \"Secret\", \"type\": \"kubernetes.io/dockercfg\", \"data\": {{\".dockercfg\": \"{mark}\"}}}}"
            ),
        ),
        (
            "kubernetes-secret",
            format!(
                "{{\"kind\": \"Secret\", \"type\": \"kubernetes.io/dockerconfigjson\", \"stringData\": {{\".dockerconfigjson\": \"{{\\\"auths\\\": {mark}\"}}}}"
            ),
        ),
    ];
    for (format, source) in sources {
        for form in ["text", "json"] {
            let node = Node::new();
            for arguments in [&["--dry-run", "--output", form][..], &["--output", form, "--replace", "-vvv"]] {
                let run = import_into(&node, format, &source, arguments);
                assert!(!run.stdout.is_empty() || !run.stderr.is_empty(), "{source}");
                for secret in ENCODED_MARKS.iter().chain(&[MARK]) {
                    let printed = format!("{}{}", run.stdout, run.stderr);
                    assert!(!printed.contains(secret), "{source}: {run:#?}");
                }
            }
        }
    }
}

/// Five thousand registries, each with a mirror that has a login.
fn five_thousand() -> String {
    let mirror = |n| format!("  r{n}.test:\n    endpoint: [\"https://m{n}.test\", \"https://r{n}.test\"]\n");
    let login = |n| format!("  m{n}.test:\n    auth: {{username: u{n}, password: p{n}}}\n");
    let (mirrors, logins): (String, String) = ((0..5000).map(mirror).collect(), (0..5000).map(login).collect());
    format!("mirrors:\n{mirrors}configs:\n{logins}")
}

const ALL: &str = "stored 5000 of 5000 credentials and 5000 of 5000 mirror rules; the others are there already\n";

#[test]
fn five_thousand_registries_are_imported_and_scrubbed() {
    let node = Node::new();
    let start = Instant::now();
    let run = import_into(&node, "registries-yaml", &five_thousand(), &["--scrub"]);
    assert!(run.stderr.ends_with(&format!("{ALL}removed 5000 credentials from `source`\n")));
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    assert_eq!(node.credential("r4999.test/a"), Some(("r4999.test".to_owned(), "u4999".to_owned())));
    let left = fs::read_to_string(node.dir().join("source")).unwrap();
    assert!(left.starts_with("mirrors:\n  r0.test:\n") && left.ends_with("r4999.test\"]\nconfigs: {}\n"));
}

/// With the program as it is shipped, and 64 MiB of addresses, of which no more than all can be memory.
#[cfg(target_os = "linux")]
#[test]
fn five_thousand_registries_take_less_than_a_second_and_64_mib() {
    let Some(binary) = shipped() else { return };
    // The fastest of three: the machine runs other tests too.
    let import = || {
        let node = Node::new();
        fs::write(node.dir().join("source"), five_thousand()).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "ulimit -v 65536 && exec \"$@\"", "sh"]).arg(&binary);
        command.args(["import", "registries-yaml", "source"]);
        command.current_dir(node.dir()).env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
        let start = Instant::now();
        let run = run(&mut command, "");
        let elapsed = start.elapsed();
        assert!(run.code == 0 && run.stderr.ends_with(ALL), "{} {}", run.code, run.stderr.lines().last().unwrap());
        elapsed
    };
    let elapsed = [import(), import(), import()].into_iter().min().unwrap();
    assert!(elapsed < Duration::from_secs(1), "{elapsed:?}");
    let _ = writeln!(io::stderr(), "\nan import of 5,000 registries took {} ms within 64 MiB", elapsed.as_millis());
}

/// Text that reaches deep into the importers: pieces of configuration in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "configs:",
            "mirrors:",
            "auths:",
            "endpoint:",
            "auth:",
            "tls:",
            "ca_file:",
            "machine:",
            "registries:",
            "config:",
            "kind: RegistryAuthConfig",
            "name: ",
            "docker.io",
            "'*'",
            "*",
            "&a",
            "*a",
            "<<: *a",
            "{",
            "}",
            "[",
            "]",
            ", ",
            ": ",
            "\n",
            "\n  ",
            "\n    ",
            "\n      ",
            "---\n",
            "\"",
            "'",
            "\\",
            "https://",
            "@",
            "?",
            "/v2/x",
            ":5000",
            "dTpw",
            "username: u",
            "password: p",
            "identity_token: t",
            "[plugins.'io.containerd.grpc.v1.cri'.registry.configs.auth]\n",
            "[plugins.'io.containerd.cri.v1.images'.registry.mirrors.'*']\nendpoint = ['https://m.test']\n",
            "\"auths\":",
            "kind: Secret\ntype: kubernetes.io/dockercfg\nstringData:\n  .dockercfg: ",
            "é",
            "\u{2029}",
            "\r\n",
            "C:\\x",
        ])
        .prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_importer_panics(text in any::<String>(), pieces in pieces()) {
        for text in [text, pieces] {
            for format in FORMATS {
                match import::parse(format, Path::new("f"), &text) {
                    Ok(found) => prop_assert!(!found.findings.is_empty(), "{}: {:?}", format.name(), text),
                    Err(Error::Syntax { .. } | Error::Documents { .. } | Error::JsonPatch { .. }) => {}
                    Err(error) => prop_assert!(false, "{error}"),
                }
            }
        }
    }

    #[test]
    fn no_scrub_panics_or_empties_a_file(pieces in pieces()) {
        let dir = Dir::new();
        let path = dir.path().join("f");
        fs::write(&path, &pieces).unwrap();
        for format in FORMATS {
            let Ok(found) = import::read(format, &path) else { continue };
            let scrub = import::scrub(format, &found).unwrap();
            prop_assert!(!scrub.rewrites.is_empty() || scrub.removed.is_empty());
            prop_assert!(found.credentials.is_empty() || !scrub.removed.is_empty() || !scrub.stays.is_empty());
        }
    }
}
