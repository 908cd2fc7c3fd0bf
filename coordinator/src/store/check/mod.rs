//! Checking a store, and saving what can be saved of a damaged one.
//!
//! A check reads every event, applies it, and writes everything into a new store: a temporary one,
//! or the one that a repair makes. The reading tables of both are then compared. Nothing is written
//! to the checked store.

mod compare;
mod salvage;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use caviar_common::ids::SweepId;
use rusqlite::{Connection, TransactionBehavior};
use serde::Serialize;

use self::salvage::{Log, Source};
use super::migrate::{self, Misfit};
use super::schema::FIRST_CHECKED;
use super::sqlite::SqliteStore;
use super::{Store, StoreError, open};

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The store that was checked.
    pub store: PathBuf,
    /// The format of the store.
    pub format: i64,
    /// What is wrong with the store as a whole.
    pub problems: Vec<String>,
    /// Every sweep that was not deleted.
    pub sweeps: Vec<SweepReport>,
    /// The new store, if what can be saved was written to it.
    pub repaired: Option<PathBuf>,
}

/// What a check has found about one sweep.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SweepReport {
    /// The number of the sweep.
    pub sweep: u64,
    /// The name of the sweep; `None` if the event that has it is damaged.
    pub name: Option<String>,
    /// How many events the sweep has; `None` if that is not known.
    pub events: Option<u64>,
    /// How many of them can be saved: those before the first one that is damaged or missing.
    pub intact: u64,
    /// The last row of `events` that can be saved; `None` if nothing can.
    pub last_row: Option<i64>,
    /// What is wrong with the next event; `None` if all events are intact.
    pub damage: Option<String>,
    /// How the reading tables differ from the events; `None` if they agree, or if the events are
    /// damaged.
    pub tables: Option<String>,
}

impl Report {
    /// True if nothing is wrong.
    pub fn is_intact(&self) -> bool {
        let is_intact = |sweep: &SweepReport| sweep.damage.is_none() && sweep.tables.is_none();
        self.problems.is_empty() && self.sweeps.iter().all(is_intact)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.is_intact(), self.format < FIRST_CHECKED) {
            (true, false) => "intact",
            (true, true) => "no damage found (rows of this format have no checksums)",
            (false, _) => "damaged",
        };
        writeln!(f, "{}: format {}, {state}", self.store.display(), self.format)?;
        self.problems.iter().try_for_each(|problem| writeln!(f, "  {problem}"))?;
        self.sweeps.iter().try_for_each(|sweep| writeln!(f, "  {sweep}"))?;
        match &self.repaired {
            Some(new) => writeln!(f, "written to {}", new.display()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for SweepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sweep, intact, .. } = self;
        write!(f, "sweep {sweep} {}: ", self.name.as_deref().unwrap_or("(name unknown)"))?;
        let Some(damage) = &self.damage else {
            return match &self.tables {
                Some(tables) => write!(f, "{intact} events are intact, {tables}"),
                None => write!(f, "{intact} events are intact"),
            };
        };
        let of = self.events.map_or_else(String::new, |events| format!(" of {events}"));
        write!(f, "{damage}; {intact}{of} events can be saved")?;
        match self.last_row {
            Some(row) => write!(f, ", up to row {row}"),
            None => Ok(()),
        }
    }
}

/// Checks a store and writes nothing.
///
/// # Errors
/// The store is in use, is not a store, or cannot be read at all.
pub fn check(path: &Path) -> Result<Report, StoreError> {
    let mut source = Source::open(path)?;
    let mut logs = source.read();
    let failed = |source| StoreError::database("write a temporary store", source);
    // A database without a name is a temporary file.
    let mut temporary = Connection::open("").map_err(failed)?;
    rebuild(&source, &mut logs, &mut temporary)?;
    let tables = compare::differences(&source, &logs, &temporary)?;
    Ok(report(source, logs, tables))
}

/// Writes what can be saved of the store at `path` to a new store.
///
/// # Errors
/// As [`check`], or the new store exists or cannot be written.
pub fn repair(path: &Path, new: &Path) -> Result<Report, StoreError> {
    if new.exists() {
        return Err(StoreError::Exists(new.to_owned()));
    }
    open::check_place(new)?;
    let mut source = Source::open(path)?;
    let mut logs = source.read();
    let failed = |source| StoreError::database("write the new store", source);
    open::create(new);
    let mut connection = Connection::open(new).map_err(failed)?;
    rebuild(&source, &mut logs, &mut connection)?;
    let tables = compare::differences(&source, &logs, &connection)?;
    drop(connection);
    // The opening checks what was written, and closes it in order.
    let mut written = SqliteStore::open(new)?;
    let mut events = written.load()?;
    events.by_ref().try_for_each(|event| event.map(|_| ()))?;
    if let Some(damage) = events.damages().first() {
        return Err(damage.clone().into_error());
    }
    let report = report(source, logs, tables);
    Ok(Report { repaired: Some(new.to_owned()), ..report })
}

/// Writes everything that can be saved into an empty database. An event that does not follow those
/// before it ends what can be saved of its sweep.
fn rebuild(
    source: &Source,
    logs: &mut BTreeMap<SweepId, Log>,
    target: &mut Connection,
) -> Result<(), StoreError> {
    let failed = |source| StoreError::database("write the new store", source);
    loop {
        let transaction =
            target.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let ledger = migrate::create_marked(&transaction)?;
        match migrate::refill(&transaction, ledger, source.events(logs)) {
            Ok(_) => return transaction.commit().map_err(failed),
            Err(Misfit { row, error: StoreError::Corrupt { detail, .. } }) => {
                let log = logs.values_mut().find(|log| log.has(row));
                let log = log.ok_or_else(|| StoreError::corrupt("the events", detail.clone()))?;
                log.cut(row, format!("row {row} of events: {detail}"));
            }
            Err(misfit) => return Err(misfit.error),
        }
    }
}

fn report(
    source: Source,
    logs: BTreeMap<SweepId, Log>,
    mut tables: BTreeMap<SweepId, String>,
) -> Report {
    let is_shown = |log: &Log| !log.is_deleted || log.damage.is_some();
    let sweeps =
        logs.into_iter().filter(|(_, log)| is_shown(log)).map(|(sweep, log)| SweepReport {
            sweep: sweep.0,
            events: log.expected,
            intact: u64::try_from(log.rows.len()).unwrap_or(u64::MAX),
            last_row: log.rows.last().copied(),
            tables: tables.remove(&sweep),
            name: log.name,
            damage: log.damage,
        });
    let sweeps = sweeps.collect();
    let Source { path, format, problems, .. } = source;
    Report { store: path, format, problems, sweeps, repaired: None }
}
