//! Blobs: data sets and other large files that the coordinator keeps for its sweeps.
//!
//! ```text
//! PutBlob --chunks--> Upload (a file in partial/) --complete--> Home: blobs/NAME, NAME.outline
//! GetBlob <--chunks------------------------------------------- Home
//!                     Artifacts: which blobs there are, uploads, pins, bytes
//! ```
//!
//! [`Artifacts`] decides and counts, in memory. A `Home` keeps the bytes: a folder next to the
//! store, another folder, or a bucket. Blobs are never rows of the store.
//!
//! **Durability.** A blob is written to a file in `partial/`, synced, and renamed. So a blob that
//! has its name is whole. Files in `partial/` are removed when the coordinator starts, and when no
//! upload has continued them for an hour.
//!
//! **Two writers** of one blob each have a file of their own. The first one to finish gives the
//! blob its name, and the other file is removed.
//!
//! **One store.** A place belongs to the store that uses it first, by a file with the store's
//! identity. A coordinator with another store refuses it: it would collect everything.
//!
//! **Collection.** A blob that no sweep refers to is removed after a grace period. The period
//! begins again when the blob is uploaded, when a client asks whether it is there, and when a
//! request that refers to it ends. While a request is carried out, the blob is pinned. So a blob
//! cannot be removed between the question whether it is there and the sweep that needs it.

#[cfg(feature = "object-store")]
mod bucket;
mod folder;
mod home;
mod settings;
mod table;
mod upload;

#[cfg(feature = "object-store")]
pub use bucket::Address;
pub use settings::{BadLimit, Place, Settings, SizeLimit};
pub(crate) use table::{Artifacts, Putting, Usage};

use caviar_blob::{Blob, BlobError, BlobName};
use caviar_common::error::ErrorClass;

/// What uploads leave free on their disk, for the store next to them.
const RESERVE_BYTES: u64 = 256 << 20;

/// Why a request about blobs was not carried out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArtifactError {
    /// The blob is not there.
    #[error("there is no blob {0}; hint: upload it first")]
    Missing(BlobName),
    /// The blob is there, with another size.
    #[error("blob {} has {found} bytes: expected {}", .blob.name, .blob.bytes)]
    Size {
        /// The blob as the request names it.
        blob: Blob,
        /// Its size.
        found: u64,
    },
    /// The upload cannot continue where the client wants to.
    #[error(
        "the upload of blob {name} cannot continue at byte {offset}; hint: ask FindMissing again"
    )]
    Offset {
        /// The blob.
        name: BlobName,
        /// Where the client wants to continue.
        offset: u64,
    },
    /// The blob does not fit.
    #[error(
        "the artifacts take {used} of {limit} bytes, and a blob of {bytes} bytes does not fit; \
         hint: delete sweeps that are not needed any more, or raise --artifact-limit"
    )]
    Full {
        /// What all blobs and uploads take.
        used: u64,
        /// What they may take.
        limit: u64,
        /// The size of the blob.
        bytes: u64,
    },
    /// The disk is nearly full.
    #[error(
        "{free} bytes are free on the disk of the uploads, and a blob of {bytes} bytes would leave \
         less than {RESERVE_BYTES}, which the store needs; hint: free space, or name another place \
         with --artifacts"
    )]
    NoSpace {
        /// What is free.
        free: u64,
        /// The size of the blob.
        bytes: u64,
    },
    /// The blobs of another store are there. Without this check they would be removed, because
    /// nothing in this store refers to them.
    #[error(
        "the artifacts in {place} belong to the store {owner}, and this one is {store}; hint: name \
         another place with --artifacts; if this store replaces that one, delete {place}/store"
    )]
    Foreign {
        /// The folder or the address of the bucket.
        place: String,
        /// The identity of the store that they belong to.
        owner: String,
        /// The identity of this store.
        store: String,
    },
    /// As many uploads are running as are allowed.
    #[error("{limit} uploads are running: try again later")]
    Busy {
        /// Most uploads at once.
        limit: usize,
    },
    /// The store was opened only for reading.
    #[error("this coordinator only answers questions about a store, and stores no blobs")]
    ReadOnly,
    /// A chunk or a list of hashes is wrong.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// The folder or the bucket cannot be read or written.
    #[error("the artifacts cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
}

impl ArtifactError {
    /// What a caller can do about it.
    pub(crate) fn class(&self) -> ErrorClass {
        match self {
            Self::Missing(_) => ErrorClass::NotFound,
            Self::Offset { .. } => ErrorClass::Stale,
            Self::Full { .. } | Self::NoSpace { .. } | Self::Foreign { .. } | Self::ReadOnly => {
                ErrorClass::Refused
            }
            Self::Busy { .. } => ErrorClass::Busy,
            Self::Blob(error) if error.is_damage() => ErrorClass::Corrupt,
            Self::Blob(BlobError::Io(_)) | Self::Io(_) => ErrorClass::Unavailable,
            Self::Size { .. } | Self::Blob(_) => ErrorClass::Invalid,
        }
    }
}
