//! The indexes from which placement chooses: what waits, what runs, and which workers have a free
//! slot. They follow from the record and from what is known of the workers, and are updated with
//! every event, so that a choice costs the same for ten workers and for ten thousand.
//!
//! ```text
//! event, park, hello --> Schedule::{set_job, set_worker, set_open}
//!     free:    workers with a free slot, most free slots first
//!     hungry:  sweeps with something that waits, fewest busy slots first
//!     Demand:  of one sweep: what waits, what is parked, what has run ahead
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use caviar_common::ids::{LeaseId, Name, SweepId, TrialNumber};

use crate::record::state::Urgency;

/// What placement knows of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ScheduledJob {
    /// It waits for a worker.
    Waiting {
        /// When it is needed.
        urgency: Urgency,
        /// True if it may be what crashes its workers.
        is_suspect: bool,
    },
    /// A worker executes it or keeps it parked.
    Held(HeldJob),
}

/// A job that a worker holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HeldJob {
    pub(crate) lease: LeaseId,
    pub(crate) worker: Name,
    /// When the worker's next report is needed.
    pub(crate) urgency: Urgency,
    pub(crate) is_suspect: bool,
    pub(crate) is_parked: bool,
    /// True if the trial has run ahead: it has reported enough for its next decision.
    pub(crate) is_ahead: bool,
}

/// A worker's slots and what fills them.
#[derive(Debug, Default)]
struct Load {
    /// Slots for which the worker accepts jobs; 0 if it accepts none.
    slots: u32,
    /// Leases whose trials are not parked.
    active: u32,
    suspects: u32,
    /// The parked trials, with their sweeps and urgencies.
    parked: BTreeMap<LeaseId, (SweepId, Urgency)>,
}

impl Load {
    const fn free(&self) -> u32 {
        self.slots.saturating_sub(self.active)
    }
}

/// A sweep's jobs.
#[derive(Debug, Default)]
pub(crate) struct Demand {
    /// False if nothing of the sweep may start, because it is paused for example.
    is_open: bool,
    /// Slots that its jobs occupy.
    busy: u32,
    /// What waits, without the suspects.
    waiting: BTreeSet<Urgency>,
    suspects: BTreeSet<Urgency>,
    parked: BTreeSet<(Urgency, LeaseId)>,
    /// The parked trials whose workers have a free slot.
    can_continue: BTreeSet<(Urgency, LeaseId)>,
    /// Running trials that have run ahead, which can be parked.
    ahead: BTreeSet<(Urgency, LeaseId)>,
}

impl Demand {
    /// What waits, without the suspects, most urgent first.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = Urgency> {
        let open = self.is_open.then_some(&self.waiting);
        open.into_iter().flatten().copied()
    }

    /// The suspects that wait, most urgent first.
    pub(crate) fn suspects(&self) -> impl Iterator<Item = Urgency> {
        let open = self.is_open.then_some(&self.suspects);
        open.into_iter().flatten().copied()
    }

    /// The most urgent parked trial whose worker has a free slot.
    pub(crate) fn next_to_continue(&self) -> Option<(Urgency, LeaseId)> {
        self.can_continue.first().copied()
    }

    /// The urgency of the most urgent trial that has no slot.
    pub(crate) fn most_urgent(&self) -> Option<Urgency> {
        let parked = self.parked.first().map(|(urgency, _)| *urgency);
        self.waiting().next().into_iter().chain(self.suspects().next()).chain(parked).min()
    }

    /// The running trials that can be parked, the least urgent first.
    pub(crate) fn ahead(&self) -> impl Iterator<Item = (Urgency, LeaseId)> {
        self.ahead.iter().rev().copied()
    }

    fn is_hungry(&self) -> bool {
        let waits = !self.waiting.is_empty() || !self.suspects.is_empty();
        (self.is_open && waits) || !self.can_continue.is_empty()
    }
}

/// Free slots and the name of their worker; the largest number comes first.
type FreeSlots = (Reverse<u32>, Name);

/// The indexes. See the [module's description](self).
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    loads: BTreeMap<Name, Load>,
    jobs: BTreeMap<(SweepId, TrialNumber), ScheduledJob>,
    demands: BTreeMap<SweepId, Demand>,
    free: BTreeSet<FreeSlots>,
    /// The free slots of all workers together.
    free_slots: u32,
    /// The slots of all workers together.
    slots: u32,
    /// The part of `free` that holds no suspect.
    free_for_suspects: BTreeSet<FreeSlots>,
    /// The sweeps with something that waits, by busy slots.
    hungry: BTreeSet<(u32, SweepId)>,
    /// The sweeps with a suspect that waits, by busy slots.
    suspecting: BTreeSet<(u32, SweepId)>,
    /// The sweeps in which a running trial may have to give its slot to a more urgent one.
    to_exchange: BTreeSet<SweepId>,
}

/// Updates.
impl Schedule {
    /// Sets for how many slots a worker accepts jobs.
    pub(crate) fn set_worker(&mut self, worker: &Name, slots: u32) {
        self.change_load(worker, |load| load.slots = slots);
    }

    /// Forgets a worker that holds no lease.
    pub(crate) fn remove_worker(&mut self, worker: &Name) {
        self.set_worker(worker, 0);
        self.loads.remove(worker);
    }

    /// Sets whether jobs of the sweep may start.
    pub(crate) fn set_open(&mut self, sweep: SweepId, is_open: bool) {
        self.change_demand(sweep, |demand| demand.is_open = is_open);
    }

    /// Forgets a sweep that has ended.
    pub(crate) fn remove_sweep(&mut self, sweep: SweepId) {
        let all = (sweep, TrialNumber(0))..=(sweep, TrialNumber(u32::MAX));
        let trials: Vec<TrialNumber> = self.jobs.range(all).map(|((_, trial), _)| *trial).collect();
        for trial in trials {
            self.set_job(sweep, trial, None);
        }
        self.set_open(sweep, false);
        self.demands.remove(&sweep);
        self.to_exchange.remove(&sweep);
    }

    /// Replaces what is known of a job. `None` if it neither waits nor is held by a worker.
    pub(crate) fn set_job(
        &mut self,
        sweep: SweepId,
        trial: TrialNumber,
        job: Option<ScheduledJob>,
    ) {
        let before = match &job {
            Some(job) => self.jobs.insert((sweep, trial), job.clone()),
            None => self.jobs.remove(&(sweep, trial)),
        };
        if before == job {
            return;
        }
        for (job, is_new) in [(&before, false), (&job, true)] {
            match job {
                Some(ScheduledJob::Waiting { urgency, is_suspect }) => {
                    self.change_demand(sweep, |demand| {
                        let waiting =
                            if *is_suspect { &mut demand.suspects } else { &mut demand.waiting };
                        change(waiting, *urgency, is_new);
                    });
                }
                Some(ScheduledJob::Held(held)) => self.change_held(sweep, held, is_new),
                None => {}
            }
        }
    }

    fn change_held(&mut self, sweep: SweepId, held: &HeldJob, is_new: bool) {
        let HeldJob { lease, urgency, is_suspect, is_parked, is_ahead, .. } = *held;
        let place = (urgency, lease);
        self.change_demand(sweep, |demand| {
            if is_parked {
                change(&mut demand.parked, place, is_new);
                // The change of the worker's load below adds it again if it can continue.
                demand.can_continue.remove(&place);
            } else {
                count(&mut demand.busy, is_new);
                if is_ahead {
                    change(&mut demand.ahead, place, is_new);
                }
            }
        });
        self.change_load(&held.worker, |load| {
            if is_suspect {
                count(&mut load.suspects, is_new);
            }
            if is_parked && is_new {
                load.parked.insert(lease, (sweep, urgency));
            } else if is_parked {
                load.parked.remove(&lease);
            } else {
                count(&mut load.active, is_new);
            }
        });
        if is_parked && is_new && self.has_free_slot(&held.worker) {
            self.change_demand(sweep, |demand| change(&mut demand.can_continue, place, true));
        }
    }

    /// Changes a demand, and then the indexes in which it is.
    fn change_demand(&mut self, sweep: SweepId, with: impl FnOnce(&mut Demand)) {
        let demand = self.demands.entry(sweep).or_default();
        let place = (demand.busy, sweep);
        self.hungry.remove(&place);
        self.suspecting.remove(&place);
        with(demand);
        let place = (demand.busy, sweep);
        if demand.is_hungry() {
            self.hungry.insert(place);
        }
        if demand.suspects().next().is_some() {
            self.suspecting.insert(place);
        }
        if demand.most_urgent().is_some() && !demand.ahead.is_empty() {
            self.to_exchange.insert(sweep);
        }
    }

    /// Changes a load, and then the indexes in which it is.
    fn change_load(&mut self, worker: &Name, with: impl FnOnce(&mut Load)) {
        let load = self.loads.entry(worker.clone()).or_default();
        let before = load.free();
        self.free_slots = self.free_slots.saturating_sub(before);
        self.slots = self.slots.saturating_sub(load.slots);
        let place = (Reverse(before), worker.clone());
        self.free.remove(&place);
        self.free_for_suspects.remove(&place);
        with(load);
        let (after, suspects) = (load.free(), load.suspects);
        self.free_slots = self.free_slots.saturating_add(after);
        self.slots = self.slots.saturating_add(load.slots);
        let is_changed = (before == 0) != (after == 0);
        let parked = if is_changed { load.parked.clone() } else { BTreeMap::new() };
        if after > 0 {
            let place = (Reverse(after), worker.clone());
            if suspects == 0 {
                self.free_for_suspects.insert(place.clone());
            }
            self.free.insert(place);
        }
        for (lease, (sweep, urgency)) in parked {
            self.change_demand(sweep, |demand| {
                change(&mut demand.can_continue, (urgency, lease), after > 0);
            });
        }
    }
}

/// Questions.
impl Schedule {
    /// True if nothing that waits could get a slot, so that there is nothing to assign.
    pub(crate) fn has_nothing_to_assign(&self) -> bool {
        self.free.is_empty() || self.hungry.is_empty()
    }

    /// The free slots of all workers that accept jobs.
    pub(crate) const fn free_slots(&self) -> u32 {
        self.free_slots
    }

    /// The slots of all workers that accept jobs.
    pub(crate) const fn slots(&self) -> u32 {
        self.slots
    }

    /// The free slots of a worker; 0 if it accepts no jobs.
    pub(crate) fn free_slots_of(&self, worker: &Name) -> u32 {
        self.loads.get(worker).map_or(0, Load::free)
    }

    /// The workers with a free slot, most free slots first.
    pub(crate) fn free_workers(&self) -> impl Iterator<Item = &Name> {
        self.free.iter().map(|(_, worker)| worker)
    }

    /// The workers with a free slot that hold no suspect, most free slots first.
    pub(crate) fn free_workers_for_suspects(&self) -> impl Iterator<Item = &Name> {
        self.free_for_suspects.iter().map(|(_, worker)| worker)
    }

    /// The sweeps with something that waits, the one with the fewest busy slots first.
    pub(crate) fn hungry(&self) -> impl Iterator<Item = (SweepId, &Demand)> {
        self.hungry.iter().filter_map(|(_, sweep)| Some((*sweep, self.demands.get(sweep)?)))
    }

    /// The sweeps with a suspect that waits, the one with the fewest busy slots first.
    pub(crate) fn suspecting(&self) -> impl Iterator<Item = (SweepId, &Demand)> {
        self.suspecting.iter().filter_map(|(_, sweep)| Some((*sweep, self.demands.get(sweep)?)))
    }

    /// What waits and runs of a sweep.
    pub(crate) fn demand(&self, sweep: SweepId) -> Option<&Demand> {
        self.demands.get(&sweep)
    }

    /// The next sweep in which a running trial may have to give its slot to a more urgent one.
    pub(crate) fn next_to_exchange(&self) -> Option<SweepId> {
        self.to_exchange.first().copied()
    }

    /// No running trial of the sweep has to give its slot away until something changes.
    pub(crate) fn exchanged(&mut self, sweep: SweepId) {
        self.to_exchange.remove(&sweep);
    }

    /// The job of a trial, if it waits or a worker holds it.
    pub(crate) fn job(&self, sweep: SweepId, trial: TrialNumber) -> Option<&ScheduledJob> {
        self.jobs.get(&(sweep, trial))
    }

    /// True if the worker has a free slot and accepts jobs.
    pub(crate) fn has_free_slot(&self, worker: &Name) -> bool {
        self.loads.get(worker).is_some_and(|load| load.free() > 0)
    }

    /// How many suspects the worker holds.
    pub(crate) fn suspects_of(&self, worker: &Name) -> u32 {
        self.loads.get(worker).map_or(0, |load| load.suspects)
    }

    /// The parked trials of a worker, with their sweeps and urgencies.
    pub(crate) fn parked_of(
        &self,
        worker: &Name,
    ) -> impl Iterator<Item = (LeaseId, SweepId, Urgency)> {
        let parked = self.loads.get(worker).map(|load| &load.parked);
        let parked = parked.into_iter().flatten();
        parked.map(|(lease, (sweep, urgency))| (*lease, *sweep, *urgency))
    }
}

fn change<T: Ord>(set: &mut BTreeSet<T>, item: T, is_new: bool) {
    if is_new {
        set.insert(item);
    } else {
        set.remove(&item);
    }
}

const fn count(number: &mut u32, is_new: bool) {
    *number = if is_new { number.saturating_add(1) } else { number.saturating_sub(1) };
}
