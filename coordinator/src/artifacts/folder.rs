//! A folder of blobs.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use caviar_blob::{
    Blob, BlobName, FileSource, Outline, Source, new_private, private_folder, sync_folder,
};
use caviar_data::Bytes;

use super::home::Home;

/// A folder with the blobs in `blobs/`, uploads in `partial/`, and the identity of the store that
/// it belongs to in `store`. It is created when it is needed.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }

    fn blob(&self, name: &BlobName) -> PathBuf {
        self.blobs().join(name.to_string())
    }

    fn outline_file(&self, name: &BlobName) -> PathBuf {
        self.blobs().join(format!("{name}.outline"))
    }
}

impl Home for Folder {
    fn claim(&self, store: &str) -> io::Result<String> {
        private_folder(&self.path)?;
        let path = self.path.join("store");
        if !path.try_exists()? {
            // The file has its name once it is complete: another upload may read it at any moment.
            let mut file = tempfile::NamedTempFile::new_in(&self.path)?;
            file.write_all(store.as_bytes())?;
            file.as_file().sync_all()?;
            match file.persist_noclobber(&path) {
                Ok(_) => sync_folder(&self.path)?,
                Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(lost) => return Err(lost.error),
            }
        }
        Ok(fs::read_to_string(path)?.trim().to_owned())
    }

    fn probe(&self) -> io::Result<()> {
        // A folder is created when it is needed.
        Ok(())
    }

    fn partial(&self) -> io::Result<PathBuf> {
        let path = self.path.join("partial");
        private_folder(&path)?;
        Ok(path)
    }

    fn clean(&self) -> io::Result<()> {
        or_absent(fs::remove_dir_all(self.path.join("partial")), ())
    }

    fn accept(&self, outline: &Outline, file: &Path) -> io::Result<()> {
        let name = outline.blob().name;
        private_folder(&self.blobs())?;
        // The outline has its name first: a blob without one would be read to compute it.
        let mut unfinished = file.as_os_str().to_owned();
        unfinished.push(".outline");
        let mut hashes = new_private(Path::new(&unfinished))?;
        hashes.write_all(&outline.to_bytes())?;
        hashes.sync_all()?;
        fs::rename(&unfinished, self.outline_file(&name))?;
        fs::rename(file, self.blob(&name))?;
        sync_folder(&self.blobs())
    }

    fn open(&self, name: &BlobName) -> io::Result<Box<dyn Source + Send + Sync>> {
        Ok(Box::new(FileSource::new(File::open(self.blob(name))?)?))
    }

    fn outline(&self, name: &BlobName) -> io::Result<Option<Vec<u8>>> {
        or_absent(fs::read(self.outline_file(name)).map(Some), None)
    }

    fn data(&self, name: &BlobName) -> io::Result<Bytes> {
        Bytes::of_blob(&File::open(self.blob(name))?, &self.blobs())
    }

    fn list(&self) -> io::Result<Vec<(Blob, Duration)>> {
        let Some(entries) = or_absent(fs::read_dir(self.blobs()).map(Some), None)? else {
            return Ok(Vec::new());
        };
        let mut blobs = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
            if let Some(name) = name {
                let data = entry.metadata()?;
                // A time in the future, from a clock that was wrong, counts as now.
                let age = data.modified()?.elapsed().unwrap_or_default();
                blobs.push((Blob { name, bytes: data.len() }, age));
            }
        }
        Ok(blobs)
    }

    fn remove(&self, name: &BlobName) -> io::Result<()> {
        or_absent(fs::remove_file(self.blob(name)), ())?;
        or_absent(fs::remove_file(self.outline_file(name)), ())
    }
}

/// The result, or `absent` if the file does not exist.
pub(super) fn or_absent<T>(result: io::Result<T>, absent: T) -> io::Result<T> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(absent),
        other => other,
    }
}
