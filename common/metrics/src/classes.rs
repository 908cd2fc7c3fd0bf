//! The predicted class of each row, and how many rows of each class there are.

use caviar_common::numbers::{index, to_u32};

/// The class with the largest probability, the lower one of equals, as in the training. `None` if a
/// probability is NaN, so that the row counts as wrong.
pub(crate) fn most_likely(probabilities: &[f32]) -> Option<u32> {
    let (mut best, mut largest) = (0, f32::NEG_INFINITY);
    for (class, &p) in probabilities.iter().enumerate() {
        if p.is_nan() {
            return None;
        }
        if p > largest {
            (best, largest) = (to_u32(class), p);
        }
    }
    Some(best)
}

/// The true and the predicted class of each row.
pub(crate) struct Choices {
    classes: usize,
    pairs: Vec<(u32, Option<u32>)>,
}

impl Choices {
    /// The choices of rows with the classes `truth` and the probabilities [rows, classes].
    pub(crate) fn new(classes: usize, truth: &[u32], probabilities: &[f32]) -> Self {
        let predicted = probabilities.chunks_exact(classes).map(most_likely);
        Self { classes, pairs: truth.iter().copied().zip(predicted).collect() }
    }

    /// Per row 1 if its class is predicted, else 0.
    pub(crate) fn hits(&self) -> Vec<f64> {
        let is_hit = |&(truth, predicted)| f64::from(u8::from(predicted == Some(truth)));
        self.pairs.iter().map(is_hit).collect()
    }

    /// The counts of each class, with the weight of each row.
    pub(crate) fn counts(&self, weights: &[f64]) -> Vec<Counts> {
        let mut counts = vec![Counts::default(); self.classes];
        for (&(truth, predicted), weight) in self.pairs.iter().zip(weights) {
            if let Some(counts) = counts.get_mut(index(truth)) {
                counts.support += weight;
                if predicted == Some(truth) {
                    counts.hits += weight;
                }
            }
            if let Some(counts) = predicted.and_then(|class| counts.get_mut(index(class))) {
                counts.predicted += weight;
            }
        }
        counts
    }

    /// The confusion matrix [classes, classes]: the weight of the rows of each true class (row)
    /// that are predicted as each class (column). A row without a prediction is in no column.
    pub(crate) fn confusion(&self, weights: &[f64]) -> Vec<Vec<f64>> {
        let mut confusion = vec![vec![0.0; self.classes]; self.classes];
        for (&(truth, predicted), weight) in self.pairs.iter().zip(weights) {
            let cell = predicted.and_then(|p| confusion.get_mut(index(truth))?.get_mut(index(p)));
            if let Some(cell) = cell {
                *cell += weight;
            }
        }
        confusion
    }
}

/// The total weights of the rows of one class.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    /// Rows of the class.
    pub(crate) support: f64,
    /// Rows that are predicted to be of the class.
    pub(crate) predicted: f64,
    /// Rows that are both.
    pub(crate) hits: f64,
}

impl Counts {
    /// The share of the rows that are predicted to be of the class and are; 0 if there are none.
    pub(crate) fn precision(&self) -> f64 {
        ratio(self.hits, self.predicted)
    }

    /// The share of the rows of the class that are predicted as such; 0 if there are none.
    pub(crate) fn recall(&self) -> f64 {
        ratio(self.hits, self.support)
    }

    /// The harmonic mean of precision and recall; 0 if one of them is.
    pub(crate) fn f1(&self) -> f64 {
        ratio(2.0 * self.hits, self.support + self.predicted)
    }
}

/// The quotient; 0 if the divisor is 0.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}
