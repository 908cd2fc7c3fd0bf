//! Leases in the record: granted, ended, and given back.

use caviar_common::ask::AskedTrial;
use caviar_common::ids::{LeaseId, Name, SweepId, TrialNumber};
use caviar_common::outcome::Job;

use super::{
    keep_epochs, scoring_mut, set_status, successor, sweep_mut, trial_mut, update_decidable,
};
use crate::record::Broken;
use crate::record::event::{
    GrantedTrial, LeaseEnd, LeaseEnded, LeaseGranted, LeaseRestored, TrialsAsked,
};
use crate::record::state::{
    ExpiredLease, Holder, Lease, Record, ScoringStatus, Sweep, TrialStatus, losses_after,
};

/// Expired leases of one trial that are remembered: more than a trial has in a row before it fails,
/// unless the losses do not count.
const MAX_EXPIRED: usize = 8;

pub(super) fn grant_lease(
    record: &mut Record,
    id: SweepId,
    granted: &LeaseGranted,
) -> Result<(), Broken> {
    let LeaseGranted { trial, attempt, lease, worker, job, recorded, resumed, .. } = granted;
    let next_lease = after_unused(record, *lease)?;
    let sweep = sweep_mut(record, id)?;
    match job {
        Job::Train => {
            let execution = Execution { lease: *lease, holder: worker, recorded: *recorded };
            begin_execution(sweep, *trial, &execution)?;
            trial_mut(sweep, *trial)?.resumed = resumed.unwrap_or(0);
        }
        Job::Score => {
            let scoring = scoring_mut(sweep)?;
            scoring.status = ScoringStatus::Running { lease: *lease };
            scoring.attempts += 1;
        }
    }
    record.next_lease = next_lease;
    record.held.entry(worker.clone()).or_default().insert(*lease);
    let (incarnation, token) = (granted.incarnation, granted.token.clone());
    let holder = Holder::Worker { name: worker.clone(), incarnation, token };
    let entry = Lease { sweep: id, trial: *trial, attempt: *attempt, job: *job, holder };
    add_lease(record, *lease, entry)
}

/// Adds a lease to the leases in force.
fn add_lease(record: &mut Record, id: LeaseId, lease: Lease) -> Result<(), Broken> {
    sweep_mut(record, lease.sweep)?.leases.insert(id);
    record.leases.insert(id, lease);
    Ok(())
}

/// The number after `lease`, which must not have been used.
fn after_unused(record: &Record, lease: LeaseId) -> Result<LeaseId, Broken> {
    if lease < record.next_lease {
        return Err(Broken(format!("lease {lease} was used before")));
    }
    successor(lease.0).map(LeaseId)
}

/// The beginning of an execution of a trial.
struct Execution<'a> {
    lease: LeaseId,
    holder: &'a Name,
    /// How many recorded epochs stay; `None` if the curve begins again.
    recorded: Option<u32>,
}

fn begin_execution(
    sweep: &mut Sweep,
    number: TrialNumber,
    execution: &Execution<'_>,
) -> Result<(), Broken> {
    let Execution { lease, holder, recorded } = *execution;
    set_status(sweep, number, TrialStatus::Running { lease })?;
    let trial = trial_mut(sweep, number)?;
    match recorded {
        // A worker's execution starts at its checkpoint or at epoch 1, and repeats the same epochs
        // bit for bit. What was reported stays.
        Some(epochs) => keep_epochs(trial, epochs)?,
        None => keep_epochs(trial, 0)?,
    }
    trial.inherited = trial.recorded_epochs();
    // Whether an external client trains epochs again is not known.
    trial.resumed = trial.inherited;
    trial.seconds = None;
    trial.worker = Some(holder.clone());
    trial.attempts += 1;
    let place = (trial.due, trial.number);
    sweep.queue.remove(&place);
    update_decidable(sweep, number);
    Ok(())
}

pub(super) fn grant_asked_trials(
    record: &mut Record,
    id: SweepId,
    asked: &TrialsAsked,
) -> Result<(), Broken> {
    let TrialsAsked { ask, lease_ms, granted } = asked;
    let mut trials = Vec::new();
    for GrantedTrial { trial, attempt, lease, recorded } in granted {
        let next_lease = after_unused(record, *lease)?;
        let execution = Execution { lease: *lease, holder: &ask.client, recorded: *recorded };
        let sweep = sweep_mut(record, id)?;
        begin_execution(sweep, *trial, &execution)?;
        trials.extend(sweep.trial(*trial).map(|trial| AskedTrial {
            trial: trial.number,
            attempt: *attempt,
            lease: *lease,
            assignment: trial.assignment.clone(),
            epochs: trial.epochs,
            reason: trial.reason.clone(),
        }));
        record.next_lease = next_lease;
        let holder = Holder::Client { ask: ask.clone(), lease_ms: *lease_ms };
        let (attempt, job) = (*attempt, Job::Train);
        add_lease(record, *lease, Lease { sweep: id, trial: *trial, attempt, job, holder })?;
    }
    sweep_mut(record, id)?.asks.insert(ask.clone(), trials);
    Ok(())
}

/// Removes a lease from the leases in force. The caller updates its trial or scoring.
pub(super) fn remove_lease(record: &mut Record, id: LeaseId) -> Result<Lease, Broken> {
    let lease = record.leases.remove(&id);
    let lease = lease.ok_or_else(|| Broken(format!("lease {id} is not in force")))?;
    let sweep = sweep_mut(record, lease.sweep)?;
    sweep.leases.remove(&id);
    match &lease.holder {
        Holder::Client { ask, .. } => sweep.asks.end_lease(ask),
        Holder::Worker { name, .. } => {
            if let Some(held) = record.held.get_mut(name) {
                held.remove(&id);
                if held.is_empty() {
                    record.held.remove(name);
                }
            }
        }
    }
    Ok(lease)
}

pub(super) fn end_lease(record: &mut Record, ended: &LeaseEnded) -> Result<(), Broken> {
    let lease = remove_lease(record, ended.lease)?;
    let sweep = sweep_mut(record, lease.sweep)?;
    let (losses, expired) = match lease.job {
        Job::Train => {
            set_status(sweep, lease.trial, TrialStatus::Waiting)?;
            let trial = trial_mut(sweep, lease.trial)?;
            let place = (trial.due, trial.number);
            sweep.queue.insert(place);
            let trial = trial_mut(sweep, lease.trial)?;
            (&mut trial.losses, &mut trial.expired)
        }
        Job::Score => {
            let scoring = scoring_mut(sweep)?;
            scoring.status = ScoringStatus::Waiting;
            (&mut scoring.losses, &mut scoring.expired)
        }
    };
    let before = *losses;
    let counted = || ended.lost_worker.map_or(before, |lost| losses_after(before, lost));
    *losses = ended.losses.unwrap_or_else(counted);
    if ended.cause == LeaseEnd::Expired && matches!(lease.holder, Holder::Worker { .. }) {
        if expired.len() >= MAX_EXPIRED {
            expired.remove(0);
        }
        let losses = losses.saturating_sub(before);
        expired.push(ExpiredLease { id: ended.lease, lease, losses });
    }
    Ok(())
}

/// Forgets an expired lease of the trial or of its scoring, because its process is alive, and sets
/// how many times in a row the job has lost its worker without that.
pub(super) fn take_expired(
    sweep: &mut Sweep,
    number: TrialNumber,
    lease: LeaseId,
    without: u32,
) -> Result<ExpiredLease, Broken> {
    let is_it = |expired: &ExpiredLease| expired.id == lease;
    let scoring = sweep.scoring.as_mut().filter(|it| it.expired.iter().any(is_it));
    let (expired, losses) = match scoring {
        Some(scoring) => (&mut scoring.expired, &mut scoring.losses),
        None => {
            let trial = trial_mut(sweep, number)?;
            (&mut trial.expired, &mut trial.losses)
        }
    };
    let place = expired.iter().position(is_it);
    let place = place.ok_or_else(|| Broken(format!("lease {lease} has not expired")))?;
    *losses = without;
    Ok(expired.remove(place))
}

/// Puts an expired lease in force again. Its worker has gone on with the same execution.
pub(super) fn restore_lease(
    record: &mut Record,
    id: SweepId,
    restored: LeaseRestored,
) -> Result<(), Broken> {
    let LeaseRestored { trial: number, lease: id_of_lease, losses } = restored;
    let sweep = sweep_mut(record, id)?;
    let ExpiredLease { lease, .. } = take_expired(sweep, number, id_of_lease, losses)?;
    let Holder::Worker { name, .. } = lease.holder.clone() else {
        return Err(Broken(format!("lease {id_of_lease} is not one of a worker")));
    };
    match lease.job {
        Job::Train => {
            set_status(sweep, number, TrialStatus::Running { lease: id_of_lease })?;
            let trial = trial_mut(sweep, number)?;
            trial.worker = Some(name.clone());
            let place = (trial.due, number);
            sweep.queue.remove(&place);
            update_decidable(sweep, number);
        }
        Job::Score => {
            scoring_mut(sweep)?.status = ScoringStatus::Running { lease: id_of_lease };
        }
    }
    record.held.entry(name).or_default().insert(id_of_lease);
    add_lease(record, id_of_lease, lease)
}
