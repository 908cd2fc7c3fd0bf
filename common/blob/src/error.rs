//! Why a blob is not what it should be.

use std::io;

use caviar_common::blob::BlobName;
use caviar_common::limits::MAX_BLOB_BYTES;

/// Why a blob or a part of it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The blob is empty or above the limit.
    #[error("a blob of {bytes} bytes: expected 1 to {MAX_BLOB_BYTES}")]
    Size {
        /// The size of the blob.
        bytes: u64,
    },
    /// The outline has more or fewer hashes than the blob has chunks.
    #[error("chunk_hashes has {found} bytes: expected {expected}, 32 for each MiB of the blob")]
    OutlineLength {
        /// The length of the outline in bytes.
        found: usize,
        /// The length that fits the size of the blob.
        expected: usize,
    },
    /// The hashes of the chunks are not those of the named blob.
    #[error("the hashes of the chunks are those of {found}: expected {expected}")]
    OutlineHash {
        /// The name that the hashes give.
        found: BlobName,
        /// The name of the blob.
        expected: BlobName,
    },
    /// The bytes of a chunk are not those of the named blob.
    #[error("the chunk at byte {offset} of blob {name} is damaged")]
    Damaged {
        /// The name and the size of the blob.
        name: BlobName,
        /// Where the chunk begins, in bytes.
        offset: u64,
    },
    /// A chunk that is not the next one, or that has another length.
    #[error(
        "a chunk of {found_length} bytes at byte {found} of blob {name}: expected {length} bytes \
         at byte {expected}"
    )]
    Order {
        /// The name and the size of the blob.
        name: BlobName,
        /// Where the chunk begins, in bytes.
        found: u64,
        /// Its length in bytes.
        found_length: usize,
        /// Where the next chunk begins.
        expected: u64,
        /// The length of the next chunk; 0 after the last one.
        length: usize,
    },
    /// The transfer ended before the last chunk.
    #[error("blob {name} ends after {found} of {expected} bytes")]
    Short {
        /// The name and the size of the blob.
        name: BlobName,
        /// How many bytes arrived.
        found: u64,
        /// The size of the blob.
        expected: u64,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl BlobError {
    /// Whether the bytes are wrong, and not the file or the order in which they came.
    pub const fn is_damage(&self) -> bool {
        match self {
            Self::OutlineHash { .. } | Self::Damaged { .. } => true,
            Self::Size { .. }
            | Self::OutlineLength { .. }
            | Self::Order { .. }
            | Self::Short { .. }
            | Self::Io(_) => false,
        }
    }
}
