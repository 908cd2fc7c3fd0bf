//! Removing the rows of deleted sweeps, a few at a time.

use std::collections::BTreeMap;

use caviar_common::ids::SweepId;
use rusqlite::{Transaction, params_from_iter};

use super::StoreError;
use super::heads::{Deleted, Head, Ledger};

/// Rows that are removed in one transaction: about 10 ms.
const ROWS: i64 = 2_000;

/// The tables with rows of a deleted sweep. What is left of its events is the one that deletes it.
const TABLES: [&str; 5] = [
    // A part may have a hundred kilobytes.
    "DELETE FROM snapshot_parts WHERE sweep = ?1 AND (kind, number) IN \
     (SELECT kind, number FROM snapshot_parts WHERE sweep = ?1 LIMIT ?2 / 50)",
    "DELETE FROM metrics WHERE sweep = ?1 AND (trial, epoch) IN \
     (SELECT trial, epoch FROM metrics WHERE sweep = ?1 LIMIT ?2)",
    "DELETE FROM trial_states WHERE sweep = ?1 AND trial IN \
     (SELECT trial FROM trial_states WHERE sweep = ?1 LIMIT ?2)",
    "DELETE FROM trial_samples WHERE sweep = ?1 AND trial IN \
     (SELECT trial FROM trial_samples WHERE sweep = ?1 LIMIT ?2)",
    "DELETE FROM events WHERE id IN \
     (SELECT id FROM events WHERE sweep = ?1 AND id < ?3 LIMIT ?2)",
];

/// Removes some rows of the first sweep that was deleted. Returns the sweep and its head if none
/// are left.
pub(super) fn remove_some(
    transaction: &Transaction<'_>,
    heads: &BTreeMap<SweepId, Head>,
    ledger: &mut Ledger,
) -> Result<Option<(SweepId, Head)>, StoreError> {
    let failed = |source| StoreError::database("remove a deleted sweep", source);
    let Some((sweep, head)) = heads.iter().find(|(_, head)| head.deleted == Deleted::Partly) else {
        return Ok(None);
    };
    for sql in TABLES {
        let mut statement = transaction.prepare_cached(sql).map_err(failed)?;
        let values = [sweep.0.cast_signed(), ROWS, head.first];
        let values = values.into_iter().take(statement.parameter_count());
        if statement.execute(params_from_iter(values)).map_err(failed)? > 0 {
            return Ok(None);
        }
    }
    let removed = Head { deleted: Deleted::Wholly, ..*head };
    removed.write(transaction, *sweep, Some(head), ledger)?;
    Ok(Some((*sweep, removed)))
}
