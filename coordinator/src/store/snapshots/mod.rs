//! Snapshots of the state: their tables, and reading and writing them.
//!
//! ```text
//! snapshot        its generation, the event after which the state was so, what belongs to no
//!                 sweep, heads + sum
//! snapshot_heads  for each sweep: its head at that event, its parts and their sum
//! snapshot_parts  the parts, each with the generation that wrote it
//! ```
//! Every row has a checksum. The sums show a missing row: that of a sweep covers the checksums of
//! its parts, and that of the snapshot covers those of `snapshot_heads`. A snapshot that is damaged
//! in any way is not used, and all events are read instead; the next one replaces it.
//!
//! A snapshot has megabytes, and commits of events must not wait for all of it. So [`Saving`]
//! writes the parts of the next generation in several transactions, and its rows of the other
//! tables in the last of them. Until then the parts of the last generation are the snapshot, and
//! after it those that were replaced are removed.
//!
//! The chunks of sweeps that have ended are most of a snapshot. They are read and checked when they
//! are asked for.

mod read;
mod save;

use std::collections::BTreeMap;

use caviar_common::ids::SweepId;
use caviar_core::snapshot::{Encoded, Part, PartKind};
use rusqlite::{Connection, OptionalExtension, Transaction};

use super::StoreError;
use super::digest::{Cell, checksum, int, small};
use super::heads::Head;
use super::schema::SNAPSHOT_TABLES;
pub(in crate::store) use read::{check, load, read};
pub(in crate::store) use save::Saving;

/// Where the log ended at some moment.
#[derive(Clone, Debug)]
pub struct Mark {
    /// The number of the last event.
    pub(super) last_event: i64,
    pub(super) heads: BTreeMap<SweepId, Head>,
}

/// A snapshot, and where the log ended when it was taken.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where the log ended.
    pub mark: Mark,
    /// The state at that time.
    pub encoded: Encoded,
}

/// What is known of the stored snapshot.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    generation: i64,
    pub(super) last_event: i64,
    sweeps: BTreeMap<SweepId, SweepIndex>,
}

/// What is known of a sweep in the stored snapshot.
#[derive(Clone, Debug)]
struct SweepIndex {
    head: Head,
    parts: BTreeMap<PartKey, StoredPart>,
}

/// The kind of a part as the table has it, and its number.
type PartKey = (i64, u32);

/// What is known of a row of `snapshot_parts`.
#[derive(Clone, Copy, Debug)]
struct StoredPart {
    generation: i64,
    checksum: i64,
}

impl SweepIndex {
    fn sum(&self) -> i64 {
        self.parts.values().fold(0, |sum, part| sum.wrapping_add(part.checksum))
    }

    fn cells(&self, sweep: SweepId) -> [Cell<'static>; 7] {
        let Head { first, last, events, chain, .. } = self.head;
        [
            int(sweep.0),
            Cell::Integer(first),
            Cell::Integer(last),
            Cell::Integer(events),
            Cell::Integer(chain),
            Cell::Integer(count(self.parts.len())),
            Cell::Integer(self.sum()),
        ]
    }

    fn checksum(&self, sweep: SweepId) -> i64 {
        checksum("snapshot_heads", self.cells(sweep))
    }
}

impl Index {
    /// The head of a sweep in the snapshot.
    pub(super) fn head(&self, sweep: SweepId) -> Option<Head> {
        self.sweeps.get(&sweep).map(|known| known.head)
    }

    fn sum(&self) -> i64 {
        self.sweeps.iter().fold(0, |sum, (id, known)| sum.wrapping_add(known.checksum(*id)))
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn part_cells(part: &Part, generation: i64) -> [Cell<'_>; 5] {
    let Part { sweep, kind, number, bytes } = part;
    let (kind, generation) = (Cell::Integer(number_of(*kind)), Cell::Integer(generation));
    [int(sweep.0), kind, small(*number), generation, Cell::Blob(bytes)]
}

fn number_of(kind: PartKind) -> i64 {
    let place = PartKind::ALL.iter().position(|other| *other == kind);
    place.and_then(|place| i64::try_from(place).ok()).unwrap_or(i64::MAX)
}

/// Creates the tables. Those of a release with another form of them are dropped, because their
/// content can be made again.
pub(super) fn create(transaction: &Transaction<'_>) -> Result<(), StoreError> {
    let failed = |source| StoreError::database("create the tables of snapshots", source);
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let mut is_known = true;
    for (name, table) in SNAPSHOT_TABLES {
        let found = transaction.query_row(sql, [name], |row| row.get::<_, String>(0)).optional();
        is_known &= found.map_err(failed)?.is_none_or(|found| found == table);
    }
    for (name, table) in SNAPSHOT_TABLES {
        if !is_known {
            transaction.execute_batch(&format!("DROP TABLE IF EXISTS {name}")).map_err(failed)?;
        }
        let table = table.replacen("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1);
        transaction.execute_batch(&table).map_err(failed)?;
    }
    Ok(())
}

/// Removes the head of a sweep, so that the next opening finds that the snapshot cannot be used.
pub(super) fn forget(connection: &Connection, sweep: SweepId) -> Result<(), StoreError> {
    let failed = |source| StoreError::database("remove a part of a snapshot", source);
    let sql = "DELETE FROM snapshot_heads WHERE sweep = ?1";
    connection.execute(sql, [sweep.0.cast_signed()]).map(|_| ()).map_err(failed)
}
