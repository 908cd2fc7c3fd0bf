//! Which blobs there are, which are uploaded or needed, and how many bytes they take.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use caviar_blob::{Blob, BlobName, Outline, Source, free_bytes};
use caviar_common::ids::StoreId;
use caviar_common::limits::{MAX_GETS, MAX_PUTS};
use caviar_common::numbers::to_u64;
use caviar_data::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::home::Home;
use super::settings::Settings;
use super::upload::Upload;
use super::{ArtifactError, RESERVE_BYTES};

/// The blobs of a coordinator. The methods that read, write or remove bytes block on the disk or
/// the network. The table is never locked while they do, so the others return at once.
#[derive(Debug)]
pub(crate) struct Artifacts {
    home: Box<dyn Home>,
    settings: Settings,
    owner: Owner,
    is_read_only: bool,
    table: Mutex<Table>,
    /// Woken when a blob is not being removed any more.
    removed: Condvar,
    puts: Arc<Semaphore>,
    gets: Arc<Semaphore>,
    sent: AtomicU64,
    received: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    blobs: BTreeMap<BlobName, Entry>,
    /// Interrupted uploads, at most one for each blob.
    idle: BTreeMap<BlobName, Upload>,
    /// How many requests refer to a blob at this moment.
    pins: BTreeMap<BlobName, usize>,
    /// Blobs that are being removed. They are not in `blobs`, and an upload of one waits.
    removing: BTreeSet<BlobName>,
    /// Blobs whose removal failed. The next collection tries again.
    left: BTreeSet<BlobName>,
    /// What the running uploads will take, in bytes.
    reserved: u64,
    uploads: u64,
}

#[derive(Debug)]
struct Entry {
    bytes: u64,
    /// When the grace period began.
    touched: Instant,
    /// It has no grace period, because nothing will refer to it again.
    is_outdated: bool,
}

/// The store whose blobs these are, and where they are.
#[derive(Debug)]
struct Owner {
    store: StoreId,
    place: String,
}

impl Owner {
    /// Takes a place for the store.
    fn claim(&self, home: &dyn Home) -> Result<(), ArtifactError> {
        let store = self.store.to_string();
        let owner = home.claim(&store)?;
        if owner == store {
            return Ok(());
        }
        Err(ArtifactError::Foreign { place: self.place.clone(), owner, store })
    }
}

impl Table {
    fn used(&self) -> u64 {
        let idle = self.idle.values().map(|upload| upload.blob().bytes);
        self.blobs.values().map(|entry| entry.bytes).chain(idle).sum::<u64>() + self.reserved
    }

    fn touch(&mut self, name: &BlobName) {
        if let Some(entry) = self.blobs.get_mut(name) {
            entry.touched = Instant::now();
            entry.is_outdated = false;
        }
    }
}

/// How many blobs there are, and how many bytes have been sent and received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) blobs: u64,
    pub(crate) bytes: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

/// A blob that is not removed while this exists.
#[derive(Debug)]
pub(crate) struct Pin {
    artifacts: Arc<Artifacts>,
    name: BlobName,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut table = self.artifacts.table();
        table.touch(&self.name);
        if let Some(count) = table.pins.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                table.pins.remove(&self.name);
            }
        }
    }
}

/// A running upload, and what it holds.
#[derive(Debug)]
pub(crate) struct Putting {
    artifacts: Arc<Artifacts>,
    /// `None` after the end.
    upload: Option<Upload>,
    _permit: OwnedSemaphorePermit,
}

impl Artifacts {
    /// The blobs of a store. Removes what earlier uploads have left, unless it is only read.
    ///
    /// # Errors
    /// The folder or the bucket cannot be listed or cleaned.
    pub(crate) fn open(
        settings: Settings,
        store: &Path,
        id: StoreId,
        is_read_only: bool,
    ) -> Result<Arc<Self>, ArtifactError> {
        let home = settings.place.home(store)?;
        let owner = Owner { store: id, place: settings.place.name(store) };
        Self::with_home(home, settings, owner, is_read_only)
    }

    fn with_home(
        home: Box<dyn Home>,
        settings: Settings,
        owner: Owner,
        is_read_only: bool,
    ) -> Result<Arc<Self>, ArtifactError> {
        if !is_read_only {
            home.probe()?;
        }
        let listed = home.list()?;
        if !is_read_only {
            // An empty place belongs to a store once a blob is uploaded.
            if !listed.is_empty() {
                owner.claim(&*home)?;
            }
            home.clean()?;
        }
        let now = Instant::now();
        let blobs = listed.into_iter().map(|(Blob { name, bytes }, age)| {
            (
                name,
                Entry { bytes, touched: now.checked_sub(age).unwrap_or(now), is_outdated: false },
            )
        });
        let blobs = blobs.collect();
        Ok(Arc::new(Self {
            home,
            settings,
            owner,
            is_read_only,
            table: Mutex::new(Table { blobs, ..Table::default() }),
            removed: Condvar::new(),
            puts: Arc::new(Semaphore::new(MAX_PUTS)),
            gets: Arc::new(Semaphore::new(MAX_GETS)),
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
        }))
    }

    /// How often [`Artifacts::collect`] is to be called.
    pub(crate) const fn collect_every(&self) -> Duration {
        self.settings.collect_every
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // Every change is one step, so a panic leaves no partial change.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those blobs that are not there, and where an upload of each continues. The grace period of
    /// the others begins again.
    pub(crate) fn find_missing(&self, blobs: &[Blob]) -> Vec<(BlobName, u64)> {
        let mut table = self.table();
        let mut missing = Vec::new();
        for Blob { name, .. } in blobs {
            table.touch(name);
            if !table.blobs.contains_key(name) {
                missing.push((*name, table.idle.get(name).map_or(0, Upload::offset)));
            }
        }
        missing
    }

    /// Ends the grace periods of blobs that nothing will refer to again. The next collection
    /// removes them, unless they are needed by something else.
    pub(crate) fn outdate(&self, names: &[BlobName]) {
        let mut table = self.table();
        for name in names {
            if let Some(entry) = table.blobs.get_mut(name) {
                entry.is_outdated = true;
            }
        }
    }

    /// Keeps a blob from being removed.
    ///
    /// # Errors
    /// It is not there, or has another size.
    pub(crate) fn pin(self: &Arc<Self>, blob: Blob) -> Result<Pin, ArtifactError> {
        let mut table = self.table();
        let entry = table.blobs.get(&blob.name).ok_or(ArtifactError::Missing(blob.name))?;
        if entry.bytes != blob.bytes {
            return Err(ArtifactError::Size { blob, found: entry.bytes });
        }
        Ok(self.pinned(&mut table, blob.name))
    }

    fn pinned(self: &Arc<Self>, table: &mut Table, name: BlobName) -> Pin {
        *table.pins.entry(name).or_default() += 1;
        Pin { artifacts: Arc::clone(self), name }
    }

    /// Waits until a blob is not being removed, and keeps it from being removed again. `None` if it
    /// is there.
    fn reserve(self: &Arc<Self>, name: BlobName) -> Option<Pin> {
        let mut table = self.table();
        while table.removing.contains(&name) {
            table = self.removed.wait(table).unwrap_or_else(PoisonError::into_inner);
        }
        let is_there = table.blobs.contains_key(&name);
        (!is_there).then(|| self.pinned(&mut table, name))
    }

    /// Begins an upload, or continues one at `offset`. `None` if the blob is there already.
    ///
    /// # Errors
    /// Too many uploads are running, the blob does not fit, or the upload cannot continue there.
    pub(crate) fn begin(
        self: &Arc<Self>,
        outline: Outline,
        offset: u64,
    ) -> Result<Option<Putting>, ArtifactError> {
        if self.is_read_only {
            return Err(ArtifactError::ReadOnly);
        }
        let Blob { name, bytes } = outline.blob();
        let permit = Arc::clone(&self.puts).try_acquire_owned();
        let permit = permit.map_err(|_| ArtifactError::Busy { limit: MAX_PUTS })?;
        if offset == 0 {
            self.owner.claim(&*self.home)?;
            let free = free_bytes(&self.home.partial()?)?;
            if free < bytes.saturating_add(RESERVE_BYTES) {
                return Err(ArtifactError::NoSpace { free, bytes });
            }
        }
        let mut table = self.table();
        table.touch(&name);
        if table.blobs.contains_key(&name) {
            return Ok(None);
        }
        // The size of another client's upload may be wrong.
        let earlier = table.idle.remove(&name).filter(|upload| upload.blob() == outline.blob());
        let upload = match earlier {
            Some(upload) if upload.offset() == offset => upload,
            Some(upload) if offset > 0 => {
                table.idle.insert(name, upload);
                return Err(ArtifactError::Offset { name, offset });
            }
            // The client begins again, and the interrupted upload is dropped.
            Some(_) | None if offset == 0 => {
                let (used, limit) = (table.used(), self.settings.limit.bytes());
                if used.saturating_add(bytes) > limit {
                    return Err(ArtifactError::Full { used, limit, bytes });
                }
                table.uploads += 1;
                Upload::new(&*self.home, outline, table.uploads)?
            }
            Some(_) | None => return Err(ArtifactError::Offset { name, offset }),
        };
        table.reserved += bytes;
        Ok(Some(Putting { artifacts: Arc::clone(self), upload: Some(upload), _permit: permit }))
    }

    /// Waits for the right to send a blob. Requests are served in the order of their arrival.
    pub(crate) async fn permission_to_send(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.gets).acquire_owned().await.ok()
    }

    /// The bytes of a blob and the hashes of its chunks.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub(crate) fn open_blob(
        &self,
        blob: Blob,
    ) -> Result<(Box<dyn Source + Send + Sync>, Outline), ArtifactError> {
        let source = self.home.open(&blob.name).map_err(|error| self.lost(error, blob.name))?;
        if source.bytes() != blob.bytes {
            return Err(ArtifactError::Size { blob, found: source.bytes() });
        }
        let kept = self.home.outline(&blob.name)?;
        let kept = kept.and_then(|hashes| Outline::from_bytes(blob, &hashes).ok());
        let outline = kept.map_or_else(|| Outline::of(&*source), Ok)?;
        if outline.blob() != blob {
            self.forget(&blob.name);
            let (found, expected) = (outline.blob().name, blob.name);
            return Err(caviar_blob::BlobError::OutlineHash { found, expected }.into());
        }
        Ok((source, outline))
    }

    /// One chunk of an open blob, verified. A damaged blob is removed, so that it can be uploaded
    /// again.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub(crate) fn read(
        &self,
        (source, outline): &(Box<dyn Source + Send + Sync>, Outline),
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, ArtifactError> {
        let bytes = source.chunk(offset, length)?.into_owned();
        if let Err(error) = outline.verify(offset, &bytes) {
            self.forget(&outline.blob().name);
            return Err(error.into());
        }
        Ok(bytes)
    }

    /// Counts bytes that were sent.
    pub(crate) fn count_sent(&self, bytes: usize) {
        self.sent.fetch_add(to_u64(bytes), Ordering::Relaxed);
    }

    /// The bytes of a blob as data, which may be mapped. They are not verified.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub(crate) fn data(&self, name: &BlobName) -> Result<Bytes, ArtifactError> {
        self.home.data(name).map_err(|error| self.lost(error, *name))
    }

    /// The error for a blob that cannot be opened. One whose file is gone can be uploaded again.
    fn lost(&self, error: io::Error, name: BlobName) -> ArtifactError {
        if error.kind() != io::ErrorKind::NotFound {
            return ArtifactError::Io(error);
        }
        self.table().blobs.remove(&name);
        ArtifactError::Missing(name)
    }

    /// Removes a blob whose bytes are wrong.
    pub(crate) fn forget(&self, name: &BlobName) {
        let mut table = self.table();
        if table.blobs.remove(name).is_none() {
            return;
        }
        table.removing.insert(*name);
        drop(table);
        tracing::error!("blob {name} is damaged and is removed");
        self.remove(name);
    }

    /// Removes blobs that are neither needed nor in their grace period, and old interrupted
    /// uploads. Returns how many blobs were removed.
    pub(crate) fn collect(&self, needed: &BTreeSet<BlobName>) -> usize {
        if self.is_read_only {
            return 0;
        }
        let again = self.take(|table| {
            let Table { blobs, pins, left, .. } = table;
            let is_free = |name: &BlobName| !blobs.contains_key(name) && !pins.contains_key(name);
            left.extract_if(.., is_free).collect()
        });
        let outdated = self.take(|table| {
            let Table { blobs, idle, pins, .. } = table;
            idle.retain(|_, upload| upload.touched.elapsed() < self.settings.partial_age);
            let is_outdated = |name: &BlobName, entry: &mut Entry| {
                let is_kept = needed.contains(name)
                    || pins.contains_key(name)
                    || (!entry.is_outdated && entry.touched.elapsed() < self.settings.grace);
                !is_kept
            };
            blobs.extract_if(.., is_outdated).map(|(name, _)| name).collect()
        });
        for name in again.iter().chain(&outdated) {
            if self.remove(name) {
                tracing::info!("blob {name} is not needed any more and is removed");
            }
        }
        outdated.len()
    }

    /// Takes blobs out of the table that [`Artifacts::remove`] then removes.
    fn take(&self, choose: impl FnOnce(&mut Table) -> Vec<BlobName>) -> Vec<BlobName> {
        let mut table = self.table();
        let names = choose(&mut table);
        table.removing.extend(&names);
        names
    }

    /// Removes the bytes of a blob that is among those being removed. False if it failed.
    fn remove(&self, name: &BlobName) -> bool {
        let removed = self.home.remove(name);
        let mut table = self.table();
        table.removing.remove(name);
        if let Err(error) = &removed {
            tracing::warn!("cannot remove blob {name} yet: {error}");
            table.left.insert(*name);
        }
        drop(table);
        self.removed.notify_all();
        removed.is_ok()
    }

    /// What is stored, and what was transferred since the start.
    pub(crate) fn usage(&self) -> Usage {
        let table = self.table();
        Usage {
            blobs: to_u64(table.blobs.len()),
            bytes: table.blobs.values().map(|entry| entry.bytes).sum(),
            sent: self.sent.load(Ordering::Relaxed),
            received: self.received.load(Ordering::Relaxed),
        }
    }
}

impl Putting {
    /// Verifies and writes the next chunk.
    ///
    /// # Errors
    /// It is damaged or not the next one, or it cannot be written.
    pub(crate) fn push(&mut self, offset: u64, bytes: &[u8]) -> Result<(), ArtifactError> {
        if let Some(upload) = &mut self.upload {
            upload.push(offset, bytes)?;
            self.artifacts.received.fetch_add(to_u64(bytes.len()), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Stores the complete blob durably under its name.
    ///
    /// # Errors
    /// Chunks are missing, or the file cannot be synced or renamed.
    pub(crate) fn finish(mut self) -> Result<(), ArtifactError> {
        let artifacts = Arc::clone(&self.artifacts);
        let Some(upload) = &mut self.upload else { return Ok(()) };
        if !upload.is_complete() {
            let (Blob { name, bytes }, found) = (upload.blob(), upload.offset());
            return Err(caviar_blob::BlobError::Short { name, found, expected: bytes }.into());
        }
        let Blob { name, bytes } = upload.blob();
        let Some(_pin) = artifacts.reserve(name) else { return Ok(()) };
        upload.finish(&*artifacts.home)?;
        let mut table = artifacts.table();
        table.left.remove(&name);
        table.blobs.insert(name, Entry { bytes, touched: Instant::now(), is_outdated: false });
        drop(table);
        Ok(())
    }
}

impl Drop for Putting {
    /// Keeps what has arrived, for the next upload of the same blob.
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        let Blob { name, bytes } = upload.blob();
        let mut table = self.artifacts.table();
        table.reserved = table.reserved.saturating_sub(bytes);
        let longest = table.idle.get(&name).map_or(0, Upload::offset);
        if upload.offset() > longest && !table.blobs.contains_key(&name) {
            table.idle.insert(name, upload);
        }
    }
}

#[cfg(test)]
mod tests;
