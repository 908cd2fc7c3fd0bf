//! The state that a restart may forget: connections, silence, parked trials, samplers.

use std::collections::{BTreeMap, BTreeSet};

use caviar_common::ids::{Incarnation, LeaseId, Name, SessionId, SweepId, TrialNumber};
use caviar_common::numbers::to_u32;
use caviar_search::Sampler;

use crate::record::state::{Holder, Record};

/// What is known of a worker, besides its leases.
#[derive(Debug)]
pub(crate) struct Worker {
    /// The worker's connection; `None` while it is not connected.
    pub(crate) session: Option<SessionId>,
    /// The worker's process.
    pub(crate) incarnation: Incarnation,
    /// Trials that the worker can train at the same time.
    pub(crate) slots: u32,
    /// True if the worker is to finish what it holds and exit.
    pub(crate) is_draining: bool,
    /// True if the worker understands Park and Unpark.
    pub(crate) can_park: bool,
    /// True if the worker declined a grant since the last tick. Until the next one it gets no new
    /// grant, because it would decline that too.
    pub(crate) has_declined: bool,
    /// When the worker last sent a message, in the driver's milliseconds.
    pub(crate) last_heard: u64,
    /// Sweeps that the worker cannot train, and single trials (`Some`) that it has no memory for.
    pub(crate) unable: BTreeMap<(SweepId, Option<TrialNumber>), Unable>,
}

impl Worker {
    /// True if the worker has not said that it cannot train this trial.
    pub(crate) fn can_train(&self, sweep: SweepId, trial: TrialNumber) -> bool {
        !self.unable.contains_key(&(sweep, None))
            && !self.unable.contains_key(&(sweep, Some(trial)))
    }
}

/// Why a worker cannot train something.
#[derive(Debug)]
pub(crate) struct Unable {
    /// The worker's explanation.
    pub(crate) message: String,
    /// When the worker said so, in the driver's milliseconds.
    pub(crate) since: u64,
}

/// Sweeps and trials whose views have changed.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// The sweeps.
    pub(crate) sweeps: BTreeSet<SweepId>,
    /// The trials.
    pub(crate) trials: BTreeSet<(SweepId, TrialNumber)>,
}

/// The state that a restart may forget.
#[derive(Debug, Default)]
pub(crate) struct Volatile {
    /// The workers that are connected or hold leases.
    pub(crate) workers: BTreeMap<Name, Worker>,
    /// The worker of each connection.
    pub(crate) sessions: BTreeMap<SessionId, Name>,
    /// When an external client last named each of its leases, in the driver's milliseconds.
    pub(crate) client_leases_heard: BTreeMap<LeaseId, u64>,
    /// The leases whose trials are parked. A new connection begins without any.
    pub(crate) parked: BTreeSet<LeaseId>,
    /// The samplers of sweeps that were asked for a trial since the start.
    pub(crate) samplers: BTreeMap<SweepId, Box<dyn Sampler>>,
    /// Sweeps that may have decisions to take.
    pub(crate) undecided: BTreeSet<SweepId>,
    /// The sweep at which the last decisions were interrupted.
    pub(crate) interrupted_at: Option<SweepId>,
    /// Sweeps whose view has changed since the last step.
    pub(crate) changed: BTreeSet<SweepId>,
    /// What changed since the rows of trials were last taken.
    pub(crate) touched: Touched,
    /// The time of the latest input, in the driver's milliseconds.
    pub(crate) now: u64,
    /// The time of the latest tick, in the driver's milliseconds.
    pub(crate) last_tick: u64,
}

impl Volatile {
    /// The state after a restart at `now`: every holder of a lease counts as heard at this time.
    pub(crate) fn after_restart(record: &Record, now: u64) -> Self {
        let mut volatile = Self { now, last_tick: now, ..Self::default() };
        for (id, lease) in record.leases() {
            match lease.holder() {
                Holder::Client { .. } => {
                    volatile.client_leases_heard.insert(*id, now);
                }
                Holder::Worker { name, incarnation } => {
                    volatile.workers.entry(name.clone()).or_insert_with(|| Worker {
                        session: None,
                        incarnation: *incarnation,
                        // The worker has at least as many; its Hello will say how many.
                        slots: to_u32(record.held_count(name)),
                        is_draining: false,
                        can_park: false,
                        has_declined: false,
                        last_heard: now,
                        unable: BTreeMap::new(),
                    });
                }
            }
        }
        volatile.undecided.extend(record.sweeps().keys());
        volatile
    }

    /// Notes that an event happened to `sweep`.
    pub(crate) fn mark_changed(&mut self, sweep: SweepId) {
        self.undecided.insert(sweep);
        self.changed.insert(sweep);
    }
}
