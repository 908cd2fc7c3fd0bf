//! Sweeps that cannot go on, because an event of theirs does not fit or is damaged.
//!
//! A bug or a damaged row must not stop the sweeps of everybody. The sweep that it concerns is
//! *quarantined*: its leases end without an event, it decides nothing, refuses every request but
//! its deletion, and its view says why. The other sweeps go on. A restart tries again.

use caviar_common::ask::AskReply;
use caviar_common::ids::{LeaseId, SweepId};

use crate::Coordinator;
use crate::input::{ClientReply, Refusal};
use crate::record::{self, Broken};

impl Coordinator {
    /// Quarantines the sweep whose event was applied last, because it does not fit. Returns the
    /// refusal for the request that led to it.
    ///
    /// # Errors
    /// The broken invariant is not that of a sweep.
    pub(crate) fn contain(&mut self, broken: Broken) -> Result<Refusal, Broken> {
        let Some(sweep) = self.volatile.breaking.take() else { return Err(broken) };
        self.quarantine(sweep, broken.0.clone());
        let name = self.record.sweep(sweep).map(|sweep| sweep.spec().name.clone());
        name.map(|name| Refusal::Quarantined { name, reason: broken.0.clone() }).ok_or(broken)
    }

    /// Stops a sweep and leaves the others as they are.
    pub(crate) fn quarantine(&mut self, id: SweepId, reason: String) {
        let leases = record::abandon(&mut self.record, id);
        for (lease, held) in leases {
            self.forget_lease(lease);
            self.revoke_from(&held, lease, "its sweep is damaged");
        }
        self.volatile.samplers.remove(&id);
        self.volatile.schedule.remove_sweep(id);
        self.volatile.undecided.remove(&id);
        for waiter in self.volatile.waiting.take_sweep(id) {
            let over = AskReply { trials: Vec::new(), is_over: true };
            self.changes.answer(waiter, ClientReply::Trials(over));
        }
        self.volatile.quarantined.insert(id, reason);
        self.volatile.mark_changed(id);
    }

    /// Why a sweep cannot go on; `None` if it can.
    pub fn quarantined(&self, id: SweepId) -> Option<&str> {
        self.volatile.quarantined.get(&id).map(String::as_str)
    }

    /// Forgets what is known of a lease that has ended.
    pub(crate) fn forget_lease(&mut self, lease: LeaseId) {
        self.volatile.parked.remove(&lease);
        self.volatile.progress.end(lease);
        self.volatile.client_leases_heard.remove(&lease);
    }
}
