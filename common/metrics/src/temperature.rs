//! Temperature scaling: one number that makes all probabilities less or more certain (Guo, Pleiss,
//! Sun and Weinberger 2017, "On calibration of modern neural networks").
//!
//! With temperature T the probabilities p of a row become softmax(ln(p) / T). T > 1 makes them less
//! certain, and T < 1 more certain. The order of a row's classes stays the same, except that
//! rounding can make two probabilities equal.
//!
//! For example, a model that says (0.9, 0.1) and is right in three rows of four should say
//! (0.75, 0.25): the odds 9 become 3 = 9^(1/2), so T = 2.
//!
//! The mean of -ln p of the true classes is convex in 1/T, so it has one minimum in ln T. A
//! golden-section search (Kiefer 1953) finds it.

use caviar_common::measure::Measure;
use caviar_common::numbers::index;

use crate::predictions::{Outputs, Predictions};

/// The least and the greatest temperature that is tried.
const RANGE: [f64; 2] = [0.05, 20.0];
/// Steps of the search. Each leaves 0.618 of the interval of ln T: 6.0 becomes 2.6e-8.
const STEPS: usize = 40;
/// The golden ratio without its 1: (sqrt(5) - 1) / 2.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The temperature from 0.05 to 20 with the least log loss on these predictions.
///
/// It is exactly 1 if no other temperature lowers [`Measure::LogLoss`], so [`apply`] never makes it
/// worse. That includes predictions of numbers, and those with NaN in rows that count.
pub fn fit(predictions: &Predictions) -> f64 {
    let Some(rows) = Rows::new(predictions) else { return 1.0 };
    let [mut low, mut high] = RANGE.map(libm::log);
    let cost = |ln_temperature| rows.cost(libm::exp(ln_temperature));
    let mut inner = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)];
    let mut costs = inner.map(cost);
    for _ in 0..STEPS {
        if costs[0] <= costs[1] {
            high = inner[1];
            inner = [high - GOLDEN * (high - low), inner[0]];
            costs = [cost(inner[0]), costs[0]];
        } else {
            low = inner[0];
            inner = [inner[1], low + GOLDEN * (high - low)];
            costs = [costs[1], cost(inner[1])];
        }
    }
    let temperature = libm::exp(0.5 * (low + high));
    // The measure clips and rounds, which the search does not.
    let before = predictions.measure(Measure::LogLoss);
    let after = apply(temperature, predictions).measure(Measure::LogLoss);
    match (before, after) {
        (Some(before), Some(after)) if after < before => temperature,
        _ => 1.0,
    }
}

/// The probabilities after scaling with a temperature above 0. With temperature 1, and for
/// predictions of numbers, they stay as they are.
///
/// A probability of 0 counts as the least normal f32, 1.2e-38.
pub fn apply(temperature: f64, predictions: &Predictions) -> Predictions {
    let Outputs::Classes { classes, probabilities, .. } = predictions.outputs() else {
        return predictions.clone();
    };
    if temperature == 1.0 {
        return predictions.clone();
    }
    let mut numbers: Vec<f64> = probabilities.iter().map(logarithm).collect();
    for row in numbers.chunks_exact_mut(*classes) {
        let largest = largest(row);
        for x in &mut *row {
            *x = libm::exp((*x - largest) / temperature);
        }
        let sum: f64 = row.iter().sum();
        for x in row {
            *x /= sum;
        }
    }
    predictions.with_numbers(numbers.into_iter())
}

/// What the search needs of each row with a weight above 0.
struct Rows {
    classes: usize,
    /// ln p - ln(largest p of the row), [rows, classes].
    logarithms: Vec<f64>,
    /// The same of the true class, and the weight.
    of_truth: Vec<(f64, f64)>,
}

impl Rows {
    /// `None` for predictions of numbers.
    fn new(predictions: &Predictions) -> Option<Self> {
        let Outputs::Classes { classes, truth, probabilities } = predictions.outputs() else {
            return None;
        };
        let (mut logarithms, mut of_truth) = (Vec::new(), Vec::new());
        let rows = probabilities.chunks_exact(*classes).zip(truth).zip(predictions.all_weights());
        for ((row, class), weight) in rows.filter(|(_, weight)| *weight > 0.0) {
            let start = logarithms.len();
            logarithms.extend(row.iter().map(logarithm));
            let Some(row) = logarithms.get_mut(start..) else { continue };
            let largest = largest(row);
            row.iter_mut().for_each(|x| *x -= largest);
            let class = index(*class);
            of_truth.push((row.get(class).copied().unwrap_or(f64::NAN), weight));
        }
        Some(Self { classes: *classes, logarithms, of_truth })
    }

    /// The weighted sum of -ln p of the true classes with a temperature.
    fn cost(&self, temperature: f64) -> f64 {
        let rows = self.logarithms.chunks_exact(self.classes).zip(&self.of_truth);
        let costs = rows.map(|(row, (of_truth, weight))| {
            let sum: f64 = row.iter().map(|x| libm::exp(x / temperature)).sum();
            weight * (libm::log(sum) - of_truth / temperature)
        });
        costs.sum()
    }
}

/// ln p, where 0 counts as the least normal f32. NaN stays NaN.
fn logarithm(p: &f32) -> f64 {
    libm::log(f64::from(p.clamp(f32::MIN_POSITIVE, 1.0)))
}

/// The largest number of a row, without those that are NaN.
fn largest(row: &[f64]) -> f64 {
    row.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}
