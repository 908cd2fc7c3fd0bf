//! The log lines of events: what an operator follows at INFO, the rest at DEBUG.

use caviar_core::event::{Event, Payload, SweepExtended, SweepResized};

/// Logs an event that was stored.
pub(super) fn log(event: &Event) {
    let (name, sweep) = (event.name(), event.sweep.0);
    match &event.payload {
        Payload::SweepCreated(created) => {
            tracing::info!(sweep, name = %created.spec.name, "{name}");
        }
        Payload::TrialFinished(finished) => {
            let state = finished.outcome.state().name();
            tracing::info!(sweep, trial = finished.trial.0, state, "{name}");
        }
        Payload::LeaseEnded(ended) => {
            let (trial, lease) = (ended.trial.0, ended.lease.0);
            tracing::info!(sweep, trial, lease, cause = ?ended.cause, "{name}");
        }
        Payload::LeaseGranted(granted) => {
            let (trial, attempt, lease) = (granted.trial.0, granted.attempt.0, granted.lease.0);
            tracing::debug!(sweep, trial, attempt, lease, worker = %granted.worker, "{name}");
        }
        Payload::TrialStopped(stopped) => {
            let (trial, rung) = (stopped.trial.0, stopped.rung);
            let (epoch, rank, reached) = (rung.epoch, rung.rank, rung.reached);
            tracing::info!(sweep, trial, epoch, rank, reached, "{name}");
        }
        Payload::TrialsAsked(asked) => {
            let trials = asked.granted.len();
            let (request_id, client) = (&asked.ask.request_id, &asked.ask.client);
            tracing::debug!(sweep, %request_id, %client, trials, "{name}");
        }
        Payload::TrialSampled(sampled) => debug(event, sampled.trial.0),
        Payload::TrialPassed(passed) => debug(event, passed.trial.0),
        Payload::EpochRecorded(recorded) => debug(event, recorded.trial.0),
        Payload::EpochsRecorded(recorded) => debug(event, recorded.trial.0),
        Payload::TrialDecided(decided) => debug(event, decided.trial.0),
        Payload::ScoringStarted(started) => {
            tracing::info!(sweep, trial = started.trial.0, "{name}");
        }
        Payload::CheckpointChanged(changed) => {
            let (trial, lease) = (changed.trial.0, changed.lease.0);
            match &changed.reason {
                None => debug(event, trial),
                Some(reason) => tracing::warn!(sweep, trial, lease, %reason, "{name}"),
            }
        }
        Payload::WinnerScored(scored) => {
            let (trial, reproduced) = (scored.trial.0, scored.reproduced);
            tracing::info!(sweep, trial, reproduced, "{name}");
        }
        Payload::LeaseRestored(restored) => {
            let (trial, lease) = (restored.trial.0, restored.lease.0);
            tracing::info!(sweep, trial, lease, "{name}");
        }
        Payload::LossWithdrawn(withdrawn) => debug(event, withdrawn.trial.0),
        Payload::SweepResized(resized) => {
            let SweepResized { parallelism, trials, decisions } = *resized;
            tracing::info!(sweep, parallelism, trials, decisions, "{name}");
        }
        Payload::SweepExtended(extended) => {
            let SweepExtended { added, trials, decisions, .. } = extended;
            tracing::info!(sweep, added, trials, decisions, "{name}");
        }
        Payload::SweepPaused
        | Payload::SweepResumed
        | Payload::SweepCancelled
        | Payload::SweepDeleted(_)
        | Payload::SweepCompleted => tracing::info!(sweep, "{name}"),
    }
}

fn debug(event: &Event, trial: u32) {
    tracing::debug!(sweep = event.sweep.0, trial, "{}", event.name());
}
