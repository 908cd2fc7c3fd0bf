//! The user whose programs a test starts.

use std::path::Path;
use std::sync::OnceLock;

/// The user's folder, in which coordinators leave their join strings. It is that of this process.
pub fn home() -> &'static Path {
    static HOME: OnceLock<tempfile::TempDir> = OnceLock::new();
    HOME.get_or_init(|| tempfile::tempdir().expect("a temporary folder")).path()
}
