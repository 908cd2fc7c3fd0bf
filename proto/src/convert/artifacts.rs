//! Blobs by name and size. The services check offsets and chunks, which depend on what they have.

use caviar_common::blob::Blob;
use caviar_common::error::Problem;
use caviar_common::limits::MAX_BLOBS_PER_REQUEST;

use super::field::{Within, at_most, required};
use crate::v1;

/// Converts a blob to the wire.
pub fn encode_blob(blob: &Blob) -> v1::Blob {
    v1::Blob { name: blob.name.to_string(), bytes: blob.bytes }
}

/// Reads a blob that a message must have in this field.
///
/// # Errors
/// It is missing, its name is not a hash, or its size is out of range.
pub fn decode_blob(field: &str, wire: Option<v1::Blob>) -> Result<Blob, Problem> {
    let v1::Blob { name, bytes } = required(field, wire)?;
    Blob::parse(&name, bytes).within(field)
}

/// Like [`decode_blob`], for a field that can be absent.
///
/// # Errors
/// Its name is not a hash, or its size is out of range.
pub fn decode_optional_blob(field: &str, wire: Option<v1::Blob>) -> Result<Option<Blob>, Problem> {
    wire.map(|wire| decode_blob(field, Some(wire))).transpose()
}

/// Reads the blobs of a request.
///
/// # Errors
/// There are too many, or the first one that is wrong, such as `blobs[2].name`.
pub fn decode_blobs(wire: Vec<v1::Blob>) -> Result<Vec<Blob>, Problem> {
    let blobs = at_most("blobs", wire, MAX_BLOBS_PER_REQUEST)?;
    let decode = |(i, blob): (usize, v1::Blob)| Blob::parse(&blob.name, blob.bytes).at("blobs", i);
    blobs.into_iter().enumerate().map(decode).collect()
}
