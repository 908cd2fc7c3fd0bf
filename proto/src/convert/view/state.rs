//! The numbers of states on the wire.

use caviar_common::error::Problem;
use caviar_common::outcome::{SweepState, TrialState};

use crate::convert::field::unknown_number;
use crate::v1;

/// The state of a sweep with this number; `None` for 0, which is unspecified.
///
/// # Errors
/// A number that no state has.
pub fn sweep_state_from_wire(number: i32) -> Result<Option<SweepState>, Problem> {
    match v1::SweepState::try_from(number) {
        Ok(v1::SweepState::Unspecified) => Ok(None),
        Ok(v1::SweepState::Running) => Ok(Some(SweepState::Running)),
        Ok(v1::SweepState::Paused) => Ok(Some(SweepState::Paused)),
        Ok(v1::SweepState::Scoring) => Ok(Some(SweepState::Scoring)),
        Ok(v1::SweepState::Completed) => Ok(Some(SweepState::Completed)),
        Ok(v1::SweepState::Cancelled) => Ok(Some(SweepState::Cancelled)),
        Err(_) => Err(unknown_number("state", number)),
    }
}

/// The number of a sweep's state on the wire.
pub fn sweep_state_to_wire(state: SweepState) -> i32 {
    let wire = match state {
        SweepState::Running => v1::SweepState::Running,
        SweepState::Paused => v1::SweepState::Paused,
        SweepState::Scoring => v1::SweepState::Scoring,
        SweepState::Completed => v1::SweepState::Completed,
        SweepState::Cancelled => v1::SweepState::Cancelled,
    };
    wire.into()
}

/// The state of a trial with this number; `None` for 0, which is unspecified.
///
/// # Errors
/// A number that no state has.
pub fn trial_state_from_wire(number: i32) -> Result<Option<TrialState>, Problem> {
    match v1::TrialState::try_from(number) {
        Ok(v1::TrialState::Unspecified) => Ok(None),
        Ok(v1::TrialState::Queued) => Ok(Some(TrialState::Queued)),
        Ok(v1::TrialState::Running) => Ok(Some(TrialState::Running)),
        Ok(v1::TrialState::Completed) => Ok(Some(TrialState::Completed)),
        Ok(v1::TrialState::Stopped) => Ok(Some(TrialState::Stopped)),
        Ok(v1::TrialState::Diverged) => Ok(Some(TrialState::Diverged)),
        Ok(v1::TrialState::Failed) => Ok(Some(TrialState::Failed)),
        Ok(v1::TrialState::Cancelled) => Ok(Some(TrialState::Cancelled)),
        Err(_) => Err(unknown_number("state", number)),
    }
}

/// The number of a trial's state on the wire.
pub fn trial_state_to_wire(state: TrialState) -> i32 {
    let wire = match state {
        TrialState::Queued => v1::TrialState::Queued,
        TrialState::Running => v1::TrialState::Running,
        TrialState::Completed => v1::TrialState::Completed,
        TrialState::Stopped => v1::TrialState::Stopped,
        TrialState::Diverged => v1::TrialState::Diverged,
        TrialState::Failed => v1::TrialState::Failed,
        TrialState::Cancelled => v1::TrialState::Cancelled,
    };
    wire.into()
}
