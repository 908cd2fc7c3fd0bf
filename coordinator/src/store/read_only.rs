//! Opening a database file that this process cannot write, or whose directory it cannot write.
//!
//! SQLite creates a write-ahead log next to a database even to read it, and takes a lock for which
//! the file must be writable. Neither is possible here, so a read-only connection goes without
//! both.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

const READ_ONLY: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_ONLY.union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// Opens the database at `path` for reading, and writes nothing, not even next to it. No other
/// process may have the database open: no lock would show it.
///
/// # Errors
/// The file cannot be read.
pub(super) fn open(path: &Path) -> rusqlite::Result<Connection> {
    if !has_log(path) {
        // An immutable database is read without locks and without a log.
        let flags = READ_ONLY.union(OpenFlags::SQLITE_OPEN_URI);
        return Connection::open_with_flags(immutable_uri(path), flags);
    }
    // A coordinator that was killed left commits in the log, which an immutable database would
    // ignore. Without locks and in exclusive mode, SQLite reads the log with an index in memory.
    let connection = Connection::open_with_flags_and_vfs(path, READ_ONLY, c"unix-none")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    Ok(connection)
}

/// True if the write-ahead log next to the database holds something.
fn has_log(path: &Path) -> bool {
    let mut log = OsString::from(path);
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

/// The URI by which SQLite opens `path` as a file that no process changes.
fn immutable_uri(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(char::from(*byte));
            }
            // Writing to a string never fails.
            _ => drop(write!(uri, "%{byte:02x}")),
        }
    }
    uri + "?mode=ro&immutable=1"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_survives_in_a_uri() {
        let uri = immutable_uri(Path::new("/a b/50%?#ü.db"));
        assert_eq!(uri, "file:/a%20b/50%25%3f%23%c3%bc.db?mode=ro&immutable=1");
    }
}
