//! A small sweep for the tests of what is shown.

use caviar_common::assignment::{Assignment, Value};
use caviar_common::data::DataSummary;
use caviar_common::ids::{AttemptNumber, Name, SweepId, TrialNumber};
use caviar_common::metric::{EpochMetrics, Metric, Point, Score};
use caviar_common::outcome::{SweepState, TrialState};
use caviar_common::reason::{Extent, Reason, SearchBox, Side, Source};
use caviar_common::spec::file::parse;
use caviar_common::view::{Counts, RoundView, SweepView, TestView, TrialView};

/// What was asked for.
pub(crate) const FILE: &str = r#"
name = "digits"
seed = 7
[data]
source = "builtin:digits"
[fixed]
epochs = 2
optimizer = "momentum"
[space]
learning_rate = { scale = "log", low = 1e-4, high = 1.0 }
layers        = { type = "int", low = 1, high = 4 }
[search]
strategy = "rounds"
trials = 3
rounds = [2, 1]
"#;

/// A completed sweep of three trials.
pub(crate) fn sweep() -> SweepView {
    let spec = parse(FILE).unwrap().spec;
    let digest = "00".repeat(32);
    SweepView {
        id: SweepId(1),
        name: spec.name.clone(),
        state: SweepState::Completed,
        data: DataSummary {
            train: 1257,
            validation: 360,
            test: 180,
            features: 64,
            outputs: 10,
            digest,
        },
        spec,
        counts: Counts { completed: 2, diverged: 1, ..Counts::default() },
        rounds: vec![
            round(1, 2, search_box(1e-4, 1.0, 1, 4), 0.95),
            round(2, 1, search_box(0.01, 0.2, 2, 2), 352.0 / 360.0),
        ],
        best: Some(TrialView { curve: Vec::new(), ..trials().remove(2) }),
        test: Some(TestView {
            trial: TrialNumber(2),
            score: Some(Score { loss: 0.125, accuracy: Some(174.0 / 180.0) }),
            reproduced: true,
            message: None,
        }),
        boxes: Vec::new(),
        waits_for: None,
        notes: Vec::new(),
    }
}

fn round(round: u32, trials: u32, search_box: SearchBox, best: f64) -> RoundView {
    RoundView { round, trials, done: trials, search_box: Some(search_box), best: Some(best) }
}

fn search_box(low: f64, high: f64, fewest: i64, most: i64) -> SearchBox {
    let rate = Extent::Range { low: Value::Float(low), high: Value::Float(high) };
    let layers = Extent::Range { low: Value::Int(fewest), high: Value::Int(most) };
    let side = |parameter: &str, extent| Side { parameter: parameter.to_owned(), extent };
    SearchBox { sides: vec![side("learning_rate", rate), side("layers", layers)] }
}

/// Its trials: the second diverged in its first epoch.
pub(crate) fn trials() -> Vec<TrialView> {
    let epoch = |epoch, loss, accuracy| EpochMetrics {
        epoch,
        train: Score { loss, accuracy: Some(accuracy) },
        validation: Score { loss, accuracy: Some(accuracy) },
    };
    vec![
        trial(0, 1, 0.01, TrialState::Completed, vec![epoch(1, 0.5, 0.9), epoch(2, 0.25, 0.95)]),
        trial(1, 1, 0.9, TrialState::Diverged, vec![epoch(1, f64::NAN, 0.1)]),
        trial(
            2,
            2,
            0.05,
            TrialState::Completed,
            vec![epoch(1, 0.2, 0.96), epoch(2, 0.1, 352.0 / 360.0)],
        ),
    ]
}

fn trial(
    number: u32,
    round: u32,
    rate: f64,
    state: TrialState,
    curve: Vec<EpochMetrics>,
) -> TrialView {
    let values =
        [("learning_rate".to_owned(), Value::Float(rate)), ("layers".to_owned(), Value::Int(2))];
    let curve: Vec<Point> = curve.into_iter().map(Point::Network).collect();
    let last = curve.last().cloned();
    TrialView {
        trial: TrialNumber(number),
        state,
        assignment: values.into_iter().collect::<Assignment>(),
        reason: Reason { round: Some(round), ..Reason::from_source(Source::Round) },
        attempts: AttemptNumber(1),
        worker: Some(Name::parse("worker", "local").unwrap()),
        epochs: 2,
        objective: last
            .as_ref()
            .filter(|last| last.is_finite())
            .and_then(|last| last.get(&Metric::ValidationAccuracy)),
        last,
        curve,
        seconds: Some(1.5),
        memory_bytes: Some(4096),
        message: None,
        stopped: None,
    }
}
