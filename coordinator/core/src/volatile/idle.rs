//! How many slots have had nothing to do for a while.

/// How long slots must be idle before it is said, in milliseconds. Far longer than a decision, a
/// sampler's reply or the start of a trial takes; chosen, not measured.
const WINDOW_MS: u64 = 5_000;

/// Watches the number of free slots. A slot that is free until its next trial arrives is not idle:
/// what counts is the lowest number of free slots in a window of [`WINDOW_MS`].
///
/// Example: of 8 slots, 5 are free at times, but at least 2 always. Then 2 slots are idle.
#[derive(Debug)]
pub(crate) struct Idle {
    /// When the current window began, on the coordinator's clock.
    since: u64,
    /// The lowest number of free slots since then.
    least: u32,
    /// The lowest number in the window before, and since.
    shown: u32,
}

impl Default for Idle {
    fn default() -> Self {
        Self { since: 0, least: u32::MAX, shown: 0 }
    }
}

impl Idle {
    /// Notes how many slots are free once everything is assigned. Returns true if the number of
    /// idle slots has changed.
    pub(crate) fn see(&mut self, free: u32, now: u64) -> bool {
        let before = self.shown;
        self.least = self.least.min(free);
        self.shown = self.shown.min(free);
        if now.saturating_sub(self.since) >= WINDOW_MS {
            self.shown = self.least;
            (self.since, self.least) = (now, free);
        }
        self.shown != before
    }

    /// The slots that are idle.
    pub(crate) const fn slots(&self) -> u32 {
        self.shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_idle_if_they_are_free_for_a_whole_window() {
        let mut idle = Idle::default();
        let mut seen = Vec::new();
        // Three slots are free all the time, and more between two trials.
        for at in 0..12 {
            idle.see(if at % 2 == 0 { 3 } else { 8 }, at * 1_000);
            seen.push(idle.slots());
        }
        assert_eq!(seen, [0, 0, 0, 0, 0, 3, 3, 3, 3, 3, 3, 3]);
        assert!(idle.see(1, 11_100), "two of them got trials");
        assert_eq!(idle.slots(), 1);
        assert!(!idle.see(8, 11_200));
    }
}
