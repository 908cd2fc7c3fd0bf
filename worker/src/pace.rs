//! How long to wait before dialling again.

use std::time::Duration;

use caviar_common::backoff::Backoff;

use crate::link::Loss;

/// The first wait before dialling again is at most this long.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// From the first packet to the coordinator's first word, at most; and at least, however short the
/// leases are.
const DIAL: (Duration, Duration) = (Duration::from_secs(1), LONGEST_WAIT);

/// The waits between connections.
#[derive(Debug)]
pub(crate) struct Pace {
    backoff: Backoff,
    /// No wait may be longer: several attempts to connect must fit into the life of a lease.
    longest: Duration,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT), longest: LONGEST_WAIT }
    }

    /// The coordinator said how long a lease lives.
    pub(crate) fn welcomed(&mut self, lease_ttl_ms: u64) {
        self.longest = (Duration::from_millis(lease_ttl_ms) / 4).min(LONGEST_WAIT);
    }

    /// How long to wait for the coordinator's first word.
    pub(crate) fn dial_timeout(&self) -> Duration {
        self.longest.clamp(DIAL.0, DIAL.1)
    }

    /// A connection lived for as long as a heartbeat takes: the next loss is another one. A Welcome
    /// alone says too little, as the coordinator may close every connection right after it.
    pub(crate) fn lived(&mut self) {
        self.backoff.reset();
    }

    /// The wait after a loss; `uniform` is a random number in [0, 1).
    pub(crate) fn wait(&mut self, loss: &Loss, uniform: f64) -> Duration {
        match loss {
            Loss::Broken(_) | Loss::Postponed(_) => self.backoff.next(uniform).min(self.longest),
            Loss::Refused(_) => Backoff::new(self.longest, self.longest).next(uniform),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> Loss {
        Loss::Broken("gone".to_owned())
    }

    #[test]
    fn waits_grow_until_a_connection_has_lived_for_a_heartbeat() {
        let mut pace = Pace::new();
        let waits: Vec<u128> = (0..8).map(|_| pace.wait(&broken(), 1.0).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        pace.lived();
        assert_eq!(pace.wait(&broken(), 1.0), FIRST_WAIT);
    }

    #[test]
    fn several_attempts_fit_into_the_life_of_a_lease() {
        let mut pace = Pace::new();
        assert_eq!(pace.dial_timeout(), LONGEST_WAIT);
        pace.welcomed(2_000);
        let most = Duration::from_millis(500);
        assert!((0..20).all(|_| pace.wait(&broken(), 1.0) <= most));
        assert_eq!(
            (pace.wait(&Loss::Refused("no".to_owned()), 1.0), pace.dial_timeout()),
            (most, DIAL.0)
        );
        pace.welcomed(u64::MAX);
        assert_eq!((pace.wait(&broken(), 1.0), pace.dial_timeout()), (LONGEST_WAIT, DIAL.1));
    }

    #[test]
    fn a_refusal_is_tried_again_slowly() {
        assert_eq!(Pace::new().wait(&Loss::Refused("no".to_owned()), 1.0), LONGEST_WAIT);
    }
}
