//! The measures: one number about predictions. They are defined as in scikit-learn, except where
//! the docs of [`Measure`] say otherwise.
//!
//! A measure is prepared once, and can then be taken with any weights. A resample of the rows is a
//! set of weights too, so an interval needs neither copies of the predictions nor further sorting.

use caviar_common::data::Task;
use caviar_common::numbers::{index, real};
use caviar_common::spec::Goal;
use serde::{Deserialize, Serialize};

use crate::classes::Choices;
use crate::predictions::{Outputs, Predictions};
use crate::ranking::Ranking;

/// One number that says how good predictions are. Every measure counts each row with its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The share of the rows whose class is predicted. The predicted class is the one with the
    /// largest probability, and the lowest of those with equal ones.
    Accuracy,
    /// The mean, over the classes that occur, of the share of their rows that are predicted right.
    BalancedAccuracy,
    /// The mean, over the classes that occur or are predicted, of F1: the harmonic mean of
    /// precision and recall, or 0 if no row of the class is predicted right.
    MacroF1,
    /// The mean of -ln p, where p is the probability of the true class. All probabilities are first
    /// clipped to [e, 1 - e], where e = 2^-23 is the precision of an f32. Then each row is divided
    /// by its sum, as earlier releases of scikit-learn did.
    LogLoss,
    /// The area under the ROC curve. Of two classes, class 1 is the positive one. For more classes,
    /// the mean over the classes that occur, each against all others.
    RocAuc,
    /// The average precision, a sum that approximates the area under the curve of precision and
    /// recall without interpolation. Classes as for the area under the ROC curve.
    PrAuc,
    /// The Brier score. For two classes the mean of (p - y)^2, where p is the probability of class
    /// 1 and y is 1 in rows of that class and else 0. For more classes the mean over the rows of
    /// the sum of (p - y)^2 over all classes.
    Brier,
    /// The root of the mean squared error, in the units of the label.
    Rmse,
    /// The mean absolute error, in the units of the label.
    Mae,
    /// 1 - (sum of squared errors) / (sum of squared deviations from the mean of the truth). It is
    /// undefined if all true values are equal, for which scikit-learn returns 0 or 1.
    R2,
}

/// A prepared measure: a function of the weights of the rows.
pub(crate) type Score<'a> = Box<dyn Fn(&[f64]) -> Option<f64> + 'a>;

impl Measure {
    /// All measures, in the order in which they are shown.
    pub const ALL: [Self; 10] = [
        Self::Accuracy,
        Self::BalancedAccuracy,
        Self::MacroF1,
        Self::LogLoss,
        Self::RocAuc,
        Self::PrAuc,
        Self::Brier,
        Self::Rmse,
        Self::Mae,
        Self::R2,
    ];

    /// The name in files, on the wire and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::BalancedAccuracy => "balanced_accuracy",
            Self::MacroF1 => "macro_f1",
            Self::LogLoss => "log_loss",
            Self::RocAuc => "roc_auc",
            Self::PrAuc => "pr_auc",
            Self::Brier => "brier",
            Self::Rmse => "rmse",
            Self::Mae => "mae",
            Self::R2 => "r2",
        }
    }

    /// The measure called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.name() == name)
    }

    /// Whether smaller or larger values are better.
    pub const fn goal(self) -> Goal {
        match self {
            Self::Accuracy
            | Self::BalancedAccuracy
            | Self::MacroF1
            | Self::RocAuc
            | Self::PrAuc
            | Self::R2 => Goal::Maximize,
            Self::LogLoss | Self::Brier | Self::Rmse | Self::Mae => Goal::Minimize,
        }
    }

    /// The task that it belongs to.
    pub const fn task(self) -> Task {
        match self {
            Self::Accuracy
            | Self::BalancedAccuracy
            | Self::MacroF1
            | Self::LogLoss
            | Self::RocAuc
            | Self::PrAuc
            | Self::Brier => Task::Classification,
            Self::Rmse | Self::Mae | Self::R2 => Task::Regression,
        }
    }

    /// The measures of a task, in the order in which they are shown.
    pub fn of_task(task: Task) -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(move |measure| measure.task() == task)
    }

    /// The measure of these predictions. O(rows x classes), and for the two areas O(rows x classes
    /// x log rows).
    ///
    /// `None` where it is undefined: for another task; `roc_auc` if only one class occurs; `pr_auc`
    /// of two classes if class 1 does not occur; `r2` if all true values are equal. NaN if a
    /// prediction that it depends on is NaN, except for the measures that count classes.
    pub fn of(self, predictions: &Predictions) -> Option<f64> {
        self.score(predictions)?(&predictions.all_weights())
    }

    /// Prepares the measure; `None` if it belongs to another task.
    pub(crate) fn score(self, predictions: &Predictions) -> Option<Score<'_>> {
        match predictions.outputs() {
            Outputs::Classes { classes, truth, probabilities } => {
                score_classes(self, *classes, truth, probabilities)
            }
            Outputs::Values { truth, predicted } => score_values(self, truth, predicted),
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

fn score_values<'a>(measure: Measure, truth: &'a [f64], predicted: &'a [f64]) -> Option<Score<'a>> {
    let of_rows = |of_row: fn(f64, f64) -> f64| -> Vec<f64> {
        truth.iter().zip(predicted).map(|(y, p)| of_row(*y, *p)).collect()
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
            Box::new(move |weights| Some(1.0 - squares(weights)? / variance(truth, weights)?))
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
fn variance(truth: &[f64], weights: &[f64]) -> Option<f64> {
    let mut counted = truth.iter().zip(weights).filter(|(_, w)| **w > 0.0).map(|(y, _)| *y);
    let first = counted.next()?;
    // Not by the variance, which rounding can make positive.
    counted.find(|y| *y != first)?;
    let mean = weighted_mean(truth.iter().copied(), weights)?;
    let variance = weighted_mean(truth.iter().map(|y| (y - mean) * (y - mean)), weights)?;
    (variance > 0.0).then_some(variance)
}

/// The mean; `None` of nothing.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / real(count))
}
