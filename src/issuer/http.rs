//! Asks an issuer over HTTP, within a deadline. Nothing of this is set up before an issuer is asked.
//!
//! - A redirect is never followed: it could carry the credential to another host.
//! - A body is read up to one mebibyte.
//! - 429, 5xx and failed connections are tried again, after a pause with jitter, as long as the deadline allows. When it ends a
//!   further try, what the one before came to is the error: it says more than that the time is over.
//! - An error names endpoint, status and the server's own sentence, never what was sent.

use std::cell::OnceCell;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use jiff::fmt::rfc2822;
use ureq::config::Config;
use ureq::http;
use ureq::tls::{ClientCert, RootCerts, TlsConfig, TlsConfigBuilder};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Proxy};
use zeroize::Zeroizing;

use super::IssuerError;
use super::endpoint::Endpoint;
use super::{roots, said};

/// No issuer answers with more than some kilobytes.
const MAX_BODY: usize = 1024 * 1024;

/// How often one request is sent at most.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// A way to ask, good for the requests of one answer.
pub(super) struct Http {
    agent: OnceCell<Agent>,
    ca_file: Option<PathBuf>,
    identity: Option<ClientCert>,
    deadline: Instant,
}

/// A request. Headers and body may be secret and are wiped.
pub(super) struct Request<'a> {
    method: &'static str,
    endpoint: &'a Endpoint,
    headers: Vec<(&'a str, Zeroizing<String>)>,
    body: Zeroizing<Vec<u8>>,
    secrets: Vec<&'a [u8]>,
}

/// An answer of any status but a redirect.
pub(super) struct Response {
    endpoint: String,
    /// Status code.
    pub(super) status: u16,
    /// The server's clock, in seconds since 1970.
    pub(super) date: Option<i64>,
    /// How the server wants to be asked instead: the values of `WWW-Authenticate`.
    pub(super) challenges: Vec<String>,
    /// The whole body.
    pub(super) body: Zeroizing<Vec<u8>>,
    said: String,
}

impl<'a> Request<'a> {
    pub(super) fn get(endpoint: &'a Endpoint) -> Self {
        Self::new("GET", endpoint)
    }

    pub(super) fn put(endpoint: &'a Endpoint) -> Self {
        Self::new("PUT", endpoint)
    }

    /// Posts nothing.
    pub(super) fn empty(endpoint: &'a Endpoint) -> Self {
        Self::new("POST", endpoint)
    }

    /// The same with another method.
    pub(super) fn method_of(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    pub(super) fn post(endpoint: &'a Endpoint, content_type: &str, body: Zeroizing<Vec<u8>>) -> Self {
        let request = Self { body, ..Self::new("POST", endpoint) };
        request.header("content-type", content_type)
    }

    /// Posts a form; names and values are encoded as URLs are (RFC 3986), which every form parser takes.
    pub(super) fn form(endpoint: &'a Endpoint, fields: &[(&str, &[u8])]) -> Self {
        Self::post(endpoint, "application/x-www-form-urlencoded", encode_form(fields))
    }

    pub(super) fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, Zeroizing::new(value.into())));
        self
    }

    /// Posts a JSON document.
    pub(super) fn json(endpoint: &'a Endpoint, document: &impl serde::Serialize) -> Self {
        // Room for any token from the start: what grows leaves a copy behind that is not wiped.
        let mut body = Zeroizing::new(Vec::with_capacity(32 * 1024));
        // Only a map whose keys are no text cannot be written, and nobody sends one.
        let _ = serde_json::to_writer(&mut *body, document);
        Self::post(endpoint, "application/json", body)
    }

    /// Adds HTTP Basic authentication.
    pub(super) fn basic(self, username: &str, password: &[u8]) -> Self {
        let value = basic(username, password);
        self.header("authorization", value.as_str())
    }

    /// Names what must not appear in an error, should the server repeat it.
    pub(super) fn hiding(mut self, secret: &'a [u8]) -> Self {
        self.secrets.push(secret);
        self
    }

    #[cfg(test)]
    pub(super) fn without_headers(self) -> Self {
        Self { headers: Vec::new(), ..self }
    }

    pub(super) fn method(&self) -> &'static str {
        self.method
    }

    pub(super) fn endpoint(&self) -> &'a Endpoint {
        self.endpoint
    }

    /// Returns the headers that were set, without those that the client adds.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (*name, value.as_str()))
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    fn new(method: &'static str, endpoint: &'a Endpoint) -> Self {
        Self { method, endpoint, headers: Vec::new(), body: Zeroizing::default(), secrets: Vec::new() }
    }
}

impl Response {
    /// Returns the answer if it is a 2xx.
    pub(super) fn ok(self) -> Result<Self, IssuerError> {
        if (200..300).contains(&self.status) { Ok(self) } else { Err(self.refused("")) }
    }

    /// Returns the error for an answer that is none of those that were hoped for; `note` is added.
    pub(super) fn refused(&self, note: &str) -> IssuerError {
        let said = format!("{}{note}", self.said);
        IssuerError::Refused { endpoint: self.endpoint.clone(), status: self.status, said }
    }

    /// Parses the body. An error names the place, never the content.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, IssuerError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            self.unexpected(format!("no JSON of the expected form at line {} column {}", error.line(), error.column()))
        })
    }

    /// Returns the error for an answer that cannot be used; `reason` quotes nothing of it.
    pub(super) fn unexpected(&self, reason: impl Into<String>) -> IssuerError {
        IssuerError::Answer { endpoint: self.endpoint.clone(), reason: reason.into() }
    }
}

/// What one try came to.
enum Failed {
    /// Another try may succeed, not before this much time.
    Transient(IssuerError, Duration),
    Final(IssuerError),
}

impl Http {
    /// Prepares to ask until `deadline`; `ca_file` replaces the authorities that this machine trusts.
    pub(super) fn new(ca_file: Option<PathBuf>, deadline: Instant) -> Self {
        Self { agent: OnceCell::new(), ca_file, identity: None, deadline }
    }

    /// The same, with a certificate for servers that ask for one.
    pub(super) fn with_identity(&self, identity: ClientCert) -> Self {
        Self {
            agent: OnceCell::new(),
            ca_file: self.ca_file.clone(),
            identity: Some(identity),
            deadline: self.deadline,
        }
    }

    /// Returns how much time is left.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Sends a request, again if need be, and returns the answer with any status that is worth no further try.
    pub(super) fn send(&self, request: &Request<'_>) -> Result<Response, IssuerError> {
        let mut pause = FIRST_PAUSE;
        let mut before = None;
        for attempt in 1.. {
            let (error, least) = match self.try_once(request) {
                Ok(response) => return Ok(response),
                Err(Failed::Final(error @ IssuerError::Late { .. })) => return Err(before.unwrap_or(error)),
                Err(Failed::Final(error)) => return Err(error),
                Err(Failed::Transient(error, least)) => (error, least),
            };
            let wait = pause.max(least).mul_f32(0.75 + f32::from(jitter()) / 512.0);
            if attempt == TRIES || Instant::now() + wait >= self.deadline {
                return Err(error);
            }
            thread::sleep(wait);
            before = Some(error);
            pause *= 2;
        }
        unreachable!("the last try returns")
    }

    fn try_once(&self, request: &Request<'_>) -> Result<Response, Failed> {
        let endpoint = request.endpoint;
        let agent = self.agent().map_err(Failed::Final)?;
        let left = self.left();
        if left.is_zero() {
            return Err(Failed::Final(IssuerError::Late { endpoint: endpoint.to_string() }));
        }
        let mut builder = http::Request::builder().method(request.method).uri(endpoint.as_str());
        for (name, value) in &request.headers {
            builder = builder.header(*name, value.as_str());
        }
        let message = builder.body(request.body.as_slice()).map_err(|_| {
            Failed::Final(IssuerError::Answer {
                endpoint: endpoint.to_string(),
                reason: "the request cannot be written".to_owned(),
            })
        })?;
        // On this machine nobody else may come between, and a proxy could not reach it.
        let proxy = if endpoint.is_local() { None } else { Proxy::try_from_env() };
        let message = agent.configure_request(message).timeout_global(Some(left)).proxy(proxy).build();
        let (parts, body) = agent.run(message).map_err(|error| failed(endpoint, &error))?.into_parts();
        let status = parts.status.as_u16();
        if parts.status.is_redirection() {
            return Err(Failed::Final(IssuerError::Redirect { endpoint: endpoint.to_string(), status }));
        }
        let body = read_bounded(body.into_reader()).map_err(|error| {
            let error = error.map_or(ureq::Error::BodyExceedsLimit(MAX_BODY as u64), ureq::Error::from);
            failed(endpoint, &error)
        })?;
        let text = |name| parts.headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let date = text(http::header::DATE).and_then(|date| rfc2822::parse(date).ok());
        let challenges = parts.headers.get_all(http::header::WWW_AUTHENTICATE).iter();
        let response = Response {
            endpoint: endpoint.to_string(),
            status,
            date: date.map(|date| date.timestamp().as_second()),
            challenges: challenges.filter_map(|value| Some(value.to_str().ok()?.to_owned())).collect(),
            said: said::sentence(&body, &request.secrets),
            body,
        };
        if status == 429 || status >= 500 {
            let least = text(http::header::RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
            return Err(Failed::Transient(response.refused(""), Duration::from_secs(least.unwrap_or(0))));
        }
        Ok(response)
    }

    fn agent(&self) -> Result<&Agent, IssuerError> {
        if let Some(agent) = self.agent.get() {
            return Ok(agent);
        }
        let roots = roots::load(self.ca_file.as_deref())?;
        let tls =
            TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).client_cert(self.identity.clone());
        Ok(self.agent.get_or_init(|| agent(tls)))
    }
}

/// Makes an agent that leaves every status and redirect to its caller, and for which a name that does not resolve is just that,
/// whatever the operating system calls it.
pub(crate) fn agent(tls: TlsConfigBuilder) -> Agent {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("keyring-credential-provider/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls.unversioned_rustls_crypto_provider(provider).build())
        .build();
    Agent::with_parts(config, DefaultConnector::default(), Names::default())
}

#[derive(Debug, Default)]
struct Names(DefaultResolver);

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &http::Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        self.0.resolve(uri, config, timeout).map_err(|error| match error {
            ureq::Error::Io(_) => ureq::Error::HostNotFound,
            error => error,
        })
    }
}

fn failed(endpoint: &Endpoint, error: &ureq::Error) -> Failed {
    let endpoint = endpoint.to_string();
    let unreachable = |reason: &str| IssuerError::Unreachable { endpoint: endpoint.clone(), reason: reason.to_owned() };
    match error {
        ureq::Error::Timeout(_) => Failed::Final(IssuerError::Late { endpoint }),
        ureq::Error::BodyExceedsLimit(_) => Failed::Final(IssuerError::Answer {
            endpoint,
            reason: format!("its body is larger than {} MiB", MAX_BODY / 1024 / 1024),
        }),
        ureq::Error::Rustls(error) => Failed::Final(unreachable(&tls_reason(error))),
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => Failed::Final(unreachable(&tls_reason(error))),
            None if error.kind() == io::ErrorKind::TimedOut => Failed::Final(IssuerError::Late { endpoint }),
            None => Failed::Transient(unreachable(&error.kind().to_string()), Duration::ZERO),
        },
        ureq::Error::HostNotFound => Failed::Transient(unreachable("its name does not resolve"), Duration::ZERO),
        ureq::Error::ConnectionFailed => Failed::Transient(unreachable("no connection"), Duration::ZERO),
        ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => {
            Failed::Transient(unreachable("the proxy does not let it through"), Duration::ZERO)
        }
        ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
            Failed::Transient(unreachable("it does not speak HTTP as it should"), Duration::ZERO)
        }
        // Foreign, and open for more; what they print may quote a header, so they are named by what they are not.
        _ => Failed::Final(unreachable("the request failed")),
    }
}

pub(crate) fn tls_reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            "its certificate is from an authority that is not trusted here".to_owned()
        }
        rustls::Error::InvalidCertificate(reason) => format!("its certificate is not valid: {reason}"),
        error => format!("TLS failed: {error}"),
    }
}

/// Reads up to [`MAX_BODY`] into buffers that are wiped; `Err(None)` means that there is more.
pub(crate) fn read_bounded(mut body: impl Read) -> Result<Zeroizing<Vec<u8>>, Option<io::Error>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
    let mut chunk = Zeroizing::new([0; 8 * 1024]);
    loop {
        let count = match body.read(&mut *chunk) {
            Ok(0) => return Ok(bytes),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Some(error)),
        };
        if bytes.len() + count > MAX_BODY {
            return Err(None);
        }
        if bytes.len() + count > bytes.capacity() {
            let mut larger = Zeroizing::new(Vec::with_capacity(bytes.capacity() * 4));
            larger.extend_from_slice(&bytes);
            bytes = larger;
        }
        bytes.extend_from_slice(&chunk[..count]);
    }
}

/// Returns the header of HTTP Basic authentication (RFC 7617).
pub(crate) fn basic(username: &str, password: &[u8]) -> Zeroizing<String> {
    use base64::Engine as _;
    let pair = Zeroizing::new([username.as_bytes(), b":", password].concat());
    let encoded = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(&*pair));
    Zeroizing::new(format!("Basic {}", *encoded))
}

/// Encodes bytes as a form's value.
pub(crate) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Vec::with_capacity(3 * bytes.len());
    encode_into(&mut text, bytes);
    // What `encode_into` writes is ASCII.
    Zeroizing::new(String::from_utf8(text).unwrap_or_default())
}

pub(crate) fn encode_form(fields: &[(&str, &[u8])]) -> Zeroizing<Vec<u8>> {
    let longest: usize = fields.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut form = Zeroizing::new(Vec::with_capacity(longest));
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 {
            form.push(b'&');
        }
        encode_into(&mut form, name.as_bytes());
        form.push(b'=');
        encode_into(&mut form, value);
    }
    form
}

/// Appends bytes as a URL has them: unreserved characters (RFC 3986 §2.3) as they are, all others as `%XX`.
fn encode_into(text: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte);
        } else {
            text.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

/// Returns eight random letters and digits, for names that must not meet.
pub(super) fn unique() -> String {
    format!("{:02x}{:02x}{:02x}{:02x}", jitter(), jitter(), jitter(), jitter())
}

/// Draws a number from 0 to 255; without random numbers everybody simply waits alike.
pub(super) fn jitter() -> u8 {
    let mut byte = [0];
    let _ = getrandom::fill(&mut byte);
    byte[0]
}
