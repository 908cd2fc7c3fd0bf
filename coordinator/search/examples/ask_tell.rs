//! The coordinator's search as a program: one JSON object a line in, one out. It drives the same
//! sampler as a sweep does, and keeps what a sweep keeps: the assignments in flight, and the log of
//! results in the order in which they come.
//!
//! ```text
//! {"strategy": "zoom", "seed": 1, "parallelism": 8, "goal": "minimize", "trials": 200, "parameters": [...]}   the sweep, first
//! {"ask": 0}                                       --> {"assignment": {...}, "reason": {...}} | {"wait": true} | {"exhausted": true}
//! {"tell": 0, "value": 0.25}                       --> {}     null, or nothing, for a trial that diverged
//! {"tell": 0, "value": 0.5, "passed": 0}           --> {}     it passed rung 0 and goes on; "stopped" instead if it does not
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a program for benches: bad input may end it"
)]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a program, not part of the pure library"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use caviar_common::assignment::Assignment;
use caviar_common::space::{Parameter, Space};
use caviar_common::spec::file::parse;
use caviar_common::spec::{Goal, Strategy, SweepSpec};
use caviar_search::{Observation, Question, Sampler, SamplerReply, Stage, build};
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
        let text = "name = \"bench\"\n[data]\nsource = \"builtin:digits\"\n[search]\nstrategy = \"random\"\ntrials = 1\n";
        let mut spec = parse(text).unwrap().spec;
        spec.space = Space::new(self.parameters).expect("conditions that run in a circle");
        spec.seed = self.seed;
        spec.objective.goal = self.goal;
        spec.search.strategy = self.strategy;
        spec.search.parallelism = self.parallelism;
        spec.search.trials = self.trials;
        spec
    }
}

struct Session {
    sampler: Box<dyn Sampler>,
    goal: Goal,
    log: Vec<Observation>,
    pending: BTreeMap<u32, Assignment>,
    /// Trials that the log knows and that go on.
    going_on: BTreeMap<u32, Assignment>,
}

impl Session {
    fn ask(&mut self, trial: u32) -> Value {
        let pending: Vec<&Assignment> = self.pending.values().collect();
        match self.sampler.ask(&Question { trial, log: &self.log, pending: &pending }) {
            SamplerReply::Suggest(suggestion) => {
                let answer =
                    json!({ "assignment": suggestion.assignment, "reason": suggestion.reason });
                self.pending.insert(trial, suggestion.assignment);
                answer
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
        let assignment = self
            .pending
            .remove(&trial)
            .or_else(|| self.going_on.remove(&trial))
            .expect("a trial that is not in flight");
        if let Stage::Passed(_) = stage {
            self.going_on.insert(trial, assignment.clone());
        }
        let cost = message["value"].as_f64().map(|value| self.goal.as_cost(value));
        self.log.push(Observation { trial, assignment, stage, cost });
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
        log: Vec::new(),
        pending: BTreeMap::new(),
        going_on: BTreeMap::new(),
    };
    for line in lines {
        let message: Value = serde_json::from_str(&line.unwrap()).unwrap();
        let number = |name: &str| message[name].as_u64().map(|trial| u32::try_from(trial).unwrap());
        let answer = match (number("ask"), number("tell")) {
            (Some(trial), _) => session.ask(trial),
            (None, Some(trial)) => {
                session.tell(trial, &message);
                json!({})
            }
            (None, None) => panic!("neither ask nor tell: {message}"),
        };
        println!("{answer}");
        std::io::stdout().flush().unwrap();
    }
}
