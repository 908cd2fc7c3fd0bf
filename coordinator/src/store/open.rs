//! Opening the file of a store: what it is, whether commits are missing, and who owns it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::StoreError;
use super::error::is_full;
use super::heads::Ledger;
use super::lock::{BUSY_TIMEOUT, LastBatch, Lock, with_suffix};
use super::schema::{APPLICATION_ID, FIRST_CHECKED, FORMAT, HAS_HEADS, UNRELEASED};
use super::wal::{self, Log};
use super::{migrate, read_only, snapshots};

/// Pages that the connection that writes keeps, in KiB. Each sweep that runs is written at about
/// five pages of 4 KiB. Chosen for a thousand sweeps.
const CACHE_KIB: i64 = 32 << 10;

/// Pages of the log after which they are written into the database. With a thousand sweeps, a
/// commit has a thousand pages, and the next commit changes most of them again.
const LOG_PAGES: i64 = 4_000;

/// Prepared statements that the connection keeps: more than there are.
const STATEMENTS: usize = 64;

/// Opens the store for writing, or creates it, and begins the next term. A file of another program
/// stays as it was.
pub(super) fn for_writing(
    path: &Path,
    lock: Option<&Lock>,
) -> Result<(Connection, Ledger), StoreError> {
    check_log(path)?;
    create(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let unfit = |unfit: Unfit| unfit.error(path, not_written);
    let connection = Connection::open_with_flags(path, flags).map_err(Unfit::Database);
    let mut connection = connection.map_err(unfit)?;
    let found = prepare(&connection).map_err(unfit)?;
    let ledger = begin_term(&mut connection, path, found, lock)?;
    // The database itself must say that it is open. If only its log did, a missing log would look
    // like a store that was closed in order.
    let checkpoint = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    let result = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], checkpoint);
    result.map_err(|source| StoreError::database("write the database", source))?;
    tracing::debug!(path = %path.display(), ?found, term = ledger.term, "store opened");
    Ok((connection, ledger))
}

/// Creates the file if it is not there, so that only this user can read it. SQLite would give it
/// the mode of the umask, and gives its log the mode of the file.
pub(super) fn create(path: &Path) {
    // SQLite reports the same failure, as an error of the store.
    let _there = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}

/// Opens the store for reading only.
pub(super) fn for_reading(path: &Path) -> Result<(Connection, Ledger), StoreError> {
    check_log(path)?;
    let (connection, found) = for_check(path)?;
    if found < FIRST_CHECKED {
        return Err(StoreError::Older { path: path.to_owned(), found, known: FORMAT });
    }
    let ledger = Ledger::read(&connection)?;
    Ok((connection, ledger))
}

/// Opens a store for a check, which reads what can be read. Returns its format.
pub(super) fn for_check(path: &Path) -> Result<(Connection, i64), StoreError> {
    let unfit = |unfit: Unfit| unfit.error(path, not_read);
    let connection = read_only::open(path).map_err(Unfit::Database).map_err(unfit)?;
    let found = judge(&connection).and_then(|found| found.ok_or(Unfit::Foreign)).map_err(unfit)?;
    Ok((connection, found))
}

/// Checks that the write-ahead log is there if it is needed, and that all of it can be read.
fn check_log(path: &Path) -> Result<(), StoreError> {
    let log = with_suffix(path, "-wal");
    let lost = |detail| StoreError::LostCommits { path: path.to_owned(), detail };
    let found = wal::examine(&log);
    match found.map_err(|source| StoreError::File { doing: "read", path: log.clone(), source })? {
        Log::Sound => Ok(()),
        Log::Missing if says_open(path) => Err(lost(format!(
            "it was not closed in order, and {} with the last commits is missing",
            log.display()
        ))),
        Log::Missing => Ok(()),
        Log::Damaged(detail) => Err(lost(format!("{} is damaged: {detail}", log.display()))),
    }
}

/// True if the database without its log says that a coordinator has it open. False also for a file
/// that cannot be read, which the opening reports.
fn says_open(path: &Path) -> bool {
    let is_store = path.metadata().is_ok_and(|data| data.len() > 0);
    let ledger = || Ledger::read(&read_only::open(path).ok()?).ok();
    is_store && ledger().is_some_and(|ledger| ledger.is_open)
}

/// Sets the connection up. Returns the format of the store; `None` if the file is new.
fn prepare(connection: &Connection) -> Result<Option<i64>, Unfit> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let found = judge(connection)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    set_keeps_log(connection, true)?;
    Ok(found)
}

/// Whether the log stays when the connection ends. A log that is removed while the database says
/// that it is open looks like lost commits.
pub(super) fn set_keeps_log(connection: &Connection, keeps: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keeps).map(|_| ())
}

/// Creates or upgrades the tables, checks that no commits are missing, and begins the next term.
/// This always writes, which shows that the file can be written.
fn begin_term(
    connection: &mut Connection,
    path: &Path,
    found: Option<i64>,
    lock: Option<&Lock>,
) -> Result<Ledger, StoreError> {
    let failed = |source| Unfit::Database(source).error(path, not_written);
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
    transaction.pragma_update(None, "user_version", FORMAT).map_err(failed)?;
    let mut ledger = match found {
        None => {
            transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
            migrate::create(&transaction)?
        }
        Some(..FIRST_CHECKED) => {
            let heads = transaction.query_row(HAS_HEADS, [], |row| row.get::<_, i64>(0));
            if heads.map_err(failed)? > 0 {
                let detail = "its format is older than its tables";
                return Err(StoreError::corrupt("the header of the database", detail));
            }
            migrate::upgrade(&transaction)?
        }
        Some(_) => Ledger::read(&transaction)?,
    };
    if let Some(last) = lock.and_then(Lock::last_batch) {
        check_last(path, last, &ledger)?;
    }
    snapshots::create(&transaction)?;
    ledger.term += 1;
    ledger.is_open = true;
    ledger.update(&transaction)?;
    transaction.commit().map_err(failed)?;
    Ok(ledger)
}

/// Compares the store with the last batch that its owner noted.
fn check_last(path: &Path, last: LastBatch, ledger: &Ledger) -> Result<(), StoreError> {
    if last.store != ledger.id || last.sequence <= ledger.sequence {
        return Ok(());
    }
    let detail = format!(
        "batch {} was committed, and the last one in it is {} (if this is an older copy, remove \
         {} and start again)",
        last.sequence,
        ledger.sequence,
        with_suffix(path, "-lock").display()
    );
    Err(StoreError::LostCommits { path: path.to_owned(), detail })
}

/// The format of the store; `None` if the file is new.
pub(super) fn judge(connection: &Connection) -> Result<Option<i64>, Unfit> {
    let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let (application, format) = (number("application_id")?, number("user_version")?);
    if application == APPLICATION_ID {
        return match format {
            UNRELEASED => Err(Unfit::Unreleased),
            ..=FORMAT => Ok(Some(format)),
            _ => Err(Unfit::Newer(format)),
        };
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application == 0 && format == 0 && tables == 0 { Ok(None) } else { Err(Unfit::Foreign) }
}

/// Why a file cannot be used as a store.
pub(super) enum Unfit {
    Foreign,
    Newer(i64),
    Unreleased,
    Database(rusqlite::Error),
}

impl Unfit {
    /// The error with the file's path; `denied` makes the one for a lack of permissions.
    pub(super) fn error(
        self,
        path: &Path,
        denied: impl FnOnce(PathBuf, rusqlite::Error) -> StoreError,
    ) -> StoreError {
        let path = path.to_owned();
        match self {
            Self::Foreign => StoreError::Foreign(path),
            Self::Newer(found) => StoreError::Newer { path, found, known: FORMAT },
            Self::Unreleased => StoreError::Unreleased(path),
            Self::Database(source) if is_full(&source) => StoreError::Full { doing: "open" },
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
                    | ErrorCode::SystemIoFailure,
                ) => denied(path, source),
                _ => StoreError::database("open", source),
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

/// Checks the path without opening the file.
pub(super) fn check_place(path: &Path) -> Result<(), StoreError> {
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
