use serde_json::{Value, json};

use super::*;
use crate::metric::{EpochMetrics, NamedMetrics};
use crate::reason::Source;

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
        last: Some(last.clone()),
        counting: Some(last),
        seconds: Some(1.5),
        memory_bytes: None,
        message: None,
        stopped: None,
        parked: false,
        times: TrialTimes::default(),
        retrained_epochs: 0,
    };
    serde_json::to_value(&view).unwrap()
}

fn network(loss: f64) -> Point {
    let score = Score { loss, accuracy: Some(0.5), measured: None };
    Point::Network(EpochMetrics { epoch: 1, train: score, validation: score, spread: None })
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

        let score = Some(Score { loss, accuracy: None, measured: None });
        let test = TestView { trial: TrialNumber(3), score, reproduced: true, message: None };
        let score = json!({ "loss": null, "diverged": true, "accuracy": null });
        assert_eq!(serde_json::to_value(&test).unwrap()["score"], score);

        let best = Some(loss);
        let round = RoundView { round: 1, trials: 2, finished: 2, search_box: None, best };
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
        "reason": {
            "source": "random",
            "round": null,
            "box": null,
            "seen": 0,
            "ranking": null,
        },
        "attempts": 1,
        "worker": null,
        "epochs": 2,
        "objective": 0.5,
        "last": point,
        "counting": point,
        "curve": [point],
        "seconds": 1.5,
        "memory_bytes": null,
        "message": null,
        "stopped": null,
        "retrained_epochs": 0,
    });
    let json = trial(TrialState::Completed, Some(0.5), network(0.25));
    assert_eq!(json.to_string(), expected.to_string(), "the same fields in the same order");
    let named = trial(TrialState::Completed, Some(0.5), named(0.5));
    assert_eq!(named["last"], json!({ "epoch": 1, "metrics": { "f1": 0.5 } }));
}
