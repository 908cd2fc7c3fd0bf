//! When a worker leaves on its own: it has had nothing to do for too long, or its time is over.
//!
//! A batch job that reaches its time limit is killed. So its worker stops to take trials shortly
//! before, and then gives its trials back and exits while there is still time to save them:
//!
//! ```text
//!  start                                          drain      stop           limit
//!    |---------- takes trials ----------------------|--no new--|...|-reserve---|
//!                                                               <-> a share of SPREAD
//! ```
//!
//! Workers that started together would all stop in the same second, and their coordinator would
//! place all their trials at once. So each of them stops earlier by a share of [`SPREAD`] that is a
//! hash of its name.

use std::time::Duration;

use caviar_common::duration::format;
use caviar_common::numbers::to_u64;
use tokio::time::Instant;

/// Time before the limit in which a worker takes no new trials.
const NO_NEW: Duration = Duration::from_secs(60);
/// How much earlier than others a worker may stop.
const SPREAD: Duration = Duration::from_secs(60);
/// Time between the stop and the limit, in which the worker stores its checkpoints.
const RESERVE: Duration = Duration::from_secs(30);
/// The end of the reserve, in which it delivers its last messages. File systems and clocks of a
/// cluster need the rest.
const MARGIN: Duration = Duration::from_secs(10);
/// Each of the three is at most this part of the limit, so that a short job has time to train.
const SHARE: u32 = 10;

/// The conditions under which a worker leaves on its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaveRules {
    /// How long it may be without a trial; `None` for any time.
    pub idle_timeout: Option<Duration>,
    /// The time from its start after which it must be gone; `None` for no limit.
    pub time_limit: Option<Duration>,
}

/// Why a worker leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Departure {
    /// It had no trial for the whole idle timeout.
    Idle,
    /// The limit is near: it takes no new trial.
    LimitNear,
    /// It has to give its trials back now.
    LimitReached {
        /// When it gives them back even if their checkpoints are not stored. It may be over.
        checkpoints_by: Instant,
    },
}

/// The times at which a worker leaves.
#[derive(Debug)]
pub(crate) struct Leave {
    rules: LeaveRules,
    /// When the idle timeout began; `None` while the worker holds a lease.
    idle_since: Option<Instant>,
    drain_at: Option<Instant>,
    stop_at: Option<Instant>,
}

impl Leave {
    /// The times for a worker of this name that starts `now`.
    pub(crate) fn new(rules: LeaveRules, name: &str, now: Instant) -> Self {
        let plan = rules.time_limit.map(|limit| before_limit(limit, name));
        Self {
            rules,
            idle_since: Some(now),
            drain_at: plan.map(|(drain, _)| now + drain),
            stop_at: plan.map(|(_, stop)| now + stop),
        }
    }

    /// The conditions that still apply.
    pub(crate) const fn rules(&self) -> LeaveRules {
        self.rules
    }

    /// Notes how many leases the worker holds `now`.
    pub(crate) fn note_held(&mut self, leases: usize, now: Instant) {
        if leases > 0 {
            self.idle_since = None;
        } else if self.idle_since.is_none() {
            self.idle_since = Some(now);
        }
    }

    /// When to ask [`Self::take_due`] again; `None` if there is nothing to wait for.
    pub(crate) fn next(&self) -> Option<Instant> {
        [self.idle_at(), self.drain_at, self.stop_at].into_iter().flatten().min()
    }

    /// What is due by `now`, each at most once. Nothing can follow the last of them.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Departure> {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if let Some(stop_at) = self.stop_at.filter(|at| *at <= now) {
            *self = Self { idle_since: None, drain_at: None, stop_at: None, rules: self.rules };
            self.rules.idle_timeout = None;
            let checkpoints_by =
                stop_at + self.rules.time_limit.map_or(Duration::ZERO, checkpoints);
            Some(Departure::LimitReached { checkpoints_by })
        } else if is_due(self.drain_at) {
            self.drain_at = None;
            self.rules.idle_timeout = None;
            Some(Departure::LimitNear)
        } else if is_due(self.idle_at()) {
            self.drain_at = None;
            self.rules.idle_timeout = None;
            Some(Departure::Idle)
        } else {
            None
        }
    }

    fn idle_at(&self) -> Option<Instant> {
        Some(self.idle_since? + self.rules.idle_timeout?)
    }
}

/// When a worker takes no new trials, and when it stops, counted from its start.
fn before_limit(limit: Duration, name: &str) -> (Duration, Duration) {
    let part = limit / SHARE;
    let earlier = SPREAD.min(part).mul_f64(fraction(name));
    let stop = limit.saturating_sub(RESERVE.min(part)).saturating_sub(earlier);
    (stop.saturating_sub(NO_NEW.min(part)), stop)
}

/// How long before its limit a worker may leave on its own at the earliest, whatever its name.
///
/// ```
/// use std::time::Duration;
/// use caviar_worker::longest_lead;
///
/// assert_eq!(longest_lead(Duration::from_secs(3_600)), Duration::from_secs(150));
/// assert_eq!(longest_lead(Duration::from_secs(100)), Duration::from_secs(30));
/// ```
pub fn longest_lead(limit: Duration) -> Duration {
    let part = limit / SHARE;
    [RESERVE, SPREAD, NO_NEW].into_iter().map(|time| time.min(part)).sum()
}

/// How long a worker with this limit may take for its checkpoints after its stop.
fn checkpoints(limit: Duration) -> Duration {
    RESERVE.min(limit / SHARE).saturating_sub(MARGIN)
}

/// A number in [0, 1) that depends on the name only: FNV-1a, and then the finaliser of SplitMix64,
/// because the high bits of FNV hardly depend on the last letter.
fn fraction(name: &str) -> f64 {
    let fnv = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let thousandths = u32::try_from((mixed ^ (mixed >> 31)) % 1_000).unwrap_or(0);
    f64::from(thousandths) / 1_000.0
}

impl Departure {
    /// What the log says about it. `held` is the number of leases.
    pub(crate) fn message(self, rules: LeaveRules, held: usize) -> String {
        let text = |time: Option<Duration>| time.map_or_else(String::new, format);
        let (idle, limit) = (text(rules.idle_timeout), text(rules.time_limit));
        let held = to_u64(held);
        match self {
            Self::Idle => format!("leaving: no trial for {idle} (--idle-timeout)"),
            Self::LimitNear => {
                format!("the time limit of {limit} is near: taking no new trials, {held} held")
            }
            Self::LimitReached { .. } => {
                format!("leaving before the time limit of {limit}: giving {held} trials back")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_worker_without_a_trial_leaves_after_its_idle_timeout() {
        let start = Instant::now();
        let rules = LeaveRules { idle_timeout: Some(seconds(300)), time_limit: None };
        let mut leave = Leave::new(rules, "w", start);
        assert_eq!(leave.next(), Some(start + seconds(300)));
        leave.note_held(1, start + seconds(10));
        assert_eq!((leave.next(), leave.take_due(start + seconds(900))), (None, None));
        leave.note_held(0, start + seconds(1_000));
        leave.note_held(0, start + seconds(1_100));
        assert_eq!(leave.next(), Some(start + seconds(1_300)));
        assert_eq!(leave.take_due(start + seconds(1_299)), None);
        assert_eq!(leave.take_due(start + seconds(1_300)), Some(Departure::Idle));
        assert_eq!((leave.next(), leave.take_due(start + seconds(9_999))), (None, None));
    }

    #[test]
    fn a_time_limit_first_ends_the_intake_and_then_the_worker() {
        let start = Instant::now();
        let rules =
            LeaveRules { idle_timeout: Some(seconds(300)), time_limit: Some(seconds(3_600)) };
        let mut leave = Leave::new(rules, "w", start);
        leave.note_held(2, start);
        let (drain, stop) = before_limit(seconds(3_600), "w");
        assert_eq!(leave.next(), Some(start + drain));
        assert_eq!(leave.take_due(start + drain), Some(Departure::LimitNear));
        // It is draining, so that it needs no idle timeout any more.
        leave.note_held(0, start + drain);
        assert_eq!(leave.next(), Some(start + stop));
        // Most of the 30 s before the limit are for checkpoints.
        let reached = Departure::LimitReached { checkpoints_by: start + stop + seconds(20) };
        assert_eq!(leave.take_due(start + stop), Some(reached));
        assert_eq!((leave.next(), leave.take_due(start + seconds(9_999))), (None, None));
        // A worker that was asleep at both times only stops.
        let mut late = Leave::new(rules, "w", start);
        assert_eq!(late.take_due(start + seconds(3_600)), Some(reached));
        assert_eq!(late.next(), None);
    }

    #[test]
    fn workers_that_started_together_stop_at_different_times_before_the_limit() {
        for limit in [1, 10, 60, 600, 3_600, 604_800] {
            let limit = seconds(limit);
            let stops: Vec<(Duration, Duration)> =
                (0..200).map(|i| before_limit(limit, &format!("node-{i}-1234"))).collect();
            for (drain, stop) in &stops {
                assert!(drain < stop && *stop < limit, "{limit:?}: {drain:?} {stop:?}");
                assert!(*stop + checkpoints(limit) < limit, "{limit:?}");
                assert!(*drain >= limit * 6 / 10, "{limit:?}: a short job has no time to train");
                assert!(*drain >= limit - longest_lead(limit), "{limit:?}: {drain:?}");
            }
            let in_one_second = |second: u64| stops.iter().filter(move |s| s.1.as_secs() == second);
            let seconds: BTreeSet<u64> = stops.iter().map(|(_, stop)| stop.as_secs()).collect();
            let busiest = seconds.iter().map(|second| in_one_second(*second).count()).max();
            if limit >= Duration::from_secs(600) {
                assert!(busiest < Some(12), "{busiest:?} of 200 in one second");
            }
        }
        assert_eq!(before_limit(seconds(60), "a"), before_limit(seconds(60), "a"));
    }
}
