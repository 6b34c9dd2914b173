//! A real registry on loopback, filled by the tests, and a token server that issues what it accepts.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::Dir;

/// Who may pull.
pub(crate) const USER: &str = "robot";
pub(crate) const PASSWORD: &str = "made-up-registry-password";

/// The one image that every registry here has, and another tag of it that none has.
pub(crate) const IMAGE: &str = "acme/private";

/// A registry process with the image in it, ended with this value.
pub(crate) struct Registry {
    child: Child,
    port: u16,
    dir: Dir,
}

/// Who is let in.
#[derive(Clone, Copy)]
pub(crate) enum Auth<'a> {
    Basic,
    Token(&'a TokenServer),
    /// Nobody, with this certificate and key in PEM.
    Tls(&'a rcgen::CertifiedKey<rcgen::KeyPair>),
}

impl Registry {
    /// Starts one with the image.
    pub(crate) fn start(auth: Auth<'_>) -> Self {
        Self::with(auth, |port| push(port, IMAGE))
    }

    /// Starts one that is filled before its door is closed.
    pub(crate) fn with(auth: Auth<'_>, fill: impl Fn(u16)) -> Self {
        let open = Self::serve(Dir::new(), "", None);
        fill(open.port);
        open.restart(auth)
    }

    /// Starts again on the same storage and port, with another door.
    fn restart(mut self, auth: Auth<'_>) -> Self {
        self.stop();
        let (dir, port) = (std::mem::replace(&mut self.dir, Dir::new()), self.port);
        let auth = match auth {
            Auth::Basic => {
                let path = dir.path().join("htpasswd");
                let output = Command::new("htpasswd").args(["-nbB", USER, PASSWORD]).output();
                fs::write(&path, output.expect("htpasswd, by tests/tools.sh containerd").stdout).unwrap();
                format!("auth:\n  htpasswd: {{realm: test, path: {}}}\n", path.display())
            }
            Auth::Tls(certified) => {
                let (certificate, key) = (dir.path().join("tls.pem"), dir.path().join("tls.key"));
                fs::write(&certificate, certified.cert.pem()).unwrap();
                fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
                format!("  tls: {{certificate: {}, key: {}}}\n", certificate.display(), key.display())
            }
            Auth::Token(server) => {
                let path = dir.path().join("token.pem");
                fs::write(&path, &server.certificate).unwrap();
                let realm = server.realm();
                format!(
                    "auth:\n  token: {{realm: '{realm}', service: test, issuer: tests, rootcertbundle: {}}}\n",
                    path.display()
                )
            }
        };
        Self::serve(dir, &auth, Some(port))
    }

    fn serve(dir: Dir, auth: &str, port: Option<u16>) -> Self {
        let port = port.unwrap_or_else(free_port);
        let storage = dir.path().join("storage");
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, maintenance: {{uploadpurging: {{enabled: false}}}}}}\n\
             http:\n  addr: '127.0.0.1:{port}'\n{auth}",
            storage.display()
        );
        let path = dir.path().join("config.yml");
        fs::write(&path, config).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&path)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("docker-registry, by tests/tools.sh containerd");
        let registry = Self { child, port, dir };
        wait_for("the registry", || TcpStream::connect(("127.0.0.1", port)).is_ok(), || registry.log());
        registry
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn image(&self) -> String {
        format!("{}/{IMAGE}:1", self.host())
    }

    /// A tag that is not there.
    pub(crate) fn no_image(&self) -> String {
        format!("{}/{IMAGE}:2", self.host())
    }

    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until something is so, for as long as a slow machine may take.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut is_so: impl FnMut() -> bool, log: impl Fn() -> String) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what} does not come up: {}", log());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One request over a connection of its own. Returns status, headers in lower case, and body.
pub(crate) fn http(
    port: u16,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // 1.0, so that the body comes in one piece.
    let mut head = format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let lower = head.lines().map(|line| match line.split_once(':') {
        Some((name, value)) => format!("{}:{value}\n", name.to_ascii_lowercase()),
        None => String::new(),
    });
    (status, lower.collect(), answer[end + 4..].to_vec())
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    format!("sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// Pushes an image with one small file, tag `1`.
fn push(port: u16, name: &str) {
    let layer = tar("hello", b"hello\n");
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [sha256(&layer)]},
    });
    push_image(port, name, config, &layer);
}

/// Pushes an image of one layer, tag `1`.
pub(crate) fn push_image(port: u16, name: &str, config: Value, layer: &[u8]) {
    let config = config.to_string().into_bytes();
    for blob in [layer, &config] {
        let (status, headers, _) = http(port, "POST", &format!("/v2/{name}/blobs/uploads/"), &[], b"");
        assert_eq!(status, 202);
        let location = headers.lines().find_map(|line| line.strip_prefix("location: ")).unwrap().trim();
        let path = location.split_once("://").map_or(location, |(_, rest)| &rest[rest.find('/').unwrap()..]);
        let path = format!("{path}&digest={}", sha256(blob));
        let kind = [("Content-Type", "application/octet-stream")];
        assert_eq!(http(port, "PUT", &path, &kind, blob).0, 201);
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(), "digest": sha256(&config)},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "size": layer.len(), "digest": sha256(layer)}],
    });
    let path = format!("/v2/{name}/manifests/1");
    let (status, _, body) = http(port, "PUT", &path, &[("Content-Type", MANIFEST)], manifest.to_string().as_bytes());
    assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A tar archive with one executable file (POSIX.1-1988 ustar).
pub(crate) fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000755\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", content.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let padding = content.len().next_multiple_of(512) - content.len();
    [&header[..], content, &vec![0; padding + 1024]].concat()
}

/// A token server as registries use it (distribution `docs/spec/auth/token.md`), with signed tokens that `docker-registry` verifies.
pub(crate) struct TokenServer {
    port: u16,
    certificate: String,
    state: Arc<Mutex<State>>,
}

struct State {
    key: EcdsaKeyPair,
    der: Vec<u8>,
    /// How long from now a token is good, in seconds; negative for one that has ended.
    lifetime: i64,
    /// Methods and paths of all requests, with the user of each.
    seen: Vec<String>,
}

impl TokenServer {
    pub(crate) fn start() -> Self {
        let random = ring::rand::SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let pair = rcgen::KeyPair::try_from(pkcs8.as_ref()).unwrap();
        let signed = rcgen::CertificateParams::new(vec!["tests".to_owned()]).unwrap().self_signed(&pair).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State { key, der: signed.der().to_vec(), lifetime: 300, seen: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = answer(stream, &shared);
            }
        });
        Self { port, certificate: signed.pem(), state }
    }

    pub(crate) fn realm(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    pub(crate) fn set_lifetime(&self, seconds: i64) {
        self.state.lock().unwrap().lifetime = seconds;
    }

    /// Returns what was asked since the last call.
    pub(crate) fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }
}

fn answer(stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let (mut length, mut login) = (0, None);
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().unwrap_or(0),
            "authorization" => {
                let basic = STANDARD.decode(value.trim().trim_start_matches("Basic ")).unwrap_or_default();
                login = String::from_utf8(basic).ok().and_then(|login| {
                    login.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
                });
            }
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let path = line.split(' ').nth(1).unwrap_or_default();
    let query = if body.is_empty() { path.split_once('?').map_or("", |(_, query)| query) } else { &body };
    let field = |name: &str| {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let value = pairs.filter(|(known, _)| *known == name).map(|(_, value)| decode(value)).next();
        value.filter(|value| !value.is_empty())
    };
    if let (Some(user), Some(password)) = (field("username"), field("password")) {
        login = Some((user, password));
    }
    let mut state = state.lock().unwrap();
    let user = login.as_ref().map_or("nobody", |(user, _)| user);
    state.seen.push(format!("{} {}", line.split(' ').next().unwrap_or_default(), user));
    let (status, body) = match &login {
        Some((user, password)) if user != USER || password != PASSWORD => {
            ("401 Unauthorized", json!({"errors": [{"code": "UNAUTHORIZED", "message": "wrong user or password"}]}))
        }
        // Whoever does not log in gets a token that allows nothing, as the specification has it.
        _ => {
            let scope = login.is_some().then(|| field("scope")).flatten();
            let token = token(&state, scope.as_deref());
            ("200 OK", json!({"token": token, "access_token": token, "expires_in": state.lifetime.max(60)}))
        }
    };
    let body = body.to_string();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A JSON web token for a scope such as `repository:acme/private:pull`, signed ES256, with its certificate.
fn token(state: &State, scope: Option<&str>) -> String {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let access = scope.into_iter().flat_map(|scope| scope.split(' ')).filter_map(|scope| {
        let [kind, name, actions] = scope.split(':').collect::<Vec<_>>()[..] else { return None };
        Some(json!({"type": kind, "name": name, "actions": actions.split(',').collect::<Vec<_>>()}))
    });
    let access: Vec<Value> = access.collect();
    let header = json!({"typ": "JWT", "alg": "ES256", "x5c": [STANDARD.encode(&state.der)]});
    let claims = json!({
        "iss": "tests", "sub": "", "aud": "test", "jti": "1", "access": access,
        "iat": now - 600, "nbf": now - 600, "exp": now + state.lifetime,
    });
    let encode = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = state.key.sign(&ring::rand::SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Writes the hosts.toml of a registry below a directory.
pub(crate) fn hosts_toml(root: &Path, registry: &str, text: &str) {
    let dir = root.join(registry);
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("hosts.toml"), text).unwrap();
}
