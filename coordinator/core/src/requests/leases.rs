//! What workers report about a lease that they hold, and the end of leases without a result.

use caviar_common::ids::{Incarnation, LeaseId, Name, SessionId, SweepId, TrialNumber};
use caviar_common::message::{Checkpoint, Finished, Release, Stored, ToWorker};
use caviar_common::metric::{EpochMetrics, Point, Score};
use caviar_common::outcome::{Job, Outcome};

use crate::Coordinator;
use crate::halt::Halt;
use crate::input::{Refusal, Reply};
use crate::placement::waiting_job;
use crate::record::Broken;
use crate::record::event::{
    CheckpointChanged, EpochsRecorded, LeaseEnd, LeaseEnded, LeaseRestored, LossWithdrawn,
    TrialFinished, WinnerScored, WorkerLost,
};
use crate::record::state::{
    ExpiredLease, Holder, Lease, SUSPECT_LOSSES, Scoring, ScoringStatus, Sweep, Trial, losses_after,
};

/// A lease in force that the sender of a message holds.
pub(super) struct HeldLease {
    pub(super) id: LeaseId,
    pub(super) lease: Lease,
    pub(super) worker: Name,
    /// The worker's connection.
    pub(super) session: SessionId,
}

impl Coordinator {
    /// The lease, if it is in force and this process of the worker holds it.
    pub(super) fn lease_held_by(&self, worker: &Name, id: LeaseId) -> Option<&Lease> {
        let incarnation = self.volatile.workers.get(worker)?.incarnation;
        self.record.lease(id).filter(|lease| {
            lease.worker() == Some(worker) && lease.incarnation() == Some(incarnation)
        })
    }

    /// The trial of a lease in force.
    pub(super) fn trial_of(&self, lease: &Lease) -> Result<&Trial, Broken> {
        let sweep = self.record.sweep(lease.sweep());
        let trial = sweep.and_then(|sweep| sweep.trial(lease.trial()));
        trial.ok_or_else(|| Broken::no_trial(lease.sweep(), lease.trial()))
    }

    /// Records reported epochs. Those that were recorded before are acknowledged again. `seconds`
    /// is the training time at the end of the last one.
    pub(super) fn record_epochs(
        &mut self,
        held: &HeldLease,
        points: &[EpochMetrics],
        seconds: Option<f64>,
    ) -> Result<(), Halt> {
        let HeldLease { id, lease, session, .. } = held;
        if lease.job() == Job::Score {
            let message = "a scoring reports no epochs".to_owned();
            return Err(Refusal::InvalidReport(message).into());
        }
        let trial = self.trial_of(lease)?;
        if let Some(objection) = self.lacks_measure(lease, points) {
            return Err(Refusal::InvalidReport(objection).into());
        }
        let before = trial.recorded_epochs();
        let new = points.iter().filter(|point| point.epoch > before);
        let new: Vec<Point> = new.map(|point| Point::Network(*point)).collect();
        for (point, expected) in new.iter().zip(before + 1..) {
            let (epoch, epochs) = (point.epoch(), trial.epochs());
            if epoch != expected || epoch > epochs {
                let message = format!(
                    "epoch {epoch} of trial {} was reported after epoch {} of {epochs}",
                    trial.number(),
                    expected - 1
                );
                return Err(Refusal::InvalidReport(message).into());
            }
        }
        if !new.is_empty() {
            let (trial, lease_id) = (lease.trial(), *id);
            let event = EpochsRecorded { trial, lease: lease_id, points: new, seconds };
            self.emit(lease.sweep(), event)?;
        }
        if let Some(last) = points.last() {
            let now = self.volatile.clock.now();
            self.volatile.progress.report(*id, last.epoch, seconds, now);
        }
        let stored = Stored::Epoch(self.trial_of(lease)?.recorded_epochs());
        self.changes.send(*session, ToWorker::Ack { lease: *id, stored });
        Ok(())
    }

    /// Why the epochs have no value of the objective of their sweep; `None` if they have one.
    fn lacks_measure(&self, lease: &Lease, points: &[EpochMetrics]) -> Option<String> {
        let objective = &self.record.sweep(lease.sweep())?.spec().objective;
        let measure = objective.metric.measure()?;
        let without = points.iter().find(|it| it.validation.measure(measure).is_none())?;
        let (epoch, name) = (without.epoch, measure.name());
        Some(format!("epoch {epoch} of trial {} was reported without {name}", lease.trial()))
    }

    /// Records a checkpoint that the worker has stored, if it is further than the one before.
    pub(super) fn record_checkpoint(
        &mut self,
        held: &HeldLease,
        checkpoint: Checkpoint,
    ) -> Result<(), Halt> {
        let HeldLease { id, lease, .. } = held;
        let trial = self.trial_of(lease)?;
        let (number, recorded) = (trial.number(), trial.recorded_epochs());
        if lease.job() == Job::Score || checkpoint.epoch > recorded {
            let epoch = checkpoint.epoch;
            let message = format!(
                "a checkpoint of trial {number} at epoch {epoch} was reported after epoch \
                 {recorded}"
            );
            return Err(Refusal::InvalidReport(message).into());
        }
        if trial.checkpoint().is_some_and(|known| known.place() >= checkpoint.place()) {
            return Ok(());
        }
        let (trial, lease_id, checkpoint) = (lease.trial(), *id, Some(checkpoint));
        let changed = CheckpointChanged { trial, lease: lease_id, checkpoint, reason: None };
        Ok(self.emit(lease.sweep(), changed)?)
    }

    /// Notes that the worker could not use the checkpoint of its grant. It is not given to another
    /// one, which would most likely fail too. A worker repeats this until it is acknowledged.
    pub(super) fn drop_checkpoint(&mut self, held: &HeldLease, reason: String) -> Result<(), Halt> {
        let HeldLease { id, lease, .. } = held;
        if lease.job() == Job::Score || self.trial_of(lease)?.checkpoint().is_none() {
            return Ok(());
        }
        let (trial, lease_id, checkpoint) = (lease.trial(), *id, None);
        let changed =
            CheckpointChanged { trial, lease: lease_id, checkpoint, reason: Some(reason) };
        Ok(self.emit(lease.sweep(), changed)?)
    }

    /// Accepts the result of a training or a scoring.
    pub(super) fn finish_job(&mut self, held: &HeldLease, result: Finished) -> Result<(), Halt> {
        let HeldLease { id, lease, session, .. } = held;
        let trial = self.trial_of(lease)?;
        match lease.job() {
            Job::Train => {
                if let Some(objection) = objection(trial, &result) {
                    return Err(Refusal::InvalidReport(objection).into());
                }
                let finished = TrialFinished {
                    trial: lease.trial(),
                    lease: *id,
                    outcome: result.outcome,
                    seconds: Some(result.seconds),
                    memory_bytes: result.memory_bytes,
                    model: result.model,
                };
                self.emit(lease.sweep(), finished)?;
                self.volatile.unable.has_trained(&held.worker, lease.sweep());
            }
            Job::Score => {
                let scored = scored_winner(*id, trial, result);
                self.emit(lease.sweep(), scored)?;
            }
        }
        self.changes.send(*session, ToWorker::Ack { lease: *id, stored: Stored::Finished });
        Ok(())
    }

    /// A worker returns a lease without a result.
    pub(super) fn release_lease(
        &mut self,
        held: &HeldLease,
        release: Release,
    ) -> Result<(), Broken> {
        let HeldLease { id, lease, worker, .. } = held;
        let known = self.volatile.workers.get_mut(worker);
        let known = known.ok_or_else(|| Broken(format!("worker {worker} is not known")))?;
        let now = self.volatile.clock.now();
        let cause = match release {
            Release::Drained => {
                // A worker that returns a lease because it exits gets no new one.
                known.is_draining = true;
                LeaseEnd::Drained
            }
            Release::Declined => {
                known.has_declined = true;
                self.volatile.declined.insert(worker.clone());
                LeaseEnd::NotHeld
            }
            Release::Unable { message } => {
                let refuser = (worker.clone(), None);
                self.volatile.unable.insert(lease.sweep(), refuser, message.clone(), now);
                LeaseEnd::Unable { message }
            }
            Release::TooLarge { message } => {
                let refuser = (worker.clone(), Some(lease.trial()));
                self.volatile.unable.insert(lease.sweep(), refuser, message.clone(), now);
                LeaseEnd::Unable { message }
            }
        };
        self.reschedule_worker(worker);
        if cause == LeaseEnd::Drained {
            self.forget_parked(worker);
        }
        self.lose_lease(*id, lease, cause, None)
    }

    /// Takes the lease on a trial, or on its scoring, away from its holder. The holder may train on
    /// for nothing.
    pub(crate) fn release_trial(
        &mut self,
        id: SweepId,
        number: TrialNumber,
    ) -> Result<Reply, Halt> {
        let sweep = self.sweep_of(id)?;
        let name = || sweep.spec().name.clone();
        let state = sweep.state_of(number);
        let state = state.ok_or_else(|| Refusal::NoSuchTrial { sweep: name(), trial: number })?;
        // Of a trial that is not in flight any more, the record keeps no lease.
        let training = sweep.trial(number).and_then(Trial::running_lease);
        // A sweep that was cancelled keeps the state of its scoring, whose lease has ended.
        let is_in_force = |lease: &LeaseId| self.record.lease(*lease).is_some();
        let scoring = || scoring_lease(sweep, number).filter(is_in_force);
        let lease = training.or_else(scoring);
        let lease =
            lease.ok_or_else(|| Refusal::NotRunning { sweep: name(), trial: number, state })?;
        let held = self.record.lease(lease).cloned();
        let held = held.ok_or_else(|| Broken(format!("lease {lease} is not in force")))?;
        self.lose_lease(lease, &held, LeaseEnd::Released, None)?;
        self.revoke_from(&held, lease, "an operator released the trial");
        Ok(Reply::Sweep(id))
    }

    /// Ends a lease without a result. The trial waits again, or fails if it has now lost its worker
    /// `max_lost_workers` times in a row. `lost` says how the end counts against the trial.
    pub(super) fn lose_lease(
        &mut self,
        id: LeaseId,
        lease: &Lease,
        cause: LeaseEnd,
        lost: Option<WorkerLost>,
    ) -> Result<(), Broken> {
        let before = self.record.losses(lease);
        let losses = lost.map_or(before, |lost| losses_after(before, lost));
        let is_given_up = lost == Some(WorkerLost::Alone) && losses >= self.config.max_lost_workers;
        let (sweep, trial) = (lease.sweep(), lease.trial());
        if !is_given_up {
            let (lost_worker, losses) = (lost, Some(losses));
            return self.emit(sweep, LeaseEnded { trial, lease: id, cause, lost_worker, losses });
        }
        let last = match (cause, lease.holder()) {
            (LeaseEnd::InvalidReport { message }, _) => message,
            (LeaseEnd::Stalled, _) => "it reported no epoch for too long".to_owned(),
            (_, Holder::Worker { .. }) => "its worker was lost".to_owned(),
            (_, Holder::Client { .. }) => "its client was silent for too long".to_owned(),
        };
        let message = format!("given up after {losses} failed attempts in a row; the last: {last}");
        self.give_up(id, lease, message)
    }

    /// Ends all of `leases`, which one worker held, because the worker is lost.
    ///
    /// A trial that has reported a new epoch on the worker is not to blame. If one trial is left,
    /// or one suspect, then it is the likely cause. The others may be the cause too: a trial that
    /// crashes every worker must not stay unsuspected next to a suspect.
    pub(super) fn lose_worker(
        &mut self,
        leases: &[LeaseId],
        cause: &LeaseEnd,
    ) -> Result<(), Broken> {
        let held: Vec<(LeaseId, Lease)> =
            leases.iter().filter_map(|id| Some((*id, self.record.lease(*id)?.clone()))).collect();
        let may_be_cause: Vec<bool> =
            held.iter().map(|(_, lease)| !self.has_progressed(lease)).collect();
        let candidates = || held.iter().zip(&may_be_cause).filter(|(_, may)| **may);
        let is_suspect = |lease: &Lease| self.record.losses(lease) >= SUSPECT_LOSSES;
        let suspects = candidates().filter(|((_, lease), _)| is_suspect(lease)).count();
        let count = candidates().count();
        let losses: Vec<Option<WorkerLost>> = held
            .iter()
            .zip(&may_be_cause)
            .map(|((_, lease), may)| {
                let is_likely = count == 1 || (suspects == 1 && is_suspect(lease));
                may.then_some(if is_likely { WorkerLost::Alone } else { WorkerLost::Shared })
            })
            .collect();
        held.iter()
            .zip(losses)
            .try_for_each(|((id, lease), lost)| self.lose_lease(*id, lease, cause.clone(), lost))
    }

    /// Gives an expired lease back to its worker, which has returned as the same process and still
    /// holds it. If another worker has taken the job in the meantime, only the loss is withdrawn:
    /// the process has not died. Returns true if the lease is in force again.
    pub(super) fn give_back(
        &mut self,
        worker: (&Name, Incarnation),
        id: LeaseId,
    ) -> Result<bool, Broken> {
        let known = self.volatile.expired.get(&id).copied();
        let Some((sweep_id, number)) = known else { return Ok(false) };
        let may_go_on = !self.volatile.quarantined.contains_key(&sweep_id);
        let sweep = self.record.sweep(sweep_id).filter(|_| may_go_on);
        let Some(sweep) = sweep else { return Ok(false) };
        let Some(expired) = expired_lease(sweep, number, id) else { return Ok(false) };
        let held = expired.lease();
        if (held.worker(), held.incarnation()) != (Some(worker.0), Some(worker.1)) {
            return Ok(false);
        }
        self.volatile.expired.remove(&id);
        let job = held.job();
        let losses = sweep.losses(held).saturating_sub(expired.losses());
        let (is_loss, trial) = (expired.losses() > 0, number);
        let Some(of_lease) = sweep.trial(number) else { return Ok(false) };
        if waiting_job(sweep, of_lease).is_some_and(|waiting| waiting.job == job) {
            let (units, now) = (Self::epoch_units(of_lease, job), self.volatile.clock.now());
            self.emit(sweep_id, LeaseRestored { trial, lease: id, losses })?;
            self.volatile.progress.begin(id, worker.0, units, now);
            return Ok(true);
        }
        if is_loss && !has_ended(sweep, of_lease, job) {
            self.emit(sweep_id, LossWithdrawn { trial, lease: id, losses })?;
        }
        Ok(false)
    }

    /// True if a new epoch of the trial was recorded under this lease.
    fn has_progressed(&self, lease: &Lease) -> bool {
        let trial = self.record.sweep(lease.sweep()).and_then(|sweep| sweep.trial(lease.trial()));
        lease.job() == Job::Train
            && trial.is_some_and(|trial| trial.recorded_epochs() > trial.inherited_epochs())
    }

    /// Fails the job of a lease, whose holder is gone or cannot be trusted with it.
    fn give_up(&mut self, id: LeaseId, lease: &Lease, message: String) -> Result<(), Broken> {
        let trial = lease.trial();
        match lease.job() {
            Job::Train => {
                let outcome = Outcome::Failed { message };
                let (seconds, memory_bytes, model) = (None, None, None);
                let finished =
                    TrialFinished { trial, lease: id, outcome, seconds, memory_bytes, model };
                self.emit(lease.sweep(), finished)
            }
            Job::Score => {
                let (reproduced, message) = (false, Some(message));
                let scored = WinnerScored { trial, lease: id, score: None, reproduced, message };
                self.emit(lease.sweep(), scored)
            }
        }
    }
}

/// The expired lease of that number on a trial or on its scoring.
fn expired_lease(sweep: &Sweep, trial: TrialNumber, id: LeaseId) -> Option<&ExpiredLease> {
    let of_trial = sweep.trial(trial).into_iter().flat_map(Trial::expired);
    let of_scoring = sweep.scoring().into_iter().flat_map(Scoring::expired);
    of_trial.chain(of_scoring).find(|expired| expired.id() == id)
}

/// True if no further loss can count against the job of a trial.
fn has_ended(sweep: &Sweep, trial: &Trial, job: Job) -> bool {
    match job {
        Job::Train => trial.state().is_final(),
        Job::Score => sweep.scoring().is_none_or(|scoring| scoring.result().is_some()),
    }
}

/// The lease in force on the scoring of `winner`.
fn scoring_lease(sweep: &Sweep, winner: TrialNumber) -> Option<LeaseId> {
    let scoring = sweep.scoring().filter(|scoring| scoring.trial() == winner)?;
    let ScoringStatus::Running { lease } = scoring.status() else { return None };
    Some(*lease)
}

/// Why a result cannot be accepted; `None` if the reported epochs agree with it.
fn objection(trial: &Trial, result: &Finished) -> Option<String> {
    let (number, recorded, epochs) = (trial.number(), trial.recorded_epochs(), trial.epochs());
    let last = trial.last();
    let counting = trial.counting().map(Point::epoch);
    match &result.outcome {
        Outcome::Diverged | Outcome::Failed { .. } if result.model.is_some() => {
            Some(format!("trial {number} was not completed and has a model"))
        }
        Outcome::Completed if recorded != epochs => Some(format!(
            "trial {number} was reported as completed after {recorded} of {epochs} epochs"
        )),
        Outcome::Completed if last.is_some_and(|last| !last.is_finite()) => Some(format!(
            "trial {number} was reported as completed, but its last loss is not finite"
        )),
        Outcome::Completed if result.model.is_some_and(|model| Some(model.epoch) != counting) => {
            Some(format!(
                "the model of trial {number} is not of epoch {}, whose objective counts",
                counting.unwrap_or(0)
            ))
        }
        Outcome::Diverged if last.is_none_or(Point::is_finite) => {
            Some(format!("trial {number} was reported as diverged, but its last loss is finite"))
        }
        Outcome::Completed | Outcome::Diverged | Outcome::Failed { .. } => None,
    }
}

/// The result of a scoring, compared with the first training of the winner.
fn scored_winner(lease: LeaseId, winner: &Trial, result: Finished) -> WinnerScored {
    let reproduced = match (winner.last(), &result.last) {
        (Some(Point::Network(first)), Some(second)) => has_same_bits(first, second),
        _ => false,
    };
    let message = match (result.outcome, result.test) {
        (Outcome::Failed { message }, _) => Some(message),
        (Outcome::Diverged, _) => Some("the second training diverged".to_owned()),
        (Outcome::Completed, None) => Some("the worker sent no score".to_owned()),
        (Outcome::Completed, Some(_)) => None,
    };
    let (trial, score) = (winner.number(), result.test);
    WinnerScored { trial, lease, score, reproduced, message }
}

fn has_same_bits(a: &EpochMetrics, b: &EpochMetrics) -> bool {
    let bits = |score: &Score| {
        let measured = score.measured.map(|it| (it.measure, it.value.to_bits()));
        (score.loss.to_bits(), score.accuracy.map(f64::to_bits), measured)
    };
    a.epoch == b.epoch
        && bits(&a.train) == bits(&b.train)
        && bits(&a.validation) == bits(&b.validation)
}
