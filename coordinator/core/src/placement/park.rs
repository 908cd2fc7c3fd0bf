//! Parking trials that have run ahead, for trials that are needed first.

use caviar_common::ids::{LeaseId, Name, SweepId};
use caviar_common::limits::MAX_PARKED;
use caviar_common::message::ToWorker;
use caviar_common::numbers::index;

use super::candidates::Placement;
use crate::Coordinator;
use crate::record::Broken;
use crate::record::state::{Phase, Sweep, Urgency};
use crate::schedule::{Demand, ScheduledJob};
use crate::volatile::Worker;

/// Most running trials that are considered for parking at once. The others are considered after the
/// next event of their sweep.
const MOST_CANDIDATES: usize = 64;

/// A trial to park, and what gets its slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) park: LeaseId,
    pub(super) instead: Placement,
}

impl Coordinator {
    /// The next running trial to park for a more urgent one of its sweep.
    pub(super) fn next_exchange(&mut self) -> Option<Exchange> {
        while let Some(sweep) = self.volatile.schedule.next_to_exchange() {
            if let Some(exchange) = self.exchange_in(sweep) {
                return Some(exchange);
            }
            self.volatile.schedule.exchanged(sweep);
        }
        None
    }

    fn exchange_in(&self, id: SweepId) -> Option<Exchange> {
        let demand = self.volatile.schedule.demand(id)?;
        self.record.sweep(id).filter(|sweep| sweep.phase() == Phase::Searching)?;
        let most_urgent = demand.most_urgent()?;
        // The least urgent trial is parked first.
        let ahead = demand.ahead().take_while(|(urgency, _)| most_urgent < *urgency);
        ahead.take(MOST_CANDIDATES).find_map(|(urgency, park)| {
            let name = self.record.lease(park)?.worker()?;
            let worker = self.volatile.workers.get(name)?;
            worker.accepting_session().filter(|_| worker.can_park)?;
            let instead = self.more_urgent_on(name, (id, demand), urgency)?;
            Some(Exchange { park, instead })
        })
    }

    /// What the worker should do instead of a trial of this urgency.
    fn more_urgent_on(
        &self,
        worker: &Name,
        (id, demand): (SweepId, &Demand),
        limit: Urgency,
    ) -> Option<Placement> {
        let schedule = &self.volatile.schedule;
        let of_sweep = schedule.parked_of(worker).filter(|(_, sweep, _)| *sweep == id);
        let parked = of_sweep.map(|(lease, _, urgency)| (urgency, lease)).min();
        let parked = parked.filter(|(urgency, _)| *urgency < limit);
        let may_start = schedule.parked_of(worker).count() < index(MAX_PARKED);
        let is_urgent = |urgency: &Urgency| may_start && *urgency < limit;
        let start = |jobs: &mut dyn Iterator<Item = Urgency>| {
            self.first_that_fits(id, jobs, || std::iter::once(worker))
        };
        let other = start(&mut demand.waiting().take_while(is_urgent));
        let may_suspect = schedule.suspects_of(worker) == 0;
        let suspect = start(&mut demand.suspects().filter(|_| may_suspect).take_while(is_urgent));
        let first = other.into_iter().chain(suspect).min_by_key(|(urgency, _)| *urgency);
        Placement::more_urgent(parked, first)
    }

    /// Parks the least urgent trials of a worker that has reconnected with more trials than slots.
    pub(crate) fn park_excess(&mut self, worker: &Name) -> Result<(), Broken> {
        let can_park = |known: &&Worker| known.can_park && !known.is_draining;
        let Some(known) = self.volatile.workers.get(worker).filter(can_park) else {
            return Ok(());
        };
        let slots = index(known.slots);
        let held = self.record.held_leases(worker);
        let jobs = held.filter_map(|lease| self.scheduled_lease(lease));
        let mut trainings: Vec<(bool, Urgency, LeaseId)> = jobs
            .filter_map(|(sweep, job)| match job {
                ScheduledJob::Held(held) if sweep.phase() == Phase::Searching => {
                    Some((held.is_ahead, held.urgency, held.lease))
                }
                ScheduledJob::Held(_) | ScheduledJob::Waiting { .. } => None,
            })
            .collect();
        trainings.sort_unstable();
        // A scoring is never parked.
        let scorings = self.record.held_count(worker).saturating_sub(trainings.len());
        let excess = trainings.into_iter().skip(slots.saturating_sub(scorings));
        let excess: Vec<LeaseId> = excess.map(|(.., lease)| lease).collect();
        excess.into_iter().try_for_each(|lease| self.park(lease))
    }

    fn scheduled_lease(&self, lease: LeaseId) -> Option<(&Sweep, &ScheduledJob)> {
        let lease = self.record.lease(lease)?;
        let job = self.volatile.schedule.job(lease.sweep(), lease.trial())?;
        Some((self.record.sweep(lease.sweep())?, job))
    }

    pub(super) fn park(&mut self, lease: LeaseId) -> Result<(), Broken> {
        self.set_parked(lease, true);
        self.send_to_holder(lease, ToWorker::Park { lease })
    }

    pub(super) fn unpark(&mut self, lease: LeaseId) -> Result<(), Broken> {
        self.set_parked(lease, false);
        self.send_to_holder(lease, ToWorker::Unpark { lease })
    }

    fn set_parked(&mut self, lease: LeaseId, is_parked: bool) {
        if is_parked {
            self.volatile.parked.insert(lease);
        } else {
            self.volatile.parked.remove(&lease);
        }
        let now = self.volatile.clock.now();
        self.volatile.progress.park(lease, is_parked, now);
        if let Some(held) = self.record.lease(lease) {
            let (sweep, trial) = (held.sweep(), held.trial());
            self.reschedule(sweep, trial);
            self.volatile.mark_changed(sweep);
        }
    }

    /// Notes that none of the worker's trials is parked any more. The worker needs no message: it
    /// unparks them itself when it connects or drains.
    pub(crate) fn forget_parked(&mut self, worker: &Name) {
        let held: Vec<LeaseId> = self.record.held_leases(worker).collect();
        for lease in held {
            if self.volatile.parked.contains(&lease) {
                self.set_parked(lease, false);
            }
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
