//! Measures the CPU time of an ask late in a sweep, for the strategies that learn from results.
//!
//! The space has ten parameters. Each ask comes after one more result. The time per ask is the mean
//! over 1,000 consecutive asks, and includes the fits among them. The first ask, which reads the
//! whole log, is given separately, with the memory that the sampler has then.
//!
//! ```text
//! ask_cost [MOST]                               all rows up to this number of results
//! ask_cost STRATEGY RESULTS RUNGS IN_FLIGHT     one row
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a measuring program"
)]
#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a program, which is not part of the pure library"
)]

use caviar_common::assignment::{Assignment, Value};
use caviar_common::scale::Scale;
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::space::{Domain, Parameter, Space};
use caviar_common::spec::file::parse;
use caviar_common::spec::{Strategy, SweepSpec};
use caviar_search::{History, Observation, Question, SamplerReply, Stage, build};

/// A space of six floats, two whole numbers and two choices.
fn spec(strategy: Strategy) -> SweepSpec {
    let text = r#"
        name = "t"
        [data]
        source = "builtin:digits"
        [search]
        strategy = "random"
        trials = 1
        parallelism = 8
        "#;
    let mut spec = parse(text).unwrap().spec;
    let domain = |i: usize| match i {
        0..6 => Domain::Float {
            scale: [Scale::Linear, Scale::Log, Scale::OneMinusLog][i % 3],
            low: 1e-4,
            high: 0.9,
        },
        6..8 => Domain::Int { scale: Scale::Log, low: 16, high: 512 },
        _ => Domain::Choice { values: (0..3).map(Value::Int).collect() },
    };
    let parameter =
        |i| Parameter { name: format!("p{i}"), domain: domain(i), when: None, points: None };
    spec.space = Space::new((0..10).map(parameter).collect()).unwrap();
    spec.search.strategy = strategy;
    spec
}

fn draw(space: &Space, stream: &mut Stream) -> Assignment {
    let point: Vec<f64> = (0..space.dimensions()).map(|_| stream.uniform()).collect();
    space.decode(&point)
}

/// Takes all decisions on a trial. With rungs, it passes three of them or is stopped at the first.
fn end(history: &mut History, trial: u32, has_rungs: bool) {
    let point = history.space().encode(&history.assignment(trial).unwrap());
    let cost: f64 =
        point.iter().enumerate().map(|(j, u)| (u - 0.3) * (u - 0.3) * (1.0 + j as f64)).sum();
    let mut push = |stage, more| {
        history.push(Observation { trial, stage, cost: Some(cost + more) }).unwrap();
    };
    if has_rungs && !trial.is_multiple_of(3) {
        push(Stage::Stopped(0), 0.4 + 0.1 * point[0]);
        return;
    }
    for rung in (0..3).filter(|_| has_rungs) {
        push(Stage::Passed(rung), (0.4 + 0.1 * point[1]) / f64::from(rung + 1));
    }
    push(Stage::Ended, 0.0);
}

/// The CPU time of this process in nanoseconds. Where the system does not report it, the time of
/// day.
fn cpu_ns() -> f64 {
    let statistics = std::fs::read_to_string("/proc/self/schedstat").ok();
    let first = statistics
        .and_then(|text| text.split_whitespace().next().and_then(|word| word.parse().ok()));
    first.unwrap_or_else(|| std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as f64)
}

/// The memory of this process in bytes; 0 where the system does not report it.
fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    1024.0 * kilobytes.unwrap_or_default()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, strategy, finished, has_rungs, in_flight] = arguments.as_slice() {
        let strategy = Strategy::ALL.into_iter().find(|s| s.name() == strategy).unwrap();
        let (finished, in_flight) = (finished.parse().unwrap(), in_flight.parse().unwrap());
        return measure(strategy, finished, has_rungs == "true", in_flight);
    }
    let most: u32 = arguments.get(1).map_or(100_000, |most| most.parse().unwrap());
    println!("strategy   results  rungs  in flight  ms first ask  bytes/trial  ms/ask");
    for strategy in ["zoom", "tpe", "rounds"] {
        for finished in (3..8).map(|digits| 10u32.pow(digits)).take_while(|n| *n <= most) {
            for has_rungs in [false, true] {
                for in_flight in [8u32, 64, 512] {
                    // A process of its own, because freed memory hides what a sampler needs.
                    let row =
                        [&finished.to_string(), &has_rungs.to_string(), &in_flight.to_string()];
                    let mut command = std::process::Command::new(&arguments[0]);
                    assert!(command.arg(strategy).args(row).status().unwrap().success());
                }
            }
        }
    }
}

/// Prints one row. The first ask reads the whole log, as after a restart.
fn measure(strategy: Strategy, finished: u32, has_rungs: bool, in_flight: u32) {
    let mut spec = spec(strategy);
    spec.search.rounds = vec![finished, 1_000_000];
    let mut stream = Seed::derive(5, 0, Purpose::Sample).stream(0);
    let mut history = History::new(spec.space.clone());
    for _ in 0..finished + in_flight {
        history.push_trial(&draw(&spec.space, &mut stream)).unwrap();
    }
    (0..finished).for_each(|trial| end(&mut history, trial, has_rungs));
    let mut sampler = build(&spec, &[]);
    let (bytes, asks) = (resident_bytes(), 1_000);
    let (mut first_ns, mut other_ns, mut sampler_bytes) = (0.0, 0.0, 0.0);
    for i in 0..=asks {
        let first = finished + i;
        let pending: Vec<u32> = (first..first + in_flight).collect();
        let before = cpu_ns();
        let question = Question { trial: first + in_flight, history: &history, pending: &pending };
        let SamplerReply::Suggest(suggestion) = sampler.ask(&question) else { return };
        if i == 0 {
            first_ns = cpu_ns() - before;
            sampler_bytes = resident_bytes() - bytes;
        } else {
            other_ns += cpu_ns() - before;
        }
        history.push_trial(&suggestion.assignment).unwrap();
        end(&mut history, first, has_rungs);
    }
    println!(
        "{:8}  {finished:8}  {has_rungs:5}  {in_flight:9}  {:12.0}  {:11.0}  {:6.3}",
        strategy.name(),
        first_ns / 1e6,
        sampler_bytes / f64::from(finished),
        other_ns / f64::from(asks) / 1e6
    );
}
