//! The bytes of a block: mapped from a file, or in memory.
//!
//! # Why this is sound
//!
//! Mapped bytes must not change or vanish while they are borrowed. Another process could write to
//! the file or truncate it, and then reading would be undefined or end the process with SIGBUS. So
//! only files that nobody writes are mapped: the files of blobs. They are written under another
//! name, renamed when they are complete, and never opened for writing again. They have mode 0600 in
//! a folder of mode 0700, so no other user can. A process that removes a blob unlinks its file,
//! which leaves the mapped pages in place on a local disk.
//!
//! A network file system can take the pages of a file away that another host unlinks. A block is
//! mapped only while it is checked and split, which takes a moment, and the caches remove the files
//! that were used least recently. The splits, on which the trials train, are in memory of their
//! own.

use std::fs::File;
use std::io;
use std::sync::Arc;

use memmap2::Mmap;

/// Bytes that never change. Clones share them.
#[derive(Clone, Debug)]
pub struct Bytes(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Mapped(Arc<Mmap>),
    Owned(Arc<Vec<u8>>),
}

impl Bytes {
    /// Maps a file into memory. It must be the file of a blob, which nobody writes to; see the
    /// module.
    ///
    /// # Errors
    /// The file is empty, or the system cannot map it.
    #[allow(unsafe_code, reason = "the file of a blob is never written to; see the module")]
    pub fn map_blob(file: &File) -> io::Result<Self> {
        // SAFETY: the caller passes the file of a blob. Nobody writes to it or truncates it after
        // it has its name, as the module explains.
        let map = unsafe { Mmap::map(file)? };
        Ok(Self(Inner::Mapped(Arc::new(map))))
    }

    /// The bytes.
    pub fn get(&self) -> &[u8] {
        match &self.0 {
            Inner::Mapped(map) => map,
            Inner::Owned(bytes) => bytes,
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Inner::Owned(Arc::new(bytes)))
    }
}
