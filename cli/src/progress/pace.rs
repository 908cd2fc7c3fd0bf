//! The time left, from the pace of the whole sweep.
//!
//! The work of a sweep is the number of its finished trials plus the trained share of those that
//! run. With the rate r of work per second since the sweep was first seen, the time left is
//! (total - work) / r. For example, 12 of 60 trials in 60 s leave 48 / 0.2 = 240 s. A parked trial
//! does not slow the estimate down by itself, because the trials that have its slot do its work.
//!
//! Between two finished trials the expected end never moves back, so the time left counts down.

use std::time::{Duration, Instant};

use caviar_common::metric::Point;
use caviar_common::view::TrialView;

/// Finished trials and the trained shares of the running ones.
pub(super) fn work(done: u32, running: &[TrialView]) -> f64 {
    let share = |trial: &TrialView| {
        let epoch = trial.last.as_ref().map_or(0, Point::epoch);
        f64::from(epoch) / f64::from(trial.epochs.max(1))
    };
    f64::from(done) + running.iter().map(share).sum::<f64>()
}

/// The pace of a sweep since it was first seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    first: Option<Seen>,
    last: Option<Seen>,
    /// When the sweep is expected to end; `None` until a trial has finished.
    end: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    at: Instant,
    done: u32,
    work: f64,
}

impl Pace {
    /// The time left, or `None` before the first trial finishes, after the last one, and when the
    /// sweep takes longer than expected.
    pub(super) fn left(
        &mut self,
        done: u32,
        work: f64,
        total: u32,
        now: Instant,
    ) -> Option<Duration> {
        let seen = Seen { at: now, done, work };
        let first = *self.first.get_or_insert(seen);
        let last = *self.last.get_or_insert(seen);
        if done > last.done || work > last.work {
            self.last = Some(seen);
            let end = (done > first.done).then(|| end_of(first, seen, total)).flatten();
            self.end = match (self.end, end) {
                (Some(before), Some(end)) if done == last.done => Some(before.min(end)),
                (before, end) => end.or(before),
            };
        }
        if done >= total {
            return None;
        }
        self.end?.checked_duration_since(now)
    }
}

fn end_of(first: Seen, now: Seen, total: u32) -> Option<Instant> {
    let rate = (now.work - first.work) / now.at.duration_since(first.at).as_secs_f64();
    let left = (f64::from(total) - now.work).max(0.0) / rate;
    now.at.checked_add(Duration::try_from_secs_f64(left).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::tests::samples;

    fn seconds(pace: &mut Pace, done: u32, work: f64, now: Instant) -> Option<u64> {
        pace.left(done, work, 60, now).map(|left| left.as_secs())
    }

    #[test]
    fn time_left_follows_the_work_since_the_sweep_was_first_seen() {
        let start = Instant::now();
        let at = |n| start + Duration::from_secs(n);
        let mut pace = Pace::default();
        assert_eq!(seconds(&mut pace, 10, 10.0, at(0)), None);
        assert_eq!(seconds(&mut pace, 20, 20.0, at(20)), Some(80));
        assert_eq!(pace.left(60, 60.0, 60, at(100)), None);
    }

    #[test]
    fn time_left_counts_down_while_no_trial_finishes() {
        let start = Instant::now();
        let at = |n| start + Duration::from_secs(n);
        let mut pace = Pace::default();
        seconds(&mut pace, 10, 10.0, at(0));
        let mut before = seconds(&mut pace, 20, 20.0, at(20)).unwrap();
        for n in 21..90_u32 {
            // The trials that run are slower than those before.
            let left = seconds(&mut pace, 20, 20.0 + f64::from(n) / 100.0, at(u64::from(n)));
            assert!(left.unwrap() <= before, "{n}");
            before = left.unwrap();
        }
        assert_eq!(seconds(&mut pace, 20, 20.9, at(101)), None);
        assert!(seconds(&mut pace, 21, 21.0, at(102)).is_some());
    }

    #[test]
    fn running_trials_count_by_their_share_of_epochs() {
        let running = samples::running();
        assert!((work(24, &running) - (24.0 + 0.2 + 0.2 + 0.4)).abs() < 1e-12);
    }
}
