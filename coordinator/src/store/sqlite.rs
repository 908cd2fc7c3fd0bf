//! The embedded store: SQLite in one file, owned by one process.
//!
//! Opening takes the file's exclusive lock and keeps it, so two coordinators can never write one
//! history. The write-ahead log is synced at every commit (`synchronous = FULL`): what `append`
//! returned from survives a power cut.

use std::path::{Path, PathBuf};
use std::time::Duration;

use caviar_common::ids::{StoreId, SweepId};
use caviar_core::event::Event;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::schema::{ADD_NAMED, APPLICATION_ID, FORMAT, HAS_NAMED, TABLES};
use super::{Store, StoreError, TimesPage, tables, times};

/// How long to wait for a lock that a process may be about to give up.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);
/// Prepared statements that are kept: more than there are.
const STATEMENTS: usize = 64;

/// A store in one file.
#[derive(Debug)]
pub struct SqliteStore {
    id: StoreId,
    connection: Connection,
}

impl SqliteStore {
    /// Opens the store at `path`, or creates it.
    ///
    /// # Errors
    /// Somebody else has it open, it is no Caviar store, it is one of a newer release, or
    /// the system refuses.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        check_place(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(path, flags).map_err(|e| not_opened(path, e))?;
        let mut store = Self { id: StoreId(0), connection };
        match store.prepare(path) {
            Ok(()) => Ok(store),
            Err(Unfit::Database(source)) => Err(not_opened(path, source)),
            Err(Unfit::Foreign) => Err(StoreError::Foreign(path.to_owned())),
            Err(Unfit::Newer(found)) => {
                Err(StoreError::Newer { path: path.to_owned(), found, known: FORMAT })
            }
        }
    }

    /// Looks first and writes later: a file of something else stays as it was.
    fn prepare(&mut self, path: &Path) -> Result<(), Unfit> {
        let connection = &mut self.connection;
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
        // Always a write: it takes the lock, which is then kept, and shows that the file can be
        // written.
        transaction.pragma_update(None, "user_version", FORMAT)?;
        let id: i64 = transaction.query_row("SELECT id FROM store", [], |row| row.get(0))?;
        transaction.commit()?;
        self.id = StoreId(id.cast_unsigned());
        tracing::debug!(path = %path.display(), ?found, "store opened");
        Ok(())
    }
}

/// The format of the store; none where the file is new.
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

/// Why a file that could be opened is not used.
enum Unfit {
    Foreign,
    Newer(i64),
    Database(rusqlite::Error),
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
    let text = body.as_str().map_err(|_| "the body is no text".to_owned())?;
    let event: Event = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let known = i64::try_from(event.sweep.0).ok();
    if sweep.as_i64().ok() == known {
        Ok(event)
    } else {
        Err(format!("the body is about sweep {}, the row is not", event.sweep))
    }
}

/// What can be said about the place without opening the file. (Opening and closing it would drop
/// the locks that this process has on it.)
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

fn not_opened(path: &Path, source: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse(path),
        Some(ErrorCode::NotADatabase) => StoreError::Foreign(path),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            StoreError::NoAccess { path, source }
        }
        _ => StoreError::Failed { doing: "open", source },
    }
}
