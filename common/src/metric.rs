//! Metrics: what is measured of a training, and how it is stored.
//!
//! Stored events hold NaN and the infinities as text (`"NaN"`, `"inf"`), so that they are read back
//! as they were. What users see has `null` instead, see [`crate::view`].

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Problem;
use crate::ids::Name;
use crate::measure::Measure;

/// A number that is measured after every epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Metric {
    /// The mean loss over the epoch's mini-batches, each at the time it was trained on.
    TrainLoss,
    /// The share classified correctly over the epoch's mini-batches, each at the time it was
    /// trained on.
    TrainAccuracy,
    /// The mean loss over the validation split, with running statistics.
    ValidationLoss,
    /// The share of the validation split that is classified correctly, with running statistics.
    ValidationAccuracy,
    /// A measure of the predictions for the validation split, with running statistics. It is
    /// computed only for a sweep whose objective it is. [`Measure::Accuracy`] is not one of these,
    /// because [`Metric::ValidationAccuracy`] is the same.
    Measure(Measure),
    /// A metric that an external client reports under this name.
    Named(Name),
}

impl Metric {
    /// The metrics that every network has, in the order in which they are shown.
    pub const ALL: [Self; 4] =
        [Self::TrainLoss, Self::TrainAccuracy, Self::ValidationLoss, Self::ValidationAccuracy];

    /// The name in files, on the wire and on the command line.
    pub fn name(&self) -> &str {
        match self {
            Self::TrainLoss => "train_loss",
            Self::TrainAccuracy => "train_accuracy",
            Self::ValidationLoss => "validation_loss",
            Self::ValidationAccuracy => "validation_accuracy",
            Self::Measure(measure) => measure.name(),
            Self::Named(name) => name.as_str(),
        }
    }

    /// All metrics of networks, in the order in which errors list them.
    pub fn of_networks() -> impl Iterator<Item = Self> {
        let measures = Measure::ALL.into_iter().filter(|measure| *measure != Measure::Accuracy);
        Self::ALL.into_iter().chain(measures.map(Self::Measure))
    }

    /// The metric of networks called `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::of_networks().find(|m| m.name() == name)
    }

    /// Whether only classification has this metric.
    pub const fn needs_classes(&self) -> bool {
        match self {
            Self::TrainAccuracy | Self::ValidationAccuracy => true,
            Self::Measure(measure) => measure.needs_classes(),
            Self::TrainLoss | Self::ValidationLoss | Self::Named(_) => false,
        }
    }

    /// Whether only regression has this metric.
    pub const fn needs_numbers(&self) -> bool {
        match self {
            Self::Measure(measure) => !measure.needs_classes(),
            Self::TrainLoss
            | Self::TrainAccuracy
            | Self::ValidationLoss
            | Self::ValidationAccuracy
            | Self::Named(_) => false,
        }
    }

    /// Whether larger values are better. An external client's metric does not say so.
    pub const fn increases(&self) -> bool {
        match self {
            Self::TrainAccuracy | Self::ValidationAccuracy => true,
            Self::Measure(measure) => measure.increases(),
            Self::TrainLoss | Self::ValidationLoss | Self::Named(_) => false,
        }
    }

    /// The measure that a network's predictions have to be judged by, in addition to their loss and
    /// accuracy.
    pub const fn measure(&self) -> Option<Measure> {
        match self {
            Self::Measure(measure) => Some(*measure),
            Self::TrainLoss
            | Self::TrainAccuracy
            | Self::ValidationLoss
            | Self::ValidationAccuracy
            | Self::Named(_) => None,
        }
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

/// A measure with its value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What the value measures.
    pub measure: Measure,
    /// The value; NaN or infinite if it is undefined or the training diverged.
    #[serde(serialize_with = "finite_or_text", deserialize_with = "number_or_text")]
    pub value: f64,
}

/// Loss and accuracy over one split. The loss is the mean cross-entropy in nats, or for regression
/// the mean squared error of the standardised target.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The mean loss; NaN or infinite if the training diverged.
    #[serde(serialize_with = "finite_or_text", deserialize_with = "number_or_text")]
    pub loss: f64,
    /// The share classified correctly, from 0 to 1; `None` for regression.
    pub accuracy: Option<f64>,
    /// The measure that is the objective of the sweep; `None` if the objective is another metric,
    /// and over training mini-batches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

impl Score {
    /// The value of `measure`; `None` if the score does not have it.
    pub fn measure(&self, measure: Measure) -> Option<f64> {
        self.measured.filter(|it| it.measure == measure).map(|it| it.value)
    }

    /// Whether the loss and the measure are finite.
    pub fn is_finite(&self) -> bool {
        self.loss.is_finite() && self.measured.is_none_or(|it| it.value.is_finite())
    }
}

/// What one epoch of one trial measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// The number of the epoch, from 1.
    pub epoch: u32,
    /// Over the training mini-batches of this epoch.
    pub train: Score,
    /// Over the validation split after this epoch.
    pub validation: Score,
    /// The standard deviation of the objective over the n trainings of the trial, with the divisor
    /// n - 1. It is finite. `None` for a single training, and if the objective of one of them is
    /// not finite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<f64>,
}

impl EpochMetrics {
    /// The value of `metric`; `None` if the task does not have it.
    pub fn get(&self, metric: &Metric) -> Option<f64> {
        match metric {
            Metric::TrainLoss => Some(self.train.loss),
            Metric::TrainAccuracy => self.train.accuracy,
            Metric::ValidationLoss => Some(self.validation.loss),
            Metric::ValidationAccuracy => self.validation.accuracy,
            Metric::Measure(measure) => self.validation.measure(*measure),
            Metric::Named(_) => None,
        }
    }

    /// Whether both losses and the measure are finite. If one is not, the training has diverged.
    pub fn is_finite(&self) -> bool {
        self.train.is_finite() && self.validation.is_finite()
    }
}

/// What an external client measured after one epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NamedMetrics {
    /// The number of the epoch, from 1.
    pub epoch: u32,
    /// The values by name. Each can be NaN or infinite.
    #[serde(with = "numbers")]
    pub metrics: BTreeMap<Name, f64>,
}

/// One epoch of a trial's curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Point {
    /// An epoch of a network that a worker trained.
    Network(EpochMetrics),
    /// An epoch that an external client reported.
    Named(NamedMetrics),
}

impl Point {
    /// The number of the epoch, from 1.
    pub const fn epoch(&self) -> u32 {
        match self {
            Self::Network(metrics) => metrics.epoch,
            Self::Named(named) => named.epoch,
        }
    }

    /// The value of `metric`; `None` if the epoch does not have it.
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

    /// The validation loss, if the epoch has a finite one. It decides between trials whose
    /// objective is equal.
    pub fn tie_loss(&self) -> Option<f64> {
        self.get(&Metric::ValidationLoss).filter(|loss| loss.is_finite())
    }

    /// The number of values that it stores. A network counts as four, also for regression.
    pub fn value_count(&self) -> usize {
        match self {
            Self::Network(_) => Metric::ALL.len(),
            Self::Named(named) => named.metrics.len(),
        }
    }

    /// Whether training can continue after this epoch: false for a network whose loss is infinite
    /// or NaN. An external client decides itself whether to continue.
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

/// The stored form of a map of numbers.
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

/// Writes NaN and the infinities, which JSON does not have, as the text that Rust prints.
/// Writes a finite number as a number, and NaN and the infinities as text.
///
/// # Errors
/// Those of the serializer.
pub fn finite_or_text<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(*value)
    } else {
        serializer.serialize_str(&value.to_string())
    }
}

/// Reads a number as [`finite_or_text`] wrote it.
///
/// # Errors
/// The value is neither a number nor one of its texts.
pub fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Number {
        Value(f64),
        Text(String),
    }
    match Number::deserialize(deserializer)? {
        Number::Value(value) => Ok(value),
        Number::Text(text) => text
            .parse()
            .map_err(|_| serde::de::Error::custom(format!("expected a number, found {text:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_score_is_read_back_whatever_its_value() {
        for loss in [0.1 + 0.2, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let text =
                serde_json::to_string(&Score { loss, accuracy: None, measured: None }).unwrap();
            let back: Score = serde_json::from_str(&text).unwrap();
            assert_eq!(back.loss.to_bits(), loss.to_bits(), "{text}");
        }
    }

    #[test]
    fn a_stored_point_of_either_kind_is_read_back() {
        let metrics = [("score", 0.1 + 0.2), ("train.time", f64::NEG_INFINITY)];
        let metrics =
            metrics.into_iter().map(|(name, v)| (Name::parse("name", name).unwrap(), v)).collect();
        let network = EpochMetrics {
            epoch: 2,
            train: Score { loss: 1.0, accuracy: None, measured: None },
            validation: Score { loss: 0.5, accuracy: Some(0.9), measured: None },
            spread: None,
        };
        let measured = Some(Measured { measure: Measure::RocAuc, value: f64::INFINITY });
        let judged =
            EpochMetrics { validation: Score { measured, ..network.validation }, ..network };
        assert_eq!(judged.get(&Metric::Measure(Measure::RocAuc)), Some(f64::INFINITY));
        assert_eq!(judged.get(&Metric::Measure(Measure::PrAuc)), None);
        let repeated = EpochMetrics { spread: Some(0.1 + 0.2), ..judged };
        let points = [network, judged, repeated].map(Point::Network).into_iter();
        for point in points.chain([Point::Named(NamedMetrics { epoch: 3, metrics })]) {
            let text = serde_json::to_string(&point).unwrap();
            assert_eq!(serde_json::from_str::<Point>(&text).unwrap(), point, "{text}");
        }
    }

    #[test]
    fn a_metric_is_stored_as_its_name() {
        for name in ["validation_loss", "roc_auc", "accuracy", "f1-score"] {
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
