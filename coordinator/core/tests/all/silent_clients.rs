//! External clients that fall silent, and what happens to their trials.

use caviar_common::ids::TrialNumber;
use caviar_common::outcome::{Outcome, TrialState};
use caviar_core::input::Input;

use crate::external::{LEASE, external, is_stale};
use crate::support::{Bench, SWEEP, TTL};

#[test]
fn a_silent_client_loses_its_trial_and_its_later_reports_are_refused() {
    let mut bench = Bench::with_external(external(4, 3, ""));
    let lost = bench.ask_one("a");
    bench.reports(&lost, 1, 0.5).unwrap();
    bench.wait(LEASE);
    assert_eq!(bench.state(0), TrialState::Running);
    bench.reports(&lost, 1, 0.5).unwrap();
    bench.wait(LEASE);
    assert_eq!(bench.state(0), TrialState::Running, "a report renews the lease");
    bench.asks("a", 1);
    bench.wait(LEASE);
    assert_eq!(bench.state(0), TrialState::Running, "so does asking again");
    bench.wait(TTL);
    assert_eq!(bench.state(0), TrialState::Queued);
    assert!(is_stale(bench.reports(&lost, 2, 0.5)), "even before another client has the trial");
    let next = bench.ask_one("b");
    assert_eq!(
        (next.trial, next.attempt.0, next.assignment == lost.assignment),
        (lost.trial, 2, true)
    );
    assert_ne!(next.lease, lost.lease);
    assert!(is_stale(bench.reports(&lost, 2, 0.5)));
    assert!(is_stale(bench.tells(&lost, Outcome::Completed, None)));
    let curve =
        |bench: &Bench| bench.tables.trial(SWEEP, TrialNumber(0), true).unwrap().curve.len();
    assert_eq!(curve(&bench), 1, "what was reported stays");
    bench.reports(&next, 1, 0.75).unwrap();
    bench.reports(&next, 2, 0.25).unwrap();
    assert_eq!(curve(&bench), 2);
    bench.tells(&next, Outcome::Completed, None).unwrap();
    let objective = bench.tables.trial(SWEEP, TrialNumber(0), false).unwrap().objective;
    assert_eq!(objective, Some(0.25));
    assert!(is_stale(bench.tells(&lost, Outcome::Completed, None)));
}

#[test]
fn a_trial_whose_clients_all_fall_silent_fails() {
    let mut bench = Bench::with_external(external(1, 3, ""));
    for attempt in 1..=3 {
        assert_eq!(bench.ask_one(&format!("r{attempt}")).attempt.0, attempt);
        bench.wait(LEASE + TTL);
    }
    let trial = bench.tables.trial(SWEEP, TrialNumber(0), false).unwrap();
    assert_eq!(
        (trial.state, trial.message.as_deref()),
        (
            TrialState::Failed,
            Some(
                "given up after 3 failed attempts in a row; the last: its client was silent for \
                 too long"
            )
        )
    );
    assert!(bench.asks("r4", 1).is_over);
}

#[test]
fn time_in_which_the_coordinator_was_stopped_expires_no_lease() {
    let mut bench = Bench::with_external(external(1, 3, ""));
    bench.wait(TTL);
    bench.ask_one("a");
    bench.now += 100 * LEASE;
    bench.step(Input::Tick).unwrap();
    assert_eq!(bench.state(0), TrialState::Running);
}

#[test]
fn a_crashed_client_holds_virtual_time_up_until_its_lease_ends_or_is_released() {
    for is_released in [false, true] {
        let mut bench = Bench::with_external(external(6, 1, ""));
        let crashed = bench.asks_as("crashed", "a", 1).trials.remove(0);
        for of in bench.asks("a", 2).trials {
            bench.completes(&of, 1.0);
        }
        assert!(bench.asks("b", 3).trials.is_empty(), "two virtual slots are idle");
        let view = bench.core.sweep(SWEEP).unwrap();
        assert_eq!(view.waits_for, Some(crashed.trial));
        if is_released {
            bench.step(Input::ReleaseTrial(SWEEP, crashed.trial)).unwrap();
        } else {
            bench.wait(LEASE + 1);
        }
        let again = bench.asks("c", 3).trials;
        assert_eq!(again.iter().map(|of| of.trial).collect::<Vec<_>>(), [crashed.trial]);
        bench.completes(&again[0], 1.0);
        assert_eq!(bench.asks("d", 3).trials.len(), 3, "virtual time goes on");
    }
}
