//! Decisions in virtual time: new trials, rungs and ends.
//!
//! A sweep simulates a cluster of `parallelism` slots in which an epoch takes the time of its
//! arithmetic ([`caviar_common::cost`]). A trial starts when a slot is free. Rungs and ends are
//! decided in the order of (virtual time, trial number), each once its result has arrived. So the
//! log that a sampler sees does not depend on which worker was faster. A trial that diverged or
//! failed ends at the time of its next rung. With [`Order::AsCompleted`], rungs and ends are
//! decided as their results arrive.
//!
//! For example, trials 0 and 1 start at time 0 with rungs due at 20 and 30. If trial 1 reports
//! first, its decision waits. When trial 0 reports, both are decided: first trial 0 at time 20,
//! then trial 1 at time 30, whose rank at the rung includes trial 0.

use caviar_common::cost::epoch_units;
use caviar_common::hyper::train_spec;
use caviar_common::ids::{LeaseId, SessionId, SweepId, TrialNumber};
use caviar_common::message::ToWorker;
use caviar_common::spec::Order;
use caviar_search::stopping::rank_at_rung;
use caviar_search::{Stage, Suggestion};

use crate::Coordinator;
use crate::record::Broken;
use crate::record::event::{
    Payload, Rung, ScoringStarted, TrialDecided, TrialPassed, TrialSampled, TrialStopped,
};
use crate::record::sampling::{new_sampler, next_suggestion};
use crate::record::state::{Phase, Sweep, Trial};
use crate::volatile::Volatile;

impl Coordinator {
    /// Takes all possible decisions, or those until `may_continue` returns false, which is called
    /// after each new trial. Returns true if no decision is left.
    pub(crate) fn take_decisions(
        &mut self,
        may_continue: &mut dyn FnMut() -> bool,
    ) -> Result<bool, Broken> {
        while let Some(id) = self.next_undecided_sweep() {
            while let Some(decision) = self.next_decision(id) {
                let is_new_trial = matches!(decision, Payload::TrialSampled(_));
                // The lease ends with the event, so its holder must be found before.
                let stop = self.stop_message(id, &decision);
                self.emit(id, decision)?;
                if let Some((session, message)) = stop {
                    self.changes.send(session, message);
                }
                if is_new_trial && !may_continue() {
                    self.volatile.interrupted_at = Some(id);
                    return Ok(false);
                }
            }
            self.volatile.undecided.remove(&id);
        }
        Ok(true)
    }

    /// The undecided sweep after the one at which the last decisions were interrupted, so that no
    /// sweep delays the others.
    fn next_undecided_sweep(&self) -> Option<SweepId> {
        let Volatile { undecided, interrupted_at, .. } = &self.volatile;
        let after = undecided.iter().find(|id| Some(**id) > *interrupted_at);
        after.or_else(|| undecided.first()).copied()
    }

    fn next_decision(&mut self, id: SweepId) -> Option<Payload> {
        let sweep = self.record.sweep(id).filter(|sweep| !sweep.is_paused())?;
        match sweep.phase() {
            Phase::Searching => sample_trial(sweep, &mut self.volatile)
                .or_else(|| decide_trial_in_flight(sweep))
                .or_else(|| end_search(sweep)),
            Phase::Scoring => {
                sweep.scoring()?.result()?;
                Some(Payload::SweepCompleted)
            }
            Phase::Completed | Phase::Cancelled => None,
        }
    }

    /// The message for the worker of a trial that `decision` stops; `None` if no worker runs it.
    fn stop_message(&self, id: SweepId, decision: &Payload) -> Option<(SessionId, ToWorker)> {
        let Payload::TrialStopped(TrialStopped { trial, rung }) = decision else { return None };
        let lease: LeaseId = self.record.sweep(id)?.trial(*trial)?.running_lease()?;
        let worker = self.record.lease(lease)?.worker()?;
        let session = self.volatile.workers.get(worker)?.session?;
        let Rung { epoch, rank, reached, .. } = rung;
        let reason = format!("rank {rank} of the {reached} trials that reached epoch {epoch}");
        Some((session, ToWorker::Stop { lease, reason }))
    }
}

/// A new trial, if a virtual slot is free, the budget allows it and the sampler suggests one.
fn sample_trial(sweep: &Sweep, volatile: &mut Volatile) -> Option<Payload> {
    let search = &sweep.spec().search;
    let number = u32::try_from(sweep.trials().len()).ok()?;
    let has_slot =
        u32::try_from(sweep.in_flight().len()).is_ok_and(|used| used < search.parallelism);
    if !has_slot || number >= search.trials {
        return None;
    }
    let sampler = volatile.samplers.entry(sweep.id()).or_insert_with(|| new_sampler(sweep));
    let suggestion = next_suggestion(sweep, sampler.as_mut())?;
    Some(sampled_trial(sweep, TrialNumber(number), suggestion).into())
}

fn sampled_trial(sweep: &Sweep, trial: TrialNumber, suggestion: Suggestion) -> TrialSampled {
    let Suggestion { assignment, reason } = suggestion;
    let spec = sweep.spec();
    let (epochs, virtual_time) = match train_spec(&spec.fixed, &assignment) {
        _ if spec.data.is_external() => (spec.max_epochs(), u64::from(spec.max_epochs())),
        Ok(training) => {
            let units = epoch_units(&training, sweep.data());
            (training.epochs, units.saturating_mul(u64::from(training.epochs)))
        }
        // No network can be trained with this combination. The worker finds that out and says why;
        // until then the trial takes one unit of time.
        Err(_) => (0, 1),
    };
    let start = sweep.clock();
    let end = start.saturating_add(virtual_time);
    TrialSampled { trial, assignment, reason, epochs, start, end }
}

/// The next decision on a trial in flight, if its result has arrived.
fn decide_trial_in_flight(sweep: &Sweep) -> Option<Payload> {
    let mut in_flight = sweep.in_flight().iter().filter_map(|(_, number)| sweep.trial(*number));
    match sweep.spec().search.order {
        Order::Virtual => decide_trial(sweep, in_flight.next()?),
        // Several results may have arrived while the sweep was paused. The first of them in virtual
        // time is decided first.
        Order::AsCompleted => in_flight.find_map(|trial| decide_trial(sweep, trial)),
    }
}

/// The decision on a trial at its next rung or its end, if its result has arrived.
fn decide_trial(sweep: &Sweep, trial: &Trial) -> Option<Payload> {
    let number = trial.number();
    let Some((epoch, cost)) = sweep.next_rung(trial).zip(sweep.rung_cost(trial)) else {
        let has_ended = trial.state().is_final();
        return has_ended.then(|| TrialDecided { trial: number }.into());
    };
    let passed = trial.passed_rungs();
    let is_at_rung =
        |stage| matches!(stage, Stage::Passed(rung) | Stage::Stopped(rung) if rung == passed);
    let at_rung = sweep.log().entries().filter(|entry| is_at_rung(entry.stage));
    let earlier_costs = at_rung.map(|entry| entry.cost.unwrap_or(f64::INFINITY));
    let rank = rank_at_rung(sweep.spec().stopping, earlier_costs, cost);
    let rung = Rung { number: passed, epoch, rank: rank.rank, reached: rank.reached };
    Some(if rank.continues {
        TrialPassed { trial: number, rung }.into()
    } else {
        TrialStopped { trial: number, rung }.into()
    })
}

/// The end of the search, once no trial is in flight and no more trials are sampled.
fn end_search(sweep: &Sweep) -> Option<Payload> {
    if !sweep.in_flight().is_empty() {
        return None;
    }
    Some(match sweep.best() {
        Some(winner) if sweep.data().test > 0 => ScoringStarted { trial: winner.number() }.into(),
        Some(_) | None => Payload::SweepCompleted,
    })
}
