//! Where events are kept.
//!
//! ```text
//! Step.events --append--> Store --load--> Coordinator::recover
//! ```
//! [`Store`] is what the driver needs: one durable transaction per call. [`sqlite::SqliteStore`]
//! keeps everything in one file.

mod schema;
pub mod sqlite;
mod tables;
mod times;

use std::path::PathBuf;

use caviar_common::error::ErrorClass;
use caviar_common::ids::{StoreId, SweepId};
use caviar_core::event::Event;

pub use self::times::TimesPage;

/// A durable log of events.
pub trait Store: Send {
    /// Which store it is: the same for as long as it exists.
    fn id(&self) -> StoreId;

    /// Every event with the id of its row, oldest first.
    ///
    /// # Errors
    /// The store cannot be read, or a row is not what was written.
    fn load(&mut self) -> Result<Vec<(i64, Event)>, StoreError>;

    /// Adds events, all or none. They survive a crash of the process and of the machine once this
    /// returns.
    ///
    /// # Errors
    /// Nothing was added, as far as the store can tell; what it holds must be read anew.
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
    /// Somebody has it open.
    #[error("{} is in use by another coordinator; hint: ask that one with --coordinator", .0.display())]
    InUse(PathBuf),
    /// A directory, where a file is meant.
    #[error("{} is a directory; hint: name a file, such as {}", .0.display(), .0.join("caviar.db").display())]
    IsDirectory(PathBuf),
    /// The directory that should hold the file does not exist.
    #[error("{} cannot be created: there is no directory {}; hint: create it first", path.display(), directory.display())]
    NoDirectory {
        /// The store.
        path: PathBuf,
        /// Where it should be.
        directory: PathBuf,
    },
    /// The system does not let this process at it.
    #[error("{} cannot be opened for reading and writing ({source}); hint: check who owns it and its directory, and their permissions", path.display())]
    NoAccess {
        /// The store.
        path: PathBuf,
        /// What the database says.
        source: rusqlite::Error,
    },
    /// A file of something else.
    #[error("{} is no Caviar store; hint: name another file", .0.display())]
    Foreign(PathBuf),
    /// A store of a later release.
    #[error("{} has format {found}, and this release reads up to format {known}; hint: use the release that wrote it, or a later one", path.display())]
    Newer {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format that this release reads.
        known: i64,
    },
    /// A row is not what was written.
    #[error("the store is damaged: row {row} of events: {detail}")]
    Corrupt {
        /// The row's id.
        row: i64,
        /// What is wrong with it.
        detail: String,
    },
    /// An event that cannot be written as JSON.
    #[error("an event cannot be encoded: {0}")]
    Encode(#[from] serde_json::Error),
    /// The database failed: a full disk, for example.
    #[error("the store failed to {doing}: {source}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// What the database says.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// What a caller can do about it.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::InUse(_) => ErrorClass::Busy,
            Self::IsDirectory(_) | Self::Foreign(_) | Self::Newer { .. } => ErrorClass::Invalid,
            Self::NoDirectory { .. } => ErrorClass::NotFound,
            Self::NoAccess { .. } => ErrorClass::Refused,
            Self::Corrupt { .. } => ErrorClass::Corrupt,
            Self::Encode(_) => ErrorClass::Internal,
            Self::Failed { .. } => ErrorClass::Unavailable,
        }
    }
}
