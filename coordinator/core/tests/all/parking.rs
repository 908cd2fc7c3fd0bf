//! Which trials are parked for more urgent ones. Rungs are at epochs 2 and 6 of 10.

use std::collections::BTreeSet;

use caviar_common::ids::LeaseId;
use caviar_common::limits::MAX_PARKED;
use caviar_common::message::{FromWorker, Hello, ToWorker};
use caviar_common::outcome::{Outcome, SweepState, TrialState};
use caviar_core::Coordinator;
use caviar_core::input::{Effect, Input};

use crate::support::{Bench, CONFIG, RUNG_EPOCHS, STORE, hello, name};

/// A worker with one slot and a sweep of two trials. Trial 0 has passed the rung at epoch 2 and
/// approaches the one at 6; trial 1 has not begun. Returns the lease of trial 0.
fn one_ahead() -> (Bench, LeaseId) {
    let mut bench = Bench::with_rungs(2, 2, |_| {});
    bench.hello(1, "w", 1, 1, &[]);
    let ahead = bench.grants()[0].lease;
    bench.epochs(ahead, 1..=5, 1.0);
    assert!(bench.grants().is_empty(), "trial 0 keeps its slot until it has reported enough");
    (bench, ahead)
}

#[test]
fn a_trial_that_ran_ahead_is_parked_for_a_more_urgent_one_and_continues_later() {
    let (mut bench, ahead) = one_ahead();
    bench.epochs(ahead, 6..=6, 1.0);
    assert!(bench.sends(&ToWorker::Park { lease: ahead }));
    let needed = bench.grants()[0].lease;
    assert_eq!(bench.state(0), TrialState::Running, "a parked trial keeps its lease");
    bench.epochs(needed, 1..=2, 2.0);
    assert!(bench.stops(needed) && bench.sends(&ToWorker::Unpark { lease: ahead }));
    bench.epochs(ahead, 7..=RUNG_EPOCHS, 1.0);
    bench.finish(1, ahead, Outcome::Completed, None).unwrap();
    assert_eq!((bench.state(0), bench.sweep_state()), (TrialState::Completed, SweepState::Scoring));
}

/// A worker parks at most [`MAX_PARKED`] trials. It would train on if it were asked to park more.
#[test]
fn a_worker_that_parks_as_many_as_it_can_unparks_one_before_it_parks_another() {
    let most = usize::try_from(MAX_PARKED).unwrap();
    let mut bench = Bench::with_rungs(MAX_PARKED + 2, MAX_PARKED + 2, |_| {});
    let (mut parked, mut exchanges) = (BTreeSet::new(), 0);
    bench.hello(1, "w", 1, 1, &[]);
    for number in 0..=MAX_PARKED {
        // Better than all before it, so it passes the rung at 2 and runs ahead to the one at 6.
        let lease = bench.grants()[0].lease;
        bench.epochs(lease, 1..=6, 100.0 - f64::from(number));
        for effect in &bench.effects {
            match effect {
                Effect::Send(_, ToWorker::Park { lease }) => {
                    assert!(parked.len() < most && parked.insert(*lease))
                }
                Effect::Send(_, ToWorker::Unpark { lease }) => {
                    exchanges += u32::from(parked.remove(lease))
                }
                Effect::Send(..) | Effect::Close(..) | Effect::Answer(..) | Effect::Changed(_) => {}
            }
        }
    }
    assert_eq!((parked.len(), exchanges), (most, 1));
}

#[test]
fn a_worker_that_cannot_park_is_not_asked_to() {
    let mut bench = Bench::with_rungs(2, 2, |_| {});
    let hello = Hello { can_park: false, ..hello("w", 1, 1, &[]) };
    bench.say(1, FromWorker::Hello(hello)).unwrap();
    let ahead = bench.grants()[0].lease;
    bench.epochs(ahead, 1..=9, 1.0);
    assert!(!bench.sends(&ToWorker::Park { lease: ahead }) && bench.grants().is_empty());
}

#[test]
fn a_new_connection_has_no_parked_trials_and_the_least_urgent_is_parked_again() {
    let (mut bench, ahead) = one_ahead();
    bench.epochs(ahead, 6..=6, 1.0);
    let needed = bench.grants()[0].lease;
    bench.hello(2, "w", 1, 1, &[ahead.0, needed.0]);
    assert!(
        bench.sends(&ToWorker::Park { lease: ahead })
            && !bench.sends(&ToWorker::Park { lease: needed })
    );
    // The same holds after a restart, which forgets what was parked.
    bench.core = Coordinator::recover(CONFIG, STORE, 0, bench.events.clone()).unwrap();
    bench.hello(3, "w", 1, 1, &[ahead.0, needed.0]);
    assert!(
        bench.sends(&ToWorker::Park { lease: ahead })
            && !bench.sends(&ToWorker::Park { lease: needed })
    );
    // A parked trial whose worker is lost waits like any other.
    bench.replace(4, 1);
    assert_eq!(bench.grants().len(), 1);
}

#[test]
fn a_draining_worker_parks_no_trial() {
    let (mut bench, ahead) = one_ahead();
    bench.epochs(ahead, 6..=6, 1.0);
    let needed = bench.grants()[0].lease;
    bench.step(Input::DrainWorker(name("w"))).unwrap();
    assert!(bench.sends(&ToWorker::Drain));
    bench.epochs(needed, 1..=2, 0.5);
    assert!(
        !bench.sends(&ToWorker::Unpark { lease: ahead }),
        "the worker unparks its trials itself"
    );
    bench.epochs(needed, 3..=6, 0.4);
    assert!(
        !bench.sends(&ToWorker::Park { lease: needed })
            && !bench.sends(&ToWorker::Park { lease: ahead })
    );
    assert_eq!((bench.state(0), bench.state(1)), (TrialState::Running, TrialState::Running));
}
