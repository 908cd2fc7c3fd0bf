//! The embedded store: SQLite in one file, owned by one process.
//!
//! Opening takes the file's exclusive lock and keeps it, so two coordinators can never write one
//! history. The write-ahead log is synced at every commit (`synchronous = FULL`): what was appended
//! survives a power cut. A store that can only be read is opened without lock and log, see
//! [`SqliteStore::open_for_reading`].

use std::path::{Path, PathBuf};
use std::time::Duration;

use caviar_common::ids::{StoreId, SweepId};
use caviar_core::event::Event;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::schema::{ADD_NAMED, APPLICATION_ID, FORMAT, HAS_NAMED, TABLES};
use super::{Store, StoreError, TimesPage, read_only, tables, times};

/// How long to wait for the lock of a process that may be exiting.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);
/// Prepared statements that the connection keeps: more than this module has.
const STATEMENTS: usize = 64;

/// A store in one file.
#[derive(Debug)]
pub struct SqliteStore {
    id: StoreId,
    connection: Connection,
    /// The file, if it was opened for reading only.
    read_only: Option<PathBuf>,
}

impl SqliteStore {
    /// Opens the store at `path` for reading and writing, or creates it. A store of an older format
    /// is upgraded.
    ///
    /// # Errors
    /// Another process has it open, it is not a Caviar store, a later release wrote it, or the
    /// system does not let this process write it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        check_place(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(path, flags).map_err(Unfit::Database);
        let opened = opened.and_then(|mut connection| {
            let id = prepare(&mut connection, path)?;
            Ok(Self { id, connection, read_only: None })
        });
        opened.map_err(|unfit| unfit.error(path, not_written))
    }

    /// Opens the store at `path` as [`SqliteStore::open`] does, or for reading only if it cannot be
    /// written.
    ///
    /// # Errors
    /// As [`SqliteStore::open`], or the system does not let this process read the file.
    pub fn open_for_reading(path: &Path) -> Result<Self, StoreError> {
        match Self::open(path) {
            // SQLite takes the lock for reading before it finds that it cannot write. So this is
            // not a store that another process has open.
            Err(StoreError::NotWritable { source, .. }) => {
                tracing::debug!(path = %path.display(), %source, "opening for reading only");
                Self::open_read_only(path)
            }
            result => result,
        }
    }

    fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        let opened = read_only::open(path).map_err(Unfit::Database).and_then(|connection| {
            judge(&connection)?.ok_or(Unfit::Foreign)?;
            let id = read_id(&connection)?;
            Ok(Self { id, connection, read_only: Some(path.to_owned()) })
        });
        opened.map_err(|unfit| unfit.error(path, not_read))
    }
}

/// Takes the file's lock, creates the tables or upgrades them, and returns the store's number. A
/// file of another program stays as it was.
fn prepare(connection: &mut Connection, path: &Path) -> Result<StoreId, Unfit> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let found = judge(connection)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    match found {
        None => {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        }
        Some(..2) if transaction.query_row(HAS_NAMED, [], |row| row.get::<_, i64>(0))? == 0 => {
            transaction.execute_batch(ADD_NAMED)?;
        }
        Some(_) => {}
    }
    // This always writes. It takes the lock, which is then kept, and shows that the file can be
    // written.
    transaction.pragma_update(None, "user_version", FORMAT)?;
    let id = read_id(&transaction)?;
    transaction.commit()?;
    tracing::debug!(path = %path.display(), ?found, "store opened");
    Ok(id)
}

fn read_id(connection: &Connection) -> rusqlite::Result<StoreId> {
    let id = connection.query_row("SELECT id FROM store", [], |row| row.get::<_, i64>(0))?;
    Ok(StoreId(id.cast_unsigned()))
}

/// The format of the store; `None` if the file is new.
fn judge(connection: &Connection) -> Result<Option<i64>, Unfit> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, format) = (number("application_id")?, number("user_version")?);
    if application == APPLICATION_ID {
        return if format > FORMAT { Err(Unfit::Newer(format)) } else { Ok(Some(format)) };
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && format == 0 && tables == 0 { Ok(None) } else { Err(Unfit::Foreign) }
}

/// Why a file cannot be used as a store.
enum Unfit {
    Foreign,
    Newer(i64),
    Database(rusqlite::Error),
}

impl Unfit {
    /// The error with the file's path; `denied` makes the one for a lack of permissions.
    fn error(
        self,
        path: &Path,
        denied: impl FnOnce(PathBuf, rusqlite::Error) -> StoreError,
    ) -> StoreError {
        let path = path.to_owned();
        match self {
            Self::Foreign => StoreError::Foreign(path),
            Self::Newer(found) => StoreError::Newer { path, found, known: FORMAT },
            Self::Database(source) => match source.sqlite_error_code() {
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    StoreError::InUse(path)
                }
                Some(ErrorCode::NotADatabase) => StoreError::Foreign(path),
                // SQLite reports an I/O error when it cannot lock a file that it cannot write.
                Some(
                    ErrorCode::CannotOpen
                    | ErrorCode::ReadOnly
                    | ErrorCode::PermissionDenied
                    | ErrorCode::SystemIoFailure
                    | ErrorCode::DiskFull,
                ) => denied(path, source),
                _ => StoreError::Failed { doing: "open", source },
            },
        }
    }
}

fn not_written(path: PathBuf, source: rusqlite::Error) -> StoreError {
    StoreError::NotWritable { path, source }
}

fn not_read(path: PathBuf, source: rusqlite::Error) -> StoreError {
    StoreError::NotReadable { path, source }
}

impl From<rusqlite::Error> for Unfit {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

impl Store for SqliteStore {
    fn id(&self) -> StoreId {
        self.id
    }

    fn read_only_path(&self) -> Option<&Path> {
        self.read_only.as_deref()
    }

    fn load(&mut self) -> Result<Vec<(i64, Event)>, StoreError> {
        let failed = |source| StoreError::Failed { doing: "read the events", source };
        let mut statement = self
            .connection
            .prepare("SELECT id, sweep, body FROM events ORDER BY id")
            .map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut events = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let id = row.get(0).map_err(failed)?;
            let (sweep, body) = (row.get_ref(1).map_err(failed)?, row.get_ref(2).map_err(failed)?);
            events.push((
                id,
                decode(sweep, body).map_err(|detail| StoreError::Corrupt { row: id, detail })?,
            ));
        }
        Ok(events)
    }

    fn append(&mut self, events: &[Event]) -> Result<(), StoreError> {
        if events.is_empty() {
            return Ok(());
        }
        if let Some(path) = &self.read_only {
            return Err(StoreError::ReadOnly(path.clone()));
        }
        let failed = |source| StoreError::Failed { doing: "write events", source };
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        for event in events {
            tables::write(&transaction, event)?;
        }
        transaction.commit().map_err(failed)
    }

    fn trial_times(&mut self, sweep: SweepId, after: i64) -> Result<TimesPage, StoreError> {
        times::read(&self.connection, sweep, after)
    }
}

fn decode(sweep: ValueRef<'_>, body: ValueRef<'_>) -> Result<Event, String> {
    let text = body.as_str().map_err(|_| "the body is not text".to_owned())?;
    let event: Event = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let known = i64::try_from(event.sweep.0).ok();
    if sweep.as_i64().ok() == known {
        Ok(event)
    } else {
        Err(format!("the body is about sweep {}, and the row about another", event.sweep))
    }
}

/// Checks the path without opening the file. Opening and closing it would release the locks that
/// this process holds on it.
fn check_place(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        return Err(StoreError::IsDirectory(path.to_owned()));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    if directory.is_dir() {
        Ok(())
    } else {
        Err(StoreError::NoDirectory { path: path.to_owned(), directory })
    }
}
