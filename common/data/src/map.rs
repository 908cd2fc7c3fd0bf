//! The bytes of a block: mapped from a file, or in memory.
//!
//! # Why this is sound
//!
//! Mapped bytes must not change or vanish while they are borrowed. Another process could write to
//! the file or truncate it, and then reading would be undefined or end the process with SIGBUS. So
//! only files that nobody writes are mapped: the files of blobs. They are written under another
//! name, renamed when they are complete, and never opened for writing again. The file and its
//! folder must belong to this user, and nobody else may have the right to write to them. Otherwise
//! the bytes are read into memory. A process that removes a blob unlinks its file, which leaves the
//! mapped pages in place on a local disk.
//!
//! A network file system can take the pages of a file away that another host unlinks. A block is
//! mapped only while it is checked and split, which takes a moment, and the caches remove the files
//! that were used least recently. The splits, on which the trials train, are in memory or in
//! temporary files of their own.
//!
//! Temporary files are mapped too, after they were written. They have no name and no other handle.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use nix::unistd::geteuid;

/// The mode bits with which the group or others may write.
const OTHERS_WRITE: u32 = 0o022;

/// Bytes that never change. Clones share them.
#[derive(Clone, Debug)]
pub struct Bytes(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Mapped(Arc<Mmap>),
    Owned(Arc<Vec<u8>>),
}

impl Bytes {
    /// The bytes of the file of a blob in `folder`. Maps the file if only this user can write to
    /// it, and reads it otherwise. The user's programs never write to it; see the module.
    ///
    /// # Errors
    /// The file is empty, the system cannot map or read it, or it does not fit into memory.
    pub fn of_blob(file: &File, folder: &Path) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if metadata.is_file() && is_private(&metadata) && is_private(&fs::metadata(folder)?) {
            return Self::map(file);
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(usize::try_from(metadata.len()).map_err(io::Error::other)?)?;
        file.take(metadata.len()).read_to_end(&mut bytes)?;
        Ok(Self::from(bytes))
    }

    /// The bytes of a temporary file, which has no name and is open nowhere else.
    ///
    /// # Errors
    /// The system cannot map it.
    pub(crate) fn of_nameless(file: File) -> io::Result<Self> {
        // An empty file cannot be mapped.
        if file.metadata()?.len() == 0 {
            return Ok(Self::from(Vec::new()));
        }
        Self::map(&file)
    }

    #[allow(unsafe_code, reason = "the file is never written to; see the module")]
    fn map(file: &File) -> io::Result<Self> {
        // SAFETY: either this is the file of a blob, and `of_blob` has checked that no other user
        // can write to it or replace it. The programs of this user do not write to it or truncate
        // it after it has its name, as the module explains. Or it is a file without a name, whose
        // only handle is dropped next, so that nobody can write to it.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self(Inner::Mapped(Arc::new(map))))
    }

    /// True if the bytes are those of a mapped file, and not in memory.
    pub fn is_mapped(&self) -> bool {
        matches!(self.0, Inner::Mapped(_))
    }

    /// The bytes.
    pub fn get(&self) -> &[u8] {
        match &self.0 {
            Inner::Mapped(map) => map,
            Inner::Owned(bytes) => bytes,
        }
    }
}

/// True if the file or folder belongs to this user, and nobody else may write to it.
fn is_private(metadata: &Metadata) -> bool {
    metadata.uid() == geteuid().as_raw() && metadata.mode() & OTHERS_WRITE == 0
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Inner::Owned(Arc::new(bytes)))
    }
}
