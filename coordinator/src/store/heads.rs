//! How far the log goes: the row of the table `store`, and the rows of `heads`.
//!
//! ```text
//! store:  id, term, number of the last batch, number of the last event, heads and their sum
//! heads:  for each sweep: its first and last event, how many there are, the last chain value
//! ```
//! An event's chain value covers that of the event before it in its sweep. So a changed, missing,
//! moved or added event shows at that event, a missing tail of a sweep shows at its head, and a
//! missing head shows in `store`. Each of these rows has a checksum of its own.

use std::collections::BTreeMap;

use caviar_common::ids::{StoreId, SweepId};
use rusqlite::{Connection, Transaction};

use super::StoreError;
use super::digest::{Cell, bind, checksum, int, text};

/// The row of the table `store`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ledger {
    pub(super) id: StoreId,
    /// Raised each time the store is opened for writing.
    pub(super) term: u64,
    /// The number of the last batch; 0 before the first one.
    pub(super) sequence: u64,
    /// The number of the last event; 0 before the first one.
    pub(super) last_event: i64,
    /// How many heads there are.
    pub(super) heads: i64,
    /// The sum of the checksums of all heads.
    pub(super) heads_sum: i64,
    /// True while a coordinator has the store open for writing, and after it was killed.
    pub(super) is_open: bool,
}

impl Ledger {
    /// The row of a new store.
    pub(super) const fn new(id: StoreId) -> Self {
        let (term, sequence, last_event, heads, heads_sum) = (0, 0, 0, 0, 0);
        Self { id, term, sequence, last_event, heads, heads_sum, is_open: false }
    }

    fn cells(&self) -> [Cell<'static>; 7] {
        [
            int(self.id.0),
            int(self.term),
            int(self.sequence),
            Cell::Integer(self.last_event),
            Cell::Integer(self.heads),
            Cell::Integer(self.heads_sum),
            int(self.is_open.into()),
        ]
    }

    /// Reads and checks the row.
    pub(super) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let failed = |source| StoreError::database("read the table store", source);
        let sql = "SELECT id, term, sequence, last_event, heads, heads_sum, is_open, checksum \
                   FROM store";
        let mut statement = connection.prepare(sql).map_err(failed)?;
        let row = |row: &rusqlite::Row<'_>| {
            let ledger = Self {
                id: StoreId(row.get::<_, i64>(0)?.cast_unsigned()),
                term: row.get::<_, i64>(1)?.cast_unsigned(),
                sequence: row.get::<_, i64>(2)?.cast_unsigned(),
                last_event: row.get(3)?,
                heads: row.get(4)?,
                heads_sum: row.get(5)?,
                is_open: row.get(6)?,
            };
            Ok((ledger, row.get::<_, i64>(7)?))
        };
        let mut rows = statement.query_map([], row).map_err(failed)?;
        let (Some(only), None) = (rows.next(), rows.next()) else {
            return Err(StoreError::corrupt("the table store", "it does not have one row"));
        };
        let (ledger, stored) = only.map_err(failed)?;
        if checksum("store", ledger.cells()) == stored {
            Ok(ledger)
        } else {
            Err(StoreError::corrupt_row("store", 1))
        }
    }

    /// Writes the row of a new store.
    pub(super) fn insert(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let sql = "INSERT INTO store (id, term, sequence, last_event, heads, heads_sum, is_open, \
                   checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.run(transaction, sql)
    }

    /// Replaces the row.
    pub(super) fn update(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        let sql = "UPDATE store SET id = ?1, term = ?2, sequence = ?3, last_event = ?4, \
                   heads = ?5, heads_sum = ?6, is_open = ?7, checksum = ?8";
        self.run(transaction, sql)
    }

    fn run(&self, transaction: &Transaction<'_>, sql: &str) -> Result<(), StoreError> {
        let cells = self.cells();
        let sum = Cell::Integer(checksum("store", cells));
        let all: Vec<Cell<'_>> = cells.into_iter().chain([sum]).collect();
        execute(transaction, sql, &all)
    }
}

/// Runs a statement with these cells as its parameters.
pub(super) fn execute(
    connection: &Connection,
    sql: &str,
    cells: &[Cell<'_>],
) -> Result<(), StoreError> {
    let failed = |source| StoreError::database("write events", source);
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    statement.execute(bind(cells)).map(|_| ()).map_err(failed)
}

/// Whether a sweep was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deleted {
    /// The sweep exists.
    No,
    /// The sweep was deleted, and some of its rows are still to be removed.
    Partly,
    /// Only the event of the deletion is left.
    Wholly,
}

impl Deleted {
    const ALL: [Self; 3] = [Self::No, Self::Partly, Self::Wholly];

    const fn number(self) -> i64 {
        match self {
            Self::No => 0,
            Self::Partly => 1,
            Self::Wholly => 2,
        }
    }
}

/// The row of the table `heads` for one sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The number of its first event that counts. Those before it belong to a deleted sweep.
    pub(super) first: i64,
    /// The number of its last event.
    pub(super) last: i64,
    /// How many events it has.
    pub(super) events: i64,
    /// The chain value of its last event.
    pub(super) chain: i64,
    pub(super) deleted: Deleted,
}

impl Head {
    /// The head of a sweep without events, whose first one will be `first`.
    pub(super) const fn before(first: i64) -> Self {
        Self { first, last: 0, events: 0, chain: 0, deleted: Deleted::No }
    }

    /// Adds an event and returns its chain value.
    pub(super) fn add(&mut self, event: &EventRow<'_>) -> i64 {
        self.chain = event.chain_after(self.chain);
        self.last = event.id;
        self.events += 1;
        self.chain
    }

    fn cells(&self, sweep: SweepId) -> [Cell<'static>; 6] {
        [
            int(sweep.0),
            Cell::Integer(self.first),
            Cell::Integer(self.last),
            Cell::Integer(self.events),
            Cell::Integer(self.chain),
            Cell::Integer(self.deleted.number()),
        ]
    }

    /// The checksum of the row.
    pub(super) fn checksum(&self, sweep: SweepId) -> i64 {
        checksum("heads", self.cells(sweep))
    }

    /// Writes the row, and enters it in the ledger in place of `before`.
    pub(super) fn write(
        &self,
        transaction: &Transaction<'_>,
        sweep: SweepId,
        before: Option<&Self>,
        ledger: &mut Ledger,
    ) -> Result<(), StoreError> {
        let sum = self.checksum(sweep);
        match before {
            Some(before) => {
                ledger.heads_sum = ledger.heads_sum.wrapping_sub(before.checksum(sweep));
            }
            None => ledger.heads += 1,
        }
        ledger.heads_sum = ledger.heads_sum.wrapping_add(sum);
        let sql = "INSERT OR REPLACE INTO heads (sweep, first, last, events, chain, deleted, \
                   checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        let all: Vec<Cell<'_>> =
            self.cells(sweep).into_iter().chain([Cell::Integer(sum)]).collect();
        execute(transaction, sql, &all)
    }
}

/// A row of the table `events` before its chain value.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventRow<'a> {
    pub(super) id: i64,
    pub(super) at: &'a str,
    pub(super) sweep: i64,
    pub(super) name: &'a str,
    pub(super) body: &'a str,
}

impl EventRow<'_> {
    /// The chain value of this event after an event with the chain value `before`, which is 0
    /// before the first event of a sweep.
    pub(super) fn chain_after(&self, before: i64) -> i64 {
        let cells = [
            Cell::Integer(before),
            Cell::Integer(self.id),
            text(self.at),
            Cell::Integer(self.sweep),
            text(self.name),
            text(self.body),
        ];
        checksum("events", cells)
    }
}

/// All heads, and what is wrong with the others.
#[derive(Debug, Default)]
pub(super) struct Heads {
    pub(super) good: BTreeMap<SweepId, Head>,
    /// The sweeps whose heads are damaged.
    pub(super) damaged: Vec<SweepId>,
}

impl Heads {
    /// Reads and checks the heads.
    ///
    /// # Errors
    /// The table cannot be read, or heads are missing.
    pub(super) fn read(connection: &Connection, ledger: &Ledger) -> Result<Self, StoreError> {
        let (heads, sum) = Self::scan(connection)?;
        let found = i64::try_from(heads.good.len() + heads.damaged.len()).unwrap_or(i64::MAX);
        let is_sum_known = heads.damaged.is_empty();
        if found != ledger.heads || (is_sum_known && sum != ledger.heads_sum) {
            let detail = format!("{found} heads of sweeps differ from the {} known", ledger.heads);
            return Err(StoreError::corrupt("the table heads", detail));
        }
        Ok(heads)
    }

    /// Reads the heads that are there, and the sum of their checksums.
    pub(super) fn scan(connection: &Connection) -> Result<(Self, i64), StoreError> {
        let failed = |source| StoreError::database("read the table heads", source);
        let sql = "SELECT sweep, first, last, events, chain, deleted, checksum FROM heads";
        let mut statement = connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let (mut heads, mut sum) = (Self::default(), 0_i64);
        while let Some(row) = rows.next().map_err(failed)? {
            let sweep = SweepId(row.get::<_, i64>(0).map_err(failed)?.cast_unsigned());
            match decode(row, sweep) {
                Ok(Some((head, stored))) => {
                    sum = sum.wrapping_add(stored);
                    heads.good.insert(sweep, head);
                }
                Ok(None) | Err(_) => heads.damaged.push(sweep),
            }
        }
        Ok((heads, sum))
    }
}

/// The head in a row and its checksum; `None` if the checksum is wrong.
fn decode(row: &rusqlite::Row<'_>, sweep: SweepId) -> rusqlite::Result<Option<(Head, i64)>> {
    let deleted: i64 = row.get(5)?;
    let Some(deleted) = Deleted::ALL.into_iter().find(|state| state.number() == deleted) else {
        return Ok(None);
    };
    let head = Head {
        first: row.get(1)?,
        last: row.get(2)?,
        events: row.get(3)?,
        chain: row.get(4)?,
        deleted,
    };
    let stored: i64 = row.get(6)?;
    Ok((stored == head.checksum(sweep)).then_some((head, stored)))
}
