//! Requests signed with AWS Signature Version 4.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use zeroize::Zeroizing;

use super::super::http::{Http, Request, Response};
use super::super::{IssuerError, clock};

/// An access key.
pub(super) struct Keys {
    pub(super) id: String,
    pub(super) secret: Zeroizing<String>,
    pub(super) session: Option<Zeroizing<String>>,
    /// How long the session lasts.
    pub(super) lifetime: Option<Duration>,
}

/// Signs a request and sends it.
pub(super) fn send<'a>(
    http: &Http,
    request: &dyn Fn() -> Request<'a>,
    keys: &Keys,
    region: &str,
    service: &str,
) -> Result<Response, IssuerError> {
    clock::send(http, &|now| signed(request(), keys, region, service, now))
}

fn signed<'a>(
    mut request: Request<'a>,
    keys: &Keys,
    region: &str,
    service: &str,
    now: i64,
) -> Result<Request<'a>, IssuerError> {
    // What is wrong with a request that we made ourselves is not for the log of a kubelet.
    let endpoint = request.endpoint().to_string();
    let broken =
        || IssuerError::Answer { endpoint: endpoint.clone(), reason: "the request cannot be signed".to_owned() };
    let session = keys.session.as_deref().cloned();
    let identity =
        Credentials::new(&*keys.id, keys.secret.as_str(), session, None, "keyring-credential-provider").into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service)
        .time(UNIX_EPOCH + Duration::from_secs(now.max(0).unsigned_abs()))
        .settings(SigningSettings::default())
        .build()
        .map_err(|_| broken())?
        .into();
    let signable = SignableRequest::new(
        request.method(),
        request.endpoint().as_str(),
        request.headers(),
        SignableBody::Bytes(request.body()),
    )
    .map_err(|_| broken())?;
    let (instructions, _) = sign(signable, &parameters).map_err(|_| broken())?.into_parts();
    let (headers, _) = instructions.into_parts();
    for header in headers {
        request = request.header(header.name(), header.value());
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::super::super::endpoint::Endpoint;
    use super::*;

    /// Those of AWS's published vectors that our kind of request can express: no query, no body digest in a header.
    #[test]
    fn published_vectors_of_aws() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../../tests/data/sigv4.json")).expect("a file of the tests");
        let time: jiff::Timestamp = "2015-08-30T12:36:00Z".parse().expect("a time");
        let endpoint = Endpoint::parse("https://example.amazonaws.com/").expect("a URL");
        let mut count = 0;
        for (name, case) in vectors["cases"].as_object().expect("an object") {
            let text = |field: &str| case[field].as_str().unwrap_or_default().replace("\r\n", "\n");
            let (request, signed_text) = (text("request"), text("signed"));
            let mut lines = request.lines();
            let method = match lines.next() {
                Some("GET / HTTP/1.1") => Request::get(&endpoint),
                Some("POST / HTTP/1.1") => Request::post(&endpoint, "", Zeroizing::default()).without_headers(),
                _ => continue,
            };
            let lines: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
            if case["sign_body"] == true || lines.iter().any(|line| line.starts_with(' ')) {
                continue;
            }
            let headers: Vec<(String, &str)> = lines
                .iter()
                .filter_map(|line| line.split_once(':'))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
                .filter(|(name, _)| !matches!(name.as_str(), "host" | "x-amz-security-token"))
                .collect();
            let with_headers = headers.iter().fold(method, |request, (name, value)| request.header(name, *value));
            let keys = Keys {
                id: "AKIDEXAMPLE".to_owned(),
                secret: Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned()),
                session: case["token"].as_str().map(|token| Zeroizing::new(token.to_owned())),
                lifetime: None,
            };
            // There the token is added behind the signature; AWS takes it either way.
            if case["omit_session_token"] == true {
                continue;
            }
            let ours = signed(with_headers, &keys, "us-east-1", "service", time.as_second()).expect("it can be signed");
            let ours = ours.headers().find(|(name, _)| *name == "authorization").expect("it is signed").1.to_owned();
            let theirs = signed_text.lines().find_map(|line| line.strip_prefix("Authorization:")).expect("a signature");
            assert_eq!(ours, theirs, "{name}");
            count += 1;
        }
        assert!(count >= 8, "{count} vectors");
    }
}
