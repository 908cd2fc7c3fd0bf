//! Leases: who may execute which trial, and how a lost worker counts against its trials.

use caviar_common::ask::AskKey;
use caviar_common::ids::{
    AttemptNumber, Incarnation, LeaseId, Name, SweepId, TokenId, TrialNumber,
};
use caviar_common::outcome::Job;
use serde::{Deserialize, Serialize};

use crate::record::event::WorkerLost;

/// A lease in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    pub(in crate::record) sweep: SweepId,
    pub(in crate::record) trial: TrialNumber,
    pub(in crate::record) attempt: AttemptNumber,
    pub(in crate::record) job: Job,
    pub(in crate::record) holder: Holder,
}

/// Who holds a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Holder {
    /// A worker. Any message on its connection renews its leases.
    Worker {
        /// The worker's name.
        name: Name,
        /// The process of the worker that got the grant.
        incarnation: Incarnation,
        /// The identity of the token with which the worker had connected; `None` from a
        /// coordinator without tokens, and in what releases stored that did not tell workers apart.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<TokenId>,
    },
    /// An external client, which runs the trial itself and has no connection. Each report renews
    /// only the lease that it names.
    Client {
        /// The request for trials that got the lease. Only a client with its token can report
        /// under the lease.
        ask: AskKey,
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

    /// True if a client with this token may report under the lease. A worker's lease belongs to
    /// its connection, and no client may.
    pub fn belongs_to(&self, caller: Option<&TokenId>) -> bool {
        match &self.holder {
            Holder::Worker { .. } => false,
            // Without a token of its own, the lease was granted when clients were not told apart.
            Holder::Client { ask, .. } => ask.token.is_none() || ask.token.as_ref() == caller,
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

/// A lease of a worker that was silent for too long. Whether the process has died is not known yet:
/// it may only have slept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExpiredLease {
    pub(in crate::record) id: LeaseId,
    pub(in crate::record) lease: Lease,
    pub(in crate::record) losses: u32,
}

impl ExpiredLease {
    /// The lease's number.
    pub const fn id(&self) -> LeaseId {
        self.id
    }

    /// The lease as it was.
    pub const fn lease(&self) -> &Lease {
        &self.lease
    }

    /// How many of the losses in a row of the trial are due to this lease: 0 or 1.
    pub const fn losses(&self) -> u32 {
        self.losses
    }
}

/// From this number of losses in a row on, a trial is a *suspect*: it may be what crashes its
/// workers. One loss proves nothing, because machines fail and are taken away.
pub const SUSPECT_LOSSES: u32 = 2;

/// How many times in a row a trial has lost its worker, after one more loss. A loss that the trial
/// shares with others makes it a suspect at most: only losses for which the trial is the likely
/// cause count further. The number starts again at 0 when the trial makes progress.
///
/// Example: a machine with 200 trials is taken away again and again before a trial reports an
/// epoch. After two times all 200 are suspects. From then on a worker executes one suspect at a
/// time, so that the next loss accuses that trial. A trial that reports an epoch is not a
/// suspect any more.
pub const fn losses_after(losses: u32, lost: WorkerLost) -> u32 {
    match lost {
        WorkerLost::Shared if losses >= SUSPECT_LOSSES => losses,
        WorkerLost::Alone | WorkerLost::Shared => losses.saturating_add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_losses_make_a_suspect_and_do_not_convict_it() {
        let after = |lost: &[WorkerLost]| lost.iter().fold(0, |n, lost| losses_after(n, *lost));
        assert_eq!(after(&[WorkerLost::Shared; 9]), SUSPECT_LOSSES);
        assert_eq!(after(&[WorkerLost::Alone; 9]), 9);
        assert_eq!(after(&[WorkerLost::Shared, WorkerLost::Alone, WorkerLost::Alone]), 3);
    }
}
