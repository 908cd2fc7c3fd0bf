//! When the epochs of simulated trials end.
//!
//! With `--rate`, the trials of a sweep end one after the other at an even rate, in the order of
//! their numbers, in which virtual time decides them. Their ends are fixed when the sweep starts,
//! and do not move when the coordinator is late. Otherwise a delay would lower the rate and be
//! forgotten, and trials that were delayed together would end together again and again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When the epochs of trials end. Clones share when each sweep has started.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    epochs: u32,
    time: Duration,
    parallelism: u32,
    starts: Arc<Mutex<BTreeMap<u64, Instant>>>,
}

impl Schedule {
    /// A schedule of trials with this number of epochs. `parallelism` of each sweep are in flight,
    /// and each takes `time`, which is zero if it trains nothing.
    pub(crate) fn new(epochs: u32, time: Duration, parallelism: u32) -> Self {
        Self { epochs, time, parallelism: parallelism.max(1), starts: Arc::default() }
    }

    /// Epochs of each trial.
    pub(crate) const fn epochs(&self) -> u32 {
        self.epochs
    }

    /// The time of each trial.
    pub(crate) const fn time(&self) -> Duration {
        self.time
    }

    /// When an epoch ends, counted from 1. The first call for a sweep, with the time `now`, is its
    /// start.
    ///
    /// The first trials of a sweep start together, and the coordinator is busy with that for a
    /// while. So the first of them ends only after the time of a trial.
    pub(crate) fn end(&self, (sweep, trial, epoch): (u64, u32, u32), now: Instant) -> Instant {
        if self.time.is_zero() {
            return now;
        }
        let start = {
            let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
            *starts.entry(sweep).or_insert(now)
        };
        let rest = self.epochs.saturating_sub(epoch);
        let between = self.time / self.parallelism;
        let end = start + self.time + between * trial.saturating_add(1);
        end - self.time / self.epochs.max(1) * rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_end_at_an_even_rate_however_late_they_start() {
        let second = Duration::from_secs(1);
        let schedule = Schedule::new(2, second * 8, 4);
        let start = Instant::now();
        assert_eq!(schedule.end((3, 0, 2), start), start + second * 10);
        assert_eq!(schedule.end((3, 0, 1), start), start + second * 6);
        let late = start + second * 30;
        assert_eq!(schedule.end((3, 4, 2), late), start + second * 18);
        assert_eq!(schedule.clone().end((5, 0, 2), late), late + second * 10);
        assert_eq!(Schedule::new(2, Duration::ZERO, 4).end((3, 4, 1), late), late);
    }
}
