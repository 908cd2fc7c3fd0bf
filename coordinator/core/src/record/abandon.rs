//! What is done to the record for a sweep that cannot go on. No event says so: the next restart
//! tries again.

use caviar_common::ids::{LeaseId, SweepId};

use super::event::{Event, Payload};
use super::state::{Holder, Lease, Record};

/// Numbers that are left out after events were lost: far more than a coordinator ever gives at
/// once.
const GAP: u64 = 1 << 40;

/// Ends the leases of a sweep, and returns them.
pub(crate) fn abandon(record: &mut Record, id: SweepId) -> Vec<(LeaseId, Lease)> {
    let of_sweep = record.leases.iter().filter(|(_, lease)| lease.sweep == id);
    let leases: Vec<LeaseId> = of_sweep.map(|(lease, _)| *lease).collect();
    if let Some(sweep) = record.sweeps.get_mut(&id) {
        sweep.leases.clear();
    }
    let mut ended = Vec::new();
    for id in leases {
        let Some(lease) = record.leases.remove(&id) else { continue };
        if let Holder::Worker { name, .. } = &lease.holder
            && let Some(held) = record.held.get_mut(name)
        {
            held.remove(&id);
        }
        ended.push((id, lease));
    }
    record.held.retain(|_, held| !held.is_empty());
    ended
}

/// Counts the numbers that an event used without applying it.
pub(crate) fn reserve(record: &mut Record, event: &Event) {
    let next_sweep = SweepId(event.sweep.0.saturating_add(1));
    record.next_sweep = record.next_sweep.max(next_sweep);
    let leases = match &event.payload {
        Payload::LeaseGranted(granted) => vec![granted.lease],
        Payload::TrialsAsked(asked) => asked.granted.iter().map(|granted| granted.lease).collect(),
        Payload::SweepCreated(_)
        | Payload::SweepPaused
        | Payload::SweepResumed
        | Payload::SweepResized(_)
        | Payload::SweepExtended(_)
        | Payload::SweepCancelled
        | Payload::SweepDeleted(_)
        | Payload::SweepCompleted
        | Payload::TrialSampled(_)
        | Payload::LeaseEnded(_)
        | Payload::LeaseRestored(_)
        | Payload::LossWithdrawn(_)
        | Payload::EpochRecorded(_)
        | Payload::EpochsRecorded(_)
        | Payload::TrialFinished(_)
        | Payload::TrialPassed(_)
        | Payload::TrialStopped(_)
        | Payload::TrialDecided(_)
        | Payload::ScoringStarted(_)
        | Payload::WinnerScored(_)
        | Payload::CheckpointChanged(_) => Vec::new(),
    };
    for lease in leases {
        record.next_lease = record.next_lease.max(LeaseId(lease.0.saturating_add(1)));
    }
}

/// Leaves out numbers of sweeps and leases that events may have used which are lost.
pub(crate) fn leave_a_gap(record: &mut Record) {
    record.next_lease = LeaseId(record.next_lease.0.saturating_add(GAP));
    record.next_sweep = SweepId(record.next_sweep.0.saturating_add(1_000));
}
