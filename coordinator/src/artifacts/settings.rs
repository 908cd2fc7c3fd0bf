//! Where blobs are kept, and for how long.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;

#[cfg(feature = "object-store")]
use super::bucket::{Address, Bucket};
use super::folder::Folder;
use super::home::Home;

/// The settings of the blobs of a coordinator.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where they are kept.
    pub place: Place,
    /// What all blobs together may take.
    pub limit: SizeLimit,
    /// How long a blob that no sweep refers to is kept.
    pub grace: Duration,
    /// How long an interrupted upload can be continued.
    pub partial_age: Duration,
    /// How often blobs are looked at that may have to be removed.
    pub collect_every: Duration,
}

impl Default for Settings {
    /// Next to the store, at most 64 GiB, with an hour of grace.
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3_600);
        Self {
            place: Place::NextToStore,
            limit: SizeLimit::default(),
            grace: HOUR,
            partial_age: HOUR,
            collect_every: Duration::from_secs(60),
        }
    }
}

/// Where blobs are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the folder `STORE.artifacts`.
    NextToStore,
    /// In this folder, which no other coordinator may use.
    Folder(PathBuf),
    /// In this bucket of an object store. No other coordinator may use the same prefix.
    #[cfg(feature = "object-store")]
    Bucket(Address),
}

impl Place {
    /// The folder, for the store at this path. Its blobs are in `blobs/`, unless they are in a
    /// bucket. It also has the uploads that are not complete.
    pub fn folder(&self, store: &Path) -> PathBuf {
        let next_to_store = || {
            let mut name = OsString::from(store);
            name.push(".artifacts");
            PathBuf::from(name)
        };
        match self {
            Self::NextToStore => next_to_store(),
            Self::Folder(path) => path.clone(),
            #[cfg(feature = "object-store")]
            Self::Bucket(_) => next_to_store(),
        }
    }

    /// The folder or the address of the bucket, for messages.
    pub(super) fn name(&self, store: &Path) -> String {
        match self {
            Self::NextToStore | Self::Folder(_) => self.folder(store).display().to_string(),
            #[cfg(feature = "object-store")]
            Self::Bucket(address) => address.to_string(),
        }
    }

    /// # Errors
    /// The environment lacks what is needed to reach a bucket.
    pub(super) fn home(&self, store: &Path) -> io::Result<Box<dyn Home>> {
        let folder = self.folder(store);
        match self {
            Self::NextToStore | Self::Folder(_) => Ok(Box::new(Folder::new(folder))),
            #[cfg(feature = "object-store")]
            Self::Bucket(address) => Ok(Box::new(Bucket::connect(address, folder)?)),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("expected the path of a folder".to_owned());
        }
        if text.contains("://") {
            return bucket(text);
        }
        Ok(Self::Folder(PathBuf::from(text)))
    }
}

#[cfg(feature = "object-store")]
fn bucket(text: &str) -> Result<Place, String> {
    text.parse().map(Place::Bucket)
}

#[cfg(not(feature = "object-store"))]
fn bucket(text: &str) -> Result<Place, String> {
    let (scheme, _) = text.split_once("://").unwrap_or((text, ""));
    Err(match scheme {
        "s3" | "gs" | "az" => format!(
            "{scheme}:// is not supported, because this program was built without object stores: \
             expected the path of a folder; or build with --features object-store"
        ),
        _ => format!("{scheme}:// is not supported: expected the path of a folder"),
    })
}

/// A number of bytes that blobs may take together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeLimit(ByteSize);

/// The text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number and its unit, at least 1MiB, such as 64GiB or 500GB")]
pub struct BadLimit;

impl SizeLimit {
    /// The limit in bytes.
    pub const fn bytes(self) -> u64 {
        self.0.as_u64()
    }
}

impl Default for SizeLimit {
    fn default() -> Self {
        Self(ByteSize::gib(64))
    }
}

impl FromStr for SizeLimit {
    type Err = BadLimit;

    fn from_str(text: &str) -> Result<Self, BadLimit> {
        let size: ByteSize = text.trim().parse().map_err(|_| BadLimit)?;
        if size < ByteSize::mib(1) { Err(BadLimit) } else { Ok(Self(size)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_next_to_the_store_or_a_folder() {
        let store = Path::new("/a/caviar.db");
        assert_eq!(Place::NextToStore.folder(store), Path::new("/a/caviar.db.artifacts"));
        assert_eq!("/b".parse::<Place>().unwrap().folder(store), Path::new("/b"));
        assert!("".parse::<Place>().is_err());
        let error = "ftp://host/x".parse::<Place>().unwrap_err();
        assert!(error.starts_with("ftp:// is not supported: expected the path"), "{error}");
    }

    #[cfg(not(feature = "object-store"))]
    #[test]
    fn a_build_without_object_stores_names_the_feature() {
        for text in ["s3://bucket/x", "gs://bucket/x", "az://bucket/x"] {
            let error = text.parse::<Place>().unwrap_err();
            assert!(error.contains("build with --features object-store"), "{error}");
        }
    }

    #[cfg(feature = "object-store")]
    #[test]
    fn uploads_to_a_bucket_arrive_next_to_the_store() {
        let place = "s3://bucket/x".parse::<Place>().unwrap();
        assert!(matches!(place, Place::Bucket(_)));
        assert_eq!(place.folder(Path::new("/a/caviar.db")), Path::new("/a/caviar.db.artifacts"));
    }

    #[test]
    fn a_limit_has_a_unit() {
        assert_eq!("2GiB".parse::<SizeLimit>().unwrap().bytes(), 2 << 30);
        for wrong in ["", "5", "many"] {
            assert_eq!(wrong.parse::<SizeLimit>(), Err(BadLimit), "{wrong:?}");
        }
    }
}
