//! The switches of one runner: stop, and park.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whether a runner may continue to train. The runner's thread reads it between mini-batches, and
/// the driver sets it.
#[derive(Debug, Default)]
pub(crate) struct Control {
    stopped: AtomicBool,
    parked: Mutex<bool>,
    changed: Condvar,
}

impl Control {
    /// Stops the runner at its next mini-batch. This cannot be undone.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        // The runner holds this lock from its check of `stopped` until it sleeps, so it cannot
        // miss the notification in between.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// The flag that [`Self::stop`] sets, for a runner that waits on another condition variable.
    pub(crate) const fn stopped(&self) -> &AtomicBool {
        &self.stopped
    }

    /// Parks the runner at its next mini-batch, or lets a parked runner continue.
    pub(crate) fn set_parked(&self, parked: bool) {
        *self.lock() = parked;
        self.changed.notify_all();
    }

    /// Blocks while the runner is parked and returns for how long. Returns `None` if the runner was
    /// stopped.
    pub(crate) fn wait_while_parked(&self) -> Option<Duration> {
        let is_stopped = || self.stopped.load(Ordering::Relaxed);
        let parked = self.lock();
        let mut waited = Duration::ZERO;
        if *parked && !is_stopped() {
            let since = Instant::now();
            drop(
                self.changed
                    .wait_while(parked, |parked| *parked && !is_stopped())
                    .unwrap_or_else(PoisonError::into_inner),
            );
            waited = since.elapsed();
        }
        (!is_stopped()).then_some(waited)
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
