//! The data of the sweeps in work, read once and shared by all slots.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use caviar_common::data::DataSpec;
use caviar_data::Splits;
use caviar_data::{DataError, prepare};
use caviar_nn::data_bytes;

/// Data sets that stay in memory between two trials. What a trial uses stays in any case, so that
/// it is never read twice.
const MAX_CACHED: usize = 4;

/// Why there is no data to train on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    /// It cannot be read here.
    #[error("the data cannot be read here: {0}")]
    Data(#[from] DataError),
    /// It is other data than the sweep's.
    #[error(
        "data.source {source_name:?} differs from what the coordinator read: its digest here is {found}, the sweep's is {expected}"
    )]
    Differs {
        /// Where it was read.
        source_name: String,
        /// Its digest.
        found: String,
        /// The digest it must have.
        expected: String,
    },
}

/// What names one data set. The digest is part of it: a file may be replaced while the worker
/// lives.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) data: &'a DataSpec,
    pub(crate) seed: u64,
    pub(crate) digest: &'a str,
}

#[derive(Debug)]
struct Entry {
    data: DataSpec,
    seed: u64,
    digest: String,
    /// Locked while it is read, so that slots that want the same data wait for the one that reads
    /// it.
    cell: Arc<Mutex<Option<Arc<Splits>>>>,
}

impl Entry {
    fn new(wanted: Wanted<'_>) -> Self {
        Self {
            data: wanted.data.clone(),
            seed: wanted.seed,
            digest: wanted.digest.to_owned(),
            cell: Arc::default(),
        }
    }

    fn is(&self, wanted: Wanted<'_>) -> bool {
        self.seed == wanted.seed && self.digest == wanted.digest && self.data == *wanted.data
    }

    /// Whether it is being read, or a trial has it.
    fn is_used(&self) -> bool {
        Arc::strong_count(&self.cell) > 1
            || lock(&self.cell).as_ref().is_some_and(|splits| Arc::strong_count(splits) > 1)
    }
}

/// The data sets that were used last.
#[derive(Debug, Default)]
pub(crate) struct DataCache {
    /// The latest used first.
    entries: Mutex<Vec<Entry>>,
}

impl DataCache {
    /// The splits of the data, read if no slot has read them yet. A failure is not remembered: the
    /// next trial tries again.
    pub(crate) fn get(&self, wanted: Wanted<'_>) -> Result<Arc<Splits>, LoadError> {
        let cell = self.cell(wanted);
        let mut cell = lock(&cell);
        if let Some(splits) = &*cell {
            return Ok(Arc::clone(splits));
        }
        let (splits, summary) = prepare(wanted.data, wanted.seed)?;
        if summary.digest != wanted.digest {
            let source_name = wanted.data.source.clone();
            return Err(LoadError::Differs {
                source_name,
                found: summary.digest,
                expected: wanted.digest.to_owned(),
            });
        }
        Ok(Arc::clone(cell.insert(Arc::new(splits))))
    }

    /// Bytes of all data that is here. Waits for data that is being read.
    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.entries)
            .iter()
            .filter_map(|entry| lock(&entry.cell).as_deref().map(data_bytes))
            .sum()
    }

    /// Drops what no trial has.
    pub(crate) fn forget_unused(&self) {
        lock(&self.entries).retain(Entry::is_used);
    }

    fn cell(&self, wanted: Wanted<'_>) -> Arc<Mutex<Option<Arc<Splits>>>> {
        let mut entries = lock(&self.entries);
        let known = entries.iter().position(|entry| entry.is(wanted));
        let entry = known.map_or_else(|| Entry::new(wanted), |index| entries.remove(index));
        let cell = Arc::clone(&entry.cell);
        entries.insert(0, entry);
        let mut place = 0;
        entries.retain(|entry| {
            place += 1;
            place <= MAX_CACHED || entry.is_used()
        });
        cell
    }
}

/// A slot that panicked while it held the lock left nothing half-done: there is data, or there is
/// none.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(validation: f64) -> DataSpec {
        DataSpec {
            source: "builtin:digits".to_owned(),
            label: None,
            labels: None,
            task: caviar_common::data::Task::Classification,
            validation,
            test: 0.1,
        }
    }

    #[test]
    fn the_same_data_is_read_once_even_at_the_same_time() {
        let data = digits(0.2);
        let digest = prepare(&data, 7).unwrap().1.digest;
        let wanted = Wanted { data: &data, seed: 7, digest: &digest };
        let cache = DataCache::default();
        let all: Vec<Arc<Splits>> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| cache.get(wanted).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.iter().all(|splits| Arc::ptr_eq(splits, &all[0])));
        let other = cache.get(Wanted { seed: 8, ..wanted }).unwrap();
        assert!(!Arc::ptr_eq(&other, &all[0]));
    }

    #[test]
    fn other_data_is_refused_by_name_and_not_remembered() {
        let data = digits(0.2);
        let cache = DataCache::default();
        let error = cache.get(Wanted { data: &data, seed: 7, digest: "0123" }).unwrap_err();
        assert!(
            error.to_string().starts_with(
                "data.source \"builtin:digits\" differs from what the coordinator read"
            ),
            "{error}"
        );
        let absent = DataSpec { source: "/nowhere/at-all.csv".to_owned(), ..data };
        let error = cache.get(Wanted { data: &absent, seed: 7, digest: "0123" }).unwrap_err();
        assert!(error.to_string().contains("/nowhere/at-all.csv"), "{error}");
    }

    #[test]
    fn what_is_used_is_never_read_again_however_much_else_is() {
        let data = digits(0.2);
        let digest = prepare(&data, 0).unwrap().1.digest;
        let cache = DataCache::default();
        let get = |seed| cache.get(Wanted { data: &data, seed, digest: &digest }).unwrap();
        let used: Vec<Arc<Splits>> = (0..6).map(get).collect();
        assert!(used.iter().zip(0..).all(|(splits, seed)| Arc::ptr_eq(splits, &get(seed))));
        assert_eq!(cache.bytes(), used.iter().map(|splits| data_bytes(splits)).sum::<u64>());
        drop(used);
        let last = get(9);
        assert_eq!(lock(&cache.entries).len(), MAX_CACHED);
        cache.forget_unused();
        assert_eq!(cache.bytes(), data_bytes(&last));
    }

    #[test]
    fn the_cache_is_bounded() {
        let cache = DataCache::default();
        for tenths in 1..=9u32 {
            cache.cell(Wanted { data: &digits(f64::from(tenths) / 10.0), seed: 7, digest: "" });
        }
        assert_eq!(lock(&cache.entries).len(), MAX_CACHED);
    }
}
