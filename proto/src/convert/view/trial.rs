//! Trials as clients see them.

use caviar_common::error::Problem;
use caviar_common::ids::{AttemptNumber, Name, TrialNumber};
use caviar_common::limits::{MAX_EPOCHS, MAX_PARAMETERS};
use caviar_common::numbers::index;
use caviar_common::view::{StoppedView, TrialTimes, TrialView};

use super::state::{trial_state_from_wire, trial_state_to_wire};
use crate::convert::field::{
    Within, clip, in_range, optional_seconds, optional_text, positive, required, unknown_number,
};
use crate::convert::metrics::{decode_optional_point, decode_points, encode_point, encode_points};
use crate::convert::value::{decode_assignment, decode_reason, encode_assignment, encode_reason};
use crate::v1;

/// Converts a trial to the wire.
pub fn encode_trial(view: &TrialView) -> v1::Trial {
    v1::Trial {
        trial: view.trial.0,
        state: trial_state_to_wire(view.state),
        assignment: Some(encode_assignment(&view.assignment)),
        reason: Some(encode_reason(&view.reason)),
        attempts: view.attempts.0,
        worker: view.worker.as_ref().map(Name::to_string),
        epochs: view.epochs,
        objective: view.objective,
        last: view.last.as_ref().map(encode_point),
        counting: view.counting.as_ref().map(encode_point),
        curve: encode_points(&view.curve),
        seconds: view.seconds,
        memory_bytes: view.memory_bytes,
        message: view.message.as_deref().map(clip),
        stopped: view.stopped.map(|StoppedView { epoch, rank, of }| v1::Stopped {
            epoch,
            rank,
            of,
        }),
        parked: view.parked,
        started_at: view.times.started_at.clone(),
        ended_at: view.times.ended_at.clone(),
        retrained_epochs: view.retrained_epochs,
    }
}

/// Reads a trial from the wire.
///
/// # Errors
/// The first field that is wrong, such as `curve[2].epoch`.
pub fn decode_trial(wire: v1::Trial) -> Result<TrialView, Problem> {
    Ok(TrialView {
        trial: TrialNumber(wire.trial),
        state: trial_state_from_wire(wire.state)?
            .ok_or_else(|| unknown_number("state", wire.state))?,
        assignment: decode_assignment("assignment", wire.assignment, MAX_PARAMETERS)?,
        reason: required("reason", wire.reason)
            .and_then(|reason| decode_reason(reason).within("reason"))?,
        attempts: AttemptNumber(wire.attempts),
        worker: wire.worker.map(|name| Name::parse("worker", &name)).transpose()?,
        epochs: in_range("epochs", wire.epochs, 0..=MAX_EPOCHS)?,
        objective: wire.objective,
        last: decode_optional_point("last", wire.last)?,
        counting: decode_optional_point("counting", wire.counting)?,
        curve: decode_points("curve", wire.curve, index(MAX_EPOCHS))?,
        seconds: optional_seconds("seconds", wire.seconds)?,
        memory_bytes: wire.memory_bytes,
        message: optional_text("message", wire.message)?,
        stopped: wire
            .stopped
            .map(|stopped| decode_stopped(&stopped))
            .transpose()
            .within("stopped")?,
        parked: wire.parked,
        times: TrialTimes {
            started_at: optional_text("started_at", wire.started_at)?,
            ended_at: optional_text("ended_at", wire.ended_at)?,
        },
        retrained_epochs: wire.retrained_epochs,
    })
}

fn decode_stopped(wire: &v1::Stopped) -> Result<StoppedView, Problem> {
    Ok(StoppedView {
        epoch: in_range("epoch", wire.epoch, 1..=MAX_EPOCHS)?,
        rank: in_range("rank", wire.rank, 1..=wire.of.max(1))?,
        of: positive("of", wire.of)?,
    })
}
