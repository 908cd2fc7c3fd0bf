//! Giving free slots to waiting jobs and parked trials.

use caviar_common::ids::{AttemptNumber, LeaseId, Name, SessionId, SweepId, TrialNumber};
use caviar_common::message::{Grant, ToWorker};
use caviar_common::outcome::Job;

use super::candidates::{Placement, WaitingJob, waiting_job};
use crate::Coordinator;
use crate::record::Broken;
use crate::record::event::LeaseGranted;
use crate::record::state::{Sweep, Trial, Urgency};

impl Coordinator {
    /// The next use of a free slot: for a suspect if one fits, and otherwise for the sweep with the
    /// fewest busy slots. `None` if nothing that waits fits a worker with a free slot.
    pub(super) fn next_assignment(&self) -> Option<Placement> {
        let schedule = &self.volatile.schedule;
        if schedule.has_nothing_to_assign() {
            return None;
        }
        let suspect = schedule.suspecting().find_map(|(sweep, demand)| {
            self.first_that_fits(sweep, demand.suspects(), || schedule.free_workers_for_suspects())
        });
        if let Some((_, start)) = suspect {
            return Some(start);
        }
        schedule.hungry().find_map(|(sweep, demand)| {
            let start = self.first_that_fits(sweep, demand.waiting(), || schedule.free_workers());
            Placement::more_urgent(demand.next_to_continue(), start)
        })
    }

    /// The first job that fits a worker. Skips a job only if it is too large for a worker, because
    /// then the ones after it may fit.
    pub(super) fn first_that_fits<'a, W: Iterator<Item = &'a Name>>(
        &self,
        sweep: SweepId,
        jobs: impl Iterator<Item = Urgency>,
        workers: impl Fn() -> W,
    ) -> Option<(Urgency, Placement)> {
        let unable = &self.volatile.unable;
        for (due, trial) in jobs {
            let able = workers().find(|worker| unable.can_train(worker, sweep, trial));
            if let Some(start) = able.and_then(|worker| self.start(worker, sweep, trial)) {
                return Some(((due, trial), start));
            }
            if !workers().any(|worker| unable.is_too_large(worker, sweep, trial)) {
                return None;
            }
        }
        None
    }

    fn start(&self, worker: &Name, sweep: SweepId, trial: TrialNumber) -> Option<Placement> {
        let session = self.volatile.workers.get(worker)?.accepting_session()?;
        Some(Placement::Start { session, worker: worker.clone(), sweep, trial })
    }

    /// Grants `worker` a lease on the job of a trial that waits.
    pub(super) fn grant(
        &mut self,
        session: SessionId,
        worker: Name,
        (id, number): (SweepId, TrialNumber),
    ) -> Result<(), Broken> {
        let missing =
            || Broken(format!("worker {worker} or trial {number} of sweep {id} is missing"));
        let sweep = self.record.sweep(id).ok_or_else(missing)?;
        let trial = sweep.trial(number).ok_or_else(missing)?;
        let job = waiting_job(sweep, trial).ok_or_else(missing)?;
        let known = self.volatile.workers.get(&worker).ok_or_else(missing)?;
        let (incarnation, token) = (known.incarnation, known.token.clone());
        let lease = self.record.next_lease();
        let grant = grant_message(sweep, trial, lease, &job);
        let recorded = (job.job == Job::Train).then(|| trial.recorded_epochs());
        let resumed = grant.checkpoint.map(|checkpoint| checkpoint.epoch);
        let units = Self::epoch_units(trial, job.job);
        let (trial, attempt, job) = (number, grant.attempt, job.job);
        let now = self.volatile.clock.now();
        self.volatile.progress.begin(lease, &worker, units, now);
        self.emit(
            id,
            LeaseGranted {
                trial,
                attempt,
                lease,
                worker,
                incarnation,
                token,
                job,
                recorded,
                resumed,
            },
        )?;
        self.changes.send(session, ToWorker::Grant(Box::new(grant)));
        Ok(())
    }

    /// The cost units after which a training should report, or a scoring should end.
    pub(crate) fn epoch_units(trial: &Trial, job: Job) -> u64 {
        let all = trial.end().saturating_sub(trial.start());
        match job {
            Job::Score => all,
            Job::Train => all / u64::from(trial.epochs().max(1)),
        }
        .max(1)
    }
}

fn grant_message(sweep: &Sweep, trial: &Trial, lease: LeaseId, job: &WaitingJob) -> Grant {
    let spec = sweep.spec();
    Grant {
        lease,
        sweep: sweep.id(),
        sweep_name: spec.name.clone(),
        trial: job.trial,
        attempt: AttemptNumber(job.attempts + 1),
        job: job.job,
        seed: spec.seed,
        data: spec.data.clone(),
        digest: sweep.data().digest.clone(),
        block: sweep.data().block,
        fixed: spec.fixed.clone(),
        assignment: trial.assignment().clone(),
        checkpoint: trial.checkpoint().copied().filter(|_| job.job == Job::Train),
        objective: spec.objective.clone(),
        keep: sweep.keep_rule(job.job),
        replays: trial.reason().replays.or(spec.search.replays),
    }
}
