//! What a slot can be given to.

use caviar_common::ids::{LeaseId, Name, SessionId, SweepId, TrialNumber};
use caviar_common::outcome::Job;

use crate::Coordinator;
use crate::record::state::{Phase, SUSPECT_LOSSES, ScoringStatus, Sweep, Trial, Urgency};
use crate::schedule::{HeldJob, ScheduledJob};

/// A training or scoring that waits for a worker.
pub(crate) struct WaitingJob {
    pub(super) trial: TrialNumber,
    pub(crate) job: Job,
    /// Virtual time of the decision that needs the result.
    pub(super) due: u64,
    /// Executions before this one.
    pub(super) attempts: u32,
    /// How many times in a row the job has lost its worker.
    pub(super) losses: u32,
}

impl WaitingJob {
    pub(super) const fn urgency(&self) -> Urgency {
        (self.due, self.trial)
    }

    /// True if the job may be what crashes its workers.
    pub(super) const fn is_suspect(&self) -> bool {
        self.losses >= SUSPECT_LOSSES
    }
}

/// What a slot is given to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// A worker begins the job of a trial.
    Start { session: SessionId, worker: Name, sweep: SweepId, trial: TrialNumber },
    /// The holder of this lease continues its parked trial.
    Unpark(LeaseId),
}

impl Placement {
    /// The more urgent of a parked trial and a job that a worker could begin.
    pub(super) fn more_urgent(
        parked: Option<(Urgency, LeaseId)>,
        start: Option<(Urgency, Self)>,
    ) -> Option<Self> {
        match (parked, start) {
            (Some((parked, _)), Some((urgency, start))) if urgency < parked => Some(start),
            (Some((_, lease)), _) => Some(Self::Unpark(lease)),
            (None, start) => start.map(|(_, start)| start),
        }
    }
}

/// The job of a trial that waits for a worker; `None` if it does not wait for one.
pub(crate) fn waiting_job(sweep: &Sweep, trial: &Trial) -> Option<WaitingJob> {
    let is_external = sweep.spec().data.is_external();
    let job = |job, due, attempts, losses| WaitingJob {
        trial: trial.number(),
        job,
        due,
        attempts,
        losses,
    };
    let is_queued = sweep.queue().contains(&(trial.due(), trial.number()));
    if sweep.phase() == Phase::Searching && is_queued && !is_external {
        return Some(job(Job::Train, trial.due(), trial.attempts(), trial.losses()));
    }
    let scoring = sweep.scoring().filter(|scoring| {
        sweep.phase() == Phase::Scoring
            && scoring.trial() == trial.number()
            && *scoring.status() == ScoringStatus::Waiting
    })?;
    Some(job(Job::Score, 0, scoring.attempts(), scoring.losses()))
}

impl Coordinator {
    /// What the schedule should know of the job of a trial.
    fn scheduled_job(&self, sweep: &Sweep, trial: &Trial) -> Option<ScheduledJob> {
        if let Some(waiting) = waiting_job(sweep, trial) {
            let (urgency, is_suspect) = (waiting.urgency(), waiting.is_suspect());
            return Some(ScheduledJob::Waiting { urgency, is_suspect });
        }
        let scoring = sweep.scoring().filter(|it| it.trial() == trial.number());
        let (lease, is_ahead) = match scoring.map(|scoring| scoring.status()) {
            Some(ScoringStatus::Running { lease }) => (*lease, false),
            Some(ScoringStatus::Waiting | ScoringStatus::Finished(_)) => return None,
            None => (trial.running_lease()?, sweep.is_decidable(trial)),
        };
        let held = self.record.lease(lease)?;
        Some(ScheduledJob::Held(HeldJob {
            lease,
            worker: held.worker()?.clone(),
            urgency: (sweep.next_unreported(trial), trial.number()),
            is_suspect: sweep.losses(held) >= SUSPECT_LOSSES,
            is_parked: self.volatile.parked.contains(&lease),
            is_ahead,
        }))
    }

    /// Tells the schedule what has become of a trial.
    pub(crate) fn reschedule(&mut self, id: SweepId, number: TrialNumber) {
        let sweep = self.record.sweep(id).filter(|_| self.quarantined(id).is_none());
        let trial = sweep.and_then(|sweep| Some((sweep, sweep.trial(number)?)));
        let job = trial.and_then(|(sweep, trial)| self.scheduled_job(sweep, trial));
        self.volatile.schedule.set_job(id, number, job);
    }

    /// Begins to watch the training or scoring of a trial whose lease is in force after a restart.
    fn expect_progress(&mut self, id: SweepId, number: TrialNumber) {
        let job = self.volatile.schedule.job(id, number);
        let Some(ScheduledJob::Held(HeldJob { lease, .. })) = job else { return };
        let lease = *lease;
        let trial = self.record.sweep(id).and_then(|sweep| sweep.trial(number));
        let held = self.record.lease(lease).and_then(|held| Some((held.worker()?, held.job())));
        if let (Some(trial), Some((worker, job))) = (trial, held) {
            let (units, now) = (Self::epoch_units(trial, job), self.volatile.clock.now());
            self.volatile.progress.begin(lease, worker, units, now);
        }
    }

    /// Tells the schedule whether jobs of a sweep may start.
    pub(crate) fn reschedule_sweep(&mut self, id: SweepId) {
        let is_open = |sweep: &&Sweep| !sweep.state().is_final() && self.quarantined(id).is_none();
        let Some(sweep) = self.record.sweep(id).filter(is_open) else {
            self.volatile.schedule.remove_sweep(id);
            return;
        };
        self.volatile.schedule.set_open(id, !sweep.is_paused());
    }

    /// Tells the schedule how many jobs a worker accepts.
    pub(crate) fn reschedule_worker(&mut self, name: &Name) {
        let Some(worker) = self.volatile.workers.get(name) else {
            self.volatile.schedule.remove_worker(name);
            return;
        };
        let is_accepting = worker.accepting_session().is_some();
        let slots = if is_accepting { worker.usable_slots() } else { 0 };
        self.volatile.schedule.set_worker(name, slots);
    }

    /// Tells the schedule everything, after a restart.
    pub(crate) fn reschedule_all(&mut self) {
        let sweeps: Vec<SweepId> = self.record.sweeps().keys().copied().collect();
        for id in sweeps {
            let Some(sweep) = self.record.sweep(id) else { continue };
            let scoring = sweep.scoring().map(|scoring| scoring.trial());
            let in_flight = sweep.in_flight().iter().map(|(_, number)| *number);
            let trials: Vec<TrialNumber> = in_flight.chain(scoring).collect();
            self.reschedule_sweep(id);
            for number in trials {
                self.reschedule(id, number);
                self.expect_progress(id, number);
            }
        }
    }
}
