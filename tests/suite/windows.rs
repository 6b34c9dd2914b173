//! The program that was built for Windows, run under Wine: whole standard output, whole standard error, exit code.
//!
//! This simulates Windows and verifies nothing about it. Wine keeps of an access control list what a Unix mode can hold, so
//! these tests see that lists are set, read back and judged, not what NTFS makes of them; its Credential Manager has one
//! account; and everybody in it is an Administrator.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::registry::{Auth, PASSWORD, Registry, USER, hosts_toml};
use crate::support::{self, AnyNode, Run, answer, request};

/// The rules of access control lists need no Windows; their own tests run here as well.
#[path = "../../src/platform/windows/access.rs"]
mod access;

/// A Windows machine with a directory of its own on drive C.
pub(crate) struct Machine {
    pub(crate) binary: PathBuf,
    pub(crate) prefix: PathBuf,
    dir: String,
}

impl Machine {
    /// Returns nothing when the tier has not been built, and says so; CI must have built it.
    pub(crate) fn new() -> Option<Self> {
        static WARNING: Once = Once::new();
        static STARTED: OnceLock<Run> = OnceLock::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let (Some(binary), Some(prefix)) = (variable("KCP_WINDOWS_BINARY"), variable("KCP_WINE_PREFIX")) else {
            assert!(
                std::env::var_os("CI").is_none(),
                "the Windows tests did not run: call them by `make test-windows`"
            );
            // Not `eprintln!`, which the harness keeps to itself when the test passes.
            WARNING.call_once(|| {
                let _ = writeln!(io::stderr(), "\nTHE WINDOWS TESTS DID NOT RUN: call `make test-windows`\n");
            });
            return None;
        };
        assert!(binary.is_file() && prefix.is_dir(), "`{}` and `{}` must exist", binary.display(), prefix.display());
        let dir = format!("kcp-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let machine = Self { binary, prefix, dir };
        fs::create_dir(machine.on_disk("")).unwrap();
        let started = STARTED.get_or_init(|| machine.start());
        assert_eq!(started.code, 0, "Wine must start: {started:#?}");
        Some(machine)
    }

    /// A machine with an empty store.
    pub(crate) fn with_store() -> Option<Self> {
        let machine = Self::new()?;
        machine.run(&["store", "init"], "").done();
        Some(machine)
    }

    /// Starts Wine's server and services for longer than the pauses between processes. A test's process that had to start
    /// them would hand them its pipes, and the test would wait for seconds until they end.
    fn start(&self) -> Run {
        // Fails when one is running already, which is as good.
        let mut server = self.wine("wineserver");
        let _ = server.arg("-p30").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let (out, err) = (self.on_disk("out"), self.on_disk("err"));
        let mut first = self.command(&["--version"]);
        first.stdin(Stdio::null()).stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
        let code = first.status().unwrap().code().unwrap_or(128);
        Run { code, stdout: fs::read_to_string(out).unwrap(), stderr: fs::read_to_string(err).unwrap() }
    }

    /// Held by a test that changes what there is one of on the whole machine: its default store, its services.
    pub(crate) fn alone(&self) -> File {
        let lock = File::create(self.prefix.join("program-data.lock")).unwrap();
        lock.lock().unwrap();
        lock
    }

    /// Returns a path in this machine's directory as Windows sees it.
    pub(crate) fn path(&self, name: &str) -> String {
        format!(r"C:\{}\{name}", self.dir)
    }

    /// Returns the same path as the system below Wine sees it.
    pub(crate) fn on_disk(&self, name: &str) -> PathBuf {
        self.prefix.join("drive_c").join(&self.dir).join(name)
    }

    fn sealed(&self) -> PathBuf {
        self.on_disk("store/credentials.sealed")
    }

    /// The program with this machine's store.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.wine("wine");
        command.arg(&self.binary).args(arguments).env("KEYRING_CREDENTIAL_PROVIDER_STORE", self.path("store"));
        command
    }

    pub(crate) fn wine(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", &self.prefix);
        command.env("WINEPREFIX", &self.prefix).env("WINEDEBUG", "-all");
        command
    }

    /// Runs one of Wine's own programs. Now and then Wine does not get one started, and says so.
    pub(crate) fn tool(&self, name: &str, arguments: &[&str]) -> Run {
        let program = format!(r"C:\windows\system32\{name}.exe");
        let run = |_| support::run(self.wine("wine").arg(&program).args(arguments), "");
        let is_started = |run: &Run| !run.stdout.contains("ShellExecuteEx failed");
        (0..3).map(run).find(is_started).expect("Wine starts its own programs")
    }

    pub(crate) fn run(&self, arguments: &[&str], stdin: impl AsRef<[u8]>) -> Run {
        without_last_words(support::run(&mut self.command(arguments), stdin))
    }

    #[track_caller]
    fn login(&self, scope: &str, user: &str, password: &str) {
        self.run(&["login", scope, "-u", user, "--password-stdin"], password).done();
    }

    fn ask(&self, image: &str) -> Run {
        self.run(&["get-credentials"], request(image))
    }

    /// Runs a command that prints JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.run(&[arguments, &["--output", "json"]].concat(), "").done()).unwrap()
    }

    /// Asserts that neither an operator nor the kubelet gets anything, for this reason.
    #[track_caller]
    fn assert_unavailable(&self, reason: &str, remedy: &str) {
        assert_eq!(self.run(&["list"], ""), Run::new(4, "", &format!("error: {reason}\nhint: {remedy}\n")));
        let line = format!("keyring-credential-provider: r.test: {reason}; {remedy}\n");
        assert_eq!(self.ask("r.test/app"), Run::new(1, "", &line));
    }
}

impl AnyNode for Machine {
    fn command(&self, arguments: &[&str]) -> Command {
        self.command(arguments)
    }

    fn on_disk(&self, name: &str) -> PathBuf {
        self.on_disk(name)
    }

    fn path(&self, name: &str) -> String {
        self.path(&name.replace('/', r"\"))
    }

    fn read(&self, output: Output) -> Run {
        without_last_words(output.into())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.on_disk(""));
    }
}

/// Takes out what Wine itself says, now and then, when a process ends while one of its threads is being started.
pub(crate) fn without_last_words(run: Run) -> Run {
    let is_ours = |line: &&str| !line.starts_with("wine client error:");
    Run { stderr: run.stderr.split_inclusive('\n').filter(is_ours).collect(), ..run }
}

/// The answer for `r.test/app` when one login is stored for the whole registry.
fn app(user: &str, password: &str) -> Run {
    let auth = format!(r#""r.test":{{"username":"{user}","password":"{password}"}}"#);
    Run::new(0, &answer("v1", "Registry", "0s", &auth), "")
}

/// What PowerShell 5.1 writes unless told otherwise.
fn utf16_with_mark(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_store_is_made_below_program_data_and_nobody_else_may_enter_it() {
    let Some(machine) = Machine::new() else { return };
    let _alone = machine.alone();
    let dir = machine.prefix.join("drive_c/ProgramData/keyring-credential-provider");
    let _ = fs::remove_dir_all(&dir);
    let run_at_default = |arguments: &[&str]| {
        let mut command = machine.command(arguments);
        without_last_words(support::run(command.env_remove("KEYRING_CREDENTIAL_PROVIDER_STORE"), ""))
    };

    let shown = r"C:\ProgramData\keyring-credential-provider";
    let made = format!("made a store at `{shown}`, its key in `keyring`\n");
    assert_eq!(run_at_default(&["store", "init"]), Run::new(0, "", &made));
    for path in [dir.clone(), dir.join("credentials.sealed"), dir.join("credentials.lock")] {
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o027, 0, "{} {mode:o}", path.display());
    }
    assert_eq!(run_at_default(&["list"]).done(), "SCOPE  USERNAME  ISSUER  EXPIRES  UPDATED  ORIGIN\n");
    let exists = format!("error: there is a store at `{shown}` already\nhint: use it, or remove the directory first\n");
    assert_eq!(run_at_default(&["store", "init"]), Run::new(6, "", &exists));
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn the_key_is_in_credential_manager_and_the_store_is_bound_to_the_machine() {
    let Some(machine) = Machine::with_store() else { return };
    let mut status = machine.json(&["store", "status"]);
    for unpredictable in ["createdAt", "keyId", "storeId"] {
        assert!(status.as_object_mut().unwrap().remove(unpredictable).unwrap().is_string());
    }
    let expected = json!({
        "directory": machine.path("store"), "state": "ok", "credentials": 0, "generation": 1, "keySource": "keyring",
        "dataKeyCacheSeconds": 86400, "dataKeyCached": false, "boundToNode": true,
    });
    assert_eq!(status, expected);
    let mut files: Vec<_> =
        fs::read_dir(machine.on_disk("store")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["credentials.lock", "credentials.sealed"]);
}

#[test]
fn a_login_reaches_the_kubelet_until_logout() {
    let Some(machine) = Machine::with_store() else { return };
    let stored = Run::new(0, "", "stored the credential for `r.test`\n");
    assert_eq!(machine.run(&["login", "R.Test", "-u", "alice", "--password-stdin"], "pass word"), stored);
    let replaced = Run::new(0, "", "replaced the credential for `r.test`\n");
    assert_eq!(machine.run(&["login", "r.test", "-u", "bob", "--password-stdin"], "s3cret\r\n"), replaced);

    let mut listed = machine.json(&["list"]);
    assert!(listed[0].as_object_mut().unwrap().remove("updatedAt").unwrap().is_string());
    let entry =
        json!({ "scope": "r.test", "username": "bob", "issuer": "static", "expiresAt": null, "origin": "login" });
    assert_eq!(listed, json!([entry]));

    // One line feed at the end and no byte order mark: `Run` compares bytes.
    assert_eq!(machine.ask("r.test/app"), app("bob", "s3cret"));
    assert_eq!(
        machine.run(&[], request("r.test/app")),
        app("bob", "s3cret"),
        "without an argument it is the plugin too"
    );
    let nothing = Run::new(0, &answer("v1", "Image", "0s", ""), "");
    assert_eq!(machine.ask("q.test/app"), nothing);

    assert_eq!(machine.run(&["logout", "r.test"], "").code, 0);
    assert_eq!(machine.ask("r.test/app"), nothing);
    let gone = "error: nothing is stored for `r.test`\nhint: `keyring-credential-provider list` shows what is\n";
    assert_eq!(machine.run(&["logout", "r.test"], ""), Run::new(3, "", gone));
}

#[test]
fn explain_tells_what_the_kubelet_would_get() {
    let Some(machine) = Machine::with_store() else { return };
    machine.login("r.test", "bob", "s3cret");
    let explained = machine.json(&["explain", "r.test/app:1"]);
    let expected = json!({
        "image": "r.test/app",
        "answer": {
            "kind": "CredentialProviderResponse", "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
            "cacheKeyType": "Registry", "cacheDuration": "0s",
            "auth": { "r.test": { "username": "bob", "password": "***" } },
        },
        "credential": { "scope": "r.test", "username": "bob", "issuer": "static", "expiresAt": null },
        "considered": [{ "scope": "r.test", "matches": true, "reason": "most specific" }],
        "mirrors": [],
        "warnings": [],
    });
    assert_eq!(explained, expected);
    assert_eq!(machine.run(&["explain", "q.test/app"], "").code, 3);
}

#[test]
fn windows_paths_are_neither_images_nor_scopes() {
    let Some(machine) = Machine::with_store() else { return };
    let drive = "is a Windows path with a drive letter";
    let verbatim = r"is a Windows path with a `\\?\` or `\\.\` before it";
    let table = [
        (r"C:\images\x.tar", drive),
        ("C:/images/x", drive),
        (r"\\srv\x", "is a Windows network path"),
        ("//srv/share", "starts with `//`, as Windows network paths and URLs without scheme do"),
        (r"\\?\C:\x", verbatim),
        (r"registry\team/app", r"contains `\`; the parts of a name are separated by `/`"),
        (r"docker-archive:C:\x.tar", "names a file by a transport such as `docker-archive:` or `oci:`"),
    ];
    for (text, what) in table {
        let line = format!(
            "keyring-credential-provider: request cannot be answered: image {what}; give an image such as `registry.example.com/team/app`\n"
        );
        assert_eq!(machine.ask(text), Run::new(1, "", &line), "{text}");
        let error = format!("error: scope {what}; give a registry such as `registry.example.com:5000/team`\n");
        let run = machine.run(&["login", text, "-u", "u", "--password-stdin"], "p");
        assert_eq!(run, Run::new(2, "", &error), "{text}");
    }
    let nothing = Run::new(0, &answer("v1", "Image", "0s", ""), "");
    assert_eq!(machine.ask("c:5000/x"), nothing, "a host of one letter is a host");
}

#[test]
fn password_files_of_every_windows_editor_are_read() {
    let Some(machine) = Machine::with_store() else { return };
    let text = "p\u{e4}ss\u{20ac}w\u{f6}rd";
    let table: [(&str, Vec<u8>); 5] = [
        ("PowerShell 5.1, `Out-File`", utf16_with_mark(&format!("{text}\r\n"))),
        ("PowerShell 5.1, `Set-Content -Encoding UTF8`", format!("\u{feff}{text}\r\n").into_bytes()),
        ("PowerShell 7", format!("{text}\r\n").into_bytes()),
        ("a Unix editor", format!("{text}\n").into_bytes()),
        ("no line break", text.as_bytes().to_vec()),
    ];
    for (editor, bytes) in table {
        fs::write(machine.on_disk("password.txt"), bytes).unwrap();
        let file = machine.path("password.txt");
        machine.run(&["login", "r.test", "-u", "bob", "--password-file", &file], "").done();
        assert_eq!(machine.ask("r.test/app"), app("bob", text), "{editor}");
    }
}

#[test]
fn a_declaration_names_password_files_as_windows_names_files() {
    let Some(machine) = Machine::with_store() else { return };
    fs::write(machine.on_disk("password.txt"), "s3cret\r\n").unwrap();
    let absolute = machine.path("password.txt");
    for file in ["password.txt", &absolute, &absolute.replace('\\', "/"), r".\password.txt"] {
        let lines = [
            "apiVersion: keyring-credential-provider/v1",
            "kind: Credentials",
            "credentials:",
            "- scope: r.test",
            "  username: bob",
            &format!("  passwordFile: '{file}'\r\n"),
        ];
        fs::write(machine.on_disk("credentials.yaml"), utf16_with_mark(&lines.join("\r\n"))).unwrap();
        let arguments = ["apply", "-f", &machine.path("credentials.yaml")];
        assert_eq!(machine.json(&arguments), json!([{ "change": "add", "what": "credential", "name": "r.test" }]));
        assert_eq!(machine.ask("r.test/app"), app("bob", "s3cret"), "{file}");
        machine.run(&["logout", "r.test"], "").done();
    }
}

#[test]
fn the_file_that_rke2_ignored_is_imported_and_scrubbed() {
    let Some(machine) = Machine::with_store() else { return };
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/import");
    let read = |name: &str| fs::read_to_string(samples.join(name)).unwrap();
    let crlf = |text: &str| utf16_with_mark(&text.replace('\n', "\r\n"));
    let (on_disk, path) = (machine.on_disk("registries.yaml"), machine.path("registries.yaml"));
    fs::write(&on_disk, crlf(&read("registries/rke2-windows.yaml"))).unwrap();

    // Its report is that of every other system, file by file of TLS, but for the name of the file itself.
    let mut expected: Value = serde_json::from_str(&read("reports/registries-rke2-windows.yaml.json")).unwrap();
    expected["credentials"][0]["origin"]["file"] = json!(path);
    let run = machine.run(&["import", "registries-yaml", &path, "--dry-run", "--output", "json"], "");
    assert_eq!((run.code, run.stderr.as_str()), (10, ""));
    assert_eq!(serde_json::from_str::<Value>(&run.stdout).unwrap(), expected);

    let run = machine.run(&["import", "auto", &path, "--scrub"], "");
    assert_eq!(run.code, 0, "{run:#?}");
    let done = format!(
        "stored 1 of 1 credentials and 1 of 1 mirror rules; the others are there already\nremoved a credential from `{path}`\n"
    );
    assert!(run.stderr.ends_with(&done), "{run:#?}");
    assert_eq!(fs::read(&on_disk).unwrap(), crlf(&read("scrubbed/registries-rke2-windows.yaml")));
    let login = r#"{"username":"EXAMPLE\\svc-pull","password":"fake\\not\\a\\path"}"#;
    for (image, host) in
        [("docker.io/library/nginx", "docker.io"), ("harbor.example.test/hub/nginx", "harbor.example.test")]
    {
        let auth = format!(r#""{host}":{login}"#);
        assert_eq!(machine.ask(image), Run::new(0, &answer("v1", "Registry", "0s", &auth), ""));
    }
    let nothing = Run::new(0, &answer("v1", "Image", "0s", ""), "");
    assert_eq!(machine.ask("registry.example.test:5000/app"), nothing);

    // A file that is held by another name is not replaced.
    fs::write(&on_disk, read("registries/rke2-windows.yaml")).unwrap();
    fs::hard_link(&on_disk, machine.on_disk("other")).unwrap();
    let run = machine.run(&["import", "auto", &path, "--scrub"], "");
    let error = format!(
        "error: cannot rewrite `{path}`, which is as it was\n  caused by: it has 2 names (hard links)\n\
         hint: what was imported is stored; remove it from the file by hand, or try again when it can be written\n"
    );
    assert!(run.code == 1 && run.stderr.ends_with(&error), "{run:#?}");
    assert_eq!(fs::read_to_string(&on_disk).unwrap(), read("registries/rke2-windows.yaml"));
}

#[test]
fn doctor_judges_a_windows_tree_on_windows() {
    let Some(machine) = Machine::with_store() else { return };
    machine.login("r.test", "u", "p");
    let write = |name: &str, text: &str| {
        let file = machine.on_disk(&format!("tree/C/{name}"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        file
    };
    let dir = r"C:\var\lib\rancher\credentialprovider";
    let flags = format!(
        "image-credential-provider-bin-dir: '{dir}\\bin'\r\nimage-credential-provider-config: '{dir}\\config.yaml'\r\n"
    );
    write("etc/rancher/rke2/config.yaml.d/50-keyring-credential-provider.yaml", &flags);
    let config = "apiVersion: kubelet.config.k8s.io/v1\nkind: CredentialProviderConfig\nproviders:\n- name: keyring-credential-provider\n  apiVersion: credentialprovider.kubelet.k8s.io/v1\n  matchImages: [r.test]\n  defaultCacheDuration: 0s\n";
    write("var/lib/rancher/credentialprovider/config.yaml", config);
    let program = write("var/lib/rancher/credentialprovider/bin/keyring-credential-provider.exe", "MZ");
    let tree = machine.path("tree");
    let doctor = || machine.run(&["doctor", "--root", &tree, "--kubelet-version", "v1.34.1+rke2r1"], "");
    assert_eq!(doctor(), Run::new(0, "", "nothing is wrong here\n"));
    // Wine makes an entry for Everyone of the mode.
    chmod(&program, 0o777);
    let path = r"C:\var\lib\rancher\credentialprovider\bin\keyring-credential-provider.exe";
    let found = format!(
        "error: {path}: others could replace what the kubelet runs or reads, as root or SYSTEM: `{path}` may be changed by Everyone (`S-1-1-0`) [replaceable]\n  \
         leave SYSTEM and Administrators alone in its access control list, and to Users the right to read and execute\n"
    );
    assert_eq!(doctor(), Run::new(1, &found, ""));
    fs::remove_file(program).unwrap();
    let run = doctor();
    assert!(run.code == 1 && run.stdout.contains("[config-refused]") && run.stderr.is_empty(), "{run:#?}");
}

#[test]
fn check_asks_a_registry_and_says_that_no_runtime_listens() {
    let Some(machine) = Machine::with_store() else { return };
    let registry = Registry::start(Auth::Basic);
    let server = format!("server = \"http://{}\"\n[host]\n", registry.host());
    hosts_toml(&machine.on_disk("certs.d"), "docker.io", &server);
    machine.login("docker.io", USER, PASSWORD);
    let certs = machine.path("certs.d");
    let report = machine.json(&["check", "acme/private:1", "--hosts-dir", &certs]);
    assert_eq!(report["verdict"]["word"], "pulls", "{report:#}");
    assert_eq!(report["attempts"][0]["hosts"][0]["learned"][0], registry.host());

    let pipe = "npipe:////./pipe/nobody-listens-here";
    let run = machine.run(&["check", "acme/private:1", "--hosts-dir", &certs, "--cri", pipe], "");
    assert!(run.code == 1 && run.stderr.contains(r"at `\\.\pipe\nobody-listens-here`"), "{run:#?}");
    assert!(run.stderr.contains("caused by: does not exist"), "{run:#?}");
    let run = machine.run(&["check", "acme/private:1", "--cri", "unix:///run/containerd.sock"], "");
    assert_eq!(run.code, 2, "{run:#?}");
}

#[test]
fn every_spelling_of_a_path_names_the_same_store() {
    let Some(machine) = Machine::with_store() else { return };
    machine.login("r.test", "bob", "s3cret");
    let dir = machine.path("store");
    for spelling in [dir.replace('\\', "/"), dir.to_ascii_uppercase(), format!(r"\\?\{dir}"), format!(r"{dir}\")] {
        let answered = machine.run(&["get-credentials", "--store", &spelling], request("r.test/app"));
        assert_eq!(answered, app("bob", "s3cret"), "{spelling}");
    }
}

#[test]
fn what_is_open_to_others_is_refused() {
    // The account that everybody is in Wine.
    const ONLY: &str = "must be open to SYSTEM, Administrators and `S-1-5-21-0-0-0-1000` only";
    let Some(machine) = Machine::with_store() else { return };
    machine.login("r.test", "bob", "s3cret");
    let (dir, file) = (machine.path("store"), machine.path(r"store\credentials.sealed"));
    let table = [
        ("store", 0o755, format!("`{dir}` is open to Everyone (`S-1-1-0`), {ONLY}")),
        ("store/credentials.sealed", 0o644, format!("`{file}` is open to Everyone (`S-1-1-0`), {ONLY}")),
        (
            "",
            0o777,
            format!(
                "`{dir}` lies below `{}`, which Everyone (`S-1-1-0`) may rename or replace: others could replace it",
                machine.path("").trim_end_matches('\\')
            ),
        ),
    ];
    for (name, mode, reason) in table {
        let path = machine.on_disk(name);
        let before = fs::metadata(&path).unwrap().permissions().mode();
        chmod(&path, mode);
        machine.assert_unavailable(&reason, &remedy(&machine));
        chmod(&path, before);
        assert_eq!(machine.ask("r.test/app"), app("bob", "s3cret"), "{name}");
    }
}

/// The next step that is told for wrong permissions; the sentence itself is not this module's subject.
fn remedy(machine: &Machine) -> String {
    let told = machine.run(&["list"], "").stderr;
    told.lines().find_map(|line| line.strip_prefix("hint: ")).unwrap().to_owned()
}

#[test]
fn a_directory_that_somebody_else_made_first_is_refused() {
    let Some(machine) = Machine::new() else { return };
    fs::create_dir(machine.on_disk("store")).unwrap();
    chmod(&machine.on_disk("store"), 0o700);
    std::os::unix::fs::chown(machine.on_disk("store"), Some(1000), None).unwrap();
    let run = machine.run(&["store", "init"], "");
    let reason = format!(
        "error: `{}` belongs to Anonymous (`S-1-5-7`), must belong to Administrators or `S-1-5-21-0-0-0-1000`\n",
        machine.path("store")
    );
    assert_eq!((run.code, run.stdout.as_str()), (4, ""));
    assert!(run.stderr.starts_with(&reason), "{}", run.stderr);
    assert!(!machine.sealed().exists());
}

#[test]
fn a_file_with_a_second_name_is_refused() {
    let Some(machine) = Machine::with_store() else { return };
    fs::hard_link(machine.sealed(), machine.on_disk("copy")).unwrap();
    let reason = format!("`{}` has 2 names (hard links), must have one", machine.path(r"store\credentials.sealed"));
    machine.assert_unavailable(&reason, &remedy(&machine));
}

#[test]
fn a_directory_in_place_of_the_file_is_refused() {
    let Some(machine) = Machine::with_store() else { return };
    fs::remove_file(machine.sealed()).unwrap();
    fs::create_dir(machine.sealed()).unwrap();
    let reason = format!("`{}` is no regular file", machine.path(r"store\credentials.sealed"));
    machine.assert_unavailable(&reason, &remedy(&machine));
}

#[test]
fn no_store_and_a_damaged_store_are_told_apart() {
    let Some(machine) = Machine::with_store() else { return };
    machine.login("r.test", "bob", "s3cret");
    let whole = fs::read(machine.sealed()).unwrap();
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for damaged in [&whole[..whole.len() - 1], &flipped, b"".as_slice()] {
        fs::write(machine.sealed(), damaged).unwrap();
        let run = machine.ask("r.test/app");
        assert_eq!((run.code, run.stdout.as_str()), (1, ""));
        let start = format!(
            "keyring-credential-provider: r.test: store `{}` is corrupt: ",
            machine.path(r"store\credentials.sealed")
        );
        assert!(run.stderr.starts_with(&start) && run.stderr.lines().count() == 1, "{}", run.stderr);
        assert_eq!(machine.run(&["list"], "").code, 4);
    }
    fs::write(machine.sealed(), whole).unwrap();
    assert_eq!(machine.ask("r.test/app"), app("bob", "s3cret"));
    fs::remove_dir_all(machine.on_disk("store")).unwrap();
    let reason = format!("no store at `{}`", machine.path("store"));
    machine.assert_unavailable(&reason, "run `keyring-credential-provider store init`");
}

#[test]
fn an_older_store_is_recognised_by_the_mark_in_the_registry() {
    let Some(machine) = Machine::with_store() else { return };
    machine.login("r.test", "bob", "old");
    let older = fs::read(machine.sealed()).unwrap();
    machine.login("r.test", "bob", "new");
    fs::write(machine.sealed(), older).unwrap();
    let reason = format!(
        "store `{}` was rolled back: it is generation 2, and 3 has been seen",
        machine.path(r"store\credentials.sealed")
    );
    machine.assert_unavailable(&reason, "if you restored a backup, run `store rekey --accept-rollback`");
    machine.run(&["store", "rekey", "--accept-rollback"], "").done();
    assert_eq!(machine.ask("r.test/app"), app("bob", "old"));
}

#[test]
fn a_new_key_seals_what_was_there() {
    let Some(machine) = Machine::with_store() else { return };
    machine.login("r.test", "bob", "s3cret");
    let key_id = |machine: &Machine| machine.json(&["store", "status"])["keyId"].clone();
    let has_key_file = |machine: &Machine| {
        let mut names = fs::read_dir(machine.on_disk("store")).unwrap().map(|entry| entry.unwrap().path());
        names.any(|path| path.extension().is_some_and(|extension| extension == "key"))
    };
    let first = key_id(&machine);
    for (source, in_file) in [("keyring", false), ("host-key", true), ("host-key", true), ("keyring", false)] {
        let before = key_id(&machine);
        let done = format!("sealed everything anew; the key is in `{source}`\n");
        assert_eq!(machine.run(&["store", "rekey", "--key-source", source], ""), Run::new(0, "", &done));
        assert_ne!(key_id(&machine), before);
        assert_eq!(has_key_file(&machine), in_file);
        assert_eq!(machine.ask("r.test/app"), app("bob", "s3cret"));
    }
    assert_ne!(key_id(&machine), first);
}

#[test]
fn readers_get_whole_answers_while_the_store_is_written() {
    const PASSWORDS: [&str; 2] = ["one", "two-is-longer"];
    let Some(machine) = Machine::with_store() else { return };
    machine.login("r.test", "bob", PASSWORDS[0]);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..4 {
                    let answered = machine.ask("r.test/app");
                    assert!(PASSWORDS.iter().any(|password| answered == app("bob", password)), "{answered:#?}");
                }
            });
        }
        scope.spawn(|| PASSWORDS.iter().cycle().take(8).for_each(|password| machine.login("r.test", "bob", password)));
    });
    assert_eq!(machine.ask("r.test/app"), app("bob", PASSWORDS[1]));
}

#[test]
fn no_login_is_lost_when_several_are_stored_at_once() {
    let Some(machine) = Machine::with_store() else { return };
    thread::scope(|scope| {
        for number in 0..6 {
            let machine = &machine;
            scope.spawn(move || machine.login(&format!("r{number}.test"), "bob", "s3cret"));
        }
    });
    let listed = machine.json(&["list"]);
    let scopes: Vec<_> = listed.as_array().unwrap().iter().map(|entry| entry["scope"].as_str().unwrap()).collect();
    assert_eq!(scopes, ["r0.test", "r1.test", "r2.test", "r3.test", "r4.test", "r5.test"]);
}

#[test]
fn a_kubelet_that_never_ends_its_request_is_not_waited_for() {
    let Some(machine) = Machine::with_store() else { return };
    let mut command = machine.command(&["get-credentials", "--timeout", "1s"]);
    let start = Instant::now();
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("wine starts");
    let input = child.stdin.take();
    let ended = without_last_words(child.wait_with_output().unwrap().into());
    drop(input);
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    let line = "keyring-credential-provider: no answer within 1 seconds; ";
    assert!(ended.stderr.starts_with(line) && ended.stderr.lines().count() == 1, "{}", ended.stderr);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
