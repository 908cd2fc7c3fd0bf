//! What the fuzz targets share.
//!
//! ```no_run
//! caviar_fuzz::run("npy", b"\x93NUMPY");
//! ```

#[path = "../../common/data/tests/support/exercise.rs"]
mod exercise;

use std::sync::LazyLock;

use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

/// Reads the content as a file of the reader with that name.
pub fn run(reader: &str, content: &[u8]) {
    exercise::reader(reader).exercise(FOLDER.path(), content);
}
