//! The JSON form of numbers that can be NaN or infinite: `null`, with `"diverged": true` next to
//! it. Stored events keep such numbers as text, see [`crate::metric`].

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::{StoppedView, TrialView};
use crate::assignment::Assignment;
use crate::ids::{AttemptNumber, Name, TrialNumber};
use crate::metric::{EpochMetrics, NamedMetrics, Point, Score};
use crate::outcome::TrialState;
use crate::reason::Reason;

fn finite(value: f64) -> Option<f64> {
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

#[derive(Serialize)]
struct ScoreJson {
    loss: Option<f64>,
    #[serde(skip_serializing_if = "is_false")]
    diverged: bool,
    accuracy: Option<f64>,
}

impl From<Score> for ScoreJson {
    fn from(score: Score) -> Self {
        let loss = finite(score.loss);
        Self { loss, diverged: loss.is_none(), accuracy: score.accuracy }
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum PointJson<'a> {
    Network {
        epoch: u32,
        train: ScoreJson,
        validation: ScoreJson,
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
            Point::Network(EpochMetrics { epoch, train, validation }) => Self::Network {
                epoch: *epoch,
                train: (*train).into(),
                validation: (*validation).into(),
            },
            Point::Named(NamedMetrics { epoch, metrics }) => Self::Named {
                epoch: *epoch,
                metrics: metrics.iter().map(|(name, value)| (name, finite(*value))).collect(),
                diverged: metrics.values().any(|value| !value.is_finite()),
            },
        }
    }
}

#[derive(Serialize)]
struct TrialJson<'a> {
    trial: TrialNumber,
    state: TrialState,
    assignment: &'a Assignment,
    reason: &'a Reason,
    attempts: AttemptNumber,
    worker: &'a Option<Name>,
    epochs: u32,
    objective: Option<f64>,
    #[serde(skip_serializing_if = "is_false")]
    diverged: bool,
    last: Option<PointJson<'a>>,
    curve: Vec<PointJson<'a>>,
    seconds: Option<f64>,
    memory_bytes: Option<u64>,
    message: &'a Option<String>,
    stopped: Option<StoppedView>,
    #[serde(skip_serializing_if = "is_false")]
    parked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    started_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<&'a str>,
}

const fn is_false(value: &bool) -> bool {
    !*value
}

impl Serialize for TrialView {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Without `..`, so that a new field cannot be forgotten here.
        let Self {
            trial,
            state,
            assignment,
            reason,
            attempts,
            worker,
            epochs,
            objective,
            last,
            curve,
            seconds,
            memory_bytes,
            message,
            stopped,
            parked,
            times,
        } = self;
        let has_diverged =
            *state == TrialState::Diverged || objective.is_some_and(|value| !value.is_finite());
        let json = TrialJson {
            trial: *trial,
            state: *state,
            assignment,
            reason,
            attempts: *attempts,
            worker,
            epochs: *epochs,
            objective: objective.and_then(finite),
            diverged: has_diverged,
            last: last.as_ref().map(PointJson::from),
            curve: curve.iter().map(PointJson::from).collect(),
            seconds: *seconds,
            memory_bytes: *memory_bytes,
            message,
            stopped: *stopped,
            parked: *parked,
            started_at: times.started_at.as_deref(),
            ended_at: times.ended_at.as_deref(),
        };
        json.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::reason::Source;
    use crate::view::{RoundView, TestView, TrialTimes};

    fn trial(state: TrialState, objective: Option<f64>, last: Point) -> Value {
        let view = TrialView {
            trial: TrialNumber(3),
            state,
            assignment: Assignment::default(),
            reason: Reason::from_source(Source::Random),
            attempts: AttemptNumber(1),
            worker: None,
            epochs: 2,
            objective,
            curve: vec![last.clone()],
            last: Some(last),
            seconds: Some(1.5),
            memory_bytes: None,
            message: None,
            stopped: None,
            parked: false,
            times: TrialTimes::default(),
        };
        serde_json::to_value(&view).unwrap()
    }

    fn network(loss: f64) -> Point {
        let score = Score { loss, accuracy: Some(0.5) };
        Point::Network(EpochMetrics { epoch: 1, train: score, validation: score })
    }

    fn named(value: f64) -> Point {
        let name = Name::parse("name", "f1").unwrap();
        Point::Named(NamedMetrics { epoch: 1, metrics: [(name, value)].into() })
    }

    #[test]
    fn a_diverged_loss_is_null_with_a_flag_in_every_field() {
        for loss in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let json = trial(TrialState::Diverged, Some(loss), network(loss));
            let score = json!({ "loss": null, "diverged": true, "accuracy": 0.5 });
            let point = json!({ "epoch": 1, "train": score, "validation": score });
            assert_eq!((&json["objective"], &json["diverged"]), (&Value::Null, &json!(true)));
            assert_eq!((&json["last"], &json["curve"][0]), (&point, &point));

            let json = trial(TrialState::Diverged, Some(loss), named(loss));
            let point = json!({ "epoch": 1, "metrics": { "f1": null }, "diverged": true });
            assert_eq!((&json["last"], &json["curve"][0]), (&point, &point));

            let score = Some(Score { loss, accuracy: None });
            let test = TestView { trial: TrialNumber(3), score, reproduced: true, message: None };
            let score = json!({ "loss": null, "diverged": true, "accuracy": null });
            assert_eq!(serde_json::to_value(&test).unwrap()["score"], score);

            let best = Some(loss);
            let round = RoundView { round: 1, trials: 2, done: 2, search_box: None, best };
            assert_eq!(serde_json::to_value(&round).unwrap()["best"], Value::Null);
        }
    }

    #[test]
    fn a_trial_with_finite_numbers_has_no_flag() {
        let point = json!({
            "epoch": 1,
            "train": { "loss": 0.25, "accuracy": 0.5 },
            "validation": { "loss": 0.25, "accuracy": 0.5 },
        });
        let expected = json!({
            "trial": 3,
            "state": "completed",
            "assignment": {},
            "reason": { "source": "random", "round": null, "box": null, "seen": 0, "ranking": null },
            "attempts": 1,
            "worker": null,
            "epochs": 2,
            "objective": 0.5,
            "last": point,
            "curve": [point],
            "seconds": 1.5,
            "memory_bytes": null,
            "message": null,
            "stopped": null,
        });
        let json = trial(TrialState::Completed, Some(0.5), network(0.25));
        assert_eq!(json.to_string(), expected.to_string(), "the same fields in the same order");
        let named = trial(TrialState::Completed, Some(0.5), named(0.5));
        assert_eq!(named["last"], json!({ "epoch": 1, "metrics": { "f1": 0.5 } }));
    }
}
