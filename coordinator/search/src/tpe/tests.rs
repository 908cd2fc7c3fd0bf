#![allow(clippy::as_conversions, reason = "the numbers are small")]

use caviar_common::assignment::{Assignment, Value};
use caviar_common::scale::Scale;
use caviar_common::space::{Condition, Domain, Holds, Parameter};
use proptest::prelude::*;

use super::*;
use crate::history::History;
use crate::observation::{Observation, Stage};

fn parameter(name: &str, domain: Domain) -> Parameter {
    Parameter { name: name.into(), domain, when: None, points: None }
}

fn float(name: &str, scale: Scale, low: f64, high: f64) -> Parameter {
    parameter(name, Domain::Float { scale, low, high })
}

fn int(name: &str, low: i64, high: i64) -> Parameter {
    parameter(name, Domain::Int { scale: Scale::Linear, low, high })
}

fn choice(name: &str, values: &[&str]) -> Parameter {
    parameter(
        name,
        Domain::Choice { values: values.iter().map(|v| Value::Text((*v).into())).collect() },
    )
}

fn when(parameter: Parameter, parent: &str, holds: Holds) -> Parameter {
    Parameter { when: Some(Condition { parameter: parent.into(), holds }), ..parameter }
}

/// A space with every kind of parameter, two parameters that share a condition, and one that has
/// only one value.
fn mixed() -> Space {
    let sgd = || Holds::OneOf(vec![Value::Text("sgd".into())]);
    Space::new(vec![
        float("rate", Scale::Log, 1e-4, 1.0),
        int("layers", 1, 4),
        choice("optimizer", &["sgd", "adam", "lion"]),
        when(float("momentum", Scale::OneMinusLog, 0.5, 0.999), "optimizer", sgd()),
        when(choice("nesterov", &["yes", "no"]), "optimizer", sgd()),
        when(int("units_3", 16, 64), "layers", Holds::AtLeast(3)),
        float("fixed", Scale::Linear, 2.0, 2.0),
    ])
    .unwrap()
}

/// A space of (1 + 2) * 2 = 6 points.
fn small() -> Space {
    let b = Holds::OneOf(vec![Value::Text("b".into())]);
    Space::new(vec![
        choice("kind", &["a", "b"]),
        when(choice("of_b", &["x", "y"]), "kind", b),
        int("n", 1, 2),
        int("one", 5, 5),
    ])
    .unwrap()
}

/// The number of points of [`small`] or [`mixed`].
fn points(space: &Space) -> usize {
    if space.get("kind").is_some() { 6 } else { usize::MAX }
}

/// Adds a trial that has ended.
fn observe(history: &mut History, assignment: &Assignment, cost: Option<f64>) {
    let trial = history.push_trial(assignment).unwrap();
    history.push(Observation { trial, stage: Stage::Ended, cost }).unwrap();
}

/// The trials of a log in which all have ended.
fn ended(log: &History) -> Vec<(Observation, Assignment)> {
    log.entries().map(|entry| (entry, log.assignment(entry.trial).unwrap())).collect()
}

/// All trials of a history, and the first entries of its log.
fn prefix(history: &History, entries: usize) -> History {
    let mut part = History::new(history.space().clone());
    for trial in 0..history.trials() {
        part.push_trial(&history.assignment(trial).unwrap()).unwrap();
    }
    history.entries().take(entries).for_each(|entry| part.push(entry).unwrap());
    part
}

fn ask(seed: u64, trial: u32, history: &History, pending: &[u32]) -> SamplerReply {
    Tpe::new(history.space().clone(), seed).ask(&Question { trial, history, pending })
}

fn suggested(reply: SamplerReply) -> Suggestion {
    match reply {
        SamplerReply::Suggest(suggestion) => suggestion,
        SamplerReply::Wait | SamplerReply::Exhausted => panic!("{reply:?}"),
    }
}

/// Runs trials one after the other. Returns the history.
fn search(
    space: &Space,
    seed: u64,
    trials: u32,
    cost: impl Fn(&Assignment) -> Option<f64>,
) -> History {
    let mut log = History::new(space.clone());
    for trial in 0..trials {
        let assignment = suggested(ask(seed, trial, &log, &[])).assignment;
        observe(&mut log, &assignment, cost(&assignment));
    }
    log
}

fn number(assignment: &Assignment, name: &str) -> f64 {
    assignment.get(name).and_then(Value::as_f64).unwrap()
}

/// A cost that is lowest at a rate of 0.01, three layers, sgd and a momentum of 0.99.
fn cost(assignment: &Assignment) -> f64 {
    let optimizer = match assignment.get("momentum") {
        Some(momentum) => (libm::log10(1.0 - momentum.as_f64().unwrap()) + 2.0).powi(2),
        None => 1.0,
    };
    (libm::log10(number(assignment, "rate")) + 2.0).powi(2)
        + (number(assignment, "layers") - 3.0).powi(2) / 4.0
        + optimizer
}

#[test]
fn its_best_cost_is_at_most_a_fifth_of_that_of_random_search() {
    let space = mixed();
    let best = |log: &History| log.entries().filter_map(|o| o.cost).fold(f64::INFINITY, f64::min);
    let whole = Region::whole(&space);
    let mut pairs: Vec<(f64, f64)> = Vec::new();
    for seed in 0..11 {
        let tpe = best(&search(&space, seed, 100, |a| Some(cost(a))));
        let random =
            (0..100).map(|i| cost(&draw(&space, seed, i, &whole))).fold(f64::INFINITY, f64::min);
        pairs.push((tpe, random));
    }
    let wins = pairs.iter().filter(|(tpe, random)| *tpe < random / 5.0).count();
    assert!(wins >= 9, "{wins} of 11: {pairs:?}");
}

#[test]
fn the_first_ten_trials_are_random_and_every_reason_says_how_much_log_was_seen() {
    let space = mixed();
    let log = search(&space, 5, 12, |a| Some(cost(a)));
    for trial in [0, 9, 10, 12] {
        let reason = suggested(ask(5, trial, &prefix(&log, trial as usize), &[])).reason;
        assert_eq!(
            (reason.seen, reason.source),
            (trial, if trial < 10 { Source::Random } else { Source::Tpe })
        );
    }
}

/// The next trial goes near the minimum less often when many trials in flight are near it.
#[test]
fn trials_in_flight_push_the_next_trial_away() {
    let space =
        Space::new(vec![float("x", Scale::Linear, 0.0, 1.0), float("y", Scale::Linear, 0.0, 1.0)])
            .unwrap();
    let distance = |a: &Assignment| (number(a, "x") - 0.3).abs().max((number(a, "y") - 0.6).abs());
    let mut log = search(&space, 1, 60, |a| Some(distance(a)));
    let near = |log: &History, pending: &[u32]| {
        let next = |seed| suggested(ask(seed, 60, log, pending)).assignment;
        (0..50).filter(|seed| distance(&next(*seed)) < 0.1).count()
    };
    let point = |i| [0.2 + 0.025 * f64::from(i % 8), 0.5 + 0.025 * f64::from(i / 8)];
    let crowd: Vec<u32> =
        (0..64).map(|i| log.push_trial(&space.decode(&point(i))).unwrap()).collect();
    let (free, crowded) = (near(&log, &[]), near(&log, &crowd));
    assert!(free >= 10 && 2 * crowded <= free, "{free} {crowded}");
}

#[test]
fn every_point_of_a_small_space_is_suggested_once_before_it_is_exhausted() {
    let space = small();
    for (seed, failing) in [(0, false), (1, true), (2, false)] {
        let log = search(&space, seed, 6, |_| (!failing).then_some(1.0));
        let all: Vec<Assignment> = ended(&log).into_iter().map(|(_, a)| a).collect();
        assert!(all.iter().enumerate().all(|(i, a)| !all[..i].contains(a)), "{all:?}");
        assert_eq!(ask(seed, 6, &log, &[]), SamplerReply::Exhausted);
        let early = prefix(&log, 3);
        // A point in flight counts as used.
        assert_eq!(ask(seed, 3, &early, &[3, 4, 5]), SamplerReply::Exhausted);
        assert_eq!(suggested(ask(seed, 3, &early, &[4, 5])).assignment, all[3]);
    }
}

#[test]
fn the_better_half_of_a_finite_space_is_tried_first() {
    let space = Space::new(vec![int("a", 1, 8), choice("b", &["x", "y", "z"])]).unwrap();
    let log = search(&space, 3, 24, |a| Some(number(a, "a")));
    assert_eq!(ask(3, 24, &log, &[]), SamplerReply::Exhausted);
    let log = ended(&log);
    let mean = |better: bool| {
        let modelled =
            log.iter().filter(|(o, a)| o.trial >= 10 && (number(a, "a") <= 4.0) == better);
        let places: Vec<f64> = modelled.map(|(o, _)| f64::from(o.trial)).collect();
        places.iter().sum::<f64>() / places.len() as f64
    };
    assert!(mean(true) + 3.0 < mean(false), "{log:?}");
}

#[test]
fn a_worse_choice_is_tried_less_often_later() {
    let space = mixed();
    let log = search(&space, 2, 80, |a| Some(cost(a)));
    let late =
        ended(&log).iter().filter(|(o, a)| o.trial >= 50 && a.get("momentum").is_some()).count();
    assert!(late >= 20, "{late} of 30");
}

#[test]
fn it_suggests_a_trial_after_ten_thousand_results() {
    let space = mixed();
    let whole = Region::whole(&space);
    let mut log = History::new(space.clone());
    for assignment in (0..10_000).map(|i| draw(&space, 1, i, &whole)) {
        observe(&mut log, &assignment, Some(cost(&assignment)));
    }
    assert!(space.contains(&suggested(ask(1, 10_000, &log, &[])).assignment));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn every_suggestion_is_new_lies_in_the_space_and_is_a_function_of_the_question(
        costs in prop::collection::vec(cost_strategy(), 0..40),
        pending in 0usize..4,
        seed in 0u64..50,
        is_finite: bool,
        is_constant: bool,
    ) {
        let space = if is_finite { small() } else { mixed() };
        let mut sampler = Tpe::new(space.clone(), seed);
        let mut log = History::new(space.clone());
        let mut in_flight: Vec<u32> = Vec::new();
        for (trial, cost) in (0u32..).zip(&costs) {
            let question = Question { trial, history: &log, pending: &in_flight };
            let reply = sampler.ask(&question);
            prop_assert_eq!(&reply, &Tpe::new(space.clone(), seed).ask(&question));
            let used = log.len() + in_flight.len();
            let SamplerReply::Suggest(Suggestion { assignment, .. }) = reply else {
                prop_assert_eq!((reply, used), (SamplerReply::Exhausted, points(&space)));
                break;
            };
            prop_assert!(space.contains(&assignment), "{:?}", assignment);
            prop_assert!((0..log.trials()).all(|i| log.assignment(i).unwrap() != assignment));
            in_flight.push(log.push_trial(&assignment).unwrap());
            if in_flight.len() > pending {
                let cost = if is_constant { costs[0] } else { *cost };
                let trial = in_flight.remove(0);
                log.push(Observation { trial, stage: Stage::Ended, cost }).unwrap();
            }
        }
    }
}

fn cost_strategy() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![Just(None), Just(Some(1.0)), (-1e300..1e300f64).prop_map(Some)]
}
