//! Recorded sweeps: every strategy suggests the same trials, for the same reasons, as it did when
//! these values were recorded. A refactoring must not change them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    reason = "tests"
)]

use caviar_common::assignment::{Assignment, Value};
use caviar_common::spec::SweepSpec;
use caviar_common::spec::file::parse;
use caviar_search::importance::{Measure, importance};
use caviar_search::{History, Observation, Question, SamplerReply, Stage, WarmStart, build};

fn spec(search: &str) -> SweepSpec {
    let text = format!(
        r#"
        name = "t"
        seed = 7
        [data]
        source = "builtin:digits"
        [space]
        learning_rate = {{ low = 1e-4, high = 1 }}
        momentum = {{ low = 0.9, high = 0.999 }}
        layers = {{ low = 1, high = 4 }}
        activation = {{ choices = ["relu", "tanh", "gelu"] }}
        units_3 = {{ low = 16, high = 64 }}
        dropout = {{ low = 0.0, high = 0.6 }}
        [search]
        parallelism = 4
        {search}
        "#
    );
    parse(&text).unwrap().spec
}

/// A function to minimise. It has a local minimum per ripple of the learning rate.
fn cost(spec: &SweepSpec, assignment: &Assignment) -> f64 {
    let units = spec.space.encode(assignment);
    let weighted = units.iter().enumerate().map(|(j, u)| (1.0 + j as f64) * (u - 0.3) * (u - 0.3));
    0.2 + weighted.sum::<f64>() + 0.05 * libm::sin(40.0 * units[0])
}

/// The FNV-1a hash of a text.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Runs a sweep with four trials in flight in which some trials fail and some are stopped at a
/// rung. Returns all assignments and reasons as text.
fn transcript(spec: &SweepSpec, earlier: &[WarmStart], trials: u32) -> String {
    let mut sampler = build(spec, earlier);
    let mut history = History::new(spec.space.clone());
    let (mut in_flight, mut text) = (Vec::new(), String::new());
    let mut trial = 0;
    while trial < trials {
        let reply = sampler.ask(&Question { trial, history: &history, pending: &in_flight });
        let is_waiting = reply == SamplerReply::Wait;
        match reply {
            SamplerReply::Suggest(suggestion) => {
                text += &serde_json::to_string(&suggestion.assignment).unwrap();
                text += &serde_json::to_string(&suggestion.reason).unwrap();
                in_flight.push(history.push_trial(&suggestion.assignment).unwrap());
            }
            SamplerReply::Wait => text += "wait",
            SamplerReply::Exhausted => text += "exhausted",
        }
        trial += u32::from(!is_waiting);
        if in_flight.len() == 4 || is_waiting {
            enter(&mut history, spec, in_flight.remove(0));
        }
    }
    text
}

/// Writes the decisions on one trial to the log.
fn enter(history: &mut History, spec: &SweepSpec, trial: u32) {
    let last = cost(spec, &history.assignment(trial).unwrap());
    let mut push = |stage, cost| {
        history.push(Observation { trial, stage, cost }).unwrap();
    };
    if trial % 13 == 9 {
        push(Stage::Ended, None);
    } else if trial % 3 == 2 {
        push(Stage::Stopped(0), Some(last + 0.3));
    } else {
        push(Stage::Passed(0), Some(last + 0.25 + 0.01 * f64::from(trial % 5)));
        push(Stage::Ended, Some(last));
    }
}

#[test]
fn every_strategy_suggests_what_was_recorded() {
    let mut found = Vec::new();
    for search in [
        "strategy = \"random\"\ntrials = 40",
        "strategy = \"sobol\"\ntrials = 40",
        "strategy = \"grid\"\ntrials = 40",
        "strategy = \"rounds\"\ntrials = 40\nrounds = [10, 10, 20]",
        "strategy = \"tpe\"\ntrials = 150",
        "strategy = \"zoom\"\ntrials = 150",
    ] {
        let spec = spec(search);
        found.push(hash(&transcript(&spec, &[], spec.search.trials)));
    }
    assert_eq!(
        found,
        [
            6610095626098994439,
            14765639450958843071,
            13096179254069633089,
            10465956571526909680,
            13348797244705979012,
            4231725609422221089
        ]
    );
}

fn trials(spec: &SweepSpec, count: u32) -> Vec<(Assignment, f64)> {
    let (mut sampler, history) = (build(spec, &[]), History::new(spec.space.clone()));
    let mut next = |trial| match sampler.ask(&Question { trial, history: &history, pending: &[] }) {
        SamplerReply::Suggest(suggestion) => suggestion.assignment,
        SamplerReply::Wait | SamplerReply::Exhausted => {
            panic!("random search suggests every trial")
        }
    };
    (0..count).map(&mut next).map(|a| (a.clone(), cost(spec, &a))).collect()
}

#[test]
fn a_warm_start_suggests_what_was_recorded() {
    let earlier = trials(&spec("strategy = \"random\"\ntrials = 40"), 40);
    let results = earlier.into_iter().map(|(mut assignment, cost)| {
        assignment.insert("momentum", Value::Float(0.5));
        (assignment, Some(cost))
    });
    let warm = WarmStart { results: results.collect() };
    let spec = spec("strategy = \"zoom\"\ntrials = 60");
    assert_eq!(hash(&transcript(&spec, &[warm], 60)), 16104843297348929157);
}

#[test]
fn importance_is_what_was_recorded() {
    let spec = spec("strategy = \"random\"\ntrials = 120");
    let mut history = History::new(spec.space.clone());
    let mut add = |(assignment, cost)| (history.push_trial(&assignment).unwrap(), cost);
    let results: Vec<(u32, f64)> = trials(&spec, 120).into_iter().map(&mut add).collect();
    let found = |measure| {
        let found = importance(&history, &results, measure, 3).unwrap();
        hash(&format!("{:?} {:?}", found.parameters, found.pairs))
    };
    assert_eq!(
        [found(Measure::Scales), found(Measure::Values)],
        [9454269718475742752, 6932310292569854337]
    );
}
