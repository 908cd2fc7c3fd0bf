//! What a coordinator shows of its sweeps, trials and workers. The JSON forms are those of
//! `--json`.
//!
//! JSON has no NaN and no infinity: such a number is `null`, and the object around it has
//! `"diverged": true`, which is left out otherwise.

mod json;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};

use crate::assignment::Assignment;
use crate::blob::Blob;
use crate::data::DataSummary;
use crate::ids::{AttemptNumber, Name, SweepId, TrialNumber};
use crate::merit::Merit;
use crate::metric::{Point, Score};
use crate::outcome::{SweepState, TrialState};
use crate::reason::{Reason, SearchBox};
use crate::spec::{Goal, SweepSpec};

/// The note of a sweep that waits because no worker is connected.
pub const NO_WORKER: &str = "no worker is connected";

/// How many trials are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Trials that wait for a slot.
    pub queued: u32,
    /// Trials with a lease, including those that are parked.
    pub running: u32,
    /// Trials that were trained to the end.
    pub completed: u32,
    /// Trials that were stopped at a rung.
    pub stopped: u32,
    /// Trials that ended with an infinite or NaN loss.
    pub diverged: u32,
    /// Trials that could not be trained.
    pub failed: u32,
    /// Trials that were cancelled with their sweep.
    pub cancelled: u32,
}

impl Counts {
    /// The counter of the trials in `state`.
    pub const fn counter_mut(&mut self, state: TrialState) -> &mut u32 {
        match state {
            TrialState::Queued => &mut self.queued,
            TrialState::Running => &mut self.running,
            TrialState::Completed => &mut self.completed,
            TrialState::Stopped => &mut self.stopped,
            TrialState::Diverged => &mut self.diverged,
            TrialState::Failed => &mut self.failed,
            TrialState::Cancelled => &mut self.cancelled,
        }
    }

    /// The number of finished trials: completed, stopped early, diverged or failed. Cancelled
    /// trials did not finish.
    pub const fn finished(&self) -> u32 {
        self.completed + self.stopped + self.diverged + self.failed
    }
}

/// One round of the strategy `rounds`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoundView {
    /// The number of the round, from 1.
    pub round: u32,
    /// How many trials the round has in all.
    pub trials: u32,
    /// How many of its trials are finished.
    #[serde(rename = "done")]
    pub finished: u32,
    /// The box in which it searches; `None` before it begins.
    #[serde(rename = "box")]
    pub search_box: Option<SearchBox>,
    /// Its best objective so far; `None` before a trial of it is completed.
    #[serde(serialize_with = "json::finite_or_null")]
    pub best: Option<f64>,
}

/// The box in which a search without rounds looked for one of its trials.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BoxView {
    /// The trial that was chosen.
    pub trial: TrialNumber,
    /// The box from which it was chosen.
    #[serde(rename = "box")]
    pub search_box: SearchBox,
}

/// Most boxes of a sweep that are shown: enough to see how the search zooms in.
pub const MAX_BOXES: usize = 4;

/// The winner's score on the test split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestView {
    /// The trial that won.
    pub trial: TrialNumber,
    /// The score; `None` if scoring failed.
    #[serde(serialize_with = "json::optional_score")]
    pub score: Option<Score>,
    /// Whether training the winner again gave the same metrics, bit for bit.
    pub reproduced: bool,
    /// Why the winner could not be scored.
    pub message: Option<String>,
}

/// A sweep as its clients see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepView {
    /// The number of the sweep in its store.
    pub id: SweepId,
    /// Unique in its store.
    pub name: Name,
    /// Whether it runs, is paused, or is over.
    pub state: SweepState,
    /// The spec, with the default space filled in.
    pub spec: Arc<SweepSpec>,
    /// The size and digest of its data.
    pub data: DataSummary,
    /// Trials by state. Trials that are not sampled yet are in no state.
    pub counts: Counts,
    /// Every round of the strategy `rounds`; empty for other strategies.
    pub rounds: Vec<RoundView>,
    /// For a strategy that searches in boxes but not in rounds, up to [`MAX_BOXES`] of its boxes,
    /// almost evenly spaced from the first to the latest.
    pub boxes: Vec<BoxView>,
    /// The best completed trial so far, without its curve. The winner if the sweep is completed.
    pub best: Option<TrialView>,
    /// The winner's test score; `None` until the sweep is completed, and without a test split.
    pub test: Option<TestView>,
    /// The trial whose result the next decision waits for; `None` while no slot is idle.
    pub waits_for: Option<TrialNumber>,
    /// Notes for the user, such as workers that cannot train this sweep.
    pub notes: Vec<String>,
    /// How many trials are in flight in virtual time now. The spec has the number with which the
    /// sweep began.
    pub parallelism: u32,
    /// The slots from which `parallelism = "auto"` was resolved; `None` if the sweep file gave a
    /// number.
    pub auto_slots: Option<u32>,
    /// The changes of the number of trials in flight, oldest first.
    pub resizes: Vec<ResizeView>,
    /// The number of trials now. The spec has the number with which the sweep began.
    pub budget: u32,
    /// The additions to the number of trials, oldest first.
    pub extensions: Vec<ExtensionView>,
    /// The slots for which the sweep has nothing to do; `None` if there are none.
    pub idle: Option<IdleView>,
    /// How many epochs were trained again after a worker was lost or left.
    pub retrained_epochs: u64,
    /// The models that are kept, the best first.
    pub models: Vec<ModelView>,
}

/// The weights of a completed trial, which the coordinator keeps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ModelView {
    /// The trial.
    pub trial: TrialNumber,
    /// The epoch of its objective, whose weights they are, from 1.
    pub epoch: u32,
    /// The value of the objective.
    pub objective: f64,
    /// The bytes, as an artifact of the coordinator.
    #[serde(flatten)]
    pub blob: Blob,
}

/// A change of the number of trials in flight, and its place among the decisions of the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ResizeView {
    /// Trials in flight from this place on.
    pub parallelism: u32,
    /// How many trials were sampled before.
    pub trials: u32,
    /// How many rungs and ends were decided before.
    pub decisions: u32,
}

/// An addition to the number of trials, and its place among the decisions of the sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ExtensionView {
    /// How many trials were added.
    pub added: u32,
    /// How many trials were sampled before.
    pub trials: u32,
    /// How many rungs and ends were decided before.
    pub decisions: u32,
}

/// Slots of connected workers that have had nothing to do for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdleView {
    /// How many they are.
    pub idle: u32,
    /// How many slots the workers that take new trials have in all.
    pub slots: u32,
    /// Why the sweep has nothing for them.
    pub reason: String,
    /// What the user can do; `None` if nothing has to be done.
    pub remedy: Option<String>,
}

impl fmt::Display for IdleView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { idle, slots, reason, remedy } = self;
        let have = if *idle == 1 { "has" } else { "have" };
        write!(f, "{idle} of {slots} slots {have} nothing to do: {reason}")?;
        remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

impl SweepView {
    /// How many networks each trial trains: one for each fold and repeat.
    pub fn trainings(&self) -> u32 {
        self.data.folds.max(1).saturating_mul(self.spec.objective.repeats.max(1))
    }

    /// Whether the sweep waits because no worker is connected.
    pub fn has_no_worker(&self) -> bool {
        self.notes.iter().any(|note| note == NO_WORKER)
    }
}

/// The rung at which a trial was stopped, and its rank there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StoppedView {
    /// The epoch of the rung, from 1.
    pub epoch: u32,
    /// Its rank by the objective among the trials that the rung had seen, from 1.
    pub rank: u32,
    /// How many trials the rung had seen, this one included.
    pub of: u32,
}

/// A trial as its clients see it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrialView {
    /// The number of the trial in its sweep, from 0.
    pub trial: TrialNumber,
    /// Whether it waits, runs, or how it ended.
    pub state: TrialState,
    /// The values of its active parameters.
    pub assignment: Assignment,
    /// Why it was chosen.
    pub reason: Reason,
    /// How many times it was started; 0 while it waits for its first slot.
    pub attempts: AttemptNumber,
    /// The worker or external client that runs it or ran it last.
    pub worker: Option<Name>,
    /// How many epochs it is to train, at least 1.
    pub epochs: u32,
    /// The objective after its latest epoch, which is final once the trial is finished. For a
    /// stopped trial, the objective at its rung. `None` before the first epoch.
    pub objective: Option<f64>,
    /// The metrics of its latest epoch.
    pub last: Option<Point>,
    /// The metrics of the epoch whose metric is `objective`: the best epoch so far or the latest
    /// one, as the sweep counts them. For a diverged trial, the latest. `None` before the first
    /// epoch.
    pub counting: Option<Point>,
    /// The metrics of every epoch; empty unless the request asks for curves.
    pub curve: Vec<Point>,
    /// Training time in seconds. `None` until the trial has ended, and if it was not reported.
    pub seconds: Option<f64>,
    /// Bytes that its training allocated, without the data; `None` until the trial is finished.
    pub memory_bytes: Option<u64>,
    /// Why the trial failed.
    pub message: Option<String>,
    /// The rung at which it was stopped; `None` if it was not.
    pub stopped: Option<StoppedView>,
    /// Whether it is running but parked: its worker keeps it without a slot.
    pub parked: bool,
    /// When it started and ended; only an export has these.
    pub times: TrialTimes,
    /// How many epochs later attempts trained again. Those of an attempt that ended before it
    /// reached a new epoch are not known, and do not count.
    pub retrained_epochs: u64,
}

/// When a trial started and ended, as UTC times such as `2026-05-04T10:11:12.345Z`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrialTimes {
    /// When its first attempt got a slot; `None` before that.
    pub started_at: Option<String>,
    /// When its result was stored; `None` before that, and for a cancelled trial.
    pub ended_at: Option<String>,
}

impl TrialTimes {
    /// Adds what is known from later events: the first start and the last end count.
    pub fn update(&mut self, later: Self) {
        self.started_at = self.started_at.take().or(later.started_at);
        self.ended_at = later.ended_at.or(self.ended_at.take());
    }
}

/// The JSON form of a [`TrialView`].
#[derive(Serialize)]
struct TrialJson<'a> {
    trial: TrialNumber,
    state: TrialState,
    assignment: &'a Assignment,
    reason: &'a Reason,
    attempts: AttemptNumber,
    worker: &'a Option<Name>,
    epochs: u32,
    objective: Option<f64>,
    #[serde(skip_serializing_if = "json::is_false")]
    diverged: bool,
    last: Option<json::PointJson<'a>>,
    counting: Option<json::PointJson<'a>>,
    curve: Vec<json::PointJson<'a>>,
    seconds: Option<f64>,
    memory_bytes: Option<u64>,
    message: &'a Option<String>,
    stopped: Option<StoppedView>,
    #[serde(skip_serializing_if = "json::is_false")]
    parked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<&'a str>,
    retrained_epochs: u64,
}

impl TrialView {
    /// The number of the epoch whose metric is the objective, from 1; `None` before the first one.
    pub fn counting_epoch(&self) -> Option<u32> {
        self.counting.as_ref().map(Point::epoch)
    }

    /// The finite validation loss of that epoch, which decides between equal objectives.
    pub fn tie_loss(&self) -> Option<f64> {
        self.counting.as_ref().and_then(Point::tie_loss)
    }

    /// Whether the trial takes part in a ranking: it is completed, with a finite objective.
    pub fn is_ranked(&self) -> bool {
        self.state == TrialState::Completed && self.objective.is_some_and(f64::is_finite)
    }

    /// The place of the trial in a list that begins with the best. The cost of a trial that is not
    /// ranked is infinite.
    pub fn merit(&self, goal: Goal) -> Merit {
        let objective = self.objective.filter(|_| self.is_ranked());
        let cost = objective.map_or(f64::INFINITY, |value| goal.as_cost(value));
        let loss = objective.and_then(|_| self.tie_loss());
        Merit { cost, loss, trial: self.trial }
    }
}

impl Serialize for TrialView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Without `..`, so that a new field cannot be forgotten here.
        let Self {
            trial,
            state,
            assignment,
            reason,
            attempts,
            worker,
            epochs,
            objective,
            last,
            counting,
            curve,
            seconds,
            memory_bytes,
            message,
            stopped,
            parked,
            times,
            retrained_epochs,
        } = self;
        let has_diverged =
            *state == TrialState::Diverged || objective.is_some_and(|value| !value.is_finite());
        let json = TrialJson {
            trial: *trial,
            state: *state,
            assignment,
            reason,
            attempts: *attempts,
            worker,
            epochs: *epochs,
            objective: objective.and_then(json::finite),
            diverged: has_diverged,
            last: last.as_ref().map(json::PointJson::from),
            counting: counting.as_ref().map(json::PointJson::from),
            curve: curve.iter().map(json::PointJson::from).collect(),
            seconds: *seconds,
            memory_bytes: *memory_bytes,
            message,
            stopped: *stopped,
            parked: *parked,
            started_at: times.started_at.as_deref(),
            ended_at: times.ended_at.as_deref(),
            retrained_epochs: *retrained_epochs,
        };
        json.serialize(serializer)
    }
}

/// A worker as clients see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkerView {
    /// Unique in its coordinator.
    pub worker: Name,
    /// How many trials it can train at once.
    pub slots: u32,
    /// Whether it is connected now.
    pub connected: bool,
    /// Whether it is draining and takes no new jobs.
    pub draining: bool,
    /// The trials whose leases it holds: the name of the sweep and the number of the trial.
    pub trials: Vec<(Name, TrialNumber)>,
    /// Milliseconds since its latest message.
    pub silent_ms: u64,
    /// Slots that have had nothing to do for a while.
    pub idle: u32,
    /// Why they have nothing to do, and what the user can do; `None` if no slot is idle.
    pub idle_because: Option<String>,
}

/// The effect of one hyperparameter by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShareView {
    /// The name of the hyperparameter.
    pub parameter: String,
    /// Share of the variance of the objective over the space, from 0 to 1.
    pub share: f64,
}

/// The interaction of two hyperparameters: the effect that neither has by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairView {
    /// The names of the two, in the order of the space.
    pub parameters: [String; 2],
    /// Share of the variance of the objective over the space, from 0 to 1.
    pub share: f64,
}

/// How much each hyperparameter of a sweep mattered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImportanceView {
    /// How many trials it was computed from.
    pub trials: u32,
    /// How many of them were stopped early or are still running. They count with the objective that
    /// they are expected to reach.
    pub provisional: u32,
    /// Every hyperparameter of the space, the most important first.
    pub parameters: Vec<ShareView>,
    /// The pairs with the largest interactions, the largest first.
    pub pairs: Vec<PairView>,
}

#[cfg(test)]
mod tests;
