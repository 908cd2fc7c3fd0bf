//! Decisions at rungs, and who is told of them. Rungs are at epochs 2 and 6 of 10.

use caviar_common::ids::{LeaseId, TrialNumber};
use caviar_common::measure::Measure;
use caviar_common::message::{Finished, FromWorker, Release, Stored, ToWorker};
use caviar_common::metric::{EpochMetrics, Measured, Metric, Score};
use caviar_common::outcome::{Outcome, TrialState};
use caviar_common::spec::Order;
use caviar_common::view::StoppedView;
use caviar_core::event::{Event, Payload};
use caviar_core::input::{Input, Refusal};

use crate::support::{Bench, RUNG_EPOCHS, SWEEP, completed, name, point, spec, summary};

/// The virtual time of an epoch of [`Bench::with_rungs`].
fn epoch_cost(bench: &Bench) -> u64 {
    let sampled = |event: &Event| {
        let Payload::TrialSampled(sampled) = &event.payload else { return None };
        Some(sampled.end - sampled.start)
    };
    bench.events.iter().find_map(sampled).unwrap() / u64::from(RUNG_EPOCHS)
}

#[test]
fn a_weak_trial_is_stopped_at_its_rung_and_its_slot_goes_to_the_next_one_at_once() {
    let mut bench = Bench::with_rungs(4, 2, |_| {});
    bench.hello(1, "w", 1, 2, &[]);
    let leases: Vec<LeaseId> = bench.grants().iter().map(|g| g.lease).collect();
    bench.epochs(leases[0], 1..=2, 1.0);
    assert_eq!(bench.state(0), TrialState::Running, "the first trial at a rung continues");
    bench.epochs(leases[1], 1..=2, 2.0);
    assert!(bench.stops(leases[1]));
    assert_eq!(bench.grants()[0].trial, TrialNumber(2));
    let view = bench.view(1);
    assert_eq!((view.state, view.objective), (TrialState::Stopped, Some(2.0)));
    assert_eq!(view.stopped, Some(StoppedView { epoch: 2, rank: 2, of: 2 }));
    assert_eq!((view.seconds, bench.view(0).seconds), (Some(2.0), None), "a second per epoch");
    assert_eq!(
        bench.start_of(2),
        2 * epoch_cost(&bench),
        "its virtual slot is free at the time of its rung"
    );
    assert_eq!(bench.view(2).reason.seen, 2, "the passed and the stopped trial");
    // A report that the worker sent before it received the message has no effect.
    bench.epochs(leases[1], 3..=3, 0.1);
    assert!(bench.revokes(leases[1]));
    assert_eq!(bench.view(1).curve.len(), 2);
    assert_eq!(bench.core.sweep(SWEEP).unwrap().counts.stopped, 1);
}

#[test]
fn epochs_past_a_rung_do_not_count_if_the_trial_is_stopped_there() {
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
    assert_eq!(view.seconds, Some(result.seconds), "the time that was spent on it");
    assert_eq!(view.memory_bytes, None, "only a worker that finished in time reports it");
    assert!(!bench.stops(leases[1]), "no worker trains it any more");
    bench.say(1, FromWorker::Finished { lease: leases[1], result }).unwrap();
    assert!(
        bench.sends(&ToWorker::Ack { lease: leases[1], stored: Stored::Finished }),
        "a repeated result is acknowledged again"
    );
}

#[test]
fn after_a_cancellation_an_undecided_trial_can_be_the_best() {
    let mut bench = Bench::with_rungs(3, 2, |_| {});
    bench.hello(1, "w", 1, 2, &[]);
    let leases: Vec<LeaseId> = bench.grants().iter().map(|g| g.lease).collect();
    bench.epochs(leases[1], 1..=RUNG_EPOCHS, 0.1);
    let result = completed(Some(point(RUNG_EPOCHS, 0.1)));
    bench.say(1, FromWorker::Finished { lease: leases[1], result }).unwrap();
    assert_eq!(
        bench.core.sweep(SWEEP).unwrap().best,
        None,
        "the decision at its rung waits for trial 0"
    );
    bench.step(Input::CancelSweep(SWEEP)).unwrap();
    assert_eq!(bench.core.sweep(SWEEP).unwrap().best.map(|t| t.trial), Some(TrialNumber(1)));
}

#[test]
fn a_diverged_trial_ends_at_the_time_of_its_next_rung() {
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
        model: None,
    };
    bench.say(1, FromWorker::Finished { lease: leases[0], result }).unwrap();
    assert_eq!(bench.state(0), TrialState::Diverged);
    assert_eq!(bench.start_of(2), 2 * epoch_cost(&bench));
    // It never reached the rung, so the other trial is the first there.
    bench.epochs(leases[1], 1..=2, 5.0);
    let passed = bench.events.iter().rev().find(|e| matches!(e.payload, Payload::TrialPassed(_)));
    assert!(matches!(passed.map(|e| &e.payload), Some(Payload::TrialPassed(passed))
            if (passed.trial.0, passed.rung.rank, passed.rung.reached) == (1, 1, 1)));
}

#[test]
fn a_completed_trial_counts_even_without_a_finite_value_at_its_rung() {
    let mut bench = Bench::with_rungs(2, 2, |_| {});
    bench.hello(1, "w", 1, 2, &[]);
    let leases: Vec<LeaseId> = bench.grants().iter().map(|g| g.lease).collect();
    bench.epochs(leases[0], 1..=2, f64::NAN);
    bench.epochs(leases[0], 3..=RUNG_EPOCHS, 0.1);
    bench.finish(1, leases[0], Outcome::Completed, None).unwrap();
    let best = bench.core.sweep(SWEEP).unwrap().best.map(|t| (t.trial, t.objective));
    assert_eq!(best, Some((TrialNumber(0), Some(0.1))));
    let log = bench.core.record().sweep(SWEEP).unwrap().history();
    assert_eq!(
        log.entries().map(|entry| (entry.trial, entry.cost)).collect::<Vec<_>>(),
        [(0, Some(0.1))]
    );
}

#[test]
fn a_trial_that_waits_for_a_worker_can_be_stopped() {
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
        "a stopped trial is not trained again"
    );
}

#[test]
fn in_the_order_of_arrival_no_decision_waits() {
    let mut bench = Bench::with_rungs(4, 2, |spec| spec.search.order = Order::AsCompleted);
    bench.hello(1, "w", 1, 2, &[]);
    let leases: Vec<LeaseId> = bench.grants().iter().map(|g| g.lease).collect();
    bench.epochs(leases[1], 1..=6, 2.0);
    let passed = bench
        .events
        .iter()
        .filter(|e| matches!(&e.payload, Payload::TrialPassed(passed) if passed.trial.0 == 1))
        .count();
    assert_eq!(passed, 2, "trial 1 is the first at both rungs");
    bench.epochs(leases[0], 1..=2, 3.0);
    assert!(bench.stops(leases[0]));
    assert_eq!(caviar_core::replay_decisions(&bench.events), Ok(Vec::new()));
}

/// The states of two trials and the decisions on them, if trial 1 takes its worker down after epoch
/// 4 again and again, and trial 0 reaches its rung before that or after it.
fn a_trial_that_crashes_after_its_rung(is_first_fast: bool) -> (Vec<TrialState>, Vec<String>) {
    let mut bench = Bench::with_rungs(4, 2, |_| {});
    bench.hello(100, "a", 1, 1, &[]);
    let first = bench.grants()[0].lease;
    bench.hello(1, "w", 1, 1, &[]);
    let mut second = bench.grants()[0].clone();
    assert_eq!(second.trial, TrialNumber(1));
    let rung = || vec![point(1, 1.0), point(2, 1.0)];
    if is_first_fast {
        bench.report(100, first, rung()).unwrap();
    }
    let mut number = 1;
    while bench.state(1) == TrialState::Running {
        let epochs = (1..=4).map(|epoch| point(epoch, 2.0)).collect();
        bench.report(number, second.lease, epochs).unwrap();
        if bench.state(1) != TrialState::Running {
            break;
        }
        number += 1;
        bench.replace(number, 1);
        match bench.grants().into_iter().find(|grant| grant.trial == TrialNumber(1)) {
            Some(grant) => second = grant,
            None => break,
        }
    }
    if !is_first_fast {
        assert_eq!(bench.state(1), TrialState::Failed, "it waits for the decision at its rung");
        bench.report(100, first, rung()).unwrap();
    }
    let log = bench.core.record().sweep(SWEEP).unwrap().history();
    let log =
        log.entries().map(|it| format!("{} {:?} {:?}", it.trial, it.stage, it.cost)).collect();
    (vec![bench.state(0), bench.state(1)], log)
}

#[test]
fn a_trial_that_crashes_its_worker_after_a_rung_is_decided_by_what_it_reported() {
    let (fast, slow) =
        (a_trial_that_crashes_after_its_rung(true), a_trial_that_crashes_after_its_rung(false));
    assert_eq!(fast, slow);
    assert_eq!(fast.0, [TrialState::Running, TrialState::Stopped]);
}

#[test]
fn epochs_must_have_the_measure_that_is_the_objective() {
    let (mut bench, measure) = (Bench::new(), Measure::RocAuc);
    let mut spec = spec("s", 1);
    spec.objective.metric = Metric::Measure(measure);
    let (request_id, data) = (name("request"), summary(10));
    let spec = Box::new(spec);
    bench.step(Input::CreateSweep { request_id, spec, data, for_slots: None }).unwrap();
    bench.hello(1, "w", 1, 1, &[]);
    let lease = bench.grants()[0].lease;
    let measured = |point: EpochMetrics, value| {
        let measured = Some(Measured { measure, value });
        EpochMetrics { validation: Score { measured, ..point.validation }, ..point }
    };
    bench.report(1, lease, vec![measured(point(1, 0.5), 0.75)]).unwrap();
    let refusal = bench.report(1, lease, vec![point(2, 0.5)]).unwrap_err();
    assert_eq!(
        refusal,
        Refusal::InvalidReport("epoch 2 of trial 0 was reported without roc_auc".to_owned())
    );
    assert_eq!(bench.state(0), TrialState::Queued);
    // What was recorded before stays, and the next attempt goes on with the measure.
    bench.hello(2, "other", 7, 1, &[]);
    let lease = bench.grants()[0].lease;
    let points = vec![measured(point(1, 0.5), 0.75), measured(point(2, 0.5), 0.5)];
    bench.report(2, lease, points).unwrap();
    bench.finish(2, lease, Outcome::Completed, None).unwrap();
    let trial = bench.tables.trial(SWEEP, TrialNumber(0), false).unwrap();
    assert_eq!(trial.objective, Some(0.75), "the objective of the best epoch");
    let epochs = (trial.counting_epoch(), trial.last.map(|last| last.epoch()));
    assert_eq!(epochs, (Some(1), Some(2)), "its metrics are those of that epoch");
}
