//! The views that clients see. They are made from the state on demand.

use std::ops::Bound;
use std::sync::Arc;

use caviar_common::blob::Blob;
use caviar_common::ids::{AttemptNumber, LeaseId, Name, SweepId, TrialNumber};
use caviar_common::spec::Order;
use caviar_common::view::{
    BoxView, ExtensionView, ModelView, NO_WORKER, ResizeView, RoundView, StoppedView, SweepView,
    TestView, TrialTimes, TrialView, WorkerView,
};

use crate::Coordinator;
use crate::idle::IdleReason;
use crate::input::QUARANTINE_HINT;
use crate::record::event::{SweepExtended, SweepResized};
use crate::record::state::{FinalAttempt, KeptModel, Sweep, Trial};
pub use crate::tables::{TrialFilter, TrialOrder};
use crate::volatile::{RefusedJob, Refuser, Worker};

/// Most notes about what workers cannot train in one view.
const MAX_NOTES: usize = 16;

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
            spec: Arc::clone(sweep.spec()),
            data: sweep.data().clone(),
            counts: sweep.statistics().counts(),
            rounds: rounds(sweep),
            boxes: boxes(sweep),
            best: sweep.best().map(|trial| self.trial_view(sweep, trial)),
            test: test(sweep),
            waits_for: waits_for(sweep),
            notes: self.notes(sweep),
            parallelism: sweep.parallelism(),
            auto_slots: sweep.auto_slots(),
            resizes: sweep.resizes().iter().map(resize_view).collect(),
            budget: sweep.budget(),
            extensions: sweep.extensions().iter().map(extension_view).collect(),
            idle: self.idle_view(sweep),
            retrained_epochs: sweep.statistics().retrained_epochs(),
            models: sweep.models().kept().iter().map(model_view).collect(),
        })
    }

    /// The view of a trial that is in flight, or of the best trial, without its curve. The tables
    /// of the store have all trials.
    pub fn trial_in_flight(&self, id: SweepId, number: TrialNumber) -> Option<TrialView> {
        let sweep = self.record.sweep(id)?;
        Some(self.trial_view(sweep, sweep.trial(number)?))
    }

    /// True if the trial of this lease is parked.
    pub fn is_parked(&self, lease: LeaseId) -> bool {
        self.volatile.parked.contains(&lease)
    }

    /// The models of completed trials that are still in flight in virtual time. Those of the others
    /// are in the view of their sweep, as far as they are kept.
    pub fn models_in_flight(&self) -> impl Iterator<Item = (SweepId, TrialNumber, Blob)> {
        let sweeps = self.record.sweeps().values();
        let trials = sweeps.flat_map(|sweep| sweep.trials_in_flight().map(|it| (sweep.id(), it)));
        trials.filter_map(|(sweep, trial)| Some((sweep, trial.number(), trial.model()?.blob)))
    }

    /// The checkpoints that are needed: the newest one of each trial in flight. A file of an older
    /// one can be removed.
    pub fn checkpoints(&self) -> impl Iterator<Item = (SweepId, TrialNumber, Blob)> {
        let sweeps = self.record.sweeps().values();
        let trials = sweeps.flat_map(|sweep| {
            let trials = sweep.in_flight().iter();
            trials.filter_map(|(_, number)| Some((sweep.id(), sweep.trial(*number)?)))
        });
        trials.filter_map(|(sweep, trial)| Some((sweep, trial.number(), trial.checkpoint()?.blob)))
    }

    /// The views of the workers that are connected or hold leases.
    pub fn workers(&self) -> Vec<WorkerView> {
        self.workers_after(None, usize::MAX)
    }

    /// The views of the first `limit` workers whose names are after `after`.
    pub fn workers_after(&self, after: Option<&Name>, limit: usize) -> Vec<WorkerView> {
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let workers = self.volatile.workers.range::<Name, _>((after, Bound::Unbounded));
        let reasons = self.idle_reasons();
        workers.take(limit).map(|(name, it)| self.worker_view(name, it, &reasons)).collect()
    }

    /// The view of a worker; `None` if it is neither connected nor holds leases.
    pub fn worker(&self, name: &Name) -> Option<WorkerView> {
        Some(self.worker_view(name, self.volatile.workers.get(name)?, &self.idle_reasons()))
    }

    fn worker_view(&self, name: &Name, worker: &Worker, reasons: &[IdleReason]) -> WorkerView {
        let idle = self.idle_slots_of(name, worker);
        WorkerView {
            idle,
            idle_because: (idle > 0).then(|| self.idle_because(name, worker, reasons)),
            worker: name.clone(),
            slots: worker.slots,
            connected: worker.session.is_some(),
            draining: worker.is_draining,
            trials: self.trials_of_worker(name),
            silent_ms: self.volatile.clock.now().saturating_sub(worker.last_heard),
        }
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

    fn trial_view(&self, sweep: &Sweep, trial: &Trial) -> TrialView {
        let parked =
            trial.running_lease().is_some_and(|lease| self.volatile.parked.contains(&lease));
        TrialView { parked, ..view(sweep, trial) }
    }

    fn notes(&self, sweep: &Sweep) -> Vec<String> {
        if let Some(reason) = self.quarantined(sweep.id()) {
            return vec![format!("this sweep is damaged and stopped: {reason}; {QUARANTINE_HINT}")];
        }
        if sweep.state().is_final() {
            return Vec::new();
        }
        let mut notes = self.refusals(sweep);
        if !sweep.spec().data.is_external() && self.volatile.sessions.is_empty() {
            notes.push(NO_WORKER.to_owned());
        }
        notes
    }

    /// Notes about what workers cannot train, at most [`MAX_NOTES`] of them and how many more there
    /// are. The next one says so if no worker can train a trial that waits, and the last one says
    /// when they are asked again.
    fn refusals(&self, sweep: &Sweep) -> Vec<String> {
        let name = &sweep.spec().name;
        let note = |((worker, trial), refusal): (&Refuser, &RefusedJob)| {
            let what = trial.map_or("this sweep".to_owned(), |trial| format!("trial {trial}"));
            format!("worker {worker} cannot train {what}: {}", refusal.message)
        };
        let unable = &self.volatile.unable;
        let mut notes: Vec<String> =
            unable.of_sweep(sweep.id()).take(MAX_NOTES).map(note).collect();
        let more = unable.of_sweep(sweep.id()).count().saturating_sub(MAX_NOTES);
        if more > 0 {
            notes.push(format!("workers refused {more} more trials of this sweep"));
        }
        notes.extend(self.homeless(sweep));
        if let Some(pause_ms) = unable.of_sweep(sweep.id()).map(|(_, it)| it.pause_ms).max() {
            let seconds = pause_ms / 1_000;
            notes.push(format!(
                "what workers refused is offered to them again within {seconds} s, and at once \
                 when they reconnect or after: caviar resume {name}"
            ));
        }
        notes
    }

    /// A note about the most urgent of the waiting trials that are too large for all connected
    /// workers; `None` if there are none.
    fn homeless(&self, sweep: &Sweep) -> Option<String> {
        let unable = &self.volatile.unable;
        unable.of_sweep(sweep.id()).find(|((_, trial), _)| trial.is_some())?;
        let workers = || self.volatile.workers.iter().filter(|(_, it)| it.session.is_some());
        workers().next()?;
        let fits_none = |trial: &&Trial| {
            workers().all(|(name, _)| !unable.can_train(name, sweep.id(), trial.number()))
        };
        let waiting = sweep.queue().iter().filter_map(|(_, number)| sweep.trial(*number));
        let first = waiting.take(MAX_NOTES).find(fits_none)?;
        let number = first.number();
        Some(format!("trial {number} fits no connected worker: connect one with more memory"))
    }
}

/// The view of a trial, without its curve and as if it were not parked.
pub(crate) fn view(sweep: &Sweep, trial: &Trial) -> TrialView {
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
        last: trial.last().cloned(),
        counting: sweep.counting(trial).cloned(),
        curve: Vec::new(),
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
        retrained_epochs: trial.retrained_epochs(),
    }
}

const fn model_view(kept: &KeptModel) -> ModelView {
    let KeptModel { merit, objective, model } = *kept;
    ModelView { trial: merit.trial, epoch: model.epoch, objective, blob: model.blob }
}

const fn extension_view(extended: &SweepExtended) -> ExtensionView {
    let SweepExtended { added, trials, decisions, .. } = *extended;
    ExtensionView { added, trials, decisions }
}

const fn resize_view(resized: &SweepResized) -> ResizeView {
    let SweepResized { parallelism, trials, decisions } = *resized;
    ResizeView { parallelism, trials, decisions }
}

fn rounds(sweep: &Sweep) -> Vec<RoundView> {
    let rounds = sweep.rounds().zip(sweep.statistics().rounds()).zip(1..);
    rounds
        .map(|((trials, statistics), round)| RoundView {
            round,
            trials,
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
    // A sweep that was extended may have a better trial by now.
    let is_best = |trial| sweep.best().is_some_and(|best| best.number() == trial);
    let scoring = sweep.scoring().filter(|scoring| is_best(scoring.trial()))?;
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
