//! What a runner is told while it trains.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whether a runner may go on; shared by its thread and whoever commands it.
#[derive(Debug, Default)]
pub(crate) struct Control {
    stopped: AtomicBool,
    held: Mutex<bool>,
    changed: Condvar,
}

impl Control {
    /// It is to stop, at the next look, and for good.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Nobody is between a look and the sleep after it while this has the lock.
        drop(self.lock());
        self.changed.notify_all();
    }

    /// For those who sleep on something else.
    pub(crate) const fn stopped(&self) -> &AtomicBool {
        &self.stopped
    }

    /// It is to wait at the next look, or to wait no longer.
    pub(crate) fn hold(&self, held: bool) {
        *self.lock() = held;
        self.changed.notify_all();
    }

    /// Waits while it is held. How long that was; none if it was stopped.
    pub(crate) fn wait(&self) -> Option<Duration> {
        let is_stopped = || self.stopped.load(Ordering::Relaxed);
        let held = self.lock();
        let mut waited = Duration::ZERO;
        if *held && !is_stopped() {
            let since = Instant::now();
            drop(
                self.changed
                    .wait_while(held, |held| *held && !is_stopped())
                    .unwrap_or_else(PoisonError::into_inner),
            );
            waited = since.elapsed();
        }
        (!is_stopped()).then_some(waited)
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
