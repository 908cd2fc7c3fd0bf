//! Snapshots of the state: their tables, and reading and writing them.
//!
//! ```text
//! snapshot        the event after which the state was so, what belongs to no sweep, heads + sum
//! snapshot_heads  for each sweep: its head at that event, its parts and their sum
//! snapshot_parts  the parts
//! ```
//! Every row has a checksum. The sums show a missing row: that of a sweep covers the checksums of
//! its parts, and that of the snapshot covers those of `snapshot_heads`. A snapshot that is damaged
//! in any way is not used, and all events are read instead; the next one is written anew.
//!
//! The chunks of sweeps that have ended are most of a snapshot. They are read and checked when they
//! are asked for.

use std::collections::BTreeMap;

use caviar_common::ids::SweepId;
use caviar_core::snapshot::{Encoded, LoadJob, LoadedSweep, Part, PartKind, Restore, Restored};
use rusqlite::{Connection, OptionalExtension, Row, Transaction};

use super::StoreError;
use super::digest::{Cell, checksum, int, small};
use super::heads::{Deleted, Head, execute};

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
    pub(super) last_event: i64,
    sweeps: BTreeMap<SweepId, SweepIndex>,
}

/// What is known of a sweep in the stored snapshot.
#[derive(Clone, Debug)]
struct SweepIndex {
    head: Head,
    /// The checksums of the parts.
    parts: BTreeMap<PartKey, i64>,
}

/// The kind of a part as the table has it, and its number.
type PartKey = (i64, u32);

impl SweepIndex {
    fn sum(&self) -> i64 {
        self.parts.values().fold(0, |sum, part| sum.wrapping_add(*part))
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

fn part_cells(part: &Part) -> [Cell<'_>; 4] {
    let Part { sweep, kind, number, bytes } = part;
    [int(sweep.0), Cell::Integer(number_of(*kind)), small(*number), Cell::Blob(bytes)]
}

fn number_of(kind: PartKind) -> i64 {
    let place = PartKind::ALL.iter().position(|other| *other == kind);
    place.and_then(|place| i64::try_from(place).ok()).unwrap_or(i64::MAX)
}

/// Writes a snapshot. `index` is that of the stored one; `None` if that one cannot be used. `heads`
/// are the heads now: sweeps that were deleted since are left out. Returns the new index.
pub(super) fn save(
    transaction: &Transaction<'_>,
    snapshot: &Snapshot,
    (index, heads): (Option<&Index>, &BTreeMap<SweepId, Head>),
) -> Result<Index, StoreError> {
    let is_deleted = |id: &SweepId| heads.get(id).is_none_or(|head| head.deleted != Deleted::No);
    if index.is_none() {
        let failed = |source| StoreError::database("write a snapshot", source);
        let sql = "DELETE FROM snapshot_parts; DELETE FROM snapshot_heads";
        transaction.execute_batch(sql).map_err(failed)?;
    }
    let mut index = index.cloned().unwrap_or_default();
    let Snapshot { mark, encoded } = snapshot;
    index.last_event = mark.last_event;
    for part in encoded.parts.iter().filter(|part| !is_deleted(&part.sweep)) {
        let Some(head) = mark.heads.get(&part.sweep) else { continue };
        let sum = checksum("snapshot_parts", part_cells(part));
        let known = SweepIndex { head: *head, parts: BTreeMap::new() };
        let known = index.sweeps.entry(part.sweep).or_insert(known);
        known.head = *head;
        known.parts.insert((number_of(part.kind), part.number), sum);
        let sql = "INSERT OR REPLACE INTO snapshot_parts (sweep, kind, number, bytes, checksum) \
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        let cells: Vec<Cell<'_>> =
            part_cells(part).into_iter().chain([Cell::Integer(sum)]).collect();
        execute(transaction, sql, &cells)?;
    }
    for part in &encoded.parts {
        if let (PartKind::State, Some(known)) = (part.kind, index.sweeps.get(&part.sweep)) {
            write_head(transaction, part.sweep, known)?;
        }
    }
    let deleted: Vec<SweepId> = index.sweeps.keys().copied().filter(is_deleted).collect();
    for sweep in deleted {
        index.sweeps.remove(&sweep);
        let sql = "DELETE FROM snapshot_heads WHERE sweep = ?1";
        execute(transaction, sql, &[int(sweep.0)])?;
    }
    write_snapshot(transaction, &index, &encoded.record)?;
    Ok(index)
}

fn write_head(
    transaction: &Transaction<'_>,
    sweep: SweepId,
    known: &SweepIndex,
) -> Result<(), StoreError> {
    let sum = Cell::Integer(known.checksum(sweep));
    let cells: Vec<Cell<'_>> = known.cells(sweep).into_iter().chain([sum]).collect();
    let sql = "INSERT OR REPLACE INTO snapshot_heads (sweep, first, last, events, chain, parts, \
               parts_sum, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    execute(transaction, sql, &cells)
}

fn write_snapshot(
    transaction: &Transaction<'_>,
    index: &Index,
    record: &[u8],
) -> Result<(), StoreError> {
    let heads = Cell::Integer(count(index.sweeps.len()));
    let (last_event, sum) = (Cell::Integer(index.last_event), Cell::Integer(index.sum()));
    let cells = [small(1), last_event, Cell::Blob(record), heads, sum];
    let sum = Cell::Integer(checksum("snapshot", cells));
    let cells: Vec<Cell<'_>> = cells.into_iter().chain([sum]).collect();
    let sql = "INSERT OR REPLACE INTO snapshot (id, last_event, record, heads, heads_sum, \
               checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    execute(transaction, sql, &cells)
}

/// Forgets the stored snapshot, so that the next opening reads all events.
pub(super) fn forget(connection: &Connection) -> Result<(), StoreError> {
    let failed = |source| StoreError::database("remove a snapshot", source);
    connection.execute("DELETE FROM snapshot", []).map(|_| ()).map_err(failed)
}

/// Why a stored snapshot cannot be used.
pub(super) type Unusable = String;

fn text(error: impl ToString) -> Unusable {
    error.to_string()
}

/// Reads and checks the snapshot. `heads` are the heads of the log. `None` if there is none.
///
/// # Errors
/// The snapshot cannot be used.
pub(super) fn read(
    connection: &Connection,
    heads: &BTreeMap<SweepId, Head>,
) -> Result<Option<(Index, Restored)>, Unusable> {
    let Some(stored) = read_snapshot(connection).map_err(text)?? else { return Ok(None) };
    // The rows of sweeps that were deleted since are removed by the next snapshot.
    let unread = |known: &StoredHead| SweepIndex { head: known.head, parts: BTreeMap::new() };
    let sweeps = stored.heads.iter().map(|(sweep, known)| (*sweep, unread(known))).collect();
    let mut index = Index { last_event: stored.last_event, sweeps };
    let mut restore = Restore::new(&stored.record).map_err(text)?;
    for (sweep, head) in heads.iter().filter(|(_, head)| head.deleted == Deleted::No) {
        match stored.heads.get(sweep) {
            Some(known) if known.head.first == head.first && known.head.events <= head.events => {
                let parts = read_parts(connection, *sweep, &mut restore).map_err(text)??;
                let found = SweepIndex { head: known.head, parts };
                if (count(found.parts.len()), found.sum()) != (known.parts, known.sum) {
                    return Err(format!("parts of sweep {sweep} are missing"));
                }
                index.sweeps.insert(*sweep, found);
            }
            Some(_) => return Err(format!("its events of sweep {sweep} are others")),
            None if head.first <= index.last_event => {
                return Err(format!("it lacks sweep {sweep}"));
            }
            None => {}
        }
    }
    Ok(Some((index, restore.finish().map_err(text)?)))
}

/// Reads and checks the snapshot with the chunks of all sweeps.
///
/// # Errors
/// The snapshot cannot be used, or a sweep that has ended cannot be loaded from it.
pub(super) fn check(
    connection: &Connection,
    heads: &BTreeMap<SweepId, Head>,
) -> Result<(), Unusable> {
    let Some((_, restored)) = read(connection, heads)? else { return Ok(()) };
    restored.load_jobs().try_for_each(|job| load(connection, job).map_err(text)?.map(|_| ()))
}

/// The rows of `snapshot` and `snapshot_heads`.
struct Stored {
    last_event: i64,
    record: Vec<u8>,
    heads: BTreeMap<SweepId, StoredHead>,
}

/// The row of `snapshot_heads` for one sweep.
struct StoredHead {
    head: Head,
    /// How many parts there are, and the sum of their checksums.
    parts: i64,
    sum: i64,
}

/// The values of the first columns of a row.
fn cells<'a>(row: &'a Row<'_>, count: usize) -> rusqlite::Result<Vec<Cell<'a>>> {
    (0..count).map(|column| row.get_ref(column)).collect()
}

fn read_snapshot(connection: &Connection) -> rusqlite::Result<Result<Option<Stored>, Unusable>> {
    let sql = "SELECT id, last_event, record, heads, heads_sum, checksum FROM snapshot";
    let read = |row: &Row<'_>| {
        let is_intact = row.get::<_, i64>(5)? == checksum("snapshot", cells(row, 5)?);
        let (last_event, record) = (row.get(1)?, row.get(2)?);
        let sums = (row.get::<_, i64>(3)?, row.get::<_, i64>(4)?);
        Ok((Stored { last_event, record, heads: BTreeMap::new() }, sums, is_intact))
    };
    match connection.query_row(sql, [], read).optional()? {
        None => Ok(Ok(None)),
        Some((_, _, false)) => Ok(Err("its row has a wrong checksum".to_owned())),
        Some((mut stored, sums, true)) => {
            let sum = read_heads(connection, &mut stored.heads)?;
            let found = sum.map(|sum| (count(stored.heads.len()), sum));
            let is_complete = found.map(|found| found == sums);
            let missing = || "heads of sweeps are missing".to_owned();
            Ok(is_complete.and_then(|is| is.then_some(Some(stored)).ok_or_else(missing)))
        }
    }
}

/// Reads the heads, and returns the sum of their checksums.
fn read_heads(
    connection: &Connection,
    heads: &mut BTreeMap<SweepId, StoredHead>,
) -> rusqlite::Result<Result<i64, Unusable>> {
    let sql = "SELECT sweep, first, last, events, chain, parts, parts_sum, checksum \
               FROM snapshot_heads";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut sum = 0_i64;
    while let Some(row) = rows.next()? {
        let stored: i64 = row.get(7)?;
        let sweep = SweepId(row.get::<_, i64>(0)?.cast_unsigned());
        if checksum("snapshot_heads", cells(row, 7)?) != stored {
            return Ok(Err(format!("the head of sweep {sweep} has a wrong checksum")));
        }
        sum = sum.wrapping_add(stored);
        let (first, last) = (row.get(1)?, row.get(2)?);
        let (events, chain, deleted) = (row.get(3)?, row.get(4)?, Deleted::No);
        let head = Head { first, last, events, chain, deleted };
        heads.insert(sweep, StoredHead { head, parts: row.get(5)?, sum: row.get(6)? });
    }
    Ok(Ok(sum))
}

const PARTS_OF_SWEEP: &str = "SELECT sweep, kind, number, bytes, checksum FROM snapshot_parts \
                              WHERE sweep = ?1 ORDER BY kind, number";

/// Reads and checks the parts of a sweep that are needed, and returns the checksums of all.
fn read_parts(
    connection: &Connection,
    sweep: SweepId,
    restore: &mut Restore,
) -> rusqlite::Result<Result<BTreeMap<PartKey, i64>, Unusable>> {
    let mut statement = connection.prepare_cached(PARTS_OF_SWEEP)?;
    let mut rows = statement.query([sweep.0.cast_signed()])?;
    let mut sums = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let Some(kind) = kind_of(row)? else { return Ok(Err(wrong_checksum(sweep))) };
        sums.insert((row.get(1)?, row.get(2)?), row.get(4)?);
        if restore.needs(kind) {
            let added = read_part(row)?.and_then(|part| restore.add(&part).map_err(text));
            if let Err(unusable) = added {
                return Ok(Err(unusable));
            }
        }
    }
    Ok(Ok(sums))
}

/// Reads and checks what a sweep that has ended lacks in memory.
pub(super) fn load(
    connection: &Connection,
    mut job: LoadJob,
) -> rusqlite::Result<Result<LoadedSweep, Unusable>> {
    let mut statement = connection.prepare_cached(PARTS_OF_SWEEP)?;
    let mut rows = statement.query([job.sweep().0.cast_signed()])?;
    while let Some(row) = rows.next()? {
        if kind_of(row)?.is_none_or(PartKind::is_chunk) {
            let added = read_part(row)?.and_then(|part| job.add(&part).map_err(text));
            if let Err(unusable) = added {
                return Ok(Err(unusable));
            }
        }
    }
    Ok(job.finish().map_err(text))
}

/// The kind of a row's part. `None` if there is no such kind, so that the row is damaged.
fn kind_of(row: &Row<'_>) -> rusqlite::Result<Option<PartKind>> {
    let code: i64 = row.get(1)?;
    Ok(PartKind::ALL.into_iter().find(|kind| number_of(*kind) == code))
}

/// Reads and checks a row of `snapshot_parts`.
fn read_part(row: &Row<'_>) -> rusqlite::Result<Result<Part, Unusable>> {
    let sweep = SweepId(row.get::<_, i64>(0)?.cast_unsigned());
    let is_intact = checksum("snapshot_parts", cells(row, 4)?) == row.get::<_, i64>(4)?;
    let (Some(kind), true) = (kind_of(row)?, is_intact) else {
        return Ok(Err(wrong_checksum(sweep)));
    };
    Ok(Ok(Part { sweep, kind, number: row.get(2)?, bytes: row.get(3)? }))
}

fn wrong_checksum(sweep: SweepId) -> Unusable {
    format!("a part of sweep {sweep} has a wrong checksum")
}
