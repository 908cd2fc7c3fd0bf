//! Parking: with fewer slots than trials in flight, what the next decisions need is trained first.
//!
//! A worker trains on past a rung without waiting for the decision there; if that is to stop, what
//! it did meanwhile is wasted. So while such a trial has reported all that is needed of it now, and
//! another waits for a slot with something that is due earlier, the first is parked: its worker
//! holds it where it is, memory and lease included, and gives its slot to the other. Nothing that
//! is decided depends on it, and a connection begins without anything parked.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use caviar_common::ids::{LeaseId, Name, TrialNumber};
use caviar_common::limits::MAX_PARKED;
use caviar_common::message::ToWorker;
use caviar_common::outcome::TrialState;

use crate::input::Effect;
use crate::place::{Free, Next, first_of, waiting};
use crate::state::{Lease, Phase, Sweep, Trial};
use crate::{Broken, Changes, Coordinator};

/// What is due earlier goes first; of equals, the lower number.
pub(crate) type Urgency = (u64, TrialNumber);

impl Coordinator {
    /// Of the sweep's parked trials on these workers, the one that is needed first.
    pub(crate) fn first_parked(
        &self,
        sweep: &Sweep,
        free: &[Free<'_>],
    ) -> Option<(Urgency, LeaseId)> {
        let here = self.parked(sweep).filter(|(.., worker)| free.iter().any(|f| f.name == *worker));
        here.map(|(urgency, lease, _)| (urgency, lease)).min()
    }

    /// The sweep's parked trials, and who holds them.
    fn parked<'a>(
        &'a self,
        sweep: &'a Sweep,
    ) -> impl Iterator<Item = (Urgency, LeaseId, &'a Name)> {
        let records = self
            .volatile
            .parked
            .iter()
            .filter_map(|lease| Some((*lease, self.durable.leases.get(lease)?)));
        let mine = records.filter(|(_, record)| record.sweep == sweep.id);
        mine.filter_map(|(lease, record)| {
            Some((urgency(sweep, sweep.trial(record.trial)?), lease, &record.worker))
        })
    }

    /// A training to park, and what is to have its slot.
    pub(crate) fn displace(&self) -> Option<(LeaseId, Next)> {
        // What waits for a worker that is nearly empty would wait for ever if more were begun on
        // it.
        let may_begin =
            !self.durable.sweeps.values().flat_map(waiting).any(|task| task.is_suspect());
        let mut searching =
            self.durable.sweeps.values().filter(|sweep| sweep.phase == Phase::Searching);
        searching.find_map(|sweep| self.displace_in(sweep, may_begin))
    }

    fn displace_in(&self, sweep: &Sweep, may_begin: bool) -> Option<(LeaseId, Next)> {
        let waits = waiting(sweep).next().map(|task| task.urgency());
        let first =
            waits.into_iter().chain(self.parked(sweep).map(|(urgency, ..)| urgency)).min()?;
        let ahead = self.trainings(sweep).filter(|(lease, _, trial)| {
            sweep.is_ready(trial) && !self.volatile.parked.contains(lease)
        });
        let ahead =
            ahead.map(|(lease, record, trial)| (urgency(sweep, trial), lease, &record.worker));
        let mut ahead: Vec<(Urgency, LeaseId, &Name)> =
            ahead.filter(|(urgency, ..)| first < *urgency).collect();
        // What is needed last makes room first.
        ahead.sort_by_key(|(urgency, ..)| Reverse(*urgency));
        ahead.into_iter().find_map(|(least, lease, worker)| {
            let worker = &self.connected_as(worker).filter(|f| f.worker.can_park)?;
            let parked = self
                .first_parked(sweep, std::slice::from_ref(worker))
                .filter(|(urgency, _)| *urgency < least);
            let may_begin = may_begin && worker.held - worker.active < MAX_PARKED;
            let mut tasks = waiting(sweep).take_while(|task| may_begin && task.urgency() < least);
            let task = tasks.find(|task| self.takes(worker, task));
            Some((lease, first_of(parked, task.map(|task| (worker, task)))?))
        })
    }

    /// A worker has come with more than it has slots for: what is needed last of it waits.
    pub(crate) fn park_excess(
        &mut self,
        worker: &Name,
        changes: &mut Changes,
    ) -> Result<(), Broken> {
        let Some(known) = self.volatile.workers.get(worker).filter(|w| w.can_park && !w.draining)
        else {
            return Ok(());
        };
        let slots = usize::try_from(known.slots).unwrap_or(usize::MAX);
        let all = self.durable.held.get(worker).map_or(0, BTreeSet::len);
        let sweeps = self.durable.sweeps.values().filter(|sweep| sweep.phase == Phase::Searching);
        let held = sweeps.flat_map(|sweep| {
            self.trainings(sweep).map(move |(lease, record, trial)| (sweep, lease, record, trial))
        });
        let mine = held.filter(|(_, _, record, _)| record.worker == *worker);
        let mut mine: Vec<(bool, Urgency, LeaseId)> = mine
            .map(|(sweep, lease, _, trial)| (sweep.is_ready(trial), urgency(sweep, trial), lease))
            .collect();
        mine.sort_unstable();
        // A scoring is never parked.
        let scorings = all.saturating_sub(mine.len());
        mine.into_iter()
            .skip(slots.saturating_sub(scorings))
            .try_for_each(|(_, _, lease)| self.park(lease, changes))
    }

    pub(crate) fn park(&mut self, lease: LeaseId, changes: &mut Changes) -> Result<(), Broken> {
        self.volatile.parked.insert(lease);
        self.tell(lease, ToWorker::Park { lease }, changes)
    }

    pub(crate) fn unpark(&mut self, lease: LeaseId, changes: &mut Changes) -> Result<(), Broken> {
        self.volatile.parked.remove(&lease);
        self.tell(lease, ToWorker::Unpark { lease }, changes)
    }

    /// What this worker holds is parked no more, as it knows by itself.
    pub(crate) fn unpark_all(&mut self, worker: &Name) {
        for lease in self.durable.held.get(worker).into_iter().flatten() {
            self.volatile.parked.remove(lease);
        }
    }

    fn tell(&self, lease: LeaseId, message: ToWorker, changes: &mut Changes) -> Result<(), Broken> {
        let holder = self
            .durable
            .leases
            .get(&lease)
            .and_then(|record| self.volatile.workers.get(&record.worker));
        let session = holder
            .and_then(|w| w.session)
            .ok_or_else(|| Broken(format!("nobody to tell of lease {lease}")))?;
        changes.effects.push(Effect::Send(session, message));
        Ok(())
    }

    /// The sweep's trials that workers hold. All of them are in flight: this is asked on every
    /// step, and leases are many.
    fn trainings<'a>(
        &'a self,
        sweep: &'a Sweep,
    ) -> impl Iterator<Item = (LeaseId, &'a Lease, &'a Trial)> {
        let in_flight =
            (!sweep.spec.data.is_external()).then_some(&sweep.in_flight).into_iter().flatten();
        let running = in_flight
            .filter_map(|(_, number)| sweep.trial(*number))
            .filter(|trial| trial.state == TrialState::Running);
        running.filter_map(|trial| {
            Some((trial.lease?, self.durable.leases.get(&trial.lease?)?, trial))
        })
    }

    /// Slots that the sweep has.
    pub(crate) fn running_on(&self, sweep: &Sweep) -> usize {
        let trainings = self
            .trainings(sweep)
            .filter(|(lease, ..)| !self.volatile.parked.contains(lease))
            .count();
        trainings
            + usize::from(sweep.scoring.as_ref().is_some_and(|scoring| scoring.lease.is_some()))
    }
}

/// When something has to be brought of a trial that a worker holds.
fn urgency(sweep: &Sweep, trial: &Trial) -> Urgency {
    (sweep.next_delivery(trial), trial.number)
}
