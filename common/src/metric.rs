//! What is measured of a training.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Problem;
use crate::ids::Name;

/// A number that is measured after every epoch (or, of the test split, once for the winner).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Metric {
    /// Mean loss over the epoch's mini-batches, as they were trained.
    TrainLoss,
    /// Share classified correctly over the epoch's mini-batches, as they were trained.
    TrainAccuracy,
    /// Mean loss over the validation split, with running statistics.
    ValidationLoss,
    /// Share of the validation split classified correctly.
    ValidationAccuracy,
    /// What a program that trains by itself calls by this name.
    Named(Name),
}

impl Metric {
    /// All metrics of networks, in the order in which they are shown.
    pub const ALL: [Self; 4] =
        [Self::TrainLoss, Self::TrainAccuracy, Self::ValidationLoss, Self::ValidationAccuracy];

    /// The name used in files, on the wire and on the command line.
    pub fn name(&self) -> &str {
        match self {
            Self::TrainLoss => "train_loss",
            Self::TrainAccuracy => "train_accuracy",
            Self::ValidationLoss => "validation_loss",
            Self::ValidationAccuracy => "validation_accuracy",
            Self::Named(name) => name.as_str(),
        }
    }

    /// The metric of networks of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }

    /// Whether only classification has it.
    pub const fn needs_classes(&self) -> bool {
        matches!(self, Self::TrainAccuracy | Self::ValidationAccuracy)
    }
}

impl From<Metric> for String {
    fn from(metric: Metric) -> Self {
        metric.name().to_owned()
    }
}

impl TryFrom<String> for Metric {
    type Error = Problem;

    fn try_from(name: String) -> Result<Self, Problem> {
        Self::from_name(&name).map_or_else(|| Name::parse("metric", &name).map(Self::Named), Ok)
    }
}

/// Loss and accuracy over one split. The loss is mean cross-entropy in nats, or mean squared error
/// for regression.
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
    pub fn get(&self, metric: &Metric) -> Option<f64> {
        match metric {
            Metric::TrainLoss => Some(self.train.loss),
            Metric::TrainAccuracy => self.train.accuracy,
            Metric::ValidationLoss => Some(self.validation.loss),
            Metric::ValidationAccuracy => self.validation.accuracy,
            Metric::Named(_) => None,
        }
    }

    /// Whether both losses are finite: a training whose loss is not has diverged.
    pub fn is_finite(&self) -> bool {
        self.train.loss.is_finite() && self.validation.loss.is_finite()
    }
}

/// What a program that trains by itself measured after one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedMetrics {
    /// The epoch, from 1.
    pub epoch: u32,
    /// The values; any may be NaN or infinite.
    #[serde(with = "numbers")]
    pub metrics: BTreeMap<Name, f64>,
}

/// One epoch of a trial's curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Point {
    /// Of a network that a worker trained.
    Network(EpochMetrics),
    /// Of something that a program trained by itself.
    Named(NamedMetrics),
}

impl Point {
    /// The epoch, from 1.
    pub const fn epoch(&self) -> u32 {
        match self {
            Self::Network(metrics) => metrics.epoch,
            Self::Named(named) => named.epoch,
        }
    }

    /// The value of `metric`, or none where there is no such metric.
    pub fn get(&self, metric: &Metric) -> Option<f64> {
        match self {
            Self::Network(metrics) => metrics.get(metric),
            Self::Named(named) => named
                .metrics
                .iter()
                .find(|(name, _)| name.as_str() == metric.name())
                .map(|(_, value)| *value),
        }
    }

    /// How many values it has; those that a network may lack count too.
    pub fn values(&self) -> usize {
        match self {
            Self::Network(_) => Metric::ALL.len(),
            Self::Named(named) => named.metrics.len(),
        }
    }

    /// Whether the training goes on from here: a network does not whose loss is infinite or NaN,
    /// and a program says itself.
    pub fn is_finite(&self) -> bool {
        match self {
            Self::Network(metrics) => metrics.is_finite(),
            Self::Named(_) => true,
        }
    }
}

impl From<EpochMetrics> for Point {
    fn from(metrics: EpochMetrics) -> Self {
        Self::Network(metrics)
    }
}

/// Numbers by name, in JSON.
mod numbers {
    use super::{
        BTreeMap, Deserialize, Deserializer, Name, Serialize, Serializer, finite_or_text,
        number_or_text,
    };

    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Number(
        #[serde(serialize_with = "finite_or_text", deserialize_with = "number_or_text")] f64,
    );

    pub(super) fn serialize<S: Serializer>(
        values: &BTreeMap<Name, f64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_map(values.iter().map(|(name, value)| (name, Number(*value))))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Name, f64>, D::Error> {
        let numbers = BTreeMap::<Name, Number>::deserialize(deserializer)?;
        Ok(numbers.into_iter().map(|(name, number)| (name, number.0)).collect())
    }
}

/// JSON has no NaN and no infinity: they are written as the text that Rust prints.
fn finite_or_text<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(*value)
    } else {
        serializer.serialize_str(&value.to_string())
    }
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
        Number::Text(text) => {
            text.parse().map_err(|_| serde::de::Error::custom(format!("{text:?} is no number")))
        }
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

    #[test]
    fn points_of_both_kinds_survive_json() {
        let metrics = [("score", 0.1 + 0.2), ("train.time", f64::NEG_INFINITY)];
        let metrics =
            metrics.into_iter().map(|(name, v)| (Name::parse("name", name).unwrap(), v)).collect();
        let network = EpochMetrics {
            epoch: 2,
            train: Score { loss: 1.0, accuracy: None },
            validation: Score { loss: 0.5, accuracy: Some(0.9) },
        };
        for point in [Point::Named(NamedMetrics { epoch: 3, metrics }), Point::Network(network)] {
            let text = serde_json::to_string(&point).unwrap();
            assert_eq!(serde_json::from_str::<Point>(&text).unwrap(), point, "{text}");
        }
    }

    #[test]
    fn a_metric_is_its_name() {
        for name in ["validation_loss", "f1-score"] {
            let metric = Metric::try_from(name.to_owned()).unwrap();
            assert_eq!(
                (metric.name(), serde_json::to_value(&metric).unwrap()),
                (name, name.into())
            );
            assert_eq!(serde_json::from_value::<Metric>(name.into()).unwrap(), metric);
        }
        assert!(Metric::try_from("f1 score".to_owned()).is_err());
    }
}
