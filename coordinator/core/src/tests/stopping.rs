//! What is decided at rungs, who hears of it, and who is parked meanwhile. Rungs are at 2 and 6 of
//! 10 epochs.

use std::collections::BTreeSet;

use caviar_common::limits::MAX_PARKED;
use caviar_common::spec::{Order, StoppingRule};
use caviar_common::view::StoppedView;

use super::*;

const EPOCHS: u32 = 10;

impl Bench {
    /// With a sweep whose trials all cost the same, under halving.
    fn with_rungs(trials: u32, parallelism: u32, change: impl Fn(&mut SweepSpec)) -> Self {
        let mut bench = Self::new();
        let mut spec = spec("s", trials);
        spec.fixed.insert("epochs", caviar_common::assignment::Value::Int(EPOCHS.into()));
        spec.search.parallelism = parallelism;
        spec.stopping = StoppingRule::Halving;
        spec.objective = caviar_common::spec::Objective {
            metric: caviar_common::metric::Metric::ValidationLoss,
            goal: caviar_common::spec::Goal::Minimize,
        };
        change(&mut spec);
        bench
            .step(Input::CreateSweep {
                request_id: name("r"),
                spec: Box::new(spec),
                data: summary(10),
            })
            .unwrap();
        bench
    }

    /// Epochs of a trial, all with this loss.
    fn epochs(&mut self, lease: LeaseId, epochs: std::ops::RangeInclusive<u32>, loss: f64) {
        self.report(1, lease, epochs.map(|epoch| point(epoch, loss)).collect()).unwrap();
    }

    fn view(&self, trial: u32) -> caviar_common::view::TrialView {
        self.core.trial(SWEEP, TrialNumber(trial), true).unwrap()
    }

    fn start_of(&self, number: u32) -> u64 {
        let start = |e: &Event| {
            if let Event::TrialSampled { trial, start, .. } = e {
                (trial.0 == number).then_some(*start)
            } else {
                None
            }
        };
        self.events.iter().find_map(start).unwrap()
    }

    fn stops(&self, lease: LeaseId) -> bool {
        self.effects
            .iter()
            .any(|e| matches!(e, Effect::Send(_, ToWorker::Stop { lease: l, .. }) if *l == lease))
    }
}

/// The virtual time of an epoch of [`Bench::with_rungs`].
fn epoch_cost(bench: &Bench) -> u64 {
    let trial = bench.core.durable().sweeps[&SWEEP].trial(TrialNumber(0)).unwrap();
    (trial.end - trial.start) / u64::from(EPOCHS)
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
    bench.epochs(leases[1], 3..=EPOCHS, 0.1);
    let result = Finished {
        outcome: Outcome::Completed,
        last: Some(point(EPOCHS, 0.1)),
        test: None,
        seconds: 1.0,
        memory_bytes: Some(1),
    };
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
    bench.epochs(leases[1], 1..=EPOCHS, 0.1);
    let result = Finished {
        outcome: Outcome::Completed,
        last: Some(point(EPOCHS, 0.1)),
        test: None,
        seconds: 1.0,
        memory_bytes: Some(1),
    };
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
    let passed = bench.events.iter().rev().find(|e| matches!(e, Event::TrialPassed { .. }));
    assert!(
        matches!(passed, Some(Event::TrialPassed { trial: TrialNumber(1), rung, .. }) if (rung.rank, rung.of) == (1, 1))
    );
}

#[test]
fn a_trial_that_completed_without_a_value_at_its_rung_counts() {
    let mut bench = Bench::with_rungs(2, 2, |_| {});
    bench.hello(1, "w", 1, 2, &[]);
    let leases: Vec<LeaseId> = bench.grants().iter().map(|g| g.lease).collect();
    bench.epochs(leases[0], 1..=2, f64::NAN);
    bench.epochs(leases[0], 3..=EPOCHS, 0.1);
    bench.finish(1, leases[0], Outcome::Completed, None).unwrap();
    let best = bench.core.sweep(SWEEP).unwrap().best.map(|t| (t.trial, t.objective));
    assert_eq!(best, Some((TrialNumber(0), Some(0.1))));
    let log = &bench.core.durable().sweeps[&SWEEP].log;
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
        .filter(|e| matches!(e, Event::TrialPassed { trial: TrialNumber(1), .. }))
        .count();
    assert_eq!(passed, 2, "both rungs, as the first there");
    bench.epochs(leases[0], 1..=2, 3.0);
    assert!(bench.stops(leases[0]));
    assert_eq!(crate::replay_decisions(&bench.events), Ok(Vec::new()));
}

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
    bench.epochs(ahead, 7..=EPOCHS, 1.0);
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
    let hello = Hello {
        protocol: PROTOCOL,
        worker: name("w"),
        incarnation: Incarnation(1),
        slots: 1,
        draining: false,
        can_park: false,
        store: Some(STORE),
        held: Vec::new(),
    };
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
    let config = Config { lease_ttl_ms: TTL, max_losses: 3 };
    bench.core = Coordinator::recover(config, STORE, 0, bench.events.clone()).unwrap();
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
