//! A server inside the test, over TLS or plain, that hands each request to the test and can misbehave in every way a server can.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::support::Dir;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Names in lower case, in the order in which they came.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Whether a certificate of [`authority`] was shown.
    pub(crate) has_certificate: bool,
    /// The server's clock, in seconds since 1970.
    pub(crate) now: i64,
}

impl Received {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The fields of a form, in their order.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        let text = std::str::from_utf8(&self.body).unwrap();
        let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (decode(name), decode(value)));
        text.split('&').filter(|pair| !pair.is_empty()).map(|text| pair(text).expect("a form")).collect()
    }

    /// The body, which must be JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_slice(&self.body).unwrap()
    }

    /// User and password of HTTP Basic.
    pub(crate) fn basic(&self) -> Option<(String, String)> {
        use base64::Engine as _;
        let encoded = self.header("authorization")?.strip_prefix("Basic ")?;
        let pair = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap();
        let pair = String::from_utf8(pair).unwrap();
        pair.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digits = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                rest = tail;
            }
            (b'+', tail) => {
                bytes.push(b' ');
                rest = tail;
            }
            (byte, tail) => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// What the server does.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A whole answer.
    Answer { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// Begins an answer and goes on with a byte at a time, for ever.
    Drip,
    /// Ends in the middle of a body.
    Cut,
    /// A body of 100 MiB.
    Huge,
    /// Closes without a word.
    Close,
}

impl Reply {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type".to_owned(), content_type.to_owned())];
        Self::Answer { status, headers, body: body.into() }
    }

    pub(crate) fn json(status: u16, body: &serde_json::Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        match self {
            Self::Answer { status, mut headers, body } => {
                headers.push((name.to_owned(), value.to_owned()));
                Self::Answer { status, headers, body }
            }
            Self::Drip | Self::Cut | Self::Huge | Self::Close => self,
        }
    }
}

type Handler = dyn Fn(&Received) -> Reply + Send + Sync;

/// A running server. It ends with the test process.
pub(crate) struct Fake {
    url: String,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Fake {
    /// Plain HTTP on loopback, as metadata services are.
    pub(crate) fn http(handler: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(None, 0, Arc::new(handler))
    }

    /// HTTPS with a certificate of [`authority`].
    pub(crate) fn https(handler: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Some(authority().server.clone()), 0, Arc::new(handler))
    }

    /// HTTPS for clients that show a certificate of [`authority`], and no others.
    pub(crate) fn mutual_tls(handler: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Some(authority().mutual.clone()), 0, Arc::new(handler))
    }

    /// HTTPS, with a clock that is so many seconds ahead.
    pub(crate) fn with_clock(offset: i64, handler: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::start(Some(authority().server.clone()), offset, Arc::new(handler))
    }

    fn start(tls: Option<Arc<ServerConfig>>, offset: i64, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let received = Arc::new(Mutex::new(Vec::new()));
        let record = received.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (handler, record, tls) = (handler.clone(), record.clone(), tls.clone());
                // A client that goes away is none of the server's business.
                thread::spawn(move || drop(serve(stream.unwrap(), tls, offset, &*handler, &record)));
            }
        });
        Self { url, received }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Every request so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }
}

trait Stream: Read + Write {
    /// Whether the client showed a certificate that was verified; known once it has sent something.
    fn has_certificate(&self) -> bool;
}

impl Stream for TcpStream {
    fn has_certificate(&self) -> bool {
        false
    }
}

impl Stream for StreamOwned<ServerConnection, TcpStream> {
    fn has_certificate(&self) -> bool {
        self.conn.peer_certificates().is_some()
    }
}

fn serve(
    stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    offset: i64,
    handler: &Handler,
    record: &Mutex<Vec<Received>>,
) -> io::Result<()> {
    let socket = stream.try_clone()?;
    let mut stream: Box<dyn Stream> = match tls {
        Some(config) => Box::new(StreamOwned::new(ServerConnection::new(config).unwrap(), stream)),
        None => Box::new(stream),
    };
    let Some(received) = read(&mut *stream, offset)? else { return Ok(()) };
    record.lock().unwrap().push(received.clone());
    let reply = handler(&received);
    write(&mut *stream, &reply, received.now)?;
    drop(stream);
    socket.shutdown(Shutdown::Both)
}

fn read(stream: &mut dyn Stream, offset: i64) -> io::Result<Option<Received>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let mut words = lines.next().unwrap().split(' ');
    let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
    let header = |line: &str| {
        line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).unwrap()
    };
    let headers: Vec<(String, String)> = lines.map(header).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").map_or(0, |(_, n)| n.parse().unwrap());
    let mut body = bytes[head_end + 4..].to_vec();
    while body.len() < length {
        match stream.read(&mut chunk)? {
            0 => return Ok(None),
            count => body.extend_from_slice(&chunk[..count]),
        }
    }
    let (has_certificate, now) = (stream.has_certificate(), jiff::Timestamp::now().as_second() + offset);
    Ok(Some(Received { method, target, headers, body, has_certificate, now }))
}

fn write(stream: &mut dyn Stream, reply: &Reply, now: i64) -> io::Result<()> {
    let date = jiff::Timestamp::from_second(now).unwrap().to_zoned(jiff::tz::TimeZone::UTC);
    let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT");
    let head = |status: u16, length: usize| {
        format!("HTTP/1.1 {status} Status\r\nDate: {date}\r\nConnection: close\r\nContent-Length: {length}\r\n")
    };
    match reply {
        Reply::Answer { status, headers, body } => {
            let mut text = head(*status, body.len());
            for (name, value) in headers {
                text += &format!("{name}: {value}\r\n");
            }
            stream.write_all(format!("{text}\r\n").as_bytes())?;
            stream.write_all(body)?;
        }
        Reply::Drip => {
            stream.write_all(format!("{}\r\n{{", head(200, 100_000)).as_bytes())?;
            loop {
                stream.write_all(b" ")?;
                stream.flush()?;
                thread::sleep(Duration::from_millis(50));
            }
        }
        Reply::Cut => stream.write_all(format!("{}\r\n{{\"access", head(200, 1000)).as_bytes())?,
        Reply::Huge => {
            stream.write_all(format!("{}\r\n", head(200, 100 << 20)).as_bytes())?;
            for _ in 0..100 {
                stream.write_all(&[b' '; 1 << 20])?;
            }
        }
        Reply::Close => {}
    }
    stream.flush()
}

/// The tests' own certificate authority.
pub(crate) struct Authority {
    server: Arc<ServerConfig>,
    mutual: Arc<ServerConfig>,
    client: String,
    dir: Dir,
}

impl Authority {
    /// A file with the authority's certificate, for `ca-file`.
    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The same, below another directory.
    pub(crate) fn copy_to(&self, path: &Path) {
        fs::copy(self.file(), path).unwrap();
    }

    /// A client's certificate and its key, in PEM.
    pub(crate) fn client(&self) -> &str {
        &self.client
    }
}

pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(|| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let leaf_key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["127.0.0.1", "localhost", "issuer.test"].map(str::to_owned)).unwrap();
        let leaf = leaf.signed_by(&leaf_key, &issuer).unwrap();
        let client_key = KeyPair::generate().unwrap();
        let client = CertificateParams::new(vec!["node-1".to_owned()]).unwrap();
        let client = client.signed_by(&client_key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(root.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().unwrap();
        let config = |verifier| {
            let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
            let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
            let builder = builder.unwrap().with_client_cert_verifier(verifier);
            Arc::new(builder.with_single_cert(vec![leaf.der().clone()], private).unwrap())
        };
        let dir = Dir::new();
        fs::write(dir.path().join("ca.pem"), root.pem()).unwrap();
        Authority {
            server: config(WebPkiClientVerifier::no_client_auth()),
            mutual: config(verifier),
            client: client.pem() + &client_key.serialize_pem(),
            dir,
        }
    })
}
