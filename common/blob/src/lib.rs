//! Blobs: large files that travel in chunks. Each chunk is verified by itself.
//!
//! A blob is named by the BLAKE3 hash of its bytes. BLAKE3 is a tree: the hash of a file is
//! computed from the hashes of its parts. An [`Outline`] has the hash of every chunk of
//! [`CHUNK_BYTES`] as that tree has it, so it can be checked against the name before a single byte
//! of the blob arrives, and every chunk can be checked as it arrives.
//!
//! ```text
//!              name                 name = hash of the blob, computed from the outline
//!          /          \
//!       node         chunk 2        outline = [chunk 0, chunk 1, chunk 2]
//!      /    \                                 32 bytes for each MiB of the blob
//!  chunk 0  chunk 1
//! ```
//!
//! An outline of the largest blob has 256 KiB, so it fits into one message. That is why it is a
//! plain list. The crate `bao-tree` interleaves the nodes of the tree with the data, which pays off
//! for terabytes and for random access; it would add a format and ten crates. The functions for
//! subtrees in `blake3::hazmat`, which it also uses, are all that a list needs.
//!
//! ```
//! use caviar_blob::{Intake, Outline, Source};
//!
//! let blob = vec![7u8; 3_000_000];
//! let outline = Outline::of(&blob)?;
//! assert_eq!(outline.blob().name.hash(), blake3::hash(&blob).as_bytes());
//!
//! // The receiver checks the outline against the name, and then each chunk.
//! let received = Outline::from_bytes(outline.blob(), &outline.to_bytes())?;
//! let mut intake = Intake::new(received, Vec::new());
//! for (offset, length) in outline.chunks_from(0) {
//!     intake.push(offset, &blob.chunk(offset, length)?)?;
//! }
//! assert_eq!(intake.finish()?, blob);
//! # Ok::<(), caviar_blob::BlobError>(())
//! ```
#![forbid(unsafe_code)]

mod error;
mod files;
mod intake;
mod outline;
mod source;

pub use caviar_common::blob::{BadBlobName, Blob, BlobName};
pub use caviar_common::limits::{CHUNK_BYTES, MAX_BLOB_BYTES};

pub use crate::error::BlobError;
pub use crate::files::{free_bytes, is_full, new_private, private_folder, sync_folder};
pub use crate::intake::Intake;
pub use crate::outline::Outline;
pub use crate::source::{FileSource, Source};
