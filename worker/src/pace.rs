//! How long a worker waits before it dials the coordinator again, and how long dialling may take.

use std::time::Duration;

use caviar_common::backoff::Backoff;

use crate::link::Disconnect;

/// Upper bound of the first wait; the bound doubles with every failed attempt.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// Upper bound of every wait.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// Shortest and longest time in which the coordinator must answer Hello. The actual value depends
/// on the lease duration.
const DIAL_TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), LONGEST_WAIT);

/// The waits between attempts to connect: an exponential backoff with an upper bound that follows
/// from the lease duration.
#[derive(Debug)]
pub(crate) struct Pace {
    backoff: Backoff,
    /// Upper bound of every wait: several attempts to connect must fit into the lease duration.
    longest: Duration,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT), longest: LONGEST_WAIT }
    }

    /// Notes the lease duration that the coordinator announced in its Welcome.
    pub(crate) fn on_welcome(&mut self, lease_ttl_ms: u64) {
        self.longest = (Duration::from_millis(lease_ttl_ms) / 4).min(LONGEST_WAIT);
    }

    /// How long to wait for the coordinator's Welcome, counted from the start of the connection.
    pub(crate) fn dial_timeout(&self) -> Duration {
        self.longest.clamp(DIAL_TIMEOUTS.0, DIAL_TIMEOUTS.1)
    }

    /// Resets the backoff after a connection has lasted for one heartbeat interval. A Welcome is
    /// not enough, because the coordinator may close every connection right after it.
    pub(crate) fn on_heartbeat(&mut self) {
        self.backoff.reset();
    }

    /// The wait before the next attempt; `uniform` is a random number in [0, 1). A refusal
    /// uses the largest bound at once, because only replacing one of the two programs can help.
    pub(crate) fn wait(&mut self, disconnect: &Disconnect, uniform: f64) -> Duration {
        match disconnect {
            Disconnect::Broken(_) | Disconnect::Postponed(_) => {
                self.backoff.next(uniform).min(self.longest)
            }
            Disconnect::Refused(_) => Backoff::new(self.longest, self.longest).next(uniform),
        }
    }

    /// The wait before the first attempt with another join string. Even after a refusal it is that
    /// of a broken connection.
    pub(crate) fn wait_after_change(&mut self, uniform: f64) -> Duration {
        self.backoff.next(uniform).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken() -> Disconnect {
        Disconnect::Broken("gone".to_owned())
    }

    #[test]
    fn waits_grow_until_a_connection_has_lasted_for_one_heartbeat() {
        let mut pace = Pace::new();
        let waits: Vec<u128> = (0..8).map(|_| pace.wait(&broken(), 1.0).as_millis()).collect();
        assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        pace.on_heartbeat();
        assert_eq!(pace.wait(&broken(), 1.0), FIRST_WAIT);
    }

    #[test]
    fn several_attempts_fit_into_the_lease_duration() {
        let mut pace = Pace::new();
        assert_eq!(pace.dial_timeout(), LONGEST_WAIT);
        pace.on_welcome(2_000);
        let most = Duration::from_millis(500);
        assert!((0..20).all(|_| pace.wait(&broken(), 1.0) <= most));
        assert_eq!(
            (pace.wait(&Disconnect::Refused("no".to_owned()), 1.0), pace.dial_timeout()),
            (most, DIAL_TIMEOUTS.0)
        );
        pace.on_welcome(u64::MAX);
        assert_eq!(
            (pace.wait(&broken(), 1.0), pace.dial_timeout()),
            (LONGEST_WAIT, DIAL_TIMEOUTS.1)
        );
    }

    #[test]
    fn a_refused_worker_waits_long_before_it_tries_again() {
        assert_eq!(Pace::new().wait(&Disconnect::Refused("no".to_owned()), 1.0), LONGEST_WAIT);
    }
}
