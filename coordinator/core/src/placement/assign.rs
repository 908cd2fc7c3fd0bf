//! Giving free slots to waiting jobs and parked trials.

use caviar_common::ids::{AttemptNumber, LeaseId, Name, SessionId};
use caviar_common::message::{Grant, ToWorker};
use caviar_common::outcome::Job;

use super::candidates::{Placement, WaitingJob, WorkerLoad, waiting_jobs};
use crate::Coordinator;
use crate::record::Broken;
use crate::record::event::LeaseGranted;
use crate::record::state::{Sweep, Trial};

impl Coordinator {
    /// The next use of a free slot: for a suspect if one fits, and otherwise for the sweep with the
    /// fewest busy slots. `None` if nothing that waits fits a worker with a free slot.
    pub(super) fn next_assignment(&self) -> Option<Placement> {
        let loads = self.loads_with_free_slots();
        if loads.is_empty() {
            return None;
        }
        let sweeps = self.sweeps_by_busy_slots();
        let suspects = sweeps.iter().find_map(|sweep| {
            self.first_that_fits(&loads, waiting_jobs(sweep).filter(WaitingJob::is_suspect))
        });
        if let Some((load, job)) = suspects {
            return Some(Placement::start(load, job));
        }
        sweeps.iter().find_map(|sweep| {
            let jobs = waiting_jobs(sweep).filter(|job| !job.is_suspect());
            let start = self.first_that_fits(&loads, jobs);
            Placement::more_urgent(self.most_urgent_parked(sweep, &loads), start)
        })
    }

    /// The sweeps with something that waits, the one with the fewest busy slots first.
    fn sweeps_by_busy_slots(&self) -> Vec<&Sweep> {
        let has_parked = |sweep: &Sweep| {
            let mut leases = self.volatile.parked.iter().filter_map(|id| self.record.lease(*id));
            leases.any(|lease| lease.sweep() == sweep.id())
        };
        let sweeps = self.record.sweeps().values();
        let mut sweeps: Vec<(usize, &Sweep)> = sweeps
            .filter(|sweep| waiting_jobs(sweep).next().is_some() || has_parked(sweep))
            .map(|sweep| (self.busy_slots(sweep), sweep))
            .collect();
        sweeps.sort_by_key(|(busy, sweep)| (*busy, sweep.id()));
        sweeps.into_iter().map(|(_, sweep)| sweep).collect()
    }

    /// The first job that fits a worker. Skips a job only if it is too large for a worker, because
    /// then the ones after it may fit.
    fn first_that_fits<'a>(
        &self,
        loads: &'a [WorkerLoad<'a>],
        jobs: impl Iterator<Item = WaitingJob>,
    ) -> Option<(&'a WorkerLoad<'a>, WaitingJob)> {
        for job in jobs {
            if let Some(load) = loads.iter().find(|load| self.fits(load, &job)) {
                return Some((load, job));
            }
            if !is_too_large_for_any(loads, &job) {
                return None;
            }
        }
        None
    }

    /// Grants a lease on `job` to `worker`.
    pub(super) fn grant(
        &mut self,
        session: SessionId,
        worker: &Name,
        job: &WaitingJob,
    ) -> Result<(), Broken> {
        let missing =
            || Broken(format!("worker {worker} or its job in sweep {} is missing", job.sweep));
        let sweep = self.record.sweep(job.sweep).ok_or_else(missing)?;
        let incarnation = self.volatile.workers.get(worker).ok_or_else(missing)?.incarnation;
        let lease = self.record.next_lease();
        let trial = sweep.trial(job.trial).ok_or_else(missing)?;
        let grant = grant_message(sweep, trial, lease, job);
        let granted = LeaseGranted {
            trial: job.trial,
            attempt: grant.attempt,
            lease,
            worker: worker.clone(),
            incarnation,
            job: job.job,
            recorded: (job.job == Job::Train).then(|| trial.recorded_epochs()),
        };
        self.emit(job.sweep, granted)?;
        self.changes.send(session, ToWorker::Grant(Box::new(grant)));
        Ok(())
    }
}

/// True if one of the workers lacks the memory for this job, so that its refusal says nothing about
/// similar jobs.
fn is_too_large_for_any(loads: &[WorkerLoad<'_>], job: &WaitingJob) -> bool {
    loads.iter().any(|load| load.worker.unable.contains_key(&(job.sweep, Some(job.trial))))
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
        fixed: spec.fixed.clone(),
        assignment: trial.assignment().clone(),
    }
}
