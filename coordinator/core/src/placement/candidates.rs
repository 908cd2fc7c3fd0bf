//! What waits for a slot, and which workers have one.

use std::cmp::Reverse;

use caviar_common::ids::{LeaseId, Name, SessionId, SweepId, TrialNumber};
use caviar_common::numbers::to_u32;
use caviar_common::outcome::Job;

use crate::Coordinator;
use crate::record::state::{Phase, SUSPECT_LOSSES, ScoringStatus, Sweep, Trial, Urgency};
use crate::volatile::Worker;

/// A training or scoring that waits for a worker.
pub(super) struct WaitingJob {
    pub(super) sweep: SweepId,
    pub(super) trial: TrialNumber,
    pub(super) job: Job,
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
pub(super) enum Placement {
    /// A worker begins a job.
    Start { session: SessionId, worker: Name, job: WaitingJob },
    /// The holder of this lease continues its parked trial.
    Unpark(LeaseId),
}

impl Placement {
    pub(super) fn start(load: &WorkerLoad<'_>, job: WaitingJob) -> Self {
        Self::Start { session: load.session, worker: load.name.clone(), job }
    }

    /// The more urgent of a parked trial and a job that a worker could begin.
    pub(super) fn more_urgent(
        parked: Option<(Urgency, LeaseId)>,
        start: Option<(&WorkerLoad<'_>, WaitingJob)>,
    ) -> Option<Self> {
        match (parked, start) {
            (Some((urgency, _)), Some((load, job))) if job.urgency() < urgency => {
                Some(Self::start(load, job))
            }
            (Some((_, lease)), _) => Some(Self::Unpark(lease)),
            (None, start) => start.map(|(load, job)| Self::start(load, job)),
        }
    }
}

/// A connected worker that accepts new jobs, and what it holds.
pub(super) struct WorkerLoad<'a> {
    pub(super) name: &'a Name,
    pub(super) session: SessionId,
    pub(super) worker: &'a Worker,
    /// Leases that the worker holds.
    pub(super) held: u32,
    /// The held leases whose trials are not parked.
    pub(super) active: u32,
}

/// The sweep's jobs that wait for a worker, most urgent first.
pub(super) fn waiting_jobs(sweep: &Sweep) -> impl Iterator<Item = WaitingJob> {
    let is_searching =
        sweep.phase() == Phase::Searching && !sweep.is_paused() && !sweep.spec().data.is_external();
    let queue = is_searching.then_some(sweep.queue()).into_iter().flatten();
    let trainings = queue.filter_map(|(_, number)| sweep.trial(*number)).map(|trial| WaitingJob {
        sweep: sweep.id(),
        trial: trial.number(),
        job: Job::Train,
        due: trial.due(),
        attempts: trial.attempts(),
        losses: trial.losses(),
    });
    let scoring = sweep.scoring().filter(|scoring| {
        sweep.phase() == Phase::Scoring
            && !sweep.is_paused()
            && *scoring.status() == ScoringStatus::Waiting
    });
    let scorings = scoring.map(|scoring| WaitingJob {
        sweep: sweep.id(),
        trial: scoring.trial(),
        job: Job::Score,
        due: 0,
        attempts: scoring.attempts(),
        losses: scoring.losses(),
    });
    trainings.chain(scorings)
}

/// The urgency of a trial that a worker holds.
pub(super) fn held_urgency(sweep: &Sweep, trial: &Trial) -> Urgency {
    (sweep.next_unreported(trial), trial.number())
}

impl Coordinator {
    /// The load of the worker of that name; `None` unless the worker is connected and accepts new
    /// jobs.
    pub(super) fn load_of(&self, name: &Name) -> Option<WorkerLoad<'_>> {
        let (name, worker) = self.volatile.workers.get_key_value(name)?;
        let session = worker.session.filter(|_| !worker.is_draining && !worker.has_declined)?;
        let parked = &self.volatile.parked;
        let active = self.record.held_leases(name).filter(|lease| !parked.contains(lease)).count();
        let held = to_u32(self.record.held_count(name));
        Some(WorkerLoad { name, session, worker, held, active: to_u32(active) })
    }

    /// The loads of all workers that accept new jobs, with a free slot or without.
    pub(super) fn loads(&self) -> impl Iterator<Item = WorkerLoad<'_>> {
        self.volatile.workers.keys().filter_map(|name| self.load_of(name))
    }

    /// The loads of the workers with a free slot, most free slots first.
    pub(super) fn loads_with_free_slots(&self) -> Vec<WorkerLoad<'_>> {
        let mut loads: Vec<WorkerLoad<'_>> =
            self.loads().filter(|load| load.active < load.worker.slots).collect();
        loads.sort_by_key(|load| (Reverse(load.worker.slots - load.active), load.name));
        loads
    }

    /// True if the worker can train the job. A worker executes one suspect at a time, so that the
    /// next loss accuses one trial only.
    pub(super) fn fits(&self, load: &WorkerLoad<'_>, job: &WaitingJob) -> bool {
        let can_train = load.worker.can_train(job.sweep, job.trial);
        can_train && !(job.is_suspect() && self.suspects_of(load.name) > 0)
    }

    /// How many suspects the worker holds.
    pub(super) fn suspects_of(&self, worker: &Name) -> usize {
        let held = self.record.held_leases(worker);
        let losses = held.filter_map(|id| Some(self.record.losses(self.record.lease(id)?)));
        losses.filter(|losses| *losses >= SUSPECT_LOSSES).count()
    }

    /// The most urgent of the sweep's parked trials on these workers.
    pub(super) fn most_urgent_parked(
        &self,
        sweep: &Sweep,
        loads: &[WorkerLoad<'_>],
    ) -> Option<(Urgency, LeaseId)> {
        let parked = self.parked_trials(sweep);
        let on_these = parked.filter(|(.., worker)| loads.iter().any(|load| load.name == *worker));
        on_these.map(|(urgency, lease, _)| (urgency, lease)).min()
    }

    /// The sweep's parked trials, with the workers that hold them.
    pub(super) fn parked_trials<'a>(
        &'a self,
        sweep: &'a Sweep,
    ) -> impl Iterator<Item = (Urgency, LeaseId, &'a Name)> {
        self.volatile.parked.iter().filter_map(|id| {
            let lease = self.record.lease(*id).filter(|lease| lease.sweep() == sweep.id())?;
            let trial = sweep.trial(lease.trial())?;
            Some((held_urgency(sweep, trial), *id, lease.worker()?))
        })
    }

    /// The sweep's trials that workers hold, with their leases. Walks the trials in flight, which
    /// are fewer than the leases; this runs on every step.
    pub(super) fn held_trials<'a>(
        &'a self,
        sweep: &'a Sweep,
    ) -> impl Iterator<Item = (LeaseId, &'a Name, &'a Trial)> {
        let is_external = sweep.spec().data.is_external();
        let in_flight = (!is_external).then_some(sweep.in_flight()).into_iter().flatten();
        in_flight.filter_map(|(_, number)| {
            let trial = sweep.trial(*number)?;
            let lease = trial.running_lease()?;
            Some((lease, self.record.lease(lease)?.worker()?, trial))
        })
    }

    /// Slots that the sweep's jobs occupy.
    pub(super) fn busy_slots(&self, sweep: &Sweep) -> usize {
        let held = self.held_trials(sweep).map(|(lease, ..)| lease);
        let training = held.filter(|lease| !self.volatile.parked.contains(lease)).count();
        let is_scoring = sweep
            .scoring()
            .is_some_and(|scoring| matches!(scoring.status(), ScoringStatus::Running { .. }));
        training + usize::from(is_scoring)
    }
}
