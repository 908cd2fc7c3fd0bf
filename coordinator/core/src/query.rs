//! The views that clients see. They are made from the state on demand.

use std::cmp::Ordering;

use caviar_common::ids::{AttemptNumber, Name, SweepId, TrialNumber};
use caviar_common::outcome::TrialState;
use caviar_common::spec::Order;
use caviar_common::view::{
    BoxView, NO_WORKER, RoundView, StoppedView, SweepView, TestView, TrialTimes, TrialView,
    WorkerView,
};

use crate::Coordinator;
use crate::record::state::{FinalAttempt, Sweep, Trial};

/// The order of a list of trials.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrialOrder {
    /// By trial number, ascending.
    #[default]
    Number,
    /// Best first; trials without a value last.
    Objective,
}

/// Which trials to list.
#[derive(Clone, Debug, Default)]
pub struct TrialFilter {
    /// Only trials in these states; empty for all states.
    pub states: Vec<TrialState>,
    /// The order of the list.
    pub order: TrialOrder,
    /// Only the trials after this one, in `order`; `None` begins with the first.
    pub after: Option<TrialNumber>,
    /// At most this many trials.
    pub limit: usize,
    /// True if each view includes the trial's curve.
    pub with_curves: bool,
}

impl Coordinator {
    /// The number of the sweep with that name or number.
    pub fn find(&self, name_or_id: &str) -> Option<SweepId> {
        let by_name = Name::parse("name", name_or_id).ok();
        let by_name = by_name.and_then(|name| self.record.sweep_named(&name)).map(Sweep::id);
        by_name.or_else(|| {
            name_or_id.parse().ok().map(SweepId).filter(|id| self.record.sweep(*id).is_some())
        })
    }

    /// The view of a sweep; `None` if it does not exist.
    pub fn sweep(&self, id: SweepId) -> Option<SweepView> {
        let sweep = self.record.sweep(id)?;
        Some(SweepView {
            id,
            name: sweep.spec().name.clone(),
            state: sweep.state(),
            spec: sweep.spec().clone(),
            data: sweep.data().clone(),
            counts: sweep.statistics().counts(),
            rounds: rounds(sweep),
            boxes: boxes(sweep),
            best: sweep.best().map(|t| self.trial_view(sweep, t, false)),
            test: test(sweep),
            waits_for: waits_for(sweep),
            notes: self.notes(sweep),
        })
    }

    /// The view of a trial; `None` if it does not exist.
    pub fn trial(&self, id: SweepId, number: TrialNumber, with_curve: bool) -> Option<TrialView> {
        let sweep = self.record.sweep(id)?;
        Some(self.trial_view(sweep, sweep.trial(number)?, with_curve))
    }

    /// The views of the trials that `filter` selects; `None` if the sweep does not exist.
    pub fn trials(&self, id: SweepId, filter: &TrialFilter) -> Option<Vec<TrialView>> {
        let sweep = self.record.sweep(id)?;
        let wanted = |t: &&Trial| filter.states.is_empty() || filter.states.contains(&t.state());
        let cost = |t: &Trial| sweep.cost(t).unwrap_or(f64::INFINITY);
        let compare = |a: &Trial, b: &Trial| {
            let by_cost = if filter.order == TrialOrder::Objective {
                cost(a).total_cmp(&cost(b))
            } else {
                Ordering::Equal
            };
            by_cost.then(a.number().cmp(&b.number()))
        };
        // The trial itself may have left the wanted states; its place in the order stays.
        let after = filter.after.and_then(|number| sweep.trial(number));
        let is_later =
            |t: &&Trial| after.is_none_or(|after| compare(t, after) == Ordering::Greater);
        let mut trials: Vec<&Trial> =
            sweep.trials().iter().filter(wanted).filter(is_later).collect();
        trials.sort_by(|a, b| compare(a, b));
        let page = trials.into_iter().take(filter.limit);
        Some(page.map(|t| self.trial_view(sweep, t, filter.with_curves)).collect())
    }

    /// The views of the workers that are connected or hold leases.
    pub fn workers(&self) -> Vec<WorkerView> {
        let view = |(name, worker): (&Name, &crate::volatile::Worker)| WorkerView {
            worker: name.clone(),
            slots: worker.slots,
            connected: worker.session.is_some(),
            draining: worker.is_draining,
            trials: self.trials_of_worker(name),
            silent_ms: self.volatile.now.saturating_sub(worker.last_heard),
        };
        self.volatile.workers.iter().map(view).collect()
    }

    fn trials_of_worker(&self, worker: &Name) -> Vec<(Name, TrialNumber)> {
        let leases = self.record.held_leases(worker).filter_map(|lease| self.record.lease(lease));
        leases
            .filter_map(|lease| {
                let sweep = self.record.sweep(lease.sweep())?;
                Some((sweep.spec().name.clone(), lease.trial()))
            })
            .collect()
    }

    fn trial_view(&self, sweep: &Sweep, trial: &Trial, with_curve: bool) -> TrialView {
        let parked =
            trial.running_lease().is_some_and(|lease| self.volatile.parked.contains(&lease));
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
            .filter(|(_, (of, _), _)| *of == sweep.id())
            .map(|(name, (_, trial), why)| match trial {
                None => format!("worker {name} cannot train this sweep: {}", why.message),
                Some(trial) => format!("worker {name} cannot train trial {trial}: {}", why.message),
            })
            .collect();
        if !sweep.spec().data.is_external() && !workers.values().any(|w| w.session.is_some()) {
            notes.push(NO_WORKER.to_owned());
        }
        notes
    }
}

fn view(sweep: &Sweep, trial: &Trial, with_curve: bool) -> TrialView {
    let attempt = trial.final_attempt();
    TrialView {
        trial: trial.number(),
        state: trial.state(),
        assignment: trial.assignment().clone(),
        reason: trial.reason().clone(),
        attempts: AttemptNumber(trial.attempts()),
        worker: trial.worker().cloned(),
        epochs: trial.epochs(),
        objective: sweep.objective(trial),
        last: trial.curve().last().cloned(),
        curve: if with_curve { trial.curve().to_vec() } else { Vec::new() },
        seconds: trial.seconds().filter(|_| trial.state().is_final()),
        memory_bytes: attempt.and_then(FinalAttempt::memory_bytes),
        message: trial.message().cloned(),
        stopped: trial.stopped_at().map(|rung| StoppedView {
            epoch: rung.epoch,
            rank: rung.rank,
            of: rung.reached,
        }),
        parked: false,
        times: TrialTimes::default(),
    }
}

fn rounds(sweep: &Sweep) -> Vec<RoundView> {
    let sizes = &sweep.spec().search.rounds;
    let rounds = sizes.iter().zip(sweep.statistics().rounds()).zip(1..);
    rounds
        .map(|((trials, statistics), round)| RoundView {
            round,
            trials: *trials,
            finished: statistics.finished(),
            search_box: statistics.search_box().cloned(),
            best: statistics.best(),
        })
        .collect()
}

fn boxes(sweep: &Sweep) -> Vec<BoxView> {
    let shown = sweep.statistics().boxes().shown().into_iter();
    shown.map(|(trial, search_box)| BoxView { trial, search_box }).collect()
}

fn test(sweep: &Sweep) -> Option<TestView> {
    let scoring = sweep.scoring()?;
    let result = scoring.result()?;
    Some(TestView {
        trial: scoring.trial(),
        score: result.score(),
        reproduced: result.is_reproduced(),
        message: result.message().cloned(),
    })
}

/// The trial of the next decision in virtual time, if its result is missing and other trials in
/// flight have ended, so that virtual slots are idle.
fn waits_for(sweep: &Sweep) -> Option<TrialNumber> {
    if sweep.spec().search.order == Order::AsCompleted {
        return None;
    }
    let (_, number) = sweep.in_flight().first()?;
    let first = sweep.trial(*number).filter(|trial| !sweep.is_decidable(trial))?;
    (sweep.statistics().ended_in_flight() > 0).then_some(first.number())
}
