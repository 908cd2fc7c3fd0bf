//! The only code that changes a [`Record`].

mod leases;

use std::collections::BTreeSet;
use std::sync::Arc;

use caviar_common::ids::{LeaseId, SweepId, TrialNumber};
use caviar_common::merit::Merit;
use caviar_common::metric::Point;
use caviar_common::numbers::index;
use caviar_common::outcome::Outcome;
#[cfg(doc)]
use caviar_common::outcome::TrialState;
use caviar_search::stopping::rungs;
use caviar_search::{History, Observation, SortedList, Stage, Suggestion};

use self::leases::{
    end_lease, grant_asked_trials, grant_lease, remove_lease, restore_lease, take_expired,
};
use super::Broken;
use super::cost::comparable;
use super::event::{
    Cost, EpochRecorded, EpochsRecorded, Event, LossWithdrawn, Payload, Rung, SweepCreated,
    SweepDeleted, SweepExtended, SweepResized, TrialDecided, TrialFinished, TrialPassed,
    TrialSampled, TrialStopped, WinnerScored,
};
use super::state::{
    Asks, EpochsSoFar, FinalAttempt, KeptModel, Models, Phase, Record, RoundStatistics, Scoring,
    ScoringResult, ScoringStatus, Statistics, Sweep, Trial, TrialStatus, Trials,
};

/// Leases with a result that are remembered: more than workers can hold with a result that is not
/// acknowledged.
const MAX_RESULTS: usize = 65_536;

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
        Payload::SweepResized(resized) => resize_sweep(sweep_mut(record, id)?, *resized),
        Payload::SweepExtended(extended) => extend_sweep(sweep_mut(record, id)?, extended),
        Payload::SweepCancelled => cancel_sweep(record, id),
        Payload::SweepCompleted => {
            sweep_mut(record, id).map(|sweep| sweep.phase = Phase::Completed)
        }
        Payload::TrialSampled(sampled) => add_trial(sweep_mut(record, id)?, sampled),
        Payload::LeaseGranted(granted) => grant_lease(record, id, granted),
        Payload::TrialsAsked(asked) => grant_asked_trials(record, id, asked),
        Payload::LeaseEnded(ended) => end_lease(record, ended),
        Payload::LeaseRestored(restored) => restore_lease(record, id, *restored),
        Payload::LossWithdrawn(withdrawn) => {
            let LossWithdrawn { trial, lease, losses } = *withdrawn;
            take_expired(sweep_mut(record, id)?, trial, lease, losses).map(drop)
        }
        Payload::EpochRecorded(EpochRecorded { trial, metrics, seconds, .. }) => {
            let points = std::slice::from_ref(metrics);
            record_epochs(sweep_mut(record, id)?, *trial, (points, *seconds))
        }
        Payload::EpochsRecorded(EpochsRecorded { trial, points, seconds, .. }) => {
            record_epochs(sweep_mut(record, id)?, *trial, (points, *seconds))
        }
        Payload::TrialFinished(finished) => finish_trial(record, finished),
        Payload::TrialPassed(passed) => pass_rung(sweep_mut(record, id)?, passed),
        Payload::TrialStopped(stopped) => stop_trial(record, id, stopped),
        Payload::TrialDecided(decided) => enter_end(record, id, decided),
        Payload::ScoringStarted(started) => {
            let sweep = sweep_mut(record, id)?;
            sweep.phase = Phase::Scoring;
            sweep.scoring = Some(Scoring {
                trial: started.trial,
                attempts: 0,
                losses: 0,
                expired: Vec::new(),
                status: ScoringStatus::Waiting,
            });
            Ok(())
        }
        Payload::WinnerScored(scored) => finish_scoring(record, id, scored),
        Payload::CheckpointChanged(changed) => {
            trial_mut(sweep_mut(record, id)?, changed.trial)?.change_checkpoint(changed)
        }
    }
}

/// The sweep, to be changed. One that is not loaded has ended: it can be deleted, and it must be
/// loaded before it is extended.
fn sweep_mut(record: &mut Record, id: SweepId) -> Result<&mut Sweep, Broken> {
    let sweep = record.sweeps.get_mut(&id).ok_or_else(|| Broken::no_sweep(id))?;
    if sweep.is_loaded() { Ok(sweep) } else { Err(Broken(format!("sweep {id} has ended"))) }
}

fn trial_mut(sweep: &mut Sweep, trial: TrialNumber) -> Result<&mut Trial, Broken> {
    let id = sweep.id;
    sweep.trials.get_mut(trial).ok_or_else(|| Broken::no_trial(id, trial))
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

fn set_status(sweep: &mut Sweep, number: TrialNumber, next: TrialStatus) -> Result<(), Broken> {
    let id = sweep.id;
    let trial = sweep.trials.get_mut(number).ok_or_else(|| Broken::no_trial(id, number))?;
    let (from, to) = (trial.state(), next.state());
    if !from.may_become(to) {
        return Err(Broken(format!(
            "trial {number} is {} and cannot become {}",
            from.name(),
            to.name()
        )));
    }
    trial.status = next;
    if to.is_final() {
        trial.checkpoint = None;
    }
    sweep.statistics.change(&trial.reason, from, to);
    if !from.is_final() && to.is_final() {
        sweep.statistics.ended_in_flight += 1;
    }
    Ok(())
}

/// Drops the epochs of a trial after this one.
fn keep_epochs(trial: &mut Trial, epoch: u32) -> Result<(), Broken> {
    let recorded = trial.recorded_epochs();
    if trial.epochs_so_far.truncate(epoch) {
        return Ok(());
    }
    let number = trial.number;
    Err(Broken(format!("trial {number} cannot keep {epoch} of {recorded} epochs")))
}

/// Takes a trial out of flight, for those who write it into tables.
fn retire(sweep: &mut Sweep, number: TrialNumber) -> Option<(SweepId, Arc<Trial>)> {
    let is_best = sweep.statistics.best.is_some_and(|best| best.trial == number);
    Some((sweep.id, sweep.trials.retire(number, is_best)?))
}

/// Notes whether a trial in flight can be decided now.
fn update_decidable(sweep: &mut Sweep, number: TrialNumber) {
    let Some(trial) = sweep.trials.get(number) else { return };
    let place = (trial.due, number);
    if sweep.in_flight.contains(&place) && sweep.is_decidable(trial) {
        sweep.decidable.insert(place);
    } else {
        sweep.decidable.remove(&place);
    }
}

/// Adds a completed trial to the ranking once no rung can stop it any more.
fn settle(sweep: &mut Sweep, number: TrialNumber) {
    let trial = sweep.trials.get(number);
    let result = trial.and_then(|trial| Some((sweep.cost(trial)?, sweep.objective(trial)?)));
    let (Some(trial), Some((cost, objective))) = (trial, result) else { return };
    let merit = Merit { cost, loss: sweep.tie_loss(trial), trial: number };
    sweep.statistics.settle(merit, &trial.reason, objective);
    if let Some(model) = trial.model {
        let kept = KeptModel { merit, objective, model };
        sweep.models.insert(kept, sweep.spec.keep.models);
    }
}

fn create_sweep(record: &mut Record, id: SweepId, created: &SweepCreated) -> Result<(), Broken> {
    if record.sweeps.contains_key(&id) || id < record.next_sweep {
        return Err(Broken(format!("sweep {id} was created before")));
    }
    let created = created.clone();
    let SweepCreated { request_id, spec, data, warm_start, earlier, .. } = created;
    let (auto_slots, ties, recorded) = (created.auto_slots, created.ties, created.rungs);
    let rungs = recorded.unwrap_or_else(|| rungs(spec.stopping, spec.max_epochs()));
    record.names.insert(spec.name.clone(), id);
    record.requests.insert(request_id.clone(), id);
    let sweep = Sweep {
        id,
        request_id,
        data,
        warm_start: Arc::new(warm_start),
        earlier: earlier.map(Arc::new),
        phase: Phase::Searching,
        is_paused: false,
        auto_slots,
        ties,
        resizes: Vec::new(),
        extensions: Vec::new(),
        trials: Trials::default(),
        rung_costs: vec![SortedList::new(); rungs.len()],
        rungs,
        statistics: Statistics::new(spec.search.rounds.len()),
        history: History::new(spec.space.clone()),
        unloaded_decisions: None,
        spec: Arc::new(spec),
        clock: 0,
        in_flight: BTreeSet::new(),
        queue: BTreeSet::new(),
        decidable: BTreeSet::new(),
        pending: Vec::new(),
        scoring: None,
        leases: BTreeSet::new(),
        asks: Asks::default(),
        models: Models::default(),
    };
    record.next_sweep = SweepId(successor(id.0)?);
    record.sweeps.insert(id, sweep);
    Ok(())
}

fn delete_sweep(record: &mut Record, id: SweepId, deleted: &SweepDeleted) -> Result<(), Broken> {
    if record.sweep(id).is_some_and(|sweep| !sweep.leases.is_empty()) {
        return Err(Broken(format!("sweep {id} still has leases")));
    }
    successor(deleted.next_lease.0)?;
    // After a restart the sweep's other events are gone, and only this one says which numbers were
    // used.
    if let Some(sweep) = record.sweeps.remove(&id) {
        record.names.remove(&sweep.spec.name);
        record.requests.remove(&sweep.request_id);
    }
    record.results.retain(|_, sweep| *sweep != id);
    record.next_sweep = record.next_sweep.max(SweepId(successor(id.0)?));
    record.next_lease = record.next_lease.max(deleted.next_lease);
    Ok(())
}

fn cancel_sweep(record: &mut Record, id: SweepId) -> Result<(), Broken> {
    for lease in sweep_mut(record, id)?.leases.clone() {
        remove_lease(record, lease)?;
    }
    let sweep = sweep_mut(record, id)?;
    sweep.phase = Phase::Cancelled;
    let mut retired = Vec::new();
    sweep.queue.clear();
    sweep.decidable.clear();
    sweep.pending.clear();
    for (_, number) in std::mem::take(&mut sweep.in_flight) {
        let trial = sweep.trial(number).ok_or_else(|| Broken::no_trial(id, number))?;
        if trial.state().is_final() {
            // The rungs that could have stopped it are not decided any more.
            settle(sweep, number);
        } else {
            set_status(sweep, number, TrialStatus::Cancelled)?;
        }
        retired.extend(retire(sweep, number));
    }
    sweep.statistics.ended_in_flight = 0;
    record.retired.extend(retired);
    Ok(())
}

fn add_trial(sweep: &mut Sweep, sampled: &TrialSampled) -> Result<(), Broken> {
    let TrialSampled { trial: number, epochs, start, end, due, .. } = sampled;
    let damaged = || Broken(format!("the assignment of trial {number} is not one of its sweep"));
    let Suggestion { assignment, reason } =
        sampled.suggestion(&sweep.spec.space).ok_or_else(damaged)?;
    if number.0 != sweep.trials.sampled() {
        return Err(Broken(format!("trial {number} is sampled out of order")));
    }
    sweep.history.push_trial(&assignment).map_err(|error| Broken(error.to_string()))?;
    let mut trial = Trial {
        number: *number,
        status: TrialStatus::Waiting,
        assignment,
        reason,
        epochs: *epochs,
        start: *start,
        end: *end,
        passed_rungs: 0,
        due: *end,
        attempts: 0,
        losses: 0,
        expired: Vec::new(),
        inherited: 0,
        worker: None,
        epochs_so_far: EpochsSoFar::default(),
        seconds: None,
        checkpoint: None,
        resumed: 0,
        retrained: 0,
        model: None,
    };
    trial.due = due.unwrap_or_else(|| sweep.next_due(&trial));
    sweep.statistics.add(*number, &trial.reason);
    sweep.in_flight.insert((trial.due, *number));
    sweep.queue.insert((trial.due, *number));
    sweep.pending.push(number.0);
    sweep.trials.push(trial);
    Ok(())
}

/// Adds epochs to a trial's curve, with the training time until the last of them.
fn record_epochs(
    sweep: &mut Sweep,
    number: TrialNumber,
    (points, seconds): (&[Point], Option<f64>),
) -> Result<(), Broken> {
    let id = sweep.id;
    let trial = sweep.trials.get_mut(number).ok_or_else(|| Broken::no_trial(id, number))?;
    if !points.is_empty() {
        sweep.statistics.retrained += trial.catch_up();
    }
    for point in points {
        let (epoch, recorded) = (point.epoch(), trial.recorded_epochs());
        if epoch != recorded + 1 {
            let text = format!("epoch {epoch} of trial {number} follows epoch {recorded}");
            return Err(Broken(text));
        }
        trial.epochs_so_far.push(point.clone(), &sweep.rungs, &sweep.spec.objective);
    }
    trial.losses = 0;
    trial.expired.iter_mut().for_each(|expired| expired.losses = 0);
    trial.seconds = seconds.or(trial.seconds);
    update_decidable(sweep, number);
    Ok(())
}

/// Changes how many trials are in flight. Those that are in flight stay.
fn resize_sweep(sweep: &mut Sweep, resized: SweepResized) -> Result<(), Broken> {
    check_place(sweep, (resized.trials, resized.decisions), "resized")?;
    sweep.resizes.push(resized);
    Ok(())
}

/// Raises the number of trials. A sweep that was completed searches again. The score of its winner
/// stays until another trial is scored.
fn extend_sweep(sweep: &mut Sweep, extended: &SweepExtended) -> Result<(), Broken> {
    check_place(sweep, (extended.trials, extended.decisions), "extended")?;
    match sweep.phase {
        Phase::Searching => {}
        Phase::Completed => sweep.phase = Phase::Searching,
        Phase::Scoring | Phase::Cancelled => {
            return Err(Broken(format!("sweep {} cannot be extended now", sweep.id)));
        }
    }
    if sweep.spec.search.strategy.has_rounds() {
        sweep.statistics.rounds.push(RoundStatistics::default());
    }
    sweep.extensions.push(extended.clone());
    Ok(())
}

/// A change by a person must have its place among the decisions.
fn check_place(sweep: &Sweep, (trials, decisions): (u32, u32), what: &str) -> Result<(), Broken> {
    if (trials, index(decisions)) == (sweep.trials.sampled(), sweep.history.len()) {
        return Ok(());
    }
    Err(Broken(format!("sweep {} is {what} at another place of its record", sweep.id)))
}

fn finish_trial(record: &mut Record, finished: &TrialFinished) -> Result<(), Broken> {
    let TrialFinished { lease: id, outcome, seconds, memory_bytes, model, .. } = finished;
    let lease = remove_lease(record, *id)?;
    let attempt = seconds.map(|_| FinalAttempt { lease: *id, memory_bytes: *memory_bytes });
    if attempt.is_some() {
        add_result(record, *id, lease.sweep);
    }
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
    let sweep = sweep_mut(record, lease.sweep)?;
    set_status(sweep, lease.trial, status)?;
    let trial = trial_mut(sweep, lease.trial)?;
    trial.seconds = *seconds;
    trial.model = *model;
    if !matches!(outcome, Outcome::Failed { .. }) {
        let again = trial.catch_up();
        sweep.statistics.retrained += again;
    }
    settle(sweep, lease.trial);
    update_decidable(sweep, lease.trial);
    Ok(())
}

/// Remembers a lease that led to a result, and forgets the oldest one if there are too many.
fn add_result(record: &mut Record, lease: LeaseId, sweep: SweepId) {
    record.results.insert(lease, sweep);
    if record.results.len() > MAX_RESULTS {
        record.results.pop_first();
    }
}

fn pass_rung(sweep: &mut Sweep, passed: &TrialPassed) -> Result<(), Broken> {
    let TrialPassed { trial: number, rung, cost, due } = *passed;
    let cost = cost_at(sweep, number, rung, cost)?;
    enter_decision(sweep, number, Stage::Passed(rung.number), cost.finite())?;
    enter_rung(sweep, rung, cost);
    trial_mut(sweep, number)?.passed_rungs += 1;
    let trial = sweep.trial(number).ok_or_else(|| Broken::no_trial(sweep.id, number))?;
    let next = due.unwrap_or_else(|| sweep.next_due(trial));
    let before = std::mem::replace(&mut trial_mut(sweep, number)?.due, next);
    sweep.in_flight.insert((next, number));
    if sweep.queue.remove(&(before, number)) {
        sweep.queue.insert((next, number));
    }
    settle(sweep, number);
    update_decidable(sweep, number);
    Ok(())
}

fn stop_trial(record: &mut Record, id: SweepId, stopped: &TrialStopped) -> Result<(), Broken> {
    let TrialStopped { trial: number, rung, cost } = *stopped;
    if let Some(lease) = trial_mut(sweep_mut(record, id)?, number)?.running_lease() {
        remove_lease(record, lease)?;
    }
    let sweep = sweep_mut(record, id)?;
    let cost = cost_at(sweep, number, rung, cost)?;
    enter_decision(sweep, number, Stage::Stopped(rung.number), cost.finite())?;
    enter_rung(sweep, rung, cost);
    set_status(sweep, number, TrialStatus::Stopped { rung })?;
    sweep.statistics.ended_in_flight -= 1;
    let trial = trial_mut(sweep, number)?;
    // How far past the rung its worker got depends on the worker's speed, and results must not.
    keep_epochs(trial, rung.epoch)?;
    let place = (trial.due, number);
    sweep.queue.remove(&place);
    let retired = retire(sweep, number);
    record.retired.extend(retired);
    Ok(())
}

/// The cost of a trial at `rung`, which must be its next one.
fn cost_at(
    sweep: &Sweep,
    number: TrialNumber,
    rung: Rung,
    recorded: Option<Cost>,
) -> Result<Cost, Broken> {
    let trial = sweep.trial(number).filter(|trial| {
        trial.passed_rungs == rung.number && sweep.next_rung(trial) == Some(rung.epoch)
    });
    let cost = trial.and_then(|trial| sweep.rung_cost(trial)).ok_or_else(|| {
        Broken(format!("trial {number} cannot be decided at epoch {}", rung.epoch))
    })?;
    Ok(recorded.unwrap_or(Cost(cost)))
}

fn enter_rung(sweep: &mut Sweep, rung: Rung, cost: Cost) {
    if let Some(costs) = sweep.rung_costs.get_mut(index(rung.number)) {
        costs.insert(comparable(cost.0));
    }
}

fn enter_end(record: &mut Record, id: SweepId, decided: &TrialDecided) -> Result<(), Broken> {
    let TrialDecided { trial: number, cost, epochs } = *decided;
    let sweep = sweep_mut(record, id)?;
    let trial = sweep.trial(number).filter(|trial| trial.state().is_final());
    let not_over = || Broken(format!("trial {number} has not ended and cannot be decided"));
    let trial = trial.ok_or_else(not_over)?;
    let is_given_up = trial.is_given_up();
    let cost = cost.map_or_else(|| sweep.cost(trial), Cost::finite);
    enter_decision(sweep, number, Stage::Ended, cost)?;
    sweep.statistics.ended_in_flight -= 1;
    // Releases up to format 2 kept no epochs of a trial that the coordinator gave up.
    let counting = epochs.or_else(|| is_given_up.then_some(0));
    if let Some(epochs) = counting {
        keep_epochs(trial_mut(sweep, number)?, epochs)?;
    }
    let retired = retire(sweep, number);
    record.retired.extend(retired);
    Ok(())
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
    sweep.decidable.remove(&(due, number));
    if let Ok(place) = sweep.pending.binary_search(&number.0) {
        sweep.pending.remove(place);
    }
    sweep.clock = sweep.clock.max(due);
    let entry = Observation { trial: number.0, stage, cost };
    sweep.history.push(entry).map_err(|error| Broken(error.to_string()))
}

fn finish_scoring(record: &mut Record, id: SweepId, scored: &WinnerScored) -> Result<(), Broken> {
    let WinnerScored { lease, score, reproduced, message, .. } = scored;
    remove_lease(record, *lease)?;
    add_result(record, *lease, id);
    let scoring = scoring_mut(sweep_mut(record, id)?)?;
    scoring.status = ScoringStatus::Finished(ScoringResult {
        score: *score,
        reproduced: *reproduced,
        message: message.clone(),
    });
    Ok(())
}
