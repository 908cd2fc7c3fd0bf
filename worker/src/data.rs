//! The data sets of the running trials. Each is read once and shared by all slots.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caviar_common::blob::Blob;
use caviar_common::data::DataSpec;
use caviar_data::{BlockError, Bytes, DataError, Dataset, Splits, load, split};
use caviar_nn::data_bytes;

use crate::cache::{Blobs, FetchError};
use crate::control::Flags;

/// Most data sets that the cache keeps when no trial uses them. A data set in use always stays, so
/// that it is not read a second time.
const MAX_CACHED: usize = 4;

/// Largest file at `data.source` that is read although the coordinator has its block, so that a
/// small sweep needs no download. Parsing it takes a few seconds of one core at most. A larger file
/// is parsed only if the block cannot be fetched.
const QUICK_BYTES: u64 = 64 << 20;

/// Why a worker cannot get the data of a trial.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// The source cannot be read on this worker.
    #[error("this worker cannot read the data: {0}")]
    Data(Box<DataError>),
    /// The source contains other data than the coordinator read for the sweep.
    #[error(
        "data.source {source_name:?} differs from the data that the coordinator read: \
         its digest on this worker is {found}, expected {expected}"
    )]
    Differs {
        /// `data.source` of the sweep.
        source_name: String,
        /// The digest of the data on this worker.
        found: String,
        /// The digest that the coordinator computed.
        expected: String,
    },
    /// The data can neither be fetched nor read at its path.
    #[error(
        "this worker cannot fetch the data from the coordinator: {fetch}; and at its path: {path}"
    )]
    Fetch {
        /// Why it cannot be fetched.
        fetch: FetchError,
        /// Why it cannot be read.
        path: Box<LoadError>,
    },
    /// The block that the coordinator keeps is not that of the sweep.
    #[error("the block of the data: {0}")]
    Block(#[from] BlockError),
    /// The trial was stopped while its data was fetched.
    #[error("stopped")]
    Stopped,
}

impl From<DataError> for LoadError {
    fn from(error: DataError) -> Self {
        Self::Data(Box::new(error))
    }
}

/// Identifies one data set. The digest is part of the key because a file may be replaced while the
/// worker runs.
#[derive(Clone, Copy)]
pub(crate) struct DataKey<'a> {
    pub(crate) data: &'a DataSpec,
    /// The sweep's seed, which determines the split.
    pub(crate) seed: u64,
    pub(crate) digest: &'a str,
    /// The data as the coordinator keeps it; `None` if it exists only at its path. The digest
    /// already tells whether two data sets are the same.
    pub(crate) block: Option<Blob>,
}

#[derive(Debug)]
struct Entry {
    data: DataSpec,
    seed: u64,
    digest: String,
    /// Locked while one slot reads the data. Slots that need the same data wait for that slot.
    cell: Arc<Mutex<Option<Arc<Splits>>>>,
}

impl Entry {
    fn new(key: DataKey<'_>) -> Self {
        Self {
            data: key.data.clone(),
            seed: key.seed,
            digest: key.digest.to_owned(),
            cell: Arc::default(),
        }
    }

    fn matches(&self, key: DataKey<'_>) -> bool {
        self.seed == key.seed && self.digest == key.digest && self.data == *key.data
    }

    /// Whether a slot reads the data now or a trial uses it.
    fn is_used(&self) -> bool {
        Arc::strong_count(&self.cell) > 1
            || lock(&self.cell).as_ref().is_some_and(|splits| Arc::strong_count(splits) > 1)
    }
}

/// The data sets in use and the last few that were used.
#[derive(Debug, Default)]
pub(crate) struct DataCache {
    /// The most recently used entry first.
    entries: Mutex<Vec<Entry>>,
    /// Where blocks come from; `None` to read all data at its path.
    blobs: Option<Blobs>,
}

impl DataCache {
    pub(crate) fn with_blobs(blobs: Option<Blobs>) -> Self {
        Self { entries: Mutex::default(), blobs }
    }

    /// The splits of the data. Reads them unless another slot has read them already.
    ///
    /// # Errors
    /// The data cannot be read, or differs from the coordinator's, or the trial was stopped
    /// first. Errors are not cached: the next trial tries again.
    pub(crate) fn get(&self, key: DataKey<'_>, flags: &Flags) -> Result<Arc<Splits>, LoadError> {
        let cell = self.cell(key);
        let mut cell = flags.while_waiting(|| lock(&cell));
        if let Some(splits) = &*cell {
            return Ok(Arc::clone(splits));
        }
        let splits = split(&self.dataset(key, flags)?, key.data, key.seed)?;
        Ok(Arc::clone(cell.insert(Arc::new(splits))))
    }

    /// The data: from this host's cache, from a small file at its path, from the coordinator, or
    /// from any file at its path.
    fn dataset(&self, key: DataKey<'_>, flags: &Flags) -> Result<Dataset, LoadError> {
        let (Some(block), Some(blobs)) = (key.block, &self.blobs) else { return at_path(key) };
        if let Some(bytes) = blobs.find(block) {
            return of_block(key, bytes);
        }
        if is_quick(key.data)
            && let Ok(dataset) = at_path(key)
        {
            return Ok(dataset);
        }
        match flags.while_waiting(|| blobs.get(block, flags.stopped())) {
            Ok(bytes) => of_block(key, bytes),
            Err(FetchError::Stopped) => Err(LoadError::Stopped),
            Err(fetch) => {
                at_path(key).map_err(|path| LoadError::Fetch { fetch, path: Box::new(path) })
            }
        }
    }

    /// Bytes of all cached data sets. Blocks while a data set is being read.
    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.entries)
            .iter()
            .filter_map(|entry| lock(&entry.cell).as_deref().map(data_bytes))
            .sum()
    }

    /// Drops every data set that no trial uses.
    pub(crate) fn drop_unused(&self) {
        lock(&self.entries).retain(Entry::is_used);
    }

    /// Moves the entry of the data set to the front, or adds an empty one, and returns its cell.
    fn cell(&self, key: DataKey<'_>) -> Arc<Mutex<Option<Arc<Splits>>>> {
        let mut entries = lock(&self.entries);
        let known = entries.iter().position(|entry| entry.matches(key));
        let entry = known.map_or_else(|| Entry::new(key), |index| entries.remove(index));
        let cell = Arc::clone(&entry.cell);
        entries.insert(0, entry);
        let mut position = 0;
        entries.retain(|entry| {
            position += 1;
            position <= MAX_CACHED || entry.is_used()
        });
        cell
    }
}

/// Whether a file at the path is read sooner than its block is fetched.
fn is_quick(data: &DataSpec) -> bool {
    let size = |path: &str| std::fs::metadata(path).map(|file| file.len());
    data.source.starts_with("builtin:")
        || size(&data.source).is_ok_and(|bytes| bytes <= QUICK_BYTES)
}

fn at_path(key: DataKey<'_>) -> Result<Dataset, LoadError> {
    checked(key, load(key.data)?)
}

fn of_block(key: DataKey<'_>, bytes: Bytes) -> Result<Dataset, LoadError> {
    checked(key, Dataset::from_block(bytes)?)
}

/// The data if it is that of the sweep.
fn checked(key: DataKey<'_>, dataset: Dataset) -> Result<Dataset, LoadError> {
    if dataset.digest() == key.digest {
        return Ok(dataset);
    }
    Err(LoadError::Differs {
        source_name: key.data.source.clone(),
        found: dataset.digest().to_owned(),
        expected: key.digest.to_owned(),
    })
}

/// Locks a mutex even if it is poisoned. A slot that panicked left no partial change: a cell either
/// has data or is empty.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use caviar_data::prepare;

    use super::*;

    static RUNNING: Flags = Flags::new(false);

    fn digits(validation: f64) -> DataSpec {
        DataSpec {
            source: "builtin:digits".to_owned(),
            task: Some(caviar_common::data::Task::Classification),
            validation,
            test: 0.1,
            ..DataSpec::default()
        }
    }

    #[test]
    fn slots_that_need_the_same_data_at_the_same_time_read_it_once() {
        let data = digits(0.2);
        let digest = prepare(&data, 7).unwrap().1.digest;
        let key = DataKey { data: &data, seed: 7, digest: &digest, block: None };
        let cache = DataCache::default();
        let all: Vec<Arc<Splits>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| cache.get(key, &RUNNING).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|splits| Arc::ptr_eq(splits, &all[0])));
        let other = cache.get(DataKey { seed: 8, ..key }, &RUNNING).unwrap();
        assert!(!Arc::ptr_eq(&other, &all[0]));
    }

    #[test]
    fn data_that_differs_is_refused_by_name_and_the_error_is_not_cached() {
        let data = digits(0.2);
        let cache = DataCache::default();
        let key = DataKey { data: &data, seed: 7, digest: "0123", block: None };
        let error = cache.get(key, &RUNNING).unwrap_err();
        assert!(
            error.to_string().starts_with(
                "data.source \"builtin:digits\" differs from the data that the coordinator read"
            ),
            "{error}"
        );
        let absent = DataSpec { source: "/nowhere/at-all.csv".to_owned(), ..data.clone() };
        let error = cache.get(DataKey { data: &absent, ..key }, &RUNNING).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at-all.csv"), "{error}");
    }

    #[test]
    fn data_in_use_is_never_read_again_however_much_other_data_is_read() {
        let data = digits(0.2);
        let digest = prepare(&data, 0).unwrap().1.digest;
        let cache = DataCache::default();
        let get = |seed| {
            let key = DataKey { data: &data, seed, digest: &digest, block: None };
            cache.get(key, &RUNNING).unwrap()
        };
        let used: Vec<Arc<Splits>> = (0..6).map(get).collect();
        assert!(used.iter().zip(0..).all(|(splits, seed)| Arc::ptr_eq(splits, &get(seed))));
        assert_eq!(cache.bytes(), used.iter().map(|splits| data_bytes(splits)).sum::<u64>());
        drop(used);
        let last = get(9);
        assert_eq!(lock(&cache.entries).len(), MAX_CACHED);
        cache.drop_unused();
        assert_eq!(cache.bytes(), data_bytes(&last));
    }

    #[test]
    fn a_block_is_the_data_where_no_file_is_at_its_path() {
        use caviar_blob::{Outline, Source};
        use caviar_data::BlockSource;

        use crate::cache::{BlobPlaces, Fetcher};

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own.csv");
        let rows: String =
            (0..40).map(|i| format!("{}.5,{}\n", i % 9, ["a", "b"][i % 2])).collect();
        std::fs::write(&path, format!("x,k\n{rows}")).unwrap();
        let source = path.to_str().unwrap().to_owned();
        let data = DataSpec { source, label: Some("k".to_owned()), ..digits(0.2) };
        let (splits, summary) = prepare(&data, 7).unwrap();
        let dataset = load(&data).unwrap();
        let source = BlockSource::new(&dataset).unwrap();
        let block = Outline::of(&source).unwrap().blob();
        let bytes = source.chunk(0, usize::try_from(block.bytes).unwrap()).unwrap();
        std::fs::write(folder.path().join(block.name.to_string()), bytes).unwrap();
        std::fs::remove_file(&path).unwrap();

        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _inside = runtime.enter();
        let target = caviar_client::Target::plain("http://127.0.0.1:1").unwrap();
        let dialer = caviar_client::Dialer::new(target, None).unwrap();
        let places = BlobPlaces { cache: None, folder: Some(folder.path().to_owned()) };
        let blobs = Blobs::new(places, Fetcher::new(dialer.into()));
        let cache = DataCache::with_blobs(Some(blobs));
        let key = DataKey { data: &data, seed: 7, digest: &summary.digest, block: Some(block) };
        assert_eq!(*cache.get(key, &RUNNING).unwrap(), splits);
        let error = cache.get(DataKey { digest: "0123", ..key }, &RUNNING).unwrap_err();
        assert!(matches!(error, LoadError::Differs { .. }), "{error}");
        let by_path = DataKey { block: None, seed: 8, ..key };
        assert!(matches!(cache.get(by_path, &RUNNING), Err(LoadError::Data(_))));
    }

    #[test]
    fn the_cache_keeps_a_limited_number_of_data_sets() {
        let cache = DataCache::default();
        for tenths in 1..=9u32 {
            let data = digits(f64::from(tenths) / 10.0);
            cache.cell(DataKey { data: &data, seed: 7, digest: "", block: None });
        }
        assert_eq!(lock(&cache.entries).len(), MAX_CACHED);
    }
}
