//! Writing one batch: the rows of the log, and the rows of the reading tables.

use std::collections::BTreeMap;

use caviar_common::ids::{LeaseId, SweepId, TrialNumber};
use caviar_common::metric::Point;
use caviar_common::outcome::Job;
use caviar_common::view::{SweepView, TrialTimes, TrialView};
use caviar_core::event::{EpochsRecorded, Event, Payload, SweepCreated, TrialSampled};
use rusqlite::{OptionalExtension, Transaction};

use super::digest::{Cell, int, small, text};
use super::heads::{Deleted, EventRow, Head, Ledger, execute};
use super::order::Key;
use super::rows::{MetricsRow, SampleRow, StateRow, with_checksum};
use super::sweep_rows::{FixedRow, ShownRow};
use super::{Rows, StoreError};

/// What the log says after a batch.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) ledger: Ledger,
    /// The heads that have changed.
    pub(super) heads: BTreeMap<SweepId, Head>,
    /// The places of the changed trials in lists.
    pub(super) keys: Vec<(SweepId, Key)>,
}

/// Writes events, and their rows in the reading tables, as part of a transaction.
pub(super) struct Writer<'a> {
    transaction: &'a Transaction<'a>,
    heads: &'a BTreeMap<SweepId, Head>,
    written: Written,
    trials: Trials<'a>,
}

impl<'a> Writer<'a> {
    /// A writer that continues a log with this ledger and these heads.
    pub(super) fn new(
        transaction: &'a Transaction<'a>,
        ledger: Ledger,
        heads: &'a BTreeMap<SweepId, Head>,
    ) -> Self {
        let written = Written { ledger, heads: BTreeMap::new(), keys: Vec::new() };
        Self { transaction, heads, written, trials: Trials::new(transaction) }
    }

    /// Writes an event that is stored at the time `at`.
    pub(super) fn write_event(&mut self, event: &Event, at: &str) -> Result<(), StoreError> {
        let body = serde_json::to_string(event)?;
        let id = self.written.ledger.last_event + 1;
        let row = EventRow {
            id,
            at,
            sweep: event.sweep.0.cast_signed(),
            name: event.name(),
            body: &body,
        };
        let mut head = self.head_before(event, id)?;
        let chain = head.add(&row);
        self.written.ledger.last_event = id;
        self.written.heads.insert(event.sweep, head);
        let sql = "INSERT INTO events (id, at, sweep, event, body, chain) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let cells = [
            Cell::Integer(id),
            text(at),
            Cell::Integer(row.sweep),
            text(row.name),
            text(&body),
            Cell::Integer(chain),
        ];
        execute(self.transaction, sql, &cells)?;
        self.trials.take(event, at)
    }

    /// The head of the event's sweep before the event, whose number will be `id`.
    fn head_before(&self, event: &Event, id: i64) -> Result<Head, StoreError> {
        let known = self.written.heads.get(&event.sweep).or_else(|| self.heads.get(&event.sweep));
        match (&event.payload, known) {
            // The events before it do not count any more, and their rows are to be removed.
            (Payload::SweepDeleted(_), _) => {
                Ok(Head { deleted: Deleted::Partly, ..Head::before(id) })
            }
            (_, Some(Head { deleted: Deleted::No, .. })) => Ok(*known.unwrap_or(&Head::before(id))),
            (Payload::SweepCreated(_), None) => Ok(Head::before(id)),
            (_, Some(_) | None) => {
                let detail = format!("{} cannot be added to it", event.name());
                Err(StoreError::corrupt(format!("the log of sweep {}", event.sweep), detail))
            }
        }
    }

    /// Writes the rows of the reading tables. `shown` has the checksums of the rows of sweeps as
    /// they were written last.
    pub(super) fn write_rows(
        &mut self,
        rows: &Rows,
        shown: &mut BTreeMap<SweepId, i64>,
    ) -> Result<(), StoreError> {
        for (sweep, view) in &rows.trials {
            let key = self.trials.write(*sweep, view)?;
            self.written.keys.push((*sweep, key));
        }
        rows.sweeps.iter().try_for_each(|view| update_sweep(self.transaction, view, shown))
    }

    /// Writes how far the log goes now.
    pub(super) fn finish(mut self) -> Result<Written, StoreError> {
        for (sweep, head) in &self.written.heads {
            let before = self.heads.get(sweep);
            head.write(self.transaction, *sweep, before, &mut self.written.ledger)?;
        }
        self.written.ledger.update(self.transaction)?;
        Ok(self.written)
    }
}

/// Shows a sweep's state, if it differs from what was written last.
fn update_sweep(
    transaction: &Transaction<'_>,
    view: &SweepView,
    shown: &mut BTreeMap<SweepId, i64>,
) -> Result<(), StoreError> {
    let row = ShownRow::new(view);
    let cells = with_checksum(ShownRow::TABLE, &row.cells());
    if let Some(Cell::Integer(sum)) = cells.last()
        && shown.insert(view.id, *sum) == Some(*sum)
    {
        return Ok(());
    }
    execute(transaction, ShownRow::UPDATE, &cells)
}

/// What the events of a batch say of a trial beyond its view.
#[derive(Debug, Default)]
struct Facts {
    times: TrialTimes,
    /// The highest epoch that was written; 0 before the first one.
    last_epoch: u32,
    /// How the trial was sampled, if it is new.
    sampled: Option<TrialSampled>,
}

/// Writes what events say of sweeps and trials into the reading tables.
struct Trials<'a> {
    transaction: &'a Transaction<'a>,
    facts: BTreeMap<(SweepId, TrialNumber), Facts>,
}

impl<'a> Trials<'a> {
    const fn new(transaction: &'a Transaction<'a>) -> Self {
        Self { transaction, facts: BTreeMap::new() }
    }

    /// Writes what never changes later: a new sweep, or an epoch.
    fn take(&mut self, event: &Event, at: &str) -> Result<(), StoreError> {
        let sweep = event.sweep;
        match &event.payload {
            Payload::SweepCreated(created) => self.insert_sweep(sweep, created),
            Payload::SweepDeleted(_) => self.delete_sweep(sweep),
            Payload::TrialSampled(sampled) => {
                let facts = self.facts.entry((sweep, sampled.trial)).or_default();
                facts.sampled = Some(sampled.clone());
                Ok(())
            }
            Payload::LeaseGranted(granted) => {
                if granted.job == Job::Train {
                    self.start((sweep, granted.trial), at);
                }
                Ok(())
            }
            Payload::TrialsAsked(asked) => {
                asked.granted.iter().for_each(|granted| self.start((sweep, granted.trial), at));
                Ok(())
            }
            Payload::EpochRecorded(recorded) => {
                self.insert_point((sweep, recorded.trial), recorded.lease, &recorded.metrics)
            }
            Payload::EpochsRecorded(EpochsRecorded { trial, lease, points, .. }) => points
                .iter()
                .try_for_each(|point| self.insert_point((sweep, *trial), *lease, point)),
            Payload::TrialFinished(finished) => {
                self.end((sweep, finished.trial), at);
                Ok(())
            }
            Payload::TrialStopped(stopped) => {
                self.end((sweep, stopped.trial), at);
                Ok(())
            }
            // The views show what these change.
            Payload::SweepPaused
            | Payload::SweepResumed
            | Payload::SweepResized(_)
            | Payload::SweepExtended(_)
            | Payload::LeaseRestored(_)
            | Payload::LossWithdrawn(_)
            | Payload::SweepCancelled
            | Payload::SweepCompleted
            | Payload::LeaseEnded(_)
            | Payload::TrialPassed(_)
            | Payload::TrialDecided(_)
            | Payload::ScoringStarted(_)
            | Payload::WinnerScored(_)
            | Payload::CheckpointChanged(_) => Ok(()),
        }
    }

    fn insert_sweep(&self, sweep: SweepId, created: &SweepCreated) -> Result<(), StoreError> {
        let row = FixedRow::new(created)?;
        let fixed = with_checksum(FixedRow::TABLE, &row.cells(sweep));
        let state = ShownRow::created(sweep);
        let shown = with_checksum(ShownRow::TABLE, &state.cells());
        // The number of the sweep is in both.
        let cells: Vec<Cell<'_>> = fixed.into_iter().chain(shown.into_iter().skip(1)).collect();
        execute(self.transaction, ShownRow::INSERT, &cells)
    }

    /// Removes the sweep from the list of sweeps. The rows of its trials are removed later.
    fn delete_sweep(&mut self, sweep: SweepId) -> Result<(), StoreError> {
        self.facts.retain(|(of, _), _| *of != sweep);
        execute(self.transaction, "DELETE FROM sweeps WHERE id = ?1", &[int(sweep.0)])
    }

    fn insert_sample(
        &self,
        sweep: SweepId,
        sampled: &TrialSampled,
        view: &TrialView,
    ) -> Result<(), StoreError> {
        let row = SampleRow::new(sampled, view)?;
        let sql = "INSERT INTO trial_samples (sweep, trial, assignment, reason, epochs, checksum) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        execute(self.transaction, sql, &with_checksum(SampleRow::TABLE, &row.cells(sweep)))
    }

    fn start(&mut self, trial: (SweepId, TrialNumber), at: &str) {
        let facts = self.facts.entry(trial).or_default();
        facts.times.started_at.get_or_insert_with(|| at.to_owned());
    }

    fn end(&mut self, trial: (SweepId, TrialNumber), at: &str) {
        self.facts.entry(trial).or_default().times.ended_at = Some(at.to_owned());
    }

    fn insert_point(
        &mut self,
        (sweep, trial): (SweepId, TrialNumber),
        lease: LeaseId,
        point: &Point,
    ) -> Result<(), StoreError> {
        let facts = self.facts.entry((sweep, trial)).or_default();
        facts.last_epoch = facts.last_epoch.max(point.epoch());
        let row = MetricsRow::new(trial, lease, point)?;
        let sql = "INSERT OR REPLACE INTO metrics (sweep, trial, epoch, lease, train_loss, \
                   train_accuracy, validation_loss, validation_accuracy, named, checksum) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        execute(self.transaction, sql, &with_checksum(MetricsRow::TABLE, &row.cells(sweep)))
    }

    /// Writes the trial as it is after the events, and returns its place in lists.
    fn write(&mut self, sweep: SweepId, view: &TrialView) -> Result<Key, StoreError> {
        let facts = self.facts.remove(&(sweep, view.trial)).unwrap_or_default();
        let before = match &facts.sampled {
            Some(sampled) => {
                self.insert_sample(sweep, sampled, view)?;
                None
            }
            None => self.state(sweep, view.trial)?,
        };
        let written = before.as_ref().map_or(0, |row| row.last_epoch).max(facts.last_epoch);
        let mut row = StateRow::new(view);
        if row.last_epoch < written {
            // The trial starts again, or ended at a rung before its last epochs.
            let sql = "DELETE FROM metrics WHERE sweep = ?1 AND trial = ?2 AND epoch > ?3";
            let cells = [int(sweep.0), small(view.trial.0), small(row.last_epoch)];
            execute(self.transaction, sql, &cells)?;
        }
        row.times = before.map(|row| row.times).unwrap_or_default();
        row.times.update(facts.times);
        let sql = "INSERT OR REPLACE INTO trial_states (sweep, trial, state, attempts, worker, \
                   objective, seconds, memory_bytes, message, stopped_epoch, stopped_rank, \
                   stopped_of, started_at, ended_at, last_epoch, counting_epoch, counting_loss, \
                   retrained_epochs, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, \
                   ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)";
        execute(self.transaction, sql, &with_checksum(StateRow::TABLE, &row.cells(sweep)))?;
        Ok(Key::new(row.trial, row.state, (row.objective, row.counting_loss)))
    }

    /// The trial as it was written last.
    fn state(&self, sweep: SweepId, trial: TrialNumber) -> Result<Option<StateRow>, StoreError> {
        let failed = |source| StoreError::database("read a trial", source);
        let mut statement =
            self.transaction.prepare_cached(StateRow::SELECT_ONE).map_err(failed)?;
        let values = (sweep.0.cast_signed(), trial.0);
        let row = statement.query_row(values, |row| Ok(StateRow::read(row))).optional();
        row.map_err(failed)?.transpose()
    }
}
