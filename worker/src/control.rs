//! The switches of one runner: stop, leave and park. It also hands the runner its checkpoint.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::checkpoints::CheckpointError;

/// The bytes of a checkpoint, or why there are none.
pub(crate) type Fetched = Result<Vec<u8>, CheckpointError>;

/// What a runner's thread and the rest of the worker read of each other at any time.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    stopped: AtomicBool,
    waits: AtomicBool,
}

impl Flags {
    /// Those of a runner that was stopped already, or not.
    #[cfg(test)]
    pub(crate) const fn new(is_stopped: bool) -> Self {
        Self { stopped: AtomicBool::new(is_stopped), waits: AtomicBool::new(false) }
    }

    /// True once the runner has to end.
    pub(crate) const fn stopped(&self) -> &AtomicBool {
        &self.stopped
    }

    /// True while the runner waits for memory, or for data or a checkpoint that is on its way.
    pub(crate) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Does `work` in which the runner only waits.
    pub(crate) fn while_waiting<T>(&self, work: impl FnOnce() -> T) -> T {
        self.waits.store(true, Ordering::Relaxed);
        let done = work();
        self.waits.store(false, Ordering::Relaxed);
        done
    }
}

/// Whether a runner may continue to train. The runner's thread reads it between mini-batches, and
/// the driver sets it.
#[derive(Debug, Default)]
pub(crate) struct Control {
    flags: Flags,
    leaves: AtomicBool,
    is_storing: AtomicBool,
    waits: Mutex<Waits>,
    changed: Condvar,
}

/// What a runner waits for.
#[derive(Debug, Default)]
struct Waits {
    is_parked: bool,
    /// The checkpoint of its grant, once it has arrived.
    fetched: Option<Fetched>,
}

impl Control {
    /// Stops the runner at its next mini-batch. This cannot be undone.
    pub(crate) fn stop(&self) {
        self.flags.stopped.store(true, Ordering::Release);
        // The runner holds this lock from its check of `stopped` until it sleeps, so it cannot
        // miss the notification in between.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// Stops the runner at its next mini-batch, after it has written a checkpoint.
    pub(crate) fn leave(&self) {
        self.leaves.store(true, Ordering::Relaxed);
        self.stop();
    }

    /// The flags, for a runner that waits on another condition variable.
    pub(crate) const fn flags(&self) -> &Flags {
        &self.flags
    }

    /// True if the runner should write a checkpoint before it stops.
    pub(crate) fn leaves(&self) -> bool {
        self.leaves.load(Ordering::Relaxed)
    }

    /// Whether a checkpoint of the runner is being stored.
    pub(crate) fn set_storing(&self, is_storing: bool) {
        self.is_storing.store(is_storing, Ordering::Relaxed);
    }

    /// What was set last with [`Self::set_storing`].
    pub(crate) fn is_storing(&self) -> bool {
        self.is_storing.load(Ordering::Relaxed)
    }

    /// Parks the runner at its next mini-batch, or lets a parked runner continue.
    pub(crate) fn set_parked(&self, is_parked: bool) {
        self.lock().is_parked = is_parked;
        self.changed.notify_all();
    }

    /// Hands the runner the checkpoint of its grant.
    pub(crate) fn deliver(&self, fetched: Fetched) {
        self.lock().fetched = Some(fetched);
        self.changed.notify_all();
    }

    /// Blocks while the runner is parked and returns for how long. Returns `None` if the runner was
    /// stopped.
    pub(crate) fn wait_while_parked(&self) -> Option<Duration> {
        let waits = self.lock();
        let mut waited = Duration::ZERO;
        if waits.is_parked && !self.is_stopped() {
            let since = Instant::now();
            drop(self.wait_while(waits, |waits| waits.is_parked));
            waited = since.elapsed();
        }
        (!self.is_stopped()).then_some(waited)
    }

    /// Blocks until the checkpoint of the grant has arrived. Returns `None` if the runner was
    /// stopped.
    pub(crate) fn wait_for_checkpoint(&self) -> Option<Fetched> {
        let arrival = || self.wait_while(self.lock(), |waits| waits.fetched.is_none());
        let mut waits = self.flags.while_waiting(arrival);
        waits.fetched.take().filter(|_| !self.is_stopped())
    }

    /// Blocks while `condition` holds and the runner is not stopped.
    fn wait_while<'a>(
        &'a self,
        waits: MutexGuard<'a, Waits>,
        condition: impl Fn(&Waits) -> bool,
    ) -> MutexGuard<'a, Waits> {
        self.changed
            .wait_while(waits, |waits| condition(waits) && !self.is_stopped())
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.flags.stopped.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
