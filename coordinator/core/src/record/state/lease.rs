//! Leases: who may execute which trial, and how many workers were lost in doing so.

use caviar_common::ids::{AttemptNumber, Incarnation, Name, SweepId, TrialNumber};
use caviar_common::outcome::Job;

use crate::record::event::WorkerLost;

/// A lease in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Lease {
    pub(in crate::record) sweep: SweepId,
    pub(in crate::record) trial: TrialNumber,
    pub(in crate::record) attempt: AttemptNumber,
    pub(in crate::record) job: Job,
    pub(in crate::record) holder: Holder,
}

/// Who holds a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A worker. Any message on its connection renews its leases.
    Worker {
        /// The worker's name.
        name: Name,
        /// The process of the worker that got the grant.
        incarnation: Incarnation,
    },
    /// An external client, which runs the trial itself and has no connection. Each report renews
    /// only the lease that it names.
    Client {
        /// The client's name.
        name: Name,
        /// How long the client may be silent, in milliseconds.
        lease_ms: u64,
    },
}

impl Lease {
    /// The sweep of the trial.
    pub const fn sweep(&self) -> SweepId {
        self.sweep
    }

    /// The trial that the holder executes.
    pub const fn trial(&self) -> TrialNumber {
        self.trial
    }

    /// The number of this execution of the trial.
    pub const fn attempt(&self) -> AttemptNumber {
        self.attempt
    }

    /// What the lease is for.
    pub const fn job(&self) -> Job {
        self.job
    }

    /// Who holds the lease.
    pub const fn holder(&self) -> &Holder {
        &self.holder
    }

    /// The name of the worker that holds the lease; `None` if an external client holds it.
    pub const fn worker(&self) -> Option<&Name> {
        match &self.holder {
            Holder::Worker { name, .. } => Some(name),
            Holder::Client { .. } => None,
        }
    }

    /// The process of the worker that holds the lease; `None` if an external client holds it.
    pub const fn incarnation(&self) -> Option<Incarnation> {
        match &self.holder {
            Holder::Worker { incarnation, .. } => Some(*incarnation),
            Holder::Client { .. } => None,
        }
    }

    /// How long the external client that holds the lease may be silent, in milliseconds; `None` if
    /// a worker holds it.
    pub const fn client_lease_ms(&self) -> Option<u64> {
        match &self.holder {
            Holder::Worker { .. } => None,
            Holder::Client { lease_ms, .. } => Some(*lease_ms),
        }
    }
}

/// How many workers were lost while they executed a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LostWorkers {
    pub(in crate::record) alone: u32,
    pub(in crate::record) shared: u32,
}

impl LostWorkers {
    /// Workers that were lost while they held no other lease. These count against the trial.
    pub const fn alone(self) -> u32 {
        self.alone
    }

    /// Workers that were lost while they held other leases too. The trial may be the cause.
    pub const fn shared(self) -> u32 {
        self.shared
    }

    /// True if any worker was lost: the trial is then a suspect.
    pub const fn is_any(self) -> bool {
        self.alone > 0 || self.shared > 0
    }

    /// How many leases a worker with `slots` may hold while it holds this trial; `None` if no
    /// worker was lost, which means no limit.
    ///
    /// Every shared loss halves the number. A trial that crashes its workers is soon the only one
    /// on its worker, and the innocent trials that shared its first crash wait only briefly.
    pub fn max_held_leases(self, slots: u32) -> Option<u32> {
        let halvings = if self.alone > 0 { u32::MAX } else { self.shared };
        (halvings > 0).then(|| slots.checked_shr(halvings).unwrap_or(0).max(1))
    }

    pub(in crate::record) const fn add(&mut self, lost: WorkerLost) {
        match lost {
            WorkerLost::Alone => self.alone += 1,
            WorkerLost::Shared => self.shared += 1,
        }
    }
}
