//! The certificate authorities that this machine trusts.

use rustls_pki_types::CertificateDer;

/// Returns those of the store `ROOT`, and Mozilla's: Windows fetches a public root only when its own code meets it, and until then
/// the store lacks it.
pub fn system_roots() -> Vec<CertificateDer<'static>> {
    let mut roots = rustls_native_certs::load_native_certs().certs;
    roots.extend(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    roots
}
