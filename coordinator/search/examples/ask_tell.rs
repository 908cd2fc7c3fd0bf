//! A sampler as a program: it reads one JSON object per line, and writes one.
//!
//! It asks the same sampler as a sweep does. It keeps what a sweep keeps: the history, and the
//! trials in flight. Trials are asked for in the order of their numbers, from 0.
//!
//! ```text
//! {"strategy": "zoom", "seed": 1, "parallelism": 8, "goal": "minimize", "trials": 200,
//!  "parameters": [...]}                       the first line (one line), which has no reply
//! {"ask": 0}                                  reply {"assignment": {...}, "reason": {...}},
//!                                             {"wait": true} or {"exhausted": true}
//! {"tell": 0, "value": 0.25}                  the trial has ended, without a value if it diverged
//! {"tell": 0, "value": 0.5, "passed": 0}      the trial has passed rung 0 and continues
//! {"tell": 0, "value": 0.5, "stopped": 0}     the trial was stopped at rung 0; each reply is {}
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program for benchmarks: bad input may end it"
)]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a program, which is not part of the pure library"
)]

use std::collections::BTreeSet;
use std::io::{BufRead, Write};

use caviar_common::space::{Parameter, Space};
use caviar_common::spec::file::parse;
use caviar_common::spec::{Goal, Parallelism, Strategy, SweepSpec};
use caviar_search::{History, Observation, Question, Sampler, SamplerReply, Stage, build};
use serde::Deserialize;
use serde_json::{Value, json};

/// The first line.
#[derive(Deserialize)]
struct Sweep {
    strategy: Strategy,
    seed: u64,
    parallelism: u32,
    goal: Goal,
    trials: u32,
    parameters: Vec<Parameter>,
}

impl Sweep {
    fn spec(self) -> SweepSpec {
        let text = r#"
            name = "bench"
            [data]
            source = "builtin:digits"
            [search]
            strategy = "random"
            trials = 1
            "#;
        let mut spec = parse(text).unwrap().spec;
        spec.space = Space::new(self.parameters).expect("conditions without a circle");
        spec.seed = self.seed;
        spec.objective.goal = self.goal;
        spec.search.strategy = self.strategy;
        spec.search.parallelism = Parallelism::Trials(self.parallelism);
        spec.search.trials = self.trials;
        spec
    }
}

struct Session {
    sampler: Box<dyn Sampler>,
    goal: Goal,
    history: History,
    /// The trials in flight without a decision.
    pending: BTreeSet<u32>,
}

impl Session {
    fn ask(&mut self, trial: u32) -> Value {
        let pending: Vec<u32> = self.pending.iter().copied().collect();
        match self.sampler.ask(&Question { trial, history: &self.history, pending: &pending }) {
            SamplerReply::Suggest(suggestion) => {
                let reply =
                    json!({ "assignment": suggestion.assignment, "reason": suggestion.reason });
                let number = self.history.push_trial(&suggestion.assignment).unwrap();
                assert_eq!(number, trial, "trials are asked for in order");
                self.pending.insert(trial);
                reply
            }
            SamplerReply::Wait => json!({ "wait": true }),
            SamplerReply::Exhausted => json!({ "exhausted": true }),
        }
    }

    fn tell(&mut self, trial: u32, message: &Value) {
        let rung = |name: &str| message[name].as_u64().map(|rung| u32::try_from(rung).unwrap());
        let stage = match (rung("passed"), rung("stopped")) {
            (Some(rung), _) => Stage::Passed(rung),
            (None, Some(rung)) => Stage::Stopped(rung),
            (None, None) => Stage::Ended,
        };
        self.pending.remove(&trial);
        let cost = message["value"].as_f64().map(|value| self.goal.as_cost(value));
        self.history.push(Observation { trial, stage, cost }).expect("a known trial");
    }
}

fn main() {
    let mut lines = std::io::stdin().lock().lines();
    let sweep: Sweep = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let spec = sweep.spec();
    let sampler = build(&spec, &[]);
    let mut session = Session {
        sampler,
        goal: spec.objective.goal,
        history: History::new(spec.space.clone()),
        pending: BTreeSet::new(),
    };
    for line in lines {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let number = |name: &str| message[name].as_u64().map(|trial| u32::try_from(trial).unwrap());
        let reply = match (number("ask"), number("tell")) {
            (Some(trial), _) => session.ask(trial),
            (None, Some(trial)) => {
                session.tell(trial, &message);
                json!({})
            }
            (None, None) => panic!("neither ask nor tell: {message}"),
        };
        println!("{reply}");
        std::io::stdout().flush().unwrap();
    }
}
