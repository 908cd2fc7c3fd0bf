//! The state of one trial.

use caviar_common::assignment::Assignment;
use caviar_common::ids::{LeaseId, Name, TrialNumber};
use caviar_common::message::{Checkpoint, StoredModel};
use caviar_common::metric::Point;
use caviar_common::outcome::TrialState;
use caviar_common::reason::{Reason, Source};
use caviar_common::spec::{Objective, ObjectiveEpoch};
use serde::{Deserialize, Serialize};

use super::{ExpiredLease, SUSPECT_LOSSES};
use crate::record::Broken;
use crate::record::event::{CheckpointChanged, Rung};

/// A trial. A snapshot has its assignment and its reason elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    pub(in crate::record) number: TrialNumber,
    pub(in crate::record) status: TrialStatus,
    #[serde(skip)]
    pub(in crate::record) assignment: Assignment,
    #[serde(skip, default = "no_reason")]
    pub(in crate::record) reason: Reason,
    pub(in crate::record) epochs: u32,
    pub(in crate::record) start: u64,
    pub(in crate::record) end: u64,
    pub(in crate::record) passed_rungs: u32,
    pub(in crate::record) due: u64,
    pub(in crate::record) attempts: u32,
    pub(in crate::record) losses: u32,
    /// The latest leases that have expired, oldest first.
    #[serde(default)]
    pub(in crate::record) expired: Vec<ExpiredLease>,
    pub(in crate::record) inherited: u32,
    pub(in crate::record) worker: Option<Name>,
    pub(in crate::record) epochs_so_far: EpochsSoFar,
    pub(in crate::record) seconds: Option<f64>,
    pub(in crate::record) checkpoint: Option<Checkpoint>,
    /// How many epochs the latest execution began with.
    pub(in crate::record) resumed: u32,
    pub(in crate::record) retrained: u64,
    pub(in crate::record) model: Option<StoredModel>,
}

/// What stands for the reason of a trial that is read from a snapshot, until it is known.
fn no_reason() -> Reason {
    Reason::from_source(Source::Random)
}

/// What the state keeps of a trial's curve: how long it is, its last epoch, the epoch that counts,
/// and the same at the epochs at which the trial may be decided. The whole curve is in the events.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochsSoFar {
    count: u32,
    last: Option<Point>,
    /// The epoch whose metric is the objective.
    counting: Option<Point>,
    at_rungs: Vec<AtRung>,
}

/// A trial at the epoch of a rung.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(in crate::record) struct AtRung {
    /// What was measured after the epoch.
    pub(in crate::record) point: Point,
    /// The epoch that counted then.
    pub(in crate::record) counting: Point,
}

impl EpochsSoFar {
    /// Adds the next epoch.
    pub(in crate::record) fn push(&mut self, point: Point, rungs: &[u32], objective: &Objective) {
        self.count += 1;
        let value = |point: &Point| point.get(&objective.metric);
        let before = self.counting.take_if(|before| match objective.epoch {
            ObjectiveEpoch::Best => !objective.is_best(value(&point), value(before)),
            ObjectiveEpoch::Last => false,
        });
        let counting = before.unwrap_or_else(|| point.clone());
        if rungs.contains(&point.epoch()) {
            self.at_rungs.push(AtRung { point: point.clone(), counting: counting.clone() });
        }
        self.counting = Some(counting);
        self.last = Some(point);
    }

    /// Drops the epochs after this one. Returns false if they cannot be dropped, because the epoch
    /// is not one of those that are kept.
    #[must_use]
    pub(in crate::record) fn truncate(&mut self, epoch: u32) -> bool {
        if epoch >= self.count {
            return true;
        }
        self.at_rungs.retain(|rung| rung.point.epoch() <= epoch);
        let last = self.at_rungs.last().filter(|last| last.point.epoch() == epoch);
        self.last = last.map(|last| last.point.clone());
        self.counting = last.map(|last| last.counting.clone());
        self.count = epoch;
        epoch == 0 || self.last.is_some()
    }

    /// The trial at a rung, once its epoch is recorded.
    pub(in crate::record) fn at_rung(&self, epoch: u32) -> Option<&AtRung> {
        self.at_rungs.iter().find(|rung| rung.point.epoch() == epoch)
    }
}

/// How far a trial is, with what is known only then.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TrialStatus {
    /// Waits for a worker or an external client.
    Waiting,
    /// A worker or an external client executes it.
    Running {
        /// The lease in force.
        lease: LeaseId,
    },
    /// Trained to the end.
    Completed(FinalAttempt),
    /// Ended because its loss became infinite or NaN.
    Diverged(FinalAttempt),
    /// Could not be trained.
    Failed {
        /// Why the trial failed.
        message: String,
        /// The execution that reported the failure; `None` if the coordinator gave the trial up.
        last_attempt: Option<FinalAttempt>,
    },
    /// Stopped early at a rung.
    Stopped {
        /// The rung, and the trial's rank there.
        rung: Rung,
    },
    /// Not finished when its sweep was cancelled.
    Cancelled,
}

/// The execution whose outcome was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalAttempt {
    pub(in crate::record) lease: LeaseId,
    pub(in crate::record) memory_bytes: Option<u64>,
}

impl FinalAttempt {
    /// The lease under which the outcome was reported. It is not in force any more.
    pub const fn lease(&self) -> LeaseId {
        self.lease
    }

    /// Bytes that the training allocated. `None` for an external client, and in stores from before
    /// memory was counted.
    pub const fn memory_bytes(&self) -> Option<u64> {
        self.memory_bytes
    }
}

impl TrialStatus {
    /// The kind of status, without its data.
    pub const fn state(&self) -> TrialState {
        match self {
            Self::Waiting => TrialState::Queued,
            Self::Running { .. } => TrialState::Running,
            Self::Completed(_) => TrialState::Completed,
            Self::Diverged(_) => TrialState::Diverged,
            Self::Failed { .. } => TrialState::Failed,
            Self::Stopped { .. } => TrialState::Stopped,
            Self::Cancelled => TrialState::Cancelled,
        }
    }
}

impl Trial {
    /// The trial's number in its sweep, from 0.
    pub const fn number(&self) -> TrialNumber {
        self.number
    }

    /// How far the trial is, with the data of that status.
    pub const fn status(&self) -> &TrialStatus {
        &self.status
    }

    /// The kind of the trial's status.
    pub const fn state(&self) -> TrialState {
        self.status.state()
    }

    /// The hyperparameters that the sampler chose.
    pub const fn assignment(&self) -> &Assignment {
        &self.assignment
    }

    /// Why the sampler chose them.
    pub const fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Epochs to train.
    pub const fn epochs(&self) -> u32 {
        self.epochs
    }

    /// Virtual time at which the trial starts.
    pub const fn start(&self) -> u64 {
        self.start
    }

    /// Virtual time at which the trial ends unless a rung stops it.
    pub const fn end(&self) -> u64 {
        self.end
    }

    /// How many rungs the trial has passed.
    pub const fn passed_rungs(&self) -> u32 {
        self.passed_rungs
    }

    /// Virtual time of the trial's next decision, at its next rung or its end.
    pub const fn due(&self) -> u64 {
        self.due
    }

    /// Executions so far, the current one included.
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How many times in a row the trial has lost its worker without reporting a new epoch.
    pub const fn losses(&self) -> u32 {
        self.losses
    }

    /// The latest leases that have expired, oldest first.
    pub fn expired(&self) -> &[ExpiredLease] {
        &self.expired
    }

    /// True if the trial may be what crashes its workers.
    pub const fn is_suspect(&self) -> bool {
        self.losses >= SUSPECT_LOSSES
    }

    /// How many epochs were recorded before the latest execution began.
    pub const fn inherited_epochs(&self) -> u32 {
        self.inherited
    }

    /// Where the next execution can continue; `None` unless the trial is in flight.
    pub const fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    /// How many epochs were trained again. Those of an execution that ended before it reached a new
    /// epoch do not count.
    pub const fn retrained_epochs(&self) -> u64 {
        self.retrained
    }

    /// Notes that the latest execution has repeated what was recorded before it. Returns how many
    /// epochs it trained again.
    pub(in crate::record) fn catch_up(&mut self) -> u64 {
        if self.recorded_epochs() != self.inherited {
            return 0;
        }
        let again = u64::from(self.inherited.saturating_sub(self.resumed));
        self.resumed = self.inherited;
        self.retrained = self.retrained.saturating_add(again);
        again
    }

    /// Replaces the checkpoint. Without one, the latest execution has begun with the first epoch.
    pub(in crate::record) fn change_checkpoint(
        &mut self,
        changed: &CheckpointChanged,
    ) -> Result<(), Broken> {
        let CheckpointChanged { lease, checkpoint, .. } = changed;
        if self.running_lease() != Some(*lease) {
            let text = format!("trial {} does not run under lease {lease}", self.number);
            return Err(Broken(text));
        }
        self.checkpoint = *checkpoint;
        if checkpoint.is_none() {
            self.resumed = 0;
        }
        Ok(())
    }

    /// True if the coordinator gave the trial up.
    pub const fn is_given_up(&self) -> bool {
        matches!(self.status, TrialStatus::Failed { last_attempt: None, .. })
    }

    /// The worker or external client of the latest execution; `None` before the first one.
    pub const fn worker(&self) -> Option<&Name> {
        self.worker.as_ref()
    }

    /// The recorded epoch whose metric is the objective; `None` before the first one.
    pub const fn counting(&self) -> Option<&Point> {
        self.epochs_so_far.counting.as_ref()
    }

    /// The model of the last execution, which was completed; `None` if it stored none.
    pub const fn model(&self) -> Option<&StoredModel> {
        self.model.as_ref()
    }

    /// The last recorded epoch; `None` before the first one.
    pub const fn last(&self) -> Option<&Point> {
        self.epochs_so_far.last.as_ref()
    }

    /// Training time of the latest execution in seconds, as last reported, with the epochs that do
    /// not count. `None` before the first report.
    pub const fn seconds(&self) -> Option<f64> {
        self.seconds
    }

    /// How many epochs are recorded.
    pub const fn recorded_epochs(&self) -> u32 {
        self.epochs_so_far.count
    }

    /// The lease under which the trial runs; `None` unless it runs.
    pub const fn running_lease(&self) -> Option<LeaseId> {
        match self.status {
            TrialStatus::Running { lease } => Some(lease),
            TrialStatus::Waiting
            | TrialStatus::Completed(_)
            | TrialStatus::Diverged(_)
            | TrialStatus::Failed { .. }
            | TrialStatus::Stopped { .. }
            | TrialStatus::Cancelled => None,
        }
    }

    /// The execution whose outcome was accepted; `None` if there is no such execution.
    pub const fn final_attempt(&self) -> Option<&FinalAttempt> {
        match &self.status {
            TrialStatus::Completed(attempt) | TrialStatus::Diverged(attempt) => Some(attempt),
            TrialStatus::Failed { last_attempt, .. } => last_attempt.as_ref(),
            TrialStatus::Waiting
            | TrialStatus::Running { .. }
            | TrialStatus::Stopped { .. }
            | TrialStatus::Cancelled => None,
        }
    }

    /// The lease in force, or the one under which the outcome was reported.
    pub fn latest_lease(&self) -> Option<LeaseId> {
        self.running_lease().or_else(|| self.final_attempt().map(FinalAttempt::lease))
    }

    /// Why the trial failed; `None` unless it failed.
    pub const fn message(&self) -> Option<&String> {
        match &self.status {
            TrialStatus::Failed { message, .. } => Some(message),
            TrialStatus::Waiting
            | TrialStatus::Running { .. }
            | TrialStatus::Completed(_)
            | TrialStatus::Diverged(_)
            | TrialStatus::Stopped { .. }
            | TrialStatus::Cancelled => None,
        }
    }

    /// The rung at which the trial was stopped; `None` unless it was stopped.
    pub const fn stopped_at(&self) -> Option<&Rung> {
        match &self.status {
            TrialStatus::Stopped { rung } => Some(rung),
            TrialStatus::Waiting
            | TrialStatus::Running { .. }
            | TrialStatus::Completed(_)
            | TrialStatus::Diverged(_)
            | TrialStatus::Failed { .. }
            | TrialStatus::Cancelled => None,
        }
    }

    /// Virtual time at which `epoch`, from 1, is trained. Every epoch takes the same virtual time.
    pub fn time_of_epoch(&self, epoch: u32) -> u64 {
        if epoch >= self.epochs {
            return self.end;
        }
        let epoch_time = self.end.saturating_sub(self.start) / u64::from(self.epochs);
        self.start.saturating_add(epoch_time.saturating_mul(u64::from(epoch)))
    }
}
