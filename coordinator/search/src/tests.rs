#![allow(clippy::as_conversions, reason = "small numbers, made here")]

use std::collections::BTreeSet;

use caviar_common::assignment::Value;
use caviar_common::reason::Source;
use caviar_common::spec::file::parse;
use proptest::prelude::*;

use super::*;

fn spec(search: &str) -> SweepSpec {
    let text = format!(
        "name = \"t\"\nseed = 3\n[data]\nsource = \"builtin:digits\"\n[space]\nlearning_rate = {{ low = 1e-4, high = 1 }}\n\
         momentum = {{ low = 0.9, high = 0.999 }}\nlayers = {{ low = 1, high = 4 }}\nactivation = {{ choices = [\"relu\", \"tanh\"] }}\n\
         units_3 = {{ low = 16, high = 64 }}\n[search]\n{search}\n"
    );
    parse(&text).unwrap().spec
}

fn suggested(ask: SamplerReply) -> Suggestion {
    match ask {
        SamplerReply::Suggest(suggestion) => suggestion,
        SamplerReply::Wait | SamplerReply::Exhausted => panic!("{ask:?}"),
    }
}

fn ask(sampler: &mut Box<dyn Sampler>, trial: u32, log: &[Observation]) -> SamplerReply {
    sampler.ask(&Question { trial, log, pending: &[] })
}

/// A bowl with its least value at a learning rate of 0.01.
fn observe(trial: u32, assignment: Assignment) -> Observation {
    let rate = assignment.get("learning_rate").unwrap().as_f64().unwrap();
    Observation { trial, cost: Some((rate.log10() + 2.0).abs()), stage: Stage::Ended, assignment }
}

#[test]
fn random_tries_as_many_learning_rates_as_trials_and_a_grid_does_not() {
    let rates = |search: &str| {
        let mut sampler = build(&spec(search), &[]);
        let mut rate = |i| match ask(&mut sampler, i, &[]) {
            SamplerReply::Suggest(suggestion) => {
                suggestion.assignment.get("learning_rate").map(Value::to_string)
            }
            SamplerReply::Wait | SamplerReply::Exhausted => None,
        };
        (0..48).filter_map(&mut rate).collect::<BTreeSet<_>>().len()
    };
    assert_eq!(rates("strategy = \"random\"\ntrials = 48"), 48);
    assert_eq!(rates("strategy = \"sobol\"\ntrials = 48"), 48);
    assert!(rates("strategy = \"grid\"\ntrials = 48") <= 4);
}

#[test]
fn a_grid_takes_the_points_it_is_told_and_then_is_exhausted() {
    let text = "name = \"t\"\n[data]\nsource = \"builtin:digits\"\n[space]\nlearning_rate = { low = 1e-4, high = 1, points = 3 }\n\
                activation = { choices = [\"relu\", \"tanh\"] }\n[search]\nstrategy = \"grid\"\ntrials = 10\n";
    let mut sampler = build(&parse(text).unwrap().spec, &[]);
    let rates: Vec<String> = (0..6)
        .map(|i| {
            suggested(ask(&mut sampler, i, &[]))
                .assignment
                .get("learning_rate")
                .unwrap()
                .to_string()
        })
        .collect();
    assert_eq!(rates[0], "1e-4");
    assert_eq!(rates[4], "1.0");
    assert_eq!(ask(&mut sampler, 6, &[]), SamplerReply::Exhausted);
}

#[test]
fn a_round_waits_for_the_rounds_before_and_then_looks_around_their_best() {
    let mut sampler = build(&spec("strategy = \"rounds\"\ntrials = 50\nrounds = [30, 20]"), &[]);
    let mut log = Vec::new();
    for i in 0..30 {
        let suggestion = suggested(ask(&mut sampler, i, &log));
        assert_eq!((suggestion.reason.source, suggestion.reason.round), (Source::Round, Some(1)));
        assert_eq!(ask(&mut sampler, 30, &log), SamplerReply::Wait);
        log.push(observe(i, suggestion.assignment));
    }
    let second = suggested(ask(&mut sampler, 30, &log));
    assert_eq!(second.reason.round, Some(2));
    let boxes = second.reason.search_box.unwrap();
    let Extent::Range { low, high } = &boxes.sides[0].extent else { panic!("{boxes:?}") };
    let (low, high) = (low.as_f64().unwrap(), high.as_f64().unwrap());
    assert!(low > 1e-3 && low < 1e-2 && high > 1e-2 && high < 1e-1, "{low} {high}");
    // Later trials of the round see the same box, whatever has finished meanwhile.
    log.push(observe(30, second.assignment));
    assert_eq!(suggested(ask(&mut sampler, 31, &log)).reason.search_box, Some(boxes));
}

#[test]
fn rounds_survive_logs_of_nothing_but_failures() {
    let mut sampler = build(&spec("strategy = \"rounds\"\ntrials = 4\nrounds = [2, 2]"), &[]);
    let mut failed = |i| Observation {
        trial: i,
        stage: Stage::Ended,
        assignment: suggested(ask(&mut sampler, i, &[])).assignment,
        cost: None,
    };
    let log = [failed(0), failed(1)];
    assert_eq!(suggested(ask(&mut sampler, 2, &log)).reason.round, Some(2));
}

#[test]
fn the_first_points_of_every_strategy_never_change() {
    let first = |search: &str| {
        let assignment = suggested(ask(&mut build(&spec(search), &[]), 1, &[])).assignment;
        assignment.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(first("strategy = \"random\"\ntrials = 8"), GOLDEN[0]);
    assert_eq!(first("strategy = \"sobol\"\ntrials = 8"), GOLDEN[1]);
    assert_eq!(first("strategy = \"rounds\"\ntrials = 8"), GOLDEN[0]);
}

const GOLDEN: [&str; 2] = [
    "activation=\"tanh\" layers=1 learning_rate=0.11730734300703506 momentum=0.9926505583132811",
    "activation=\"tanh\" layers=4 learning_rate=0.08677107864832889 momentum=0.9979241549218906 units_3=20",
];

proptest! {
    #[test]
    fn every_suggestion_lies_in_the_space_and_is_a_function_of_the_log(
        costs in prop::collection::vec(prop::option::of(-1.0..1.0f64), 0..40), strategy in 0usize..4, trial in 0u32..40,
    ) {
        let search = ["strategy = \"random\"\ntrials = 40", "strategy = \"sobol\"\ntrials = 40", "strategy = \"grid\"\ntrials = 40",
            "strategy = \"rounds\"\ntrials = 40\nrounds = [10, 10, 20]"][strategy];
        let spec = spec(search);
        let mut sampler = build(&spec, &[]);
        let mut random = build(&self::spec("strategy = \"random\"\ntrials = 40"), &[]);
        let log: Vec<Observation> = costs.iter().enumerate()
            .map(|(i, cost)| Observation { trial: i as u32, stage: Stage::Ended, assignment: suggested(ask(&mut random, i as u32, &[])).assignment, cost: *cost }).collect();
        let answer = ask(&mut sampler, trial, &log);
        prop_assert_eq!(&answer, &ask(&mut build(&spec, &[]), trial, &log));
        if let SamplerReply::Suggest(suggestion) = answer {
            prop_assert!(spec.space.contains(&suggestion.assignment), "{:?}", suggestion);
            let layers = suggestion.assignment.get("layers").and_then(Value::as_i64).unwrap();
            prop_assert_eq!(suggestion.assignment.get("units_3").is_some(), layers >= 3);
        }
    }
}
