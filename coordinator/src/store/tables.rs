//! Writing one event: the row of the log, and what it changes in the tables that people read.

use caviar_common::ids::{AttemptNumber, LeaseId, Name, SweepId, TrialNumber};
use caviar_common::metric::{EpochMetrics, NamedMetrics, Point, Score};
use caviar_common::outcome::{Job, Outcome, SweepState, TrialState};
use caviar_core::event::{Event, Rung};
use rusqlite::{Params, Transaction, params};

use super::{StoreError, name};

/// Writes `event` as part of `transaction`.
pub(super) fn write(transaction: &Transaction<'_>, event: &Event) -> Result<(), StoreError> {
    let tables = Tables { transaction };
    tables.show(event)?;
    let body = serde_json::to_string(event)?;
    let sql = "INSERT INTO events (sweep, event, body) VALUES (?1, ?2, ?3)";
    tables.run(sql, params![id(event.sweep()), name(event), body])
}

/// Numbers count up from 1: they do not reach the end of an i64.
fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn id(sweep: SweepId) -> i64 {
    int(sweep.0)
}

struct Tables<'a> {
    transaction: &'a Transaction<'a>,
}

impl Tables<'_> {
    fn run(&self, sql: &str, values: impl Params) -> Result<(), StoreError> {
        let failed = |source| StoreError::Failed { doing: "write events", source };
        let mut statement = self.transaction.prepare_cached(sql).map_err(failed)?;
        statement.execute(values).map(|_| ()).map_err(failed)
    }

    fn show(&self, event: &Event) -> Result<(), StoreError> {
        match event {
            Event::SweepCreated { .. } => self.create(event),
            Event::SweepPaused { sweep } => self.turn(*sweep, SweepState::Paused),
            Event::SweepResumed { sweep } => self.resume(*sweep),
            Event::SweepCancelled { sweep } => self.cancel(*sweep),
            Event::SweepDeleted { sweep, .. } => self.delete(*sweep),
            Event::TrialSampled { .. } => self.sample(event),
            Event::LeaseGranted { sweep, trial, attempt, worker, job: Job::Train, .. } => {
                self.begin(*sweep, *trial, *attempt, worker)
            }
            Event::TrialsAsked { sweep, client, granted, .. } => granted
                .iter()
                .try_for_each(|granted| self.begin(*sweep, granted.trial, granted.attempt, client)),
            // A scoring shows in its result alone, and a decision in what it leads to.
            Event::LeaseGranted { job: Job::Score, .. }
            | Event::TrialPassed { .. }
            | Event::TrialDecided { .. } => Ok(()),
            Event::TrialStopped { sweep, trial, rung } => self.stop(*sweep, *trial, *rung),
            Event::LeaseEnded { sweep, trial, .. } => self.requeue(*sweep, *trial),
            Event::EpochRecorded { sweep, trial, lease, metrics } => {
                self.measure(*sweep, *trial, *lease, metrics)
            }
            Event::TrialFinished { sweep, trial, outcome, seconds, .. } => {
                self.finish(*sweep, *trial, outcome, *seconds)
            }
            Event::ScoringStarted { sweep, trial } => {
                self.run(
                    "UPDATE sweeps SET winner = ?2 WHERE id = ?1",
                    params![id(*sweep), trial.0],
                )?;
                self.turn(*sweep, SweepState::Scoring)
            }
            Event::WinnerScored { sweep, score, reproduced, message, .. } => {
                self.score(*sweep, score.as_ref(), *reproduced, message.as_deref())
            }
            Event::SweepCompleted { sweep } => self.turn(*sweep, SweepState::Completed),
        }
    }

    fn create(&self, event: &Event) -> Result<(), StoreError> {
        let Event::SweepCreated { sweep, request_id, spec, data, .. } = event else {
            return Ok(());
        };
        let sql = "INSERT INTO sweeps (id, name, state, request_id, metric, goal, spec, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let (metric, goal) = (spec.objective.metric.name(), spec.objective.goal.name());
        let (name, request_id) = (spec.name.as_str(), request_id.as_str());
        let (spec, data) = (serde_json::to_string(spec)?, serde_json::to_string(data)?);
        self.run(
            sql,
            params![
                id(*sweep),
                name,
                SweepState::Running.name(),
                request_id,
                metric,
                goal,
                spec,
                data
            ],
        )
    }

    fn turn(&self, sweep: SweepId, state: SweepState) -> Result<(), StoreError> {
        self.run("UPDATE sweeps SET state = ?2 WHERE id = ?1", params![id(sweep), state.name()])
    }

    fn resume(&self, sweep: SweepId) -> Result<(), StoreError> {
        let sql =
            "UPDATE sweeps SET state = CASE WHEN winner IS NULL THEN ?2 ELSE ?3 END WHERE id = ?1";
        self.run(sql, params![id(sweep), SweepState::Running.name(), SweepState::Scoring.name()])
    }

    fn cancel(&self, sweep: SweepId) -> Result<(), StoreError> {
        let sql = "UPDATE trials SET state = ?2 WHERE sweep = ?1 AND state IN (?3, ?4)";
        let (queued, running) = (TrialState::Queued.name(), TrialState::Running.name());
        self.run(sql, params![id(sweep), TrialState::Cancelled.name(), queued, running])?;
        self.turn(sweep, SweepState::Cancelled)
    }

    /// Everything of the sweep goes; the event that says so is written after this, and stays.
    fn delete(&self, sweep: SweepId) -> Result<(), StoreError> {
        self.run("DELETE FROM metrics WHERE sweep = ?1", [id(sweep)])?;
        self.run("DELETE FROM trials WHERE sweep = ?1", [id(sweep)])?;
        self.run("DELETE FROM sweeps WHERE id = ?1", [id(sweep)])?;
        self.run("DELETE FROM events WHERE sweep = ?1", [id(sweep)])
    }

    fn sample(&self, event: &Event) -> Result<(), StoreError> {
        let Event::TrialSampled { sweep, trial, assignment, reason, epochs, .. } = event else {
            return Ok(());
        };
        let sql = "INSERT INTO trials (sweep, trial, state, assignment, reason, epochs) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (assignment, reason) =
            (serde_json::to_string(assignment)?, serde_json::to_string(reason)?);
        self.run(
            sql,
            params![id(*sweep), trial.0, TrialState::Queued.name(), assignment, reason, epochs],
        )
    }

    /// Another execution begins: it brings its epochs anew.
    fn begin(
        &self,
        sweep: SweepId,
        trial: TrialNumber,
        attempt: AttemptNumber,
        worker: &Name,
    ) -> Result<(), StoreError> {
        self.run(
            "DELETE FROM metrics WHERE sweep = ?1 AND trial = ?2",
            params![id(sweep), trial.0],
        )?;
        let sql = "UPDATE trials SET state = ?3, attempts = ?4, worker = ?5 WHERE sweep = ?1 AND trial = ?2";
        self.run(
            sql,
            params![id(sweep), trial.0, TrialState::Running.name(), attempt.0, worker.as_str()],
        )
    }

    /// A lease on a scoring ends too; its trial is done, and stays so.
    fn requeue(&self, sweep: SweepId, trial: TrialNumber) -> Result<(), StoreError> {
        let sql = "UPDATE trials SET state = ?3 WHERE sweep = ?1 AND trial = ?2 AND state = ?4";
        self.run(
            sql,
            params![id(sweep), trial.0, TrialState::Queued.name(), TrialState::Running.name()],
        )
    }

    fn measure(
        &self,
        sweep: SweepId,
        trial: TrialNumber,
        lease: LeaseId,
        point: &Point,
    ) -> Result<(), StoreError> {
        match point {
            Point::Network(metrics) => self.measure_network(sweep, trial, lease, metrics),
            Point::Named(NamedMetrics { epoch, metrics }) => {
                let sql = "INSERT OR REPLACE INTO metrics (sweep, trial, epoch, lease, named) VALUES (?1, ?2, ?3, ?4, ?5)";
                // Plainly: what is not finite becomes null.
                let named = serde_json::to_string(metrics)?;
                self.run(sql, params![id(sweep), trial.0, epoch, int(lease.0), named])
            }
        }
    }

    fn measure_network(
        &self,
        sweep: SweepId,
        trial: TrialNumber,
        lease: LeaseId,
        metrics: &EpochMetrics,
    ) -> Result<(), StoreError> {
        let sql = "INSERT OR REPLACE INTO metrics (sweep, trial, epoch, lease, train_loss, train_accuracy, validation_loss, \
                   validation_accuracy) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        let EpochMetrics { epoch, train, validation } = metrics;
        let lease = int(lease.0);
        self.run(
            sql,
            params![
                id(sweep),
                trial.0,
                epoch,
                lease,
                train.loss,
                train.accuracy,
                validation.loss,
                validation.accuracy
            ],
        )
    }

    fn finish(
        &self,
        sweep: SweepId,
        trial: TrialNumber,
        outcome: &Outcome,
        seconds: Option<f64>,
    ) -> Result<(), StoreError> {
        let message = match outcome {
            Outcome::Failed { message } => Some(message.as_str()),
            Outcome::Completed | Outcome::Diverged => None,
        };
        if seconds.is_none() {
            self.run(
                "DELETE FROM metrics WHERE sweep = ?1 AND trial = ?2",
                params![id(sweep), trial.0],
            )?;
        }
        self.end(sweep, trial, outcome.state(), seconds, message)
    }

    /// What was trained past the rung does not count.
    fn stop(&self, sweep: SweepId, trial: TrialNumber, rung: Rung) -> Result<(), StoreError> {
        self.run(
            "DELETE FROM metrics WHERE sweep = ?1 AND trial = ?2 AND epoch > ?3",
            params![id(sweep), trial.0, rung.epoch],
        )?;
        self.end(sweep, trial, TrialState::Stopped, None, None)
    }

    /// The end of a trial; its objective is that of the last epoch that counts.
    fn end(
        &self,
        sweep: SweepId,
        trial: TrialNumber,
        state: TrialState,
        seconds: Option<f64>,
        message: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE trials SET state = ?3, seconds = ?4, message = ?5, objective = (
                       SELECT CASE WHEN m.named IS NOT NULL THEN json_extract(m.named, '$.\"' || sweeps.metric || '\"')
                              WHEN sweeps.metric = 'train_loss' THEN m.train_loss
                              WHEN sweeps.metric = 'train_accuracy' THEN m.train_accuracy
                              WHEN sweeps.metric = 'validation_loss' THEN m.validation_loss ELSE m.validation_accuracy END
                       FROM sweeps JOIN metrics AS m ON m.sweep = sweeps.id
                       WHERE sweeps.id = ?1 AND m.trial = ?2 ORDER BY m.epoch DESC LIMIT 1)
                   WHERE sweep = ?1 AND trial = ?2";
        self.run(sql, params![id(sweep), trial.0, state.name(), seconds, message])
    }

    fn score(
        &self,
        sweep: SweepId,
        score: Option<&Score>,
        reproduced: bool,
        message: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE sweeps SET test_loss = ?2, test_accuracy = ?3, reproduced = ?4, message = ?5 WHERE id = ?1";
        let (loss, accuracy) = (score.map(|s| s.loss), score.and_then(|s| s.accuracy));
        self.run(sql, params![id(sweep), loss, accuracy, reproduced, message])
    }
}
