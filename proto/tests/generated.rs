//! The generated code in `generated/` is what the `.proto` files say.
//!
//! It is kept in the repository, because the compilers that make it cost a first build more than a
//! minute of processor time. After a change of a `.proto` file, `CAVIAR_UPDATE_PROTO=1 cargo test
//! -p caviar-proto --test generated` writes it again. No `protoc` is needed: protox reads the files
//! and tonic-prost-build writes Rust.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it fails")]

use std::fs;
use std::path::Path;

use prost::Message;

const FILES: [&str; 6] = [
    "caviar/v1/access.proto",
    "caviar/v1/artifacts.proto",
    "caviar/v1/types.proto",
    "caviar/v1/sweep.proto",
    "caviar/v1/trial.proto",
    "caviar/v1/worker.proto",
];

/// The Rust code and the encoded descriptors of the `.proto` files.
fn generate() -> (Vec<u8>, Vec<u8>) {
    let descriptors = protox::compile(FILES, [env!("CARGO_MANIFEST_DIR")]).unwrap();
    let encoded = descriptors.encode_to_vec();
    let folder = tempfile::tempdir().unwrap();
    // Ordered maps: the same message always has the same bytes, and nothing iterates over a hash
    // table.
    tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .btree_map(".caviar.v1")
        .out_dir(folder.path())
        .compile_fds(descriptors)
        .unwrap();
    (fs::read(folder.path().join("caviar.v1.rs")).unwrap(), encoded)
}

#[test]
fn generated_code_is_up_to_date() {
    let (code, descriptors) = generate();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("generated");
    for (name, content) in [("caviar.v1.inc", code), ("caviar.v1.bin", descriptors)] {
        let path = folder.join(name);
        if std::env::var_os("CAVIAR_UPDATE_PROTO").is_some() {
            fs::write(&path, &content).unwrap();
        }
        let is_current = fs::read(&path).is_ok_and(|kept| kept == content);
        assert!(
            is_current,
            "proto/generated/{name} is out of date; run CAVIAR_UPDATE_PROTO=1 cargo test \
             -p caviar-proto --test generated"
        );
    }
}
