//! The time during which the coordinator was awake.

/// Measures how long workers and clients have been silent.
///
/// Ticks come several times per lease duration. If more than a quarter of it has passed since the
/// last one, a signal, a frozen host or a slow disk stopped the coordinator, and messages may still
/// wait in the sockets. So at most a quarter of the lease duration counts between two ticks.
///
/// Example: with leases of 1,000 ms, ticks at 0 ms and at 10,000 ms are 250 ms apart on this clock.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// The driver's time of the latest tick, in milliseconds.
    last_tick: u64,
    /// The time on this clock at the latest tick, in milliseconds.
    awake_at_tick: u64,
    /// The time on this clock now, in milliseconds.
    now: u64,
}

impl Clock {
    /// A clock that starts at the driver's time `now`.
    pub(crate) fn starting_at(now: u64) -> Self {
        Self { last_tick: now, awake_at_tick: 0, now: 0 }
    }

    /// The driver's time is now `now`, and at most `longest` milliseconds pass between two ticks.
    pub(crate) fn advance(&mut self, now: u64, longest: u64) {
        let passed = now.saturating_sub(self.last_tick).min(longest);
        self.now = self.now.max(self.awake_at_tick.saturating_add(passed));
    }

    /// There was a tick at the driver's time `now`.
    pub(crate) fn tick(&mut self, now: u64) {
        (self.last_tick, self.awake_at_tick) = (now, self.now);
    }

    /// The time on this clock, in milliseconds.
    pub(crate) const fn now(&self) -> u64 {
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_in_which_the_coordinator_was_stopped_does_not_count() {
        let mut clock = Clock::starting_at(5_000);
        clock.advance(5_100, 250);
        assert_eq!(clock.now(), 100);
        clock.tick(5_100);
        clock.advance(15_000, 250);
        assert_eq!(clock.now(), 350);
        clock.tick(15_000);
        clock.advance(15_010, 250);
        assert_eq!(clock.now(), 360);
    }
}
