//! The generated messages of `onnx/onnx.proto`.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::as_conversions,
    clippy::allow_attributes_without_reason,
    reason = "generated and never edited"
)]

include!("../../generated/onnx.inc");
