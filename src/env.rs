//! The environment variables that this program reads, and no secret ever comes this way. `HTTPS_PROXY` and `NO_PROXY` are read by
//! the HTTP client when an issuer is asked. Those that say where things are go on to the programs that are run. There are no others.

use std::ffi::OsString;
use std::path::PathBuf;

/// Names the store's directory, as `--store` does; `--store` wins.
pub const STORE: &str = "KEYRING_CREDENTIAL_PROVIDER_STORE";

/// Returns the directory named by [`STORE`]; an empty value counts as unset.
pub fn store_dir() -> Option<PathBuf> {
    std::env::var_os(STORE).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// Returns the file named by `SSL_CERT_FILE`, which replaces the certificate authorities of the machine.
pub fn ssl_cert_file() -> Option<PathBuf> {
    std::env::var_os("SSL_CERT_FILE").filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// What a program needs to find its own files and others, on Linux and Windows.
const PLACES: [&str; 8] = ["HOME", "PATH", "APPDATA", "LOCALAPPDATA", "SystemRoot", "TEMP", "TMP", "USERPROFILE"];

/// Where a Unix program looks for others when nobody says; the kubelet's own environment may be empty.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Returns the environment for a program that is run: places, and nothing else.
pub fn for_programs() -> Vec<(String, OsString)> {
    let value = |name: &str| match std::env::var_os(name) {
        None if name == "PATH" => Some(OsString::from(PATH)),
        value => value,
    };
    PLACES.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?))).collect()
}
