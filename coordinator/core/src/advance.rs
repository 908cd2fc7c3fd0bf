//! Which decisions can be taken now.
//!
//! The sweep has a virtual cluster of `parallelism` slots. A trial starts when a slot is free,
//! comes to its rungs and ends when so much arithmetic is done ([`caviar_common::cost`]). Rungs and
//! ends are decided in the order of (virtual time, trial number), each when the result has arrived,
//! so the log that a sampler sees does not depend on which worker was faster. A trial that diverged
//! or failed has its end where its next rung would have been. With [`Order::AsCompleted`] they are
//! decided as the results arrive.

use caviar_common::assignment::Assignment;
use caviar_common::cost::epoch_units;
use caviar_common::hyper::train_spec;
use caviar_common::ids::{SessionId, SweepId, TrialNumber};
use caviar_common::message::ToWorker;
use caviar_common::outcome::TrialState;
use caviar_common::spec::Order;
use caviar_search::stopping::rank_at_rung;
use caviar_search::{Question, Sampler, SamplerReply, Stage, Suggestion, WarmStart, build};

use crate::event::{Event, Rung};
use crate::input::Effect;
use crate::state::{Phase, Sweep};
use crate::volatile::Volatile;
use crate::{Broken, Changes, Coordinator};

impl Coordinator {
    /// Takes every decision that can be taken, or those until `go_on` says no, which it is asked
    /// after each new trial. Whether that was all.
    pub(crate) fn advance(
        &mut self,
        go_on: &mut dyn FnMut() -> bool,
        changes: &mut Changes,
    ) -> Result<bool, Broken> {
        while let Some(id) = self.next_dirty() {
            while let Some(event) = self.next_decision(id) {
                let told = self.stop_message(&event);
                let was_asked = matches!(event, Event::TrialSampled { .. });
                self.record(event, changes)?;
                changes
                    .effects
                    .extend(told.map(|(session, message)| Effect::Send(session, message)));
                if was_asked && !go_on() {
                    self.volatile.cut = Some(id);
                    return Ok(false);
                }
            }
            self.volatile.dirty.remove(&id);
        }
        Ok(true)
    }

    /// The sweep to decide on: the one after that at which deciding was broken off, so that none
    /// keeps another waiting.
    fn next_dirty(&self) -> Option<SweepId> {
        let dirty = &self.volatile.dirty;
        dirty.iter().find(|id| Some(**id) > self.volatile.cut).or_else(|| dirty.first()).copied()
    }

    fn next_decision(&mut self, id: SweepId) -> Option<Event> {
        let sweep = self.durable.sweeps.get(&id).filter(|s| !s.paused)?;
        match sweep.phase {
            Phase::Searching => sample(sweep, &mut self.volatile)
                .or_else(|| decide_next(sweep))
                .or_else(|| end_search(sweep)),
            Phase::Scoring => {
                sweep.scoring.as_ref()?.result.as_ref().map(|_| Event::SweepCompleted { sweep: id })
            }
            Phase::Completed | Phase::Cancelled => None,
        }
    }

    /// What the worker of a trial is to hear if `event`, which has not happened yet, stops it.
    fn stop_message(&self, event: &Event) -> Option<(SessionId, ToWorker)> {
        let Event::TrialStopped { sweep, trial, rung } = event else { return None };
        let trial = self
            .durable
            .sweeps
            .get(sweep)?
            .trial(*trial)
            .filter(|t| t.state == TrialState::Running)?;
        let lease = trial.lease.filter(|lease| {
            self.durable.leases.get(lease).is_some_and(|record| record.program_ms.is_none())
        })?;
        let session = self.volatile.workers.get(trial.worker.as_ref()?)?.session?;
        let Rung { epoch, rank, of, .. } = rung;
        Some((
            session,
            ToWorker::Stop {
                lease,
                reason: format!("{rank} of the {of} that came to epoch {epoch}"),
            },
        ))
    }
}

/// A new trial, if a virtual slot is free, the budget allows it and the sampler has one.
fn sample(sweep: &Sweep, volatile: &mut Volatile) -> Option<Event> {
    let search = &sweep.spec.search;
    let number = u32::try_from(sweep.trials.len()).ok()?;
    let free = u32::try_from(sweep.in_flight.len()).is_ok_and(|n| n < search.parallelism);
    if !free || number >= search.trials {
        return None;
    }
    let sampler = volatile.samplers.entry(sweep.id).or_insert_with(|| sampler(sweep));
    Some(sampled(sweep, TrialNumber(number), ask(sweep, sampler.as_mut())?))
}

/// A fresh sampler of the sweep.
pub(crate) fn sampler(sweep: &Sweep) -> Box<dyn Sampler> {
    let earlier = WarmStart { results: sweep.warm_start.clone() };
    build(
        &sweep.spec,
        if earlier.results.is_empty() { &[] } else { std::slice::from_ref(&earlier) },
    )
}

/// What the sampler says of the next trial, if it has one; a function of what is decided and in
/// flight.
pub(crate) fn ask(sweep: &Sweep, sampler: &mut dyn Sampler) -> Option<Suggestion> {
    let trial = u32::try_from(sweep.trials.len()).ok()?;
    let mut unseen: Vec<TrialNumber> = sweep.in_flight.iter().map(|(_, number)| *number).collect();
    unseen.sort_unstable();
    let unseen =
        unseen.into_iter().filter_map(|number| sweep.trial(number)).filter(|t| t.passed == 0);
    let pending: Vec<&Assignment> = unseen.map(|t| &t.assignment).collect();
    match sampler.ask(&Question { trial, log: &sweep.log, pending: &pending }) {
        SamplerReply::Suggest(mut suggestion) => {
            suggestion.reason.seen = u32::try_from(sweep.log.len()).unwrap_or(u32::MAX);
            Some(suggestion)
        }
        SamplerReply::Wait | SamplerReply::Exhausted => None,
    }
}

fn sampled(sweep: &Sweep, trial: TrialNumber, suggestion: Suggestion) -> Event {
    let Suggestion { assignment, reason } = suggestion;
    // A combination that no training allows is found by the worker, which says what is wrong with
    // it; it costs one unit.
    let (epochs, cost) = match train_spec(&sweep.spec.fixed, &assignment) {
        _ if sweep.spec.data.is_external() => {
            (sweep.spec.max_epochs(), u64::from(sweep.spec.max_epochs()))
        }
        Ok(spec) => {
            (spec.epochs, epoch_units(&spec, &sweep.data).saturating_mul(u64::from(spec.epochs)))
        }
        Err(_) => (0, 1),
    };
    let (start, end) = (sweep.clock, sweep.clock.saturating_add(cost));
    Event::TrialSampled { sweep: sweep.id, trial, assignment, reason, epochs, start, end }
}

/// The next decision on a trial in flight, if its result is here.
fn decide_next(sweep: &Sweep) -> Option<Event> {
    let mut in_flight = sweep.in_flight.iter().map(|(_, number)| *number);
    match sweep.spec.search.order {
        Order::Virtual => decide(sweep, in_flight.next()?),
        // Of what came while the sweep was paused, the first in virtual time is taken first.
        Order::AsCompleted => in_flight.find_map(|number| decide(sweep, number)),
    }
}

/// The decision at the trial's next rung, or on its end, if that is here.
fn decide(sweep: &Sweep, number: TrialNumber) -> Option<Event> {
    let trial = sweep.trial(number)?;
    let Some((epoch, loss)) = sweep.next_rung(trial).zip(sweep.rung_loss(trial)) else {
        return trial
            .state
            .is_final()
            .then_some(Event::TrialDecided { sweep: sweep.id, trial: number });
    };
    let came_here =
        |stage| matches!(stage, Stage::Passed(rung) | Stage::Stopped(rung) if rung == trial.passed);
    let before = sweep
        .log
        .iter()
        .filter(|entry| came_here(entry.stage))
        .map(|entry| entry.cost.unwrap_or(f64::INFINITY));
    let rank = rank_at_rung(sweep.spec.stopping, before, loss);
    let rung = Rung { number: trial.passed, epoch, rank: rank.rank, of: rank.reached };
    Some(if rank.continues {
        Event::TrialPassed { sweep: sweep.id, trial: number, rung }
    } else {
        Event::TrialStopped { sweep: sweep.id, trial: number, rung }
    })
}

/// The end of the search, when nothing is in flight and nothing more is to be sampled.
fn end_search(sweep: &Sweep) -> Option<Event> {
    if !sweep.in_flight.is_empty() {
        return None;
    }
    Some(match sweep.best() {
        Some(winner) if sweep.data.test > 0 => {
            Event::ScoringStarted { sweep: sweep.id, trial: winner.number }
        }
        Some(_) | None => Event::SweepCompleted { sweep: sweep.id },
    })
}
