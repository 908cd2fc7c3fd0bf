//! Percentiles of durations, and the totals that the sessions count.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use caviar_common::numbers::{to_u64, to_usize};
use serde::Serialize;

use super::worker::Outcome;

/// Durations in microseconds, in any order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Durations(Vec<u32>);

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    /// How many durations there are. The rest is 0 without any.
    pub(crate) count: u64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
}

impl Durations {
    /// Adds a duration. One of more than 71 minutes counts as 71 minutes.
    pub(crate) fn push(&mut self, duration: Duration) {
        self.0.push(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX));
    }

    /// The percentiles: the smallest duration that at least p per cent of all do not exceed.
    pub(crate) fn percentiles(mut self) -> Percentiles {
        self.0.sort_unstable();
        let count = to_u64(self.0.len());
        let at = |percent: u64| {
            let rank = (count * percent).div_ceil(100).saturating_sub(1);
            f64::from(self.0.get(to_usize(rank)).copied().unwrap_or(0)) / 1e3
        };
        Percentiles { count, p50: at(50), p99: at(99), max: at(100) }
    }
}

/// What the sessions have counted so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Messages of the coordinator.
    pub(crate) messages: u64,
    /// Sessions that the coordinator has accepted.
    pub(crate) welcomed: u64,
    /// Acknowledged epochs.
    pub(crate) reports: u64,
    /// Trials whose end is acknowledged.
    pub(crate) trials: u64,
    /// The same by sweep.
    pub(crate) trials_by_sweep: BTreeMap<u64, u64>,
    /// Leases that the coordinator has taken away.
    pub(crate) revoked: u64,
    /// When the first job was granted.
    pub(crate) first_grant: Option<Instant>,
    /// When the latest end of a trial was acknowledged.
    pub(crate) last_end: Option<Instant>,
    /// From sending a result to the next grant of a trial for the slot.
    pub(crate) waits: Durations,
}

impl Counts {
    fn add(&mut self, outcome: Outcome, now: Instant) {
        self.messages += 1;
        match outcome {
            Outcome::Welcomed { .. } => self.welcomed += 1,
            Outcome::Granted { waited } => {
                self.first_grant.get_or_insert(now);
                if let Some(waited) = waited {
                    self.waits.push(waited);
                }
            }
            Outcome::Reported => self.reports += 1,
            Outcome::Finished { sweep } => {
                self.trials += 1;
                *self.trials_by_sweep.entry(sweep).or_default() += 1;
                self.last_end = Some(now);
            }
            Outcome::Revoked => self.revoked += 1,
            Outcome::Other => {}
        }
    }

    /// The time from the first grant to the latest end of a trial.
    pub(crate) fn duration(&self) -> Duration {
        self.first_grant
            .zip(self.last_end)
            .map_or(Duration::ZERO, |(first, last)| last.saturating_duration_since(first))
    }
}

/// The counts, shared by all sessions.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

impl Tally {
    /// Counts what a message meant.
    pub(crate) fn add(&self, outcome: Outcome, now: Instant) {
        self.counts().add(outcome, now);
    }

    /// The counts, which no session can change until the guard is dropped.
    pub(crate) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percentiles(milliseconds: impl IntoIterator<Item = u64>) -> Percentiles {
        let mut durations = Durations::default();
        milliseconds.into_iter().for_each(|ms| durations.push(Duration::from_millis(ms)));
        durations.percentiles()
    }

    #[test]
    fn percentiles_are_durations_that_were_measured() {
        let expected = Percentiles { count: 200, p50: 100.0, p99: 198.0, max: 200.0 };
        assert_eq!(percentiles((1..=200).rev()), expected);
        let one = Percentiles { count: 1, p50: 7.0, p99: 7.0, max: 7.0 };
        assert_eq!(percentiles([7]), one);
        assert_eq!(percentiles([]), Percentiles::default());
    }

    #[test]
    fn the_duration_of_the_load_ends_with_the_last_trial() {
        let (tally, start) = (Tally::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        tally.add(Outcome::Granted { waited: None }, after(1));
        tally.add(Outcome::Reported, after(2));
        tally.add(Outcome::Finished { sweep: 3 }, after(3));
        let waited = Some(Duration::from_secs(1));
        tally.add(Outcome::Granted { waited }, after(4));
        tally.add(Outcome::Finished { sweep: 3 }, after(6));
        tally.add(Outcome::Revoked, after(9));
        let counts = tally.counts().clone();
        assert_eq!(counts.duration(), Duration::from_secs(5));
        assert_eq!((counts.messages, counts.reports, counts.trials), (6, 1, 2));
        assert_eq!(counts.trials_by_sweep, BTreeMap::from([(3, 2)]));
        assert_eq!(counts.waits.percentiles().count, 1);
    }
}
