//! Workers that are silent for longer than their leases last, and return.

use caviar_common::ids::TrialNumber;
use caviar_common::message::{FromWorker, Release};
use caviar_common::metric::Score;
use caviar_common::outcome::{Outcome, SweepState, TrialState};
use caviar_core::Coordinator;

use crate::support::{Bench, CONFIG, STORE, SWEEP, TTL, name};

/// Lets the worker `w` of one slot sleep past its lease. Its connection is closed.
fn sleep(bench: &mut Bench) {
    bench.wait(2 * TTL);
    assert!(bench.core.workers().iter().all(|worker| worker.worker != name("w")));
}

#[test]
fn a_worker_that_slept_gets_its_lease_back_and_no_loss_counts() {
    let mut bench = Bench::with_sweep(4, 1);
    let lease = bench.grants()[0].lease;
    // Three losses in a row would fail the trial.
    for session in 2..8 {
        sleep(&mut bench);
        assert_eq!(bench.state(0), TrialState::Queued);
        if session == 2 {
            bench.hello(20, "liar", 1, 1, &[lease.0]);
            assert!(bench.revokes(lease), "the lease is not one of that worker");
            let taken = bench.grants()[0].lease;
            let release = Release::Drained;
            bench.say(20, FromWorker::Released { lease: taken, release }).unwrap();
        }
        bench.hello(session, "w", 1, 1, &[lease.0]);
        assert!(!bench.revokes(lease) && bench.grants().is_empty());
        let trial = bench.tables.trial(SWEEP, TrialNumber(0), false).unwrap();
        assert_eq!((trial.state, trial.attempts.0), (TrialState::Running, 2));
    }
    bench.train(7, lease);
    assert_eq!(bench.state(0), TrialState::Completed);
    let core = Coordinator::recover(CONFIG, STORE, 0, bench.events.clone()).unwrap();
    assert_eq!(core.record(), bench.core.record());
}

#[test]
fn a_lease_is_given_back_after_a_restart_of_the_coordinator_too() {
    let mut bench = Bench::with_sweep(4, 1);
    let lease = bench.grants()[0].lease;
    sleep(&mut bench);
    bench.core = Coordinator::recover(CONFIG, STORE, bench.now, bench.events.clone()).unwrap();
    bench.hello(2, "w", 1, 1, &[lease.0]);
    assert_eq!(bench.state(0), TrialState::Running);
    bench.train(2, lease);
    assert_eq!(bench.state(0), TrialState::Completed);
}

#[test]
fn a_trial_that_another_worker_took_is_not_given_back_but_its_loss_is_withdrawn() {
    let mut bench = Bench::with_sweep(4, 1);
    let lease = bench.grants()[0].lease;
    let losses = |bench: &Bench| {
        bench.core.record().sweep(SWEEP).unwrap().trial(TrialNumber(0)).unwrap().losses()
    };
    sleep(&mut bench);
    assert_eq!(losses(&bench), 1);
    bench.hello(2, "other", 9, 1, &[]);
    let taken = bench.grants()[0].clone();
    assert_eq!(taken.trial, TrialNumber(0));
    bench.hello(3, "w", 1, 1, &[lease.0]);
    assert!(bench.revokes(lease));
    assert_eq!(losses(&bench), 0);
    bench.train(2, taken.lease);
    assert_eq!(bench.state(0), TrialState::Completed);
}

#[test]
fn a_process_that_died_while_it_was_silent_counts_as_a_loss() {
    let mut bench = Bench::with_sweep(4, 1);
    for process in 2..4 {
        sleep(&mut bench);
        bench.hello(process, "w", process, 1, &[]);
        assert_eq!(bench.grants()[0].trial, TrialNumber(0));
    }
    sleep(&mut bench);
    assert_eq!(bench.state(0), TrialState::Failed, "the third loss in a row");
    // Another process cannot have the lease of one that died.
    let mut bench = Bench::with_sweep(4, 1);
    let lease = bench.grants()[0].lease;
    sleep(&mut bench);
    bench.hello(2, "w", 2, 1, &[lease.0]);
    assert!(bench.revokes(lease));
}

#[test]
fn the_lease_on_a_scoring_is_given_back_too() {
    let mut bench = Bench::with_sweep(1, 1);
    let lease = bench.grants()[0].lease;
    bench.train(1, lease);
    let scoring = bench.grants()[0].lease;
    sleep(&mut bench);
    bench.hello(2, "w", 1, 1, &[scoring.0]);
    assert!(!bench.revokes(scoring));
    let score = Score { loss: 0.5, accuracy: None, measured: None };
    bench.finish(2, scoring, Outcome::Completed, Some(score)).unwrap();
    assert_eq!(bench.sweep_state(), SweepState::Completed);
}
