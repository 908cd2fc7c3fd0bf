//! What is measured of a training.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A number that is measured after every epoch (or, of the test split, once for the winner).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Mean loss over the epoch's mini-batches, as they were trained.
    TrainLoss,
    /// Share classified correctly over the epoch's mini-batches, as they were trained.
    TrainAccuracy,
    /// Mean loss over the validation split, with running statistics.
    ValidationLoss,
    /// Share of the validation split classified correctly.
    ValidationAccuracy,
}

impl Metric {
    /// All metrics, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::TrainLoss, Self::TrainAccuracy, Self::ValidationLoss, Self::ValidationAccuracy];

    /// The name used in files, on the wire and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TrainLoss => "train_loss",
            Self::TrainAccuracy => "train_accuracy",
            Self::ValidationLoss => "validation_loss",
            Self::ValidationAccuracy => "validation_accuracy",
        }
    }

    /// The metric of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }

    /// Whether only classification has it.
    pub const fn needs_classes(self) -> bool {
        matches!(self, Self::TrainAccuracy | Self::ValidationAccuracy)
    }
}

/// Loss and accuracy over one split. The loss is mean cross-entropy in nats, or mean squared error for regression.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Mean loss; NaN or infinite where the training diverged.
    #[serde(serialize_with = "finite_or_text", deserialize_with = "number_or_text")]
    pub loss: f64,
    /// Share classified correctly in [0, 1]; none for regression.
    pub accuracy: Option<f64>,
}

/// What one epoch of one trial measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// The epoch, from 1.
    pub epoch: u32,
    /// Over the training mini-batches of this epoch.
    pub train: Score,
    /// Over the validation split after this epoch.
    pub validation: Score,
}

impl EpochMetrics {
    /// The value of `metric`, or none where the task has no such metric.
    pub fn get(&self, metric: Metric) -> Option<f64> {
        match metric {
            Metric::TrainLoss => Some(self.train.loss),
            Metric::TrainAccuracy => self.train.accuracy,
            Metric::ValidationLoss => Some(self.validation.loss),
            Metric::ValidationAccuracy => self.validation.accuracy,
        }
    }

    /// Whether both losses are finite: a training whose loss is not has diverged.
    pub fn is_finite(&self) -> bool {
        self.train.loss.is_finite() && self.validation.loss.is_finite()
    }
}

/// JSON has no NaN and no infinity: they are written as the text that Rust prints.
fn finite_or_text<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() { serializer.serialize_f64(*value) } else { serializer.serialize_str(&value.to_string()) }
}

fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Value(f64),
        Text(String),
    }
    match Number::deserialize(deserializer)? {
        Number::Value(value) => Ok(value),
        Number::Text(text) => text.parse().map_err(|_| serde::de::Error::custom(format!("{text:?} is no number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_survive_json_whatever_their_value() {
        for loss in [0.1 + 0.2, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let text = serde_json::to_string(&Score { loss, accuracy: None }).unwrap();
            let back: Score = serde_json::from_str(&text).unwrap();
            assert_eq!(back.loss.to_bits(), loss.to_bits(), "{text}");
        }
    }
}
