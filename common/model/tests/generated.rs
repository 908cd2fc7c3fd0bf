//! The generated code in `generated/` is what `onnx/onnx.proto` says.
//!
//! It is kept in the repository, so that a build needs no compiler for it. After a change of the
//! file, `CAVIAR_UPDATE_PROTO=1 cargo test -p caviar-model --test generated` writes it again. No
//! `protoc` is needed: protox reads the file and prost-build writes Rust.

use std::fs;
use std::path::Path;

#[test]
fn generated_code_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let descriptors = protox::compile(["onnx.proto"], [root.join("onnx")]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    prost_build::Config::new().out_dir(folder.path()).compile_fds(descriptors).unwrap();
    let code = fs::read(folder.path().join("onnx.rs")).unwrap();
    let path = root.join("generated/onnx.inc");
    if std::env::var_os("CAVIAR_UPDATE_PROTO").is_some() {
        fs::write(&path, &code).unwrap();
    }
    assert!(
        fs::read(&path).is_ok_and(|kept| kept == code),
        "common/model/generated/onnx.inc is out of date; run CAVIAR_UPDATE_PROTO=1 cargo test \
         -p caviar-model --test generated"
    );
}
