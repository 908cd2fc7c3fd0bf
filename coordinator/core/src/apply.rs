//! The only code that writes [`Durable`]. Live steps and recovery run the same function, so replay
//! equals live.

use caviar_common::ids::{Incarnation, LeaseId, Name, SweepId, TrialNumber};
use caviar_common::limits::MAX_ASK_REPLIES;
use caviar_common::outcome::{Job, Outcome, TrialState};
use caviar_search::stopping::rungs;
use caviar_search::{Observation, Stage};

use crate::Broken;
use crate::event::{Event, Granted, Loss, Rung};
use crate::state::{Answer, Durable, Lease, Losses, Phase, Scoring, ScoringResult, Sweep, Trial};

/// Makes `event` part of the state.
///
/// # Errors
/// The event does not fit: something is named that is not there, or a trial would take a step that
/// [`TrialState::TRANSITIONS`] does not list.
pub(crate) fn apply(state: &mut Durable, event: &Event) -> Result<(), Broken> {
    match event {
        Event::SweepCreated { .. } => create(state, event),
        Event::SweepDeleted { sweep, next_lease } => delete(state, *sweep, *next_lease),
        Event::SweepPaused { sweep } => sweep_mut(state, *sweep).map(|s| s.paused = true),
        Event::SweepResumed { sweep } => sweep_mut(state, *sweep).map(|s| s.paused = false),
        Event::SweepCancelled { sweep } => cancel(state, *sweep),
        Event::TrialSampled { .. } => sample(state, event),
        Event::LeaseGranted { .. } => grant(state, event),
        Event::TrialsAsked { .. } => answer(state, event),
        Event::LeaseEnded { lease, loss, .. } => end_lease(state, *lease, *loss),
        Event::EpochRecorded { sweep, trial, metrics, .. } => {
            let trial = trial_mut(sweep_mut(state, *sweep)?, *trial)?;
            trial.curve.push(metrics.clone());
            Ok(())
        }
        Event::TrialFinished { lease, outcome, seconds, memory_bytes, .. } => {
            finish(state, *lease, outcome, *seconds, *memory_bytes)
        }
        Event::TrialPassed { sweep, trial, rung } => pass(sweep_mut(state, *sweep)?, *trial, *rung),
        Event::TrialStopped { sweep, trial, rung } => stop(state, *sweep, *trial, *rung),
        Event::TrialDecided { sweep, trial } => decide(sweep_mut(state, *sweep)?, *trial),
        Event::ScoringStarted { sweep, trial } => {
            let sweep = sweep_mut(state, *sweep)?;
            sweep.phase = Phase::Scoring;
            sweep.scoring = Some(Scoring {
                trial: *trial,
                attempts: 0,
                losses: Losses::default(),
                lease: None,
                result: None,
            });
            Ok(())
        }
        Event::WinnerScored { .. } => score(state, event),
        Event::SweepCompleted { sweep } => {
            sweep_mut(state, *sweep).map(|s| s.phase = Phase::Completed)
        }
    }
}

fn sweep_mut(state: &mut Durable, sweep: SweepId) -> Result<&mut Sweep, Broken> {
    state.sweeps.get_mut(&sweep).ok_or_else(|| Broken(format!("there is no sweep {sweep}")))
}

fn trial_mut(sweep: &mut Sweep, trial: TrialNumber) -> Result<&mut Trial, Broken> {
    let place = usize::try_from(trial.0).ok();
    let missing = Broken(format!("sweep {} has no trial {trial}", sweep.id));
    place.and_then(|i| sweep.trials.get_mut(i)).ok_or(missing)
}

fn scoring_mut(sweep: &mut Sweep) -> Result<&mut Scoring, Broken> {
    let missing = Broken(format!("sweep {} scores nothing", sweep.id));
    sweep.scoring.as_mut().ok_or(missing)
}

/// The number after one that was used. A store may hold any number, and the last one has none after
/// it.
fn after(number: u64) -> Result<u64, Broken> {
    number.checked_add(1).ok_or_else(|| {
        Broken(format!("the number {number} is the last there is, and cannot have been used"))
    })
}

fn turn(trial: &mut Trial, next: TrialState) -> Result<(), Broken> {
    if !trial.state.may_become(next) {
        return Err(Broken(format!(
            "trial {} is {} and cannot become {}",
            trial.number,
            trial.state.name(),
            next.name()
        )));
    }
    trial.state = next;
    Ok(())
}

fn create(state: &mut Durable, event: &Event) -> Result<(), Broken> {
    let Event::SweepCreated { sweep: id, request_id, spec, data, warm_start } = event else {
        return Ok(());
    };
    if state.sweeps.contains_key(id) || *id < state.next_sweep {
        return Err(Broken(format!("sweep {id} was created before")));
    }
    let sweep = Sweep {
        id: *id,
        request_id: request_id.clone(),
        spec: (**spec).clone(),
        data: data.clone(),
        warm_start: warm_start.clone(),
        phase: Phase::Searching,
        paused: false,
        trials: Vec::new(),
        rungs: rungs(spec.stopping, spec.max_epochs()),
        clock: 0,
        in_flight: std::collections::BTreeSet::new(),
        queue: std::collections::BTreeSet::new(),
        log: Vec::new(),
        scoring: None,
        answers: std::collections::VecDeque::new(),
    };
    state.next_sweep = SweepId(after(id.0)?);
    state.sweeps.insert(*id, sweep);
    Ok(())
}

fn delete(state: &mut Durable, sweep: SweepId, next_lease: LeaseId) -> Result<(), Broken> {
    if state.leases.values().any(|l| l.sweep == sweep) {
        return Err(Broken(format!("sweep {sweep} still has leases")));
    }
    after(next_lease.0)?;
    // After a restart the sweep's own events are gone, and this one alone says which numbers were
    // used.
    state.sweeps.remove(&sweep);
    state.results.retain(|_, of| *of != sweep);
    state.next_sweep = state.next_sweep.max(SweepId(after(sweep.0)?));
    state.next_lease = state.next_lease.max(next_lease);
    Ok(())
}

fn cancel(state: &mut Durable, id: SweepId) -> Result<(), Broken> {
    let leases: Vec<LeaseId> =
        state.leases.iter().filter(|(_, l)| l.sweep == id).map(|(lease, _)| *lease).collect();
    for lease in leases {
        take_lease(state, lease)?;
    }
    let sweep = sweep_mut(state, id)?;
    sweep.phase = Phase::Cancelled;
    sweep.queue.clear();
    sweep.in_flight.clear();
    for trial in sweep.trials.iter_mut().filter(|t| !t.state.is_final()) {
        trial.lease = None;
        turn(trial, TrialState::Cancelled)?;
    }
    Ok(())
}

fn sample(state: &mut Durable, event: &Event) -> Result<(), Broken> {
    let Event::TrialSampled { sweep, trial, assignment, reason, epochs, start, end } = event else {
        return Ok(());
    };
    let sweep = sweep_mut(state, *sweep)?;
    if usize::try_from(trial.0) != Ok(sweep.trials.len()) {
        return Err(Broken(format!("trial {trial} is sampled out of order")));
    }
    let mut sampled = Trial {
        number: *trial,
        state: TrialState::Queued,
        assignment: assignment.clone(),
        reason: reason.clone(),
        epochs: *epochs,
        start: *start,
        end: *end,
        passed: 0,
        due: *end,
        attempts: 0,
        losses: Losses::default(),
        lease: None,
        worker: None,
        curve: Vec::new(),
        seconds: None,
        memory_bytes: None,
        message: None,
        stopped: None,
    };
    sampled.due = sweep.next_due(&sampled);
    sweep.in_flight.insert((sampled.due, *trial));
    sweep.queue.insert((sampled.due, *trial));
    sweep.trials.push(sampled);
    Ok(())
}

fn grant(state: &mut Durable, event: &Event) -> Result<(), Broken> {
    let Event::LeaseGranted { sweep: id, trial, attempt, lease, worker, incarnation, job } = event
    else {
        return Ok(());
    };
    if *lease < state.next_lease {
        return Err(Broken(format!("lease {lease} was used before")));
    }
    let sweep = sweep_mut(state, *id)?;
    match job {
        Job::Train => begin(sweep, *trial, *lease, worker)?,
        Job::Score => {
            let scoring = scoring_mut(sweep)?;
            scoring.lease = Some(*lease);
            scoring.attempts += 1;
        }
    }
    state.next_lease = LeaseId(after(lease.0)?);
    state.held.entry(worker.clone()).or_default().insert(*lease);
    let record = Lease {
        sweep: *id,
        trial: *trial,
        attempt: *attempt,
        worker: worker.clone(),
        incarnation: *incarnation,
        job: *job,
        program_ms: None,
    };
    state.leases.insert(*lease, record);
    Ok(())
}

/// An execution of a trial begins.
fn begin(
    sweep: &mut Sweep,
    number: TrialNumber,
    lease: LeaseId,
    worker: &Name,
) -> Result<(), Broken> {
    let trial = trial_mut(sweep, number)?;
    turn(trial, TrialState::Running)?;
    // Without a checkpoint an execution begins anew; a worker's gives the same epochs again, bit
    // for bit.
    trial.curve.clear();
    trial.lease = Some(lease);
    trial.worker = Some(worker.clone());
    trial.attempts += 1;
    let place = (trial.due, trial.number);
    sweep.queue.remove(&place);
    Ok(())
}

fn answer(state: &mut Durable, event: &Event) -> Result<(), Broken> {
    let Event::TrialsAsked { sweep: id, request_id, client, lease_ms, granted } = event else {
        return Ok(());
    };
    for Granted { trial, attempt, lease } in granted {
        if *lease < state.next_lease {
            return Err(Broken(format!("lease {lease} was used before")));
        }
        begin(sweep_mut(state, *id)?, *trial, *lease, client)?;
        state.next_lease = LeaseId(after(lease.0)?);
        let (sweep, trial, worker, incarnation) = (*id, *trial, client.clone(), Incarnation(0));
        let record = Lease {
            sweep,
            trial,
            attempt: *attempt,
            worker,
            incarnation,
            job: Job::Train,
            program_ms: Some(*lease_ms),
        };
        state.leases.insert(*lease, record);
    }
    let answers = &mut sweep_mut(state, *id)?.answers;
    if answers.len() >= MAX_ASK_REPLIES {
        answers.pop_front();
    }
    answers.push_back(Answer {
        client: client.clone(),
        request_id: request_id.clone(),
        granted: granted.clone(),
    });
    Ok(())
}

/// Ends a lease on the side of the leases.
fn take_lease(state: &mut Durable, lease: LeaseId) -> Result<Lease, Broken> {
    let record = state
        .leases
        .remove(&lease)
        .ok_or_else(|| Broken(format!("lease {lease} is not in force")))?;
    if let Some(held) = state.held.get_mut(&record.worker) {
        held.remove(&lease);
        if held.is_empty() {
            state.held.remove(&record.worker);
        }
    }
    Ok(record)
}

fn end_lease(state: &mut Durable, lease: LeaseId, loss: Option<Loss>) -> Result<(), Broken> {
    let record = take_lease(state, lease)?;
    let sweep = sweep_mut(state, record.sweep)?;
    match record.job {
        Job::Train => {
            let trial = trial_mut(sweep, record.trial)?;
            turn(trial, TrialState::Queued)?;
            trial.lease = None;
            loss.into_iter().for_each(|loss| trial.losses.add(loss));
            let place = (trial.due, trial.number);
            sweep.queue.insert(place);
        }
        Job::Score => {
            let scoring = scoring_mut(sweep)?;
            scoring.lease = None;
            loss.into_iter().for_each(|loss| scoring.losses.add(loss));
        }
    }
    Ok(())
}

fn finish(
    state: &mut Durable,
    lease: LeaseId,
    outcome: &Outcome,
    seconds: Option<f64>,
    memory_bytes: Option<u64>,
) -> Result<(), Broken> {
    let record = take_lease(state, lease)?;
    // Without a time it is the coordinator's own verdict on a trial that was lost too often: then
    // the lease brought nothing.
    if seconds.is_some() {
        state.results.insert(lease, record.sweep);
    }
    let trial = trial_mut(sweep_mut(state, record.sweep)?, record.trial)?;
    turn(trial, outcome.state())?;
    trial.seconds = seconds;
    trial.memory_bytes = memory_bytes;
    if seconds.is_none() {
        // How far the last worker came before it was lost depends on its speed, and results must
        // not.
        trial.curve.clear();
    }
    if let Outcome::Failed { message } = outcome {
        trial.message = Some(message.clone());
    }
    Ok(())
}

fn pass(sweep: &mut Sweep, number: TrialNumber, rung: Rung) -> Result<(), Broken> {
    let loss = loss_at(sweep, number, rung)?;
    log(sweep, number, Stage::Passed(rung.number), loss)?;
    trial_mut(sweep, number)?.passed += 1;
    let Some(next) = sweep.trial(number).map(|trial| sweep.next_due(trial)) else { return Ok(()) };
    let before = std::mem::replace(&mut trial_mut(sweep, number)?.due, next);
    sweep.in_flight.insert((next, number));
    if sweep.queue.remove(&(before, number)) {
        sweep.queue.insert((next, number));
    }
    Ok(())
}

fn stop(state: &mut Durable, id: SweepId, number: TrialNumber, rung: Rung) -> Result<(), Broken> {
    let trial = trial_mut(sweep_mut(state, id)?, number)?;
    let lease = trial.lease.take().filter(|_| trial.state == TrialState::Running);
    if let Some(lease) = lease {
        take_lease(state, lease)?;
    }
    let sweep = sweep_mut(state, id)?;
    let loss = loss_at(sweep, number, rung)?;
    log(sweep, number, Stage::Stopped(rung.number), loss)?;
    let trial = trial_mut(sweep, number)?;
    turn(trial, TrialState::Stopped)?;
    // How far past the rung its worker came depends on its speed, and results must not.
    trial.curve.truncate(usize::try_from(rung.epoch).unwrap_or(usize::MAX));
    (trial.seconds, trial.memory_bytes, trial.message) = (None, None, None);
    trial.stopped = Some(rung);
    let place = (trial.due, number);
    sweep.queue.remove(&place);
    Ok(())
}

/// The loss with which a trial comes to the rung that is its next one; none where it is not finite.
fn loss_at(sweep: &Sweep, number: TrialNumber, rung: Rung) -> Result<Option<f64>, Broken> {
    let trial = sweep
        .trial(number)
        .filter(|t| t.passed == rung.number && sweep.next_rung(t) == Some(rung.epoch));
    let loss = trial.and_then(|t| sweep.rung_loss(t));
    let loss = loss.ok_or_else(|| {
        Broken(format!("trial {number} cannot be decided at epoch {}", rung.epoch))
    })?;
    Ok(Some(loss).filter(|loss| loss.is_finite()))
}

fn decide(sweep: &mut Sweep, number: TrialNumber) -> Result<(), Broken> {
    let trial = sweep.trial(number).filter(|t| t.state.is_final());
    let loss = trial
        .map(|t| sweep.loss(t))
        .ok_or_else(|| Broken(format!("trial {number} is not over and cannot be decided")))?;
    log(sweep, number, Stage::Ended, loss)
}

/// Enters a decision on a trial in flight into the log, and takes the trial out of flight.
fn log(
    sweep: &mut Sweep,
    number: TrialNumber,
    stage: Stage,
    loss: Option<f64>,
) -> Result<(), Broken> {
    let trial = trial_mut(sweep, number)?;
    let (due, assignment) = (trial.due, trial.assignment.clone());
    if !sweep.in_flight.remove(&(due, number)) {
        return Err(Broken(format!("trial {number} is not in flight")));
    }
    sweep.clock = sweep.clock.max(due);
    sweep.log.push(Observation { trial: number.0, assignment, stage, cost: loss });
    Ok(())
}

fn score(state: &mut Durable, event: &Event) -> Result<(), Broken> {
    let Event::WinnerScored { sweep, lease, score, reproduced, message, .. } = event else {
        return Ok(());
    };
    take_lease(state, *lease)?;
    state.results.insert(*lease, *sweep);
    let scoring = scoring_mut(sweep_mut(state, *sweep)?)?;
    scoring.lease = None;
    let result = ScoringResult {
        lease: *lease,
        score: *score,
        reproduced: *reproduced,
        message: message.clone(),
    };
    scoring.result = Some(result);
    Ok(())
}
