//! Parking: with fewer slots than trials in flight, what the next decisions need is trained first.
//!
//! A worker trains on past a rung without waiting for the decision there; if that is to stop, what it did meanwhile is wasted. So
//! while such a trial has reported all that is needed of it now, and another waits for a slot with something that is due earlier, the
//! first is parked: its worker holds it where it is, memory and lease included, and gives its slot to the other. Nothing that is
//! decided depends on it, and a connection begins without anything parked.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use caviar_common::ids::{LeaseId, Name, TrialNumber};
use caviar_common::limits::MAX_PARKED;
use caviar_common::message::ToWorker;
use caviar_common::outcome::Work as Task;

use crate::input::Effect;
use crate::place::{Free, Next, first_of, waiting};
use crate::state::{Lease, Phase, Sweep, Trial};
use crate::{Broken, Coordinator, Work};

/// What is due earlier goes first; of equals, the lower number.
pub(crate) type Urgency = (u64, TrialNumber);

impl Coordinator {
    /// Of the sweep's parked trials on these workers, the one that is needed first.
    pub(crate) fn first_parked(&self, sweep: &Sweep, free: &[Free<'_>]) -> Option<(Urgency, LeaseId)> {
        let parked = self.trainings(sweep).filter(|(lease, ..)| self.volatile.parked.contains(lease));
        let here = parked.filter(|(_, record, _)| free.iter().any(|f| *f.name == record.worker));
        here.map(|(lease, _, trial)| (urgency(sweep, trial), lease)).min()
    }

    /// A training to park, and what is to have its slot.
    pub(crate) fn displace(&self) -> Option<(LeaseId, Next)> {
        // What waits for a worker that is nearly empty would wait for ever if more were begun on it.
        let may_begin = !self.durable.sweeps.values().flat_map(waiting).any(|task| task.is_suspect());
        let mut searching = self.durable.sweeps.values().filter(|sweep| sweep.phase == Phase::Searching);
        searching.find_map(|sweep| self.displace_in(sweep, may_begin))
    }

    fn displace_in(&self, sweep: &Sweep, may_begin: bool) -> Option<(LeaseId, Next)> {
        let ahead = self.trainings(sweep).filter(|(lease, _, trial)| sweep.is_ready(trial) && !self.volatile.parked.contains(lease));
        let ahead = ahead.filter_map(|(lease, record, trial)| {
            let worker = self.connected_as(&record.worker).filter(|f| f.worker.can_park)?;
            Some((urgency(sweep, trial), lease, worker))
        });
        let mut ahead: Vec<(Urgency, LeaseId, Free<'_>)> = ahead.collect();
        // What is needed last makes room first.
        ahead.sort_by_key(|(urgency, ..)| Reverse(*urgency));
        ahead.iter().find_map(|(least, lease, worker)| {
            let parked = self.first_parked(sweep, std::slice::from_ref(worker)).filter(|(urgency, _)| urgency < least);
            let may_begin = may_begin && worker.held - worker.active < MAX_PARKED;
            let mut tasks = waiting(sweep).take_while(|task| may_begin && task.urgency() < *least);
            let task = tasks.find(|task| self.takes(worker, task));
            Some((*lease, first_of(parked, task.map(|task| (worker, task)))?))
        })
    }

    /// A worker has come with more than it has slots for: what is needed last of it waits.
    pub(crate) fn park_excess(&mut self, worker: &Name, work: &mut Work) -> Result<(), Broken> {
        let Some(known) = self.volatile.workers.get(worker).filter(|w| w.can_park && !w.draining) else { return Ok(()) };
        let slots = usize::try_from(known.slots).unwrap_or(usize::MAX);
        let all = self.durable.held.get(worker).map_or(0, BTreeSet::len);
        let sweeps = self.durable.sweeps.values().filter(|sweep| sweep.phase == Phase::Searching);
        let held = sweeps.flat_map(|sweep| self.trainings(sweep).map(move |(lease, record, trial)| (sweep, lease, record, trial)));
        let mine = held.filter(|(_, _, record, _)| record.worker == *worker);
        let mut mine: Vec<(bool, Urgency, LeaseId)> =
            mine.map(|(sweep, lease, _, trial)| (sweep.is_ready(trial), urgency(sweep, trial), lease)).collect();
        mine.sort_unstable();
        // A scoring is never parked.
        let scorings = all.saturating_sub(mine.len());
        mine.into_iter().skip(slots.saturating_sub(scorings)).try_for_each(|(_, _, lease)| self.park(lease, work))
    }

    pub(crate) fn park(&mut self, lease: LeaseId, work: &mut Work) -> Result<(), Broken> {
        self.volatile.parked.insert(lease);
        self.tell(lease, ToWorker::Park { lease }, work)
    }

    pub(crate) fn unpark(&mut self, lease: LeaseId, work: &mut Work) -> Result<(), Broken> {
        self.volatile.parked.remove(&lease);
        self.tell(lease, ToWorker::Unpark { lease }, work)
    }

    /// What this worker holds is parked no more, as it knows by itself.
    pub(crate) fn unpark_all(&mut self, worker: &Name) {
        for lease in self.durable.held.get(worker).into_iter().flatten() {
            self.volatile.parked.remove(lease);
        }
    }

    fn tell(&self, lease: LeaseId, message: ToWorker, work: &mut Work) -> Result<(), Broken> {
        let holder = self.durable.leases.get(&lease).and_then(|record| self.volatile.workers.get(&record.worker));
        let session = holder.and_then(|w| w.session).ok_or_else(|| Broken(format!("nobody to tell of lease {lease}")))?;
        work.effects.push(Effect::Send(session, message));
        Ok(())
    }

    /// The sweep's trials that workers hold.
    fn trainings<'a>(&'a self, sweep: &'a Sweep) -> impl Iterator<Item = (LeaseId, &'a Lease, &'a Trial)> {
        let leases = self
            .durable
            .leases
            .iter()
            .filter(|(_, record)| record.sweep == sweep.id && record.work == Task::Train && record.program_ms.is_none());
        leases.filter_map(|(lease, record)| Some((*lease, record, sweep.trial(record.trial)?)))
    }
}

/// When something has to be brought of a trial that a worker holds.
fn urgency(sweep: &Sweep, trial: &Trial) -> Urgency {
    (sweep.next_delivery(trial), trial.number)
}
