//! Where a request with a credential may go: HTTPS, or plain HTTP that does not leave the machine.

use std::fmt;
use std::net::IpAddr;

use ureq::http::Uri;

/// Addresses of the clouds' metadata services, which have no certificate and end at the host.
const METADATA: [&str; 6] = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "metadata.google.internal",
];

/// A URL without user information, query and fragment. Display is the URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    url: String,
    is_local: bool,
}

impl Endpoint {
    /// Parses a URL. The error completes a sentence that begins with the setting's name.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: Uri = text.parse().map_err(|_| "is no URL")?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err("is no URL with `https://`");
        };
        if authority.as_str().contains('@') {
            return Err("holds a user name or password, which do not belong into a URL");
        }
        if uri.query().is_some() || text.contains('#') {
            return Err("has a query or a fragment");
        }
        let host = authority.host().to_ascii_lowercase();
        let is_local = is_loopback(&host) || METADATA.contains(&host.as_str());
        match scheme {
            "https" => {}
            "http" if is_local => {}
            "http" => return Err("is plain HTTP, which is allowed to loopback and metadata addresses only"),
            _ => return Err("is no URL with `https://`"),
        }
        Ok(Self { url: text.trim_end_matches('/').to_owned(), is_local })
    }

    /// Returns `https://HOST`; `None` for a host with a wildcard, which is no single place.
    pub(super) fn of_host(host: &str) -> Option<Self> {
        if host.contains('*') { None } else { Self::parse(&format!("https://{host}")).ok() }
    }

    /// Returns scheme, host and port.
    pub(super) fn origin(&self) -> String {
        let (scheme, rest) = self.url.split_once("://").unwrap_or_default();
        let host = rest.split('/').next().unwrap_or_default();
        format!("{scheme}://{host}").to_ascii_lowercase()
    }

    /// Returns the endpoint with a path added, which must begin with `/`.
    pub(super) fn join(&self, path: &str) -> Self {
        Self { url: format!("{}{path}", self.url), is_local: self.is_local }
    }

    /// Whether it is on this machine, so that no proxy may come between.
    pub(super) fn is_local(&self) -> bool {
        self.is_local
    }

    /// Returns the URL as it is requested.
    pub(super) fn as_str(&self) -> &str {
        &self.url
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.split(['?', '#']).next().unwrap_or_default())
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::Endpoint;

    #[test]
    fn an_origin_is_all_but_the_path() {
        for (url, origin) in [
            ("https://A.test/x/y", "https://a.test"),
            ("https://a.test:5000", "https://a.test:5000"),
            ("http://127.0.0.1:1/", "http://127.0.0.1:1"),
        ] {
            assert_eq!(Endpoint::parse(url).map(|endpoint| endpoint.origin()), Ok(origin.to_owned()));
        }
        let of_host = |host| Endpoint::of_host(host).map(|endpoint| endpoint.to_string());
        assert_eq!(of_host("a.test:5000"), Some("https://a.test:5000".to_owned()));
        assert_eq!(of_host("*.a.test"), None);
    }

    #[test]
    fn plain_http_stays_on_the_machine() {
        for url in [
            "https://a.test/x",
            "http://127.0.0.1:1/x",
            "http://[::1]:1",
            "http://localhost:2",
            "http://169.254.169.254",
            "http://[fd00:ec2::254]",
            "http://metadata.google.internal/computeMetadata",
        ] {
            assert_eq!(Endpoint::parse(url).map(|endpoint| endpoint.to_string()), Ok(url.to_owned()));
        }
        for url in [
            "http://a.test",
            "http://localhost.evil.test",
            "http://127.0.0.1.evil.test",
            "http://169.254.169.254.evil.test",
            "http://10.0.0.1",
            "https://u:p@a.test",
            "http://127.0.0.1@a.test",
            "https://a.test?x=1",
            "https://a.test/#x",
            "ftp://a.test",
            "a.test",
            "",
        ] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
    }
}
