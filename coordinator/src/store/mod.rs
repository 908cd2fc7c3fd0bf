//! Stores: where events are kept.
//!
//! ```text
//! Step.events --append--> Store --load--> Coordinator::recover
//! ```
//! [`Store`] is what the driver needs: one durable transaction per call. [`sqlite::SqliteStore`]
//! keeps everything in one file.

mod read_only;
mod schema;
pub mod sqlite;
mod tables;
mod times;

use std::path::{Path, PathBuf};

use caviar_common::error::ErrorClass;
use caviar_common::ids::{StoreId, SweepId};
use caviar_core::event::Event;

pub use self::times::TimesPage;

/// A durable log of events.
pub trait Store: Send {
    /// The number that was drawn at random when the store was created. It never changes.
    fn id(&self) -> StoreId;

    /// The store's file, if it was opened for reading only: then [`Store::append`] always fails.
    /// `None` if the store can be written.
    fn read_only_path(&self) -> Option<&Path> {
        None
    }

    /// Every event with the number of its row, oldest first.
    ///
    /// # Errors
    /// The store cannot be read, or a row differs from what was written.
    fn load(&mut self) -> Result<Vec<(i64, Event)>, StoreError>;

    /// Adds events, all or none. They survive a crash of the process and of the machine once this
    /// returns.
    ///
    /// # Errors
    /// As far as the store can tell, nothing was added. The caller must not continue with a state
    /// that includes the events.
    fn append(&mut self, events: &[Event]) -> Result<(), StoreError>;

    /// When the trials of a sweep started and ended, from some of its rows after the row `after`.
    /// A store that does not keep times has none.
    ///
    /// # Errors
    /// The store cannot be read, or a row is not what was written.
    fn trial_times(&mut self, _sweep: SweepId, _after: i64) -> Result<TimesPage, StoreError> {
        Ok(TimesPage::default())
    }
}

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the store open.
    #[error(
        "{} is in use by another coordinator; hint: to give that one a sweep: caviar submit FILE \
         --coordinator ADDRESS", .0.display()
    )]
    InUse(PathBuf),
    /// The path is that of a directory.
    #[error("{} is a directory; hint: name a file, such as {}",
        .0.display(), .0.join("caviar.db").display())]
    IsDirectory(PathBuf),
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
    /// A row of the log differs from what was written.
    #[error("the store is damaged: row {row} of events: {detail}")]
    Corrupt {
        /// The number of the row.
        row: i64,
        /// What is wrong with the row.
        detail: String,
    },
    /// An event cannot be written as JSON.
    #[error("an event cannot be encoded: {0}")]
    Encode(#[from] serde_json::Error),
    /// The database failed: the disk is full, for example.
    #[error("the store failed to {doing}: {source}")]
    Failed {
        /// The operation that failed, as a verb phrase.
        doing: &'static str,
        /// The database's error.
        source: rusqlite::Error,
    },
}

/// What a user can do about a store that cannot be written.
const WRITABLE_HINT: &str =
    "check the owner and permissions of the file and of its directory, and the space on the disk";

impl StoreError {
    /// The error class, which tells a caller what it can do.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::InUse(_) => ErrorClass::Busy,
            Self::IsDirectory(_)
            | Self::NoDirectory { .. }
            | Self::Foreign(_)
            | Self::Newer { .. } => ErrorClass::Invalid,
            Self::NotWritable { .. } | Self::NotReadable { .. } | Self::ReadOnly(_) => {
                ErrorClass::Refused
            }
            Self::Corrupt { .. } => ErrorClass::Corrupt,
            Self::Encode(_) => ErrorClass::Internal,
            Self::Failed { .. } => ErrorClass::Unavailable,
        }
    }
}
