//! Asks one host over HTTP, with the certificates that containerd would use.
//!
//! - A redirect is followed only by a request that carries no login, and is told to the caller otherwise.
//! - A body is read up to one mebibyte.
//! - An error names what failed, never what was sent.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::fmt::rfc2822;
use ureq::http::{self, HeaderMap, HeaderValue, Uri};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use ureq::{Agent, Proxy};
use zeroize::Zeroizing;

use crate::check::Outcome;
use crate::containerd::{Host, Pair};
use crate::issuer::{http as issuer_http, roots, said};

/// A way to one host.
pub(super) struct Client {
    agent: Agent,
    timeout: Duration,
    headers: Vec<(String, Zeroizing<String>)>,
}

/// What is asked.
pub(super) struct Request<'a> {
    pub(super) method: &'static str,
    pub(super) url: &'a str,
    /// The value of the header `Authorization`.
    pub(super) login: Option<Zeroizing<String>>,
    /// A form.
    pub(super) form: Option<Zeroizing<Vec<u8>>>,
    /// What must not appear in what is shown, should the server repeat it.
    pub(super) secret: &'a [u8],
}

/// What was answered.
pub(super) struct Reply {
    pub(super) status: u16,
    headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// The server's own sentence, behind `: `, or nothing.
    pub(super) said: String,
}

/// Why there is no answer.
pub(super) struct Trouble {
    pub(super) outcome: Outcome,
    pub(super) message: String,
    /// Whether there is no TLS at the other end.
    pub(super) is_plain: bool,
}

impl Trouble {
    pub(super) fn new(outcome: Outcome, message: impl Into<String>) -> Self {
        Self { outcome, message: message.into(), is_plain: false }
    }
}

impl<'a> Request<'a> {
    pub(super) fn new(method: &'static str, url: &'a str) -> Self {
        Self { method, url, login: None, form: None, secret: b"" }
    }
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns all headers of a name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok())
    }

    /// Returns the server's clock, in seconds since 1970.
    pub(super) fn date(&self) -> Option<i64> {
        rfc2822::parse(self.header("date")?).ok().map(|date| date.timestamp().as_second())
    }
}

impl Client {
    /// Reads the certificates of a host.
    pub(super) fn new(host: &Host, timeout: Duration) -> Result<Self, Trouble> {
        let untrusted = |message: String| Trouble::new(Outcome::Untrusted, message);
        let mut certificates = roots::load(None).map_err(|error| untrusted(error.to_string()))?;
        for path in &host.authorities {
            let more = roots::from_file(path);
            certificates.extend(more.map_err(|reason| untrusted(format!("`{}` {reason}", path.display())))?);
        }
        let client = host.clients.first().map(client_certificate).transpose().map_err(untrusted)?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(certificates)))
            .client_cert(client)
            .disable_verification(host.skips_verification);
        Ok(Self { agent: issuer_http::agent(tls), timeout, headers: host.headers.clone() })
    }

    /// Sends a request to the host, with the headers that its hosts.toml adds.
    pub(super) fn send(&self, request: &Request<'_>) -> Result<Reply, Trouble> {
        self.run(request, &self.headers)
    }

    /// Sends a request to another host than the one of the headers in hosts.toml.
    pub(super) fn send_elsewhere(&self, request: &Request<'_>) -> Result<Reply, Trouble> {
        self.run(request, &[])
    }

    fn run(&self, request: &Request<'_>, headers: &[(String, Zeroizing<String>)]) -> Result<Reply, Trouble> {
        let written = |_| Trouble::new(Outcome::Failed, "the request cannot be written");
        let uri: Uri = request.url.parse().map_err(|_| Trouble::new(Outcome::Failed, "there is no such URL"))?;
        let mut builder = http::Request::builder().method(request.method).uri(uri.clone());
        builder = builder.header("accept", ACCEPT);
        for (name, value) in headers {
            // A login that follows from a challenge takes the place of one from a file.
            if request.login.is_none() || !name.eq_ignore_ascii_case("authorization") {
                builder = builder.header(name.as_str(), value.as_str());
            }
        }
        if let Some(login) = &request.login {
            let mut value = HeaderValue::from_str(login).map_err(|_| Trouble::new(Outcome::Failed, CONTROL))?;
            value.set_sensitive(true);
            builder = builder.header("authorization", value);
        }
        let body = request.form.as_ref().map(|form| form.as_slice()).unwrap_or_default();
        if request.form.is_some() {
            builder = builder.header("content-type", "application/x-www-form-urlencoded");
        }
        // On this machine nobody else may come between.
        let proxy = if super::is_loopback(request.url) { None } else { Proxy::try_from_env() };
        let answer = if request.form.is_some() {
            let message = builder.body(body).map_err(written)?;
            let message = self.agent.configure_request(message).timeout_global(Some(self.timeout)).proxy(proxy).build();
            self.agent.run(message)
        } else {
            let message = builder.body(()).map_err(written)?;
            let message = self.agent.configure_request(message).timeout_global(Some(self.timeout)).proxy(proxy).build();
            self.agent.run(message)
        };
        let (parts, body) = answer.map_err(|error| self.trouble(&error))?.into_parts();
        let body = issuer_http::read_bounded(body.into_reader()).map_err(|error| match error {
            Some(error) => self.trouble(&ureq::Error::from(error)),
            None => Trouble::new(Outcome::Failed, "the answer is larger than 1 MiB"),
        })?;
        let said = said::sentence(&body, &[request.secret]);
        Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body, said })
    }

    fn trouble(&self, error: &ureq::Error) -> Trouble {
        let late = || Trouble::new(Outcome::Late, format!("no answer within {} seconds", self.timeout.as_secs()));
        let tls = |error: &rustls::Error| Trouble {
            outcome: Outcome::Untrusted,
            message: issuer_http::tls_reason(error),
            is_plain: matches!(error, rustls::Error::InvalidMessage(_)),
        };
        let unreachable = |reason: &str| Trouble::new(Outcome::Unreachable, reason);
        match error {
            ureq::Error::Timeout(_) => late(),
            ureq::Error::Rustls(error) => tls(error),
            ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                Some(error) => tls(error),
                None if error.kind() == io::ErrorKind::TimedOut => late(),
                None => unreachable(&error.kind().to_string()),
            },
            ureq::Error::HostNotFound => unreachable("its name does not resolve"),
            ureq::Error::ConnectionFailed => unreachable("no connection"),
            ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => {
                unreachable("the proxy does not let it through")
            }
            ureq::Error::Protocol(_) | ureq::Error::Http(_) => {
                Trouble { is_plain: false, ..Trouble::new(Outcome::Failed, "it does not speak HTTP as it should") }
            }
            // Foreign, and open for more; what they print may quote a header.
            _ => Trouble::new(Outcome::Failed, "the request failed"),
        }
    }
}

/// What containerd accepts, in one line.
const ACCEPT: &str = "application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.oci.image.index.v1+json, */*";

const CONTROL: &str = "the credential has a line break or another control character, which HTTP cannot carry";

/// Reads a certificate and its key; an error is a sentence without a byte of either.
fn client_certificate(pair: &Pair) -> Result<ClientCert, String> {
    let read = |path: &Path| {
        fs::read(path)
            .map(Zeroizing::new)
            .map_err(|error| format!("`{}` cannot be read: {}", path.display(), error.kind()))
    };
    let no_pem = |path: &Path| format!("`{}` is no PEM file of the expected kind", path.display());
    let certificate = Certificate::from_pem(&read(&pair.certificate)?).map_err(|_| no_pem(&pair.certificate))?;
    let key = PrivateKey::from_pem(&read(&pair.key)?).map_err(|_| no_pem(&pair.key))?;
    Ok(ClientCert::new_with_certs(&[certificate], key))
}
