//! Decodes base64 into a buffer that wipes itself.
//!
//! Source of the rules: RFC 4648 §4, whatever the padding, as the kubelet takes it with and without (`pkg/credentialprovider/config.go`,
//! `decodeDockerConfigFieldAuth`); line breaks do not count, as in Go.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Returns the bytes, or nothing when the text is not base64.
pub(super) fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    // Buffers of their full size from the start, so that no copy is left behind by growing.
    let mut joined = Zeroizing::new(Vec::with_capacity(text.len()));
    joined.extend(text.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    ENGINE.decode_vec(&*joined, &mut bytes).ok().map(|()| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_the_rfc() {
        for (text, expected) in [
            ("", Some("")),
            ("Zg==", Some("f")),
            ("Zm8=", Some("fo")),
            ("Zm9v", Some("foo")),
            ("Zm9vYg==", Some("foob")),
            ("Zm9vYmE", Some("fooba")),
            ("Zm9v\r\nYmFy", Some("foobar")),
            ("Z", None),
            ("Zg=", Some("f")),
            ("Zg==Zg==", None),
            ("====", None),
            ("Zm9_", None),
        ] {
            assert_eq!(decode(text).as_deref().map(Vec::as_slice), expected.map(str::as_bytes), "{text}");
        }
    }
}
