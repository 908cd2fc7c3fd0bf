//! Comparing the reading tables of two stores.

use std::collections::BTreeMap;

use caviar_common::ids::SweepId;
use rusqlite::types::Value;
use rusqlite::{Connection, Statement};

use super::salvage::{Log, Source};
use crate::store::StoreError;
use crate::store::schema::FIRST_CHECKED;

/// The reading tables, with their rows of one sweep in the order of their keys.
const TABLES: [(&str, &str); 4] = [
    ("sweeps", "SELECT * FROM sweeps WHERE id = ?1"),
    ("trial_samples", "SELECT * FROM trial_samples WHERE sweep = ?1 ORDER BY trial"),
    ("trial_states", "SELECT * FROM trial_states WHERE sweep = ?1 ORDER BY trial"),
    ("metrics", "SELECT * FROM metrics WHERE sweep = ?1 ORDER BY trial, epoch"),
];

/// How the reading tables of a store differ from those that its events make, for each sweep with
/// intact events. A store of format 1 or 2 has no tables that are read.
pub(super) fn differences(
    source: &Source,
    logs: &BTreeMap<SweepId, Log>,
    expected: &Connection,
) -> Result<BTreeMap<SweepId, String>, StoreError> {
    let mut found = BTreeMap::new();
    if source.format < FIRST_CHECKED {
        return Ok(found);
    }
    for (sweep, _) in logs.iter().filter(|(_, log)| log.damage.is_none() && !log.is_deleted) {
        for (table, sql) in TABLES {
            let failed = |source| StoreError::database("read the new store", source);
            let mut expected = expected.prepare_cached(sql).map_err(failed)?;
            let stored = source.connection.prepare_cached(sql);
            let difference = match stored {
                Ok(mut stored) => difference(&mut stored, &mut expected, *sweep),
                Err(error) => Some(error.to_string()),
            };
            if let Some(difference) = difference {
                let text = format!("the table {table} does not agree: {difference}");
                found.entry(*sweep).or_insert(text);
            }
        }
    }
    Ok(found)
}

/// The first difference between the rows of two tables.
fn difference(
    stored: &mut Statement<'_>,
    expected: &mut Statement<'_>,
    sweep: SweepId,
) -> Option<String> {
    let (stored_columns, expected_columns) = (stored.column_count(), expected.column_count());
    let sweep = [sweep.0.cast_signed()];
    let (mut stored, mut expected) = match (stored.query(sweep), expected.query(sweep)) {
        (Ok(stored), Ok(expected)) => (stored, expected),
        (Err(error), _) | (_, Err(error)) => return Some(error.to_string()),
    };
    let values = |row: &rusqlite::Row<'_>, columns| {
        (0..columns).map(|i| row.get::<_, Value>(i)).collect::<Result<Vec<_>, _>>()
    };
    for number in 1_u64.. {
        let stored =
            stored.next().and_then(|row| row.map(|r| values(r, stored_columns)).transpose());
        let expected =
            expected.next().and_then(|row| row.map(|r| values(r, expected_columns)).transpose());
        match (stored, expected) {
            (Ok(None), Ok(None)) => return None,
            (Ok(stored), Ok(expected)) if stored == expected => {}
            (Ok(None), Ok(Some(_))) => return Some(format!("row {number} is missing")),
            (Ok(Some(_)), Ok(None)) => return Some(format!("row {number} is one too many")),
            (Ok(_), Ok(_)) => return Some(format!("row {number} differs")),
            (Err(error), _) | (_, Err(error)) => return Some(error.to_string()),
        }
    }
    None
}
