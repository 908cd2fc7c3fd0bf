//! Stores: where events are kept.
//!
//! ```text
//! Batch { term, sequence, events, rows } --append--> Store --restore, load_rest--> Replay
//! Snapshot { mark, encoded } -begin_save, save_some--^ '--readers--> pages of trials, curves
//! ```
//! [`Store`] is what the driver needs: one durable transaction per batch. [`sqlite::SqliteStore`]
//! keeps everything in one file. Every row has a checksum, and every read checks it: a damaged
//! store gives an error, and never another figure.

pub mod check;
mod deletion;
mod digest;
mod error;
mod heads;
mod load;
mod lock;
mod migrate;
mod open;
mod order;
pub mod query;
mod read;
mod read_only;
mod rows;
mod schema;
mod snapshots;
pub mod sqlite;
mod sweep_rows;
mod wal;
mod write;

use std::path::Path;
use std::sync::Arc;

use caviar_common::ids::{StoreId, SweepId};
use caviar_common::view::{SweepView, TrialView};
use caviar_core::event::Event;
use caviar_core::snapshot::Restored;

pub use self::error::StoreError;
use self::query::Readers;
pub use self::snapshots::{Mark, Snapshot};

/// What is stored in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The term of the coordinator that wrote the batch. A store refuses every other term than its
    /// own, so that a coordinator that was replaced cannot write.
    pub term: u64,
    /// The number of the batch, one more than that of the batch before it.
    pub sequence: u64,
    /// The events, in order.
    pub events: Vec<Event>,
    /// What the events have changed, for reading.
    pub rows: Rows,
}

/// The sweeps and trials that a batch has changed, as they are after it.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// The sweeps, except for deleted ones.
    pub sweeps: Vec<SweepView>,
    /// The trials, without their curves.
    pub trials: Vec<(SweepId, TrialView)>,
}

/// How far a store goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The term in which the store was opened.
    pub term: u64,
    /// The number of the last batch; 0 before the first one.
    pub sequence: u64,
}

/// A sweep whose events cannot be read, or do not follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The sweep.
    pub sweep: SweepId,
    /// The row of `events` at which the damage shows; `None` if it is not at a row.
    pub row: Option<i64>,
    /// What is wrong.
    pub detail: String,
    /// How many of the sweep's events before it are intact.
    pub intact: u64,
}

impl Damage {
    /// The damage as an error of the whole store.
    pub fn into_error(self) -> StoreError {
        let place = match self.row {
            Some(row) => format!("row {row} of events"),
            None => format!("the events of sweep {}", self.sweep),
        };
        StoreError::Corrupt { place, detail: self.detail }
    }
}

/// The events of a store, oldest first, each with the number of its row. Only some of them are in
/// memory at a time.
///
/// The events of a damaged sweep end where the damage shows. A caller that uses the ones before it
/// must know that they are not all.
pub trait Events: Iterator<Item = Result<(i64, Event), StoreError>> + std::fmt::Debug {
    /// The sweeps that turned out to be damaged. It is complete after the last event.
    fn damages(&self) -> &[Damage];
}

/// A durable log of events.
pub trait Store: Send {
    /// The number that was drawn at random when the store was created. It never changes.
    fn id(&self) -> StoreId;

    /// The term of this opening of the store, and the number of the last batch.
    fn position(&self) -> Position;

    /// The store's file, if it was opened for reading only: then [`Store::append`] always fails.
    /// `None` if the store can be written.
    fn read_only_path(&self) -> Option<&Path> {
        None
    }

    /// Reads and checks every event.
    ///
    /// # Errors
    /// The store cannot be read.
    fn load(&mut self) -> Result<Box<dyn Events + '_>, StoreError>;

    /// Reads and checks the last snapshot. `None` if none can be used.
    fn restore(&mut self) -> Option<Restored> {
        None
    }

    /// Reads and checks the events after the snapshot that [`Store::restore`] has returned.
    ///
    /// # Errors
    /// The store cannot be read.
    fn load_rest(&mut self) -> Result<Box<dyn Events + '_>, StoreError> {
        self.load()
    }

    /// Where the log ends now. `None` if the store keeps no snapshots.
    fn mark(&self) -> Option<Mark> {
        None
    }

    /// Begins to replace the last snapshot. The new one has the parts that differ from those of the
    /// last one.
    ///
    /// # Errors
    /// The store cannot be written.
    fn begin_save(&mut self, snapshot: Snapshot) -> Result<(), StoreError> {
        drop(snapshot);
        Ok(())
    }

    /// Writes some of the snapshot that was begun, which takes some milliseconds. Returns true if
    /// something is left. Until then, the last snapshot may be the stored one.
    ///
    /// # Errors
    /// The store cannot be written.
    fn save_some(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Marks the last snapshot as unusable for the next opening, which reads all events instead,
    /// because a part of this sweep in it is damaged. Other sweeps can still be loaded from it.
    ///
    /// # Errors
    /// The store cannot be written.
    fn forget_snapshot(&mut self, sweep: SweepId) -> Result<(), StoreError> {
        let _ = sweep;
        Ok(())
    }

    /// Adds a batch, all or nothing. It survives a crash of the process and of the machine once
    /// this returns.
    ///
    /// # Errors
    /// As far as the store can tell, nothing was added. The caller must not continue with a state
    /// that includes the events.
    fn append(&mut self, batch: &Batch) -> Result<(), StoreError>;

    /// Removes some rows of deleted sweeps, which takes some milliseconds. Returns true if there
    /// are more.
    ///
    /// # Errors
    /// The store cannot be written.
    fn tidy(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }

    /// Opens connections that read what was committed. `None` if the store has no such thing.
    fn readers(&self) -> Option<Arc<dyn Readers>> {
        None
    }
}
