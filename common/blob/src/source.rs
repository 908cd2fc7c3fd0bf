//! Where the bytes of a blob come from.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use caviar_common::numbers::{to_u64, to_usize};

/// The bytes of a blob. They must not change.
pub trait Source {
    /// The size of the blob in bytes.
    fn bytes(&self) -> u64;

    /// `length` bytes from `offset` on.
    ///
    /// # Errors
    /// They cannot be read, or the blob ends before.
    fn chunk(&self, offset: u64, length: usize) -> io::Result<Cow<'_, [u8]>>;
}

impl Source for Vec<u8> {
    fn bytes(&self) -> u64 {
        to_u64(self.len())
    }

    fn chunk(&self, offset: u64, length: usize) -> io::Result<Cow<'_, [u8]>> {
        let start = to_usize(offset);
        let part = self.get(start..start.saturating_add(length));
        part.map(Cow::Borrowed).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// A file that is a blob.
#[derive(Debug)]
pub struct FileSource {
    file: File,
    bytes: u64,
}

impl FileSource {
    /// A file of the size that it has now.
    ///
    /// # Errors
    /// The size cannot be read.
    pub fn new(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }
}

impl Source for FileSource {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn chunk(&self, offset: u64, length: usize) -> io::Result<Cow<'_, [u8]>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(Cow::Owned(bytes))
    }
}
