//! The measure of a sweep's objective, which is not a sum over the rows as the loss is.

use caviar_common::measure::Measure;
use caviar_common::metric::{Measured, Score};
use caviar_common::numbers::{index, to_u64};
use caviar_common::spec::Objective;
use caviar_data::{Examples, Schema, Splits, Standard, Targets};
use caviar_metrics::Predictions;

use crate::error::TrainError;
use crate::softmax::softmax;

/// Collects the outputs of the network for the validation split, block by block, and computes a
/// measure of them.
pub(crate) struct Judge {
    measure: Measure,
    /// The number of classes, or of labels.
    width: usize,
    /// For regression, the scale of each label.
    standards: Vec<Standard>,
    /// The outputs of the blocks that are done of this epoch, row by row. Empty after a checkpoint
    /// was restored, also if it has blocks that are done.
    outputs: Vec<f32>,
}

impl Judge {
    /// A judge of the training for a fold by the objective; `None` if that needs only the loss or
    /// the accuracy.
    ///
    /// # Errors
    /// The measure does not fit the data, or there is not enough memory.
    pub(crate) fn new(
        objective: &Objective,
        data: &Splits,
        fold: usize,
    ) -> Result<Option<Self>, TrainError> {
        let Some(measure) = objective.metric.measure() else { return Ok(None) };
        let has_classes = matches!(data.train.targets, Targets::Classes(_));
        if measure.needs_classes() != has_classes {
            let (what, of) =
                if has_classes { ("classes", "numbers") } else { ("values", "classes") };
            let name = measure.name();
            let what = format!("targets are {what}: expected {of}, which {name} measures");
            return Err(TrainError::Data { split: "validation", what });
        }
        let standards = data.schema.as_deref().map(Schema::standards).unwrap_or_default();
        if !has_classes && standards.is_empty() {
            return Err(TrainError::Missing { what: "scale of its label" });
        }
        let width = index(data.outputs);
        let numbers = data.validation(fold).features.nrows().saturating_mul(width);
        let mut outputs = Vec::new();
        outputs
            .try_reserve_exact(numbers)
            .map_err(|_| TrainError::OutOfMemory { floats: numbers })?;
        Ok(Some(Self { measure, width, standards, outputs }))
    }

    pub(crate) const fn measure(&self) -> Measure {
        self.measure
    }

    /// What tells this judge from others.
    pub(crate) fn identity(&self) -> String {
        format!(" measure {}", self.measure.name())
    }

    /// Where the outputs of the next block are appended.
    pub(crate) const fn outputs(&mut self) -> &mut Vec<f32> {
        &mut self.outputs
    }

    /// The rows whose outputs are known.
    pub(crate) fn rows(&self) -> usize {
        self.outputs.len() / self.width.max(1)
    }

    /// Forgets the outputs, whose measure is of another epoch.
    pub(crate) fn clear(&mut self) {
        self.outputs.clear();
    }

    /// The measure of the collected outputs, which are those of all validation examples. NaN if it
    /// is undefined.
    pub(crate) fn judge(&mut self, validation: &Examples) -> Result<Measured, TrainError> {
        let capacity = self.outputs.capacity();
        let outputs = std::mem::take(&mut self.outputs);
        let value = self.value(validation, outputs)?;
        self.outputs = Vec::with_capacity(capacity);
        // Every NaN becomes the one with the same bits on all machines.
        let value = value.filter(|value| !value.is_nan()).unwrap_or(f64::NAN);
        Ok(Measured { measure: self.measure, value })
    }

    /// A score with the measure of these outputs, unless it is undefined.
    pub(crate) fn complete(
        &self,
        score: Score,
        examples: &Examples,
        outputs: Vec<f32>,
    ) -> Result<Score, TrainError> {
        let value = self.value(examples, outputs)?.filter(|value| !value.is_nan());
        let measured = value.map(|value| Measured { measure: self.measure, value });
        Ok(Score { measured, ..score })
    }

    fn value(&self, examples: &Examples, outputs: Vec<f32>) -> Result<Option<f64>, TrainError> {
        let predictions = predictions(self.width, &self.standards, examples, outputs)?;
        Ok(predictions.measure(self.measure))
    }
}

/// What the outputs `[rows, width]` of a network say of the examples, in the units of the labels.
/// `standards` has the scale of each label; it is empty for classes.
///
/// # Errors
/// The outputs do not fit the examples, which is a bug.
pub(crate) fn predictions(
    width: usize,
    standards: &[Standard],
    examples: &Examples,
    mut outputs: Vec<f32>,
) -> Result<Predictions, TrainError> {
    let predictions = match &examples.targets {
        Targets::Classes(truth) => {
            softmax(&mut outputs, width, 1.0);
            Predictions::from_probabilities(width, truth.clone(), outputs)
        }
        Targets::Values(truth) => {
            if standards.len() != width || truth.outputs() != width {
                return Err(TrainError::Missing { what: "scale of its label" });
            }
            let restored = |all: &[f32]| -> Vec<f64> {
                let each = all.iter().zip(standards.iter().cycle());
                each.map(|(value, standard)| standard.restore(f64::from(*value))).collect()
            };
            Predictions::from_rows(width, restored(truth.all()), restored(&outputs))
        }
    };
    let predictions = match (&examples.weights, predictions) {
        (Some(weights), Ok(predictions)) => {
            let weights = weights.iter().map(|weight| f64::from(weight.measures));
            predictions.with_weights(weights.collect())
        }
        (_, predictions) => predictions,
    };
    predictions.map_err(|_| TrainError::Missing { what: "predictions that fit its data" })
}

/// Bytes that a judge by the objective holds at most, at the end of an epoch.
///
/// The outputs are four bytes each. The areas under curves rank the rows of each class in 8 bytes
/// each, and sort the last class in 24 bytes more for each row. Truth, predictions and weights of
/// the rows are at most 32 bytes, and with several labels 36 bytes for each
/// further one.
pub(crate) fn judge_bytes(objective: &Objective, data: &Splits, fold: usize) -> u64 {
    if objective.metric.measure().is_none() {
        return 0;
    }
    let rows = to_u64(data.validation(fold).features.nrows());
    let outputs = u64::from(data.outputs);
    let more_labels = match data.train.targets {
        Targets::Classes(_) => 0,
        Targets::Values(_) => outputs.saturating_sub(1).saturating_mul(24),
    };
    rows.saturating_mul(outputs.saturating_mul(12).saturating_add(56 + more_labels))
}
