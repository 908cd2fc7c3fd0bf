//! The measures: one number about predictions. They are defined as in scikit-learn, except where
//! the docs of [`Measure`] say otherwise.
//!
//! A measure is prepared once, and can then be taken with any weights. A resample of the rows is a
//! set of weights too, so an interval needs neither copies of the predictions nor further sorting.

use caviar_common::measure::Measure;
use caviar_common::numbers::{index, real};

use crate::classes::Choices;
use crate::predictions::{Outputs, Predictions};
use crate::ranking::Ranking;

/// A prepared measure: a function of the weights of the rows.
pub(crate) type Score<'a> = Box<dyn Fn(&[f64]) -> Option<f64> + 'a>;

impl Predictions {
    /// The measure of these predictions. O(rows x classes), and for the two areas O(rows x classes
    /// x log rows).
    ///
    /// `None` where it is undefined: for another task; `roc_auc` if only one class occurs; `pr_auc`
    /// of two classes if class 1 does not occur; `r2` if all true values of an output are equal.
    /// NaN if a prediction that it depends on is NaN, except for the measures that count classes.
    ///
    /// That of several outputs is the mean over the outputs, each in the units of its label, as
    /// with scikit-learn's `multioutput="uniform_average"`.
    pub fn measure(&self, measure: Measure) -> Option<f64> {
        score(measure, self)?(&self.all_weights())
    }
}

/// Prepares the measure; `None` if it belongs to another task.
pub(crate) fn score(measure: Measure, predictions: &Predictions) -> Option<Score<'_>> {
    match predictions.outputs() {
        Outputs::Classes { classes, truth, probabilities } => {
            score_classes(measure, *classes, truth, probabilities)
        }
        Outputs::Values { outputs, truth, predicted } => {
            score_outputs(measure, *outputs, truth, predicted)
        }
    }
}

fn score_classes<'a>(
    measure: Measure,
    classes: usize,
    truth: &[u32],
    probabilities: &[f32],
) -> Option<Score<'a>> {
    let choices = || Choices::new(classes, truth, probabilities);
    let rankings = || rankings(classes, truth, probabilities);
    let of_rows = |of_row: fn(&[f32], usize) -> f64| -> Vec<f64> {
        let rows = probabilities.chunks_exact(classes).zip(truth);
        rows.map(|(row, class)| of_row(row, index(*class))).collect()
    };
    Some(match measure {
        Measure::Accuracy => mean_of_rows(choices().hits()),
        Measure::BalancedAccuracy => {
            let choices = choices();
            Box::new(move |weights| {
                let counts = choices.counts(weights).into_iter().filter(|c| c.support > 0.0);
                mean(counts.map(|counts| counts.recall()))
            })
        }
        Measure::MacroF1 => {
            let choices = choices();
            Box::new(move |weights| {
                let counts = choices.counts(weights).into_iter();
                let counts = counts.filter(|c| c.support + c.predicted > 0.0);
                mean(counts.map(|counts| counts.f1()))
            })
        }
        Measure::LogLoss => mean_of_rows(of_rows(log_loss)),
        Measure::Brier => mean_of_rows(of_rows(brier)),
        Measure::RocAuc => {
            let rankings = rankings();
            Box::new(move |weights| mean(rankings.iter().filter_map(|r| r.roc_auc(weights))))
        }
        Measure::PrAuc => {
            let rankings = rankings();
            Box::new(move |weights| {
                mean(rankings.iter().filter_map(|r| r.average_precision(weights)))
            })
        }
        Measure::Rmse | Measure::Mae | Measure::R2 => return None,
    })
}

/// The mean of the scores of all outputs; `None` where one of them is undefined.
fn score_outputs<'a>(
    measure: Measure,
    outputs: usize,
    truth: &'a [f64],
    predicted: &'a [f64],
) -> Option<Score<'a>> {
    let of_output = |output: usize| {
        let values = |all: &'a [f64]| all.iter().skip(output).step_by(outputs.max(1)).copied();
        score_values(measure, values(truth), values(predicted))
    };
    let scores: Vec<Score<'a>> = (0..outputs).map(of_output).collect::<Option<_>>()?;
    Some(Box::new(move |weights| {
        let values: Option<Vec<f64>> = scores.iter().map(|score| score(weights)).collect();
        mean(values?.into_iter())
    }))
}

/// The score of one output.
fn score_values<'a>(
    measure: Measure,
    truth: impl Iterator<Item = f64> + Clone + 'a,
    predicted: impl Iterator<Item = f64> + Clone + 'a,
) -> Option<Score<'a>> {
    let of_rows = |of_row: fn(f64, f64) -> f64| -> Vec<f64> {
        truth.clone().zip(predicted.clone()).map(|(y, p)| of_row(y, p)).collect()
    };
    let squares = || mean_of_rows(of_rows(|y, p| (y - p) * (y - p)));
    Some(match measure {
        Measure::Mae => mean_of_rows(of_rows(|y, p| (y - p).abs())),
        Measure::Rmse => {
            let squares = squares();
            Box::new(move |weights| squares(weights).map(f64::sqrt))
        }
        Measure::R2 => {
            let squares = squares();
            Box::new(move |weights| {
                Some(1.0 - squares(weights)? / variance(truth.clone(), weights)?)
            })
        }
        Measure::Accuracy
        | Measure::BalancedAccuracy
        | Measure::MacroF1
        | Measure::LogLoss
        | Measure::RocAuc
        | Measure::PrAuc
        | Measure::Brier => return None,
    })
}

/// -ln of the probability of `class` after clipping and division by the sum; NaN if one is NaN.
fn log_loss(row: &[f32], class: usize) -> f64 {
    let clip = |p: &f32| f64::from(p.clamp(f32::EPSILON, 1.0 - f32::EPSILON));
    let sum: f64 = row.iter().map(clip).sum();
    libm::log(sum / row.get(class).map_or(f64::NAN, clip))
}

fn brier(row: &[f32], class: usize) -> f64 {
    let deviations = row.iter().enumerate().map(|(other, p)| {
        let deviation = f64::from(*p) - f64::from(u8::from(other == class));
        deviation * deviation
    });
    // The two classes of a binary row have the same deviation, and only class 1 counts.
    if row.len() == 2 { deviations.skip(1).sum() } else { deviations.sum() }
}

/// One ranking for each class against the others; of two classes only that of class 1.
fn rankings(classes: usize, truth: &[u32], probabilities: &[f32]) -> Vec<Ranking> {
    let first = usize::from(classes == 2);
    let of_class = |class| {
        let scores = probabilities.iter().skip(class).step_by(classes);
        Ranking::new(scores.zip(truth).map(|(score, truth)| (*score, index(*truth) == class)))
    };
    (first..classes).map(of_class).collect()
}

/// The weighted mean of one value per row.
fn mean_of_rows<'a>(values: Vec<f64>) -> Score<'a> {
    Box::new(move |weights| weighted_mean(values.iter().copied(), weights))
}

/// The weighted mean. It ignores values of weight 0, which can be NaN. `None` if all are ignored.
fn weighted_mean(values: impl Iterator<Item = f64>, weights: &[f64]) -> Option<f64> {
    let (mut sum, mut total) = (0.0, 0.0);
    for (value, weight) in values.zip(weights).filter(|(_, weight)| **weight > 0.0) {
        sum += weight * value;
        total += weight;
    }
    (total > 0.0).then(|| sum / total)
}

/// The weighted variance of the truth; `None` if all values are equal.
fn variance(truth: impl Iterator<Item = f64> + Clone, weights: &[f64]) -> Option<f64> {
    let mut counted = truth.clone().zip(weights).filter(|(_, w)| **w > 0.0).map(|(y, _)| y);
    let first = counted.next()?;
    // Not by the variance, which rounding can make positive.
    counted.find(|y| *y != first)?;
    let mean = weighted_mean(truth.clone(), weights)?;
    let variance = weighted_mean(truth.map(|y| (y - mean) * (y - mean)), weights)?;
    (variance > 0.0).then_some(variance)
}

/// The mean; `None` of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / real(count))
}
