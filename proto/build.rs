//! Compiles the `.proto` files. Needs no `protoc`: protox parses them and
//! tonic-prost-build generates Rust.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message;

const FILES: [&str; 4] = [
    "caviar/v1/types.proto",
    "caviar/v1/sweep.proto",
    "caviar/v1/trial.proto",
    "caviar/v1/worker.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=caviar");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("caviar_descriptor.bin"), descriptors.encode_to_vec())?;
    // Ordered maps, so that equal messages have equal bytes.
    let builder = tonic_prost_build::configure()
        .build_client(true)
        .build_server(true)
        .btree_map(".caviar.v1");
    builder.compile_fds(descriptors)?;
    Ok(())
}
