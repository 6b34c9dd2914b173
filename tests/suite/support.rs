//! A throwaway store, and the built program to run on it.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_keyring-credential-provider");

/// What a run left: exit code (128 and more for a signal), standard output, standard error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn new(code: i32, stdout: &str, stderr: &str) -> Self {
        Self { code, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
    }

    /// Returns standard output of a run that must have succeeded.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(128),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// A directory of its own, removed at the end.
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("kcp-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir(&dir).unwrap();
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A node of any system, with a directory of its own and the store `store` in it: what a test needs that runs on several.
pub(crate) trait AnyNode {
    /// The program with this node's store.
    fn command(&self, arguments: &[&str]) -> Command;

    /// Returns where a file of the node's directory is.
    fn on_disk(&self, name: &str) -> PathBuf;

    /// Returns the same place as the program names it.
    fn path(&self, name: &str) -> String;

    /// Returns what a run of the program left, without what was said beside it.
    fn read(&self, output: Output) -> Run {
        output.into()
    }

    /// Runs the program.
    fn run(&self, arguments: &[&str], stdin: &str) -> Run {
        self.read(output(&mut self.command(arguments), stdin))
    }
}

/// A node with a store.
pub(crate) struct Node {
    dir: Dir,
}

impl AnyNode for Node {
    fn command(&self, arguments: &[&str]) -> Command {
        self.command(arguments)
    }

    fn on_disk(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.dir().join(name).to_str().unwrap().to_owned()
    }
}

impl Node {
    /// A node whose store does not exist yet.
    pub(crate) fn bare() -> Self {
        Self { dir: Dir::new() }
    }

    /// A node with an empty store under a host key.
    #[track_caller]
    pub(crate) fn new() -> Self {
        let node = Self::bare();
        assert_eq!(node.run(&["store", "init", "--key-source", "host-key"], "").code, 0);
        node
    }

    /// A node that holds a password for each of these scopes, user `user-N`, password `password-N`.
    #[track_caller]
    pub(crate) fn with(scopes: &[&str]) -> Self {
        let node = Self::new();
        for (index, scope) in scopes.iter().enumerate() {
            node.login(scope, &format!("user-{index}"), &format!("password-{index}"));
        }
        node
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.dir().join("store")
    }

    pub(crate) fn sealed(&self) -> PathBuf {
        self.store().join("credentials.sealed")
    }

    pub(crate) fn host_key(&self) -> PathBuf {
        let is_key = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "key");
        fs::read_dir(self.store()).unwrap().map(|entry| entry.unwrap().path()).find(is_key).unwrap()
    }

    /// The program with this node's store and nothing else in its environment.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(arguments).env_clear().env("KEYRING_CREDENTIAL_PROVIDER_STORE", self.store());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str], stdin: impl AsRef<[u8]>) -> Run {
        run(&mut self.command(arguments), stdin)
    }

    #[track_caller]
    pub(crate) fn login(&self, scope: &str, user: &str, password: &str) {
        let run = self.run(&["login", scope, "--username", user, "--password-stdin"], password);
        assert_eq!(run.code, 0, "{run:#?}");
    }

    /// Asks as the kubelet does, in v1.
    pub(crate) fn ask(&self, image: &str) -> Run {
        self.run(&["get-credentials"], request(image))
    }

    /// Asks for an image and returns the auth key and the user name, or nothing when nothing is stored.
    #[track_caller]
    pub(crate) fn credential(&self, image: &str) -> Option<(String, String)> {
        let answer: serde_json::Value = serde_json::from_str(&self.ask(image).done()).unwrap();
        let (key, auth) = answer["auth"].as_object().unwrap().iter().next()?;
        Some((key.clone(), auth["username"].as_str().unwrap().to_owned()))
    }
}

/// The program as it is shipped; nothing, and a word about it, when it was not built. Under CI it must have been.
#[cfg(target_os = "linux")]
pub(crate) fn shipped() -> Option<PathBuf> {
    let binary = std::env::var_os("KCP_RELEASE_BINARY").filter(|binary| !binary.is_empty());
    if binary.is_none() {
        assert!(std::env::var_os("CI").is_none(), "the shipped program was not tried: call `make test-rust`");
        // Not `eprintln!`, which the harness keeps to itself when the test passes.
        let _ = writeln!(io::stderr(), "\nTHE SHIPPED PROGRAM WAS NOT TRIED: call `make test-rust`\n");
    }
    binary.map(PathBuf::from)
}

/// Runs a command with this standard input. A program that does not read it is no error.
pub(crate) fn run(command: &mut Command, stdin: impl AsRef<[u8]>) -> Run {
    output(command, stdin).into()
}

/// The same, before it is read.
pub(crate) fn output(command: &mut Command, stdin: impl AsRef<[u8]>) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut input = child.stdin.take().unwrap();
    let stdin = stdin.as_ref().to_vec();
    let writer = std::thread::spawn(move || drop(input.write_all(&stdin)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// A request as the kubelet encodes it (vectors, `encode_request`).
pub(crate) fn request(image: &str) -> String {
    request_in("v1", image)
}

pub(crate) fn request_in(version: &str, image: &str) -> String {
    let image = serde_json::to_string(image).unwrap();
    format!(
        r#"{{"kind":"CredentialProviderRequest","apiVersion":"credentialprovider.kubelet.k8s.io/{version}","image":{image}}}"#
    ) + "\n"
}

/// The answer for a credential, byte for byte.
pub(crate) fn answer(version: &str, cache: &str, duration: &str, auth: &str) -> String {
    format!(
        r#"{{"kind":"CredentialProviderResponse","apiVersion":"credentialprovider.kubelet.k8s.io/{version}","cacheKeyType":"{cache}","cacheDuration":"{duration}","auth":{{{auth}}}}}"#
    ) + "\n"
}

/// What real kubelet code answers; see the file's `_about`.
pub(crate) fn vectors(group: &str) -> Vec<serde_json::Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kubelet.json");
    let vectors: serde_json::Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    vectors[group]["cases"].as_array().unwrap().clone()
}
