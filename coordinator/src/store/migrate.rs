//! Creating a store, and filling one from the events of another: those of an older format, or those
//! that can be saved.

use std::collections::BTreeMap;

use caviar_common::ids::{StoreId, SweepId};
use caviar_core::Replay;
use caviar_core::event::Event;
use caviar_core::input::{self, Config};
use rusqlite::Transaction;

use super::heads::Ledger;
use super::load::{Page, StoredEvent, parse};
use super::schema::{
    APPLICATION_ID, DROP_OLD_EVENTS, FORMAT, READING_TABLES, SET_OLD_TABLES_ASIDE, TABLES,
};
use super::write::Writer;
use super::{Rows, StoreError};

/// An event of another store.
pub(super) struct OldEvent {
    /// The number of its row there.
    pub(super) row: i64,
    /// When it was stored there.
    pub(super) at: String,
    pub(super) event: Event,
}

/// Creates the tables of a new store.
pub(super) fn create(transaction: &Transaction<'_>) -> Result<Ledger, StoreError> {
    let failed = |source| StoreError::database("create the store", source);
    let id = transaction.query_row("SELECT random()", [], |row| row.get::<_, i64>(0));
    create_with_id(transaction, StoreId(id.map_err(failed)?.cast_unsigned()))
}

/// Creates the tables of a new store, and marks the file as one.
pub(super) fn create_marked(transaction: &Transaction<'_>) -> Result<Ledger, StoreError> {
    let failed = |source| StoreError::database("create the store", source);
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    transaction.pragma_update(None, "user_version", FORMAT).map_err(failed)?;
    create(transaction)
}

fn create_with_id(transaction: &Transaction<'_>, id: StoreId) -> Result<Ledger, StoreError> {
    let failed = |source| StoreError::database("create the store", source);
    transaction.execute_batch(TABLES).map_err(failed)?;
    transaction.execute_batch(READING_TABLES).map_err(failed)?;
    let ledger = Ledger::new(id);
    ledger.insert(transaction)?;
    Ok(ledger)
}

/// Upgrades a store of format 1 or 2. Its events get checksums, and the reading tables are written
/// again.
pub(super) fn upgrade(transaction: &Transaction<'_>) -> Result<Ledger, StoreError> {
    let failed = |source| StoreError::database("upgrade the store", source);
    let id = transaction.query_row("SELECT id FROM store", [], |row| row.get::<_, i64>(0));
    let id = StoreId(id.map_err(failed)?.cast_unsigned());
    transaction.execute_batch(SET_OLD_TABLES_ASIDE).map_err(failed)?;
    let ledger = create_with_id(transaction, id)?;
    let mut page = Page::of_old_events();
    let events = std::iter::from_fn(|| page.next(transaction).transpose());
    let events = events.map(|stored| stored.and_then(decode_old));
    let ledger = refill(transaction, ledger, events).map_err(|misfit| misfit.error)?;
    transaction.execute_batch(DROP_OLD_EVENTS).map_err(failed)?;
    Ok(ledger)
}

fn decode_old(stored: StoredEvent) -> Result<OldEvent, StoreError> {
    let event = parse(&stored);
    let place = || format!("row {} of events", stored.id);
    let event = event.map_err(|detail| StoreError::corrupt(place(), detail))?;
    Ok(OldEvent { row: stored.id, at: stored.at, event })
}

/// Events after which the rows that they have changed are written.
const ROWS_EVERY: u32 = 4_096;

/// The event at which filling a store ended, and why.
#[derive(Debug)]
pub(super) struct Misfit {
    /// The number of the event's row in the other store.
    pub(super) row: i64,
    pub(super) error: StoreError,
}

/// Writes events into an empty store, and the reading tables that follow from them.
pub(super) fn refill(
    transaction: &Transaction<'_>,
    ledger: Ledger,
    events: impl Iterator<Item = Result<OldEvent, StoreError>>,
) -> Result<Ledger, Misfit> {
    let heads = BTreeMap::new();
    let mut writer = Writer::new(transaction, ledger, &heads);
    let mut replay = Replay::new(Config::default(), ledger.id);
    let (mut shown, mut row, mut since) = (BTreeMap::new(), 0, 0);
    for next in events {
        let old = next.map_err(|error| Misfit { row, error })?;
        row = old.row;
        let misfit = |error| Misfit { row, error };
        replay.apply_with_rows(&old.event).map_err(|broken| {
            misfit(StoreError::corrupt(format!("row {row} of events"), broken.to_string()))
        })?;
        writer.write_event(&old.event, &old.at).map_err(misfit)?;
        since += 1;
        if since == ROWS_EVERY {
            write_rows(&mut replay, &mut writer, &mut shown).map_err(misfit)?;
            since = 0;
        }
    }
    let misfit = |error| Misfit { row, error };
    write_rows(&mut replay, &mut writer, &mut shown).map_err(misfit)?;
    Ok(writer.finish().map_err(misfit)?.ledger)
}

/// Writes the rows of the sweeps and trials that have changed.
fn write_rows(
    replay: &mut Replay,
    writer: &mut Writer<'_>,
    shown: &mut BTreeMap<SweepId, i64>,
) -> Result<(), StoreError> {
    let input::Rows { sweeps, trials } = replay.take_rows();
    let sweeps = sweeps.into_iter().filter_map(|sweep| replay.sweep(sweep)).collect();
    writer.write_rows(&Rows { sweeps, trials }, shown)
}
