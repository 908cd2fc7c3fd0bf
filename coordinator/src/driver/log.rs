//! One line of the log for every event: what people follow at INFO, the bulk at DEBUG.

use caviar_core::event::Event;

use crate::store::name;

/// Says that `event` happened. It is stored by then.
pub(super) fn log(event: &Event) {
    let (name, sweep) = (name(event), event.sweep().0);
    match event {
        Event::SweepCreated { spec, .. } => tracing::info!(sweep, name = %spec.name, "{name}"),
        Event::TrialFinished { trial, outcome, .. } => {
            tracing::info!(sweep, trial = trial.0, state = outcome.state().name(), "{name}")
        }
        Event::LeaseEnded { trial, lease, cause, .. } => {
            tracing::info!(sweep, trial = trial.0, lease = lease.0, ?cause, "{name}")
        }
        Event::LeaseGranted { trial, attempt, lease, worker, .. } => {
            tracing::debug!(sweep, trial = trial.0, attempt = attempt.0, lease = lease.0, %worker, "{name}");
        }
        Event::TrialStopped { trial, rung, .. } => {
            tracing::info!(
                sweep,
                trial = trial.0,
                epoch = rung.epoch,
                rank = rung.rank,
                of = rung.of,
                "{name}"
            );
        }
        Event::TrialsAsked { request_id, client, granted, .. } => {
            tracing::debug!(sweep, %request_id, %client, trials = granted.len(), "{name}");
        }
        Event::TrialSampled { trial, .. }
        | Event::TrialPassed { trial, .. }
        | Event::EpochRecorded { trial, .. }
        | Event::TrialDecided { trial, .. } => {
            tracing::debug!(sweep, trial = trial.0, "{name}");
        }
        Event::ScoringStarted { trial, .. } => tracing::info!(sweep, trial = trial.0, "{name}"),
        Event::WinnerScored { trial, reproduced, .. } => {
            tracing::info!(sweep, trial = trial.0, reproduced, "{name}")
        }
        Event::SweepPaused { .. }
        | Event::SweepResumed { .. }
        | Event::SweepCancelled { .. }
        | Event::SweepDeleted { .. }
        | Event::SweepCompleted { .. } => tracing::info!(sweep, "{name}"),
    }
}
