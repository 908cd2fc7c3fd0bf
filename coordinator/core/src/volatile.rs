//! What a restart may forget: connections, silence, samplers at hand.

use std::collections::{BTreeMap, BTreeSet};

use caviar_common::ids::{Incarnation, LeaseId, Name, SessionId, SweepId, TrialNumber};
use caviar_search::Sampler;

use crate::state::Durable;

/// What is known of a worker beside its leases.
#[derive(Debug)]
pub(crate) struct Worker {
    /// Its connection, if it has one.
    pub session: Option<SessionId>,
    /// Its process.
    pub incarnation: Incarnation,
    /// Trials it can train at once.
    pub slots: u32,
    /// It takes no new work.
    pub draining: bool,
    /// It may be asked to park trials.
    pub can_park: bool,
    /// It had no room for what it was given: it gets nothing more before the next tick, or the two
    /// would say so for ever.
    pub resting: bool,
    /// When it last said something, in the driver's milliseconds.
    pub last_heard: u64,
    /// Sweeps that it cannot train, and single trials, and why.
    pub unable: BTreeMap<(SweepId, Option<TrialNumber>), Unable>,
}

impl Worker {
    /// Whether nothing is known that keeps it from this trial.
    pub(crate) fn can(&self, sweep: SweepId, trial: TrialNumber) -> bool {
        !self.unable.contains_key(&(sweep, None))
            && !self.unable.contains_key(&(sweep, Some(trial)))
    }
}

/// What a worker cannot train.
#[derive(Debug)]
pub(crate) struct Unable {
    /// Why, for people.
    pub message: String,
    /// When it said so.
    pub since: u64,
}

/// The volatile state.
#[derive(Debug, Default)]
pub(crate) struct Volatile {
    pub workers: BTreeMap<Name, Worker>,
    /// Whose connection it is.
    pub sessions: BTreeMap<SessionId, Name>,
    /// When something was last heard of each lease that a program holds.
    pub heard: BTreeMap<LeaseId, u64>,
    /// Leases whose trials are parked; a connection begins without any.
    pub parked: BTreeSet<LeaseId>,
    /// The sampler of every sweep that was asked for one.
    pub samplers: BTreeMap<SweepId, Box<dyn Sampler>>,
    /// Sweeps with decisions to take.
    pub dirty: BTreeSet<SweepId>,
    /// Where deciding was broken off last.
    pub cut: Option<SweepId>,
    /// Sweeps that look different since the last step.
    pub changed: BTreeSet<SweepId>,
    /// The time of the latest input.
    pub now: u64,
    /// The time of the latest tick.
    pub last_tick: u64,
}

impl Volatile {
    pub(crate) fn after_restart(durable: &Durable, now: u64) -> Self {
        let mut volatile = Self { now, last_tick: now, ..Self::default() };
        volatile.heard.extend(
            durable
                .leases
                .iter()
                .filter(|(_, l)| l.program_ms.is_some())
                .map(|(lease, _)| (*lease, now)),
        );
        for lease in durable.leases.values().filter(|l| l.program_ms.is_none()) {
            let held = durable.held.get(&lease.worker).map_or(1, BTreeSet::len);
            volatile.workers.entry(lease.worker.clone()).or_insert_with(|| Worker {
                session: None,
                incarnation: lease.incarnation,
                // At least so many, as it seems; its Hello will say.
                slots: u32::try_from(held).unwrap_or(u32::MAX),
                draining: false,
                can_park: false,
                resting: false,
                last_heard: now,
                unable: BTreeMap::new(),
            });
        }
        volatile.dirty.extend(durable.sweeps.keys());
        volatile
    }

    pub(crate) fn touch(&mut self, sweep: SweepId) {
        self.dirty.insert(sweep);
        self.changed.insert(sweep);
    }
}
