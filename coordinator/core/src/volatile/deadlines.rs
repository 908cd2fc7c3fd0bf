//! What must be looked at when a time has come.

use std::collections::BTreeSet;

/// Keys in the order of the times at which they must be looked at.
///
/// A deadline that moves needs no update: the one who takes a due key finds that it is too early
/// and inserts the key again. So hearing a worker costs nothing here, and a tick costs what is due.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    by_time: BTreeSet<(u64, K)>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new() }
    }
}

impl<K: Ord> Deadlines<K> {
    /// Adds a key that must be looked at when the clock shows `at`.
    pub(crate) fn insert(&mut self, at: u64, key: K) {
        self.by_time.insert((at, key));
    }

    /// Takes the first key that must be looked at by `now`.
    pub(crate) fn take_due(&mut self, now: u64) -> Option<K> {
        if self.by_time.first()?.0 > now {
            return None;
        }
        self.by_time.pop_first().map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_taken_when_they_are_due_and_in_order() {
        let mut deadlines = Deadlines::default();
        for (at, key) in [(30, "c"), (10, "a"), (20, "b"), (20, "a")] {
            deadlines.insert(at, key);
        }
        assert_eq!(deadlines.take_due(9), None);
        let taken: Vec<&str> = std::iter::from_fn(|| deadlines.take_due(20)).collect();
        assert_eq!(taken, ["a", "a", "b"]);
        assert_eq!(deadlines.take_due(30), Some("c"));
    }
}
