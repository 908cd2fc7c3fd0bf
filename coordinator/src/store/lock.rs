//! The lock file next to a store, and the identity of the store's files.
//!
//! The process that owns a store holds an advisory lock on `caviar.db-lock`. After each commit it
//! writes the number of the batch there. The next owner compares that number with the store's: a
//! store that has fewer batches has lost commits. The file is removed when the store is closed in
//! order.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use caviar_common::ids::StoreId;

use super::StoreError;
use super::digest::{checksum, int};

/// How long to wait for the lock of a process that may be exiting.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_millis(250);

/// The path with a suffix after its last character.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// The lock of a store, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    store: PathBuf,
    path: PathBuf,
    file: File,
}

/// The last batch of a store, as the lock file has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastBatch {
    pub(super) store: StoreId,
    pub(super) sequence: u64,
}

impl LastBatch {
    /// As lines of text of a fixed length: the store, the number of the batch, and a checksum.
    fn text(self) -> String {
        let sum = checksum("lock", [int(self.store.0), int(self.sequence)]).cast_unsigned();
        format!("{:016x}\n{:016x}\n{sum:016x}\n", self.store.0, self.sequence)
    }

    /// `None` for a text that is not whole, such as that of a new file.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.lines().map(|line| u64::from_str_radix(line, 16).ok());
        let (store, sequence) = (StoreId(numbers.next()??), numbers.next()??);
        let batch = Self { store, sequence };
        (batch.text() == text).then_some(batch)
    }
}

impl Lock {
    /// Takes the lock for writing the store. `Ok(None)` if there is no lock file and this process
    /// cannot create one.
    ///
    /// # Errors
    /// Another process holds the lock, or the lock file is there and cannot be opened.
    pub(super) fn take(store: &Path) -> Result<Option<Self>, StoreError> {
        let path = with_suffix(store, "-lock");
        loop {
            // Every user who can open the store must be able to see that it is in use.
            let mode = fs::metadata(store).map_or(0o600, |store| store.mode() & 0o666);
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false).mode(mode);
            let file = match options.open(&path).or_else(|_| File::open(&path)) {
                Ok(file) => file,
                Err(_) if path.symlink_metadata().is_err() => return Ok(None),
                Err(source) => return Err(StoreError::Lock { path, source }),
            };
            // The umask may have taken some of the mode away. Only the owner can set it.
            let _mode = file.set_permissions(Permissions::from_mode(mode));
            match try_lock(&file) {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::InUse(store.to_owned()));
                }
                // A file system without locks: SQLite's own lock has to do.
                Err(TryLockError::Error(error)) => {
                    tracing::debug!(path = %path.display(), %error, "cannot be locked");
                    return Ok(None);
                }
            }
            // The last owner may have removed the file between the opening and the locking.
            if is_same(&file, &path) {
                return Ok(Some(Self { store: store.to_owned(), path, file }));
            }
        }
    }

    /// The last batch that the owner before this one has committed, as far as it is known.
    pub(super) fn last_batch(&self) -> Option<LastBatch> {
        LastBatch::parse(&fs::read_to_string(&self.path).ok()?)
    }

    /// Notes that a batch is committed. Best-effort: without the note, a lost commit may stay
    /// unnoticed.
    pub(super) fn note(&self, batch: LastBatch) {
        if let Err(error) = self.file.write_all_at(batch.text().as_bytes(), 0) {
            tracing::debug!(path = %self.path.display(), %error, "cannot be written");
        }
    }

    /// Removes the file, after the store was closed in order.
    pub(super) fn remove(self) {
        // A file that stays is used again by the next owner.
        let _removed = fs::remove_file(&self.path);
    }

    /// True if the lock file is still where it was.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        if is_same(&self.file, &self.path) {
            Ok(())
        } else {
            Err(StoreError::Gone(self.store.clone()))
        }
    }
}

/// Locks a file. Waits a little for a process that is exiting, or that has just been forked from
/// this one and does not run its own program yet.
fn try_lock(file: &File) -> Result<(), TryLockError> {
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if began.elapsed() < BUSY_TIMEOUT => {
                thread::sleep(BUSY_TIMEOUT / 25);
            }
            result => return result,
        }
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    let place = |data: &fs::Metadata| (data.dev(), data.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => place(&open) == place(&there),
        (Err(_), _) | (_, Err(_)) => false,
    }
}

/// Which files a store consists of, by device and inode.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    store: PathBuf,
    places: Vec<(PathBuf, (u64, u64))>,
}

impl Identity {
    /// The files at the store's path now: the database and its write-ahead log.
    pub(super) fn of(store: &Path) -> Result<Self, StoreError> {
        let paths = [store.to_owned(), with_suffix(store, "-wal")];
        let places = paths.into_iter().map(|path| match place(&path) {
            Ok(place) => Ok((path, place)),
            Err(source) => Err(StoreError::File { doing: "find", path, source }),
        });
        Ok(Self { store: store.to_owned(), places: places.collect::<Result<_, _>>()? })
    }

    /// Checks that the files are still there. Opens none of them: closing a database file would
    /// release the locks that this process has on it.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let is_there =
            |(path, known): &(PathBuf, (u64, u64))| place(path).is_ok_and(|now| now == *known);
        if self.places.iter().all(is_there) {
            Ok(())
        } else {
            Err(StoreError::Gone(self.store.clone()))
        }
    }
}

fn place(path: &Path) -> io::Result<(u64, u64)> {
    let data = fs::metadata(path)?;
    Ok((data.dev(), data.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_of_the_last_batch_is_read_back_only_if_it_is_whole() {
        let batch = LastBatch { store: StoreId(u64::MAX), sequence: 77 };
        let text = batch.text();
        assert_eq!(LastBatch::parse(&text), Some(batch));
        assert_eq!(LastBatch::parse(""), None);
        assert_eq!(LastBatch::parse(&text.replace("4d", "4e")), None);
        assert_eq!(LastBatch::parse(&text[..40]), None);
    }
}
