//! The services of Windows, of which there are none here.

use std::io;

/// Returns nothing.
///
/// # Errors
/// Never.
pub fn service_value(_value: &str) -> io::Result<Option<String>> {
    Ok(None)
}

/// Returns nothing.
pub fn service_text(_value: &str) -> Option<String> {
    None
}

/// Returns no texts.
pub fn service_list(_value: &str) -> Vec<String> {
    Vec::new()
}

/// Returns no words.
pub fn service_words(_value: &str) -> Vec<String> {
    Vec::new()
}

/// Refuses.
///
/// # Errors
/// Always.
pub fn set_service_value(_value: &str, _text: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
