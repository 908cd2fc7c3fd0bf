//! The file next to a store that says where the coordinator of the store listens.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{fs, io};

use caviar_common::address::address_file;

/// The published file. Dropping it removes the file.
///
/// Only the process that holds the store publishes, so two never write at once. A process that was
/// killed leaves the file behind, and the next one replaces it: a reader must check that a
/// coordinator answers at the address.
#[derive(Debug)]
pub(crate) struct AddressFile {
    path: PathBuf,
    text: String,
}

impl AddressFile {
    /// Writes the address, which is a URL. A reader sees the whole text or none.
    pub(crate) fn publish(store: &Path, url: &str) -> io::Result<Self> {
        let (path, text) = (address_file(store), format!("{url}\n"));
        let mut new = OsString::from(&path);
        new.push(".new");
        fs::write(&new, &text)?;
        fs::rename(&new, &path)?;
        Ok(Self { path, text })
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // After a failure the store is released first, and the file may be the next holder's.
        if fs::read_to_string(&self.path).is_ok_and(|text| text == self.text) {
            // A file that cannot be removed misleads nobody who dials the address.
            let _removed = fs::remove_file(&self.path);
        }
    }
}
