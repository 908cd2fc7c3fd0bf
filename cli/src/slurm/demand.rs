//! How many slots the sweeps of a coordinator lack.

use std::collections::BTreeMap;

use caviar_common::numbers::to_u32;
use caviar_common::outcome::SweepState;
use caviar_common::view::{SweepView, WorkerView};

use super::allocator::Demand;

/// What the name of the worker of a job begins with. The number of the job follows.
pub(crate) const WORKER_PREFIX: &str = "slurm-";

/// The demand: trials that wait for a slot or are held by a worker, minus the slots of the workers.
/// A worker that drains, or that is not connected, counts with neither.
pub(crate) fn demand(sweeps: &[SweepView], workers: &[WorkerView]) -> Demand {
    let trained = sweeps.iter().filter(|sweep| !sweep.spec.data.is_external());
    let waiting: u32 = trained
        .clone()
        .filter(|sweep| sweep.state == SweepState::Running)
        .map(|sweep| sweep.counts.queued)
        .fold(0, u32::saturating_add);
    let present = workers.iter().filter(|worker| worker.connected && !worker.draining);
    let held: usize = present.clone().map(|worker| worker.trials.len()).sum();
    let slots = present.clone().map(|worker| worker.slots).fold(0, u32::saturating_add);
    let scores = trained.clone().any(|sweep| sweep.state == SweepState::Scoring);
    // A scoring that waits for a slot is in no count.
    let scoring = u32::from(scores && held == 0);
    let in_flight = waiting.saturating_add(to_u32(held)).saturating_add(scoring);
    let connected: BTreeMap<String, u32> = workers
        .iter()
        .filter(|worker| worker.connected)
        .filter_map(|worker| {
            let job = worker.worker.as_str().strip_prefix(WORKER_PREFIX)?;
            Some((job.to_owned(), worker.slots))
        })
        .collect();
    Demand { missing_slots: in_flight.saturating_sub(slots), connected }
}

/// Whether a sweep runs, or will run when it gets a worker.
pub(crate) fn is_active(sweep: &SweepView) -> bool {
    matches!(sweep.state, SweepState::Running | SweepState::Scoring)
        && !sweep.spec.data.is_external()
}
