//! Which certificate authorities an issuer's certificate may come from.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use ureq::tls::Certificate;

use super::IssuerError;
use crate::text::Encoding;
use crate::{env, platform, text};

/// A distribution's whole bundle takes 250 kB.
const MAX_BUNDLE: u64 = 4 * 1024 * 1024;

/// Loads them: those of `ca_file` alone, written as Windows writes text too; else those of the file that `SSL_CERT_FILE` names;
/// else the machine's own.
pub(crate) fn load(ca_file: Option<&Path>) -> Result<Vec<Certificate<'static>>, IssuerError> {
    if let Some(path) = ca_file {
        let roots = read(path).and_then(|bytes| match Encoding::of(&bytes) {
            // Bytes beside the certificates may be of any encoding.
            Encoding::Utf8 => from_pem(&bytes),
            Encoding::Utf8Marked | Encoding::Utf16Le | Encoding::Utf16Be => {
                from_pem(text::decode(&bytes).unwrap_or_default().as_bytes())
            }
        });
        return roots.map_err(|reason| IssuerError::Setting { name: "ca-file", reason });
    }
    if let Some(path) = env::ssl_cert_file() {
        return from_file(&path).map_err(|reason| IssuerError::Unreachable {
            endpoint: "SSL_CERT_FILE".to_owned(),
            reason: format!("the file that it names {reason}"),
        });
    }
    let roots = platform::system_roots();
    Ok(roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect())
}

/// Returns the certificates of a PEM file, as Go reads one; an error completes a sentence about the file.
pub(crate) fn from_file(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    from_pem(&read(path)?)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BUNDLE).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| format!("cannot be read: {}", error.kind()))
}

fn from_pem(pem: &[u8]) -> Result<Vec<Certificate<'static>>, String> {
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let roots = roots.map_err(|_| "is no PEM file".to_owned())?;
    if roots.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    Ok(roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect())
}
