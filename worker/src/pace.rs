//! How long to wait before dialling again.

use std::time::Duration;

use caviar_common::backoff::Backoff;

use crate::link::Loss;

/// The first wait before dialling again is at most this long.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// No wait is longer.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// The waits between connections.
#[derive(Debug)]
pub(crate) struct Pace {
    backoff: Backoff,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { backoff: Backoff::new(FIRST_WAIT, LONGEST_WAIT) }
    }

    /// A connection lived for as long as a heartbeat takes: the next loss is another one. A Welcome alone says too little, as the coordinator
    /// may close every connection right after it.
    pub(crate) fn lived(&mut self) {
        self.backoff.reset();
    }

    /// The wait after a loss; `uniform` is a random number in [0, 1).
    pub(crate) fn wait(&mut self, loss: &Loss, uniform: f64) -> Duration {
        match loss {
            Loss::Broken(_) => self.backoff.next(uniform),
            Loss::Refused(_) => Backoff::new(LONGEST_WAIT, LONGEST_WAIT).next(uniform),
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
    fn a_refusal_is_tried_again_slowly() {
        assert_eq!(Pace::new().wait(&Loss::Refused("no".to_owned()), 1.0), LONGEST_WAIT);
    }
}
