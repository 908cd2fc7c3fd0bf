//! The delay before a retry: exponential backoff with full jitter (Brooker 2015, "Exponential
//! Backoff And Jitter").

use std::time::Duration;

/// The delays of one connection. Their bound doubles with each failure up to a limit, and each
/// delay is drawn at random below its bound.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    limit: Duration,
    failures: u32,
}

impl Backoff {
    /// The first delay is at most `first`, and no delay is longer than `limit`.
    pub fn new(first: Duration, limit: Duration) -> Self {
        Self { first, limit, failures: 0 }
    }

    /// The next delay; `uniform` is a random number in [0, 1). A delay is at least a tenth of its
    /// bound, so that a client does not retry in a busy loop.
    pub fn next(&mut self, uniform: f64) -> Duration {
        let bound = self
            .first
            .saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX))
            .min(self.limit);
        self.failures = self.failures.saturating_add(1);
        bound.mul_f64(0.1 + 0.9 * uniform.clamp(0.0, 1.0))
    }

    /// Resets the bound to the first one after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_limit_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let waits: Vec<u128> = (0..6).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
        backoff.reset();
        assert_eq!(backoff.next(0.0).as_millis(), 10);
        for _ in 0..100 {
            assert!(backoff.next(0.5) <= Duration::from_secs(1));
        }
    }
}
