//! Counts failed attempts for each address, and slows them down.
//!
//! The answer to a failed attempt waits: 50 ms after the first of an address, twice as long after
//! each further one, at most 2 s, so that a worker hears the reason before it gives up waiting. A
//! valid token never waits, whatever others do at its address. 128 random bits cannot be guessed in
//! any case; this keeps attempts from costing much.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// The wait after the first failure, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// An address without a failure for so long starts again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);
/// Most addresses that are remembered. Beyond it, the one that failed longest ago is forgotten.
const MAX_ADDRESSES: usize = 4_096;
/// Most failed attempts that wait at once. More are answered at once, as too many.
const MAX_WAITING: usize = 1_024;

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// The failed attempts of each address.
#[derive(Debug)]
pub(crate) struct Throttle {
    failures: Mutex<HashMap<IpAddr, Failures>>,
    waiting: Semaphore,
}

/// What a failed attempt has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// How many the address has made, this one included.
    pub(crate) count: u32,
    /// How long the answer waits.
    pub(crate) wait: Duration,
}

impl Failed {
    /// True for the counts that are logged, so that attempts cannot fill a disk: 1, 2, 4, 8, ...
    pub(crate) const fn is_logged(self) -> bool {
        self.count.is_power_of_two()
    }
}

impl Throttle {
    pub(crate) fn new() -> Self {
        Self { failures: Mutex::default(), waiting: Semaphore::new(MAX_WAITING) }
    }

    /// Counts a failed attempt.
    pub(crate) fn count(&self, address: IpAddr, now: Instant) -> Failed {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MAX_ADDRESSES && !failures.contains_key(&address) {
            // The time of the last failure decides, and of equal times the address.
            let oldest = failures.iter().min_by_key(|(address, it)| (it.last, **address));
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                failures.remove(&oldest);
            }
        }
        let entry = failures.entry(address).or_insert(Failures { count: 0, last: now });
        if now.saturating_duration_since(entry.last) >= FORGIVEN_AFTER {
            entry.count = 0;
        }
        entry.count = entry.count.saturating_add(1);
        entry.last = now;
        let doublings = (entry.count - 1).min(16);
        let wait = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
        Failed { count: entry.count, wait }
    }

    /// Waits as long as a failed attempt has to. False if too many wait already.
    pub(crate) async fn wait(&self, failed: Failed) -> bool {
        let Ok(_permit) = self.waiting.try_acquire() else { return false };
        tokio::time::sleep(failed.wait).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_of_an_address_waits_twice_as_long() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        let a: IpAddr = "10.0.0.1".parse().unwrap();
        let waits: Vec<u128> = (0..10).map(|_| throttle.count(a, now).wait.as_millis()).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1_600, 2_000, 2_000, 2_000, 2_000]);
        // Another address, and the same one after a while, start again.
        assert_eq!(throttle.count("10.0.0.2".parse().unwrap(), now).count, 1);
        assert_eq!(throttle.count(a, now + FORGIVEN_AFTER).count, 1);
    }

    #[test]
    fn a_bounded_number_of_addresses_is_remembered() {
        let (throttle, now) = (Throttle::new(), Instant::now());
        for number in 0..=u32::try_from(MAX_ADDRESSES).unwrap() {
            let at = now + Duration::from_millis(number.into());
            throttle.count(IpAddr::from(number.to_be_bytes()), at);
        }
        assert_eq!(throttle.failures.lock().unwrap().len(), MAX_ADDRESSES);
        let first = throttle.count(IpAddr::from([0; 4]), now + Duration::from_secs(60));
        assert_eq!(first.count, 1, "the oldest is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_waiting_attempts_are_answered_at_once() {
        let throttle = std::sync::Arc::new(Throttle::new());
        let failed = Failed { count: 1, wait: FIRST_WAIT };
        let waiting: Vec<_> = (0..MAX_WAITING)
            .map(|_| {
                let throttle = throttle.clone();
                tokio::spawn(async move { throttle.wait(failed).await })
            })
            .collect();
        while throttle.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!throttle.wait(failed).await);
        for task in waiting {
            assert!(task.await.unwrap());
        }
        assert!(throttle.wait(failed).await);
    }
}
