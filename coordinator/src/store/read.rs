//! Connections that read the store while it is written.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use caviar_common::assignment::Assignment;
use caviar_common::ids::{SweepId, TrialNumber};
use caviar_common::metric::Point;
use caviar_common::reason::Reason;
use caviar_common::space::Space;
use caviar_common::view::TrialView;
use caviar_core::event::StoredAssignment;
use caviar_core::snapshot::{LoadJob, LoadedSweep};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

use super::StoreError;
use super::lock::Identity;
use super::order::{Key, Orders};
use super::query::{Reader, Readers, TrialOrder, TrialPage, TrialQuery};
use super::rows::{MetricsRow, ReasonText, SampleRow, StateRow, read_point};
use super::{read_only, snapshots, sweep_rows};

/// How to open a connection that reads.
#[derive(Clone, Debug)]
pub(super) struct SqliteReaders {
    pub(super) path: PathBuf,
    /// The file that was opened for writing; `None` if the store was opened for reading only.
    pub(super) identity: Option<Identity>,
    pub(super) orders: Arc<Orders>,
}

impl Readers for SqliteReaders {
    fn open(&self) -> Result<Box<dyn Reader>, StoreError> {
        let failed = |source| StoreError::database("open", source);
        let connection = if let Some(identity) = &self.identity {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&self.path, flags).map_err(failed)?;
            identity.check()?;
            connection
        } else {
            read_only::open(&self.path).map_err(failed)?
        };
        let (orders, spaces) = (Arc::clone(&self.orders), RefCell::default());
        Ok(Box::new(SqliteReader { connection, orders, spaces }))
    }
}

/// A connection that reads.
#[derive(Debug)]
struct SqliteReader {
    connection: Connection,
    orders: Arc<Orders>,
    spaces: RefCell<Spaces>,
}

/// The spaces of the sweeps that were read last. They never change.
type Spaces = BTreeMap<SweepId, Arc<Space>>;

/// Most spaces that a connection keeps. Each may take a megabyte.
const MOST_SPACES: usize = 64;

impl Reader for SqliteReader {
    fn trials(&mut self, query: &TrialQuery) -> Result<TrialPage, StoreError> {
        let snapshot = self.snapshot()?;
        if query.order == TrialOrder::Number && query.states.is_empty() {
            return snapshot.by_number(query);
        }
        // The order is read in its own transaction, after it has begun to note changes.
        drop(snapshot);
        let trials = self.orders.select(query, |each| self.snapshot()?.keys(query, each))?;
        let snapshot = self.snapshot()?;
        let states = trials.into_iter().map(|trial| {
            let place = || format!("trial {trial} of sweep {}", query.sweep);
            let row = snapshot.state(query.sweep, trial)?;
            row.ok_or_else(|| StoreError::corrupt(place(), "its row is missing"))
        });
        snapshot.page(query, states)
    }

    fn trial(
        &mut self,
        sweep: SweepId,
        trial: TrialNumber,
    ) -> Result<Option<TrialView>, StoreError> {
        let snapshot = self.snapshot()?;
        let Some(state) = snapshot.state(sweep, trial)? else { return Ok(None) };
        snapshot.view(sweep, state, true).map(Some)
    }

    fn load(&mut self, job: LoadJob) -> Result<LoadedSweep, StoreError> {
        let place = format!("the snapshot of sweep {}", job.sweep());
        let loaded = snapshots::load(self.snapshot()?.0, job);
        loaded.map_err(failed)?.map_err(|detail| StoreError::corrupt(place, detail))
    }
}

impl SqliteReader {
    fn snapshot(&self) -> Result<Snapshot<'_>, StoreError> {
        self.connection.execute_batch("BEGIN").map_err(failed)?;
        Ok(Snapshot(&self.connection, &self.spaces))
    }
}

/// The store as it was at one commit.
struct Snapshot<'a>(&'a Connection, &'a RefCell<Spaces>);

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        // A transaction that only read has nothing to lose.
        let _ended = self.0.execute_batch("COMMIT");
    }
}

fn failed(source: rusqlite::Error) -> StoreError {
    StoreError::database("read trials", source)
}

impl Snapshot<'_> {
    /// The space of a sweep.
    fn space(&self, sweep: SweepId) -> Result<Arc<Space>, StoreError> {
        if let Some(space) = self.1.borrow().get(&sweep) {
            return Ok(Arc::clone(space));
        }
        let found = sweep_rows::space(self.0, sweep)?;
        let missing = || StoreError::corrupt(format!("sweep {sweep}"), "its row is missing");
        let space = Arc::new(found.ok_or_else(missing)?);
        let mut spaces = self.1.borrow_mut();
        if spaces.len() >= MOST_SPACES {
            spaces.clear();
        }
        spaces.insert(sweep, Arc::clone(&space));
        Ok(space)
    }

    /// What the texts of a row stand for.
    fn expand(
        &self,
        sweep: SweepId,
        trial: TrialNumber,
        (assignment, reason): (StoredAssignment, ReasonText),
    ) -> Result<(Assignment, Reason), StoreError> {
        let foreign = || {
            let place = format!("the row of trial {trial} of sweep {sweep} in trial_samples");
            StoreError::corrupt(place, "it has values that are not of the sweep's space")
        };
        let assignment = match assignment {
            StoredAssignment::Named(assignment) => assignment,
            StoredAssignment::Compact(compact) => {
                compact.expand(self.space(sweep)?.as_ref()).ok_or_else(foreign)?
            }
        };
        let reason = match reason {
            ReasonText::Short(reason) => reason,
            ReasonText::Long { reason, sides } => {
                let search_box = sides.expand(self.space(sweep)?.as_ref()).ok_or_else(foreign)?;
                Reason { search_box: Some(search_box), ..reason }
            }
        };
        Ok((assignment, reason))
    }

    /// Calls `each` with the row of every trial from `first` on, until it returns no number.
    /// Otherwise it returns the number of the trial: they have no gaps. Returns the number after
    /// the last one.
    fn each_row(
        &self,
        sweep: SweepId,
        first: u32,
        mut each: impl FnMut(&Row<'_>) -> Result<Option<TrialNumber>, StoreError>,
    ) -> Result<u32, StoreError> {
        let mut statement = self.0.prepare_cached(StateRow::SELECT).map_err(failed)?;
        let mut rows = statement.query((sweep.0.cast_signed(), first)).map_err(failed)?;
        let mut next = first;
        while let Some(row) = rows.next().map_err(failed)? {
            match each(row)? {
                Some(trial) if trial.0 == next => next += 1,
                Some(_) => return Err(missing(sweep, next)),
                None => break,
            }
        }
        Ok(next)
    }

    /// A page of all trials in the order of their numbers.
    fn by_number(&self, query: &TrialQuery) -> Result<TrialPage, StoreError> {
        let first = query.after.map_or(0, |after| after.0.saturating_add(1));
        let (mut states, mut has_more) = (Vec::new(), false);
        let next = self.each_row(query.sweep, first, |row| {
            has_more = states.len() == query.limit;
            if has_more {
                return Ok(None);
            }
            let state = StateRow::read(row)?;
            let trial = state.trial;
            states.push(state);
            Ok(Some(trial))
        })?;
        if !has_more && next < query.known {
            return Err(missing(query.sweep, next));
        }
        let mut page = self.page(query, states.into_iter().map(Ok))?;
        page.has_more |= has_more;
        Ok(page)
    }

    /// The places in lists of all trials.
    fn keys(&self, query: &TrialQuery, each: &mut dyn FnMut(Key)) -> Result<(), StoreError> {
        let next = self.each_row(query.sweep, 0, |row| {
            let key = StateRow::read_place(row)?;
            each(key);
            Ok(Some(key.trial))
        })?;
        if next < query.known { Err(missing(query.sweep, next)) } else { Ok(()) }
    }

    /// The views of these trials, as many as the values in their curves allow.
    fn page(
        &self,
        query: &TrialQuery,
        states: impl Iterator<Item = Result<StateRow, StoreError>>,
    ) -> Result<TrialPage, StoreError> {
        let (mut page, mut values) = (TrialPage::default(), 0);
        for state in states {
            let view = self.view(query.sweep, state?, query.max_values.is_some())?;
            values += view.curve.iter().map(Point::value_count).sum::<usize>();
            let is_too_long = query.max_values.is_some_and(|most| values > most);
            if page.trials.len() == query.limit || (is_too_long && !page.trials.is_empty()) {
                page.has_more = true;
                break;
            }
            page.trials.push(view);
        }
        Ok(page)
    }

    fn state(&self, sweep: SweepId, trial: TrialNumber) -> Result<Option<StateRow>, StoreError> {
        let mut statement = self.0.prepare_cached(StateRow::SELECT_ONE).map_err(failed)?;
        let values = (sweep.0.cast_signed(), trial.0);
        let row = statement.query_row(values, |row| Ok(StateRow::read(row))).optional();
        row.map_err(failed)?.transpose()
    }

    fn view(
        &self,
        sweep: SweepId,
        state: StateRow,
        with_curve: bool,
    ) -> Result<TrialView, StoreError> {
        let (trial, last_epoch) = (state.trial, state.last_epoch);
        let counting = state.counting_epoch;
        let key = (sweep.0.cast_signed(), trial.0);
        let mut statement = self.0.prepare_cached(SampleRow::SELECT).map_err(failed)?;
        let view = |row: &Row<'_>| {
            let texts = self.expand(sweep, trial, SampleRow::texts(row)?)?;
            SampleRow::view(row, state, texts)
        };
        let view = statement.query_row(key, |row| Ok(view(row))).optional();
        let view = view.map_err(failed)?.transpose()?;
        let mut view = view.ok_or_else(|| missing(sweep, trial.0))?;
        let first = if with_curve { 1 } else { last_epoch.max(1) };
        let mut curve = self.points((sweep, trial), first)?;
        let are_epochs = curve.iter().zip(first..).all(|(point, epoch)| point.epoch() == epoch);
        let last = curve.last().map_or(first - 1, Point::epoch);
        if !are_epochs || last != last_epoch {
            return Err(missing_epoch(sweep, trial));
        }
        view.counting = match counting {
            None => None,
            Some(epoch) => match curve.iter().find(|point| point.epoch() == epoch) {
                Some(point) => Some(point.clone()),
                None => Some(self.point((sweep, trial), epoch)?),
            },
        };
        view.last = if with_curve { curve.last().cloned() } else { curve.pop() };
        view.curve = curve;
        Ok(view)
    }

    /// One epoch of a trial.
    fn point(
        &self,
        (sweep, trial): (SweepId, TrialNumber),
        epoch: u32,
    ) -> Result<Point, StoreError> {
        let mut statement = self.0.prepare_cached(MetricsRow::SELECT_ONE).map_err(failed)?;
        let values = (sweep.0.cast_signed(), trial.0, epoch);
        let row = statement.query_row(values, |row| Ok(read_point(row))).optional();
        row.map_err(failed)?.unwrap_or_else(|| Err(missing_epoch(sweep, trial)))
    }

    fn points(
        &self,
        (sweep, trial): (SweepId, TrialNumber),
        first: u32,
    ) -> Result<Vec<Point>, StoreError> {
        let mut statement = self.0.prepare_cached(MetricsRow::SELECT).map_err(failed)?;
        let values = (sweep.0.cast_signed(), trial.0, first);
        let mut rows = statement.query(values).map_err(failed)?;
        let mut points = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            points.push(read_point(row)?);
        }
        Ok(points)
    }
}

/// The error for a trial whose curve lacks an epoch.
fn missing_epoch(sweep: SweepId, trial: TrialNumber) -> StoreError {
    let place = format!("the metrics of trial {trial} of sweep {sweep}");
    StoreError::corrupt(place, "an epoch is missing")
}

/// The error for a trial whose rows are not there.
fn missing(sweep: SweepId, trial: u32) -> StoreError {
    StoreError::corrupt(format!("trial {trial} of sweep {sweep}"), "its row is missing")
}
