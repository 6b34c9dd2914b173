//! The broker: the built program on a Unix socket, its clients, and what it does when they misbehave.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use keyring_credential_provider::broker::client::Client;
use keyring_credential_provider::broker::v1;
use keyring_credential_provider::broker::v1::broker_client::BrokerClient;
use keyring_credential_provider::grpc;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use zeroize::Zeroizing;

use crate::support::{BINARY, Node, Run, request, run};

/// A running broker; dropping it kills it.
struct Broker {
    child: Child,
    socket: PathBuf,
    log: PathBuf,
}

impl Broker {
    #[track_caller]
    fn serve(node: &Node, more: &[&str]) -> Self {
        Self::start(node, Command::new(BINARY).args(["broker", "serve"]), more)
    }

    #[track_caller]
    fn start(node: &Node, command: &mut Command, more: &[&str]) -> Self {
        let (socket, log) = (node.dir().join("broker.sock"), node.dir().join("broker.log"));
        let child = command
            .args(["--listen", &format!("unix://{}", socket.display())])
            .args(more)
            .env_clear()
            .env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, socket, log }.when_ready()
    }

    #[track_caller]
    fn when_ready(self) -> Self {
        let broker = self;
        let deadline = Instant::now() + Duration::from_secs(30);
        while !broker.log().contains("serving the store") {
            assert!(Instant::now() < deadline, "{}", broker.log());
            thread::sleep(Duration::from_millis(5));
        }
        broker
    }

    fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    fn client(&self) -> Client {
        Client::at(self.endpoint().parse().unwrap())
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What was logged about requests.
    fn audit(&self) -> Vec<serde_json::Value> {
        self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn resident_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks as the kubelet does, through the broker.
fn ask(node: &Node, broker: &Broker, image: &str) -> Run {
    node.run(&["get-credentials", "--broker", &broker.endpoint()], request(image))
}

/// The plugin as a user who owns nothing here, in these groups.
fn as_nobody(node: &Node, arguments: &[&str], groups: &str) -> Run {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", "65534", "--regid", "65534", "--groups", groups])
        .arg(BINARY)
        .args(arguments)
        .env_clear()
        .env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
    run(&mut command, request("r.test/a"))
}

fn within<T>(exchange: impl Future<Output = T>) -> T {
    grpc::run(Duration::from_secs(60), exchange).unwrap().expect("within a minute")
}

async fn connect(socket: &Path) -> BrokerClient<grpc::Connection> {
    BrokerClient::with_origin(grpc::connect(socket).await.unwrap(), grpc::origin())
}

fn message(image: &str) -> v1::GetCredentialsRequest {
    v1::GetCredentialsRequest { request: request(image).into_bytes().into() }
}

#[test]
fn a_log_file_has_every_line_and_a_bounded_size() {
    let node = Node::with(&["r.test"]);
    let (socket, dir, talk) = (node.dir().join("broker.sock"), node.dir().join("log"), node.dir().join("talk"));
    let (log, older) = (dir.join("broker.log"), dir.join("broker.log.1"));
    let endpoint = format!("unix://{}", socket.display());
    let serve = ["broker", "serve", "--listen", &endpoint, "--log-file", log.to_str().unwrap()];
    let mut command = Command::new(BINARY);
    command.args(serve).env_clear().env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&talk).unwrap()).spawn().unwrap();
    let mut broker = Broker { child, socket, log: log.clone() }.when_ready();
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(ask(&node, &broker, "r.test/a").code, 0);
    let before = broker.audit();
    let message = format!("serving the store at `{}` on `{endpoint}`", node.store().display());
    assert_eq!((before.len(), &before[0]["message"]), (2, &message.into()));
    assert_eq!((&before[1]["operation"], &before[1]["image"]), (&"get-credentials".into(), &"r.test/a".into()));

    // Full: it moves aside, over the one before.
    fs::write(&older, "older still").unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(&vec![b'\n'; 8 * 1024 * 1024]).unwrap();
    assert_eq!(ask(&node, &broker, "r.test/b").code, 0);
    assert_eq!(broker.audit().iter().map(|line| &line["image"]).collect::<Vec<_>>(), ["r.test/b"]);
    assert!(fs::read_to_string(&older).unwrap().contains(r#""image":"r.test/a""#));

    broker.signal(rustix::process::Signal::TERM);
    assert!(broker.child.wait().unwrap().success());
    assert_eq!(broker.audit().last().unwrap()["message"], "stopped");
    assert_eq!(fs::read_to_string(&talk).unwrap(), "", "nothing is told twice");

    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    let refused = node.run(&serve, "");
    let expected = format!(
        "error: the log `{}` cannot be written: `{}` has mode 0777, must be 0700\n",
        log.display(),
        dir.display()
    );
    assert_eq!(refused, Run::new(1, "", &expected));
}

#[test]
fn the_broker_answers_what_the_plugin_answers() {
    let node = Node::with(&["r.test", "r.test/team", "*.wild.test"]);
    let broker = Broker::serve(&node, &[]);
    for image in ["r.test/a", "r.test/team/a:1", "a.wild.test/x/y", "nothing.test/a", "nginx"] {
        let direct = node.ask(image);
        assert_eq!(direct.code, 0, "{direct:?}");
        assert_eq!(ask(&node, &broker, image), direct, "{image}");
    }
    let direct = node.run(&["get-credentials"], "{}");
    assert_eq!(direct.code, 1);
    assert_eq!(node.run(&["get-credentials", "--broker", &broker.endpoint()], "{}"), direct);

    node.login("r.test", "rotated", "p");
    assert!(ask(&node, &broker, "r.test/a").stdout.contains("\"rotated\""), "a new password is answered at once");
    fs::set_permissions(node.sealed(), fs::Permissions::from_mode(0o644)).unwrap();
    let direct = node.ask("r.test/a");
    assert_eq!((direct.code, ask(&node, &broker, "r.test/a")), (1, direct.clone()), "what it kept is not used");
}

#[test]
fn a_broker_that_is_down_is_one_clear_line_or_the_store() {
    let node = Node::with(&["r.test"]);
    let socket = node.dir().join("broker.sock");
    let endpoint = format!("unix://{}", socket.display());
    let arguments = ["get-credentials", "--broker", &endpoint];
    let line = |why: &str| {
        let line =
            format!("keyring-credential-provider: broker `{endpoint}` {why}; start it, or add `--broker-fallback`\n");
        Run::new(1, "", &line)
    };
    let missing = line("cannot be asked: it does not exist");
    assert_eq!(node.run(&arguments, request("r.test/a")), missing);
    let fallback = ["get-credentials", "--broker-fallback", "--broker", &endpoint];
    assert_eq!(node.run(&fallback, request("r.test/a")), node.ask("r.test/a"));

    let mut broker = Broker::serve(&node, &[]);
    broker.signal(rustix::process::Signal::KILL);
    broker.child.wait().unwrap();
    assert!(socket.exists());
    assert_eq!(node.run(&arguments, request("r.test/a")), missing, "killed, its socket left behind");
    assert_eq!(node.run(&fallback, request("r.test/a")), node.ask("r.test/a"));
    drop(broker);
    let broker = Broker::serve(&node, &[]);
    assert_eq!(ask(&node, &broker, "r.test/a"), node.ask("r.test/a"), "the next one takes the socket over");

    let hung = node.dir().join("hung.sock");
    let listener = std::os::unix::net::UnixListener::bind(&hung).unwrap();
    fs::set_permissions(&hung, fs::Permissions::from_mode(0o600)).unwrap();
    let hung_endpoint = format!("unix://{}", hung.display());
    let hung = ["get-credentials", "--timeout", "2s", "--broker-fallback", "--broker", &hung_endpoint];
    assert_eq!(node.run(&hung, request("r.test/a")), node.ask("r.test/a"), "half of the time is left for the store");
    drop(listener);

    // What a broker answers is final.
    fs::set_permissions(node.sealed(), fs::Permissions::from_mode(0o644)).unwrap();
    let refused =
        node.run(&["get-credentials", "--broker-fallback", "--broker", &broker.endpoint()], request("r.test/a"));
    assert_eq!(refused, node.ask("r.test/a"));
}

#[test]
fn wrong_arguments_are_named() {
    let node = Node::with(&["r.test"]);
    let fails = |arguments: &[&str], what: &str| {
        let run = node.run(arguments, request("r.test/a"));
        assert_eq!(run, Run::new(1, "", &format!("keyring-credential-provider: wrong arguments: {what}\n")));
    };
    fails(&["get-credentials", "--broker-fallback"], "`--broker-fallback` goes with `--broker`");
    fails(&["get-credentials", "--broker", "/run/x.sock"], "`--broker` takes `unix:///PATH`");
    fails(&["get-credentials", "--broker=tcp://1.2.3.4:5"], "`--broker` takes `unix:///PATH`");
    let run = node.run(&["broker", "serve", "--metrics", "0.0.0.0:9464"], "");
    assert!(run.code == 2 && run.stderr.contains("metrics are served on a loopback address only"), "{run:?}");
    let run = node.run(&["broker", "serve", "--group", "no-such-group"], "");
    assert_eq!(run, Run::new(2, "", "error: there is no group of the name that `--group` gives\n"));
}

#[test]
fn operators_change_the_store_through_the_broker() {
    let node = Node::new();
    let broker = Broker::serve(&node, &[]);
    let flag = format!("--broker={}", broker.endpoint());
    let login =
        |scope: &str, user: &str| node.run(&["login", scope, "-u", user, "--password-stdin", &flag], "pass-word");
    assert_eq!(login("r.test", "u"), Run::new(0, "", "stored the credential for `r.test`\n"));
    assert_eq!(login("r.test", "v"), Run::new(0, "", "replaced the credential for `r.test`\n"));
    assert_eq!(node.credential("r.test/a"), Some(("r.test".to_owned(), "v".to_owned())));
    assert_eq!(node.run(&["list", &flag], ""), node.run(&["list"], ""));
    assert_eq!(node.run(&["list", "--output", "json", &flag], ""), node.run(&["list", "--output", "json"], ""));
    let origin = node.run(&["list"], "").stdout;
    assert!(origin.contains("login through the broker by uid 0, process "), "{origin}");

    assert_eq!(login("*.a.test", "u").code, 0);
    let tie = login("x.*.test", "u");
    assert_eq!(tie, node.run(&["login", "x.*.test", "-u", "u", "--password-stdin"], "pass-word"));
    assert_eq!(tie.code, 6);

    let logout = |scope: &str| node.run(&["logout", scope, &flag], "");
    assert_eq!(logout("r.test"), Run::new(0, "", "removed the credential for `r.test`\n"));
    assert_eq!(
        logout("r.test"),
        Run::new(
            3,
            "",
            "error: nothing is stored for `r.test`\nhint: `keyring-credential-provider list --broker` shows what is\n"
        )
    );
    assert!(!broker.log().contains("pass-word"));
    let operations: Vec<_> = broker
        .audit()
        .iter()
        .map(|line| format!("{} {}", line["operation"].as_str().unwrap(), line["outcome"].as_str().unwrap()))
        .collect();
    assert_eq!(
        operations,
        ["put done", "put done", "list done", "list done", "put done", "put refused", "delete done", "delete nothing"]
    );

    let down = node.run(&["list", "--broker=unix:///nonexistent/broker.sock"], "");
    let expected = "error: broker `unix:///nonexistent/broker.sock` cannot be asked: it does not exist\nhint: start it: \
                    `keyring-credential-provider broker serve`\n";
    assert_eq!((down.code, down.stderr.as_str()), (4, expected));
}

#[test]
fn only_root_and_the_group_are_served() {
    let node = Node::with(&["r.test"]);
    fs::set_permissions(node.dir(), fs::Permissions::from_mode(0o755)).unwrap();
    let broker = Broker::serve(&node, &[]);
    let arguments = ["get-credentials", "--broker", &broker.endpoint()];
    assert_eq!(fs::metadata(&broker.socket).unwrap().permissions().mode() & 0o777, 0o600);
    let closed = as_nobody(&node, &arguments, "65534");
    let expected = format!(
        "keyring-credential-provider: broker `{}` cannot be asked: it cannot be read: Permission denied (os error 13); \
         start it, or add `--broker-fallback`\n",
        broker.endpoint()
    );
    assert_eq!(closed, Run::new(1, "", &expected));

    // Whoever comes through a socket that is open wider is asked who he is all the same.
    fs::set_permissions(&broker.socket, fs::Permissions::from_mode(0o660)).unwrap();
    std::os::unix::fs::chown(&broker.socket, None, Some(65534)).unwrap();
    let refused = as_nobody(&node, &arguments, "65534");
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""));
    let (start, end) = (
        "keyring-credential-provider: uid 65534, process ",
        " may not use the broker; it serves root, and the group that `broker serve --group` names\n",
    );
    assert!(refused.stderr.starts_with(start) && refused.stderr.ends_with(end), "{}", refused.stderr);
    assert_eq!(broker.audit()[0]["outcome"], "refused");
    drop(broker);

    let broker = Broker::serve(&node, &["--group", "4242"]);
    assert_eq!(fs::metadata(&broker.socket).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(as_nobody(&node, &arguments, "65534,4242"), node.ask("r.test/a"), "a supplementary group counts");
    assert_eq!(as_nobody(&node, &arguments, "65534,4243").code, 1);
}

#[test]
fn what_is_too_large_is_refused() {
    let node = Node::with(&["r.test"]);
    let broker = Broker::serve(&node, &[]);
    let large = Zeroizing::new(vec![b' '; 2 * 1024 * 1024]);
    let error = broker.client().get_credentials(&large, Duration::from_secs(20)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Error, decoded message length too large: found 2097157 bytes, the limit is: 1114112 bytes"
    );
    assert_eq!(ask(&node, &broker, "r.test/a"), node.ask("r.test/a"));
}

/// Clients that say nothing, that stop in the middle of a greeting, that speak another language, and that begin calls, more than
/// there are threads for work, whose messages never come.
#[test]
fn slow_clients_stall_nobody() {
    let node = Node::with(&["r.test"]);
    let broker = Broker::serve(&node, &[]);
    let silent: Vec<_> = (0..300).map(|_| UnixStream::connect(&broker.socket).unwrap()).collect();
    let half: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = UnixStream::connect(&broker.socket).unwrap();
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM").unwrap();
            stream
        })
        .collect();
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 4096]] {
        let mut stream = UnixStream::connect(&broker.socket).unwrap();
        let _ = stream.write_all(garbage);
        let mut rest = Vec::new();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = stream.read_to_end(&mut rest);
    }
    let expected = node.ask("r.test/a").stdout;
    within(async {
        let never = http::uri::PathAndQuery::from_static("/keyring.broker.v1.Broker/GetCredentials");
        let mut calls = Vec::new();
        for _ in 0..10 {
            let connection = grpc::connect(&broker.socket).await.unwrap();
            for _ in 0..16 {
                let mut call = tonic::client::Grpc::with_origin(connection.clone(), grpc::origin());
                let never = never.clone();
                calls.push(tokio::spawn(async move {
                    let codec =
                        tonic_prost::ProstCodec::<v1::GetCredentialsRequest, v1::GetCredentialsResponse>::default();
                    call.ready().await.unwrap();
                    call.client_streaming(tonic::Request::new(tokio_stream::pending()), never, codec).await.map(drop)
                }));
            }
        }
        let start = Instant::now();
        for _ in 0..20 {
            let mut client = connect(&broker.socket).await;
            let answer = client.get_credentials(message("r.test/a")).await.unwrap().into_inner();
            assert_eq!(answer.response, expected.as_bytes());
        }
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert!(calls.iter().all(|call| !call.is_finished()), "they wait");
    });
    drop((silent, half));
}

/// `benches/run.sh` measures how long each takes on two cores, and what 100,000 requests leave behind.
#[test]
fn two_hundred_clients_get_ten_thousand_right_answers_in_flat_memory() {
    let node = Node::with(&["r.test"]);
    let broker = Broker::serve(&node, &[]);
    let expected = node.ask("r.test/a").stdout;
    let round = |clients: usize, each: usize| {
        within(async {
            let mut tasks = Vec::new();
            for _ in 0..clients {
                let mut client = connect(&broker.socket).await;
                let expected = expected.clone();
                tasks.push(tokio::spawn(async move {
                    for _ in 0..each {
                        let answer = client.get_credentials(message("r.test/a")).await.unwrap().into_inner();
                        assert_eq!(answer.response, expected.as_bytes());
                    }
                }));
            }
            for task in tasks {
                task.await.unwrap();
            }
        });
    };
    // Before the many, whose freed memory would hide what stays. Sixty bytes that stayed of each request would be three times as
    // much as is allowed.
    round(16, 100);
    let before = broker.resident_kib();
    round(16, 600);
    let after = broker.resident_kib();
    assert!(after <= before + 1024, "{before} KiB before, {after} KiB after");
    round(200, 50);
    let status = node.run(&["broker", "status", "--output", "json", "--broker", &broker.endpoint()], "").done();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["answers"], 16 * 700 + 200 * 50);
}

#[test]
fn a_broker_killed_and_restarted_under_load_is_an_error_or_an_answer() {
    let node = Node::with(&["r.test"]);
    let mut broker = Broker::serve(&node, &[]);
    let expected = node.ask("r.test/a").stdout;
    let (done, right) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = broker.client();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let request = Zeroizing::new(request("r.test/a").into_bytes());
                    while !done.load(Ordering::Relaxed) {
                        match client.get_credentials(&request, Duration::from_secs(10)) {
                            Ok(response) => {
                                assert_eq!(response.0, expected.as_bytes());
                                right.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => assert!(error.is_down(), "{error}"),
                        }
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            let before = right.load(Ordering::Relaxed);
            let deadline = Instant::now() + Duration::from_secs(30);
            while right.load(Ordering::Relaxed) < before + 50 {
                assert!(Instant::now() < deadline, "no answers");
                thread::sleep(Duration::from_millis(5));
            }
            broker.signal(rustix::process::Signal::KILL);
            broker.child.wait().unwrap();
            broker = Broker::serve(&node, &[]);
        }
        done.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().unwrap();
        }
    });
}

#[test]
fn a_stop_waits_for_the_answers_that_are_under_way() {
    let kms = crate::kms::Kms::start();
    let node = crate::kms::sealed_by(&kms);
    let mut broker = Broker::serve(&node, &[]);
    kms.plugin().delay = Duration::from_millis(1500);
    let client = broker.client();
    let asking = thread::spawn(move || {
        let request = Zeroizing::new(request("r.test/a").into_bytes());
        client.get_credentials(&request, Duration::from_secs(20)).map(|response| response.0)
    });
    thread::sleep(Duration::from_millis(500));
    broker.signal(rustix::process::Signal::TERM);
    let answer = asking.join().unwrap().unwrap();
    assert!(answer.starts_with(b"{\"kind\":\"CredentialProviderResponse\""));
    assert_eq!(broker.child.wait().unwrap().code(), Some(0));
    assert!(!broker.socket.exists());
    assert!(broker.log().ends_with("stopped\n"), "{}", broker.log());
}

#[test]
fn two_brokers_do_not_share_a_socket() {
    let node = Node::with(&["r.test"]);
    let broker = Broker::serve(&node, &[]);
    let second = node.run(&["broker", "serve", "--listen", &broker.endpoint()], "");
    let expected = format!(
        "error: cannot serve on `{}`\n  caused by: somebody serves `{}` already\n",
        broker.endpoint(),
        broker.socket.display()
    );
    assert_eq!(second, Run::new(1, "", &expected));
    assert_eq!(ask(&node, &broker, "r.test/a"), node.ask("r.test/a"));
    let file = node.dir().join("file");
    File::create(&file).unwrap();
    let run = node.run(&["broker", "serve", "--listen", &format!("unix://{}", file.display())], "");
    assert!(run.stderr.ends_with(&format!("caused by: `{}` is no socket\n", file.display())), "{run:?}");
}

#[test]
fn systemd_hands_the_socket_over() {
    let node = Node::with(&["r.test"]);
    let socket = node.dir().join("broker.sock");
    let store = format!("--setenv=KEYRING_CREDENTIAL_PROVIDER_STORE={}", node.store().display());
    let child = Command::new("systemd-socket-activate")
        .args(["--listen", socket.to_str().unwrap(), &store, BINARY, "broker", "serve"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(node.dir().join("broker.log")).unwrap())
        .spawn()
        .unwrap();
    let broker = Broker { child, log: node.dir().join("broker.log"), socket: socket.clone() };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !socket.exists() {
        assert!(Instant::now() < deadline, "{}", broker.log());
        thread::sleep(Duration::from_millis(5));
    }
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(ask(&node, &broker, "r.test/a"), node.ask("r.test/a"));
    broker.signal(rustix::process::Signal::TERM);
    let mut broker = broker;
    assert_eq!(broker.child.wait().unwrap().code(), Some(0));
    assert!(socket.exists(), "it is systemd's");
}

#[test]
fn health_metrics_and_one_line_an_answer() {
    let node = Node::with(&["r.test"]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let broker = Broker::serve(&node, &["--metrics", &address]);
    assert_eq!(ask(&node, &broker, "r.test/a").code, 0);
    assert_eq!(ask(&node, &broker, "other.test/a").code, 0);
    let health = within(async {
        let connection = grpc::connect(&broker.socket).await.unwrap();
        let mut client = HealthClient::with_origin(connection, grpc::origin());
        let service = "keyring.broker.v1.Broker".to_owned();
        client.check(HealthCheckRequest { service }).await.unwrap().into_inner().status
    });
    assert_eq!(health, 1, "SERVING");

    let get = |path: &str| {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let metrics = get("/metrics");
    for line in [
        "HTTP/1.1 200 OK",
        "keyring_credential_provider_broker_requests_total{operation=\"get-credentials\",outcome=\"done\"} 1",
        "keyring_credential_provider_broker_requests_total{operation=\"get-credentials\",outcome=\"nothing\"} 1",
        "keyring_credential_provider_broker_answer_duration_seconds_count 2",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}: {metrics}");
    }
    assert!(get("/").starts_with("HTTP/1.1 404"));

    let audit = broker.audit();
    assert_eq!(audit.len(), 2);
    let first = &audit[0];
    assert_eq!(first["image"], "r.test/a");
    assert_eq!(first["scopes"], serde_json::json!(["r.test"]));
    assert_eq!(first["issuers"], serde_json::json!(["static"]));
    assert!(first["caller"].as_str().unwrap().starts_with("uid 0, process "), "{first}");
    assert!(first["micros"].is_u64() && first["time"].is_u64());
    assert_eq!(audit[1]["outcome"], "nothing");
    assert!(!broker.log().contains("password-0"));
    let status = node.run(&["broker", "status", "--broker", &broker.endpoint()], "").done();
    assert!(status.contains("credentials  1\nkey source   host-key\n"), "{status}");
}

#[test]
fn services_of_windows_are_refused_here() {
    let node = Node::with(&["r.test"]);
    let once = "keyring-credential-provider-once";
    let reason = "only Windows has services of LocalSystem; run this as root";
    let expected = Run::new(2, "", &format!("error: cannot start the service `{once}`\n  caused by: {reason}\n"));
    assert_eq!(node.run(&["list", "--as-service"], ""), expected);
    let exists = node.run(&["store", "init", "--as-service"], "");
    assert_eq!(exists.code, 6, "{exists:?}");
    fs::remove_file(node.sealed()).unwrap();
    assert_eq!(node.run(&["store", "init", "--as-service"], ""), expected);
    assert_eq!(node.run(&["store", "init", "--as-service", "--key-source", "host-key"], "").code, 2);
    assert_eq!(node.run(&["broker", "install"], "").code, 2);
}
