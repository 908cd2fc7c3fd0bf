//! Writing one event: the row of the log, and its effect on the tables that people read.

use caviar_common::ids::{AttemptNumber, LeaseId, Name, SweepId, TrialNumber};
use caviar_common::metric::{EpochMetrics, NamedMetrics, Point};
use caviar_common::outcome::{Job, Outcome, SweepState, TrialState};
use caviar_core::event::{
    EpochRecorded, EpochsRecorded, Event, LeaseGranted, Payload, SweepCreated, TrialDecided,
    TrialFinished, TrialSampled, TrialStopped, TrialsAsked, WinnerScored,
};
use rusqlite::{Params, Transaction, params};

use super::StoreError;

/// Writes `event` as part of `transaction`.
pub(super) fn write(transaction: &Transaction<'_>, event: &Event) -> Result<(), StoreError> {
    let sweep = SweepTables { transaction, sweep: event.sweep };
    sweep.show(&event.payload)?;
    let body = serde_json::to_string(event)?;
    let sql = "INSERT INTO events (sweep, event, body) VALUES (?1, ?2, ?3)";
    sweep.run(sql, params![sweep.id(), event.name(), body])
}

/// A number as SQLite holds it. Sweeps and leases are numbered from 1 and never reach the largest
/// `i64`.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The rows of one sweep in the tables that people read.
struct SweepTables<'a> {
    transaction: &'a Transaction<'a>,
    sweep: SweepId,
}

/// The columns of a trial that are known at its end.
struct TrialEnd<'a> {
    state: TrialState,
    seconds: Option<f64>,
    message: Option<&'a str>,
}

impl SweepTables<'_> {
    fn id(&self) -> i64 {
        int(self.sweep.0)
    }

    fn run(&self, sql: &str, values: impl Params) -> Result<(), StoreError> {
        let failed = |source| StoreError::Failed { doing: "write events", source };
        let mut statement = self.transaction.prepare_cached(sql).map_err(failed)?;
        statement.execute(values).map(|_| ()).map_err(failed)
    }

    /// Updates the tables with an event.
    fn show(&self, payload: &Payload) -> Result<(), StoreError> {
        match payload {
            Payload::SweepCreated(created) => self.insert_sweep(created),
            Payload::SweepPaused => self.set_state(SweepState::Paused),
            Payload::SweepResumed => self.resume(),
            Payload::SweepCancelled => self.cancel(),
            Payload::SweepDeleted(_) => self.delete(),
            Payload::SweepCompleted => self.set_state(SweepState::Completed),
            Payload::TrialSampled(sampled) => self.insert_trial(sampled),
            Payload::LeaseGranted(granted) => self.grant(granted),
            Payload::TrialsAsked(asked) => self.grant_asked(asked),
            Payload::LeaseEnded(ended) => self.requeue(ended.trial),
            Payload::EpochRecorded(EpochRecorded { trial, lease, metrics, .. }) => {
                self.insert_metrics(*trial, *lease, std::slice::from_ref(metrics))
            }
            Payload::EpochsRecorded(EpochsRecorded { trial, lease, points, .. }) => {
                self.insert_metrics(*trial, *lease, points)
            }
            Payload::TrialFinished(finished) => self.finish(finished),
            Payload::TrialStopped(stopped) => self.stop(stopped),
            // The tables have no columns for what passes and what is decided; later events show it.
            Payload::TrialPassed(_) => Ok(()),
            Payload::TrialDecided(TrialDecided { trial, epochs, .. }) => match epochs {
                Some(epochs) => self.delete_metrics_after(*trial, *epochs),
                None => Ok(()),
            },
            Payload::ScoringStarted(started) => {
                let sql = "UPDATE sweeps SET winner = ?2 WHERE id = ?1";
                self.run(sql, params![self.id(), started.trial.0])?;
                self.set_state(SweepState::Scoring)
            }
            Payload::WinnerScored(scored) => self.score(scored),
        }
    }

    fn insert_sweep(&self, created: &SweepCreated) -> Result<(), StoreError> {
        let SweepCreated { request_id, spec, data, .. } = created;
        let sql = "INSERT INTO sweeps (id, name, state, request_id, metric, goal, spec, data) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let (metric, goal) = (spec.objective.metric.name(), spec.objective.goal.name());
        let (name, request_id) = (spec.name.as_str(), request_id.as_str());
        let (spec, data) = (serde_json::to_string(spec)?, serde_json::to_string(data)?);
        let state = SweepState::Running.name();
        self.run(sql, params![self.id(), name, state, request_id, metric, goal, spec, data])
    }

    fn set_state(&self, state: SweepState) -> Result<(), StoreError> {
        let sql = "UPDATE sweeps SET state = ?2 WHERE id = ?1";
        self.run(sql, params![self.id(), state.name()])
    }

    fn resume(&self) -> Result<(), StoreError> {
        let sql = "UPDATE sweeps SET state = CASE WHEN winner IS NULL THEN ?2 ELSE ?3 END \
                   WHERE id = ?1";
        self.run(sql, params![self.id(), SweepState::Running.name(), SweepState::Scoring.name()])
    }

    fn cancel(&self) -> Result<(), StoreError> {
        let sql = "UPDATE trials SET state = ?2 WHERE sweep = ?1 AND state IN (?3, ?4)";
        let (queued, running) = (TrialState::Queued.name(), TrialState::Running.name());
        self.run(sql, params![self.id(), TrialState::Cancelled.name(), queued, running])?;
        self.set_state(SweepState::Cancelled)
    }

    /// Deletes all rows of the sweep. The event of the deletion is written after this, and stays.
    fn delete(&self) -> Result<(), StoreError> {
        self.run("DELETE FROM metrics WHERE sweep = ?1", [self.id()])?;
        self.run("DELETE FROM trials WHERE sweep = ?1", [self.id()])?;
        self.run("DELETE FROM sweeps WHERE id = ?1", [self.id()])?;
        self.run("DELETE FROM events WHERE sweep = ?1", [self.id()])
    }

    fn insert_trial(&self, sampled: &TrialSampled) -> Result<(), StoreError> {
        let TrialSampled { trial, assignment, reason, epochs, .. } = sampled;
        let sql = "INSERT INTO trials (sweep, trial, state, assignment, reason, epochs) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let assignment = serde_json::to_string(assignment)?;
        let reason = serde_json::to_string(reason)?;
        let state = TrialState::Queued.name();
        self.run(sql, params![self.id(), trial.0, state, assignment, reason, epochs])
    }

    fn grant(&self, granted: &LeaseGranted) -> Result<(), StoreError> {
        match granted.job {
            Job::Train => {
                self.delete_metrics_after(granted.trial, granted.recorded.unwrap_or(0))?;
                self.begin_attempt(granted.trial, granted.attempt, &granted.worker)
            }
            // The tables show a scoring only by its result.
            Job::Score => Ok(()),
        }
    }

    fn grant_asked(&self, asked: &TrialsAsked) -> Result<(), StoreError> {
        asked.granted.iter().try_for_each(|granted| {
            self.delete_metrics_after(granted.trial, granted.recorded.unwrap_or(0))?;
            self.begin_attempt(granted.trial, granted.attempt, &asked.client)
        })
    }

    /// Shows a new execution of a trial.
    fn begin_attempt(
        &self,
        trial: TrialNumber,
        attempt: AttemptNumber,
        worker: &Name,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE trials SET state = ?3, attempts = ?4, worker = ?5 \
                   WHERE sweep = ?1 AND trial = ?2";
        let state = TrialState::Running.name();
        self.run(sql, params![self.id(), trial.0, state, attempt.0, worker.as_str()])
    }

    fn delete_metrics_after(&self, trial: TrialNumber, epoch: u32) -> Result<(), StoreError> {
        let sql = "DELETE FROM metrics WHERE sweep = ?1 AND trial = ?2 AND epoch > ?3";
        self.run(sql, params![self.id(), trial.0, epoch])
    }

    /// Queues a trial that was running. A lease on a scoring also ends; its trial has ended before,
    /// and stays as it is.
    fn requeue(&self, trial: TrialNumber) -> Result<(), StoreError> {
        let sql = "UPDATE trials SET state = ?3 WHERE sweep = ?1 AND trial = ?2 AND state = ?4";
        let (queued, running) = (TrialState::Queued.name(), TrialState::Running.name());
        self.run(sql, params![self.id(), trial.0, queued, running])
    }

    fn insert_metrics(
        &self,
        trial: TrialNumber,
        lease: LeaseId,
        points: &[Point],
    ) -> Result<(), StoreError> {
        points.iter().try_for_each(|point| match point {
            Point::Network(metrics) => self.insert_network_metrics(trial, lease, metrics),
            Point::Named(NamedMetrics { epoch, metrics }) => {
                let sql = "INSERT OR REPLACE INTO metrics (sweep, trial, epoch, lease, named) \
                           VALUES (?1, ?2, ?3, ?4, ?5)";
                // As plain numbers: a value that is not finite becomes null.
                let named = serde_json::to_string(metrics)?;
                self.run(sql, params![self.id(), trial.0, epoch, int(lease.0), named])
            }
        })
    }

    fn insert_network_metrics(
        &self,
        trial: TrialNumber,
        lease: LeaseId,
        metrics: &EpochMetrics,
    ) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO metrics (sweep, trial, epoch, lease, train_loss, \
                   train_accuracy, validation_loss, validation_accuracy) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let EpochMetrics { epoch, train, validation } = metrics;
        self.run(
            sql,
            params![
                self.id(),
                trial.0,
                epoch,
                int(lease.0),
                train.loss,
                train.accuracy,
                validation.loss,
                validation.accuracy
            ],
        )
    }

    fn finish(&self, finished: &TrialFinished) -> Result<(), StoreError> {
        let TrialFinished { trial, outcome, seconds, .. } = finished;
        let message = match outcome {
            Outcome::Failed { message } => Some(message.as_str()),
            Outcome::Completed | Outcome::Diverged => None,
        };
        self.end_trial(*trial, &TrialEnd { state: outcome.state(), seconds: *seconds, message })
    }

    fn stop(&self, stopped: &TrialStopped) -> Result<(), StoreError> {
        self.delete_metrics_after(stopped.trial, stopped.rung.epoch)?;
        let end = TrialEnd { state: TrialState::Stopped, seconds: None, message: None };
        self.end_trial(stopped.trial, &end)
    }

    /// Shows the end of a trial. Its objective is that of its last epoch that counts.
    fn end_trial(&self, trial: TrialNumber, end: &TrialEnd<'_>) -> Result<(), StoreError> {
        let sql = "UPDATE trials SET state = ?3, seconds = ?4, message = ?5, objective = (
                       SELECT CASE
                           WHEN m.named IS NOT NULL
                           THEN json_extract(m.named, '$.\"' || sweeps.metric || '\"')
                           WHEN sweeps.metric = 'train_loss' THEN m.train_loss
                           WHEN sweeps.metric = 'train_accuracy' THEN m.train_accuracy
                           WHEN sweeps.metric = 'validation_loss' THEN m.validation_loss
                           ELSE m.validation_accuracy END
                       FROM sweeps JOIN metrics AS m ON m.sweep = sweeps.id
                       WHERE sweeps.id = ?1 AND m.trial = ?2 ORDER BY m.epoch DESC LIMIT 1)
                   WHERE sweep = ?1 AND trial = ?2";
        self.run(sql, params![self.id(), trial.0, end.state.name(), end.seconds, end.message])
    }

    fn score(&self, scored: &WinnerScored) -> Result<(), StoreError> {
        let WinnerScored { score, reproduced, message, .. } = scored;
        let sql = "UPDATE sweeps SET test_loss = ?2, test_accuracy = ?3, reproduced = ?4, \
                   message = ?5 WHERE id = ?1";
        let loss = score.map(|score| score.loss);
        let accuracy = score.and_then(|score| score.accuracy);
        self.run(sql, params![self.id(), loss, accuracy, reproduced, message])
    }
}
