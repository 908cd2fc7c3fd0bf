//! Promises of zoom for any space, any log and any assignments in flight.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    reason = "tests"
)]

use caviar_common::assignment::{Assignment, Value};
use caviar_common::reason::Source;
use caviar_common::scale::Scale;
use caviar_common::space::{Condition, Domain, Holds, Parameter, Space};
use caviar_common::spec::file::parse;
use caviar_common::spec::{Goal, SweepSpec};
use caviar_search::{
    History, Observation, Question, Sampler, SamplerReply, Stage, Suggestion, WarmStart, build,
};
use proptest::prelude::*;

fn spec(parameters: Vec<Parameter>) -> SweepSpec {
    let text = r#"
        name = "t"
        seed = 5
        [data]
        source = "builtin:digits"
        [search]
        strategy = "random"
        trials = 1
        parallelism = 4
        "#;
    let mut spec = parse(text).unwrap().spec;
    spec.search.strategy = caviar_common::spec::Strategy::Zoom;
    spec.space = Space::new(parameters).unwrap();
    spec
}

fn parameter(name: &str, domain: Domain, when: Option<Condition>) -> Parameter {
    Parameter { name: name.into(), domain, when, points: None }
}

fn float(scale: Scale, low: f64, high: f64) -> Domain {
    Domain::Float { scale, low, high }
}

fn int(scale: Scale, low: i64, high: i64) -> Domain {
    Domain::Int { scale, low, high }
}

fn choice(values: &[&str]) -> Domain {
    Domain::Choice { values: values.iter().map(|v| Value::Text((*v).into())).collect() }
}

fn when(parameter: &str, holds: Holds) -> Option<Condition> {
    Some(Condition { parameter: parameter.into(), holds })
}

/// Every kind of parameter, and a condition on a parameter that has a condition itself.
fn mixed() -> Vec<Parameter> {
    vec![
        parameter("rate", float(Scale::Log, 1e-5, 1.0), None),
        parameter("momentum", float(Scale::OneMinusLog, 0.5, 0.999), None),
        parameter("layers", int(Scale::Linear, 1, 4), None),
        parameter("kind", choice(&["a", "b", "c"]), None),
        parameter("third", int(Scale::Log, 16, 64), when("layers", Holds::AtLeast(3))),
        parameter(
            "extra",
            choice(&["x", "y"]),
            when("kind", Holds::OneOf(vec![Value::Text("b".into())])),
        ),
        parameter(
            "deep",
            float(Scale::Linear, -1.0, 1.0),
            when("extra", Holds::OneOf(vec![Value::Text("y".into())])),
        ),
        parameter("fixed", float(Scale::Log, 0.1, 0.1), None),
    ]
}

/// Twelve points: a choice, a number that only one of its values has, and a constant.
fn finite() -> Vec<Parameter> {
    vec![
        parameter("kind", choice(&["a", "b", "c"]), None),
        parameter(
            "size",
            int(Scale::Log, 1, 10),
            when("kind", Holds::OneOf(vec![Value::Text("a".into())])),
        ),
        parameter("one", int(Scale::Linear, 3, 3), None),
    ]
}

fn asked(
    sampler: &mut Box<dyn Sampler>,
    trial: u32,
    history: &History,
    pending: &[u32],
) -> Option<Suggestion> {
    match sampler.ask(&Question { trial, history, pending }) {
        SamplerReply::Suggest(suggestion) => Some(suggestion),
        SamplerReply::Exhausted => None,
        SamplerReply::Wait => panic!("zoom never waits"),
    }
}

/// How a trial goes.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Ends(f64),
    Fails,
    Stops(f64),
    PassesAndEnds(f64, f64),
}

fn fates() -> impl proptest::strategy::Strategy<Value = Fate> {
    prop_oneof![
        4 => (-1.0..1.0f64).prop_map(Fate::Ends),
        1 => Just(Fate::Fails),
        1 => Just(Fate::Ends(0.5)),
        1 => (-1.0..1.0f64).prop_map(Fate::Stops),
        2 => (-1.0..1.0f64, -1.0..1.0f64).prop_map(|(a, b)| Fate::PassesAndEnds(a, b)),
    ]
}

/// Runs a sweep with four trials in flight. After each ask, the oldest trial in flight is decided.
/// Calls `check` with each question and its reply. All questions go to the same sampler.
fn sweep(
    spec: &SweepSpec,
    fates: &[Fate],
    mut check: impl FnMut(u32, &History, &[u32], Option<&Suggestion>),
) {
    let mut sampler = build(spec, &[]);
    let mut log = History::new(spec.space.clone());
    let (mut in_flight, mut passed): (Vec<u32>, Vec<Observation>) = Default::default();
    for (trial, fate) in (0u32..).zip(fates) {
        let reply = asked(&mut sampler, trial, &log, &in_flight);
        check(trial, &log, &in_flight, reply.as_ref());
        let Some(suggestion) = reply else { return };
        in_flight.push(log.push_trial(&suggestion.assignment).unwrap());
        if in_flight.len() < 4 {
            continue;
        }
        let trial = in_flight.remove(0);
        let entry = |stage, cost| Observation { trial, stage, cost };
        let mut push = |stage, cost| log.push(entry(stage, cost)).unwrap();
        match fate {
            Fate::Ends(cost) => push(Stage::Ended, Some(*cost)),
            Fate::Fails => push(Stage::Ended, None),
            Fate::Stops(cost) => push(Stage::Stopped(0), Some(*cost)),
            Fate::PassesAndEnds(first, last) => {
                push(Stage::Passed(0), Some(*first));
                passed.push(entry(Stage::Ended, Some(*last)));
            }
        }
        if trial % 3 == 0 {
            passed.drain(..).for_each(|entry| log.push(entry).unwrap());
        }
    }
}

fn key(assignment: &Assignment) -> String {
    assignment.iter().map(|(name, value)| format!("{name}={value} ")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_suggestion_is_new_lies_in_the_space_and_is_a_function_of_the_log(
        fates in prop::collection::vec(fates(), 10..120),
    ) {
        let spec = spec(mixed());
        let mut seen = std::collections::BTreeSet::new();
        sweep(&spec, &fates, |trial, log, pending, reply| {
            let suggestion = reply.unwrap();
            // The space contains an assignment if exactly its active parameters have legal values.
            assert!(spec.space.contains(&suggestion.assignment), "{suggestion:?}");
            assert!(seen.insert(key(&suggestion.assignment)), "{trial} again: {suggestion:?}");
            if trial % 7 == 0 || trial == 30 {
                assert_eq!(asked(&mut build(&spec, &[]), trial, log, pending).as_ref(), reply);
            }
        });
    }

    #[test]
    fn a_finite_space_is_exhausted_when_every_point_has_been_used(
        fates in prop::collection::vec(fates(), 40),
    ) {
        let mut seen = std::collections::BTreeSet::new();
        let mut is_exhausted = false;
        sweep(&spec(finite()), &fates, |_, _, _, reply| match reply {
            Some(suggestion) => assert!(seen.insert(key(&suggestion.assignment)), "{suggestion:?}"),
            None => is_exhausted = true,
        });
        prop_assert!(is_exhausted);
        prop_assert_eq!(seen.len(), 12);
    }

    #[test]
    fn it_suggests_trials_even_if_all_results_are_equal_extreme_or_missing(
        fate in prop_oneof![
            Just(Fate::Fails),
            Just(Fate::Ends(0.25)),
            Just(Fate::Ends(1e300)),
            Just(Fate::Stops(-1e300)),
        ],
    ) {
        let spec = spec(mixed());
        let mut legal = 0;
        sweep(&spec, &[fate; 100], |_, _, _, reply| {
            legal += u32::from(spec.space.contains(&reply.unwrap().assignment));
        });
        prop_assert_eq!(legal, 100);
    }
}

#[test]
fn a_space_with_one_point_has_one_trial() {
    for domain in [float(Scale::Linear, 2.0, 2.0), int(Scale::Log, 7, 7), choice(&["only"])] {
        let mut suggested = Vec::new();
        sweep(
            &spec(vec![parameter("p", domain, None)]),
            &[Fate::Ends(1.0); 5],
            |_, _, _, reply| suggested.push(reply.is_some()),
        );
        assert_eq!(suggested, [true, false]);
    }
}

/// A cost that is lowest at 0.7 of every scale.
fn bowl(space: &Space, assignment: &Assignment) -> f64 {
    space.encode(assignment).iter().map(|u| (u - 0.7) * (u - 0.7)).sum()
}

/// Two numbers without conditions.
fn plane() -> Vec<Parameter> {
    vec![
        parameter("x", float(Scale::Log, 1e-4, 1.0), None),
        parameter("y", float(Scale::Linear, 0.0, 10.0), None),
    ]
}

#[test]
fn it_finds_the_minimum_of_a_bowl_and_predicts_results_in_units_of_the_objective() {
    for goal in [Goal::Minimize, Goal::Maximize] {
        let mut spec = spec(plane());
        spec.objective.goal = goal;
        let (mut sampler, mut expected) = (build(&spec, &[]), Vec::new());
        let mut log = History::new(spec.space.clone());
        for trial in 0..60 {
            let suggestion = asked(&mut sampler, trial, &log, &[]).unwrap();
            let cost = bowl(&spec.space, &suggestion.assignment);
            if let (true, Some(ranking)) = (trial >= 40, &suggestion.reason.ranking) {
                let sign = goal.as_cost(1.0);
                assert!(sign * ranking.expected.better <= sign * ranking.expected.worse);
                expected.push((goal.as_cost(ranking.expected.middle) - cost).abs());
            }
            assert_eq!(suggestion.reason.seen, trial);
            log.push_trial(&suggestion.assignment).unwrap();
            log.push(Observation { trial, stage: Stage::Ended, cost: Some(cost) }).unwrap();
        }
        let best = log.entries().filter_map(|o| o.cost).fold(f64::INFINITY, f64::min);
        assert!(best < 1e-4, "{best}");
        expected.sort_by(f64::total_cmp);
        assert!(expected[expected.len() / 2] < 0.02, "{expected:?}");
    }
}

#[test]
fn a_warm_start_repeats_the_best_earlier_trial_and_learns_from_the_others() {
    let spec = spec(plane());
    // The earlier sweep had a wider range for x, no y, and another parameter.
    let earlier = |x: f64, cost: f64| {
        let values = [("x".to_string(), Value::Float(x)), ("z".to_string(), Value::Int(3))];
        (values.into_iter().collect::<Assignment>(), Some(cost))
    };
    let results: Vec<(Assignment, Option<f64>)> = (0..40)
        .map(|i| earlier(1e-3 * f64::from(1 << (i % 14)), 100.0 - f64::from(i % 14)))
        .collect();
    let warm = WarmStart { results };
    let mut sampler = build(&spec, std::slice::from_ref(&warm));
    let mut log = History::new(spec.space.clone());
    let first = asked(&mut sampler, 0, &log, &[]).unwrap();
    assert_eq!(first.reason.source, Source::WarmStart);
    assert_eq!(
        first.assignment.get("x"),
        Some(&Value::Float(1.0)),
        "moved into the range of this sweep"
    );
    for trial in 0..30 {
        let suggestion = asked(&mut sampler, trial, &log, &[]).unwrap();
        assert!(spec.space.contains(&suggestion.assignment), "{suggestion:?}");
        assert_eq!(
            Some(&suggestion),
            asked(&mut build(&spec, std::slice::from_ref(&warm)), trial, &log, &[]).as_ref()
        );
        assert_eq!(
            suggestion.reason.source == Source::Ranked,
            trial > 1 && trial % 8 != 7,
            "{trial}"
        );
        let cost = bowl(&spec.space, &suggestion.assignment);
        log.push_trial(&suggestion.assignment).unwrap();
        log.push(Observation { trial, stage: Stage::Ended, cost: Some(cost) }).unwrap();
    }
    assert!(log.entries().filter_map(|o| o.cost).any(|cost| cost < 0.01));
}
