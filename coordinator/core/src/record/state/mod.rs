//! The state that the events make. Everything in it survives a restart of the coordinator.

mod lease;
mod models;
pub(in crate::record) mod past;
mod statistics;
mod sweep;
mod trial;
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use caviar_common::ids::{LeaseId, Name, SweepId};

pub use lease::{ExpiredLease, Holder, Lease, SUSPECT_LOSSES, losses_after};
pub use models::{KeptModel, Models};
pub use past::PastTrial;
pub use statistics::{Boxes, RoundStatistics, Statistics};
pub(in crate::record) use sweep::Asks;
pub use sweep::{AskRecord, Phase, Scoring, ScoringResult, ScoringStatus, Sweep};
pub use trial::{EpochsSoFar, FinalAttempt, Trial, TrialStatus};
pub(in crate::record) use trials::Trials;

/// When something about a trial is needed: the virtual time, then the trial number. A lower value
/// is more urgent.
pub type Urgency = (u64, caviar_common::ids::TrialNumber);

/// The sweeps, and the leases in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub(in crate::record) sweeps: BTreeMap<SweepId, Sweep>,
    /// The sweeps by their names, and by the requests that created them.
    pub(in crate::record) names: BTreeMap<Name, SweepId>,
    pub(in crate::record) requests: BTreeMap<Name, SweepId>,
    pub(in crate::record) leases: BTreeMap<LeaseId, Lease>,
    /// The leases in force, by the worker that holds them; no external client is in it.
    pub(in crate::record) held: BTreeMap<Name, BTreeSet<LeaseId>>,
    /// The latest leases that led to a result, with their sweeps. A repeated report of such a
    /// result is acknowledged again.
    pub(in crate::record) results: BTreeMap<LeaseId, SweepId>,
    /// The trials that left flight since they were last taken.
    pub(in crate::record) retired: Vec<(SweepId, Arc<Trial>)>,
    pub(in crate::record) next_sweep: SweepId,
    pub(in crate::record) next_lease: LeaseId,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            sweeps: BTreeMap::new(),
            names: BTreeMap::new(),
            requests: BTreeMap::new(),
            leases: BTreeMap::new(),
            held: BTreeMap::new(),
            results: BTreeMap::new(),
            retired: Vec::new(),
            next_sweep: SweepId(1),
            next_lease: LeaseId(1),
        }
    }
}

impl Record {
    /// All sweeps that were not deleted.
    pub const fn sweeps(&self) -> &BTreeMap<SweepId, Sweep> {
        &self.sweeps
    }

    /// The sweep of that number, unless it was deleted.
    pub fn sweep(&self, id: SweepId) -> Option<&Sweep> {
        self.sweeps.get(&id)
    }

    /// The sweep of that name, unless it was deleted.
    pub fn sweep_named(&self, name: &Name) -> Option<&Sweep> {
        self.sweeps.get(self.names.get(name)?)
    }

    /// The sweep that a request with this identifier created, unless it was deleted.
    pub fn sweep_of_request(&self, request_id: &Name) -> Option<&Sweep> {
        self.sweeps.get(self.requests.get(request_id)?)
    }

    /// All leases in force.
    pub const fn leases(&self) -> &BTreeMap<LeaseId, Lease> {
        &self.leases
    }

    /// The lease of that number, if it is in force.
    pub fn lease(&self, id: LeaseId) -> Option<&Lease> {
        self.leases.get(&id)
    }

    /// The leases that a worker holds, in ascending order.
    pub fn held_leases(&self, worker: &Name) -> impl Iterator<Item = LeaseId> {
        self.held.get(worker).into_iter().flatten().copied()
    }

    /// How many leases a worker holds.
    pub fn held_count(&self, worker: &Name) -> usize {
        self.held.get(worker).map_or(0, BTreeSet::len)
    }

    /// Takes the trials that left flight since the last call. The state does not keep them.
    pub(crate) fn take_retired(&mut self) -> Vec<(SweepId, Arc<Trial>)> {
        std::mem::take(&mut self.retired)
    }

    /// True if a result was accepted under this lease.
    pub fn has_result(&self, lease: LeaseId) -> bool {
        self.results.contains_key(&lease)
    }

    /// How many times in a row the job of `lease` has lost its worker.
    pub fn losses(&self, lease: &Lease) -> u32 {
        self.sweep(lease.sweep).map_or(0, |sweep| sweep.losses(lease))
    }

    /// The number that the next sweep gets.
    pub const fn next_sweep(&self) -> SweepId {
        self.next_sweep
    }

    /// The number that the next lease gets.
    pub const fn next_lease(&self) -> LeaseId {
        self.next_lease
    }
}
