//! How things end, and the states on the way.

use serde::{Deserialize, Serialize};

/// The state of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// Sampled, and waiting for a slot.
    Queued,
    /// A worker holds a lease on it.
    Running,
    /// Trained to its last epoch.
    Completed,
    /// It was weaker than others at a rung, and ended there.
    Stopped,
    /// Its loss became infinite or NaN: a result, and a bad one.
    Diverged,
    /// It could not be trained; the trial says why.
    Failed,
    /// Its sweep was cancelled.
    Cancelled,
}

impl TrialState {
    /// All states, in the order in which they are shown.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Completed,
        Self::Stopped,
        Self::Diverged,
        Self::Failed,
        Self::Cancelled,
    ];

    /// Every legal transition. Nothing else ever happens to a trial. A trial whose worker was past
    /// a rung before the rung was decided may be stopped there after it came to another end.
    pub const TRANSITIONS: [(Self, Self); 12] = [
        (Self::Queued, Self::Running),
        (Self::Running, Self::Queued),
        (Self::Running, Self::Completed),
        (Self::Running, Self::Diverged),
        (Self::Running, Self::Failed),
        (Self::Queued, Self::Cancelled),
        (Self::Running, Self::Cancelled),
        (Self::Queued, Self::Stopped),
        (Self::Running, Self::Stopped),
        (Self::Completed, Self::Stopped),
        (Self::Diverged, Self::Stopped),
        (Self::Failed, Self::Stopped),
    ];

    /// Whether `self` may become `next`.
    pub fn may_become(self, next: Self) -> bool {
        Self::TRANSITIONS.contains(&(self, next))
    }

    /// Whether nothing more is trained of it.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Completed | Self::Stopped | Self::Diverged | Self::Failed | Self::Cancelled => {
                true
            }
        }
    }

    /// The name used in files, on the wire and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::Diverged => "diverged",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The state of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SweepState {
    /// Trials are sampled and trained.
    Running,
    /// Nothing new starts; what runs goes on.
    Paused,
    /// Every trial is done; the winner is being scored on the test split.
    Scoring,
    /// Done.
    Completed,
    /// Ended by request.
    Cancelled,
}

impl SweepState {
    /// All states.
    pub const ALL: [Self; 5] =
        [Self::Running, Self::Paused, Self::Scoring, Self::Completed, Self::Cancelled];

    /// Whether nothing can happen to it any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }

    /// The name used in files, on the wire and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Scoring => "scoring",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a worker's execution of a trial ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every epoch was trained.
    Completed,
    /// The loss became infinite or NaN in the last reported epoch.
    Diverged,
    /// It cannot be trained, here or elsewhere.
    Failed {
        /// Why.
        message: String,
    },
}

impl Outcome {
    /// The state of a trial with this outcome.
    pub const fn state(&self) -> TrialState {
        match self {
            Self::Completed => TrialState::Completed,
            Self::Diverged => TrialState::Diverged,
            Self::Failed { .. } => TrialState::Failed,
        }
    }
}

/// What an execution is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Train the trial and report every epoch.
    Train,
    /// Train the winner once more, which gives the same weights bit for bit, and score the test
    /// split with them.
    Score,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_states_are_those_without_a_way_out() {
        let ends: Vec<TrialState> = TrialState::ALL.into_iter().filter(|s| s.is_final()).collect();
        let expected = [
            TrialState::Completed,
            TrialState::Stopped,
            TrialState::Diverged,
            TrialState::Failed,
            TrialState::Cancelled,
        ];
        assert_eq!(ends, expected);
        // What ended may turn out to have been stopped before, and nothing else.
        let from_ends = TrialState::TRANSITIONS.iter().filter(|(from, _)| from.is_final());
        assert!(
            from_ends.clone().all(|(_, to)| *to == TrialState::Stopped) && from_ends.count() == 3
        );
    }

    #[test]
    fn a_finished_trial_never_runs_again() {
        assert!(TrialState::Running.may_become(TrialState::Queued));
        assert!(!TrialState::Completed.may_become(TrialState::Running));
        assert!(!TrialState::Queued.may_become(TrialState::Completed));
    }
}
