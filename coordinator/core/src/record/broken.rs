//! The error of an event that does not fit the record.

use caviar_common::ids::{SweepId, TrialNumber};

/// An event that the state does not allow, which means a bug or a damaged store. No event of the
/// same step may be stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event does not fit the state: {0}")]
pub struct Broken(pub String);

impl Broken {
    /// The error for a sweep that an event or a lease names and that does not exist.
    pub(crate) fn no_sweep(sweep: SweepId) -> Self {
        Self(format!("there is no sweep {sweep}"))
    }

    /// The error for a trial that an event or a lease names and that does not exist.
    pub(crate) fn no_trial(sweep: SweepId, trial: TrialNumber) -> Self {
        Self(format!("sweep {sweep} has no trial {trial}"))
    }
}
