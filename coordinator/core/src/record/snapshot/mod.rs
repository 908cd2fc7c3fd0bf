//! Snapshots: the record as bytes, so that a restart applies only the events after them.
//!
//! ```text
//! Record --Capture::new--> Capture --encode--> Encoded { record, parts } --> a store
//! Replay <--Restored <--Restore::{new, add, finish}-- parts in their order <-- a store
//! ```
//! A [`Capture`] is taken on the driver's thread: it shares whatever does not change with the
//! record, so that it takes about a millisecond for any number of trials. Another thread encodes
//! it. A sweep has one or more [`Part`]s, and those with full chunks of its history never change.
//! [`Written`] knows which of them are stored, so a snapshot writes what is new since the last one.
//! What follows from other parts, such as the order at a rung, is not stored and made again.
//!
//! The chunks of a sweep that has ended are not restored, and they can be unloaded once they are
//! saved. A [`LoadJob`] loads them when a request needs them.
//!
//! Snapshots are no record of their own: the events are still there. One that cannot be read is
//! dropped, and all events are applied instead. So their form may change with every release that
//! raises [`VERSION`].

mod capture;
mod load;
mod restore;
mod stored;

use std::collections::BTreeMap;
use std::sync::Arc;

use caviar_common::ids::{LeaseId, SweepId};
use serde::{Deserialize, Serialize};

use super::state::past::Chunk;
pub use capture::Capture;
pub use load::{LoadJob, LoadedSweep};
pub(crate) use load::{load, unload};
pub use restore::{Restore, Restored};

/// The version of the form of snapshots.
const VERSION: u32 = 8;

/// What a part of a snapshot has of its sweep. Parts are restored in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartKind {
    /// What never changes, as JSON.
    Created,
    /// Everything that is in no other part, as JSON.
    State,
    /// A chunk of assignments.
    Trials,
    /// A chunk of the decision log.
    Log,
    /// The ends of a chunk of trials.
    Past,
}

impl PartKind {
    /// All kinds, in their order.
    pub const ALL: [Self; 5] = [Self::Created, Self::State, Self::Trials, Self::Log, Self::Past];

    /// True for the kinds that a sweep does not need in memory once it has ended.
    pub const fn is_chunk(self) -> bool {
        matches!(self, Self::Trials | Self::Log | Self::Past)
    }
}

/// A part of a snapshot. It replaces an earlier one of the same sweep, kind and number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The sweep.
    pub sweep: SweepId,
    /// What of the sweep it has.
    pub kind: PartKind,
    /// The number of the chunk, from 0.
    pub number: u32,
    /// The content.
    pub bytes: Vec<u8>,
}

/// A snapshot as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// What belongs to no sweep.
    pub record: Vec<u8>,
    /// The parts that differ from those of earlier snapshots.
    pub parts: Vec<Part>,
}

/// Which parts are stored.
#[derive(Clone, Debug, Default)]
pub struct Written(BTreeMap<SweepId, WrittenSweep>);

#[derive(Clone, Debug, Default)]
struct WrittenSweep {
    /// How many full chunks of assignments.
    trials: usize,
    /// How many full chunks of the decision log.
    log: usize,
    /// The ends of trials, as they were written last.
    past: Vec<Arc<Chunk>>,
}

/// What belongs to no sweep.
#[derive(Debug, Serialize, Deserialize)]
struct RecordPart {
    version: u32,
    next_sweep: SweepId,
    next_lease: LeaseId,
    results: Vec<(LeaseId, SweepId)>,
}
