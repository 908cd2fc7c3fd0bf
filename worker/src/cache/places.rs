//! Where a worker keeps blobs, and where it finds them.

use std::env;
use std::path::PathBuf;

/// The folders with blobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobPlaces {
    /// The cache, which the workers of a host share; `None` to keep nothing on disk.
    pub cache: Option<PathBuf>,
    /// A folder with blobs by their names, which is only read, such as `STORE.artifacts/blobs` on a
    /// file system that all hosts share.
    pub folder: Option<PathBuf>,
}

impl BlobPlaces {
    /// The usual cache: `$XDG_CACHE_HOME/caviar`, or `~/.cache/caviar`. `None` without a home.
    pub fn default_cache() -> Option<PathBuf> {
        let absolute = |path: PathBuf| path.is_absolute().then_some(path);
        let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).and_then(absolute);
        let base = base.or_else(|| Some(absolute(env::home_dir()?)?.join(".cache")));
        base.map(|base| base.join("caviar"))
    }
}
