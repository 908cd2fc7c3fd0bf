//! Decisions at rungs, and who is told of them. Rungs are at epochs 2 and 6 of 10.

use caviar_common::ids::{LeaseId, TrialNumber};
use caviar_common::message::{Finished, FromWorker, Release, Stored, ToWorker};
use caviar_common::outcome::{Outcome, TrialState};
use caviar_common::spec::Order;
use caviar_common::view::StoppedView;
use caviar_core::event::Payload;
use caviar_core::input::Input;

use crate::support::{Bench, RUNG_EPOCHS, SWEEP, completed, point};

/// The virtual time of an epoch of [`Bench::with_rungs`].
fn epoch_cost(bench: &Bench) -> u64 {
    let trial = bench.core.record().sweep(SWEEP).unwrap().trial(TrialNumber(0)).unwrap();
    (trial.end() - trial.start()) / u64::from(RUNG_EPOCHS)
}

#[test]
fn a_weak_trial_stops_at_its_rung_and_its_slot_is_the_next_ones_in_the_same_step() {
    let mut bench = Bench::with_rungs(4, 2, |_| {});
    bench.hello(1, "w", 1, 2, &[]);
    let leases: Vec<LeaseId> = bench.grants().iter().map(|g| g.lease).collect();
    bench.epochs(leases[0], 1..=2, 1.0);
    assert_eq!(bench.state(0), TrialState::Running, "the first to come goes on");
    bench.epochs(leases[1], 1..=2, 2.0);
    assert!(bench.stops(leases[1]));
    assert_eq!(bench.grants()[0].trial, TrialNumber(2));
    let view = bench.view(1);
    assert_eq!((view.state, view.objective), (TrialState::Stopped, Some(2.0)));
    assert_eq!(view.stopped, Some(StoppedView { epoch: 2, rank: 2, of: 2 }));
    assert_eq!(bench.start_of(2), 2 * epoch_cost(&bench), "its virtual slot is free at its rung");
    assert_eq!(bench.view(2).reason.seen, 2, "what passed and what stopped");
    // What crossed the message on its way says nothing any more.
    bench.epochs(leases[1], 3..=3, 0.1);
    assert!(bench.revokes(leases[1]));
    assert_eq!(bench.view(1).curve.len(), 2);
    assert_eq!(bench.core.sweep(SWEEP).unwrap().counts.stopped, 1);
}

#[test]
fn what_was_trained_past_a_rung_before_it_was_decided_does_not_count() {
    let mut bench = Bench::with_rungs(3, 2, |_| {});
    bench.hello(1, "w", 1, 2, &[]);
    let leases: Vec<LeaseId> = bench.grants().iter().map(|g| g.lease).collect();
    bench.epochs(leases[1], 1..=2, 2.0);
    bench.epochs(leases[1], 3..=RUNG_EPOCHS, 0.1);
    let result = completed(Some(point(RUNG_EPOCHS, 0.1)));
    bench.say(1, FromWorker::Finished { lease: leases[1], result: result.clone() }).unwrap();
    let view = bench.core.sweep(SWEEP).unwrap();
    assert_eq!(
        (bench.state(1), view.best, view.waits_for),
        (TrialState::Completed, None, Some(TrialNumber(0)))
    );
    bench.epochs(leases[0], 1..=2, 1.0);
    let view = bench.view(1);
    assert_eq!((view.state, view.curve.len(), view.objective), (TrialState::Stopped, 2, Some(2.0)));
    assert_eq!(
        (view.seconds, view.memory_bytes),
        (None, None),
        "neither of which another worker would have had"
    );
    assert!(!bench.stops(leases[1]), "nobody trains it");
    bench.say(1, FromWorker::Finished { lease: leases[1], result }).unwrap();
    assert!(
        bench.sends(&ToWorker::Ack { lease: leases[1], stored: Stored::Finished }),
        "what was stored is acknowledged again"
    );
}

#[test]
fn a_trial_that_no_rung_can_stop_any_more_is_the_best_of_a_cancelled_sweep() {
    let mut bench = Bench::with_rungs(3, 2, |_| {});
    bench.hello(1, "w", 1, 2, &[]);
    let leases: Vec<LeaseId> = bench.grants().iter().map(|g| g.lease).collect();
    bench.epochs(leases[1], 1..=RUNG_EPOCHS, 0.1);
    let result = completed(Some(point(RUNG_EPOCHS, 0.1)));
    bench.say(1, FromWorker::Finished { lease: leases[1], result }).unwrap();
    assert_eq!(bench.core.sweep(SWEEP).unwrap().best, None, "its rung is not decided");
    bench.step(Input::CancelSweep(SWEEP)).unwrap();
    assert_eq!(bench.core.sweep(SWEEP).unwrap().best.map(|t| t.trial), Some(TrialNumber(1)));
}

#[test]
fn a_trial_that_diverged_ends_where_its_next_rung_would_have_been() {
    let mut bench = Bench::with_rungs(4, 2, |_| {});
    bench.hello(1, "w", 1, 2, &[]);
    let leases: Vec<LeaseId> = bench.grants().iter().map(|g| g.lease).collect();
    bench.epochs(leases[0], 1..=2, f64::NAN);
    let result = Finished {
        outcome: Outcome::Diverged,
        last: None,
        test: None,
        seconds: 1.0,
        memory_bytes: None,
    };
    bench.say(1, FromWorker::Finished { lease: leases[0], result }).unwrap();
    assert_eq!(bench.state(0), TrialState::Diverged);
    assert_eq!(bench.start_of(2), 2 * epoch_cost(&bench));
    // It was never at the rung: the other one is the first there.
    bench.epochs(leases[1], 1..=2, 5.0);
    let passed = bench.events.iter().rev().find(|e| matches!(e.payload, Payload::TrialPassed(_)));
    assert!(matches!(passed.map(|e| &e.payload), Some(Payload::TrialPassed(passed))
            if (passed.trial.0, passed.rung.rank, passed.rung.reached) == (1, 1, 1)));
}

#[test]
fn a_trial_that_completed_without_a_value_at_its_rung_counts() {
    let mut bench = Bench::with_rungs(2, 2, |_| {});
    bench.hello(1, "w", 1, 2, &[]);
    let leases: Vec<LeaseId> = bench.grants().iter().map(|g| g.lease).collect();
    bench.epochs(leases[0], 1..=2, f64::NAN);
    bench.epochs(leases[0], 3..=RUNG_EPOCHS, 0.1);
    bench.finish(1, leases[0], Outcome::Completed, None).unwrap();
    let best = bench.core.sweep(SWEEP).unwrap().best.map(|t| (t.trial, t.objective));
    assert_eq!(best, Some((TrialNumber(0), Some(0.1))));
    let log = bench.core.record().sweep(SWEEP).unwrap().log();
    assert_eq!(
        log.iter().map(|entry| (entry.trial, entry.cost)).collect::<Vec<_>>(),
        [(0, Some(0.1))]
    );
}

#[test]
fn a_trial_that_waits_for_another_worker_can_be_stopped() {
    let mut bench = Bench::with_rungs(3, 2, |_| {});
    bench.hello(1, "w", 1, 2, &[]);
    let leases: Vec<LeaseId> = bench.grants().iter().map(|g| g.lease).collect();
    bench.epochs(leases[1], 1..=2, 2.0);
    bench.say(1, FromWorker::Released { lease: leases[1], release: Release::Drained }).unwrap();
    assert_eq!(bench.state(1), TrialState::Queued);
    bench.epochs(leases[0], 1..=2, 1.0);
    assert_eq!(bench.state(1), TrialState::Stopped);
    bench.hello(2, "other", 2, 2, &[]);
    assert_eq!(
        bench.grants().iter().map(|g| g.trial.0).collect::<Vec<_>>(),
        [2],
        "nothing of it is trained again"
    );
}

#[test]
fn in_the_order_of_arrival_nothing_waits() {
    let mut bench = Bench::with_rungs(4, 2, |spec| spec.search.order = Order::AsCompleted);
    bench.hello(1, "w", 1, 2, &[]);
    let leases: Vec<LeaseId> = bench.grants().iter().map(|g| g.lease).collect();
    bench.epochs(leases[1], 1..=6, 2.0);
    let passed = bench
        .events
        .iter()
        .filter(|e| matches!(&e.payload, Payload::TrialPassed(passed) if passed.trial.0 == 1))
        .count();
    assert_eq!(passed, 2, "both rungs, as the first there");
    bench.epochs(leases[0], 1..=2, 3.0);
    assert!(bench.stops(leases[0]));
    assert_eq!(caviar_core::replay_decisions(&bench.events), Ok(Vec::new()));
}
