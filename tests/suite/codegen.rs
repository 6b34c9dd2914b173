//! The committed code is what the `.proto` files generate.

use std::fs;
use std::path::Path;

use tonic_prost_build::Builder;

use crate::support::Dir;

/// Generates `package` from `proto` and compares it with the `committed` file.
#[track_caller]
fn compare(proto: &str, package: &str, committed: &str, builder: Builder, config: prost_build::Config) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = protox::compile([proto], [root.join("proto")]).unwrap();
    let out = Dir::new();
    builder.build_transport(false).out_dir(out.path()).compile_fds_with_config(files, config).unwrap();
    let generated = fs::read_to_string(out.path().join(format!("{package}.rs"))).unwrap();
    let path = root.join(committed);
    if std::env::var_os("OVERWRITE").is_some() {
        fs::write(&path, &generated).unwrap();
    }
    assert!(
        fs::read_to_string(path).is_ok_and(|text| text == generated),
        "{committed} is out of date; run `OVERWRITE=1 cargo test codegen`"
    );
}

fn client() -> Builder {
    tonic_prost_build::configure().build_server(false)
}

fn server() -> Builder {
    tonic_prost_build::configure().build_client(false)
}

#[test]
fn committed_store_is_generated_from_proto() {
    let mut config = prost_build::Config::new();
    // Secrets are slices of the buffer that was opened, and no message that holds one can be printed.
    config
        .bytes([".keyring.store.v1.Credential.secret", ".keyring.store.v1.Token.password"])
        .skip_debug(["Payload", "Credential", "Tokens", "Token"].map(|message| format!(".keyring.store.v1.{message}")))
        .btree_map(["."]);
    compare("keyring/store/v1/store.proto", "keyring.store.v1", "src/store/v1.rs", client(), config);
}

#[test]
fn committed_kms_client_is_generated_from_proto() {
    compare("kms/v2/kms.proto", "v2", "src/kms/v2.rs", client(), kms());
}

#[test]
fn committed_kms_server_of_the_tests_is_generated_from_proto() {
    compare("kms/v2/kms.proto", "v2", "tests/suite/kms_v2.rs", server(), kms());
}

#[test]
fn committed_broker_is_generated_from_proto() {
    let mut config = prost_build::Config::new();
    // What holds a secret is taken over without a copy, and cannot be printed.
    let secret = [".GetCredentialsRequest.request", ".GetCredentialsResponse.response", ".PutRequest.secret"];
    config
        .bytes(secret.map(|field| format!(".keyring.broker.v1{field}")))
        .skip_debug(secret.map(|field| format!(".keyring.broker.v1{}", &field[..field.rfind('.').unwrap()])))
        .btree_map(["."]);
    let both = tonic_prost_build::configure();
    compare("keyring/broker/v1/broker.proto", "keyring.broker.v1", "src/broker/v1.rs", both, config);
}

#[test]
fn committed_client_of_the_container_runtime_is_generated_from_proto() {
    let mut config = prost_build::Config::new();
    // No message that holds a password can be printed.
    config.skip_debug([".runtime.v1.AuthConfig", ".runtime.v1.PullImageRequest"]);
    compare("runtime/v1/image.proto", "runtime.v1", "src/cri/v1.rs", client(), config);
}

/// A data key is in the clear in two of the messages.
fn kms() -> prost_build::Config {
    let mut config = prost_build::Config::new();
    config.skip_debug([".v2.DecryptResponse", ".v2.EncryptRequest"]).btree_map(["."]);
    config
}
