//! The order of the train split in an epoch.

use std::ops::Range;

use caviar_common::seed::Stream;

/// Shuffles ascending rows for an epoch.
///
/// Examples in memory are shuffled as a whole. Those in a file are read in windows of
/// `window_rows` consecutive rows: the windows are shuffled, and then the rows of each window, so
/// every window is read once; the rows are 0, 1, ... then. For example, rows 0 to 5 in windows of
/// two can become 4 5, 1 0, 2 3.
pub(crate) fn shuffle(order: &mut [u32], window_rows: Option<usize>, draws: &mut Stream) {
    let Some(window_rows) = window_rows else {
        draws.shuffle(order);
        return;
    };
    let rows = order.len();
    let first_rows = (0..rows).step_by(window_rows.max(1));
    let mut windows: Vec<Range<usize>> =
        first_rows.map(|first| first..rows.min(first + window_rows)).collect();
    draws.shuffle(&mut windows);
    let mut rest = order;
    for window in windows {
        let (part, after) = rest.split_at_mut(window.len());
        part.iter_mut().zip((0..).skip(window.start)).for_each(|(slot, row)| *slot = row);
        draws.shuffle(part);
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::numbers::index;
    use caviar_common::seed::{Purpose, Seed};

    use super::*;

    fn order(rows: usize, window_rows: Option<usize>, epoch: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..).take(rows).collect();
        let mut draws = Seed::derive(7, 3, Purpose::Shuffle).stream(epoch);
        shuffle(&mut order, window_rows, &mut draws);
        order
    }

    #[test]
    fn windows_stay_together_and_every_row_occurs_once() {
        for (rows, window) in [(100, 10), (103, 10), (5, 10), (7, 1)] {
            let shuffled = order(rows, Some(window), 0);
            let mut sorted = shuffled.clone();
            sorted.sort_unstable();
            assert!(sorted.iter().copied().eq((0..).take(rows)), "{shuffled:?}");
            let of_rows: Vec<usize> = shuffled.iter().map(|&row| index(row) / window).collect();
            let visits = of_rows.chunk_by(|a, b| a == b).count();
            assert_eq!(visits, rows.div_ceil(window), "{shuffled:?}");
        }
    }

    #[test]
    fn windows_and_their_rows_have_another_order_in_each_epoch() {
        let windows = |epoch| -> Vec<u32> {
            order(100, Some(10), epoch).chunks(10).map(|rows| rows[0] / 10).collect()
        };
        assert_ne!(windows(0), windows(1));
        assert_ne!(order(10, Some(10), 0), order(10, Some(10), 1));
        assert_eq!(order(100, Some(10), 1), order(100, Some(10), 1));
    }

    #[test]
    fn examples_in_memory_are_shuffled_as_a_whole() {
        let mut expected: Vec<u32> = (0..100).collect();
        Seed::derive(7, 3, Purpose::Shuffle).stream(2).shuffle(&mut expected);
        assert_eq!(order(100, None, 2), expected);
    }
}
