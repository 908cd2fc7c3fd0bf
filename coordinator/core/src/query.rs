//! What people and programs see: views made of the state, on demand.

use std::cmp::Ordering;

use caviar_common::ids::{AttemptNumber, Name, SweepId, TrialNumber};
use caviar_common::outcome::TrialState;
use caviar_common::spec::Order;
use caviar_common::view::{
    BoxView, Counts, MAX_BOXES, NO_WORKER, RoundView, StoppedView, SweepView, TestView, TrialView,
    WorkerView,
};

use crate::Coordinator;
use crate::state::{Sweep, Trial};

/// The order of a listing of trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrialOrder {
    /// By number.
    #[default]
    Number,
    /// Best first; trials without a value last.
    Objective,
}

/// Which trials to list.
#[derive(Clone, Debug, Default)]
pub struct TrialFilter {
    /// Only these states; empty for all.
    pub states: Vec<TrialState>,
    /// In this order.
    pub order: TrialOrder,
    /// Only those after this one, in this order.
    pub after: Option<TrialNumber>,
    /// So many.
    pub limit: usize,
    /// Whether each brings its curve.
    pub with_curves: bool,
}

impl Coordinator {
    /// The sweep of that name, or of that number.
    pub fn find(&self, name_or_id: &str) -> Option<SweepId> {
        let by_name =
            self.durable.sweeps.values().find(|s| s.spec.name.as_str() == name_or_id).map(|s| s.id);
        by_name.or_else(|| {
            name_or_id.parse().ok().map(SweepId).filter(|id| self.durable.sweeps.contains_key(id))
        })
    }

    /// A sweep.
    pub fn sweep(&self, id: SweepId) -> Option<SweepView> {
        let sweep = self.durable.sweeps.get(&id)?;
        let mut counts = Counts::default();
        for trial in &sweep.trials {
            *counts.counter_mut(trial.state) += 1;
        }
        Some(SweepView {
            id,
            name: sweep.spec.name.clone(),
            state: sweep.state(),
            spec: sweep.spec.clone(),
            data: sweep.data.clone(),
            counts,
            rounds: rounds(sweep),
            boxes: boxes(sweep),
            best: sweep.best().map(|t| self.trial_view(sweep, t, false)),
            test: test(sweep),
            waits_for: waits_for(sweep),
            notes: self.notes(sweep),
        })
    }

    /// A trial.
    pub fn trial(&self, id: SweepId, number: TrialNumber, with_curve: bool) -> Option<TrialView> {
        let sweep = self.durable.sweeps.get(&id)?;
        Some(self.trial_view(sweep, sweep.trial(number)?, with_curve))
    }

    /// Some trials of a sweep.
    pub fn trials(&self, id: SweepId, filter: &TrialFilter) -> Option<Vec<TrialView>> {
        let sweep = self.durable.sweeps.get(&id)?;
        let wanted = |t: &&Trial| filter.states.is_empty() || filter.states.contains(&t.state);
        let loss = |t: &Trial| sweep.loss(t).unwrap_or(f64::INFINITY);
        let compare = |a: &Trial, b: &Trial| {
            let by_loss = if filter.order == TrialOrder::Objective {
                loss(a).total_cmp(&loss(b))
            } else {
                Ordering::Equal
            };
            by_loss.then(a.number.cmp(&b.number))
        };
        // The trial itself may not be wanted any more; its place in the order stays.
        let after = filter.after.and_then(|number| sweep.trial(number));
        let is_later =
            |t: &&Trial| after.is_none_or(|after| compare(t, after) == Ordering::Greater);
        let mut trials: Vec<&Trial> = sweep.trials.iter().filter(wanted).filter(is_later).collect();
        trials.sort_by(|a, b| compare(a, b));
        let page = trials.into_iter().take(filter.limit);
        Some(page.map(|t| self.trial_view(sweep, t, filter.with_curves)).collect())
    }

    /// The workers that are connected or hold leases.
    pub fn workers(&self) -> Vec<WorkerView> {
        let view = |(name, worker): (&Name, &crate::volatile::Worker)| WorkerView {
            worker: name.clone(),
            slots: worker.slots,
            connected: worker.session.is_some(),
            draining: worker.draining,
            trials: self.held_trials(name),
            silent_ms: self.volatile.now.saturating_sub(worker.last_heard),
        };
        self.volatile.workers.iter().map(view).collect()
    }

    fn held_trials(&self, worker: &Name) -> Vec<(Name, TrialNumber)> {
        let leases = self
            .durable
            .held
            .get(worker)
            .into_iter()
            .flatten()
            .filter_map(|lease| self.durable.leases.get(lease));
        leases
            .filter_map(|l| Some((self.durable.sweeps.get(&l.sweep)?.spec.name.clone(), l.trial)))
            .collect()
    }

    fn trial_view(&self, sweep: &Sweep, trial: &Trial, with_curve: bool) -> TrialView {
        let parked = trial.lease.is_some_and(|lease| self.volatile.parked.contains(&lease));
        TrialView { parked, ..view(sweep, trial, with_curve) }
    }

    fn notes(&self, sweep: &Sweep) -> Vec<String> {
        if sweep.state().is_final() {
            return Vec::new();
        }
        let workers = &self.volatile.workers;
        let mut notes: Vec<String> = workers
            .iter()
            .flat_map(|(name, worker)| {
                worker.unable.iter().map(move |(what, why)| (name, what, why))
            })
            .filter(|(_, (of, _), _)| *of == sweep.id)
            .map(|(name, (_, trial), why)| match trial {
                None => format!("worker {name} cannot train this sweep: {}", why.message),
                Some(trial) => format!("worker {name} cannot train trial {trial}: {}", why.message),
            })
            .collect();
        if !sweep.spec.data.is_external() && !workers.values().any(|w| w.session.is_some()) {
            notes.push(NO_WORKER.to_owned());
        }
        notes
    }
}

fn view(sweep: &Sweep, trial: &Trial, with_curve: bool) -> TrialView {
    TrialView {
        trial: trial.number,
        state: trial.state,
        assignment: trial.assignment.clone(),
        reason: trial.reason.clone(),
        attempts: AttemptNumber(trial.attempts),
        worker: trial.worker.clone(),
        epochs: trial.epochs,
        objective: sweep.objective(trial),
        last: trial.curve.last().cloned(),
        curve: if with_curve { trial.curve.clone() } else { Vec::new() },
        seconds: trial.seconds,
        memory_bytes: trial.memory_bytes,
        message: trial.message.clone(),
        stopped: trial.stopped.map(|rung| StoppedView {
            epoch: rung.epoch,
            rank: rung.rank,
            of: rung.of,
        }),
        parked: false,
    }
}

fn rounds(sweep: &Sweep) -> Vec<RoundView> {
    let number = |i: usize| u32::try_from(i + 1).unwrap_or(u32::MAX);
    let sizes = sweep.spec.search.rounds.iter().enumerate();
    sizes.map(|(i, size)| round(sweep, number(i), *size)).collect()
}

/// Some of the boxes, from the first to the latest.
fn boxes(sweep: &Sweep) -> Vec<BoxView> {
    let in_box = |t: &Trial| {
        t.reason.search_box.clone().map(|search_box| BoxView { trial: t.number, search_box })
    };
    let mut places: Vec<usize> = Vec::new();
    let with_box: Vec<&Trial> = sweep
        .trials
        .iter()
        .filter(|t| t.reason.round.is_none() && t.reason.search_box.is_some())
        .collect();
    if let Some(last) = with_box.len().checked_sub(1) {
        places.extend((0..MAX_BOXES).map(|i| i * last / (MAX_BOXES - 1)));
        places.dedup();
    }
    places.into_iter().filter_map(|place| with_box.get(place).and_then(|t| in_box(t))).collect()
}

fn round(sweep: &Sweep, round: u32, trials: u32) -> RoundView {
    let of_round = || sweep.trials.iter().filter(|t| t.reason.round == Some(round));
    let best = of_round()
        .filter_map(|t| Some((sweep.loss(t)?, sweep.objective(t)?)))
        .min_by(|a, b| a.0.total_cmp(&b.0));
    RoundView {
        round,
        trials,
        done: u32::try_from(
            of_round().filter(|t| t.state.is_final() && t.state != TrialState::Cancelled).count(),
        )
        .unwrap_or(u32::MAX),
        search_box: of_round().next().and_then(|t| t.reason.search_box.clone()),
        best: best.map(|(_, objective)| objective),
    }
}

fn test(sweep: &Sweep) -> Option<TestView> {
    let scoring = sweep.scoring.as_ref()?;
    let result = scoring.result.as_ref()?;
    Some(TestView {
        trial: scoring.trial,
        score: result.score,
        reproduced: result.reproduced,
        message: result.message.clone(),
    })
}

/// The trial on which the next decision in virtual time is taken, if its result is not here and
/// others, whose slots are idle, are done.
fn waits_for(sweep: &Sweep) -> Option<TrialNumber> {
    if sweep.spec.search.order == Order::AsCompleted {
        return None;
    }
    let trials = || sweep.in_flight.iter().filter_map(|(_, number)| sweep.trial(*number));
    let first = trials().next().filter(|t| !sweep.is_ready(t))?;
    trials().any(|t| t.state.is_final()).then_some(first.number)
}
