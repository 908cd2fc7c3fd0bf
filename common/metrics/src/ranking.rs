//! The areas under the ROC curve and under the curve of precision and recall.
//!
//! Both need the rows of one class (positive) and the others (negative) in the order of their
//! scores. The order does not depend on the weights, so the resamples of an interval share it.

use std::cmp::Ordering;

use caviar_common::numbers::{index, to_u32};

/// Rows in the order of their scores, from the highest.
pub(crate) struct Ranking {
    ranked: Vec<Ranked>,
    /// The rows whose score is NaN.
    unranked: Vec<usize>,
}

/// A row at its place in a ranking.
struct Ranked {
    row: u32,
    is_positive: bool,
    /// Whether its score is lower than that of the row before it.
    is_lower: bool,
}

/// The total weights of the positive and the negative rows with one score, or with all.
#[derive(Clone, Copy, Default)]
struct Sums {
    positive: f64,
    negative: f64,
}

impl Ranking {
    /// The ranking of rows by (score, whether the row is positive). O(n log n).
    pub(crate) fn new(rows: impl Iterator<Item = (f32, bool)>) -> Self {
        let (unranked, mut sorted): (Vec<_>, Vec<_>) =
            rows.enumerate().partition(|(_, (score, _))| score.is_nan());
        // No score is NaN, so there is always an order. The sort is stable.
        sorted.sort_by(|(_, (a, _)), (_, (b, _))| b.partial_cmp(a).unwrap_or(Ordering::Equal));
        let mut before = f32::INFINITY;
        let ranked = sorted.into_iter().map(|(row, (score, is_positive))| {
            let is_lower = score < before;
            before = score;
            Ranked { row: to_u32(row), is_positive, is_lower }
        });
        Self {
            ranked: ranked.collect(),
            unranked: unranked.into_iter().map(|(row, _)| row).collect(),
        }
    }

    /// The probability that a positive row has a higher score than a negative one, where an equal
    /// score counts half: the area under the ROC curve (Hanley and McNeil 1982).
    ///
    /// `None` if there are no positive or no negative rows; NaN if a score is NaN.
    pub(crate) fn roc_auc(&self, weights: &[f64]) -> Option<f64> {
        let (mut above, mut area) = (0.0, 0.0);
        let total = self.visit(weights, |tied| {
            area += tied.negative * (above + 0.5 * tied.positive);
            above += tied.positive;
        });
        if self.has_nan(weights) {
            return Some(f64::NAN);
        }
        (total.positive > 0.0 && total.negative > 0.0)
            .then(|| area / total.positive / total.negative)
    }

    /// The average precision: the sum over the scores, from the highest, of the precision among the
    /// rows down to this score, times the share of the positive rows that have this score.
    ///
    /// `None` if there are no positive rows; NaN if a score is NaN.
    pub(crate) fn average_precision(&self, weights: &[f64]) -> Option<f64> {
        let (mut so_far, mut area) = (Sums::default(), 0.0);
        let total = self.visit(weights, |tied| {
            so_far.positive += tied.positive;
            so_far.negative += tied.negative;
            if tied.positive > 0.0 {
                area += tied.positive * (so_far.positive / (so_far.positive + so_far.negative));
            }
        });
        if self.has_nan(weights) {
            return Some(f64::NAN);
        }
        (total.positive > 0.0).then(|| area / total.positive)
    }

    /// Shows the sums of each score to `visit`, from the highest score, and returns those of all.
    fn visit(&self, weights: &[f64], mut visit: impl FnMut(Sums)) -> Sums {
        let (mut total, mut tied) = (Sums::default(), Sums::default());
        for ranked in &self.ranked {
            if ranked.is_lower {
                visit(std::mem::take(&mut tied));
            }
            let weight = weights.get(index(ranked.row)).copied().unwrap_or(0.0);
            for sums in [&mut tied, &mut total] {
                if ranked.is_positive {
                    sums.positive += weight;
                } else {
                    sums.negative += weight;
                }
            }
        }
        visit(tied);
        total
    }

    fn has_nan(&self, weights: &[f64]) -> bool {
        self.unranked.iter().any(|row| weights.get(*row).is_some_and(|weight| *weight > 0.0))
    }
}
