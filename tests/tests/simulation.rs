//! The same sweep gives the same result under any faults, stored events are never lost, and the
//! budget is exact.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails with the reason at once"
)]

use std::collections::{BTreeMap, BTreeSet};

use caviar_common::outcome::TrialState;
use caviar_common::spec::SweepSpec;
use caviar_common::spec::file::parse;
use caviar_core::event::{Event, LeaseEnd, Payload};
use caviar_core::replay_decisions;
use caviar_tests::simulation::{Change, EPOCHS, Faults, Simulation, decisions};
use proptest::prelude::*;

fn spec(search: &str) -> SweepSpec {
    let text = format!(
        "name = \"s\"\nseed = 5\n[data]\nsource = \"builtin:digits\"\n\
         [fixed]\nepochs = {EPOCHS}\n\
         [space]\nlearning_rate = {{ low = 1e-4, high = 1 }}\nunits = {{ low = 8, high = 512 }}\n\
         [search]\n{search}\n"
    );
    parse(&text).expect("the spec is right").spec
}

const ROUNDS: &str = "strategy = \"rounds\"\ntrials = 20\nrounds = [10, 6, 4]\nparallelism = 4";

/// One search for each way of choosing trials.
const SEARCHES: [&str; 3] = [
    ROUNDS,
    "strategy = \"random\"\ntrials = 20\nparallelism = 4",
    "strategy = \"sobol\"\ntrials = 20\nparallelism = 4",
];

/// Everything that a user can compare: the trials, and the winner with its test score.
fn outcome(simulation: &Simulation, sweep: caviar_common::ids::SweepId) -> String {
    let view = simulation.core().sweep(sweep).expect("the sweep is there");
    let best = view.best.map(|t| (t.trial, t.objective));
    let decisions = decisions(&simulation.events);
    format!(
        "{:?}\n{best:?}\n{:?}\n{:?}\n{decisions:?}",
        simulation.result(sweep),
        view.test,
        view.rounds
    )
}

fn calm(spec: &SweepSpec, slots: &[u32]) -> String {
    run(1, spec, slots, Faults::NONE)
}

fn run(seed: u64, spec: &SweepSpec, slots: &[u32], faults: Faults) -> String {
    let mut simulation = Simulation::new(seed, slots, faults);
    let sweep = simulation.submit(spec);
    simulation.run(sweep, 20_000);
    outcome(&simulation, sweep)
}

fn stormy() -> Faults {
    Faults { breaks: 15, crashes: 6, restarts: 6, silences: 15, ..Faults::NONE }
}

/// Checks what must hold for every log of events.
fn check_events(events: &[Event], trials: u32) {
    let (mut finished, mut stopped): (BTreeMap<u32, usize>, BTreeSet<u32>) =
        (BTreeMap::new(), BTreeSet::new());
    let (mut sampled, mut decided, mut last_lease) = (0, 0, 0);
    for event in events {
        match &event.payload {
            Payload::TrialSampled(new) => {
                assert_eq!(new.trial.0, sampled, "trials are numbered in order");
                sampled += 1;
                assert!(sampled - decided <= 4, "more trials in flight than the parallelism");
            }
            Payload::TrialDecided(_) => decided += 1,
            Payload::TrialStopped(end) => {
                decided += 1;
                assert!(stopped.insert(end.trial.0), "a trial is stopped once");
            }
            Payload::TrialFinished(end) => *finished.entry(end.trial.0).or_default() += 1,
            Payload::LeaseGranted(granted) => {
                assert!(granted.lease.0 > last_lease, "lease ids grow");
                last_lease = granted.lease.0;
            }
            _ => {}
        }
    }
    assert_eq!((sampled, decided), (trials, trials), "the budget is exact");
    assert!(finished.values().all(|n| *n == 1), "{finished:?}");
    assert!(
        (0..trials).all(|trial| finished.contains_key(&trial) || stopped.contains(&trial)),
        "{finished:?} {stopped:?}"
    );
}

#[test]
fn one_slot_or_many_give_the_same_trials_and_the_same_winner() {
    let spec = spec(ROUNDS);
    let one = calm(&spec, &[1]);
    assert!(one.contains("Diverged"), "the spec has trials that diverge");
    for slots in [&[2][..], &[4], &[2, 2], &[1, 1, 1, 8]] {
        assert_eq!(calm(&spec, slots), one);
    }
}

#[test]
fn the_stormy_faults_reach_every_cause_of_a_lost_lease() {
    let mut causes = BTreeSet::new();
    for seed in 0..20 {
        let mut simulation = Simulation::new(seed, &[2, 2], stormy());
        let sweep = simulation.submit(&spec(ROUNDS));
        simulation.run(sweep, 20_000);
        for event in &simulation.events {
            if let Payload::LeaseEnded(ended) = &event.payload {
                causes.insert(format!("{:?}", ended.cause));
            }
        }
    }
    for cause in [LeaseEnd::Expired, LeaseEnd::WorkerRestarted, LeaseEnd::NotHeld] {
        assert!(causes.contains(&format!("{cause:?}")), "{cause:?} never happened: {causes:?}");
    }
}

#[test]
fn broken_connections_cost_no_training() {
    let spec = spec(ROUNDS);
    let expected = calm(&spec, &[1]);
    for seed in 0..20 {
        let mut simulation = Simulation::new(seed, &[2, 1], Faults { breaks: 30, ..Faults::NONE });
        let sweep = simulation.submit(&spec);
        simulation.run(sweep, 20_000);
        // No lease expires in this test, so only a repeated message replaces one that a broken
        // connection lost.
        let lost = |e: &&Event| match &e.payload {
            Payload::LeaseEnded(ended) => ended.cause != LeaseEnd::NotHeld,
            _ => false,
        };
        assert_eq!(simulation.events.iter().find(lost), None);
        assert_eq!(outcome(&simulation, sweep), expected);
    }
}

#[test]
fn only_the_trial_that_crashes_its_workers_fails_for_any_slots_and_faults() {
    let spec = spec(ROUNDS);
    for poison in [0, 3, 17] {
        let poisoned = Faults { poison: Some(poison), ..Faults::NONE };
        let mut simulation = Simulation::new(1, &[1], poisoned);
        let sweep = simulation.submit(&spec);
        simulation.run(sweep, 20_000);
        let failed: Vec<u32> = simulation
            .result(sweep)
            .iter()
            .filter(|t| t.state == TrialState::Failed)
            .map(|t| t.trial.0)
            .collect();
        assert_eq!(failed, [poison]);
        let expected = outcome(&simulation, sweep);
        for slots in [&[2][..], &[4], &[8], &[2, 2], &[1, 1, 8]] {
            assert_eq!(run(2, &spec, slots, poisoned), expected, "{slots:?}");
            assert_eq!(
                run(3, &spec, slots, Faults { poison: Some(poison), ..stormy() }),
                expected,
                "{slots:?}"
            );
        }
    }
}

#[test]
fn two_processes_with_one_name_change_nothing() {
    let spec = spec(ROUNDS);
    let expected = calm(&spec, &[1]);
    for slots in [&[1][..], &[2, 1]] {
        assert_eq!(
            run(4, &spec, slots, Faults { twins: true, ..Faults::NONE }),
            expected,
            "{slots:?}"
        );
        assert_eq!(run(5, &spec, slots, Faults { twins: true, ..stormy() }), expected, "{slots:?}");
    }
}

#[test]
fn a_resize_at_the_same_place_gives_the_same_result_for_any_slots_and_faults() {
    let spec =
        spec("strategy = \"zoom\"\ntrials = 20\nparallelism = 4\n[stopping]\nrule = \"halving\"");
    let unchanged = calm(&spec, &[1]);
    for (decisions, parallelism) in [(6, 9), (6, 1)] {
        let resized = |seed, slots: &[u32], faults| {
            let mut simulation = Simulation::new(seed, slots, faults);
            let sweep = simulation.submit(&spec);
            simulation.plan(sweep, decisions, Change::Resize(parallelism));
            simulation.run(sweep, 20_000);
            simulation.check_recovery();
            let view = simulation.core().sweep(sweep).expect("the sweep is there");
            assert_eq!(view.parallelism, parallelism);
            assert_eq!(replay_decisions(&simulation.events), Ok(Vec::new()));
            outcome(&simulation, sweep)
        };
        let expected = resized(1, &[1], Faults::NONE);
        assert_ne!(expected, unchanged, "the search learns from other results");
        for slots in [&[2][..], &[8], &[2, 2], &[1, 1, 8]] {
            assert_eq!(resized(2, slots, Faults::NONE), expected, "{slots:?}");
            assert_eq!(resized(3, slots, stormy()), expected, "{slots:?}");
        }
    }
}

/// Runs a sweep to which trials are added after this many decisions.
fn extended(
    search: &str,
    (decisions, added): (usize, u32),
    (seed, slots, faults): (u64, &[u32], Faults),
) -> String {
    let mut simulation = Simulation::new(seed, slots, faults);
    let sweep = simulation.submit(&spec(search));
    simulation.plan(sweep, decisions, Change::Extend(added));
    simulation.run(sweep, 20_000);
    simulation.check_recovery();
    assert_eq!(simulation.core().sweep(sweep).map(|view| view.budget), Some(8 + added));
    assert_eq!(replay_decisions(&simulation.events), Ok(Vec::new()));
    outcome(&simulation, sweep)
}

#[test]
fn a_sweep_that_is_extended_before_its_end_is_one_with_the_larger_budget() {
    for strategy in ["zoom", "random", "sobol", "tpe"] {
        let search = |trials| {
            let search = format!("strategy = \"{strategy}\"\ntrials = {trials}\nparallelism = 3\n");
            format!("{search}[stopping]\nrule = \"halving\"")
        };
        let expected = calm(&spec(&search(14)), &[1]);
        for decisions in [0, 4] {
            let run = |how| extended(&search(8), (decisions, 6), how);
            assert_eq!(run((1, &[1], Faults::NONE)), expected, "{strategy}");
            for slots in [&[2][..], &[8], &[1, 1, 8]] {
                assert_eq!(run((2, slots, Faults::NONE)), expected, "{strategy} {slots:?}");
                assert_eq!(run((3, slots, stormy())), expected, "{strategy} {slots:?}");
            }
        }
    }
}

#[test]
fn a_round_that_is_added_gives_the_same_result_for_any_slots_and_faults() {
    let search = "strategy = \"rounds\"\ntrials = 8\nrounds = [5, 3]\nparallelism = 3";
    let run = |how| extended(search, (6, 6), how);
    let expected = run((1, &[1], Faults::NONE));
    for slots in [&[2][..], &[8], &[1, 1, 8]] {
        assert_eq!(run((2, slots, Faults::NONE)), expected, "{slots:?}");
        assert_eq!(run((3, slots, stormy())), expected, "{slots:?}");
    }
}

#[test]
fn a_worker_that_sleeps_again_and_again_fails_no_trial() {
    let spec = spec(ROUNDS);
    let mut awake = Simulation::new(1, &[2], Faults::NONE);
    let sweep = awake.submit(&spec);
    awake.run(sweep, 20_000);
    let (expected, trained) = (outcome(&awake, sweep), awake.trained());
    let mut restored = 0;
    for seed in 0..10 {
        let mut simulation = Simulation::new(seed, &[2], Faults { silences: 60, ..Faults::NONE });
        let sweep = simulation.submit(&spec);
        simulation.run(sweep, 20_000);
        assert_eq!(outcome(&simulation, sweep), expected);
        let is_restored = |e: &&Event| matches!(e.payload, Payload::LeaseRestored(_));
        restored += simulation.events.iter().filter(is_restored).count();
        assert_eq!(simulation.trained(), trained, "no epoch is trained twice");
    }
    assert!(restored > 50, "{restored}");
}

#[test]
fn a_grid_smaller_than_the_budget_ends_when_it_is_exhausted() {
    let mut simulation = Simulation::new(1, &[2], Faults::NONE);
    let sweep = simulation.submit(&spec("strategy = \"grid\"\ntrials = 11"));
    simulation.run(sweep, 0);
    let trials = simulation.result(sweep);
    assert_eq!(trials.len(), 9);
    assert!(
        trials.iter().all(|t| t.state == TrialState::Completed || t.state == TrialState::Diverged)
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_fault_changes_the_result(
        seed in any::<u64>(),
        slots in prop::collection::vec(1u32..4, 1..4),
        strategy in 0..SEARCHES.len(),
    ) {
        let spec = spec(SEARCHES[strategy]);
        let mut simulation = Simulation::new(seed, &slots, stormy());
        let sweep = simulation.submit(&spec);
        simulation.run(sweep, 20_000);
        check_events(&simulation.events, 20);
        prop_assert_eq!(outcome(&simulation, sweep), calm(&spec, &[1]));
    }
}
