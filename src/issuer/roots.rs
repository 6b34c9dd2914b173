//! Which certificate authorities an issuer's certificate may come from.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use ureq::tls::Certificate;

use super::IssuerError;
use crate::{env, platform};

/// A distribution's whole bundle takes 250 kB.
const MAX_BUNDLE: u64 = 4 * 1024 * 1024;

/// Loads them: those of `ca_file` alone; else those of the file that `SSL_CERT_FILE` names; else the machine's own.
pub(crate) fn load(ca_file: Option<&Path>) -> Result<Vec<Certificate<'static>>, IssuerError> {
    if let Some(path) = ca_file {
        return from_file(path).map_err(|reason| IssuerError::Setting { name: "ca-file", reason });
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

/// Returns the certificates of a PEM file; an error completes a sentence about the file.
pub(crate) fn from_file(path: &Path) -> Result<Vec<Certificate<'static>>, String> {
    let mut pem = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BUNDLE).read_to_end(&mut pem));
    read.map_err(|error| format!("cannot be read: {}", error.kind()))?;
    let roots: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let roots = roots.map_err(|_| "is no PEM file".to_owned())?;
    if roots.is_empty() {
        return Err("holds no certificate".to_owned());
    }
    Ok(roots.iter().map(|root| Certificate::from_der(root).to_owned()).collect())
}
