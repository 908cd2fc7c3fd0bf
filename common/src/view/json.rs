//! The JSON form of numbers that can be NaN or infinite: `null`, with `"diverged": true` next to
//! it. Stored events keep such numbers as text, see [`crate::metric`].

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::ids::Name;
use crate::metric::{EpochMetrics, NamedMetrics, Point, Score};

/// The value, or `None` for NaN and the infinities.
pub(super) fn finite(value: f64) -> Option<f64> {
    value.is_finite().then_some(value)
}

pub(super) fn finite_or_null<S: Serializer>(
    value: &Option<f64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.and_then(finite).serialize(serializer)
}

pub(super) fn optional_score<S: Serializer>(
    score: &Option<Score>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    score.map(ScoreJson::from).serialize(serializer)
}

/// The JSON form of a score.
#[derive(Serialize)]
pub(super) struct ScoreJson {
    loss: Option<f64>,
    #[serde(skip_serializing_if = "is_false")]
    diverged: bool,
    accuracy: Option<f64>,
    /// The measure that is the objective, by its name.
    #[serde(flatten)]
    measured: BTreeMap<&'static str, Option<f64>>,
}

impl From<Score> for ScoreJson {
    fn from(score: Score) -> Self {
        let measured = score.measured.iter().map(|it| (it.measure.name(), finite(it.value)));
        Self {
            loss: finite(score.loss),
            diverged: !score.is_finite(),
            accuracy: score.accuracy,
            measured: measured.collect(),
        }
    }
}

/// The JSON form of an epoch.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum PointJson<'a> {
    Network {
        epoch: u32,
        train: ScoreJson,
        validation: ScoreJson,
        #[serde(skip_serializing_if = "Option::is_none")]
        spread: Option<f64>,
    },
    Named {
        epoch: u32,
        metrics: BTreeMap<&'a Name, Option<f64>>,
        #[serde(skip_serializing_if = "is_false")]
        diverged: bool,
    },
}

impl<'a> From<&'a Point> for PointJson<'a> {
    fn from(point: &'a Point) -> Self {
        match point {
            Point::Network(EpochMetrics { epoch, train, validation, spread }) => Self::Network {
                epoch: *epoch,
                train: (*train).into(),
                validation: (*validation).into(),
                spread: *spread,
            },
            Point::Named(NamedMetrics { epoch, metrics }) => Self::Named {
                epoch: *epoch,
                metrics: metrics.iter().map(|(name, value)| (name, finite(*value))).collect(),
                diverged: metrics.values().any(|value| !value.is_finite()),
            },
        }
    }
}

/// True if a flag is left out of the JSON.
pub(super) const fn is_false(value: &bool) -> bool {
    !*value
}
