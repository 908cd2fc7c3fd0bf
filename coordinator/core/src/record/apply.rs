//! The only code that changes a [`Record`].

use std::collections::{BTreeSet, VecDeque};

use caviar_common::ids::{LeaseId, Name, SweepId, TrialNumber};
use caviar_common::limits::MAX_ASK_REPLIES;
use caviar_common::numbers::index;
#[cfg(doc)]
use caviar_common::outcome::TrialState;
use caviar_common::outcome::{Job, Outcome};
use caviar_search::stopping::rungs;
use caviar_search::{History, Observation, Stage};

use super::Broken;
use super::event::{
    Event, GrantedTrial, LeaseEnded, LeaseGranted, Payload, Rung, SweepCreated, SweepDeleted,
    TrialFinished, TrialPassed, TrialSampled, TrialStopped, TrialsAsked, WinnerScored,
};
use super::state::{
    AskRecord, FinalAttempt, Holder, Lease, LostWorkers, Phase, Record, Scoring, ScoringResult,
    ScoringStatus, Sweep, Trial, TrialStatus,
};

/// Makes `event` part of the record.
///
/// # Errors
/// The event does not fit: it names something that does not exist, or a trial would take a step
/// that [`TrialState::TRANSITIONS`] does not list.
pub(crate) fn apply(record: &mut Record, event: &Event) -> Result<(), Broken> {
    let id = event.sweep;
    match &event.payload {
        Payload::SweepCreated(created) => create_sweep(record, id, created),
        Payload::SweepDeleted(deleted) => delete_sweep(record, id, deleted),
        Payload::SweepPaused => sweep_mut(record, id).map(|sweep| sweep.is_paused = true),
        Payload::SweepResumed => sweep_mut(record, id).map(|sweep| sweep.is_paused = false),
        Payload::SweepCancelled => cancel_sweep(record, id),
        Payload::SweepCompleted => {
            sweep_mut(record, id).map(|sweep| sweep.phase = Phase::Completed)
        }
        Payload::TrialSampled(sampled) => add_trial(sweep_mut(record, id)?, sampled),
        Payload::LeaseGranted(granted) => grant_lease(record, id, granted),
        Payload::TrialsAsked(asked) => grant_asked_trials(record, id, asked),
        Payload::LeaseEnded(ended) => end_lease(record, ended),
        Payload::EpochRecorded(recorded) => {
            let trial = trial_mut(sweep_mut(record, id)?, recorded.trial)?;
            trial.curve.push(recorded.metrics.clone());
            trial.seconds = recorded.seconds.or(trial.seconds);
            Ok(())
        }
        Payload::TrialFinished(finished) => finish_trial(record, finished),
        Payload::TrialPassed(passed) => pass_rung(sweep_mut(record, id)?, passed),
        Payload::TrialStopped(stopped) => stop_trial(record, id, stopped),
        Payload::TrialDecided(decided) => enter_end(sweep_mut(record, id)?, decided.trial),
        Payload::ScoringStarted(started) => {
            let sweep = sweep_mut(record, id)?;
            sweep.phase = Phase::Scoring;
            sweep.scoring = Some(Scoring {
                trial: started.trial,
                attempts: 0,
                lost_workers: LostWorkers::default(),
                status: ScoringStatus::Waiting,
            });
            Ok(())
        }
        Payload::WinnerScored(scored) => finish_scoring(record, id, scored),
    }
}

fn sweep_mut(record: &mut Record, sweep: SweepId) -> Result<&mut Sweep, Broken> {
    record.sweeps.get_mut(&sweep).ok_or_else(|| Broken::no_sweep(sweep))
}

fn trial_mut(sweep: &mut Sweep, trial: TrialNumber) -> Result<&mut Trial, Broken> {
    let id = sweep.id;
    sweep.trials.get_mut(index(trial.0)).ok_or_else(|| Broken::no_trial(id, trial))
}

fn scoring_mut(sweep: &mut Sweep) -> Result<&mut Scoring, Broken> {
    let id = sweep.id;
    sweep.scoring.as_mut().ok_or_else(|| Broken(format!("sweep {id} has no scoring")))
}

/// The number after one that was used. A damaged store may hold any number, and the largest one has
/// no successor.
fn successor(number: u64) -> Result<u64, Broken> {
    number.checked_add(1).ok_or_else(|| {
        Broken(format!("{number} is the largest number and cannot be the number of anything"))
    })
}

fn set_status(trial: &mut Trial, next: TrialStatus) -> Result<(), Broken> {
    let (from, to) = (trial.state(), next.state());
    if !from.may_become(to) {
        return Err(Broken(format!(
            "trial {} is {} and cannot become {}",
            trial.number,
            from.name(),
            to.name()
        )));
    }
    trial.status = next;
    Ok(())
}

fn create_sweep(record: &mut Record, id: SweepId, created: &SweepCreated) -> Result<(), Broken> {
    if record.sweeps.contains_key(&id) || id < record.next_sweep {
        return Err(Broken(format!("sweep {id} was created before")));
    }
    let SweepCreated { request_id, spec, data, warm_start } = created.clone();
    let sweep = Sweep {
        id,
        request_id,
        data,
        warm_start,
        phase: Phase::Searching,
        is_paused: false,
        trials: Vec::new(),
        rungs: rungs(spec.stopping, spec.max_epochs()),
        log: History::new(spec.space.clone()),
        spec,
        clock: 0,
        in_flight: BTreeSet::new(),
        queue: BTreeSet::new(),
        scoring: None,
        asks: VecDeque::new(),
    };
    record.next_sweep = SweepId(successor(id.0)?);
    record.sweeps.insert(id, sweep);
    Ok(())
}

fn delete_sweep(record: &mut Record, id: SweepId, deleted: &SweepDeleted) -> Result<(), Broken> {
    if record.leases.values().any(|lease| lease.sweep == id) {
        return Err(Broken(format!("sweep {id} still has leases")));
    }
    successor(deleted.next_lease.0)?;
    // After a restart the sweep's other events are gone, and only this one says which numbers were
    // used.
    record.sweeps.remove(&id);
    record.results.retain(|_, sweep| *sweep != id);
    record.next_sweep = record.next_sweep.max(SweepId(successor(id.0)?));
    record.next_lease = record.next_lease.max(deleted.next_lease);
    Ok(())
}

fn cancel_sweep(record: &mut Record, id: SweepId) -> Result<(), Broken> {
    let of_sweep = record.leases.iter().filter(|(_, lease)| lease.sweep == id);
    let leases: Vec<LeaseId> = of_sweep.map(|(lease, _)| *lease).collect();
    for lease in leases {
        remove_lease(record, lease)?;
    }
    let sweep = sweep_mut(record, id)?;
    sweep.phase = Phase::Cancelled;
    sweep.queue.clear();
    sweep.in_flight.clear();
    for trial in sweep.trials.iter_mut().filter(|trial| !trial.state().is_final()) {
        set_status(trial, TrialStatus::Cancelled)?;
    }
    Ok(())
}

fn add_trial(sweep: &mut Sweep, sampled: &TrialSampled) -> Result<(), Broken> {
    let TrialSampled { trial: number, assignment, reason, epochs, start, end } = sampled;
    if index(number.0) != sweep.trials.len() {
        return Err(Broken(format!("trial {number} is sampled out of order")));
    }
    let mut trial = Trial {
        number: *number,
        status: TrialStatus::Waiting,
        assignment: assignment.clone(),
        reason: reason.clone(),
        epochs: *epochs,
        start: *start,
        end: *end,
        passed_rungs: 0,
        due: *end,
        attempts: 0,
        lost_workers: LostWorkers::default(),
        worker: None,
        curve: Vec::new(),
        seconds: None,
    };
    sweep.log.push_trial(assignment).map_err(|error| Broken(error.to_string()))?;
    trial.due = sweep.next_due(&trial);
    sweep.in_flight.insert((trial.due, *number));
    sweep.queue.insert((trial.due, *number));
    sweep.trials.push(trial);
    Ok(())
}

fn grant_lease(record: &mut Record, id: SweepId, granted: &LeaseGranted) -> Result<(), Broken> {
    let LeaseGranted { trial, attempt, lease, worker, incarnation, job } = granted;
    let next_lease = after_unused(record, *lease)?;
    let sweep = sweep_mut(record, id)?;
    match job {
        Job::Train => begin_attempt(sweep, *trial, *lease, worker)?,
        Job::Score => {
            let scoring = scoring_mut(sweep)?;
            scoring.status = ScoringStatus::Running { lease: *lease };
            scoring.attempts += 1;
        }
    }
    record.next_lease = next_lease;
    record.held.entry(worker.clone()).or_default().insert(*lease);
    let holder = Holder::Worker { name: worker.clone(), incarnation: *incarnation };
    let entry = Lease { sweep: id, trial: *trial, attempt: *attempt, job: *job, holder };
    record.leases.insert(*lease, entry);
    Ok(())
}

/// The number after `lease`, which must not have been used.
fn after_unused(record: &Record, lease: LeaseId) -> Result<LeaseId, Broken> {
    if lease < record.next_lease {
        return Err(Broken(format!("lease {lease} was used before")));
    }
    successor(lease.0).map(LeaseId)
}

fn begin_attempt(
    sweep: &mut Sweep,
    number: TrialNumber,
    lease: LeaseId,
    holder: &Name,
) -> Result<(), Broken> {
    let trial = trial_mut(sweep, number)?;
    set_status(trial, TrialStatus::Running { lease })?;
    // There is no checkpoint: every execution starts at epoch 1, and a worker's execution repeats
    // the same epochs bit for bit.
    trial.curve.clear();
    trial.seconds = None;
    trial.worker = Some(holder.clone());
    trial.attempts += 1;
    let place = (trial.due, trial.number);
    sweep.queue.remove(&place);
    Ok(())
}

fn grant_asked_trials(record: &mut Record, id: SweepId, asked: &TrialsAsked) -> Result<(), Broken> {
    let TrialsAsked { request_id, client, lease_ms, granted } = asked;
    for GrantedTrial { trial, attempt, lease } in granted {
        let next_lease = after_unused(record, *lease)?;
        begin_attempt(sweep_mut(record, id)?, *trial, *lease, client)?;
        record.next_lease = next_lease;
        let holder = Holder::Client { name: client.clone(), lease_ms: *lease_ms };
        let entry = Lease { sweep: id, trial: *trial, attempt: *attempt, job: Job::Train, holder };
        record.leases.insert(*lease, entry);
    }
    let asks = &mut sweep_mut(record, id)?.asks;
    if asks.len() >= MAX_ASK_REPLIES {
        asks.pop_front();
    }
    let (client, request_id, granted) = (client.clone(), request_id.clone(), granted.clone());
    asks.push_back(AskRecord { client, request_id, granted });
    Ok(())
}

/// Removes a lease from the leases in force. The caller updates its trial or scoring.
fn remove_lease(record: &mut Record, id: LeaseId) -> Result<Lease, Broken> {
    let lease = record.leases.remove(&id);
    let lease = lease.ok_or_else(|| Broken(format!("lease {id} is not in force")))?;
    if let Holder::Worker { name, .. } = &lease.holder
        && let Some(held) = record.held.get_mut(name)
    {
        held.remove(&id);
        if held.is_empty() {
            record.held.remove(name);
        }
    }
    Ok(lease)
}

fn end_lease(record: &mut Record, ended: &LeaseEnded) -> Result<(), Broken> {
    let lease = remove_lease(record, ended.lease)?;
    let sweep = sweep_mut(record, lease.sweep)?;
    let lost_workers = match lease.job {
        Job::Train => {
            let trial = trial_mut(sweep, lease.trial)?;
            set_status(trial, TrialStatus::Waiting)?;
            let place = (trial.due, trial.number);
            sweep.queue.insert(place);
            &mut trial_mut(sweep, lease.trial)?.lost_workers
        }
        Job::Score => {
            let scoring = scoring_mut(sweep)?;
            scoring.status = ScoringStatus::Waiting;
            &mut scoring.lost_workers
        }
    };
    if let Some(lost) = ended.lost_worker {
        lost_workers.add(lost);
    }
    Ok(())
}

fn finish_trial(record: &mut Record, finished: &TrialFinished) -> Result<(), Broken> {
    let TrialFinished { lease: id, outcome, seconds, memory_bytes, .. } = finished;
    let lease = remove_lease(record, *id)?;
    let attempt = seconds.map(|_| FinalAttempt { lease: *id, memory_bytes: *memory_bytes });
    if attempt.is_some() {
        record.results.insert(*id, lease.sweep);
    }
    let trial = trial_mut(sweep_mut(record, lease.sweep)?, lease.trial)?;
    let reported = || {
        let text = format!("trial {} is {outcome:?} without a training time", lease.trial);
        attempt.ok_or(Broken(text))
    };
    let status = match outcome {
        Outcome::Completed => TrialStatus::Completed(reported()?),
        Outcome::Diverged => TrialStatus::Diverged(reported()?),
        Outcome::Failed { message } => {
            TrialStatus::Failed { message: message.clone(), last_attempt: attempt }
        }
    };
    set_status(trial, status)?;
    trial.seconds = *seconds;
    if attempt.is_none() {
        // The coordinator gave the trial up. How far its last worker got before it was lost depends
        // on the worker's speed, and results must not.
        trial.curve.clear();
    }
    Ok(())
}

fn pass_rung(sweep: &mut Sweep, passed: &TrialPassed) -> Result<(), Broken> {
    let TrialPassed { trial: number, rung } = *passed;
    let cost = cost_at(sweep, number, rung)?;
    enter_decision(sweep, number, Stage::Passed(rung.number), cost)?;
    trial_mut(sweep, number)?.passed_rungs += 1;
    let trial = sweep.trial(number).ok_or_else(|| Broken::no_trial(sweep.id, number))?;
    let next = sweep.next_due(trial);
    let before = std::mem::replace(&mut trial_mut(sweep, number)?.due, next);
    sweep.in_flight.insert((next, number));
    if sweep.queue.remove(&(before, number)) {
        sweep.queue.insert((next, number));
    }
    Ok(())
}

fn stop_trial(record: &mut Record, id: SweepId, stopped: &TrialStopped) -> Result<(), Broken> {
    let TrialStopped { trial: number, rung } = *stopped;
    if let Some(lease) = trial_mut(sweep_mut(record, id)?, number)?.running_lease() {
        remove_lease(record, lease)?;
    }
    let sweep = sweep_mut(record, id)?;
    let cost = cost_at(sweep, number, rung)?;
    enter_decision(sweep, number, Stage::Stopped(rung.number), cost)?;
    let trial = trial_mut(sweep, number)?;
    set_status(trial, TrialStatus::Stopped { rung })?;
    // How far past the rung its worker got depends on the worker's speed, and results must not.
    trial.curve.truncate(index(rung.epoch));
    let place = (trial.due, number);
    sweep.queue.remove(&place);
    Ok(())
}

/// The cost of a trial at `rung`, which must be its next one; `None` if the cost is not finite.
fn cost_at(sweep: &Sweep, number: TrialNumber, rung: Rung) -> Result<Option<f64>, Broken> {
    let trial = sweep.trial(number).filter(|trial| {
        trial.passed_rungs == rung.number && sweep.next_rung(trial) == Some(rung.epoch)
    });
    let cost = trial.and_then(|trial| sweep.rung_cost(trial)).ok_or_else(|| {
        Broken(format!("trial {number} cannot be decided at epoch {}", rung.epoch))
    })?;
    Ok(Some(cost).filter(|cost| cost.is_finite()))
}

fn enter_end(sweep: &mut Sweep, number: TrialNumber) -> Result<(), Broken> {
    let trial = sweep.trial(number).filter(|trial| trial.state().is_final());
    let not_over = || Broken(format!("trial {number} has not ended and cannot be decided"));
    let cost = sweep.cost(trial.ok_or_else(not_over)?);
    enter_decision(sweep, number, Stage::Ended, cost)
}

/// Adds a decision on a trial in flight to the log, and takes the trial out of flight.
fn enter_decision(
    sweep: &mut Sweep,
    number: TrialNumber,
    stage: Stage,
    cost: Option<f64>,
) -> Result<(), Broken> {
    let trial = trial_mut(sweep, number)?;
    let due = trial.due;
    if !sweep.in_flight.remove(&(due, number)) {
        return Err(Broken(format!("trial {number} is not in flight")));
    }
    sweep.clock = sweep.clock.max(due);
    let entry = Observation { trial: number.0, stage, cost };
    sweep.log.push(entry).map_err(|error| Broken(error.to_string()))
}

fn finish_scoring(record: &mut Record, id: SweepId, scored: &WinnerScored) -> Result<(), Broken> {
    let WinnerScored { lease, score, reproduced, message, .. } = scored;
    remove_lease(record, *lease)?;
    record.results.insert(*lease, id);
    let scoring = scoring_mut(sweep_mut(record, id)?)?;
    scoring.status = ScoringStatus::Finished(ScoringResult {
        score: *score,
        reproduced: *reproduced,
        message: message.clone(),
    });
    Ok(())
}
