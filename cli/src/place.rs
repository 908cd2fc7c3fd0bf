//! Where a command reads from: a coordinator or a store.
//!
//! What the command line names comes first, then the environment. If neither names anything, the
//! store in this folder that was written last is read, so that `caviar best digits` works after
//! `caviar run digits.toml`. In a folder without a store, the default coordinator is asked.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use caviar_client::ConnectionArguments;
use caviar_common::address::address_file;

use crate::args::Source;
use crate::failure::Failure;

/// The first bytes of an SQLite file.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// Where an SQLite file has its application id, and the id of a Caviar store.
const APPLICATION: (usize, &[u8]) = (68, b"CVIA");
/// Bytes of the header of an SQLite file.
const HEADER_BYTES: usize = 100;

/// A coordinator or a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// The coordinator that the connection options name, or the one that the user started last.
    Coordinator,
    /// The store at this path.
    Store(PathBuf),
}

/// Whether a value was given on the command line, and not by the environment.
fn is_argument(value: &OsStr, variable: &str) -> bool {
    std::env::var_os(variable).is_none_or(|it| it != value)
}

/// The address of the command line.
fn address_argument(connection: &ConnectionArguments) -> Option<&String> {
    connection.coordinator.as_ref().filter(|it| is_argument(it.as_ref(), "CAVIAR_COORDINATOR"))
}

/// Whether the environment has a join string.
fn has_join_variable() -> bool {
    std::env::var_os("CAVIAR_JOIN").is_some_and(|join| !join.is_empty())
}

/// The options that lead another command to the same coordinator, with a space before each. Empty
/// unless the command line names it.
pub(crate) fn connection_option(connection: &ConnectionArguments) -> String {
    let address = address_argument(connection);
    let address = address.map_or_else(String::new, |address| format!(" --coordinator {address}"));
    let join = connection.join.as_ref().filter(|file| file.as_os_str() != "-");
    let join = join.map_or_else(String::new, |file| format!(" --join {}", file.display()));
    address + &join
}

impl Source {
    /// Where to read from.
    ///
    /// # Errors
    /// The command line names both a coordinator and a store.
    pub(crate) fn place(&self) -> Result<Place, Failure> {
        let connection = &self.connection;
        let is_coordinator_argument =
            address_argument(connection).is_some() || connection.join.is_some();
        if let (true, Some(store)) = (is_coordinator_argument, self.store_argument()) {
            let option = connection_option(connection);
            return Err(Failure::hinted(
                format!("{} and --store {}: expected only one", option.trim(), store.display()),
                "--store alone asks the coordinator that has the store open, if one has",
            )
            .in_input());
        }
        // The command line counts more than the environment.
        if is_coordinator_argument {
            return Ok(Place::Coordinator);
        }
        if let Some(path) = &self.store {
            return Ok(Place::Store(path.clone()));
        }
        if connection.coordinator.is_some() || has_join_variable() {
            return Ok(Place::Coordinator);
        }
        Ok(last_store(Path::new(".")).map_or(Place::Coordinator, Place::Store))
    }

    /// The store of the command line.
    pub(crate) fn store_argument(&self) -> Option<&PathBuf> {
        self.store.as_ref().filter(|it| is_argument(it.as_os_str(), "CAVIAR_STORE"))
    }

    /// The option that leads another command to the same place, with a space before it. Empty
    /// unless the command line names the place.
    pub(crate) fn option(&self) -> String {
        match self.store_argument() {
            Some(store) => format!(" --store {}", store.display()),
            None => connection_option(&self.connection),
        }
    }
}

/// The Caviar store in this folder that was written last, by its name in the folder.
pub(crate) fn last_store(folder: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(folder).ok()?.filter_map(Result::ok);
    let stores = entries.map(|entry| entry.path()).filter(|path| is_store(path));
    let last = stores.max_by_key(|path| written(path))?;
    last.file_name().map(PathBuf::from)
}

fn is_store(path: &Path) -> bool {
    if !path.is_file() {
        return false;
    }
    let mut header = Vec::with_capacity(HEADER_BYTES);
    let read = File::open(path).map(|file| {
        file.take(u64::try_from(HEADER_BYTES).unwrap_or(u64::MAX)).read_to_end(&mut header)
    });
    let (start, id) = APPLICATION;
    if !matches!(read, Ok(Ok(HEADER_BYTES))) || !header.starts_with(SQLITE) {
        return false;
    }
    // The id of a new store is only in its write-ahead log until the first checkpoint.
    match header.get(start..start + id.len()) {
        Some([0, 0, 0, 0]) => address_file(path).exists(),
        found => found == Some(id),
    }
}

/// When a store was written last. What is not yet in the file itself is in its write-ahead log.
fn written(store: &Path) -> Option<SystemTime> {
    let mut log = store.as_os_str().to_owned();
    log.push("-wal");
    let modified = |path: &Path| path.metadata().and_then(|data| data.modified()).ok();
    modified(store).max(modified(Path::new(&log)))
}

/// How external programs get at the sweeps of a store.
pub(crate) fn coordinator_hint(store: &Path) -> String {
    format!("to start a coordinator for them: caviar coordinator --store {}", store.display())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    fn header(id: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_BYTES];
        bytes[..SQLITE.len()].copy_from_slice(SQLITE);
        bytes[68..72].copy_from_slice(id);
        bytes
    }

    #[test]
    fn the_store_that_was_written_last_is_found_among_other_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("notes.txt"), "nothing").unwrap();
        fs::write(path("other.db"), header(b"OTHR")).unwrap();
        assert_eq!(last_store(folder.path()), None);
        for (name, age) in [("old.db", 60), ("new.db", 5), ("oldest.db", 90)] {
            fs::write(path(name), header(b"CVIA")).unwrap();
            let file = File::options().append(true).open(path(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        assert_eq!(last_store(folder.path()), Some(PathBuf::from("new.db")));
        // The id of a new store is not in its file yet.
        fs::write(path("young.db"), header(&[0; 4])).unwrap();
        assert_eq!(last_store(folder.path()), Some(PathBuf::from("new.db")));
        fs::write(address_file(&path("young.db")), "http://127.0.0.1:1").unwrap();
        assert_eq!(last_store(folder.path()), Some(PathBuf::from("young.db")));
        fs::remove_file(path("young.db")).unwrap();
        // A store that is in use may have its latest changes only in its log.
        fs::write(path("oldest.db-wal"), "").unwrap();
        assert_eq!(last_store(folder.path()), Some(PathBuf::from("oldest.db")));
    }

    #[test]
    fn what_is_named_comes_before_the_folder() {
        let source = |coordinator: Option<&str>, store: Option<&str>| Source {
            connection: ConnectionArguments {
                coordinator: coordinator.map(str::to_owned),
                ..ConnectionArguments::default()
            },
            store: store.map(PathBuf::from),
        };
        let place = |it: Source| it.place().unwrap();
        assert_eq!(place(source(Some("a"), None)), Place::Coordinator);
        assert_eq!(place(source(None, Some("s"))), Place::Store(PathBuf::from("s")));
        let error = source(Some("a"), Some("s")).place().unwrap_err().to_string();
        assert_eq!(error, "--coordinator a and --store s: expected only one");
        assert_eq!(source(Some("a"), None).option(), " --coordinator a");
        assert_eq!(source(None, Some("s")).option(), " --store s");
        assert_eq!(source(None, None).option(), "");
        let mut joined = source(None, None);
        joined.connection.join = Some("w.join".into());
        assert_eq!(place(joined.clone()), Place::Coordinator);
        assert_eq!(joined.option(), " --join w.join");
    }
}
