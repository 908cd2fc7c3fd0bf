//! What a model predicts for the rows of one split, next to the truth.

use std::ops::RangeInclusive;

use caviar_common::data::Task;
use caviar_common::error::ErrorClass;
use caviar_common::numbers::{index, single};
use serde::{Deserialize, Serialize};

use crate::stored;

/// The sums of weights that are accepted. Within them, products of two sums neither overflow nor
/// vanish.
const TOTAL_WEIGHT: RangeInclusive<f64> = 1e-100..=1e100;

/// The predictions of a model for the rows of one split, next to the truth. Every value was checked
/// when it was made or read.
///
/// Predictions can be NaN, because a training can diverge. Such a row counts as wrong where classes
/// are counted, and makes any other measure NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Predictions {
    outputs: Outputs,
    weights: Option<Vec<f64>>,
}

/// The truth and the predictions of each row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outputs {
    /// Each row belongs to one of several classes.
    Classes {
        /// The number of classes, at least 2.
        classes: usize,
        /// The class of each row, below `classes`.
        truth: Vec<u32>,
        /// The probability of each class, row by row: [rows, classes]. Each is NaN or from 0 to 1.
        #[serde(with = "stored::singles")]
        probabilities: Vec<f32>,
    },
    /// Each row has one or several numbers, in the units of the labels.
    Values {
        /// How many numbers a row has, at least 1.
        #[serde(default = "one", skip_serializing_if = "is_one")]
        outputs: usize,
        /// The numbers of each row, row by row: [rows, outputs]. Each is finite.
        truth: Vec<f64>,
        /// The predictions for each row, [rows, outputs]. Each can be NaN or infinite.
        #[serde(with = "stored::numbers")]
        predicted: Vec<f64>,
    },
}

const fn one() -> usize {
    1
}

const fn is_one(outputs: &usize) -> bool {
    *outputs == 1
}

/// The stored form, before it is checked.
#[derive(Deserialize)]
struct Unchecked {
    outputs: Outputs,
    weights: Option<Vec<f64>>,
}

/// Why predictions are refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PredictionsError {
    /// There is not a single row.
    #[error("there are no predictions: expected at least one row")]
    Empty,
    /// Parts that do not belong together.
    #[error("predictions of different tasks or classes cannot be put together")]
    Mixed,
    /// One class, or none.
    #[error("{classes} classes: expected at least 2")]
    TooFewClasses {
        /// The number of classes as given.
        classes: usize,
    },
    /// A list whose length does not fit the number of rows.
    #[error("{list}: expected {expected} numbers, found {found}")]
    Length {
        /// What the list holds.
        list: &'static str,
        /// The length that fits the truth.
        expected: usize,
        /// The length that was found.
        found: usize,
    },
    /// A row whose class does not exist.
    #[error("row {row}: class {class}: expected a class below {classes}")]
    UnknownClass {
        /// The row, from 0.
        row: usize,
        /// Its class as given.
        class: u32,
        /// The number of classes.
        classes: usize,
    },
    /// A probability that is not one.
    #[error("row {row}: probability {probability}: expected a number from 0 to 1")]
    BadProbability {
        /// The row, from 0.
        row: usize,
        /// The first such probability.
        probability: f32,
    },
    /// A true value that is infinite or NaN.
    #[error("row {row}: the true value is {value}: expected a finite number")]
    BadTruth {
        /// The row, from 0.
        row: usize,
        /// The true value as given.
        value: f64,
    },
    /// A weight that is negative, infinite or NaN.
    #[error("row {row}: weight {weight}: expected a finite number of at least 0")]
    BadWeight {
        /// The row, from 0.
        row: usize,
        /// Its weight as given.
        weight: f64,
    },
    /// All weights are 0, or they are too small or too large to calculate with.
    #[error("the weights have the sum {total:e}: expected a sum from 1e-100 to 1e100")]
    BadTotalWeight {
        /// The sum of the weights.
        total: f64,
    },
}

impl PredictionsError {
    /// What a caller can do: correct the predictions.
    pub const fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

impl Predictions {
    /// Predictions of classes: the class of each row, and the probabilities [rows, classes], row by
    /// row. A row's probabilities need not have the sum 1 exactly.
    ///
    /// # Errors
    /// There are no rows, there are fewer than two classes, the lengths do not fit, a class does
    /// not exist, or a probability is neither NaN nor from 0 to 1.
    pub fn from_probabilities(
        classes: usize,
        truth: Vec<u32>,
        probabilities: Vec<f32>,
    ) -> Result<Self, PredictionsError> {
        Self::new(Outputs::Classes { classes, truth, probabilities })
    }

    /// Predictions of numbers: the true and the predicted number of each row.
    ///
    /// # Errors
    /// There are no rows, the lengths differ, or a true number is not finite.
    pub fn from_values(truth: Vec<f64>, predicted: Vec<f64>) -> Result<Self, PredictionsError> {
        Self::from_rows(1, truth, predicted)
    }

    /// Predictions of `outputs` numbers for each row: the true and the predicted ones,
    /// [rows, outputs], row by row.
    ///
    /// # Errors
    /// There are no rows, the numbers are not whole rows, the lengths differ, or a true number is
    /// not finite.
    pub fn from_rows(
        outputs: usize,
        truth: Vec<f64>,
        predicted: Vec<f64>,
    ) -> Result<Self, PredictionsError> {
        Self::new(Outputs::Values { outputs, truth, predicted })
    }

    /// The predictions of each output by itself, with the weights of the rows; none for classes.
    pub fn of_each_output(&self) -> Vec<Self> {
        let Outputs::Values { outputs, truth, predicted } = &self.outputs else {
            return Vec::new();
        };
        let of_output = |all: &[f64], output: usize| -> Vec<f64> {
            all.iter().skip(output).step_by(*outputs).copied().collect()
        };
        let single = |output| Self {
            outputs: Outputs::Values {
                outputs: 1,
                truth: of_output(truth, output),
                predicted: of_output(predicted, output),
            },
            weights: self.weights.clone(),
        };
        (0..*outputs).map(single).collect()
    }

    /// The same predictions in other units: the true and the predicted numbers of each output are
    /// multiplied by its factor. Classes stay as they are.
    #[must_use]
    pub fn scaled(mut self, factors: &[f64]) -> Self {
        if let Outputs::Values { truth, predicted, .. } = &mut self.outputs {
            for numbers in [truth, predicted] {
                let factors = factors.iter().cycle();
                numbers.iter_mut().zip(factors).for_each(|(number, factor)| *number *= factor);
            }
        }
        self
    }

    /// What a model without inputs predicts if it knows these rows: for every row the shares of
    /// the classes, or the mean of each output. The weights are the same.
    #[must_use]
    pub fn without_inputs(&self) -> Self {
        let weights = self.all_weights();
        let total: f64 = weights.iter().sum();
        let outputs = match &self.outputs {
            Outputs::Classes { classes, truth, .. } => {
                let mut shares = vec![0.0; *classes];
                for (class, weight) in truth.iter().zip(&weights) {
                    if let Some(share) = shares.get_mut(index(*class)) {
                        *share += weight / total;
                    }
                }
                // A sum of shares can round to more than 1.
                let row: Vec<f32> =
                    shares.into_iter().map(|share| single(share.min(1.0))).collect();
                let (classes, truth) = (*classes, truth.clone());
                Outputs::Classes { classes, probabilities: row.repeat(truth.len()), truth }
            }
            Outputs::Values { outputs, truth, .. } => {
                let mut means = vec![0.0; *outputs];
                for (row, weight) in truth.chunks(*outputs).zip(&weights) {
                    means.iter_mut().zip(row).for_each(|(mean, it)| *mean += weight * it);
                }
                means.iter_mut().for_each(|mean| *mean /= total);
                let (outputs, truth) = (*outputs, truth.clone());
                Outputs::Values { outputs, predicted: means.repeat(self.rows()), truth }
            }
        };
        Self { outputs, weights: self.weights.clone() }
    }

    fn new(outputs: Outputs) -> Result<Self, PredictionsError> {
        match &outputs {
            Outputs::Classes { classes, truth, probabilities } => {
                check_classes(*classes, truth, probabilities)?;
            }
            Outputs::Values { outputs, truth, predicted } => {
                check_values(*outputs, truth, predicted)?;
            }
        }
        Ok(Self { outputs, weights: None })
    }

    /// The same predictions, in which each row counts with its weight. A row of weight 0 counts as
    /// absent.
    ///
    /// # Errors
    /// The number of weights is not the number of rows, a weight is negative or not finite, or the
    /// sum of the weights is below 1e-100 or above 1e100.
    pub fn with_weights(self, weights: Vec<f64>) -> Result<Self, PredictionsError> {
        check_length("the weights", self.rows(), weights.len())?;
        let bad = weights.iter().enumerate().find(|(_, w)| !w.is_finite() || **w < 0.0);
        if let Some((row, &weight)) = bad {
            return Err(PredictionsError::BadWeight { row, weight });
        }
        let total = weights.iter().sum();
        if !TOTAL_WEIGHT.contains(&total) {
            return Err(PredictionsError::BadTotalWeight { total });
        }
        Ok(Self { weights: Some(weights), ..self })
    }

    /// The rows of all `parts`, one after the other. They have weights if all parts have.
    ///
    /// # Errors
    /// There are no parts, or they differ in task or classes.
    pub fn concatenated(parts: Vec<Self>) -> Result<Self, PredictionsError> {
        let weights = parts.iter().map(|part| part.weights.clone());
        let weights = weights.collect::<Option<Vec<_>>>().map(|weights| weights.concat());
        let mut outputs = parts.into_iter().map(|part| part.outputs);
        let mut all = outputs.next().ok_or(PredictionsError::Empty)?;
        for part in outputs {
            match (&mut all, part) {
                (
                    Outputs::Classes { classes, truth, probabilities },
                    Outputs::Classes { classes: c, truth: t, probabilities: p },
                ) if *classes == c => {
                    truth.extend(t);
                    probabilities.extend(p);
                }
                (
                    Outputs::Values { outputs, truth, predicted },
                    Outputs::Values { outputs: o, truth: t, predicted: p },
                ) if *outputs == o => {
                    truth.extend(t);
                    predicted.extend(p);
                }
                (Outputs::Classes { .. } | Outputs::Values { .. }, _) => {
                    return Err(PredictionsError::Mixed);
                }
            }
        }
        Ok(Self { outputs: all, weights })
    }

    /// The number of predicted numbers of all rows.
    pub fn numbers(&self) -> usize {
        self.rows() * self.width()
    }

    /// The number of rows, at least 1.
    pub fn rows(&self) -> usize {
        match &self.outputs {
            Outputs::Classes { truth, .. } => truth.len(),
            Outputs::Values { outputs, truth, .. } => truth.len() / outputs.max(&1),
        }
    }

    /// The number of predicted numbers in a row: the number of classes, or of outputs.
    pub const fn width(&self) -> usize {
        match self.outputs {
            Outputs::Classes { classes, .. } => classes,
            Outputs::Values { outputs, .. } => outputs,
        }
    }

    /// What is predicted: classes or values.
    pub const fn task(&self) -> Task {
        match self.outputs {
            Outputs::Classes { .. } => Task::Classification,
            Outputs::Values { .. } => Task::Regression,
        }
    }

    /// The truth and the predictions.
    pub const fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// The weight of each row; `None` if all rows have the weight 1.
    pub fn weights(&self) -> Option<&[f64]> {
        self.weights.as_deref()
    }

    /// The weight of each row, which is 1 if none are given.
    pub(crate) fn all_weights(&self) -> Vec<f64> {
        self.weights.clone().unwrap_or_else(|| vec![1.0; self.rows()])
    }

    /// Whether both have the same task, classes, truth and weights.
    pub(crate) fn is_about_the_same_rows(&self, other: &Self) -> bool {
        let same_truth = match (&self.outputs, &other.outputs) {
            (
                Outputs::Classes { classes, truth, .. },
                Outputs::Classes { classes: c, truth: t, .. },
            ) => classes == c && truth == t,
            (
                Outputs::Values { outputs, truth, .. },
                Outputs::Values { outputs: o, truth: t, .. },
            ) => outputs == o && truth == t,
            (Outputs::Classes { .. }, Outputs::Values { .. })
            | (Outputs::Values { .. }, Outputs::Classes { .. }) => false,
        };
        same_truth && self.weights == other.weights
    }

    /// Adds `factor` times each predicted number to `sums`, [rows, width].
    pub(crate) fn add_to(&self, sums: &mut [f64], factor: f64) {
        match &self.outputs {
            Outputs::Classes { probabilities, .. } => {
                for (sum, p) in sums.iter_mut().zip(probabilities) {
                    *sum += factor * f64::from(*p);
                }
            }
            Outputs::Values { predicted, .. } => {
                for (sum, value) in sums.iter_mut().zip(predicted) {
                    *sum += factor * value;
                }
            }
        }
    }

    /// The same rows with other predicted numbers, [rows, width]. The caller sees to it that they
    /// are probabilities if classes are predicted.
    pub(crate) fn with_numbers(&self, numbers: impl Iterator<Item = f64>) -> Self {
        let outputs = match &self.outputs {
            Outputs::Classes { classes, truth, .. } => Outputs::Classes {
                classes: *classes,
                truth: truth.clone(),
                probabilities: numbers.map(single).collect(),
            },
            Outputs::Values { outputs, truth, .. } => {
                let (outputs, truth) = (*outputs, truth.clone());
                Outputs::Values { outputs, truth, predicted: numbers.collect() }
            }
        };
        Self { outputs, weights: self.weights.clone() }
    }
}

impl TryFrom<Unchecked> for Predictions {
    type Error = PredictionsError;

    fn try_from(stored: Unchecked) -> Result<Self, PredictionsError> {
        let predictions = Self::new(stored.outputs)?;
        match stored.weights {
            Some(weights) => predictions.with_weights(weights),
            None => Ok(predictions),
        }
    }
}

fn check_classes(
    classes: usize,
    truth: &[u32],
    probabilities: &[f32],
) -> Result<(), PredictionsError> {
    if truth.is_empty() {
        return Err(PredictionsError::Empty);
    }
    if classes < 2 {
        return Err(PredictionsError::TooFewClasses { classes });
    }
    let expected = truth.len().saturating_mul(classes);
    check_length("the probabilities", expected, probabilities.len())?;
    if let Some((row, &class)) = truth.iter().enumerate().find(|(_, c)| index(**c) >= classes) {
        return Err(PredictionsError::UnknownClass { row, class, classes });
    }
    let is_bad = |p: &f32| !p.is_nan() && !(0.0..=1.0).contains(p);
    match probabilities.iter().enumerate().find(|(_, p)| is_bad(p)) {
        Some((place, &probability)) => {
            Err(PredictionsError::BadProbability { row: place / classes, probability })
        }
        None => Ok(()),
    }
}

fn check_values(outputs: usize, truth: &[f64], predicted: &[f64]) -> Result<(), PredictionsError> {
    if truth.is_empty() || outputs == 0 {
        return Err(PredictionsError::Empty);
    }
    let rows = truth.len().div_ceil(outputs);
    check_length("the true values", rows.saturating_mul(outputs), truth.len())?;
    check_length("the predicted values", truth.len(), predicted.len())?;
    match truth.iter().enumerate().find(|(_, value)| !value.is_finite()) {
        Some((place, &value)) => Err(PredictionsError::BadTruth { row: place / outputs, value }),
        None => Ok(()),
    }
}

const fn check_length(
    list: &'static str,
    expected: usize,
    found: usize,
) -> Result<(), PredictionsError> {
    if found == expected { Ok(()) } else { Err(PredictionsError::Length { list, expected, found }) }
}
