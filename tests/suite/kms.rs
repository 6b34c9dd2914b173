//! Key source `kms`, against a plugin of our own that remembers what it encrypted and refuses to open anything else.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

use crate::kms_v2::key_management_service_server::{KeyManagementService, KeyManagementServiceServer};
use crate::kms_v2::{DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, StatusRequest, StatusResponse};
use crate::support::{Node, Run, request};

/// What the plugin knows and how it behaves.
pub(crate) struct Plugin {
    version: String,
    healthz: String,
    /// What the status says.
    key_id: String,
    /// What answers to `Encrypt` say, when it is something else.
    encrypts_with: Option<String>,
    pub(crate) delay: Duration,
    ciphertext_length: usize,
    annotations: BTreeMap<String, Vec<u8>>,
    /// Cut off plaintexts to this length.
    plaintext_length: usize,
    /// Keys that were taken out of service.
    retired: HashSet<String>,
    encrypted: Vec<(EncryptResponse, Vec<u8>)>,
    uids: HashSet<String>,
    /// The calls so far, a letter each: `s`, `e`, `d`.
    calls: String,
}

impl Plugin {
    fn new() -> Self {
        Self {
            version: "v2".to_owned(),
            healthz: "ok".to_owned(),
            key_id: "key-1".to_owned(),
            encrypts_with: None,
            delay: Duration::ZERO,
            ciphertext_length: 60,
            annotations: BTreeMap::from([("version.kms.test".to_owned(), b"\x00\xff1".to_vec())]),
            plaintext_length: 32,
            retired: HashSet::new(),
            encrypted: Vec::new(),
            uids: HashSet::new(),
            calls: String::new(),
        }
    }

    fn see(&mut self, call: char, uid: &str) -> Result<(), Status> {
        self.calls.push(call);
        if uid.is_empty() || !self.uids.insert(uid.to_owned()) {
            return Err(Status::invalid_argument("a uid must be new"));
        }
        Ok(())
    }
}

/// A running plugin; dropping it ends it.
pub(crate) struct Kms {
    dir: crate::support::Dir,
    plugin: Arc<Mutex<Plugin>>,
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

#[derive(Clone)]
struct Service(Arc<Mutex<Plugin>>);

#[tonic::async_trait]
impl KeyManagementService for Service {
    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let (answer, delay) = {
            let mut plugin = self.0.lock().unwrap();
            plugin.calls.push('s');
            let answer = StatusResponse {
                version: plugin.version.clone(),
                healthz: plugin.healthz.clone(),
                key_id: plugin.key_id.clone(),
            };
            (answer, plugin.delay)
        };
        tokio::time::sleep(delay).await;
        Ok(Response::new(answer))
    }

    async fn encrypt(&self, request: Request<EncryptRequest>) -> Result<Response<EncryptResponse>, Status> {
        let EncryptRequest { plaintext, uid } = request.into_inner();
        let mut plugin = self.0.lock().unwrap();
        plugin.see('e', &uid)?;
        if plaintext.len() != 32 {
            return Err(Status::invalid_argument("a data key has 32 bytes"));
        }
        let mut ciphertext = vec![0; plugin.ciphertext_length];
        getrandom(&mut ciphertext);
        let answer = EncryptResponse {
            ciphertext,
            key_id: plugin.encrypts_with.clone().unwrap_or_else(|| plugin.key_id.clone()),
            annotations: plugin.annotations.clone(),
        };
        plugin.encrypted.push((answer.clone(), plaintext));
        Ok(Response::new(answer))
    }

    async fn decrypt(&self, request: Request<DecryptRequest>) -> Result<Response<DecryptResponse>, Status> {
        let DecryptRequest { ciphertext, uid, key_id, annotations } = request.into_inner();
        let mut plugin = self.0.lock().unwrap();
        plugin.see('d', &uid)?;
        if plugin.retired.contains(&key_id) {
            return Err(Status::failed_precondition(format!("key `{key_id}` is no longer\nhere")));
        }
        let wanted = EncryptResponse { ciphertext, key_id, annotations };
        let found = plugin.encrypted.iter().find(|(answer, _)| *answer == wanted);
        let (_, plaintext) = found.ok_or_else(|| Status::invalid_argument("this was never encrypted here"))?;
        let plaintext = plaintext[..plugin.plaintext_length].to_vec();
        Ok(Response::new(DecryptResponse { plaintext }))
    }
}

fn getrandom(bytes: &mut [u8]) {
    use std::io::Read;
    fs::File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap();
}

impl Kms {
    pub(crate) fn start() -> Self {
        let dir = crate::support::Dir::new();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut kms = Self { dir, plugin: Arc::new(Mutex::new(Plugin::new())), running: None };
        kms.listen();
        kms
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("kms.sock")
    }

    fn endpoint(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(crate) fn plugin(&self) -> MutexGuard<'_, Plugin> {
        self.plugin.lock().unwrap()
    }

    fn take_calls(&self) -> String {
        std::mem::take(&mut self.plugin().calls)
    }

    fn listen(&mut self) {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let service = KeyManagementServiceServer::new(Service(self.plugin.clone()));
        let socket = self.socket();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = UnixListener::bind(&socket).unwrap();
                fs::set_permissions(&socket, fs::Permissions::from_mode(0o660)).unwrap();
                ready.send(()).unwrap();
                let serve =
                    tonic::transport::Server::builder().serve_with_incoming(service, UnixListenerStream::new(listener));
                // Not drained: a plugin that is killed is gone at once.
                tokio::select! { _ = serve => (), _ = stopped => () }
            });
        });
        is_ready.recv().unwrap();
        self.running = Some((stop, thread));
    }

    /// Kills the plugin; its socket stays, as that of a killed process does.
    fn kill(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            let _ = stop.send(());
            thread.join().unwrap();
        }
    }

    fn restart(&mut self) {
        let _ = fs::remove_file(self.socket());
        self.listen();
    }
}

impl Drop for Kms {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A node whose key is in the plugin, and whose data key is not kept.
pub(crate) fn sealed_by(kms: &Kms) -> Node {
    let node = Node::bare();
    let run = init(&node, kms, &["--data-key-cache", "0"]);
    assert_eq!(run, Run::new(0, "", &format!("made a store at `{}`, its key in `kms`\n", node.store().display())));
    node.login("r.test", "u", "p");
    kms.take_calls();
    node
}

fn init(node: &Node, kms: &Kms, more: &[&str]) -> Run {
    let endpoint = kms.endpoint();
    node.run(&[&["store", "init", "--key-source", "kms", "--kms-endpoint", &endpoint], more].concat(), "")
}

fn user(node: &Node) -> Option<String> {
    node.credential("r.test/a").map(|(_, user)| user)
}

/// The line of the plugin for a KMS that does not do its part.
fn refusal(kms: &Kms, what: &str) -> Run {
    let line = format!(
        "keyring-credential-provider: r.test: KMS plugin `{}` {what}; look at the plugin's own log\n",
        kms.endpoint()
    );
    Run::new(1, "", &line)
}

fn key_id(node: &Node) -> String {
    let status = node.run(&["store", "status", "--output", "json"], "").done();
    serde_json::from_str::<serde_json::Value>(&status).unwrap()["kms"]["keyId"].as_str().unwrap().to_owned()
}

#[test]
fn a_plugin_opens_the_store_at_every_pull_or_once_a_boot() {
    let kms = Kms::start();
    let node = sealed_by(&kms);
    assert_eq!(user(&node).as_deref(), Some("u"));
    assert_eq!(user(&node).as_deref(), Some("u"));
    assert_eq!(kms.take_calls(), "sdsd", "the status comes first, and nothing is encrypted when reading");
    assert_eq!(fs::read_dir(node.store()).unwrap().count(), 2, "no key file beside it");

    let cached = Node::bare();
    assert_eq!(init(&cached, &kms, &[]).code, 0);
    cached.login("r.test", "u", "p");
    kms.take_calls();
    assert_eq!(user(&cached).as_deref(), Some("u"));
    assert_eq!(kms.take_calls(), "", "the kernel keeps the data key");
    assert_eq!(cached.run(&["store", "lock"], ""), Run::new(0, "", "forgot the cached data key\n"));
    assert_eq!(user(&cached).as_deref(), Some("u"));
    assert_eq!(kms.take_calls(), "sd");
    cached.run(&["store", "lock"], "");
}

#[test]
fn status_names_the_plugin_and_its_key() {
    let kms = Kms::start();
    let node = sealed_by(&kms);
    let status = node.run(&["store", "status"], "").done();
    assert!(status.contains(&format!("kms endpoint     {}\nkms key id       key-1\n", kms.endpoint())), "{status}");
    assert!(status.contains("key source       kms\n"), "{status}");
}

#[test]
fn a_plugin_that_fails_is_a_typed_error_in_time_and_nothing_is_lost() {
    let mut kms = Kms::start();
    let node = sealed_by(&kms);
    let sealed = fs::read(node.sealed()).unwrap();
    type Change = fn(&mut Plugin);
    let cases: [(Change, &str); 10] = [
        (|plugin| plugin.version = "v1beta1".to_owned(), "speaks version `v1beta1` of the API, must speak `v2`"),
        (|plugin| plugin.version = String::new(), "speaks version `` of the API, must speak `v2`"),
        (|plugin| plugin.healthz = "no\u{1b}[2J HSM".to_owned(), "is unhealthy: no\u{fffd}[2J HSM"),
        (|plugin| plugin.healthz = String::new(), "is unhealthy: "),
        (|plugin| plugin.key_id = String::new(), "broke the rules of the API: its key id is empty"),
        (
            |plugin| plugin.key_id = "k".repeat(1025),
            "broke the rules of the API: its key id has 1025 bytes, more than 1024",
        ),
        (
            |plugin| plugin.key_id = "k".repeat(300_000),
            "refused: Error, decoded message length too large: found 300012 bytes, the limit is: 262144 bytes (OutOfRange)",
        ),
        (|plugin| plugin.plaintext_length = 31, "returned 31 bytes, where a data key has 32"),
        (
            |plugin| plugin.retired.extend(["key-1".to_owned()]),
            "refused: key `key-1` is no longer\u{fffd}here (FailedPrecondition)",
        ),
        (|plugin| plugin.delay = Duration::from_secs(60), "did not answer within 3 seconds"),
    ];
    for (change, expected) in cases {
        change(&mut kms.plugin());
        let start = Instant::now();
        assert_eq!(node.ask("r.test/a"), refusal(&kms, expected));
        assert!(start.elapsed() < Duration::from_secs(8), "{expected}: {:?}", start.elapsed());
        let encrypted = std::mem::take(&mut kms.plugin().encrypted);
        *kms.plugin() = Plugin { encrypted, ..Plugin::new() };
        assert_eq!(user(&node).as_deref(), Some("u"), "{expected}");
    }
    kms.kill();
    assert_eq!(node.ask("r.test/a"), refusal(&kms, "cannot be asked: its socket does not exist"));
    fs::remove_file(kms.socket()).unwrap();
    assert_eq!(node.ask("r.test/a"), refusal(&kms, "cannot be asked: its socket does not exist"));
    let run = node.run(&["login", "r.test", "-u", "v", "--password-stdin"], "p");
    let expected = format!(
        "error: KMS plugin `{}` cannot be asked: its socket does not exist\nhint: look at the plugin's own log\n",
        kms.endpoint()
    );
    assert_eq!(run, Run::new(4, "", &expected));
    kms.restart();
    assert_eq!(user(&node).as_deref(), Some("u"));
    assert_eq!(fs::read(node.sealed()).unwrap(), sealed, "the file is as it was");
}

#[test]
fn what_kubernetes_would_refuse_seals_no_store() {
    let kms = Kms::start();
    type Change = fn(&mut Plugin);
    let cases: [(Change, &str); 7] = [
        (|plugin| plugin.version = "v2alpha1".to_owned(), "speaks version `v2alpha1` of the API, must speak `v2`"),
        (
            |plugin| plugin.ciphertext_length = 1025,
            "broke the rules of the API: its ciphertext has 1025 bytes, more than 1024",
        ),
        (|plugin| plugin.ciphertext_length = 0, "broke the rules of the API: its ciphertext is empty"),
        (
            |plugin| drop(plugin.annotations.insert("a.test".to_owned(), vec![7; 32 * 1024])),
            "broke the rules of the API: its annotations have 32793 bytes, more than 32768",
        ),
        (
            |plugin| drop(plugin.annotations.insert("local".to_owned(), vec![])),
            "broke the rules of the API: an annotation's name is no fully qualified domain name",
        ),
        (
            |plugin| plugin.encrypts_with = Some("key-2".to_owned()),
            "encrypted with key `key-2`, and says that it uses `key-1`",
        ),
        (|plugin| plugin.plaintext_length = 16, "broke the rules of the API: it does not decrypt what it encrypted"),
    ];
    for (change, expected) in cases {
        *kms.plugin() = Plugin::new();
        change(&mut kms.plugin());
        let node = Node::bare();
        let expected =
            format!("error: KMS plugin `{}` {expected}\nhint: look at the plugin's own log\n", kms.endpoint());
        assert_eq!(init(&node, &kms, &[]), Run::new(4, "", &expected));
        assert!(!node.sealed().exists());
    }
    *kms.plugin() = Plugin { version: "v2beta1".to_owned(), ..Plugin::new() };
    assert_eq!(init(&Node::bare(), &kms, &[]).code, 0, "the API server takes `v2beta1` as well");
}

#[test]
fn a_new_key_of_the_plugin_is_taken_up_by_the_next_write() {
    let kms = Kms::start();
    let node = sealed_by(&kms);
    kms.plugin().key_id = "key-2".to_owned();
    assert_eq!(user(&node).as_deref(), Some("u"));
    assert_eq!(kms.take_calls(), "sd", "a pull changes nothing");
    assert_eq!(key_id(&node), "key-1");

    node.login("r.test", "v", "p");
    assert_eq!(key_id(&node), "key-2");
    kms.plugin().retired.insert("key-1".to_owned());
    assert_eq!(user(&node).as_deref(), Some("v"), "the old key is needed no longer");
    kms.take_calls();
    node.login("r.test", "w", "p");
    assert_eq!(kms.take_calls(), "sds", "one look at the status, and nothing to do");
}

#[test]
fn a_write_goes_on_without_a_plugin_that_is_not_needed_for_it() {
    let mut kms = Kms::start();
    let node = Node::bare();
    assert_eq!(init(&node, &kms, &[]).code, 0);
    node.login("r.test", "u", "p");
    kms.kill();
    node.login("r.test", "v", "p");
    assert_eq!((user(&node).as_deref(), key_id(&node).as_str()), (Some("v"), "key-1"));
    kms.restart();
    assert_eq!(node.run(&["store", "lock"], "").code, 0);
    assert_eq!(user(&node).as_deref(), Some("v"));
    node.run(&["store", "lock"], "");
}

#[test]
fn a_socket_that_others_could_have_put_there_is_not_spoken_to() {
    let mut kms = Kms::start();
    let node = sealed_by(&kms);
    let socket = kms.socket();
    let mode = |mode| fs::set_permissions(&socket, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o666);
    let expected = "cannot be asked: its socket has mode 0666: others may connect, must be 0660 or less";
    assert_eq!(node.ask("r.test/a"), refusal(&kms, expected));
    mode(0o660);
    std::os::unix::fs::chown(&socket, Some(65534), None).unwrap();
    let expected = "cannot be asked: its socket belongs to uid 65534, must belong to uid 0";
    assert_eq!(node.ask("r.test/a"), refusal(&kms, expected));
    std::os::unix::fs::chown(&socket, Some(0), None).unwrap();
    fs::set_permissions(kms.dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let expected = format!(
        "cannot be asked: its socket lies below `{}`, which uid 0 owns with mode 0777: others could replace it",
        kms.dir.path().display()
    );
    assert_eq!(node.ask("r.test/a"), refusal(&kms, &expected));
    fs::set_permissions(kms.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(kms.take_calls(), "", "nothing was sent");
    assert_eq!(user(&node).as_deref(), Some("u"));
    kms.kill();
    fs::rename(&socket, kms.dir.path().join("other.sock")).unwrap();
    std::os::unix::fs::symlink("other.sock", &socket).unwrap();
    assert_eq!(node.ask("r.test/a"), refusal(&kms, "cannot be asked: its socket is no socket"));
}

#[test]
fn a_store_moves_to_a_plugin_to_another_and_away() {
    let (first, second) = (Kms::start(), Kms::start());
    let node = Node::with(&["r.test"]);
    let rekey = |arguments: &[&str]| node.run(&[&["store", "rekey"], arguments].concat(), "");
    let done = Run::new(0, "", "sealed everything anew; the key is in `kms`\n");
    assert_eq!(rekey(&["--key-source", "kms", "--kms-endpoint", &first.endpoint()]), done);
    assert_eq!(fs::read_dir(node.store()).unwrap().count(), 2, "the host key is gone");
    assert_eq!(rekey(&[]), done);
    assert_eq!(first.plugin().encrypted.len(), 2, "a new data key, where the store was");
    assert_eq!(rekey(&["--kms-endpoint", &second.endpoint()]), done);
    first.take_calls();
    assert_eq!(user(&node).as_deref(), Some("user-0"));
    assert_eq!(first.take_calls(), "");
    assert_eq!(
        rekey(&["--key-source", "host-key"]),
        Run::new(0, "", "sealed everything anew; the key is in `host-key`\n")
    );
    second.take_calls();
    assert_eq!(user(&node).as_deref(), Some("user-0"));
    assert_eq!(second.take_calls(), "");
}

#[test]
fn an_endpoint_that_nothing_would_use_is_a_mistake() {
    let node = Node::bare();
    let run = node.run(&["store", "init", "--kms-endpoint", "unix:///run/kms.sock"], "");
    assert_eq!(run, Run::new(2, "", "error: `--kms-endpoint` goes with `--key-source kms` only\n"));
    let run = node.run(&["store", "init", "--key-source", "kms"], "");
    assert_eq!((run.code, run.stderr.contains("--kms-endpoint <ENDPOINT>")), (2, true), "{run:?}");
    for endpoint in ["/run/kms.sock", "unix:@kms", "unix://run/kms.sock", "tcp://127.0.0.1:1"] {
        let run = node.run(&["store", "init", "--key-source", "kms", "--kms-endpoint", endpoint], "");
        let says = run.stderr.contains("a KMS endpoint is written as `unix:///run/kms/plugin.sock`");
        assert_eq!((run.code, says), (2, true), "{endpoint}: {run:?}");
    }
    let node = Node::with(&["r.test"]);
    let run = node.run(&["store", "rekey", "--key-source", "kms"], "");
    let expected = "error: key source `kms` without an endpoint is not supported: `--kms-endpoint unix:///PATH` says where \
                    the plugin listens\nhint: choose another with `store init --key-source`, or another build\n";
    assert_eq!(run, Run::new(4, "", expected));
    assert_eq!(user(&node).as_deref(), Some("user-0"));
}

#[test]
fn every_answer_is_within_the_plugins_own_deadline() {
    let kms = Kms::start();
    let node = sealed_by(&kms);
    kms.plugin().delay = Duration::from_secs(60);
    let start = Instant::now();
    let run = node.run(&["get-credentials", "--timeout", "1s"], request("r.test/a"));
    let expected = "keyring-credential-provider: no answer within 1 seconds; run `keyring-credential-provider explain` on \
                    the node\n";
    assert_eq!(run, Run::new(1, "", expected));
    assert!(start.elapsed() < Duration::from_secs(3));
}
