//! The committed code is what the `.proto` files generate.

use std::fs;
use std::path::Path;

use crate::support::Dir;

#[test]
fn committed_code_is_generated_from_proto() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = protox::compile(["keyring/store/v1/store.proto"], [root.join("proto")]).unwrap();
    let out = Dir::new();
    prost_build::Config::new()
        // Secrets are slices of the buffer that was opened, and no message that holds one can be printed.
        .bytes([".keyring.store.v1.Credential.secret", ".keyring.store.v1.Token.password"])
        .skip_debug([
            ".keyring.store.v1.Payload",
            ".keyring.store.v1.Credential",
            ".keyring.store.v1.Tokens",
            ".keyring.store.v1.Token",
        ])
        .btree_map(["."])
        .out_dir(out.path())
        .compile_fds(files)
        .unwrap();
    let generated = fs::read_to_string(out.path().join("keyring.store.v1.rs")).unwrap();
    let committed = root.join("src/store/v1.rs");
    if std::env::var_os("OVERWRITE").is_some() {
        fs::write(&committed, &generated).unwrap();
    }
    assert!(
        fs::read_to_string(committed).unwrap() == generated,
        "src/store/v1.rs is out of date; run `OVERWRITE=1 cargo test codegen`"
    );
}
