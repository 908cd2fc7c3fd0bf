//! How much a cache may take, and what is removed from it first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytesize::ByteSize;
use caviar_blob::{BlobName, free_bytes};

/// Most bytes of a cache.
const MAX_CACHE_BYTES: u64 = 10_000_000_000;
/// The share of the free space that a cache takes, in per cent. What it has already counts as free.
const SHARE_PERCENT: u64 = 20;
/// How long a temporary file must be untouched before it is removed. Owners touch theirs every few
/// seconds.
const STALE: Duration = Duration::from_secs(600);

/// A file of the cache.
struct Entry {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
    is_blob: bool,
}

/// The space of a cache, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) used: u64,
    pub(super) free: u64,
    /// What its files may take together.
    pub(super) limit: u64,
}

/// The space that a cache has now.
///
/// # Errors
/// The folder cannot be read.
pub(super) fn space(folder: &Path) -> io::Result<Space> {
    let used = entries(folder)?.iter().map(|entry| entry.bytes).sum();
    let free = free_bytes(folder)?;
    Ok(Space { used, free, limit: limit(free, used) })
}

/// Removes what was used least recently until `bytes` more fit.
///
/// # Errors
/// They would not fit into an empty cache, or the folder cannot be read.
pub(super) fn make_room(folder: &Path, bytes: u64) -> io::Result<()> {
    let mut entries = entries(folder)?;
    let now = SystemTime::now();
    let is_stale = |entry: &Entry| {
        !entry.is_blob && now.duration_since(entry.used).is_ok_and(|age| age > STALE)
    };
    let (stale, kept): (Vec<_>, Vec<_>) = entries.drain(..).partition(is_stale);
    stale.iter().for_each(remove);
    let used = kept.iter().map(|entry| entry.bytes).sum();
    let limit = limit(free_bytes(folder)?, used);
    if bytes > limit {
        return Err(io::Error::new(
            io::ErrorKind::StorageFull,
            format!("the cache {} may take {}", folder.display(), ByteSize(limit)),
        ));
    }
    evict(kept, used.saturating_add(bytes).saturating_sub(limit));
    Ok(())
}

/// What a cache may take that takes `used` bytes now.
fn limit(free: u64, used: u64) -> u64 {
    (free.saturating_add(used) / 100).saturating_mul(SHARE_PERCENT).min(MAX_CACHE_BYTES)
}

/// Removes blobs, those that were used least recently first, until `excess` bytes are free.
fn evict(mut entries: Vec<Entry>, mut excess: u64) {
    entries.retain(|entry| entry.is_blob);
    entries.sort_by(|a, b| (a.used, &a.path).cmp(&(b.used, &b.path)));
    for entry in entries {
        if excess == 0 {
            return;
        }
        remove(&entry);
        excess = excess.saturating_sub(entry.bytes);
    }
}

fn remove(entry: &Entry) {
    // Another worker may have removed it.
    let _gone = fs::remove_file(&entry.path);
    tracing::debug!("removed from the cache: {}", entry.path.display());
}

/// The files of a cache. Others in the same folder do not count, and are never removed.
fn entries(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some((blob, rest)) = name.to_str().and_then(|name| name.split_at_checked(64)) else {
            continue;
        };
        let is_temporary = rest.starts_with(".part.") || rest.starts_with(".claim.");
        if blob.parse::<BlobName>().is_err() || !(rest.is_empty() || is_temporary) {
            continue;
        }
        // A file that has vanished by now takes no space.
        let Ok(data) = entry.metadata() else { continue };
        let (bytes, used) = (data.len(), data.modified()?);
        entries.push(Entry { path: entry.path(), bytes, used, is_blob: rest.is_empty() });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const GB: u64 = 1_000_000_000;

    #[test]
    fn a_cache_takes_a_fifth_of_the_free_space_and_ten_gigabytes_at_most() {
        assert_eq!(limit(1_000 * GB, 0), 10 * GB);
        assert_eq!(limit(10 * GB, 0), 2 * GB);
        assert_eq!(limit(8 * GB, 2 * GB), 2 * GB, "it does not shrink as it fills");
        assert_eq!(limit(0, 0), 0);
    }

    #[test]
    fn the_least_recently_used_goes_first_and_stale_temporary_files_always() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let file = |name: &str, age: u64| {
            let path = folder.path().join(name);
            let file = File::create(&path).unwrap();
            file.set_len(100).unwrap();
            file.set_modified(now - Duration::from_secs(age)).unwrap();
            path
        };
        let blob = |digit: &str| digit.repeat(64);
        let oldest = file(&blob("a"), 5_000);
        let newer = file(&blob("b"), 50);
        let newest = file(&blob("c"), 5);
        let stale = file(&format!("{}.part.3", blob("d")), 700);
        let running = file(&format!("{}.part.1", blob("e")), 1);
        let foreign = file("thesis.tex", 100_000);
        make_room(folder.path(), 1).unwrap();
        assert!(!stale.exists() && running.exists() && oldest.exists());

        let found = entries(folder.path()).unwrap();
        assert_eq!(found.iter().map(|entry| entry.bytes).sum::<u64>(), 400);
        evict(found, 101);
        assert!(!oldest.exists() && !newer.exists() && newest.exists());
        assert!(running.exists() && foreign.exists());
        let error = make_room(folder.path(), MAX_CACHE_BYTES + 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
