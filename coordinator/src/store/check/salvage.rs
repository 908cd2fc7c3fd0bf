//! Reading what can be read of a damaged store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use caviar_common::ids::SweepId;
use caviar_core::event::{Event, Payload};
use rusqlite::Connection;

use crate::store::heads::{Deleted, Head, Heads, Ledger};
use crate::store::load::{Page, StoredEvent, WRONG, parse};
use crate::store::lock::{Lock, with_suffix};
use crate::store::migrate::OldEvent;
use crate::store::schema::FIRST_CHECKED;
use crate::store::wal;
use crate::store::{StoreError, open, snapshots};

/// Rows in a row that cannot be read, after which the rest is given up.
const MAX_UNREADABLE: u32 = 100_000;

/// A store that is checked. It is not written.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) format: i64,
    pub(super) problems: Vec<String>,
    pub(super) connection: Connection,
    heads: Heads,
    /// The number of the last event, as far as it is known.
    last_event: i64,
    lock: Guard,
}

/// The lock of the store. A lock file that the check has created is removed.
struct Guard(Option<Lock>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(lock) = self.0.take()
            && lock.last_batch().is_none()
        {
            lock.remove();
        }
    }
}

/// The events of a sweep that can be saved.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) name: Option<String>,
    /// The numbers of the rows.
    pub(super) rows: Vec<i64>,
    /// How many events there are; `None` if it is not known.
    pub(super) expected: Option<u64>,
    /// What is wrong with the event after those.
    pub(super) damage: Option<String>,
    pub(super) is_deleted: bool,
    chain: i64,
}

impl Log {
    /// True if the row is one of those that can be saved.
    pub(super) fn has(&self, row: i64) -> bool {
        self.rows.binary_search(&row).is_ok()
    }

    /// Ends what can be saved before a row.
    pub(super) fn cut(&mut self, row: i64, damage: String) {
        self.rows.retain(|kept| *kept < row);
        self.damage = Some(damage);
    }

    /// Begins again with the event that deletes the sweep.
    fn begin_deletion(&mut self) {
        *self = Self { name: self.name.take(), expected: self.expected, ..Self::default() };
        self.is_deleted = true;
    }
}

impl Source {
    /// Opens a store for a check. A coordinator that is running keeps it from being checked.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        open::check_place(path)?;
        if !path.is_file() {
            return Err(StoreError::Missing(path.to_owned()));
        }
        let lock = Guard(Lock::take(path)?);
        let mut problems = Vec::new();
        let log = with_suffix(path, "-wal");
        let examined = wal::examine(&log);
        let file = |source| StoreError::File { doing: "read", path: log.clone(), source };
        let found = examined.map_err(file)?;
        if let wal::Log::Damaged(detail) = &found {
            problems.push(format!("{} is damaged: {detail}", log.display()));
        }
        let (connection, format) = open::for_check(path)?;
        let mut source = Self {
            path: path.to_owned(),
            format,
            problems,
            connection,
            heads: Heads::default(),
            last_event: 0,
            lock,
        };
        if format >= FIRST_CHECKED {
            source.read_heads(found == wal::Log::Missing);
        }
        Ok(source)
    }

    fn read_heads(&mut self, has_no_log: bool) {
        let ledger = Ledger::read(&self.connection);
        let heads = Heads::scan(&self.connection).map(|(heads, _)| heads);
        let complete = ledger.as_ref().map(|ledger| Heads::read(&self.connection, ledger));
        if let Err(error) = &ledger {
            self.problem(error);
        }
        if let Ok(Err(error)) | Err(error) = complete.as_ref().map_err(|error| *error) {
            self.problem(error);
        }
        if let Ok(ledger) = ledger {
            self.last_event = ledger.last_event;
            if has_no_log && ledger.is_open {
                self.problems.push("it was not closed in order, and its log is missing".to_owned());
            }
            if let Some(last) = self.lock.0.as_ref().and_then(Lock::last_batch)
                && last.store == ledger.id
                && last.sequence > ledger.sequence
            {
                let (noted, found) = (last.sequence, ledger.sequence);
                self.problems.push(format!("batch {noted} was committed, and the last is {found}"));
            }
        }
        self.heads = heads.unwrap_or_default();
        let last = self.heads.good.values().map(|head| head.last).max();
        self.last_event = self.last_event.max(last.unwrap_or(0));
        if let Err(reason) = snapshots::check(&self.connection, &self.heads.good) {
            let effect = "a coordinator reads all events instead";
            self.problems.push(format!("the snapshot cannot be used: {reason}; {effect}"));
        }
    }

    fn problem(&mut self, error: &StoreError) {
        let text = error.detail();
        if !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    const fn is_checked(&self) -> bool {
        self.format >= FIRST_CHECKED
    }

    fn page(&self) -> Page {
        if self.is_checked() { Page::of_events() } else { Page::of_unchecked_events() }
    }

    /// Reads all events and finds those that can be saved, by sweep.
    pub(super) fn read(&mut self) -> BTreeMap<SweepId, Log> {
        let mut logs: BTreeMap<SweepId, Log> = BTreeMap::new();
        for (sweep, head) in &self.heads.good {
            let log = logs.entry(*sweep).or_default();
            log.expected = Some(head.events.unsigned_abs());
        }
        let mut rows = Rows::new(self);
        for stored in rows.by_ref() {
            let sweep = SweepId(stored.sweep.cast_unsigned());
            let log = logs.entry(sweep).or_default();
            add(log, &stored, self.heads.good.get(&sweep), self.is_checked());
        }
        let problem = rows.problem;
        self.problems.extend(problem);
        for (sweep, log) in &mut logs {
            let head = self.heads.good.get(sweep);
            let found = u64::try_from(log.rows.len()).unwrap_or(u64::MAX);
            if let Some(expected) = log.expected
                && log.damage.is_none()
                && (found < expected || head.is_some_and(|head| head.chain != log.chain))
            {
                log.damage = Some(format!("{found} of {expected} events are there"));
            } else if head.is_none() && self.is_checked() && log.damage.is_none() {
                log.damage = Some("its row of heads is damaged or missing".to_owned());
            }
        }
        logs
    }

    /// The events that can be saved, in their order.
    pub(super) fn events(
        &self,
        logs: &BTreeMap<SweepId, Log>,
    ) -> impl Iterator<Item = Result<OldEvent, StoreError>> {
        let kept: BTreeMap<SweepId, Vec<i64>> =
            logs.iter().map(|(sweep, log)| (*sweep, log.rows.clone())).collect();
        Rows::new(self).filter_map(move |stored| {
            let rows = kept.get(&SweepId(stored.sweep.cast_unsigned()))?;
            rows.binary_search(&stored.id).ok()?;
            let place = || format!("row {} of events", stored.id);
            let event = parse(&stored).map_err(|detail| StoreError::corrupt(place(), detail));
            Some(event.map(|event| OldEvent { row: stored.id, at: stored.at, event }))
        })
    }
}

/// Adds a row to the log of its sweep, if nothing before it is damaged.
fn add(log: &mut Log, stored: &StoredEvent, head: Option<&Head>, is_checked: bool) {
    let is_old = head.is_some_and(|head| stored.id < head.first && head.deleted == Deleted::Partly);
    if is_old || (log.damage.is_some() && stored.name != "sweep_deleted") {
        return;
    }
    let event = parse(stored);
    let is_deletion =
        event.as_ref().is_ok_and(|event| matches!(event.payload, Payload::SweepDeleted(_)));
    if is_deletion {
        log.begin_deletion();
    }
    let chain = stored.row().chain_after(log.chain);
    match event {
        Ok(_) if is_checked && chain != stored.chain => {
            log.damage = Some(format!("row {} of events: {WRONG}", stored.id));
        }
        Err(detail) => log.damage = Some(format!("row {} of events: {detail}", stored.id)),
        Ok(event) => {
            log.chain = stored.chain;
            log.rows.push(stored.id);
            log.name = name(&event).or(log.name.take());
        }
    }
}

fn name(event: &Event) -> Option<String> {
    if let Payload::SweepCreated(created) = &event.payload {
        Some(created.spec.name.to_string())
    } else {
        None
    }
}

/// The rows of events that can be read. A part of the table that cannot be read is skipped.
struct Rows<'a> {
    source: &'a Source,
    page: Page,
    unreadable: u32,
    problem: Option<String>,
}

impl<'a> Rows<'a> {
    fn new(source: &'a Source) -> Self {
        Self { source, page: source.page(), unreadable: 0, problem: None }
    }
}

impl Iterator for Rows<'_> {
    type Item = StoredEvent;

    fn next(&mut self) -> Option<StoredEvent> {
        loop {
            match self.page.next(&self.source.connection) {
                Ok(Some(stored)) => {
                    self.unreadable = 0;
                    return Some(stored);
                }
                Ok(None) => return None,
                Err(error) => {
                    self.problem.get_or_insert_with(|| error.detail());
                    self.unreadable += 1;
                    let row = self.page.skip();
                    if row >= self.source.last_event || self.unreadable > MAX_UNREADABLE {
                        return None;
                    }
                }
            }
        }
    }
}
