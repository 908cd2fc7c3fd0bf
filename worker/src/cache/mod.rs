//! The blobs of a host: fetched once, kept in a folder that all workers of the host share.
//!
//! ```text
//! CACHE/NAME            a whole blob; its time of modification is that of its latest use
//! CACHE/NAME.claim.2    the right to fetch it: HOST PID, touched every 2 s
//! CACHE/NAME.part.2     what the owner of that claim has fetched
//! ```
//!
//! **One download.** A worker that needs a blob creates the claim, which only one can (`O_EXCL`),
//! and renames the part when it is whole. The others wait for the blob. There is no lock that a
//! network file system would have to implement.
//!
//! **An owner that dies** touches its claim no more. A worker takes over if it sees an unchanged
//! claim for 20 s of its own clock, so clocks need not agree, or at once if the owner was a process
//! of this host that is gone. It creates the claim with the next number, which again only one can.
//! An owner that was only slow finishes all the same: both parts are verified chunk by chunk, so
//! either one may get the name.
//!
//! **Bounded.** The files take at most 10 GB, and at most 20 % of what they and the free space are
//! together. Blobs that were used least recently are removed first. Parts count in full from the
//! start, and parts that nobody has touched for 10 minutes are removed.
//!
//! **Verified.** A blob is hashed every time it is opened, which takes a second for 2 GB. Its file
//! is never modified. It is mapped if nobody else can write to it, and read into memory otherwise;
//! see `caviar_data::Bytes`.
//!
//! **No room.** A blob that does not fit is fetched into memory, by each process for itself.

mod claim;
mod fetch;
mod places;
mod report;
mod space;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use bytesize::ByteSize;
use caviar_blob::{Blob, is_full, new_private, private_folder};
use caviar_data::Bytes;

use self::claim::{Claim, Watch};
pub(crate) use self::fetch::{FetchError, Fetcher};
pub use self::places::BlobPlaces;
pub use self::report::{CacheReport, NetworkFileSystem};
use self::space::make_room;

/// How often a worker looks whether another one has fetched the blob.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The blobs that this worker can get.
#[derive(Debug)]
pub(crate) struct Blobs {
    places: BlobPlaces,
    fetcher: Fetcher,
}

/// Why a blob is not in the cache.
enum NotCached {
    /// It cannot be kept there: the folder cannot be written, or the blob does not fit.
    Unusable(io::Error),
    /// It cannot be fetched either.
    Failed(FetchError),
}

impl From<io::Error> for NotCached {
    fn from(error: io::Error) -> Self {
        Self::Unusable(error)
    }
}

impl Blobs {
    pub(crate) const fn new(places: BlobPlaces, fetcher: Fetcher) -> Self {
        Self { places, fetcher }
    }

    /// The blob if it is on this host already.
    pub(crate) fn find(&self, blob: Blob) -> Option<Bytes> {
        let name = blob.name.to_string();
        let in_folder = self.places.folder.as_ref().map(|folder| folder.join(&name));
        let found = in_folder.and_then(|path| open(&path, blob).ok().flatten());
        found.or_else(|| self.cached(&self.places.cache.as_ref()?.join(&name), blob))
    }

    /// The blob. Fetches it unless another process of this host does.
    ///
    /// # Errors
    /// The coordinator does not have it or cannot be reached for a long time, or this was stopped.
    pub(crate) fn get(&self, blob: Blob, stopped: &AtomicBool) -> Result<Bytes, FetchError> {
        if let Some(found) = self.find(blob) {
            return Ok(found);
        }
        let cached = match &self.places.cache {
            Some(folder) => self.fetch_into(folder, blob, stopped),
            None => Err(NotCached::Unusable(io::Error::other("there is no cache"))),
        };
        match cached {
            Ok(bytes) => Ok(bytes),
            Err(NotCached::Failed(error)) => Err(error),
            Err(NotCached::Unusable(error)) => {
                tracing::warn!(
                    "the data of {} is not cached, so every process fetches its own copy: {error}",
                    ByteSize(blob.bytes)
                );
                let bytes = self.fetcher.fetch(blob, Vec::new(), stopped, &mut || {})?;
                Ok(Bytes::from(bytes))
            }
        }
    }

    /// Fetches the blob into the folder, or waits for the process that does.
    fn fetch_into(
        &self,
        folder: &Path,
        blob: Blob,
        stopped: &AtomicBool,
    ) -> Result<Bytes, NotCached> {
        private_folder(folder)?;
        let path = folder.join(blob.name.to_string());
        let mut watch = Watch::new(folder, blob.name);
        loop {
            if let Some(found) = self.cached(&path, blob) {
                return Ok(found);
            }
            if let Some(claim) = watch.claim()? {
                // The owner before may have finished since this worker has looked.
                return match self.cached(&path, blob) {
                    Some(found) => Ok(found),
                    None => self.fetch_as_owner(&path, blob, stopped, &claim),
                };
            }
            if stopped.load(Ordering::Relaxed) {
                return Err(NotCached::Failed(FetchError::Stopped));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    fn fetch_as_owner(
        &self,
        path: &Path,
        blob: Blob,
        stopped: &AtomicBool,
        claim: &Claim,
    ) -> Result<Bytes, NotCached> {
        let began = Instant::now();
        make_room(claim.folder(), blob.bytes)?;
        let part = Part::new(claim.part(), blob.bytes)?;
        let fetched = self.fetcher.fetch(blob, &part.file, stopped, &mut || claim.touch());
        if let Err(FetchError::Write(error)) = fetched {
            // The disk is full, or it fails.
            return Err(NotCached::Unusable(error));
        }
        fetched.map_err(NotCached::Failed)?;
        fs::rename(&part.path, path)?;
        let seconds = began.elapsed().as_secs_f64();
        tracing::info!(seconds, "data fetched: {} as {}", ByteSize(blob.bytes), path.display());
        open(path, blob)?.ok_or_else(|| {
            NotCached::Unusable(io::Error::other("what was written is not what is read"))
        })
    }

    /// The blob at this path in the cache, which becomes the one that was used last. A damaged one
    /// is removed.
    fn cached(&self, path: &Path, blob: Blob) -> Option<Bytes> {
        match open(path, blob) {
            Ok(Some(bytes)) => {
                // The order of removal is best-effort.
                let file = File::options().append(true).open(path);
                let _ = file.and_then(|file| file.set_modified(SystemTime::now()));
                Some(bytes)
            }
            Ok(None) => {
                tracing::warn!("{} is damaged and is removed", path.display());
                let _already_gone = fs::remove_file(path);
                None
            }
            Err(_) => None,
        }
    }
}

/// The bytes of a blob from its file; `None` if they are others.
fn open(path: &Path, blob: Blob) -> io::Result<Option<Bytes>> {
    let file = File::open(path)?;
    if file.metadata()?.len() != blob.bytes {
        return Ok(None);
    }
    let bytes = Bytes::of_blob(&file, path.parent().unwrap_or(Path::new(".")))?;
    let is_right = blake3::hash(bytes.get()).as_bytes() == blob.name.hash();
    Ok(is_right.then_some(bytes))
}

/// A blob that is being written. Its file is removed when this is dropped, unless it was renamed.
struct Part {
    path: PathBuf,
    file: File,
}

impl Part {
    /// Counts in full from the start.
    fn new(path: PathBuf, bytes: u64) -> io::Result<Self> {
        let file = new_private(&path)?;
        let part = Self { path, file };
        match part.file.set_len(bytes) {
            Err(error) if is_full(&error) => Err(error),
            // Some file systems cannot make a file longer that way.
            Ok(()) | Err(_) => Ok(part),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _renamed = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests;
