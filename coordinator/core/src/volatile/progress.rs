//! Which trainings hang: those that report no epoch for much longer than an epoch should take.
//!
//! An epoch of a trial takes a known number of cost units ([`caviar_common::cost`]). Every report
//! says how long its training has taken, so the coordinator knows how many milliseconds a unit
//! takes on the worker. A training may be silent for
//!
//! ```text
//! max(least, 20 * units of an epoch * milliseconds per unit)
//! ```
//!
//! For example, a worker that needed 2 s for an epoch of 1,000 units needs 2 ms for a unit. A trial
//! with epochs of 50,000 units should report every 100 s, and hangs after 2,000 s. Before any
//! worker has reported, a unit of a million operations may take [`SLOWEST_MS`].
//!
//! The time begins with the training. Before, a worker says with every heartbeat that the trial
//! waits for memory, or for data or a checkpoint that is on its way. A worker of an earlier release
//! does not say so, and the time begins with the grant.
//!
//! A training that hangs loses its lease. A worker that only waited, because its machine was
//! suspended for example, trains on for nothing, and the result does not change.

use std::collections::BTreeMap;
use std::time::Duration;

use caviar_common::ids::{LeaseId, Name};

use super::deadlines::Deadlines;

/// How many times as long as expected an epoch may take.
const PATIENCE: u64 = 20;
/// The time of a unit on a machine that was never measured, in milliseconds: a hundred million
/// operations a second, which is slower than any processor that Caviar runs on.
const SLOWEST_MS: u64 = 10;
/// Nanoseconds in a millisecond.
const NS: u64 = 1_000_000;

/// A training that a worker executes.
#[derive(Debug)]
struct Training {
    worker: Name,
    /// Cost units of an epoch.
    units: u64,
    /// When it began, last reported or was last said to wait; `None` while it is parked.
    since: Option<u64>,
}

/// The trainings of workers, and how fast the workers are.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    trainings: BTreeMap<LeaseId, Training>,
    deadlines: Deadlines<LeaseId>,
    /// The time of a unit on each worker, as its last report says, in nanoseconds.
    unit_ns: BTreeMap<Name, u64>,
}

impl Progress {
    /// A worker begins a training whose epochs take `units` each.
    pub(crate) fn begin(&mut self, lease: LeaseId, worker: &Name, units: u64, now: u64) {
        let training = Training { worker: worker.clone(), units, since: Some(now) };
        self.trainings.insert(lease, training);
        self.deadlines.insert(now, lease);
    }

    /// A training reported. It has trained `epochs` in `seconds`.
    pub(crate) fn report(&mut self, lease: LeaseId, epochs: u32, seconds: Option<f64>, now: u64) {
        let Some(training) = self.trainings.get_mut(&lease) else { return };
        training.since = training.since.map(|_| now);
        let units = u128::from(training.units) * u128::from(epochs);
        let took = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        if let Some(unit_ns) = took.and_then(|took| took.as_nanos().checked_div(units)) {
            let unit_ns = u64::try_from(unit_ns).unwrap_or(u64::MAX).max(1);
            self.unit_ns.insert(training.worker.clone(), unit_ns);
        }
    }

    /// A training of the worker has not begun yet: it waits for memory or for its data.
    pub(crate) fn wait(&mut self, lease: LeaseId, worker: &Name, now: u64) {
        let training = self.trainings.get_mut(&lease).filter(|it| it.worker == *worker);
        if let Some(training) = training {
            training.since = training.since.map(|_| now);
        }
    }

    /// A training is parked, or continues.
    pub(crate) fn park(&mut self, lease: LeaseId, is_parked: bool, now: u64) {
        if let Some(training) = self.trainings.get_mut(&lease) {
            training.since = (!is_parked).then_some(now);
            self.deadlines.insert(now, lease);
        }
    }

    /// The lease has ended.
    pub(crate) fn end(&mut self, lease: LeaseId) {
        self.trainings.remove(&lease);
    }

    /// Forgets how fast a worker is.
    pub(crate) fn forget_worker(&mut self, worker: &Name) {
        self.unit_ns.remove(worker);
    }

    /// The next training that has been silent for too long, but at least for `least` milliseconds.
    pub(crate) fn take_stalled(&mut self, now: u64, least: u64) -> Option<LeaseId> {
        while let Some(lease) = self.deadlines.take_due(now) {
            let Some(training) = self.trainings.get(&lease) else { continue };
            let Some(since) = training.since else { continue };
            let patience = self.patience(training).max(least);
            if now.saturating_sub(since) > patience {
                self.trainings.remove(&lease);
                return Some(lease);
            }
            self.deadlines.insert(since.saturating_add(patience).saturating_add(1), lease);
        }
        None
    }

    /// How long the training may be silent, in milliseconds.
    fn patience(&self, training: &Training) -> u64 {
        let measured = self.unit_ns.get(&training.worker);
        let unit_ns = measured.copied().unwrap_or(SLOWEST_MS * NS);
        training.units.saturating_mul(PATIENCE).saturating_mul(unit_ns) / NS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(units: u64) -> (Progress, LeaseId) {
        let (mut progress, lease) = (Progress::default(), LeaseId(1));
        progress.begin(lease, &Name::parse("worker", "w").unwrap(), units, 0);
        (progress, lease)
    }

    #[test]
    fn a_training_may_take_twenty_times_as_long_as_its_worker_needs_for_an_epoch() {
        let (mut progress, lease) = begun(1_000);
        progress.report(lease, 1, Some(2.0), 2_000);
        assert_eq!(progress.take_stalled(42_000, 100), None);
        assert_eq!(progress.take_stalled(42_001, 100), Some(lease));
        assert_eq!(progress.take_stalled(90_000, 100), None, "it is taken once");
    }

    #[test]
    fn a_training_on_a_machine_that_was_never_measured_is_given_much_time() {
        let (mut progress, lease) = begun(1_000);
        assert_eq!(progress.take_stalled(200_000, 100), None);
        assert_eq!(progress.take_stalled(200_001, 100), Some(lease));
        let (mut progress, lease) = begun(1);
        assert_eq!(progress.take_stalled(600_000, 600_000), None, "the least time");
        assert_eq!(progress.take_stalled(600_001, 600_000), Some(lease));
    }

    #[test]
    fn the_time_in_which_a_training_is_parked_does_not_count() {
        let (mut progress, lease) = begun(1);
        progress.park(lease, true, 100);
        assert_eq!(progress.take_stalled(900_000, 1_000), None);
        progress.park(lease, false, 900_000);
        assert_eq!(progress.take_stalled(901_000, 1_000), None);
        assert_eq!(progress.take_stalled(901_001, 1_000), Some(lease));
    }
}
