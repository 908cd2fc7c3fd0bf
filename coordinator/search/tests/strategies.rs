//! Promises of the strategies without a model: what they suggest first, when they wait, and when
//! they are exhausted.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeSet;

use caviar_common::assignment::{Assignment, Value};
use caviar_common::reason::{Extent, Source};
use caviar_common::spec::SweepSpec;
use caviar_common::spec::file::parse;
use caviar_search::{
    History, Observation, Question, Sampler, SamplerReply, Stage, Suggestion, build,
};
use proptest::prelude::*;

fn spec(search: &str) -> SweepSpec {
    let text = format!(
        r#"
        name = "t"
        seed = 3
        [data]
        source = "builtin:digits"
        [space]
        learning_rate = {{ low = 1e-4, high = 1 }}
        momentum = {{ low = 0.9, high = 0.999 }}
        layers = {{ low = 1, high = 4 }}
        activation = {{ choices = ["relu", "tanh"] }}
        units_3 = {{ low = 16, high = 64 }}
        [search]
        {search}
        "#
    );
    parse(&text).unwrap().spec
}

fn suggested(reply: SamplerReply) -> Suggestion {
    match reply {
        SamplerReply::Suggest(suggestion) => suggestion,
        SamplerReply::Wait | SamplerReply::Exhausted => panic!("{reply:?}"),
    }
}

fn ask(sampler: &mut Box<dyn Sampler>, trial: u32, history: &History) -> SamplerReply {
    sampler.ask(&Question { trial, history, pending: &[] })
}

/// The history of a sweep without trials.
fn empty() -> History {
    History::new(spec("strategy = \"random\"\ntrials = 1").space)
}

fn number(assignment: &Assignment, name: &str) -> f64 {
    assignment.get(name).unwrap().as_f64().unwrap()
}

/// Adds a completed trial. The cost is lowest at a learning rate of 0.01.
fn observe(history: &mut History, assignment: &Assignment) {
    let cost = (number(assignment, "learning_rate").log10() + 2.0).abs();
    enter(history, assignment, Some(cost));
}

/// Adds a trial that has ended.
fn enter(history: &mut History, assignment: &Assignment, cost: Option<f64>) {
    let trial = history.push_trial(assignment).unwrap();
    history.push(Observation { trial, cost, stage: Stage::Ended }).unwrap();
}

#[test]
fn random_and_sobol_try_a_new_learning_rate_in_every_trial_and_a_grid_does_not() {
    let rates = |search: &str| {
        let mut sampler = build(&spec(search), &[]);
        let mut rate = |i| match ask(&mut sampler, i, &empty()) {
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
fn the_first_four_sobol_points_have_one_learning_rate_in_each_decade() {
    let mut sampler = build(&spec("strategy = \"sobol\"\ntrials = 4"), &[]);
    let mut decade = |trial| {
        let suggestion = suggested(ask(&mut sampler, trial, &empty()));
        number(&suggestion.assignment, "learning_rate").log10().floor() as i32
    };
    assert_eq!((0..4).map(&mut decade).collect::<BTreeSet<_>>(), BTreeSet::from([-4, -3, -2, -1]));
}

#[test]
fn a_grid_has_the_points_of_the_spec_and_is_exhausted_after_them() {
    let text = r#"
        name = "t"
        [data]
        source = "builtin:digits"
        [space]
        learning_rate = { low = 1e-4, high = 1, points = 3 }
        activation = { choices = ["relu", "tanh"] }
        [search]
        strategy = "grid"
        trials = 10
        "#;
    let mut sampler = build(&parse(text).unwrap().spec, &[]);
    let mut rate = |i| {
        let suggestion = suggested(ask(&mut sampler, i, &empty()));
        suggestion.assignment.get("learning_rate").unwrap().to_string()
    };
    let rates: Vec<String> = (0..6).map(&mut rate).collect();
    assert_eq!(rates[0], "1e-4");
    assert_eq!(rates[4], "1.0");
    assert_eq!(ask(&mut sampler, 6, &empty()), SamplerReply::Exhausted);
}

#[test]
fn a_round_waits_for_the_earlier_rounds_and_then_searches_around_their_best_trials() {
    let mut sampler = build(&spec("strategy = \"rounds\"\ntrials = 50\nrounds = [30, 20]"), &[]);
    let mut log = empty();
    for i in 0..30 {
        let suggestion = suggested(ask(&mut sampler, i, &log));
        assert_eq!((suggestion.reason.source, suggestion.reason.round), (Source::Round, Some(1)));
        assert_eq!(ask(&mut sampler, 30, &log), SamplerReply::Wait);
        observe(&mut log, &suggestion.assignment);
    }
    let second = suggested(ask(&mut sampler, 30, &log));
    assert_eq!(second.reason.round, Some(2));
    let search_box = second.reason.search_box.unwrap();
    let Extent::Range { low, high } = &search_box.sides[0].extent else { panic!("{search_box:?}") };
    let (low, high) = (low.as_f64().unwrap(), high.as_f64().unwrap());
    assert!(low > 1e-3 && low < 1e-2 && high > 1e-2 && high < 1e-1, "{low} {high}");
    // Later trials of the round have the same box, whatever has finished in the meantime.
    observe(&mut log, &second.assignment);
    assert_eq!(suggested(ask(&mut sampler, 31, &log)).reason.search_box, Some(search_box));
}

#[test]
fn only_asks_whose_cost_does_not_grow_with_the_history_are_quick() {
    let is_quick = |sampler: &dyn Sampler, trial, history: &History| {
        sampler.is_quick(&Question { trial, history, pending: &[] })
    };
    for (strategy, quick) in
        [("random", true), ("sobol", true), ("grid", true), ("tpe", false), ("zoom", false)]
    {
        let sampler = build(&spec(&format!("strategy = \"{strategy}\"\ntrials = 9")), &[]);
        assert_eq!(is_quick(sampler.as_ref(), 5, &empty()), quick, "{strategy}");
    }
    let mut sampler = build(&spec("strategy = \"rounds\"\ntrials = 8\nrounds = [4, 4]"), &[]);
    let mut log = empty();
    for i in 0..4 {
        assert!(is_quick(sampler.as_ref(), i, &log));
        assert!(is_quick(sampler.as_ref(), 4, &log), "it waits");
        assert_eq!(ask(&mut sampler, 4, &log), SamplerReply::Wait);
        let suggestion = suggested(ask(&mut sampler, i, &log));
        observe(&mut log, &suggestion.assignment);
    }
    assert!(!is_quick(sampler.as_ref(), 4, &log), "the box of the second round is computed");
    for i in 4..6 {
        suggested(ask(&mut sampler, i, &log));
        assert!(is_quick(sampler.as_ref(), i + 1, &log));
    }
}

#[test]
fn a_round_starts_even_if_all_earlier_trials_have_failed() {
    let mut sampler = build(&spec("strategy = \"rounds\"\ntrials = 4\nrounds = [2, 2]"), &[]);
    let mut log = empty();
    for i in 0..2 {
        let suggestion = suggested(ask(&mut sampler, i, &log));
        enter(&mut log, &suggestion.assignment, None);
    }
    assert_eq!(suggested(ask(&mut sampler, 2, &log)).reason.round, Some(2));
}

#[test]
fn the_second_trial_of_every_strategy_without_a_model_never_changes() {
    let second = |search: &str| {
        let assignment = suggested(ask(&mut build(&spec(search), &[]), 1, &empty())).assignment;
        assignment.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ")
    };
    let random = "activation=\"tanh\" layers=1 learning_rate=0.11730734300703506 \
                  momentum=0.9926505583132811";
    let sobol = "activation=\"tanh\" layers=4 learning_rate=0.08677107864832889 \
                 momentum=0.9979241549218906 units_3=20";
    assert_eq!(second("strategy = \"random\"\ntrials = 8"), random);
    assert_eq!(second("strategy = \"sobol\"\ntrials = 8"), sobol);
    assert_eq!(second("strategy = \"rounds\"\ntrials = 8"), random);
}

#[test]
fn the_places_that_a_new_strategy_touches_exist() {
    let page = include_str!("../src/lib.rs");
    let (_, section) = page.split_once("# Adding a strategy").unwrap();
    let (section, _) = section.split_once("#![forbid").unwrap();
    let quoted = section.split('`').skip(1).step_by(2);
    let paths = quoted.filter(|text| text.contains('/')).filter_map(|text| text.split(' ').next());
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let missing: Vec<&str> = paths.clone().filter(|path| !root.join(path).exists()).collect();
    assert!(paths.count() > 10 && missing.is_empty(), "{missing:?}");
}

const STRATEGIES: [&str; 4] = [
    "strategy = \"random\"\ntrials = 40",
    "strategy = \"sobol\"\ntrials = 40",
    "strategy = \"grid\"\ntrials = 40",
    "strategy = \"rounds\"\ntrials = 40\nrounds = [10, 10, 20]",
];

proptest! {
    #[test]
    fn every_suggestion_lies_in_the_space_and_is_a_function_of_the_log(
        costs in prop::collection::vec(prop::option::of(-1.0..1.0f64), 0..40),
        strategy in 0..STRATEGIES.len(),
        trial in 0u32..40,
    ) {
        let spec = spec(STRATEGIES[strategy]);
        let mut sampler = build(&spec, &[]);
        let mut random = build(&self::spec(STRATEGIES[0]), &[]);
        let mut log = empty();
        for (i, cost) in (0..).zip(&costs) {
            let suggestion = suggested(ask(&mut random, i, &log));
            enter(&mut log, &suggestion.assignment, *cost);
        }
        let reply = ask(&mut sampler, trial, &log);
        prop_assert_eq!(&reply, &ask(&mut build(&spec, &[]), trial, &log));
        if let SamplerReply::Suggest(suggestion) = reply {
            prop_assert!(spec.space.contains(&suggestion.assignment), "{:?}", suggestion);
            let layers = number(&suggestion.assignment, "layers");
            prop_assert_eq!(suggestion.assignment.get("units_3").is_some(), layers >= 3.0);
        }
    }
}
