//! Longer recorded sweeps, with several rungs, many trials in flight, failures, ties, warm starts
//! and spaces that are used up. A change that makes a sampler faster must not change them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, reason = "tests")]

use std::collections::BTreeMap;

use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::spec::SweepSpec;
use caviar_common::spec::file::parse;
use caviar_search::{History, Observation, Question, SamplerReply, Stage, WarmStart, build};

/// A space with every kind of parameter, and conditions.
const MIXED: &str = r#"
    learning_rate = { low = 1e-4, high = 1 }
    momentum = { low = 0.9, high = 0.999 }
    layers = { low = 1, high = 4 }
    activation = { choices = ["relu", "tanh", "gelu"] }
    units_3 = { low = 16, high = 64 }
    dropout = { low = 0.0, high = 0.6 }
"#;
/// A space of 3 * (1 + 1 + 30 + 30) = 186 points.
const FINITE: &str = r#"
    layers = { low = 1, high = 4 }
    activation = { choices = ["relu", "tanh", "gelu"] }
    units_3 = { low = 16, high = 45 }
"#;

fn spec(space: &str, search: &str) -> SweepSpec {
    let text = format!(
        "name = \"t\"\nseed = 21\n[data]\nsource = \"builtin:digits\"\n[space]\n{space}\n\
         [search]\nparallelism = 24\n{search}\n"
    );
    parse(&text).unwrap().spec
}

/// The FNV-1a hash of a text.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A sweep whose trials are decided in a random order.
struct Sweep {
    history: History,
    /// The trials in flight, and how many rungs each has passed.
    in_flight: BTreeMap<u32, u32>,
    stream: Stream,
    /// The number of rungs.
    rungs: u32,
}

impl Sweep {
    fn new(spec: &SweepSpec, rungs: u32) -> Self {
        Self {
            history: History::new(spec.space.clone()),
            in_flight: BTreeMap::new(),
            stream: Seed::derive(3, 0, Purpose::Sample).stream(0),
            rungs,
        }
    }

    fn pending(&self) -> Vec<u32> {
        self.in_flight.iter().filter(|(_, passed)| **passed == 0).map(|(trial, _)| *trial).collect()
    }

    /// A cost with local minima. A tenth of the trials has one of a few equal costs.
    fn cost(&mut self, trial: u32) -> f64 {
        let units = self.history.space().encode(&self.history.assignment(trial).unwrap());
        let bowl: f64 =
            units.iter().enumerate().map(|(j, u)| (1.0 + j as f64) * (u - 0.3) * (u - 0.3)).sum();
        if trial % 10 == 3 { 0.5 } else { 0.2 + bowl + 0.05 * libm::sin(40.0 * units[0]) }
    }

    /// Takes a random decision.
    fn decide(&mut self) {
        let place = self.stream.below(self.in_flight.len() as u64) as usize;
        let (trial, passed) = self.in_flight.iter().nth(place).map(|(t, p)| (*t, *p)).unwrap();
        let cost = self.cost(trial);
        let noise = 0.05 * self.stream.uniform();
        let early = Some(cost + 0.3 / f64::from(passed + 1) + noise);
        let (stage, cost) = match self.stream.below(20) {
            0 => (Stage::Ended, None),
            1..=6 if passed < self.rungs => (Stage::Stopped(passed), early),
            7 if passed < self.rungs => (Stage::Passed(passed), None),
            _ if passed < self.rungs => (Stage::Passed(passed), early),
            _ => (Stage::Ended, Some(cost)),
        };
        self.history.push(Observation { trial, stage, cost }).unwrap();
        if let Stage::Passed(rung) = stage {
            self.in_flight.insert(trial, rung + 1);
        } else {
            self.in_flight.remove(&trial);
        }
    }
}

/// Runs a sweep and returns the hash of all replies. After a wait or the end of the space, trials
/// are decided until none is in flight. From time to time, a new sampler must give the same reply,
/// as after a restart.
fn run(spec: &SweepSpec, earlier: &[WarmStart], rungs: u32, in_flight: usize) -> u64 {
    let (mut sampler, mut sweep) = (build(spec, earlier), Sweep::new(spec, rungs));
    let mut text = String::new();
    while sweep.history.trials() < spec.search.trials {
        let question = Question {
            trial: sweep.history.trials(),
            history: &sweep.history,
            pending: &sweep.pending(),
        };
        let reply = sampler.ask(&question);
        if question.trial % 211 == 210 {
            assert_eq!(build(spec, earlier).ask(&question), reply, "{}", question.trial);
        }
        match reply {
            SamplerReply::Suggest(suggestion) => {
                text += &serde_json::to_string(&suggestion.assignment).unwrap();
                text += &serde_json::to_string(&suggestion.reason).unwrap();
                let trial = sweep.history.push_trial(&suggestion.assignment).unwrap();
                sweep.in_flight.insert(trial, 0);
            }
            SamplerReply::Wait => text += "wait",
            SamplerReply::Exhausted => text += "exhausted",
        }
        while sweep.in_flight.len() >= in_flight || text.ends_with("wait") {
            text += " ";
            sweep.decide();
        }
        if text.ends_with("exhausted") {
            if sweep.in_flight.is_empty() {
                break;
            }
            sweep.decide();
        }
    }
    hash(&text)
}

fn check(cases: &[(&str, &str, u32, usize, u64)]) {
    let run = |(space, search, rungs, in_flight, _): &(&str, &str, u32, usize, u64)| {
        run(&spec(space, search), &[], *rungs, *in_flight)
    };
    let found: Vec<u64> = cases.iter().map(run).collect();
    let recorded: Vec<u64> = cases.iter().map(|case| case.4).collect();
    assert_eq!(found, recorded);
}

#[test]
fn zoom_suggests_what_was_recorded() {
    check(&[
        (MIXED, "strategy = \"zoom\"\ntrials = 1500", 3, 24, 8519453409576530945),
        (MIXED, "strategy = \"zoom\"\ntrials = 700", 0, 5, 18388525860511349337),
        (MIXED, "strategy = \"zoom\"\ntrials = 500", 1, 200, 13100694394229229850),
        (FINITE, "strategy = \"zoom\"\ntrials = 400", 1, 12, 15564585576675223138),
    ]);
}

#[test]
fn a_warm_start_suggests_what_was_recorded() {
    let earlier = |seed: u64, count: u32| {
        let mut spec = spec(MIXED, "strategy = \"random\"\ntrials = 300");
        spec.seed = seed;
        let (mut sampler, mut sweep) = (build(&spec, &[]), Sweep::new(&spec, 0));
        let mut result = |trial| {
            let question = Question { trial, history: &sweep.history, pending: &[] };
            let SamplerReply::Suggest(suggestion) = sampler.ask(&question) else { return None };
            let trial = sweep.history.push_trial(&suggestion.assignment).unwrap();
            let cost = sweep.cost(trial);
            Some((suggestion.assignment, (trial % 17 != 4).then_some(cost)))
        };
        WarmStart { results: (0..count).filter_map(&mut result).collect() }
    };
    let spec = spec(MIXED, "strategy = \"zoom\"\ntrials = 400");
    let found = [
        run(&spec, &[earlier(1, 300)], 3, 16),
        run(&spec, &[earlier(2, 40), earlier(3, 70)], 0, 8),
    ];
    assert_eq!(found, [8513214863568907183, 5843792779246288691]);
}

#[test]
fn tpe_suggests_what_was_recorded() {
    check(&[
        (MIXED, "strategy = \"tpe\"\ntrials = 1300", 3, 24, 10794422731157624851),
        (FINITE, "strategy = \"tpe\"\ntrials = 400", 0, 12, 1876921392913784021),
    ]);
}

#[test]
fn strategies_without_a_model_suggest_what_was_recorded() {
    let points = "learning_rate = { low = 1e-4, high = 1, points = 7 }\n\
                  batch_size = { low = 2, high = 40 }\nlayers = { low = 1, high = 4 }\n\
                  activation = { choices = [\"relu\", \"tanh\"] }\n\
                  units_3 = { low = 16, high = 64 }\nunits_2 = { low = 16, high = 64 }";
    check(&[
        (
            MIXED,
            "strategy = \"rounds\"\ntrials = 600\nrounds = [100, 200, 300]",
            2,
            24,
            1738944164010840152,
        ),
        (
            FINITE,
            "strategy = \"rounds\"\ntrials = 100\nrounds = [50, 50]",
            0,
            3,
            13665048906099258056,
        ),
        (points, "strategy = \"grid\"\ntrials = 3000", 0, 24, 11612185543400795599),
        (MIXED, "strategy = \"grid\"\ntrials = 2000", 0, 24, 14722841342451649343),
        (FINITE, "strategy = \"grid\"\ntrials = 1000", 0, 24, 12370112709479630698),
        (MIXED, "strategy = \"sobol\"\ntrials = 3000", 0, 24, 14911290407705194945),
    ]);
}

#[test]
fn the_last_of_65536_sobol_points_are_those_that_were_recorded() {
    let spec = spec(MIXED, "strategy = \"sobol\"\ntrials = 65536");
    let (mut sampler, history) = (build(&spec, &[]), History::new(spec.space.clone()));
    let mut text = String::new();
    for trial in (0..65_536).step_by(97).chain(65_500..65_536) {
        let reply = sampler.ask(&Question { trial, history: &history, pending: &[] });
        let SamplerReply::Suggest(suggestion) = reply else { panic!("{reply:?}") };
        text += &serde_json::to_string(&suggestion.assignment).unwrap();
        text += &serde_json::to_string(&suggestion.reason).unwrap();
    }
    assert_eq!(hash(&text), 4467119443023875759);
}
