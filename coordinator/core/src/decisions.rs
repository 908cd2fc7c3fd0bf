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

use std::ops::Bound;

use caviar_common::cost::epoch_units;
use caviar_common::hyper::train_spec;
use caviar_common::ids::{LeaseId, SessionId, SweepId, TrialNumber};
use caviar_common::message::ToWorker;
use caviar_common::numbers::{index, to_u32};
use caviar_common::reason::Source;
use caviar_common::spec::Order;
use caviar_search::{SamplerReply, Suggestion};

use crate::Coordinator;
use crate::record::Broken;
use crate::record::event::{
    Cost, Payload, Rung, ScoringStarted, TrialDecided, TrialPassed, TrialSampled, TrialStopped,
    store_suggestion,
};
use crate::record::sampling::{Sampled, new_sampler, next_question, repeat_winner};
use crate::record::state::{Phase, Scoring, Sweep, Trial};
use crate::volatile::{Asked, Place, Sampling, Volatile};

impl Coordinator {
    /// Takes all possible decisions, or those until `may_continue` returns false, which is called
    /// after each one. Returns true if no decision is left. A sweep whose sampler thinks about the
    /// next trial decides nothing until it has replied, so that the reply does not depend on how
    /// long it takes.
    pub(crate) fn take_decisions(
        &mut self,
        may_continue: &mut dyn FnMut() -> bool,
    ) -> Result<bool, Broken> {
        while let Some(id) = self.next_undecided_sweep() {
            while let Some(decision) = self.next_decision(id) {
                // The lease ends with the event, so its holder must be found before.
                let stop = self.stop_message(id, &decision);
                self.emit(id, decision)?;
                if let Some((session, message)) = stop {
                    self.changes.send(session, message);
                }
                if !may_continue() {
                    self.volatile.interrupted_at = Some(id);
                    return Ok(false);
                }
            }
            self.answer_clients(id)?;
            self.volatile.undecided.remove(&id);
        }
        Ok(true)
    }

    /// The undecided sweep after the one at which the last decisions were interrupted, so that no
    /// sweep delays the others.
    fn next_undecided_sweep(&self) -> Option<SweepId> {
        let Volatile { undecided, interrupted_at, .. } = &self.volatile;
        let after = interrupted_at.map(|id| (Bound::Excluded(id), Bound::Unbounded));
        let after = after.and_then(|after| undecided.range(after).next());
        after.or_else(|| undecided.first()).copied()
    }

    fn next_decision(&mut self, id: SweepId) -> Option<Payload> {
        let may_decide = !self.volatile.quarantined.contains_key(&id);
        let sweep = self.record.sweep(id).filter(|sweep| may_decide && !sweep.is_paused())?;
        match sweep.phase() {
            Phase::Searching => match self.next_sample(id)? {
                Sample::Trial(sampled) => Some(Payload::TrialSampled(*sampled)),
                Sample::Asked => None,
                Sample::None => {
                    let sweep = self.record.sweep(id)?;
                    decide_trial_in_flight(sweep).or_else(|| end_search(sweep))
                }
            },
            Phase::Scoring => {
                sweep.scoring()?.result()?;
                Some(Payload::SweepCompleted)
            }
            Phase::Completed | Phase::Cancelled => None,
        }
    }

    /// A new trial, if a virtual slot is free, the budget allows it and the sampler suggests one.
    fn next_sample(&mut self, id: SweepId) -> Option<Sample> {
        let sweep = self.record.sweep(id)?;
        if !has_room(sweep) {
            return Some(Sample::None);
        }
        let entries = sweep.history().len();
        let new = || Sampling::new(new_sampler(sweep));
        let sampling = self.volatile.samplers.entry(id).or_insert_with(new);
        if sampling.is_exhausted || sampling.waits_at == Some(entries) {
            return Some(Sample::None);
        }
        let question = next_question(sweep);
        let reply = match sampling.reply.take().filter(|(seen, _)| *seen == entries) {
            Some((_, reply)) => reply,
            None => match sampling.ask(id, &question) {
                Asked::Reply(reply) => reply,
                Asked::Away(job) => {
                    self.changes.jobs.extend(job);
                    return Some(Sample::Asked);
                }
            },
        };
        Some(match reply {
            SamplerReply::Suggest(suggestion) => {
                let trial = TrialNumber(question.trial);
                Sample::Trial(Box::new(sampled_trial(sweep, trial, suggestion)))
            }
            SamplerReply::Wait => {
                sampling.waits_at = Some(entries);
                Sample::None
            }
            SamplerReply::Exhausted => {
                sampling.is_exhausted = true;
                Sample::None
            }
        })
    }

    /// Takes the reply of a sampler that another thread has asked.
    pub(crate) fn take_sampled(&mut self, sampled: Sampled) {
        let Sampled { sweep, trial, seen, sampler, reply } = sampled;
        let next = self.record.sweep(sweep).map(|it| next_question(it).trial);
        if let Some(sampling) = self.volatile.samplers.get_mut(&sweep)
            && sampling.is_away()
        {
            if sampling.is_outdated {
                self.volatile.samplers.remove(&sweep);
                self.volatile.undecided.insert(sweep);
                return;
            }
            sampling.place = Place::Here(sampler);
            sampling.reply = (next == Some(trial.0)).then_some((seen, reply));
            self.volatile.undecided.insert(sweep);
        }
    }

    /// The message for the worker of a trial that `decision` stops; `None` if no worker runs it.
    fn stop_message(&self, id: SweepId, decision: &Payload) -> Option<(SessionId, ToWorker)> {
        let Payload::TrialStopped(TrialStopped { trial, rung, .. }) = decision else { return None };
        let lease: LeaseId = self.record.sweep(id)?.trial(*trial)?.running_lease()?;
        let worker = self.record.lease(lease)?.worker()?;
        let session = self.volatile.workers.get(worker)?.session?;
        let Rung { epoch, rank, reached, .. } = rung;
        let reason = format!("rank {rank} of the {reached} trials that reached epoch {epoch}");
        Some((session, ToWorker::Stop { lease, reason }))
    }
}

/// What became of the wish for a new trial.
enum Sample {
    /// The next trial.
    Trial(Box<TrialSampled>),
    /// Another thread asks the sampler.
    Asked,
    /// No trial can be sampled now.
    None,
}

/// True if a virtual slot is free and the budget allows another trial.
fn has_room(sweep: &Sweep) -> bool {
    to_u32(sweep.in_flight().len()) < sweep.parallelism() && sweep.sampled() < sweep.budget()
}

fn sampled_trial(sweep: &Sweep, trial: TrialNumber, mut suggestion: Suggestion) -> TrialSampled {
    let spec = sweep.spec();
    repeat_winner(sweep, &mut suggestion);
    let (epochs, virtual_time) = match train_spec(&spec.fixed, &suggestion.assignment) {
        _ if spec.data.is_external() => (spec.max_epochs(), u64::from(spec.max_epochs())),
        Ok(training) => {
            let units = epoch_units(&training, sweep.data(), spec.objective.repeats);
            (training.epochs, units.saturating_mul(u64::from(training.epochs)))
        }
        // No network can be trained with this combination. The worker finds that out and says why;
        // until then the trial takes one unit of time.
        Err(_) => (0, 1),
    };
    let start = sweep.clock();
    let end = start.saturating_add(virtual_time);
    // Every epoch takes the same virtual time.
    let first = sweep.rungs().first().filter(|rung| **rung < epochs);
    let due = first.map_or(end, |rung| {
        start.saturating_add((virtual_time / u64::from(epochs)).saturating_mul(u64::from(*rung)))
    });
    let (assignment, reason, sides) = store_suggestion(&spec.space, suggestion);
    TrialSampled { trial, assignment, reason, sides, epochs, start, end, due: Some(due) }
}

/// The next decision on a trial in flight, if its result has arrived.
fn decide_trial_in_flight(sweep: &Sweep) -> Option<Payload> {
    let first = match sweep.spec().search.order {
        Order::Virtual => sweep.in_flight().first(),
        // Several results may have arrived while the sweep was paused. The first of them in virtual
        // time is decided first.
        Order::AsCompleted => sweep.decidable().first(),
    };
    decide_trial(sweep, sweep.trial(first?.1)?)
}

/// The decision on a trial at its next rung or its end, if its result has arrived.
fn decide_trial(sweep: &Sweep, trial: &Trial) -> Option<Payload> {
    let number = trial.number();
    let Some((epoch, cost)) = sweep.next_rung(trial).zip(sweep.rung_cost(trial)) else {
        return trial.state().is_final().then(|| end_of(sweep, trial).into());
    };
    let passed = trial.passed_rungs();
    let rank = sweep.rank_at(passed, cost);
    let (rung, cost) = (Rung::new(passed, epoch, rank), Some(Cost(cost)));
    // The winner of an earlier sweep is trained to its end, so that its result is known again.
    let is_earlier_winner = trial.reason().source == Source::WarmStart;
    Some(if rank.continues() || is_earlier_winner {
        let due = Some(sweep.due_after_rungs(trial, passed + 1));
        TrialPassed { trial: number, rung, cost, due }.into()
    } else {
        TrialStopped { trial: number, rung, cost }.into()
    })
}

/// The decision on a trial that has ended. Of a trial that the coordinator gave up, only the epochs
/// up to the last rung count: how far its lost workers got depends on their speed, and results must
/// not.
fn end_of(sweep: &Sweep, trial: &Trial) -> TrialDecided {
    let last_rung = trial.passed_rungs().checked_sub(1).and_then(|it| sweep.rungs().get(index(it)));
    let epochs =
        if trial.is_given_up() { last_rung.copied().unwrap_or(0) } else { trial.recorded_epochs() };
    let cost = Some(Cost::new(sweep.cost(trial)));
    TrialDecided { trial: trial.number(), cost, epochs: Some(epochs) }
}

/// The end of the search, once no trial is in flight and no more trials are sampled.
fn end_search(sweep: &Sweep) -> Option<Payload> {
    if !sweep.in_flight().is_empty() {
        return None;
    }
    let winner = sweep.best().filter(|_| sweep.data().test > 0).map(Trial::number);
    // A sweep that was extended may have the same winner as before.
    let is_scored = |winner: &TrialNumber| {
        let scoring = sweep.scoring().filter(|scoring| scoring.trial() == *winner);
        scoring.and_then(Scoring::result).is_some_and(|result| result.score().is_some())
    };
    Some(match winner.filter(|winner| !is_scored(winner)) {
        Some(trial) => ScoringStarted { trial }.into(),
        None => Payload::SweepCompleted,
    })
}
