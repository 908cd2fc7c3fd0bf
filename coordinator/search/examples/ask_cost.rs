//! Measures the CPU time of an ask late in a sweep, for the strategies with a model.
//!
//! The space has ten parameters. Each ask comes after one more result. The figure is the mean over
//! consecutive asks, and includes the fits among them.
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

/// Ends a trial.
fn end(history: &mut History, trial: u32) {
    let point = history.space().encode(&history.assignment(trial).unwrap());
    let cost =
        point.iter().enumerate().map(|(j, u)| (u - 0.3) * (u - 0.3) * (1.0 + j as f64)).sum();
    history.push(Observation { trial, stage: Stage::Ended, cost: Some(cost) }).unwrap();
}

/// The CPU time of this process in nanoseconds. Where the system does not report it, the time of
/// day.
fn cpu_ns() -> f64 {
    let statistics = std::fs::read_to_string("/proc/self/schedstat").ok();
    let first = statistics
        .and_then(|text| text.split_whitespace().next().and_then(|word| word.parse().ok()));
    first.unwrap_or_else(|| std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos() as f64)
}

fn main() {
    println!("strategy  finished  pending  asks  ms of CPU per ask");
    for strategy in [Strategy::Zoom, Strategy::Tpe] {
        measure(strategy);
    }
}

fn measure(strategy: Strategy) {
    let spec = spec(strategy);
    for finished in [100u32, 1_000, 10_000] {
        for in_flight in [8, 64] {
            let mut stream = Seed::derive(5, 0, Purpose::Sample).stream(0);
            let mut sampler = build(&spec, &[]);
            let mut history = History::new(spec.space.clone());
            for _ in 0..finished + in_flight {
                history.push_trial(&draw(&spec.space, &mut stream)).unwrap();
            }
            (0..finished).for_each(|trial| end(&mut history, trial));
            let asks = finished.clamp(200, 1_300);
            let mut spent = 0.0;
            // The first ask reads the whole log, as after a restart, and is not counted.
            for i in 0..=asks {
                let before = cpu_ns();
                let first = finished + i;
                let pending: Vec<u32> = (first..first + in_flight).collect();
                let question =
                    Question { trial: first + in_flight, history: &history, pending: &pending };
                let SamplerReply::Suggest(suggestion) = sampler.ask(&question) else { return };
                spent += if i == 0 { 0.0 } else { cpu_ns() - before };
                history.push_trial(&suggestion.assignment).unwrap();
                end(&mut history, first);
            }
            println!(
                "{:8}  {finished:8}  {in_flight:7}  {asks:4}  {:.3}",
                strategy.name(),
                spent / f64::from(asks) / 1e6
            );
        }
    }
}
