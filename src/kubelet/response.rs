//! Writes a `CredentialProviderResponse` to the kubelet: the one place where a password leaves the process.
//!
//! kubelet 1.32 and later decodes strictly and hides why it refused (kubernetes `pkg/credentialprovider/plugin/plugin.go`), so
//! exactly the five known fields are written, always all of them.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;
use serde::ser::Serializer;
use zeroize::Zeroizing;

use super::ApiVersion;
use crate::credential::Issued;

/// How long, and for which other images, the kubelet may use the answer again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum CacheKeyType {
    /// For this image only.
    Image,
    /// For every image of the registry (host and port).
    Registry,
}

/// One answer.
#[derive(Debug)]
pub struct CredentialProviderResponse {
    /// The version of the request.
    pub api_version: ApiVersion,
    /// What the kubelet keys its cache with.
    pub cache_key_type: CacheKeyType,
    /// How long the kubelet may keep the answer; whole seconds.
    pub cache_duration: Duration,
    /// Auth keys and credentials; none means that nothing is stored for the image.
    pub auth: Vec<(String, Issued)>,
}

impl CredentialProviderResponse {
    /// Writes the answer as one JSON object and a line feed.
    ///
    /// # Errors
    /// As `output`. Nothing is written in part unless `output` itself fails.
    pub fn write_to(&self, mut output: impl Write) -> io::Result<()> {
        // `\u0000` is the longest escape of one byte; the fixed text is about 200 bytes.
        let lengths =
            self.auth.iter().map(|(key, issued)| key.len() + issued.username.len() + issued.password.expose().len());
        let bound: usize = lengths.map(|length| 6 * length + 64).sum();
        let mut buffer = Zeroizing::new(Vec::with_capacity(bound + 512));
        self.serialize_auth(&mut buffer, |issued| {
            // Checked when it was stored, and again by `provider::provide`.
            std::str::from_utf8(issued.password.expose())
                .map_err(|_| serde::ser::Error::custom("password is not UTF-8"))
        })?;
        buffer.push(b'\n');
        output.write_all(&buffer)?;
        output.flush()
    }

    /// Returns the same object with `***` in place of the password, for people.
    pub fn redacted(&self) -> serde_json::Value {
        let mut buffer = Vec::new();
        self.serialize_auth(&mut buffer, |_| Ok("***"))
            .ok()
            .and_then(|()| serde_json::from_slice(&buffer).ok())
            .unwrap_or_default()
    }

    fn serialize_auth<F>(&self, buffer: &mut Vec<u8>, password: F) -> serde_json::Result<()>
    where
        F: Fn(&Issued) -> serde_json::Result<&str>,
    {
        let auth = self.auth.iter().map(|(key, issued)| {
            Ok((key.as_str(), AuthConfig { username: &issued.username, password: password(issued)? }))
        });
        let auth = auth.collect::<serde_json::Result<_>>()?;
        let wire = Wire {
            kind: "CredentialProviderResponse",
            api_version: self.api_version.as_str(),
            cache_key_type: self.cache_key_type,
            cache_duration: &format!("{}s", self.cache_duration.as_secs()),
            auth: Auth(auth),
        };
        serde_json::to_writer(buffer, &wire)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    kind: &'static str,
    api_version: &'static str,
    cache_key_type: CacheKeyType,
    cache_duration: &'a str,
    auth: Auth<'a>,
}

/// A map, in an order of its own.
struct Auth<'a>(Vec<(&'a str, AuthConfig<'a>)>);

impl Serialize for Auth<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, config)| (key, config)))
    }
}

#[derive(Serialize)]
struct AuthConfig<'a> {
    username: &'a str,
    password: &'a str,
}
