//! Virtual time: which decisions can be taken now.
//!
//! The sweep has a virtual cluster of `parallelism` slots. A trial starts when a slot is free, and ends when its arithmetic is done
//! ([`caviar_common::cost`]). Ends are decided in the order of (virtual time, trial number), each when the result has
//! arrived, so the log that a sampler sees does not depend on which worker was faster.

use caviar_common::assignment::Assignment;
use caviar_common::cost::epoch_units;
use caviar_common::hyper::train_spec;
use caviar_common::ids::{SweepId, TrialNumber};
use caviar_search::{Ask, Question, Suggestion, build};

use crate::event::Event;
use crate::state::{Phase, Sweep};
use crate::volatile::Volatile;
use crate::{Broken, Coordinator, Work};

impl Coordinator {
    /// Takes every decision that can be taken.
    pub(crate) fn advance(&mut self, work: &mut Work) -> Result<(), Broken> {
        while let Some(id) = self.volatile.dirty.first().copied() {
            while let Some(event) = self.next_decision(id) {
                self.record(event, work)?;
            }
            self.volatile.dirty.remove(&id);
        }
        Ok(())
    }

    fn next_decision(&mut self, id: SweepId) -> Option<Event> {
        let sweep = self.durable.sweeps.get(&id).filter(|s| !s.paused)?;
        match sweep.phase {
            Phase::Searching => sample(sweep, &mut self.volatile).or_else(|| decide_first(sweep)).or_else(|| end_search(sweep)),
            Phase::Scoring => sweep.scoring.as_ref()?.result.as_ref().map(|_| Event::SweepCompleted { sweep: id }),
            Phase::Completed | Phase::Cancelled => None,
        }
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
    let sampler = volatile.samplers.entry(sweep.id).or_insert_with(|| build(&sweep.spec, &[]));
    // What has not ended yet has no entry in the log.
    let numbers = sweep.trials.iter().filter(|t| sweep.in_flight.contains(&(t.end, t.number)));
    let pending: Vec<&Assignment> = numbers.map(|t| &t.assignment).collect();
    match sampler.ask(&Question { trial: number, log: &sweep.log, pending: &pending }) {
        Ask::Suggest(suggestion) => Some(sampled(sweep, TrialNumber(number), suggestion)),
        Ask::Wait | Ask::Exhausted => None,
    }
}

fn sampled(sweep: &Sweep, trial: TrialNumber, suggestion: Suggestion) -> Event {
    let Suggestion { assignment, reason } = suggestion;
    // A combination that no training allows is found by the worker, which says what is wrong with it; it costs one unit.
    let (epochs, cost) = match train_spec(&sweep.spec.fixed, &assignment) {
        Ok(spec) => (spec.epochs, epoch_units(&spec, &sweep.data).saturating_mul(u64::from(spec.epochs))),
        Err(_) => (0, 1),
    };
    let (start, end) = (sweep.clock, sweep.clock.saturating_add(cost));
    Event::TrialSampled { sweep: sweep.id, trial, assignment, reason, epochs, start, end }
}

/// The end of the trial that ends first in virtual time, if its result is here.
fn decide_first(sweep: &Sweep) -> Option<Event> {
    let (_, trial) = sweep.in_flight.first()?;
    let done = sweep.trial(*trial).is_some_and(|t| t.state.is_final());
    done.then_some(Event::TrialDecided { sweep: sweep.id, trial: *trial })
}

/// The end of the search, when nothing is in flight and nothing more is to be sampled.
fn end_search(sweep: &Sweep) -> Option<Event> {
    if !sweep.in_flight.is_empty() {
        return None;
    }
    Some(match sweep.best() {
        Some(winner) if sweep.data.test > 0 => Event::ScoringStarted { sweep: sweep.id, trial: winner.number },
        Some(_) | None => Event::SweepCompleted { sweep: sweep.id },
    })
}
