//! Where the bytes of blobs are.

use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caviar_blob::{Blob, BlobName, Outline, Source};
use caviar_data::Bytes;

/// A place that keeps blobs. All methods block, and any number of threads call them.
pub(crate) trait Home: Debug + Send + Sync {
    /// The identity of the store that this place belongs to. If it belongs to none, it belongs to
    /// `store` from now on.
    fn claim(&self, store: &str) -> io::Result<String>;

    /// Fails if blobs could not be kept here, with what an operator can do about it.
    fn probe(&self) -> io::Result<()>;

    /// A folder for uploads that are not complete, on the file system from which [`Home::accept`]
    /// takes files. It exists afterwards.
    fn partial(&self) -> io::Result<PathBuf>;

    /// Removes what earlier uploads have left behind.
    fn clean(&self) -> io::Result<()>;

    /// Takes a complete file, which is synced, and gives it the name of the blob. A blob that is
    /// there already has the same bytes and may be replaced.
    fn accept(&self, outline: &Outline, file: &Path) -> io::Result<()>;

    /// The bytes of a blob. `NotFound` if it is not there.
    fn open(&self, name: &BlobName) -> io::Result<Box<dyn Source + Send + Sync>>;

    /// The hashes of its chunks, which the caller checks; `None` if they are not kept.
    fn outline(&self, name: &BlobName) -> io::Result<Option<Vec<u8>>>;

    /// The bytes of a blob as data, which may be mapped. `NotFound` if it is not there.
    fn data(&self, name: &BlobName) -> io::Result<Bytes>;

    /// Every blob, with its size and its age.
    fn list(&self) -> io::Result<Vec<(Blob, Duration)>>;

    /// Removes a blob. No-op if it is not there.
    fn remove(&self, name: &BlobName) -> io::Result<()>;
}

#[cfg(test)]
mod tests;
