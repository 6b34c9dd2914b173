//! Whom an issuer's server must be certified by, and the way to it: `ca-file`, `SSL_CERT_FILE` and `HTTPS_PROXY`.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use keyring_credential_provider::text::Encoding;
use serde_json::json;

use super::fake::{Fake, Reply, authority};
use super::{ask, ca_file, login, parts};
use crate::support::{AnyNode, BINARY, Node, Run, output, request};

fn server() -> Fake {
    Fake::https(|_| Reply::json(200, &json!({ "access_token": "token", "expires_in": 3600 })))
}

#[track_caller]
fn add(node: &dyn AnyNode, url: &str, settings: &[&str]) {
    let url = format!("token-url={url}/token");
    let settings: Vec<&str> = [url.as_str(), "-u id"].into_iter().chain(settings.iter().copied()).collect();
    login(node, "r.test", "oauth2", &settings, "client-secret").done();
}

#[test]
fn a_ca_file_is_read_as_every_editor_writes_it() {
    a_ca_file_of_every_editor(&Node::new());
}

#[track_caller]
pub(super) fn a_ca_file_of_every_editor(node: &dyn AnyNode) {
    let fake = server();
    let trust = ca_file(node);
    add(node, fake.url(), &[&trust]);
    let pem = fs::read_to_string(authority().file()).unwrap();
    let crlf = format!("Issued by the team\r\n{}", pem.replace('\n', "\r\n"));
    let mut texts = vec![[b"# Zertifikat f\xfcr den Knoten\n", pem.as_bytes()].concat()];
    texts.extend([Encoding::Utf8Marked, Encoding::Utf16Le, Encoding::Utf16Be].map(|encoding| encoding.encode(&crlf)));
    for (number, bytes) in texts.iter().enumerate() {
        fs::write(node.on_disk("ca.pem"), bytes).unwrap();
        let _ = fs::remove_file(node.on_disk("store/tokens.sealed"));
        assert_eq!(parts(ask(node, "r.test/a", "10s")).1, "token", "{number}");
    }
    assert_eq!(fake.count(), texts.len());
    for (bytes, reason) in [
        (Some("text"), "holds no certificate"),
        (Some("-----BEGIN CERTIFICATE-----\n\u{e4}\n-----END CERTIFICATE-----\n"), "is no PEM file"),
        (None, "cannot be read: entity not found"),
    ] {
        let _ = fs::remove_file(node.on_disk("store/tokens.sealed"));
        fs::remove_file(node.on_disk("ca.pem")).unwrap();
        if let Some(bytes) = bytes {
            fs::write(node.on_disk("ca.pem"), bytes).unwrap();
        }
        let expected = format!(
            "keyring-credential-provider: r.test: setting `ca-file` {reason}; run `keyring-credential-provider login r.test` on \
             the node\n"
        );
        assert_eq!(ask(node, "r.test/a", "10s"), Run::new(1, "", &expected));
    }
}

#[test]
fn the_environment_says_whom_to_trust_and_who_forwards() {
    the_environment_counts(&Node::new());
}

#[track_caller]
pub(super) fn the_environment_counts(node: &dyn AnyNode) {
    let fake = server();
    let proxy = Proxy::start(fake.url());
    add(node, "https://issuer.test", &[]);
    authority().copy_to(&node.on_disk("ca.pem"));
    let mut command = node.command(&["get-credentials"]);
    command.env("HTTPS_PROXY", &proxy.url).env("SSL_CERT_FILE", node.path("ca.pem"));
    assert_eq!(parts(node.read(output(&mut command, request("r.test/a")))).1, "token");
    assert_eq!(*proxy.asked.lock().unwrap(), ["CONNECT issuer.test:443 HTTP/1.1"]);
    assert_eq!(fake.received()[0].header("host"), Some("issuer.test"));

    fs::remove_file(node.on_disk("store/tokens.sealed")).unwrap();
    let mut command = node.command(&["get-credentials"]);
    command.env("HTTPS_PROXY", &proxy.url).env("SSL_CERT_FILE", node.path("none.pem"));
    let expected = "keyring-credential-provider: r.test: `SSL_CERT_FILE` cannot be reached: the file that it names cannot be \
                    read: entity not found; check the address, the proxy, `ca-file` and the network\n";
    assert_eq!(node.read(output(&mut command, request("r.test/a"))), Run::new(1, "", expected));
}

/// On a machine without a network: nobody but the proxy could tell where the server is.
#[cfg(target_os = "linux")]
#[test]
fn no_proxy_names_who_is_asked_directly() {
    let (node, fake) = (Node::new(), server());
    let proxy = Proxy::start(fake.url());
    let trust = ca_file(&node);
    add(&node, "https://issuer.test", &[&trust]);
    let mut command = std::process::Command::new("unshare");
    command.args(["--net", BINARY, "get-credentials", "--timeout", "1s"]);
    command.env_clear().env("KEYRING_CREDENTIAL_PROVIDER_STORE", node.store());
    command.env("HTTPS_PROXY", &proxy.url).env("NO_PROXY", "elsewhere.test,issuer.test");
    let fails = |reason: &str| {
        let endpoint = "`https://issuer.test/token` cannot be reached";
        let remedy = "check the address, the proxy, `ca-file` and the network";
        Run::new(1, "", &format!("keyring-credential-provider: r.test: {endpoint}: {reason}; {remedy}\n"))
    };
    assert_eq!(node.read(output(&mut command, request("r.test/a"))), fails("its name does not resolve"));
    fs::remove_file(node.on_disk("store/tokens.sealed")).unwrap();
    command.env("NO_PROXY", "elsewhere.test");
    assert_eq!(node.read(output(&mut command, request("r.test/a"))), fails("network unreachable"));
}

/// A proxy that makes one tunnel for each connection, always to the same server.
struct Proxy {
    url: String,
    /// First lines.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (server, asked) = (server.strip_prefix("https://").unwrap().to_owned(), Arc::new(Mutex::new(Vec::new())));
        let record = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (server, record) = (server.clone(), record.clone());
                // A client that goes away is none of the proxy's business.
                thread::spawn(move || drop(tunnel(&stream.unwrap(), &server, &record)));
            }
        });
        Self { url, asked }
    }
}

fn tunnel(client: &TcpStream, server: &str, record: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut lines = BufReader::new(client.try_clone()?).lines();
    record.lock().unwrap().push(lines.next().unwrap()?);
    // A client of TLS says nothing more before it is answered.
    while !lines.next().unwrap()?.is_empty() {}
    let server = TcpStream::connect(server)?;
    (&*client).write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        let copied = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
        copied
    };
    let (from, to) = (server.try_clone()?, client.try_clone()?);
    let back = thread::spawn(move || copy(from, to));
    copy(client.try_clone()?, server)?;
    back.join().unwrap().map(drop)
}
