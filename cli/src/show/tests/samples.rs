//! Sweeps, trials and workers for the tests of the output.

use caviar_common::assignment::{Assignment, Value};
use caviar_common::data::DataSummary;
use caviar_common::ids::{AttemptNumber, Name, SweepId, TrialNumber};
use caviar_common::metric::{EpochMetrics, Metric, Point, Score};
use caviar_common::outcome::{SweepState, TrialState};
use caviar_common::reason::{Expected, Extent, Ranking, Reason, SearchBox, Side, Source};
use caviar_common::spec::Strategy;
use caviar_common::spec::file::parse;
use caviar_common::view::{
    BoxView, Counts, ImportanceView, PairView, RoundView, ShareView, SweepView, TestView,
    TrialTimes, TrialView, WorkerView,
};

/// The sweep file of the small, completed sweep.
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

/// The sweep file of the larger sweep that still runs.
const LARGE_FILE: &str = r#"
name = "letters"
seed = 1
[data]
source = "data/letter.csv"
label = "Letter"
[fixed]
epochs = 30
[space]
learning_rate       = { scale = "log", low = 1e-4, high = 1.0 }
momentum            = { scale = "one_minus_log", low = 0.9, high = 0.999 }
units               = { type = "int", low = 32, high = 128 }
batch_size          = { type = "int", scale = "log", low = 16, high = 256 }
layers              = { type = "int", low = 1, high = 4 }
learning_rate_decay = { scale = "log", low = 0.01, high = 1.0 }
activation          = { choices = ["relu", "tanh"] }
[search]
trials = 60
"#;

/// A completed sweep of three trials in two rounds.
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
            ..DataSummary::default()
        },
        parallelism: spec.search.parallelism.trials(),
        auto_slots: None,
        resizes: Vec::new(),
        budget: spec.search.trials,
        extensions: Vec::new(),
        idle: None,
        spec: spec.into(),
        counts: Counts { completed: 2, diverged: 1, ..Counts::default() },
        rounds: vec![
            round(1, 2, search_box(1e-4, 1.0, 1, 4), 0.95),
            round(2, 1, search_box(0.01, 0.2, 2, 2), 352.0 / 360.0),
        ],
        best: Some(TrialView { curve: Vec::new(), ..trials().remove(2) }),
        test: Some(TestView {
            trial: TrialNumber(2),
            score: Some(Score { loss: 0.125, accuracy: Some(174.0 / 180.0), measured: None }),
            reproduced: true,
            message: None,
        }),
        boxes: Vec::new(),
        waits_for: None,
        retrained_epochs: 0,
        models: Vec::new(),
        notes: Vec::new(),
    }
}

fn round(round: u32, trials: u32, search_box: SearchBox, best: f64) -> RoundView {
    RoundView { round, trials, finished: trials, search_box: Some(search_box), best: Some(best) }
}

fn search_box(low: f64, high: f64, fewest: i64, most: i64) -> SearchBox {
    let rate = Extent::Range { low: Value::Float(low), high: Value::Float(high) };
    let layers = Extent::Range { low: Value::Int(fewest), high: Value::Int(most) };
    let side = |parameter: &str, extent| Side { parameter: parameter.to_owned(), extent };
    SearchBox { sides: vec![side("learning_rate", rate), side("layers", layers)] }
}

/// The small sweep as it looks with a strategy that moves a box.
pub(crate) fn with_boxes() -> SweepView {
    let mut sweep = sweep();
    let boxes = std::mem::take(&mut sweep.rounds).into_iter().filter_map(|round| {
        let search_box = round.search_box?;
        Some(BoxView { trial: TrialNumber(10 * round.round), search_box })
    });
    sweep.boxes = boxes.collect();
    std::sync::Arc::make_mut(&mut sweep.spec).search.strategy = Strategy::Zoom;
    sweep
}

/// A larger sweep in progress, with the best completed trial 12.
pub(crate) fn running_sweep() -> SweepView {
    let spec = parse(LARGE_FILE).unwrap().spec;
    let best = large_trial(12, TrialState::Completed, 30, 0.8356);
    SweepView {
        id: SweepId(2),
        name: spec.name.clone(),
        state: SweepState::Running,
        budget: spec.search.trials,
        spec: spec.into(),
        counts: Counts {
            completed: 11,
            stopped: 12,
            diverged: 1,
            running: 4,
            queued: 1,
            ..Counts::default()
        },
        rounds: Vec::new(),
        best: Some(best),
        test: None,
        waits_for: Some(TrialNumber(27)),
        ..sweep()
    }
}

/// The running trials of the larger sweep, by number: the first two are parked.
pub(crate) fn running() -> Vec<TrialView> {
    let parked =
        |number| TrialView { parked: true, ..large_trial(number, TrialState::Running, 6, 0.81) };
    vec![
        parked(25),
        parked(26),
        large_trial(27, TrialState::Running, 12, 0.9525),
        large_trial(29, TrialState::Running, 0, f64::NAN),
    ]
}

fn large_trial(number: u32, state: TrialState, epoch: u32, accuracy: f64) -> TrialView {
    let values = [
        ("learning_rate", Value::Float(0.031_622_776)),
        ("momentum", Value::Float(0.987_654)),
        ("units", Value::Int(96)),
        ("batch_size", Value::Int(64)),
        ("layers", Value::Int(3)),
        ("learning_rate_decay", Value::Float(0.1)),
        ("activation", Value::Text("relu".into())),
    ];
    let last = (epoch > 0).then_some(EpochMetrics {
        epoch,
        train: Score { loss: 0.31, accuracy: Some(accuracy), measured: None },
        validation: Score { loss: 0.35, accuracy: Some(accuracy), measured: None },
        spread: None,
    });
    TrialView {
        assignment: values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        reason: Reason::from_source(Source::Plain),
        worker: Some(name("gpu-free-partition-node-0317")),
        epochs: 30,
        objective: last.map(|_| accuracy),
        last: last.map(Point::Network),
        counting: last.map(Point::Network),
        seconds: (state == TrialState::Completed).then_some(73.4),
        ..trial(number, 1, 0.1, state, Vec::new())
    }
}

/// A finished sweep whose name and data have the longest names.
pub(crate) fn long_sweep() -> SweepView {
    let mut sweep = sweep();
    sweep.id = SweepId(103);
    sweep.name = name("optical-recognition-of-handwritten-digits-with-batch-norm-2026-1");
    std::sync::Arc::make_mut(&mut sweep.spec).data.source =
        "/data/optical-recognition-of-handwritten-digits.csv".to_owned();
    sweep
}

/// A connected, a lost and a draining worker.
pub(crate) fn workers() -> Vec<WorkerView> {
    let worker = WorkerView {
        worker: name("node-1"),
        slots: 2,
        connected: true,
        draining: false,
        trials: vec![(name("letters"), TrialNumber(27)), (name("letters"), TrialNumber(29))],
        silent_ms: 1_240,
        idle: 0,
        idle_because: None,
    };
    let away = WorkerView {
        worker: name("node-2"),
        connected: false,
        trials: Vec::new(),
        silent_ms: 70_000,
        ..worker.clone()
    };
    let draining = WorkerView {
        worker: name("gpu-free-partition-node-0317"),
        slots: 64,
        draining: true,
        trials: vec![(name("letters"), TrialNumber(25))],
        silent_ms: 310,
        ..worker.clone()
    };
    vec![worker, away, draining]
}

/// The importance of the small sweep's parameters.
pub(crate) fn importance() -> ImportanceView {
    let share = |parameter: &str, share| ShareView { parameter: parameter.to_owned(), share };
    let parameters = ["learning_rate".to_owned(), "layers".to_owned()];
    ImportanceView {
        trials: 60,
        provisional: 40,
        parameters: vec![share("learning_rate", 0.75), share("layers", 0.001)],
        pairs: vec![PairView { parameters, share: 0.05 }],
    }
}

/// The trials of the small sweep. A model chose the last one, from a box around the first.
pub(crate) fn ranked_trials() -> Vec<TrialView> {
    let mut trials = trials();
    let ranking = Ranking {
        centre: 0,
        side: 0.4,
        length_scales: vec![0.3, 1.25],
        expected: Expected { worse: 0.91, middle: 0.93, better: 0.95 },
        score: -1.5,
        rank: 1,
        candidates: 256,
    };
    trials[2].reason = Reason {
        search_box: sweep().rounds.remove(1).search_box,
        seen: 2,
        ranking: Some(ranking),
        ..Reason::from_source(Source::Ranked)
    };
    trials
}

/// The trials of the small sweep: the second diverged in its first epoch.
pub(crate) fn trials() -> Vec<TrialView> {
    let epoch = |epoch, loss, accuracy| EpochMetrics {
        epoch,
        train: Score { loss, accuracy: Some(accuracy), measured: None },
        validation: Score { loss, accuracy: Some(accuracy), measured: None },
        spread: None,
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
        worker: Some(name("local")),
        epochs: 2,
        objective: last
            .as_ref()
            .filter(|last| last.is_finite())
            .and_then(|last| last.get(&Metric::ValidationAccuracy)),
        counting: last.clone(),
        last,
        curve,
        seconds: Some(1.5),
        memory_bytes: Some(4096),
        message: None,
        stopped: None,
        parked: false,
        times: TrialTimes::default(),
        retrained_epochs: 0,
    }
}

fn name(text: &str) -> Name {
    Name::parse("name", text).unwrap()
}
