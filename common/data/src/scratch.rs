//! Temporary files, for data that is too large to be kept in memory.
//!
//! They are in the folder that the environment variable `TMPDIR` names, or else in `/var/tmp`,
//! which is on a disk where `/tmp` can be in memory. A file loses its name as soon as it is open,
//! so the system removes it when the process ends, in whatever way.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use caviar_blob::new_private;
use caviar_common::numbers::to_u64;

use crate::file_error::FileError;
use crate::map::Bytes;

/// Counts the files of this process.
static COUNT: AtomicU64 = AtomicU64::new(0);

/// A temporary file without a name.
#[derive(Debug)]
pub(crate) struct Scratch {
    file: File,
    folder: PathBuf,
    bytes: u64,
}

impl Scratch {
    /// An empty file.
    ///
    /// # Errors
    /// It cannot be created in the folder.
    pub(crate) fn new() -> Result<Self, FileError> {
        let folder = folder();
        match nameless(&folder) {
            Ok(file) => Ok(Self { file, folder, bytes: 0 }),
            Err(source) => Err(failure(&folder, source)),
        }
    }

    /// Where the file ends, in bytes.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes after the end of the file.
    ///
    /// # Errors
    /// The disk is full, or fails.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.write_at(bytes, self.bytes)
    }

    /// Writes from byte `offset` on.
    ///
    /// # Errors
    /// The disk is full, or fails.
    pub(crate) fn write_at(&mut self, bytes: &[u8], offset: u64) -> Result<(), FileError> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|source| failure(&self.folder, source))?;
        self.bytes = self.bytes.max(offset + to_u64(bytes.len()));
        Ok(())
    }

    /// Fills `bytes` from byte `offset` on.
    ///
    /// # Errors
    /// The disk fails, or the file ends before.
    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<(), FileError> {
        let read = self.file.read_exact_at(bytes, offset);
        read.map_err(|source| failure(&self.folder, source))
    }

    /// The bytes of the file, which nobody can write to any more.
    ///
    /// # Errors
    /// The system cannot map the file.
    pub(crate) fn into_bytes(self) -> Result<Bytes, FileError> {
        Bytes::of_nameless(self.file).map_err(|source| failure(&self.folder, source))
    }
}

fn folder() -> PathBuf {
    let usual = Path::new("/var/tmp");
    match std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => folder.into(),
        None if usual.is_dir() => usual.to_owned(),
        None => std::env::temp_dir(),
    }
}

fn nameless(folder: &Path) -> io::Result<File> {
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("caviar-{}-{count}.tmp", process::id()));
        match new_private(&path) {
            Ok(file) => return fs::remove_file(&path).map(|()| file),
            // A process that was killed between the two steps left it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

fn failure(folder: &Path, source: io::Error) -> FileError {
    FileError::Scratch { folder: folder.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_mapped() {
        let mut scratch = Scratch::new().unwrap();
        scratch.append(b"caviar").unwrap();
        scratch.write_at(b"BLIN", 8).unwrap();
        assert_eq!(scratch.bytes(), 12);
        let mut read = [0; 4];
        scratch.read_at(&mut read, 2).unwrap();
        assert_eq!(&read, b"viar");
        let error = scratch.read_at(&mut read, 10).unwrap_err().to_string();
        assert!(error.contains("TMPDIR"), "{error}");
        assert_eq!(scratch.into_bytes().unwrap().get(), b"caviar\0\0BLIN");
        assert_eq!(Scratch::new().unwrap().into_bytes().unwrap().get(), b"");
    }
}
