//! The states of trials and sweeps, and how an execution of a trial ends.

use serde::{Deserialize, Serialize};

/// The state of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// It is sampled and waits for a slot.
    Queued,
    /// A worker or an external client holds a lease on it.
    Running,
    /// It was trained to its last epoch.
    Completed,
    /// It was worse than other trials at a rung and was stopped there.
    Stopped,
    /// Its loss became infinite or NaN. That is a result, worse than any other.
    Diverged,
    /// It could not be trained. Its message says why.
    Failed,
    /// Its sweep was cancelled before it finished.
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

    /// Every legal transition. A worker can train past a rung before the rung is decided, so a
    /// trial can be stopped there after it has already completed, diverged or failed.
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

    /// Whether a trial in this state can change to `next`.
    pub fn may_become(self, next: Self) -> bool {
        Self::TRANSITIONS.contains(&(self, next))
    }

    /// Whether the trial will not be trained any further.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Queued | Self::Running => false,
            Self::Completed | Self::Stopped | Self::Diverged | Self::Failed | Self::Cancelled => {
                true
            }
        }
    }

    /// The name in files, on the wire and on the command line.
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
    /// Trials are being sampled and trained.
    Running,
    /// No further trial starts. Trials that run continue.
    Paused,
    /// Every trial is finished, and the winner is being scored on the test split.
    Scoring,
    /// Every trial is finished, and the winner is scored.
    Completed,
    /// A client ended it before it completed.
    Cancelled,
}

impl SweepState {
    /// All states, in the order in which they are shown.
    pub const ALL: [Self; 5] =
        [Self::Running, Self::Paused, Self::Scoring, Self::Completed, Self::Cancelled];

    /// Whether the sweep will not change any more.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }

    /// The name in files, on the wire and on the command line.
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

/// How an execution of a trial ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every epoch was trained.
    Completed,
    /// The loss became infinite or NaN in the last reported epoch.
    Diverged,
    /// The trial cannot be trained, on this worker or any other.
    Failed {
        /// Why, for the user.
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

/// What a lease is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Train the trial and report every epoch.
    Train,
    /// Train the winner again, which gives the same weights bit for bit, and score them on the
    /// test split.
    Score,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_state_can_only_change_to_stopped() {
        let ends: Vec<TrialState> = TrialState::ALL.into_iter().filter(|s| s.is_final()).collect();
        let expected = [
            TrialState::Completed,
            TrialState::Stopped,
            TrialState::Diverged,
            TrialState::Failed,
            TrialState::Cancelled,
        ];
        assert_eq!(ends, expected);
        // A trial that ended can turn out to have been stopped at an earlier rung.
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
