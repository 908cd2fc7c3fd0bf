//! A category with many values: one input, the number of its value, for which a network learns
//! a vector.
//!
//! Values that occur at least twice in the training split have numbers of their own, in the order
//! of their names. After them come the number of a missing value and the number that all other
//! values share, each if at least 10 training rows have it. A value that the training split does
//! not have is like one of the others. Whatever has no number of these has the number 0, whose
//! vector is always 0.

use caviar_common::numbers::{index, to_u32};
use serde::{Deserialize, Serialize};

/// A value with fewer rows than this has no number of its own: a vector that is learnt from one
/// row says only what the label of that row is.
const LEAST_ROWS: usize = 2;
/// What fewer rows than this have in common, a missing or a rare value, has no number: one of them
/// would decide what is predicted for every value that the training split does not have.
const LEAST_SHARED: usize = 10;

/// How the values of a category are numbered. Every number is at most 65,537, so it is exact as
/// a 32-bit float.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Embedded {
    /// The number of each value, by its index among the categories.
    pub numbers: Vec<u32>,
    /// The number of a missing value.
    pub missing: u32,
    /// The number of a value that is not among the categories.
    pub unknown: u32,
    /// The largest number; the smallest is 0.
    pub values: u32,
}

/// An input that is the number of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CategoryInput {
    /// Its place among the inputs.
    pub place: usize,
    /// The largest number that it can be.
    pub values: usize,
}

impl Embedded {
    /// Numbers the values that the training split has, `seen`: how often each occurs, and its
    /// index among the `count` categories. `missing` rows have none. At most `most` values have
    /// a number of their own.
    pub(crate) fn fit(
        mut seen: Vec<(usize, u32)>,
        count: usize,
        missing: usize,
        most: usize,
    ) -> Self {
        // The most frequent first, and of equally frequent ones the first by name.
        seen.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let frequent = seen.iter().take(most).take_while(|(rows, _)| *rows >= LEAST_ROWS).count();
        let others = seen.iter().skip(frequent).map(|(rows, _)| rows).sum::<usize>();
        let has_missing = missing >= LEAST_SHARED;
        // A missing value without a number of its own is one of the others.
        let has_others = others + if has_missing { 0 } else { missing } >= LEAST_SHARED;
        seen.truncate(frequent);
        let mut own: Vec<u32> = seen.into_iter().map(|(_, code)| code).collect();
        own.sort_unstable();
        let last_own = to_u32(own.len());
        let values = last_own + u32::from(has_missing) + u32::from(has_others);
        let unknown = if has_others { values } else { 0 };
        let mut numbers = vec![unknown; count];
        for (code, number) in own.into_iter().zip(1..) {
            if let Some(slot) = numbers.get_mut(index(code)) {
                *slot = number;
            }
        }
        let missing = if has_missing { last_own + 1 } else { unknown };
        Self { numbers, missing, unknown, values }
    }

    /// The number of the value with this index; `None` is a missing one.
    pub(crate) fn number(&self, code: Option<usize>) -> u32 {
        match code {
            Some(code) => self.numbers.get(code).copied().unwrap_or(self.unknown),
            None => self.missing,
        }
    }

    /// Whether no number is above the largest one.
    pub(crate) fn is_consistent(&self) -> bool {
        let numbers = self.numbers.iter().chain([&self.missing, &self.unknown]);
        self.values > 0 && numbers.copied().all(|number| number <= self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often each of the categories occurs, by their indices.
    fn seen(counts: &[usize]) -> Vec<(usize, u32)> {
        counts.iter().copied().zip(0..).filter(|(count, _)| *count > 0).collect()
    }

    #[test]
    fn rare_values_share_the_last_number_and_unknown_ones_have_it_too() {
        // All but the first two are rare, and one is not in the training split.
        let counts = [2, 9, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1];
        let fitted = Embedded::fit(seen(&counts), 13, 0, 100);
        assert_eq!(fitted.numbers, [1, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
        assert_eq!((fitted.unknown, fitted.missing, fitted.values), (3, 3, 3));
        assert_eq!(fitted.number(Some(usize::MAX)), 3);
        assert!(fitted.is_consistent());
    }

    #[test]
    fn without_enough_rare_values_they_and_unknown_ones_are_0() {
        for counts in [&[2, 9, 0][..], &[2, 9, 1], &[2, 9, 1, 1, 1, 1, 1, 1, 1, 1, 1]] {
            let fitted = Embedded::fit(seen(counts), counts.len(), 0, 100);
            assert_eq!(fitted.numbers[..3], [1, 2, 0]);
            assert_eq!((fitted.unknown, fitted.missing, fitted.values), (0, 0, 2));
            assert!(fitted.is_consistent());
        }
    }

    #[test]
    fn a_missing_value_has_a_number_if_enough_training_rows_lack_it() {
        let rare = [2, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
        let fitted = Embedded::fit(seen(&rare), 11, 10, 100);
        assert_eq!(fitted.numbers[..2], [1, 3]);
        assert_eq!((fitted.missing, fitted.unknown, fitted.values), (2, 3, 3));
        let fitted = Embedded::fit(seen(&[2, 3]), 2, 10, 100);
        assert_eq!((fitted.missing, fitted.unknown, fitted.values), (3, 0, 3));
        let fitted = Embedded::fit(seen(&rare), 11, 9, 100);
        assert_eq!((fitted.missing, fitted.unknown, fitted.values), (2, 2, 2), "like a rare one");
        let fitted = Embedded::fit(seen(&[2, 3, 1]), 3, 9, 100);
        assert_eq!((fitted.missing, fitted.unknown, fitted.values), (3, 3, 3), "ten share it");
        let fitted = Embedded::fit(seen(&[2, 3]), 2, 9, 100);
        assert_eq!((fitted.missing, fitted.unknown, fitted.values), (0, 0, 2));
    }

    #[test]
    fn only_the_most_frequent_values_have_numbers_of_their_own() {
        let fitted = Embedded::fit(seen(&[5, 8, 5, 9, 5]), 5, 0, 3);
        // Of equally frequent ones the first by name.
        assert_eq!(fitted.numbers, [1, 2, 4, 3, 4]);
        assert_eq!(fitted.values, 4);
        let all = Embedded::fit(seen(&[3, 5, 3, 7, 3]), 5, 0, 5);
        assert_eq!((all.numbers, all.unknown), (vec![1, 2, 3, 4, 5], 0));
    }

    #[test]
    fn values_that_are_all_rare_share_one_number() {
        let fitted = Embedded::fit(seen(&[1; 10]), 10, 0, 100);
        assert_eq!((fitted.numbers, fitted.values), (vec![1; 10], 1));
    }
}
