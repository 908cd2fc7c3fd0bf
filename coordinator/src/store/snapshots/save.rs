//! Writing a snapshot in several transactions.

use std::collections::BTreeMap;

use caviar_common::ids::SweepId;
use caviar_core::snapshot::{Part, PartKind};
use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::super::StoreError;
use super::super::digest::{Cell, checksum, int, small};
use super::super::heads::{Deleted, Head, execute};
use super::{Index, PartKey, Snapshot, StoredPart, SweepIndex, count, number_of, part_cells};

/// Bytes of parts that are written in one transaction: a few milliseconds.
const BYTES: usize = 256 << 10;
/// Parts that are removed in one transaction. A part may have a hundred kilobytes.
const REMOVED: usize = 64;

/// A snapshot that is being written.
#[derive(Debug)]
pub(in crate::store) struct Saving {
    snapshot: Snapshot,
    /// What is written next.
    step: Step,
    /// What the table has once everything is written.
    index: Index,
    /// The parts of earlier generations that were replaced.
    replaced: Vec<(SweepId, PartKey, i64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Removes what an earlier opening of the store may have left; all rows if none can be used.
    Clear { all: bool },
    /// Writes the parts from this one on.
    Parts(usize),
    /// Makes what was written the snapshot.
    Heads,
    /// Removes the parts that were replaced.
    Replaced,
    /// Nothing is left to do.
    Over,
}

impl Saving {
    /// `index` is that of the stored snapshot; `None` if that one cannot be used. `is_first` says
    /// that nothing was written since the store was opened.
    pub(in crate::store) fn new(snapshot: Snapshot, index: Option<&Index>, is_first: bool) -> Self {
        let step = match index {
            None => Step::Clear { all: true },
            Some(_) if is_first => Step::Clear { all: false },
            Some(_) => Step::Parts(0),
        };
        let mut index = index.cloned().unwrap_or_default();
        index.generation += 1;
        index.last_event = snapshot.mark.last_event;
        Self { snapshot, step, index, replaced: Vec::new() }
    }

    pub(in crate::store) const fn is_over(&self) -> bool {
        matches!(self.step, Step::Over)
    }

    /// Writes some of it in one transaction. `heads` are the heads now: sweeps that were deleted in
    /// the meantime are left out. Returns the index of the snapshot when it has become the stored
    /// one.
    pub(in crate::store) fn write_some(
        &mut self,
        connection: &mut Connection,
        heads: &BTreeMap<SweepId, Head>,
    ) -> Result<Option<Index>, StoreError> {
        let failed = |source| StoreError::database("write a snapshot", source);
        let behavior = TransactionBehavior::Immediate;
        let transaction = connection.transaction_with_behavior(behavior).map_err(failed)?;
        let is_deleted =
            |id: &SweepId| heads.get(id).is_none_or(|head| head.deleted != Deleted::No);
        let next = match self.step {
            Step::Clear { all } => {
                clear(&transaction, all, self.index.generation)?;
                Step::Parts(0)
            }
            Step::Parts(first) => self.write_parts(&transaction, first, is_deleted)?,
            Step::Heads => {
                self.write_heads(&transaction, is_deleted)?;
                Step::Replaced
            }
            Step::Replaced => self.remove_replaced(&transaction)?,
            Step::Over => Step::Over,
        };
        transaction.commit().map_err(failed)?;
        let is_stored = self.step == Step::Heads;
        self.step = next;
        Ok(is_stored.then(|| self.index.clone()))
    }

    fn write_parts(
        &mut self,
        transaction: &Transaction<'_>,
        first: usize,
        is_deleted: impl Fn(&SweepId) -> bool,
    ) -> Result<Step, StoreError> {
        let parts = self.snapshot.encoded.parts.iter().enumerate().skip(first);
        let mut bytes = 0;
        for (number, part) in parts {
            if bytes >= BYTES {
                return Ok(Step::Parts(number));
            }
            let Some(head) = self.snapshot.mark.heads.get(&part.sweep) else { continue };
            if is_deleted(&part.sweep) {
                continue;
            }
            bytes += part.bytes.len();
            let written = write_part(transaction, part, self.index.generation)?;
            let known = SweepIndex { head: *head, parts: BTreeMap::new() };
            let known = self.index.sweeps.entry(part.sweep).or_insert(known);
            known.head = *head;
            let key = (number_of(part.kind), part.number);
            if let Some(before) = known.parts.insert(key, written) {
                self.replaced.push((part.sweep, key, before.generation));
            }
        }
        Ok(Step::Heads)
    }

    /// Writes the heads of the changed sweeps, and the snapshot's own row.
    fn write_heads(
        &mut self,
        transaction: &Transaction<'_>,
        is_deleted: impl Fn(&SweepId) -> bool,
    ) -> Result<(), StoreError> {
        for part in &self.snapshot.encoded.parts {
            if let (PartKind::State, Some(known)) = (part.kind, self.index.sweeps.get(&part.sweep))
            {
                write_head(transaction, part.sweep, known)?;
            }
        }
        let deleted: Vec<SweepId> = self.index.sweeps.keys().copied().filter(is_deleted).collect();
        for sweep in deleted {
            self.index.sweeps.remove(&sweep);
            let sql = "DELETE FROM snapshot_heads WHERE sweep = ?1";
            execute(transaction, sql, &[int(sweep.0)])?;
        }
        write_snapshot(transaction, &self.index, &self.snapshot.encoded.record)?;
        // They may have megabytes, and are in the store now.
        self.snapshot.encoded.parts = Vec::new();
        Ok(())
    }

    fn remove_replaced(&mut self, transaction: &Transaction<'_>) -> Result<Step, StoreError> {
        let rest = self.replaced.len().saturating_sub(REMOVED);
        for (sweep, (kind, number), generation) in self.replaced.split_off(rest) {
            let sql = "DELETE FROM snapshot_parts WHERE sweep = ?1 AND kind = ?2 AND number = ?3 \
                       AND generation = ?4";
            let cells =
                [int(sweep.0), Cell::Integer(kind), small(number), Cell::Integer(generation)];
            execute(transaction, sql, &cells)?;
        }
        Ok(if rest == 0 { Step::Over } else { Step::Replaced })
    }
}

/// Removes all rows, or the parts that are not of the last snapshot: what was written of the next
/// generation, and what was replaced.
fn clear(transaction: &Transaction<'_>, all: bool, next: i64) -> Result<(), StoreError> {
    let failed = |source| StoreError::database("clear a snapshot", source);
    if all {
        let sql = "DELETE FROM snapshot_parts; DELETE FROM snapshot_heads; DELETE FROM snapshot";
        return transaction.execute_batch(sql).map_err(failed);
    }
    let sql = "DELETE FROM snapshot_parts WHERE generation >= ?1";
    execute(transaction, sql, &[Cell::Integer(next)])?;
    let sql = "DELETE FROM snapshot_parts AS part WHERE EXISTS (SELECT 1 FROM snapshot_parts AS \
               later WHERE later.sweep = part.sweep AND later.kind = part.kind AND later.number = \
               part.number AND later.generation > part.generation)";
    execute(transaction, sql, &[])
}

fn write_part(
    transaction: &Transaction<'_>,
    part: &Part,
    generation: i64,
) -> Result<StoredPart, StoreError> {
    let cells = part_cells(part, generation);
    let checksum = checksum("snapshot_parts", cells);
    let sql = "INSERT OR REPLACE INTO snapshot_parts (sweep, kind, number, generation, bytes, \
               checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let cells: Vec<Cell<'_>> = cells.into_iter().chain([Cell::Integer(checksum)]).collect();
    execute(transaction, sql, &cells)?;
    Ok(StoredPart { generation, checksum })
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
    let (generation, last_event) =
        (Cell::Integer(index.generation), Cell::Integer(index.last_event));
    let sum = Cell::Integer(index.sum());
    let cells = [small(1), generation, last_event, Cell::Blob(record), heads, sum];
    let sum = Cell::Integer(checksum("snapshot", cells));
    let cells: Vec<Cell<'_>> = cells.into_iter().chain([sum]).collect();
    let sql = "INSERT OR REPLACE INTO snapshot (id, generation, last_event, record, heads, \
               heads_sum, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    execute(transaction, sql, &cells)
}
