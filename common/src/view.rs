//! What people and programs see of a coordinator. The shapes are those of `--json`.

use serde::Serialize;

use crate::assignment::Assignment;
use crate::data::DataSummary;
use crate::ids::{AttemptNumber, Name, SweepId, TrialNumber};
use crate::metric::{Point, Score};
use crate::outcome::{SweepState, TrialState};
use crate::reason::{Reason, SearchBox};
use crate::spec::SweepSpec;

/// The note of a sweep that nobody trains.
pub const NO_WORKER: &str = "no worker is connected";

/// How many trials are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Waiting for a slot.
    pub queued: u32,
    /// Being trained.
    pub running: u32,
    /// Trained to the end.
    pub completed: u32,
    /// Ended at a rung.
    pub stopped: u32,
    /// Ended with an infinite or NaN loss.
    pub diverged: u32,
    /// Could not be trained.
    pub failed: u32,
    /// Cancelled with their sweep.
    pub cancelled: u32,
}

impl Counts {
    /// The counter of a state.
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

    /// Trials that came to an end of their own. Those that were cancelled did not.
    pub const fn done(&self) -> u32 {
        self.completed + self.stopped + self.diverged + self.failed
    }
}

/// One round of a coarse-to-fine search.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoundView {
    /// From 1.
    pub round: u32,
    /// Trials it was given.
    pub trials: u32,
    /// Trials of it that are done.
    pub done: u32,
    /// Where it looks; none before it begins.
    #[serde(rename = "box")]
    pub search_box: Option<SearchBox>,
    /// Its best objective so far.
    pub best: Option<f64>,
}

/// Where a search without rounds looked when it chose a trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BoxView {
    /// The trial.
    pub trial: TrialNumber,
    /// Where it was looked for.
    #[serde(rename = "box")]
    pub search_box: SearchBox,
}

/// Boxes of a sweep that are shown: enough to see how it zooms in.
pub const MAX_BOXES: usize = 4;

/// The winner's score on the test split.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestView {
    /// The trial that was scored.
    pub trial: TrialNumber,
    /// The score; none where scoring failed.
    pub score: Option<Score>,
    /// Whether training the winner once more gave the same metrics, bit for bit.
    pub reproduced: bool,
    /// Why there is no score.
    pub message: Option<String>,
}

/// A sweep.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepView {
    /// Its number in the store.
    pub id: SweepId,
    /// Its name.
    pub name: Name,
    /// Its state.
    pub state: SweepState,
    /// What was asked for, with the default space filled in.
    pub spec: SweepSpec,
    /// The data it runs on.
    pub data: DataSummary,
    /// Trials by state. Trials that are not sampled yet are in none.
    pub counts: Counts,
    /// The rounds, of a strategy that has rounds.
    pub rounds: Vec<RoundView>,
    /// Of a strategy without rounds that looks in boxes, up to [`MAX_BOXES`] evenly from the first
    /// to the latest.
    pub boxes: Vec<BoxView>,
    /// The best completed trial so far; the winner, once the sweep is completed.
    pub best: Option<TrialView>,
    /// The winner's test score, once the sweep is completed.
    pub test: Option<TestView>,
    /// The trial whose result the next decision waits for, while others are idle.
    pub waits_for: Option<TrialNumber>,
    /// What a person should know: workers that cannot train this sweep, for example.
    pub notes: Vec<String>,
}

impl SweepView {
    /// Whether it stands still because no worker is there.
    pub fn has_no_worker(&self) -> bool {
        self.notes.iter().any(|note| note == NO_WORKER)
    }
}

/// Where and why a trial was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct StoppedView {
    /// The epoch of the rung, from 1.
    pub epoch: u32,
    /// Its rank there by the objective, from 1.
    pub rank: u32,
    /// Trials that the rung had seen by then, this one included.
    pub of: u32,
}

/// A trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrialView {
    /// Its number in the sweep.
    pub trial: TrialNumber,
    /// Its state.
    pub state: TrialState,
    /// Its values.
    pub assignment: Assignment,
    /// Why it was chosen.
    pub reason: Reason,
    /// Executions so far.
    pub attempts: AttemptNumber,
    /// The worker that trains it or trained it last.
    pub worker: Option<Name>,
    /// Epochs it was asked for.
    pub epochs: u32,
    /// The objective after the last epoch so far; final once the trial is done. Of a stopped trial,
    /// that at its rung.
    pub objective: Option<f64>,
    /// Its last epoch.
    pub last: Option<Point>,
    /// Every epoch, where that was asked for.
    pub curve: Vec<Point>,
    /// Training time in seconds, once done.
    pub seconds: Option<f64>,
    /// Bytes that its training allocated beside the data, once done.
    pub memory_bytes: Option<u64>,
    /// Why it failed.
    pub message: Option<String>,
    /// Where it was stopped, if it was.
    pub stopped: Option<StoppedView>,
    /// Whether it is running but parked: its worker holds it without a slot.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub parked: bool,
}

/// A worker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkerView {
    /// Its name.
    pub worker: Name,
    /// Trials it can train at once.
    pub slots: u32,
    /// Whether it is connected now.
    pub connected: bool,
    /// Whether it takes no new work.
    pub draining: bool,
    /// What it holds: sweep and trial.
    pub trials: Vec<(Name, TrialNumber)>,
    /// Milliseconds since it last said something.
    pub silent_ms: u64,
}

/// What one hyperparameter makes alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ShareView {
    /// The hyperparameter.
    pub parameter: String,
    /// Of the variance of the objective over the space, from 0 to 1.
    pub share: f64,
}

/// What two hyperparameters make together and neither makes alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairView {
    /// The hyperparameters, in the order of the space.
    pub parameters: [String; 2],
    /// Of the variance of the objective over the space, from 0 to 1.
    pub share: f64,
}

/// Which hyperparameters of a sweep mattered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImportanceView {
    /// Trials it was learnt from.
    pub trials: u32,
    /// Of these, trials that were stopped early or still run, with the objective that they are
    /// expected to reach.
    pub provisional: u32,
    /// Every hyperparameter of the space, the most important first.
    pub parameters: Vec<ShareView>,
    /// The strongest pairs, the strongest first.
    pub pairs: Vec<PairView>,
}
