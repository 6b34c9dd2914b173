//! Requests of the kubelet: what is understood is what a second JSON reader sees, in every encoding and however it arrives,
//! and an error shows nothing of it.
#![no_main]

use std::io::{self, Read};

use keyring_credential_provider::kubelet::request::{CredentialProviderRequest, RequestError};
use keyring_credential_provider::reference::Reference;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let result = CredentialProviderRequest::parse(data);
    let streamed = CredentialProviderRequest::read(Dribble(data));
    assert_eq!(format!("{result:?}"), format!("{streamed:?}"), "parsed at once and read in pieces");
    match &result {
        Ok(request) => check_request(request, data),
        Err(error) => check_error(error),
    }
    let is_plain =
        !data.starts_with(&[0xef, 0xbb, 0xbf]) && !data.starts_with(&[0xff, 0xfe]) && !data.starts_with(&[0xfe, 0xff]);
    if let Ok(text) = std::str::from_utf8(data)
        && is_plain
    {
        for encoded in encodings(text) {
            assert_eq!(format!("{result:?}"), format!("{:?}", CredentialProviderRequest::parse(&encoded)));
        }
    }
});

fn check_request(request: &CredentialProviderRequest, data: &[u8]) {
    let text = keyring_credential_provider::text::decode(data).expect("a request was read from it");
    // The other reader also parses what the program ignores, and may refuse that: depth, numbers without bounds.
    let Ok(value) = serde_json::from_str::<Value>(&text) else { return };
    let fields = value.as_object().expect("a request is an object");
    assert_eq!(fields["kind"], "CredentialProviderRequest");
    assert_eq!(fields["apiVersion"], request.api_version.as_str());
    let image = fields["image"].as_str().expect("an image is a string");
    assert_eq!(Reference::parse_lenient(image).as_ref(), Ok(&request.image));
    assert_eq!(request.image.name().parse().as_ref(), Ok(&request.image));
}

/// A request may hold a service-account token. Every message is made of fixed words and numbers, which `Debug` of the error
/// shows by having no field for text.
fn check_error(error: &RequestError) {
    let message = error.to_string();
    assert!(message.is_ascii() && !message.contains(char::is_control) && message.len() < 250, "{message:?}");
    assert!(!matches!(error, RequestError::Read(_)), "{error:?}");
}

fn encodings(text: &str) -> [Vec<u8>; 3] {
    let utf16 = || "\u{feff}".encode_utf16().chain(text.encode_utf16());
    [
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        utf16().flat_map(u16::to_le_bytes).collect(),
        utf16().flat_map(u16::to_be_bytes).collect(),
    ]
}

/// A pipe that never holds more than a few bytes.
struct Dribble<'a>(&'a [u8]);

impl Read for Dribble<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(61);
        self.0.read(&mut buffer[..count])
    }
}
