//! Which trials are parked for more urgent ones. Rungs are at epochs 2 and 6 of 10.

use std::collections::BTreeSet;

use caviar_common::ids::LeaseId;
use caviar_common::limits::MAX_PARKED;
use caviar_common::message::{FromWorker, Hello, ToWorker};
use caviar_common::outcome::{Outcome, SweepState, TrialState};
use caviar_core::Coordinator;
use caviar_core::input::{Effect, Input};

use crate::support::{Bench, CONFIG, RUNG_EPOCHS, STORE, hello, name};

/// One slot and two trials: the first has passed the rung at 2 and comes to that at 6, while the
/// second has not begun.
fn one_ahead() -> (Bench, LeaseId) {
    let mut bench = Bench::with_rungs(2, 2, |_| {});
    bench.hello(1, "w", 1, 1, &[]);
    let ahead = bench.grants()[0].lease;
    bench.epochs(ahead, 1..=5, 1.0);
    assert!(bench.grants().is_empty(), "what has still to bring something that is needed goes on");
    (bench, ahead)
}

#[test]
fn who_runs_ahead_gives_its_slot_to_what_is_needed_before_it_and_goes_on_after_that() {
    let (mut bench, ahead) = one_ahead();
    bench.epochs(ahead, 6..=6, 1.0);
    assert!(bench.sends(&ToWorker::Park { lease: ahead }));
    let needed = bench.grants()[0].lease;
    assert_eq!(bench.state(0), TrialState::Running, "it keeps its lease");
    bench.epochs(needed, 1..=2, 2.0);
    assert!(bench.stops(needed) && bench.sends(&ToWorker::Unpark { lease: ahead }));
    bench.epochs(ahead, 7..=RUNG_EPOCHS, 1.0);
    bench.finish(1, ahead, Outcome::Completed, None).unwrap();
    assert_eq!((bench.state(0), bench.sweep_state()), (TrialState::Completed, SweepState::Scoring));
}

/// A worker takes no more than so many: what it is asked to park beyond them trains on.
#[test]
fn a_worker_that_has_parked_all_it_may_goes_on_with_one_before_it_parks_another() {
    let most = usize::try_from(MAX_PARKED).unwrap();
    let mut bench = Bench::with_rungs(MAX_PARKED + 2, MAX_PARKED + 2, |_| {});
    let (mut parked, mut exchanges) = (BTreeSet::new(), 0);
    bench.hello(1, "w", 1, 1, &[]);
    for number in 0..=MAX_PARKED {
        // Better than all before it, so it passes the rung at 2 and runs ahead to that at 6.
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
                Effect::Send(..) | Effect::Close(..) | Effect::Changed(_) => {}
            }
        }
    }
    assert_eq!((parked.len(), exchanges), (most, 1));
}

#[test]
fn a_worker_that_cannot_park_trains_on() {
    let mut bench = Bench::with_rungs(2, 2, |_| {});
    let hello = Hello { can_park: false, ..hello("w", 1, 1, &[]) };
    bench.say(1, FromWorker::Hello(hello)).unwrap();
    let ahead = bench.grants()[0].lease;
    bench.epochs(ahead, 1..=9, 1.0);
    assert!(!bench.sends(&ToWorker::Park { lease: ahead }) && bench.grants().is_empty());
}

#[test]
fn a_connection_begins_without_anything_parked_and_what_is_needed_last_is_parked_again() {
    let (mut bench, ahead) = one_ahead();
    bench.epochs(ahead, 6..=6, 1.0);
    let needed = bench.grants()[0].lease;
    bench.hello(2, "w", 1, 1, &[ahead.0, needed.0]);
    assert!(
        bench.sends(&ToWorker::Park { lease: ahead })
            && !bench.sends(&ToWorker::Park { lease: needed })
    );
    // The same after a restart of the coordinator, which has forgotten what was parked.
    bench.core = Coordinator::recover(CONFIG, STORE, 0, bench.events.clone()).unwrap();
    bench.hello(3, "w", 1, 1, &[ahead.0, needed.0]);
    assert!(
        bench.sends(&ToWorker::Park { lease: ahead })
            && !bench.sends(&ToWorker::Park { lease: needed })
    );
    // A parked trial whose worker is gone waits like any other.
    bench.replace(4, 1);
    assert_eq!(bench.grants().len(), 1);
}

#[test]
fn a_draining_worker_holds_nothing_parked() {
    let (mut bench, ahead) = one_ahead();
    bench.epochs(ahead, 6..=6, 1.0);
    let needed = bench.grants()[0].lease;
    bench.step(Input::DrainWorker(name("w"))).unwrap();
    assert!(bench.sends(&ToWorker::Drain));
    bench.epochs(needed, 1..=2, 0.5);
    assert!(!bench.sends(&ToWorker::Unpark { lease: ahead }), "it knows by itself");
    bench.epochs(needed, 3..=6, 0.4);
    assert!(
        !bench.sends(&ToWorker::Park { lease: needed })
            && !bench.sends(&ToWorker::Park { lease: ahead })
    );
    assert_eq!((bench.state(0), bench.state(1)), (TrialState::Running, TrialState::Running));
}
