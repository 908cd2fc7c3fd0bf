//! Parking trials that have run ahead, for trials that are needed first.

use std::cmp::Reverse;

use caviar_common::ids::{LeaseId, Name};
use caviar_common::limits::MAX_PARKED;
use caviar_common::message::ToWorker;
use caviar_common::numbers::index;

use super::candidates::{Placement, WaitingJob, WorkerLoad, held_urgency, waiting_jobs};
use crate::Coordinator;
use crate::record::Broken;
use crate::record::state::{Phase, Sweep, Urgency};

/// A trial to park, and what gets its slot.
pub(super) struct Exchange {
    pub(super) park: LeaseId,
    pub(super) instead: Placement,
}

impl Coordinator {
    /// The next running trial to park for a more urgent one of its sweep.
    pub(super) fn next_exchange(&self) -> Option<Exchange> {
        let sweeps = self.record.sweeps().values();
        let searching = sweeps.filter(|sweep| sweep.phase() == Phase::Searching);
        searching.into_iter().find_map(|sweep| self.exchange_in(sweep))
    }

    fn exchange_in(&self, sweep: &Sweep) -> Option<Exchange> {
        let waiting = waiting_jobs(sweep).next().map(|job| job.urgency());
        let parked = self.parked_trials(sweep).map(|(urgency, ..)| urgency);
        let most_urgent = waiting.into_iter().chain(parked).min()?;
        let mut ahead: Vec<(Urgency, LeaseId, &Name)> = self
            .held_trials(sweep)
            .filter(|(lease, _, trial)| {
                sweep.is_decidable(trial) && !self.volatile.parked.contains(lease)
            })
            .map(|(lease, worker, trial)| (held_urgency(sweep, trial), lease, worker))
            .filter(|(urgency, ..)| most_urgent < *urgency)
            .collect();
        // The least urgent trial is parked first.
        ahead.sort_by_key(|(urgency, ..)| Reverse(*urgency));
        ahead.into_iter().find_map(|(urgency, park, worker)| {
            let load = self.load_of(worker).filter(|load| load.worker.can_park)?;
            let instead = self.more_urgent_on(&load, sweep, urgency)?;
            Some(Exchange { park, instead })
        })
    }

    /// What the worker should do instead of a trial of this urgency.
    fn more_urgent_on(
        &self,
        load: &WorkerLoad<'_>,
        sweep: &Sweep,
        limit: Urgency,
    ) -> Option<Placement> {
        let parked = self
            .most_urgent_parked(sweep, std::slice::from_ref(load))
            .filter(|(urgency, _)| *urgency < limit);
        let may_start = load.held - load.active < MAX_PARKED;
        let mut jobs = waiting_jobs(sweep).take_while(|job| may_start && job.urgency() < limit);
        let start = jobs.find(|job: &WaitingJob| self.fits(load, job)).map(|job| (load, job));
        Placement::more_urgent(parked, start)
    }

    /// Parks the least urgent trials of a worker that has reconnected with more trials than slots.
    pub(crate) fn park_excess(&mut self, worker: &Name) -> Result<(), Broken> {
        let known = self.volatile.workers.get(worker);
        let Some(known) = known.filter(|w| w.can_park && !w.is_draining) else { return Ok(()) };
        let slots = index(known.slots);
        let sweeps = self.record.sweeps().values();
        let searching = sweeps.filter(|sweep| sweep.phase() == Phase::Searching);
        let mut trainings: Vec<(bool, Urgency, LeaseId)> = searching
            .flat_map(|sweep| self.held_trials(sweep).map(move |held| (sweep, held)))
            .filter(|(_, (_, holder, _))| *holder == worker)
            .map(|(sweep, (lease, _, trial))| {
                (sweep.is_decidable(trial), held_urgency(sweep, trial), lease)
            })
            .collect();
        trainings.sort_unstable();
        // A scoring is never parked.
        let scorings = self.record.held_count(worker).saturating_sub(trainings.len());
        let excess = trainings.into_iter().skip(slots.saturating_sub(scorings));
        excess.map(|(.., lease)| lease).try_for_each(|lease| self.park(lease))
    }

    pub(super) fn park(&mut self, lease: LeaseId) -> Result<(), Broken> {
        self.volatile.parked.insert(lease);
        self.send_to_holder(lease, ToWorker::Park { lease })
    }

    pub(super) fn unpark(&mut self, lease: LeaseId) -> Result<(), Broken> {
        self.volatile.parked.remove(&lease);
        self.send_to_holder(lease, ToWorker::Unpark { lease })
    }

    /// Notes that none of the worker's trials is parked any more. The worker needs no message: it
    /// unparks them itself when it connects or drains.
    pub(crate) fn forget_parked(&mut self, worker: &Name) {
        for lease in self.record.held_leases(worker) {
            self.volatile.parked.remove(&lease);
        }
    }

    fn send_to_holder(&mut self, lease: LeaseId, message: ToWorker) -> Result<(), Broken> {
        let worker = self.record.lease(lease).and_then(|lease| lease.worker());
        let session = worker.and_then(|worker| self.volatile.workers.get(worker)?.session);
        let not_connected = || Broken(format!("the holder of lease {lease} is not connected"));
        self.changes.send(session.ok_or_else(not_connected)?, message);
        Ok(())
    }
}
