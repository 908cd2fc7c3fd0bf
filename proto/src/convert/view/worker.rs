//! Workers as clients see them.

use caviar_common::error::Problem;
use caviar_common::ids::{Name, TrialNumber};
use caviar_common::limits::MAX_SLOTS;
use caviar_common::view::WorkerView;

use crate::convert::field::{Within, at_most, clip, in_range, optional_text};
use crate::convert::worker::max_held;
use crate::v1;

/// Converts a worker to the wire.
pub fn encode_worker(view: &WorkerView) -> v1::Worker {
    let held = view
        .trials
        .iter()
        .map(|(sweep, trial)| v1::HeldTrial { sweep: sweep.to_string(), trial: trial.0 });
    v1::Worker {
        worker: view.worker.to_string(),
        slots: view.slots,
        connected: view.connected,
        draining: view.draining,
        trials: held.collect(),
        silent_ms: view.silent_ms,
        idle: view.idle,
        idle_because: view.idle_because.as_deref().map(clip),
    }
}

/// Reads a worker from the wire.
///
/// # Errors
/// The first field that is wrong, such as `trials[0].sweep`.
pub fn decode_worker(wire: v1::Worker) -> Result<WorkerView, Problem> {
    let held = at_most("trials", wire.trials, max_held())?.into_iter().enumerate();
    Ok(WorkerView {
        worker: Name::parse("worker", &wire.worker)?,
        slots: in_range("slots", wire.slots, 1..=MAX_SLOTS)?,
        connected: wire.connected,
        draining: wire.draining,
        trials: held
            .map(|(i, held)| decode_held(&held).at("trials", i))
            .collect::<Result<_, _>>()?,
        silent_ms: wire.silent_ms,
        idle: in_range("idle", wire.idle, 0..=MAX_SLOTS)?,
        idle_because: optional_text("idle_because", wire.idle_because)?,
    })
}

fn decode_held(wire: &v1::HeldTrial) -> Result<(Name, TrialNumber), Problem> {
    Ok((Name::parse("sweep", &wire.sweep)?, TrialNumber(wire.trial)))
}
