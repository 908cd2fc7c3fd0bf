//! The wire of Caviar: `caviar.v1`, generated code and conversions.
//!
//! [`v1`] is what the `.proto` files say, [`convert`] turns it into the words of `caviar-common`
//! and back, and [`status`] makes every error that leaves over gRPC. No other code sees wire types
//! and domain types together.
#![forbid(unsafe_code)]

pub mod convert;
pub mod status;

/// The messages and services of `caviar.v1`, as generated.
#[allow(
    missing_docs,
    unreachable_pub,
    reason = "generated: the documentation stands in the .proto files"
)]
#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::as_conversions,
    clippy::too_many_lines,
    reason = "generated: nobody edits it"
)]
pub mod v1 {
    tonic::include_proto!("caviar.v1");
}

/// The `.proto` files, compiled: for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/caviar_descriptor.bin"));

#[cfg(test)]
mod tests;
