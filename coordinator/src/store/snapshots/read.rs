//! Reading and checking the stored snapshot.

use std::collections::BTreeMap;

use caviar_common::ids::SweepId;
use caviar_core::snapshot::{LoadJob, LoadedSweep, Part, PartKind, Restore, Restored};
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::digest::{Cell, checksum};
use super::super::heads::{Deleted, Head};
use super::{Index, PartKey, StoredPart, SweepIndex, count, number_of};

/// Why a stored snapshot cannot be used.
type Unusable = String;

fn text(error: impl ToString) -> Unusable {
    error.to_string()
}

/// Reads and checks the snapshot. `heads` are the heads of the log. `None` before the first one.
///
/// # Errors
/// The snapshot cannot be used.
pub(in crate::store) fn read(
    connection: &Connection,
    heads: &BTreeMap<SweepId, Head>,
) -> Result<Option<(Index, Restored)>, Unusable> {
    let Some(stored) = read_snapshot(connection).map_err(text)?? else { return Ok(None) };
    // The rows of sweeps that were deleted since are removed by the next snapshot.
    let unread = |known: &StoredHead| SweepIndex { head: known.head, parts: BTreeMap::new() };
    let sweeps = stored.heads.iter().map(|(sweep, known)| (*sweep, unread(known))).collect();
    let Stored { generation, last_event, .. } = stored;
    let mut index = Index { generation, last_event, sweeps };
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
pub(in crate::store) fn check(
    connection: &Connection,
    heads: &BTreeMap<SweepId, Head>,
) -> Result<(), Unusable> {
    let Some((_, restored)) = read(connection, heads)? else { return Ok(()) };
    restored.load_jobs().try_for_each(|job| load(connection, job).map_err(text)?.map(|_| ()))
}

/// The rows of `snapshot` and `snapshot_heads`.
struct Stored {
    generation: i64,
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
    let sql = "SELECT id, generation, last_event, record, heads, heads_sum, checksum FROM snapshot";
    let read = |row: &Row<'_>| {
        let is_intact = row.get::<_, i64>(6)? == checksum("snapshot", cells(row, 6)?);
        let (generation, last_event, record) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let sums = (row.get::<_, i64>(4)?, row.get::<_, i64>(5)?);
        let stored = Stored { generation, last_event, record, heads: BTreeMap::new() };
        Ok((stored, sums, is_intact))
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

/// The latest parts that belong to the snapshot. What is being written belongs to the next one.
const PARTS_OF_SWEEP: &str = "\
SELECT sweep, kind, number, generation, bytes, checksum FROM snapshot_parts AS part
WHERE sweep = ?1 AND generation = (
    SELECT max(generation) FROM snapshot_parts AS other
    WHERE other.sweep = part.sweep AND other.kind = part.kind AND other.number = part.number
    AND other.generation <= (SELECT generation FROM snapshot)
) ORDER BY kind, number";

/// Reads and checks the parts of a sweep that are needed. Returns what is known of all.
fn read_parts(
    connection: &Connection,
    sweep: SweepId,
    restore: &mut Restore,
) -> rusqlite::Result<Result<BTreeMap<PartKey, StoredPart>, Unusable>> {
    let mut statement = connection.prepare_cached(PARTS_OF_SWEEP)?;
    let mut rows = statement.query([sweep.0.cast_signed()])?;
    let mut parts = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let Some(kind) = kind_of(row)? else { return Ok(Err(wrong_checksum(sweep))) };
        let stored = StoredPart { generation: row.get(3)?, checksum: row.get(5)? };
        parts.insert((row.get(1)?, row.get(2)?), stored);
        if restore.needs(kind) {
            let added = read_part(row)?.and_then(|part| restore.add(&part).map_err(text));
            if let Err(unusable) = added {
                return Ok(Err(unusable));
            }
        }
    }
    Ok(Ok(parts))
}

/// Reads and checks what a sweep that has ended lacks in memory.
pub(in crate::store) fn load(
    connection: &Connection,
    mut job: LoadJob,
) -> rusqlite::Result<Result<LoadedSweep, Unusable>> {
    let sweep = job.sweep();
    let mut statement = connection.prepare_cached(PARTS_OF_SWEEP)?;
    let mut rows = statement.query([sweep.0.cast_signed()])?;
    let (mut parts, mut sum) = (0_i64, 0_i64);
    while let Some(row) = rows.next()? {
        (parts, sum) = (parts + 1, sum.wrapping_add(row.get(5)?));
        if kind_of(row)?.is_none_or(PartKind::is_chunk) {
            let added = read_part(row)?.and_then(|part| job.add(&part).map_err(text));
            if let Err(unusable) = added {
                return Ok(Err(unusable));
            }
        }
    }
    let sql = "SELECT parts, parts_sum FROM snapshot_heads WHERE sweep = ?1";
    let known = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
    let known = connection.query_row(sql, [sweep.0.cast_signed()], known).optional()?;
    if known != Some((parts, sum)) {
        return Ok(Err(format!("parts of sweep {sweep} are missing")));
    }
    Ok(job.finish().map_err(text))
}

/// The kind of a row's part. `None` if the row is damaged.
fn kind_of(row: &Row<'_>) -> rusqlite::Result<Option<PartKind>> {
    let code: i64 = row.get(1)?;
    Ok(PartKind::ALL.into_iter().find(|kind| number_of(*kind) == code))
}

/// Reads and checks a row of `snapshot_parts`.
fn read_part(row: &Row<'_>) -> rusqlite::Result<Result<Part, Unusable>> {
    let sweep = SweepId(row.get::<_, i64>(0)?.cast_unsigned());
    let is_intact = checksum("snapshot_parts", cells(row, 5)?) == row.get::<_, i64>(5)?;
    let (Some(kind), true) = (kind_of(row)?, is_intact) else {
        return Ok(Err(wrong_checksum(sweep)));
    };
    Ok(Ok(Part { sweep, kind, number: row.get(2)?, bytes: row.get(4)? }))
}

fn wrong_checksum(sweep: SweepId) -> Unusable {
    format!("a part of sweep {sweep} has a wrong checksum")
}
