//! Several sweeps in one cluster with workers, external clients and operators, under all faults at
//! once. Each sweep gives the same result as without faults and without the others.
//!
//! `CAVIAR_SIMULATION_SEEDS=2000` runs that many seeds; `CAVIAR_SIMULATION_FIRST=17` begins with
//! seed 17, which together with 1 seed repeats a run that failed.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::panic,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails with the reason at once"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use caviar_common::ids::{LeaseId, SweepId};
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::spec::file::parse;
use caviar_common::spec::{Order, Strategy, SweepSpec};
use caviar_core::event::{Event, Payload};
use caviar_core::replay_decisions;
use caviar_tests::simulation::{
    Change, ERROR, Faults, Marks, Simulation, Source, decisions_by_sweep,
};

/// How many seeds `cargo test` runs.
const SEEDS: u64 = 60;
/// After this many actions a run has no more faults.
const PATIENCE: usize = 6_000;
/// If set, the test is a child process, which prints the hash of a run of this seed.
const CHILD: &str = "CAVIAR_SIMULATION_CHILD";
/// What comes before the hash in the output of a child process.
const HASH: &str = "the hash of the run is ";

const NETWORK: &str = "data.source = \"builtin:digits\"\nspace.epochs = { low = 3, high = 8 }";
const EXTERNAL: &str = "data.source = \"external\"\nfixed.epochs = 7";

/// The sweeps from which each run takes some: where the trials run, and how they are searched.
const SWEEPS: [(&str, &str); 13] = [
    (NETWORK, "search = { strategy = \"zoom\", trials = 24, parallelism = 5 }"),
    (
        NETWORK,
        "search = { strategy = \"tpe\", trials = 20, parallelism = 4 }\nstopping.rule = \"median\"",
    ),
    (
        NETWORK,
        "search = { strategy = \"random\", trials = 30, parallelism = 8 }\n\
         stopping.rule = \"halving\"",
    ),
    (NETWORK, "search = { strategy = \"sobol\", trials = 12, parallelism = 2 }"),
    (
        NETWORK,
        "search = { strategy = \"rounds\", trials = 20, rounds = [10, 6, 4], parallelism = 4 }",
    ),
    (NETWORK, "search = { strategy = \"grid\", trials = 9, parallelism = 1 }"),
    (
        NETWORK,
        "search = { strategy = \"random\", trials = 24, parallelism = 6, order = \"as_completed\" \
         }\nstopping.rule = \"halving\"",
    ),
    (
        NETWORK,
        "search = { strategy = \"zoom\", trials = 20, parallelism = 4, order = \"as_completed\" }",
    ),
    (
        EXTERNAL,
        "search = { strategy = \"random\", trials = 30, parallelism = 7 }\n\
         stopping.rule = \"halving\"",
    ),
    (EXTERNAL, "search = { strategy = \"tpe\", trials = 12, parallelism = 3 }"),
    (
        EXTERNAL,
        "search = { strategy = \"zoom\", trials = 24, parallelism = 5 }\n\
         stopping.rule = \"median\"",
    ),
    (EXTERNAL, "search = { strategy = \"rounds\", trials = 18, rounds = [9, 9], parallelism = 3 }"),
    (
        EXTERNAL,
        "search = { strategy = \"sobol\", trials = 24, parallelism = 6, order = \"as_completed\" \
         }\nstopping.rule = \"halving\"",
    ),
];

/// What people change: the sweep, the number of decisions on rungs and ends before, and what. Some
/// raise the number of trials in flight and some lower it, for workers and for clients. Trials are
/// added early, late, and after the last decision.
const CHANGES: [(usize, usize, Change); 11] = [
    (0, 5, Change::Resize(9)),
    (0, 14, Change::Resize(2)),
    (1, 6, Change::Resize(1)),
    (2, 9, Change::Resize(12)),
    (8, 11, Change::Resize(2)),
    (10, 4, Change::Resize(8)),
    (2, 20, Change::Extend(7)),
    (3, 12, Change::Extend(5)),
    (4, 11, Change::Extend(6)),
    (9, 3, Change::Extend(4)),
    (11, 18, Change::Extend(5)),
];

/// The first of them run on workers in virtual time, so one of their trials may crash its workers.
const POISONABLE: usize = 6;

fn spec(number: usize) -> SweepSpec {
    let (place, search) = SWEEPS[number];
    let metric = if place == EXTERNAL { ERROR } else { "validation_loss" };
    let text = format!(
        "name = \"sweep-{number}\"\nseed = {number}\n{place}\n\
         space.learning_rate = {{ low = 1e-4, high = 1 }}\n\
         space.units = {{ low = 8, high = 512 }}\n{search}\n\
         objective = {{ metric = \"{metric}\", goal = \"minimize\" }}\n"
    );
    parse(&text).expect("the spec is right").spec
}

/// A cluster and its sweeps.
#[derive(Debug)]
struct Scenario {
    slots: Vec<u32>,
    clients: usize,
    /// The numbers of its sweeps in [`SWEEPS`].
    sweeps: Vec<usize>,
    faults: Faults,
}

/// The rates of all faults. Each is left out in a third of the runs.
const STORM: Faults = Faults {
    breaks: 15,
    crashes: 4,
    restarts: 3,
    silences: 5,
    hangs: 2,
    declines: 8,
    unable: 4,
    drains: 3,
    releases: 8,
    pauses: 10,
    resizes: 6,
    extras: 6,
    client_silences: 4,
    client_crashes: 3,
    repeats: 15,
    lost_replies: 10,
    late_messages: 15,
    lost_batches: 2,
    poison: None,
    twins: false,
    uneven: true,
    small: true,
};

impl Scenario {
    fn new(seed: u64) -> Self {
        let mut chance = Seed::derive(seed, 0, Purpose::Sample).stream(0);
        let below = |chance: &mut Stream, n: usize| chance.below(n as u64) as usize;
        let workers = 1 + below(&mut chance, 4);
        let slots = (0..workers).map(|_| 1 + chance.below(3) as u32).collect();
        let mut sweeps: Vec<usize> = (0..SWEEPS.len()).collect();
        chance.shuffle(&mut sweeps);
        sweeps.truncate(1 + below(&mut chance, 4));
        let clients = 1 + below(&mut chance, 4);
        let mut keep = |rate: u64| if chance.below(3) == 0 { 0 } else { rate };
        let mut faults = STORM;
        for rate in [
            &mut faults.breaks,
            &mut faults.crashes,
            &mut faults.restarts,
            &mut faults.silences,
            &mut faults.hangs,
            &mut faults.declines,
            &mut faults.unable,
            &mut faults.drains,
            &mut faults.releases,
            &mut faults.pauses,
            &mut faults.extras,
            &mut faults.client_silences,
            &mut faults.client_crashes,
            &mut faults.repeats,
            &mut faults.lost_replies,
            &mut faults.late_messages,
            &mut faults.lost_batches,
            &mut faults.resizes,
        ] {
            *rate = keep(*rate);
        }
        if chance.below(6) == 0 {
            // Otherwise hung trainings mostly lose their leases for other reasons.
            (faults.breaks, faults.crashes) = (0, 0);
            (faults.restarts, faults.lost_batches) = (0, 0);
            (faults.silences, faults.drains, faults.releases) = (0, 0, 0);
            faults.hangs = 6;
        }
        (faults.uneven, faults.small) = (chance.below(3) > 0, chance.below(3) == 0);
        faults.twins = chance.below(6) == 0;
        if sweeps[0] < POISONABLE && chance.below(3) == 0 {
            faults.poison = Some(chance.below(8) as u32);
        }
        Self { slots, clients, sweeps, faults }
    }

    fn run(&self, seed: u64) -> (Simulation, Vec<SweepId>) {
        let mut simulation = Simulation::new(seed, &self.slots, self.faults);
        simulation.add_clients(self.clients);
        let submit = |number: &usize| simulation.submit(&spec(*number));
        let sweeps: Vec<SweepId> = self.sweeps.iter().map(submit).collect();
        for (number, sweep) in self.sweeps.iter().zip(&sweeps) {
            for (_, decisions, change) in CHANGES.iter().filter(|(of, ..)| of == number) {
                simulation.plan(*sweep, *decisions, *change);
            }
        }
        simulation.run_all(&sweeps, PATIENCE);
        (simulation, sweeps)
    }
}

/// Everything that a user can compare: all trials with their curves, the winner, the decisions.
fn outcome(simulation: &Simulation, sweep: SweepId) -> String {
    let view = simulation.core().sweep(sweep).expect("the sweep is there");
    let best = view.best.map(|trial| (trial.trial, trial.objective));
    format!(
        "{:#?}\n{best:?}\n{:?}\n{:?}\n{:#?}",
        simulation.result(sweep),
        view.test,
        view.rounds,
        decisions_by_sweep(&simulation.events)[&sweep]
    )
}

/// The number of a sweep in [`SWEEPS`], and its trial that crashes its workers.
type Calm = (usize, Option<u32>);

/// The outcome of a sweep without other faults and without others.
fn calm((number, poison): Calm) -> String {
    static OUTCOMES: Mutex<BTreeMap<Calm, String>> = Mutex::new(BTreeMap::new());
    let known = OUTCOMES.lock().expect("no thread failed").get(&(number, poison)).cloned();
    known.unwrap_or_else(|| {
        let (slots, clients, sweeps) = (vec![1], 1, vec![number]);
        let faults = Faults { poison, ..Faults::NONE };
        let (simulation, sweeps) = Scenario { slots, clients, sweeps, faults }.run(number as u64);
        let outcome = outcome(&simulation, sweeps[0]);
        OUTCOMES.lock().expect("no thread failed").insert((number, poison), outcome.clone());
        outcome
    })
}

/// Checks what must hold for the events of every sweep that ended by itself.
fn check_events(events: &[Event], sweep: SweepId, spec: &SweepSpec) {
    let (mut ended, mut decided): (BTreeSet<u32>, BTreeSet<u32>) = Default::default();
    let (mut sampled, mut parallelism) = (0, spec.search.parallelism.trials());
    let mut budget = spec.search.trials;
    for event in events.iter().filter(|event| event.sweep == sweep) {
        match &event.payload {
            Payload::TrialSampled(new) => {
                assert_eq!(new.trial.0, sampled, "trials are numbered in order");
                sampled += 1;
                let in_flight = sampled - decided.len() as u32;
                assert!(in_flight <= parallelism, "{in_flight} trials in flight");
            }
            Payload::SweepResized(resized) => parallelism = resized.parallelism,
            Payload::SweepExtended(extended) => budget += extended.added,
            Payload::TrialFinished(end) => {
                assert!(ended.insert(end.trial.0), "trial {} ended twice", end.trial);
            }
            Payload::TrialStopped(stopped) => {
                assert!(decided.insert(stopped.trial.0), "{} was decided twice", stopped.trial);
                ended.insert(stopped.trial.0);
            }
            Payload::TrialDecided(end) => {
                assert!(decided.insert(end.trial.0), "trial {} was decided twice", end.trial);
            }
            _ => {}
        }
    }
    // A grid may have fewer points.
    let trials = if spec.search.strategy == Strategy::Grid { sampled } else { budget };
    assert_eq!(sampled, trials, "the budget is exact");
    let all: BTreeSet<u32> = (0..sampled).collect();
    assert_eq!((&ended, &decided), (&all, &all), "every trial has one outcome");
}

fn check_lease_numbers(events: &[Event]) {
    let mut last = LeaseId(0);
    for event in events {
        let leases: Vec<LeaseId> = match &event.payload {
            Payload::LeaseGranted(granted) => vec![granted.lease],
            Payload::TrialsAsked(asked) => asked.granted.iter().map(|it| it.lease).collect(),
            _ => Vec::new(),
        };
        for lease in leases {
            assert!(lease > last, "lease numbers grow");
            last = lease;
        }
    }
}

/// Runs a seed and compares each of its sweeps with a calm run.
fn check(seed: u64) -> Marks {
    let scenario = Scenario::new(seed);
    let (mut simulation, sweeps) = scenario.run(seed);
    simulation.check_recovery();
    check_lease_numbers(&simulation.events);
    assert_eq!(replay_decisions(&simulation.events), Ok(Vec::new()));
    for (number, sweep) in scenario.sweeps.iter().zip(sweeps) {
        let poison = scenario.faults.poison.filter(|_| sweep == SweepId(1));
        let spec = spec(*number);
        check_events(&simulation.events, sweep, &spec);
        if spec.search.order == Order::Virtual {
            assert_same(&outcome(&simulation, sweep), &calm((*number, poison)), *number);
        }
    }
    simulation.marks().clone()
}

/// Fails with the first line that differs.
fn assert_same(actual: &str, expected: &str, number: usize) {
    let mut lines = actual.lines().zip(expected.lines()).enumerate();
    if let Some((line, (actual, expected))) = lines.find(|(_, (a, b))| a != b) {
        panic!("sweep {number} differs in line {line}: {actual} instead of {expected}");
    }
    assert_eq!(actual.len(), expected.len(), "sweep {number} differs in its length");
}

fn from_environment(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

#[test]
fn no_fault_changes_a_result_and_every_mark_is_reached() {
    let seeds = from_environment("CAVIAR_SIMULATION_SEEDS", SEEDS);
    let first = from_environment("CAVIAR_SIMULATION_FIRST", 0);
    let (next, marks) = (AtomicU64::new(first), Mutex::new(Marks::default()));
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return;
            }
            match std::panic::catch_unwind(|| check(seed)) {
                Ok(reached) => marks.lock().expect("no thread failed").merge(&reached),
                Err(_) => {
                    println!("seed {seed} failed: {:?}", Scenario::new(seed));
                    failed.lock().expect("no thread failed").push(seed);
                }
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().expect("no thread failed");
    assert!(failed.is_empty(), "of {seeds} seeds, these failed: {failed:?}");
    let marks = marks.into_inner().expect("no thread failed");
    println!("{marks:?}");
    assert!(seeds < SEEDS || marks.missing().is_empty(), "never reached: {:?}", marks.missing());
}

fn hash_in_child(seed: u64) -> u64 {
    let name = "the_same_seed_gives_the_same_run_in_another_process";
    let mut child = Command::new(std::env::current_exe().expect("this process has a file"));
    child.args(["--exact", name, "--nocapture"]).env(CHILD, seed.to_string());
    let output = child.output().expect("the child runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let hash = text.lines().find_map(|line| line.split_once(HASH));
    hash.and_then(|(_, hash)| hash.parse().ok()).unwrap_or_else(|| panic!("no hash: {text}"))
}

#[test]
fn the_same_seed_gives_the_same_run_in_another_process() {
    let hash = |seed: u64| Scenario::new(seed).run(seed).0.trace();
    if let Ok(seed) = std::env::var(CHILD) {
        return println!("\n{HASH}{}", hash(seed.parse().expect("a seed")));
    }
    let seeds = [1, 2, 3];
    for seed in seeds {
        assert_eq!(hash_in_child(seed), hash(seed), "seed {seed}");
    }
    let hashes: BTreeSet<u64> = seeds.into_iter().map(hash).collect();
    assert_eq!(hashes.len(), seeds.len(), "other seeds give other runs");
}

#[test]
fn another_source_of_faults_does_not_change_when_the_others_act() {
    let fired = |faults: Faults| {
        let scenario = Scenario { faults, ..Scenario::new(3) };
        let (simulation, _) = scenario.run(3);
        let until = simulation.fired().last().map_or(0, |(action, _)| *action);
        let breaks = simulation.fired().iter().filter(|(_, source)| *source == Source::Breaks);
        (until, breaks.map(|(action, _)| *action).collect::<Vec<_>>())
    };
    let (until, alone) = fired(Faults { breaks: 15, ..Faults::NONE });
    let (until_too, with_others) = fired(STORM);
    let common = until.min(until_too);
    let up_to = |actions: Vec<usize>| -> Vec<usize> {
        actions.into_iter().filter(|action| *action <= common).collect()
    };
    let (alone, with_others) = (up_to(alone), up_to(with_others));
    assert!(alone.len() > 5, "{alone:?}");
    assert_eq!(alone, with_others);
}
