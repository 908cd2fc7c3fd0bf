//! Early stopping. In virtual time the same trials end at the same epochs for any workers and
//! faults. In the order of arrival, every decision can be taken again from the record.
#![allow(
    clippy::expect_used,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails with the reason at once"
)]

use std::collections::BTreeSet;

use caviar_common::ids::SweepId;
use caviar_common::metric::Metric;
use caviar_common::outcome::TrialState;
use caviar_common::spec::file::parse;
use caviar_common::spec::{Order, StoppingRule, Strategy, SweepSpec};
use caviar_core::event::Payload;
use caviar_core::replay_decisions;
use caviar_tests::simulation::{Faults, Simulation, decisions};
use proptest::prelude::*;

/// The most epochs of a trial; the rungs are at epochs 2, 6 and 18.
const EPOCHS: u32 = 20;
const TRIALS: u32 = 30;
const STRATEGIES: [Strategy; 4] =
    [Strategy::Zoom, Strategy::Tpe, Strategy::Random, Strategy::Sobol];
/// The strategies that are run in the order of arrival.
const IN_ORDER_OF_ARRIVAL: [Strategy; 3] = [Strategy::Random, Strategy::Sobol, Strategy::Rounds];
const RULES: [StoppingRule; 2] = [StoppingRule::Halving, StoppingRule::Median];

fn spec(strategy: Strategy, stopping: StoppingRule) -> SweepSpec {
    let text = format!(
        "name = \"s\"\nseed = 5\n[data]\nsource = \"builtin:digits\"\n\
         [space]\nlearning_rate = {{ low = 1e-4, high = 1 }}\nunits = {{ low = 8, high = 512 }}\n\
         epochs = {{ low = 5, high = {EPOCHS} }}\n\
         [search]\nstrategy = \"{}\"\ntrials = {TRIALS}\nparallelism = 8\n\
         [objective]\nmetric = \"validation_loss\"\ngoal = \"minimize\"\n",
        strategy.name()
    );
    let mut spec = parse(&text).expect("the spec is right").spec;
    spec.stopping = stopping;
    spec
}

fn run(seed: u64, spec: &SweepSpec, slots: &[u32], faults: Faults) -> (Simulation, SweepId) {
    let mut simulation = Simulation::new(seed, slots, faults);
    let sweep = simulation.submit(spec);
    simulation.run(sweep, 20_000);
    (simulation, sweep)
}

/// Everything that a user can compare: all trials with their curves, the winner, the decisions.
fn outcome((simulation, sweep): &(Simulation, SweepId)) -> String {
    let view = simulation.core().sweep(*sweep).expect("the sweep is there");
    let best = view.best.map(|t| (t.trial, t.objective));
    format!(
        "{:#?}\n{best:?}\n{:?}\n{:#?}",
        simulation.result(*sweep),
        view.test,
        decisions(&simulation.events)
    )
}

fn uneven() -> Faults {
    Faults { uneven: true, ..Faults::NONE }
}

fn stormy() -> Faults {
    Faults { breaks: 15, crashes: 6, restarts: 6, silences: 15, uneven: true, ..Faults::NONE }
}

#[test]
fn stopping_stops_and_the_winner_was_trained_to_its_end() {
    for rule in RULES {
        let (simulation, sweep) = run(1, &spec(Strategy::Random, rule), &[1], Faults::NONE);
        let view = simulation.core().sweep(sweep).expect("the sweep is there");
        assert!(
            view.counts.stopped > TRIALS / 4 && view.counts.completed > 0,
            "{rule:?}: {:?}",
            view.counts
        );
        assert!(
            view.counts.diverged > 0 && view.counts.finished() == TRIALS,
            "{rule:?}: {:?}",
            view.counts
        );
        let best = view.best.expect("a trial completed");
        assert_eq!(
            (best.state, best.last.map(|last| last.epoch())),
            (TrialState::Completed, Some(best.epochs))
        );
        for trial in simulation.result(sweep) {
            let Some(stopped) = trial.stopped else { continue };
            assert_eq!(
                (trial.state, trial.curve.len() as u32),
                (TrialState::Stopped, stopped.epoch),
                "its curve ends at its rung"
            );
            assert!(
                [2, 6, 18].contains(&stopped.epoch)
                    && stopped.epoch < trial.epochs
                    && 1 < stopped.rank
                    && stopped.rank <= stopped.of
            );
            assert_eq!(
                trial.objective,
                trial.last.and_then(|last| last.get(&Metric::ValidationLoss))
            );
        }
    }
}

#[test]
fn the_same_trials_stop_at_the_same_epochs_on_one_two_or_eight_slots() {
    for strategy in STRATEGIES {
        for rule in RULES {
            let spec = spec(strategy, rule);
            let expected = outcome(&run(1, &spec, &[8], Faults::NONE));
            for slots in [&[1][..], &[2], &[8], &[2, 1], &[1, 1, 1, 1], &[4, 8]] {
                for seed in 0..4 {
                    assert_eq!(
                        outcome(&run(seed, &spec, slots, uneven())),
                        expected,
                        "{strategy:?} {rule:?} {slots:?} {seed}"
                    );
                }
            }
        }
    }
}

#[test]
fn with_few_slots_trials_are_parked_and_few_epochs_are_wasted() {
    let spec = spec(Strategy::Random, StoppingRule::Halving);
    let (mut parkings, mut trained, mut counted) = (0, 0, 0);
    for seed in 0..10 {
        let (simulation, sweep) = run(seed, &spec, &[2], uneven());
        parkings += simulation.parkings();
        trained += simulation.trained();
        counted +=
            simulation.result(sweep).iter().map(|trial| trial.curve.len() as u64).sum::<u64>();
    }
    assert!(parkings > 0, "nothing was ever parked");
    assert!(trained * 4 < counted * 5, "{trained} epochs were trained, and {counted} counted");
}

#[test]
fn decisions_in_the_order_of_arrival_can_be_replayed_from_the_record() {
    let mut orders = BTreeSet::new();
    for strategy in IN_ORDER_OF_ARRIVAL {
        let mut spec = spec(strategy, StoppingRule::Halving);
        spec.search.order = Order::AsCompleted;
        if strategy.has_rounds() {
            spec.search.rounds = vec![12, 10, 8];
        }
        for seed in 0..6 {
            let (simulation, sweep) =
                run(seed, &spec, &[2, 4], if seed % 2 == 0 { uneven() } else { stormy() });
            let view = simulation.core().sweep(sweep).expect("the sweep is there");
            assert!(
                view.counts.stopped > 0 && view.counts.finished() == TRIALS,
                "{:?}",
                view.counts
            );
            assert_eq!(replay_decisions(&simulation.events), Ok(Vec::new()), "{strategy:?} {seed}");
            orders.insert(format!("{:?}", decisions(&simulation.events)));
        }
    }
    assert!(orders.len() > 15, "the order of arrival made no difference");
}

#[test]
fn a_changed_decision_is_found() {
    let (simulation, _) = run(1, &spec(Strategy::Random, StoppingRule::Halving), &[4], uneven());
    assert_eq!(replay_decisions(&simulation.events), Ok(Vec::new()));
    let mut events = simulation.events.clone();
    let last = events.iter_mut().rev().find_map(|event| match &mut event.payload {
        Payload::TrialSampled(sampled) => Some((sampled.trial, &mut sampled.reason)),
        _ => None,
    });
    let (trial, reason) = last.expect("a trial was sampled");
    reason.seen += 1;
    let differences = replay_decisions(&events).expect("the events fit");
    assert_eq!(differences.iter().map(|d| d.trial).collect::<Vec<_>>(), [trial]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn no_fault_and_no_speed_changes_a_virtual_decision(
        seed in any::<u64>(),
        slots in prop::collection::vec(1u32..6, 1..4),
        strategy in 0..STRATEGIES.len(),
        rule in 0..RULES.len(),
    ) {
        let spec = spec(STRATEGIES[strategy], RULES[rule]);
        let stormy = run(seed, &spec, &slots, stormy());
        prop_assert_eq!(replay_decisions(&stormy.0.events), Ok(Vec::new()));
        prop_assert_eq!(outcome(&stormy), outcome(&run(1, &spec, &[1], Faults::NONE)));
    }
}
