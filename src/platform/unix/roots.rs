//! The certificate authorities that this machine trusts.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Where distributions keep them in one file: Debian, Alpine, Talos, Flatcar; Red Hat; SUSE; Alpine, Bottlerocket; Fedora.
/// One file is read, since a directory of certificates takes ten milliseconds.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// Returns them, or nothing where there is no bundle: nobody is trusted then, and `SSL_CERT_FILE` or `ca-file` is the remedy.
pub fn system_roots() -> Vec<CertificateDer<'static>> {
    let bundle = BUNDLES.iter().find_map(|path| std::fs::read(path).ok());
    let certificates = |bundle: Vec<u8>| CertificateDer::pem_slice_iter(&bundle).filter_map(Result::ok).collect();
    bundle.map(certificates).unwrap_or_default()
}
