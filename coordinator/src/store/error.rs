//! Why a store cannot be used.

use std::io;
use std::path::PathBuf;

use caviar_common::error::ErrorClass;
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the store open.
    #[error(
        "{} is in use by another coordinator; hint: to give that one a sweep: caviar submit FILE \
         --coordinator ADDRESS", .0.display()
    )]
    InUse(PathBuf),
    /// The lock file of the store cannot be opened, so another process may have the store open.
    #[error(
        "{} cannot be opened ({source}), so another coordinator may use the store; hint: give it \
         the mode of the store, or remove it if no coordinator runs",
        path.display()
    )]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// What the system reports.
        source: io::Error,
    },
    /// The path is that of a directory.
    #[error("{} is a directory; hint: name a file, such as {}",
        .0.display(), .0.join("caviar.db").display())]
    IsDirectory(PathBuf),
    /// There is no file to check.
    #[error("there is no store {}", .0.display())]
    Missing(PathBuf),
    /// The file that was to be created exists.
    #[error("{} exists already; hint: name a new file", .0.display())]
    Exists(PathBuf),
    /// The directory that should hold the file does not exist.
    #[error("{} cannot be created: there is no directory {}; hint: create it first",
        path.display(), directory.display())]
    NoDirectory {
        /// The store's file.
        path: PathBuf,
        /// The missing directory.
        directory: PathBuf,
    },
    /// The system does not let this process write the store, or create the files next to it that
    /// writing needs.
    #[error("{} cannot be written ({source}); hint: {WRITABLE_HINT}", path.display())]
    NotWritable {
        /// The store's file.
        path: PathBuf,
        /// The database's error.
        source: rusqlite::Error,
    },
    /// The system does not let this process read the store.
    #[error("{} cannot be read ({source}); hint: check the owner and permissions of the file",
        path.display())]
    NotReadable {
        /// The store's file.
        path: PathBuf,
        /// The database's error.
        source: rusqlite::Error,
    },
    /// The store was opened for reading only, and something was to be written.
    #[error("{} was opened for reading only; hint: {WRITABLE_HINT}", .0.display())]
    ReadOnly(PathBuf),
    /// The file is not a store of Caviar.
    #[error("{} is not a Caviar store; hint: name another file", .0.display())]
    Foreign(PathBuf),
    /// A later release wrote the store.
    #[error(
        "{} has format {found}, and this release reads up to format {known}; hint: use the \
         release that wrote it, or a later one",
        path.display()
    )]
    Newer {
        /// The store's file.
        path: PathBuf,
        /// The store's format.
        found: i64,
        /// The newest format that this release reads.
        known: i64,
    },
    /// A build between releases wrote the store, whose tables may have any columns.
    #[error(
        "{} has format 3, which no release has; hint: use the build that wrote it, or name another \
         file",
        .0.display()
    )]
    Unreleased(PathBuf),
    /// An older release wrote the store, and it cannot be upgraded where it is.
    #[error(
        "{} has format {found} and cannot be written, so it cannot be upgraded to format {known}; \
         hint: copy it to a place that can be written",
        path.display()
    )]
    Older {
        /// The store's file.
        path: PathBuf,
        /// The store's format.
        found: i64,
        /// The format of this release.
        known: i64,
    },
    /// A part of the store differs from what was written.
    #[error("the store is damaged: {place}: {detail}; hint: {CHECK_HINT}")]
    Corrupt {
        /// The damaged part, such as "row 2 of events".
        place: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Commits that were acknowledged are not in the store any more.
    #[error("{} has lost commits: {detail}; hint: {CHECK_HINT}", path.display())]
    LostCommits {
        /// The store's file.
        path: PathBuf,
        /// How it is known.
        detail: String,
    },
    /// The file was deleted, moved or replaced while it was open.
    #[error(
        "{} was deleted or replaced while it was in use; nothing was acknowledged since; hint: \
         put the file back, or start the coordinator on another store",
        .0.display()
    )]
    Gone(PathBuf),
    /// A batch does not follow the last one: a bug, or another coordinator has taken over.
    #[error(
        "internal error: batch {sequence} of term {term} does not follow batch {last} of term \
         {last_term}"
    )]
    OutOfOrder {
        /// The term of the batch.
        term: u64,
        /// The number of the batch.
        sequence: u64,
        /// The term of the store.
        last_term: u64,
        /// The number of the last batch in the store.
        last: u64,
    },
    /// An event cannot be written as JSON.
    #[error("an event cannot be encoded: {0}")]
    Encode(#[from] serde_json::Error),
    /// The disk has no space left.
    #[error(
        "the disk is full or its quota is used up: the store failed to {doing}; nothing that it \
         has acknowledged is lost; hint: free space, and run the command again"
    )]
    Full {
        /// The operation that failed, as a verb phrase.
        doing: &'static str,
    },
    /// The database failed for another reason.
    #[error("the store failed to {doing}: {source}")]
    Failed {
        /// The operation that failed, as a verb phrase.
        doing: &'static str,
        /// The database's error.
        source: rusqlite::Error,
    },
    /// The system failed to read or write a file of the store.
    #[error("the store failed to {doing} {}: {source}", path.display())]
    File {
        /// The operation that failed, as a verb.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system reports.
        source: io::Error,
    },
}

/// What a user can do about a store that cannot be written.
const WRITABLE_HINT: &str =
    "check the owner and permissions of the file and of its directory, and the space on the disk";
/// What a user can do about a damaged store.
const CHECK_HINT: &str = "caviar-coordinator check STORE says what can be saved";

impl StoreError {
    /// The error class, which tells a caller what it can do.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::InUse(_) => ErrorClass::Busy,
            Self::Missing(_) => ErrorClass::NotFound,
            Self::Exists(_) => ErrorClass::Exists,
            Self::IsDirectory(_)
            | Self::NoDirectory { .. }
            | Self::Foreign(_)
            | Self::Newer { .. }
            | Self::Unreleased(_) => ErrorClass::Invalid,
            Self::Lock { .. }
            | Self::NotWritable { .. }
            | Self::NotReadable { .. }
            | Self::ReadOnly(_)
            | Self::Older { .. } => ErrorClass::Refused,
            Self::Corrupt { .. } | Self::LostCommits { .. } => ErrorClass::Corrupt,
            Self::Encode(_) | Self::OutOfOrder { .. } => ErrorClass::Internal,
            Self::Full { .. } | Self::Failed { .. } | Self::File { .. } | Self::Gone(_) => {
                ErrorClass::Unavailable
            }
        }
    }

    /// The error as a part of a report about the store: without a hint to check it.
    pub(super) fn detail(&self) -> String {
        if let Self::Corrupt { place, detail } = self {
            format!("{place}: {detail}")
        } else {
            self.to_string()
        }
    }

    /// A damaged part of the store.
    pub(super) fn corrupt(place: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Corrupt { place: place.into(), detail: detail.into() }
    }

    /// A damaged row of a table.
    pub(super) fn corrupt_row(table: &str, row: impl std::fmt::Display) -> Self {
        Self::corrupt(format!("row {row} of {table}"), "its checksum is wrong")
    }

    /// The error for an operation of the database that failed. A database that is not as Caviar
    /// wrote it is damaged; another failure has a cause outside.
    pub(super) fn database(doing: &'static str, source: rusqlite::Error) -> Self {
        if is_damage(&source) {
            let detail = format!("it cannot {doing}: {source}");
            return Self::Corrupt { place: "the database".to_owned(), detail };
        }
        if is_full(&source) {
            return Self::Full { doing };
        }
        Self::Failed { doing, source }
    }
}

/// True for an error of a disk, or a quota, that has no space left.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    // SQLite says Full only if the system says so in these words. A log that cannot grow and a
    // quota are other I/O errors of writing.
    let codes = [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMSIZE];
    error.sqlite_error().is_some_and(|cause| codes.contains(&cause.extended_code))
}

/// True for an error that a database has only if a file differs from what was written.
fn is_damage(error: &rusqlite::Error) -> bool {
    let Some(cause) = error.sqlite_error() else {
        // A value or a row is missing or has another type.
        return true;
    };
    let is_short = cause.extended_code == ffi::SQLITE_IOERR_SHORT_READ;
    // The code of a missing table or column is Unknown.
    let codes = [
        ErrorCode::DatabaseCorrupt,
        ErrorCode::NotADatabase,
        ErrorCode::TypeMismatch,
        ErrorCode::Unknown,
    ];
    is_short || codes.contains(&cause.code)
}
