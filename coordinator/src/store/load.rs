//! Reading the events of a store, and checking each against its chain.

use std::collections::{BTreeMap, VecDeque};

use caviar_common::ids::SweepId;
use caviar_core::event::Event;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::heads::{Deleted, EventRow, Head, Heads};
use super::snapshots::Index;
use super::{Damage, Events, StoreError};

/// Rows that are read at once.
const MAX_ROWS: usize = 1_000;
/// Bytes of bodies after which no more rows are read at once.
const MAX_BYTES: usize = 1 << 22;

/// A row of `events` as it is in the store.
#[derive(Debug)]
pub(super) struct StoredEvent {
    pub(super) id: i64,
    pub(super) at: String,
    pub(super) sweep: i64,
    pub(super) name: String,
    pub(super) body: String,
    pub(super) chain: i64,
    /// What could not be read of the row.
    pub(super) fault: Option<String>,
}

impl StoredEvent {
    /// Reads a row. A value of another type than it should have is a fault of the row.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut fault = None;
        let mut text = |column, name| match row.get_ref(column) {
            Ok(ValueRef::Text(text)) => match std::str::from_utf8(text) {
                Ok(text) => text.to_owned(),
                Err(_) => String::from_utf8_lossy(text).into_owned(),
            },
            Ok(_) | Err(_) => {
                fault = Some(format!("the {name} is not text"));
                String::new()
            }
        };
        let (at, name, body) = (text(1, "time"), text(3, "name"), text(4, "body"));
        let number = |column| match row.get_ref(column) {
            Ok(ValueRef::Integer(number)) => number,
            Ok(_) | Err(_) => 0,
        };
        let (sweep, chain) = (number(2), number(5));
        Ok(Self { id: row.get(0)?, at, sweep, name, body, chain, fault })
    }

    pub(super) fn row(&self) -> EventRow<'_> {
        let Self { id, at, sweep, name, body, .. } = self;
        EventRow { id: *id, at, sweep: *sweep, name, body }
    }
}

/// The event in a row.
///
/// # Errors
/// What is wrong with the row.
pub(super) fn parse(stored: &StoredEvent) -> Result<Event, String> {
    if let Some(fault) = &stored.fault {
        return Err(fault.clone());
    }
    let event: Event = serde_json::from_str(&stored.body).map_err(|error| error.to_string())?;
    if event.sweep.0.cast_signed() == stored.sweep {
        Ok(event)
    } else {
        Err(format!("the body is about sweep {}, and the row about another", event.sweep))
    }
}

/// Some rows of events, and how to read the next ones.
#[derive(Debug)]
pub(super) struct Page {
    sql: &'static str,
    rows: VecDeque<StoredEvent>,
    last: i64,
    is_last_page: bool,
}

impl Page {
    const fn new(sql: &'static str) -> Self {
        Self { sql, rows: VecDeque::new(), last: i64::MIN, is_last_page: false }
    }

    /// The events of a store of this format.
    pub(super) const fn of_events() -> Self {
        Self::new("SELECT id, at, sweep, event, body, chain FROM events WHERE id > ?1 ORDER BY id")
    }

    /// The events of a store of format 1 or 2.
    pub(super) const fn of_unchecked_events() -> Self {
        Self::new("SELECT id, at, sweep, event, body, 0 FROM events WHERE id > ?1 ORDER BY id")
    }

    /// The events of a store that is being upgraded.
    pub(super) const fn of_old_events() -> Self {
        Self::new("SELECT id, at, sweep, event, body, 0 FROM old_events WHERE id > ?1 ORDER BY id")
    }

    /// Skips a row that cannot be read, and returns its number.
    pub(super) fn skip(&mut self) -> i64 {
        self.last = self.last.saturating_add(1).max(1);
        self.last
    }

    /// The next row; `None` after the last one.
    pub(super) fn next(
        &mut self,
        connection: &Connection,
    ) -> Result<Option<StoredEvent>, StoreError> {
        if self.rows.is_empty() && !self.is_last_page {
            self.read(connection).map_err(|source| StoreError::database("read events", source))?;
        }
        Ok(self.rows.pop_front())
    }

    fn read(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(self.sql)?;
        let mut rows = statement.query([self.last])?;
        let mut bytes = 0;
        while self.rows.len() < MAX_ROWS && bytes < MAX_BYTES {
            let Some(row) = rows.next()? else {
                self.is_last_page = true;
                break;
            };
            let stored = StoredEvent::read(row)?;
            bytes += stored.body.len();
            self.last = stored.id;
            self.rows.push_back(stored);
        }
        Ok(())
    }
}

/// The events of a store of this format, as they are read.
#[derive(Debug)]
pub(super) struct Loaded<'a> {
    connection: &'a Connection,
    heads: &'a BTreeMap<SweepId, Head>,
    page: Page,
    /// How far each sweep was read.
    read: BTreeMap<SweepId, Head>,
    damages: Vec<Damage>,
    is_over: bool,
}

impl<'a> Loaded<'a> {
    pub(super) fn new(connection: &'a Connection, heads: &'a Heads) -> Self {
        let (page, read) = (Page::of_events(), BTreeMap::new());
        let damage = |sweep: &SweepId| Damage {
            sweep: *sweep,
            row: None,
            detail: format!("its row of heads: {WRONG}"),
            intact: 0,
        };
        let damages = heads.damaged.iter().map(damage).collect();
        Self { connection, heads: &heads.good, page, read, damages, is_over: false }
    }

    /// The events after a snapshot, which has everything before them.
    pub(super) fn after(connection: &'a Connection, heads: &'a Heads, index: &Index) -> Self {
        let mut loaded = Self::new(connection, heads);
        loaded.page.last = index.last_event;
        for (sweep, head) in &heads.good {
            let before = match head.deleted {
                Deleted::No => index.head(*sweep),
                Deleted::Partly | Deleted::Wholly => {
                    (head.last <= index.last_event).then_some(*head)
                }
            };
            loaded.read.extend(before.map(|before| (*sweep, before)));
        }
        loaded
    }

    /// Checks a row; `None` if it is to be skipped.
    fn check(&mut self, stored: &StoredEvent) -> Option<Event> {
        let sweep = SweepId(stored.sweep.cast_unsigned());
        if self.damages.iter().any(|damage| damage.sweep == sweep) {
            return None;
        }
        let Some(head) = self.heads.get(&sweep) else {
            self.damage(sweep, Some(stored.id), "it belongs to a sweep that is not known");
            return None;
        };
        if stored.id < head.first && head.deleted == Deleted::Partly {
            // A row of a deleted sweep that is still to be removed.
            return None;
        }
        let read = self.read.entry(sweep).or_insert_with(|| Head::before(head.first));
        let mut next = *read;
        if next.add(&stored.row()) != stored.chain {
            self.damage(sweep, Some(stored.id), WRONG);
            return None;
        }
        match parse(stored) {
            Ok(event) => {
                *read = next;
                Some(event)
            }
            Err(detail) => {
                self.damage(sweep, Some(stored.id), &detail);
                None
            }
        }
    }

    fn damage(&mut self, sweep: SweepId, row: Option<i64>, detail: &str) {
        let intact = self.read.get(&sweep).map_or(0, |read| read.events.unsigned_abs());
        self.damages.push(Damage { sweep, row, detail: detail.to_owned(), intact });
    }

    /// Finds the sweeps whose last events are missing.
    fn finish(&mut self) {
        self.is_over = true;
        for (sweep, head) in self.heads {
            let read = self.read.get(sweep).map_or(0, |read| read.events);
            let is_known = self.damages.iter().any(|damage| damage.sweep == *sweep);
            let chain = self.read.get(sweep).map_or(0, |read| read.chain);
            if !is_known && (read, chain) != (head.events, head.chain) {
                let detail = format!("{read} of its {} events are there", head.events);
                self.damage(*sweep, None, &detail);
            }
        }
    }
}

/// What is wrong with a row that differs from what was written.
pub(super) const WRONG: &str = "its checksum is wrong";

impl Iterator for Loaded<'_> {
    type Item = Result<(i64, Event), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.page.next(self.connection) {
                Ok(Some(stored)) => {
                    if let Some(event) = self.check(&stored) {
                        return Some(Ok((stored.id, event)));
                    }
                }
                Ok(None) => {
                    if !self.is_over {
                        self.finish();
                    }
                    return None;
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Events for Loaded<'_> {
    fn damages(&self) -> &[Damage] {
        &self.damages
    }
}
