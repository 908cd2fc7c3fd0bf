//! Where the store and the data set of the benchmark are.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::load::data;
use crate::failure::Failure;

/// A temporary folder on a disk, and the store. Dropping it removes the folder, and with it the
/// store unless the user has named another place.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    store: PathBuf,
}

impl Folder {
    /// Makes the folder with the data set. `store` is the user's place for the store, where no file
    /// may be yet.
    pub(crate) fn create(store: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(store) = store.filter(|store| store.exists()) {
            let message = format!("{} exists already", store.display());
            return Err(Failure::hinted(message, "name a new file: --store FILE")
                .in_input()
                .into());
        }
        let path = parent()?.join(format!("caviar-bench-{}", std::process::id()));
        // One that is there is from a killed process that had the same number.
        let _missing = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).with_context(|| format!("creating {}", path.display()))?;
        let store = store.map_or_else(|| path.join("bench.db"), Path::to_owned);
        let folder = Self { path, store };
        std::fs::write(folder.data(), data()).context("writing the data set")?;
        Ok(folder)
    }

    /// The store.
    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    /// The data set of all sweeps.
    pub(crate) fn data(&self) -> PathBuf {
        self.path.join("data.csv")
    }

    /// Where the coordinator leaves the join strings of its user.
    pub(crate) fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    /// Bytes of the store: its file and the files next to it whose names begin like its own. Memory
    /// that processes share is not stored.
    pub(crate) fn store_bytes(&self) -> u64 {
        let Some(name) = self.store.file_name() else { return 0 };
        let name = name.to_string_lossy().into_owned();
        let folder = self.store.parent().filter(|folder| !folder.as_os_str().is_empty());
        let Ok(entries) = std::fs::read_dir(folder.unwrap_or(Path::new("."))) else { return 0 };
        let stored = entries.filter_map(Result::ok).filter(|entry| {
            let entry = entry.file_name().to_string_lossy().into_owned();
            entry.starts_with(&name) && !entry.ends_with("-shm")
        });
        stored.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A folder that cannot be removed is left for the system's own cleaning.
        let _removed = std::fs::remove_dir_all(&self.path);
    }
}

/// The usual temporary folder, or if it is in memory the next one that is on a disk.
fn parent() -> Result<PathBuf, Failure> {
    let folders = [std::env::temp_dir(), PathBuf::from("/var/tmp"), PathBuf::from(".")];
    folders.into_iter().find(|folder| folder.is_dir() && !is_in_memory(folder)).ok_or_else(|| {
        let message = "every temporary folder is in memory, where nothing is synced to a disk";
        Failure::hinted(message, "name a folder on a disk with the variable TMPDIR").in_input()
    })
}

#[cfg(target_os = "linux")]
fn is_in_memory(folder: &Path) -> bool {
    use nix::sys::statfs::{TMPFS_MAGIC, statfs};
    statfs(folder).is_ok_and(|system| system.filesystem_type() == TMPFS_MAGIC)
}

/// Only Linux has a temporary folder in memory by default.
#[cfg(not(target_os = "linux"))]
fn is_in_memory(_folder: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_is_removed_and_a_store_elsewhere_stays() {
        let elsewhere = tempfile::tempdir().unwrap();
        let store = elsewhere.path().join("a.db");
        let folder = Folder::create(Some(&store)).unwrap();
        assert!(folder.data().is_file());
        for (name, bytes) in [("a.db", 100), ("a.db-wal", 20), ("a.db-shm", 7), ("b.db", 3)] {
            std::fs::write(elsewhere.path().join(name), vec![0; bytes]).unwrap();
        }
        assert_eq!(folder.store_bytes(), 120);
        let path = folder.path.clone();
        drop(folder);
        assert!(!path.exists());
        assert!(store.exists());
        assert!(Folder::create(Some(&store)).unwrap_err().to_string().contains("exists already"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn shared_memory_is_in_memory() {
        assert!(is_in_memory(Path::new("/dev/shm")));
        assert!(!is_in_memory(Path::new("/proc")));
    }
}
