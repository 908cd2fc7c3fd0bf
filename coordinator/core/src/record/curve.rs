//! What events change in the curves of trials.

use caviar_common::ids::TrialNumber;
use caviar_common::metric::Point;
use caviar_common::outcome::Job;

use super::event::{EpochRecorded, EpochsRecorded, Event, Payload};

/// What an event changes in the curve of a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurveChange<'a> {
    /// The trial.
    pub trial: TrialNumber,
    /// The curve keeps at most this many epochs ...
    pub keep: u32,
    /// ... and is followed by these.
    pub add: &'a [Point],
}

impl Event {
    /// What the event changes in the curves of trials.
    pub fn curve_changes(&self) -> Vec<CurveChange<'_>> {
        let cut = |trial, keep| CurveChange { trial, keep, add: &[] };
        match &self.payload {
            Payload::LeaseGranted(granted) if granted.job == Job::Train => {
                vec![cut(granted.trial, granted.recorded.unwrap_or(0))]
            }
            Payload::TrialsAsked(asked) => {
                asked.granted.iter().map(|it| cut(it.trial, it.recorded.unwrap_or(0))).collect()
            }
            Payload::EpochRecorded(EpochRecorded { trial, metrics, .. }) => {
                let add = std::slice::from_ref(metrics);
                vec![CurveChange { trial: *trial, keep: u32::MAX, add }]
            }
            Payload::EpochsRecorded(EpochsRecorded { trial, points, .. }) => {
                vec![CurveChange { trial: *trial, keep: u32::MAX, add: points }]
            }
            Payload::TrialStopped(stopped) => vec![cut(stopped.trial, stopped.rung.epoch)],
            Payload::TrialDecided(decided) => {
                vec![cut(decided.trial, decided.epochs.unwrap_or(u32::MAX))]
            }
            Payload::SweepCreated(_)
            | Payload::SweepPaused
            | Payload::SweepResized(_)
            | Payload::SweepExtended(_)
            | Payload::LeaseRestored(_)
            | Payload::LossWithdrawn(_)
            | Payload::SweepResumed
            | Payload::SweepCancelled
            | Payload::SweepDeleted(_)
            | Payload::SweepCompleted
            | Payload::TrialSampled(_)
            | Payload::LeaseGranted(_)
            | Payload::LeaseEnded(_)
            | Payload::TrialFinished(_)
            | Payload::TrialPassed(_)
            | Payload::ScoringStarted(_)
            | Payload::WinnerScored(_)
            | Payload::CheckpointChanged(_) => Vec::new(),
        }
    }
}
