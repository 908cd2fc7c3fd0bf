//! One behaviour of a sweep at a time. What faults do to a whole sweep is tested by simulation, in
//! the workspace's `tests/`.

use caviar_common::error::ErrorClass;
use caviar_common::ids::{LeaseId, SessionId, SweepId, TrialNumber};
use caviar_common::message::{Finished, FromWorker, Stored, ToWorker};
use caviar_common::metric::Score;
use caviar_common::outcome::{Job, Outcome, SweepState, TrialState};
use caviar_core::event::{Event, LeaseGranted, Payload, SweepDeleted};
use caviar_core::input::{Config, Effect, Input, Refusal, Reply};
use caviar_core::query::{TrialFilter, TrialOrder};
use caviar_core::{Coordinator, Replay};

use crate::support::{Bench, CONFIG, STORE, SWEEP, completed, name, point, spec, summary};

#[test]
fn a_sweep_runs_to_its_winner_and_the_winner_is_scored_once() {
    let mut bench = Bench::with_sweep(2, 1);
    let first = bench.grants().remove(0);
    bench.train(1, first.lease);
    let view = bench.tables.trial(SWEEP, first.trial, false).unwrap();
    assert_eq!((view.seconds, view.memory_bytes), (Some(1.0), Some(4096)));
    let second = bench.grants().remove(0);
    assert_ne!(first.trial, second.trial);
    bench.train(1, second.lease);
    let scoring = bench.grants().remove(0);
    assert_eq!((scoring.job, bench.sweep_state()), (Job::Score, SweepState::Scoring));
    // Both trials have the same objective, so the lower number wins.
    assert_eq!(scoring.trial, TrialNumber(0));
    bench
        .finish(
            1,
            scoring.lease,
            Outcome::Completed,
            Some(Score { loss: 0.7, accuracy: Some(0.9), measured: None }),
        )
        .unwrap();
    let view = bench.core.sweep(SWEEP).unwrap();
    assert_eq!(view.state, SweepState::Completed);
    let test = view.test.unwrap();
    assert!(test.reproduced && test.score.unwrap().accuracy == Some(0.9));
    assert!(bench.grants().is_empty());
}

#[test]
fn a_winner_whose_second_training_differs_is_not_reproduced() {
    let mut bench = Bench::with_sweep(1, 1);
    let lease = bench.grants()[0].lease;
    bench.train(1, lease);
    let lease = bench.grants()[0].lease;
    let result = Finished {
        outcome: Outcome::Completed,
        last: Some(point(2, 0.6)),
        test: Some(point(2, 0.6).validation),
        seconds: 1.0,
        memory_bytes: Some(4096),
        model: None,
    };
    bench.say(1, FromWorker::Finished { lease, result }).unwrap();
    assert!(!bench.core.sweep(SWEEP).unwrap().test.unwrap().reproduced);
}

#[test]
fn without_a_test_split_nothing_is_scored() {
    let mut bench = Bench::new();
    bench.create("s", 1, 0).unwrap();
    bench.hello(1, "w", 1, 1, &[]);
    let lease = bench.grants()[0].lease;
    bench.train(1, lease);
    assert_eq!(bench.sweep_state(), SweepState::Completed);
}

#[test]
fn slots_and_parallelism_limit_the_running_trials() {
    let bench = Bench::with_sweep(10, 8);
    assert_eq!(bench.grants().len(), 2, "parallelism is 2");
    let bench = Bench::with_sweep(10, 1);
    assert_eq!(bench.grants().len(), 1, "there is one slot");
}

#[test]
fn repeated_reports_are_acknowledged_again_and_counted_once() {
    let mut bench = Bench::with_sweep(3, 1);
    let lease = bench.grants()[0].lease;
    bench.report(1, lease, vec![point(1, 1.0)]).unwrap();
    bench.report(1, lease, vec![point(1, 1.0), point(2, 0.5)]).unwrap();
    assert!(bench.sends(&ToWorker::Ack { lease, stored: Stored::Epoch(2) }));
    assert_eq!(bench.tables.trial(SWEEP, TrialNumber(0), true).unwrap().curve.len(), 2);
    bench.finish(1, lease, Outcome::Completed, None).unwrap();
    bench.finish(1, lease, Outcome::Completed, None).unwrap();
    assert!(bench.sends(&ToWorker::Ack { lease, stored: Stored::Finished }));
    let finished =
        bench.events.iter().filter(|e| matches!(e.payload, Payload::TrialFinished(_))).count();
    assert_eq!(finished, 1);
}

#[test]
fn a_paused_sweep_starts_no_trial_and_accepts_results() {
    let mut bench = Bench::with_sweep(4, 1);
    let lease = bench.grants()[0].lease;
    bench.step(Input::PauseSweep(SWEEP)).unwrap();
    bench.train(1, lease);
    assert_eq!((bench.state(0), bench.sweep_state()), (TrialState::Completed, SweepState::Paused));
    assert!(bench.grants().is_empty());
    bench.step(Input::ResumeSweep(SWEEP)).unwrap();
    assert_eq!(bench.grants().len(), 1);
}

#[test]
fn cancelling_revokes_leases_and_no_number_is_used_again_after_deleting() {
    let mut bench = Bench::with_sweep(4, 1);
    let lease = bench.grants()[0].lease;
    assert_eq!(bench.step(Input::DeleteSweep(SWEEP)).unwrap_err().class(), ErrorClass::Refused);
    bench.step(Input::CancelSweep(SWEEP)).unwrap();
    assert!(bench.revokes(lease));
    assert_eq!(
        (bench.state(0), bench.sweep_state()),
        (TrialState::Cancelled, SweepState::Cancelled)
    );
    let view = bench.core.sweep(SWEEP).unwrap();
    assert_eq!(
        (view.counts.finished(), view.counts.cancelled),
        (0, 2),
        "cancelled trials are not finished"
    );
    bench.step(Input::DeleteSweep(SWEEP)).unwrap();
    assert!(bench.core.sweep(SWEEP).is_none());
    // Of a deleted sweep, a store keeps only the event of the deletion.
    let kept: Vec<Event> = bench
        .events
        .iter()
        .filter(|e| matches!(e.payload, Payload::SweepDeleted(_)))
        .cloned()
        .collect();
    let core = Coordinator::recover(Config::default(), STORE, 0, kept).unwrap();
    assert_eq!((core.record().next_sweep(), core.record().next_lease()), (SweepId(2), LeaseId(2)));
}

#[test]
fn a_repeated_request_finds_its_sweep_and_names_are_unique() {
    let mut bench = Bench::new();
    assert_eq!(bench.create("s", 4, 10), Ok(Reply::Sweep(SWEEP)));
    assert_eq!(bench.create("s", 4, 10), Ok(Reply::Sweep(SWEEP)));
    assert_eq!(bench.create("s", 5, 10), Err(Refusal::RequestReused(name("request-s"))));
    let data = summary(10);
    let again = Input::CreateSweep {
        request_id: name("new"),
        spec: Box::new(spec("s", 4)),
        data,
        for_slots: None,
    };
    assert_eq!(bench.step(again), Err(Refusal::NameTaken(name("s"))));
}

#[test]
fn two_sweeps_share_the_slots() {
    let mut bench = Bench::new();
    bench.create("a", 4, 0).unwrap();
    bench.create("b", 4, 0).unwrap();
    bench.hello(1, "w", 1, 2, &[]);
    let sweeps: Vec<u64> = bench.grants().iter().map(|g| g.sweep.0).collect();
    assert_eq!(sweeps, [1, 2]);
}

#[test]
fn an_impossible_report_ends_connection_and_lease_and_the_third_fails_the_trial() {
    type Report = fn(LeaseId) -> FromWorker;
    let cases: [(&str, Report); 4] = [
        ("an epoch is skipped", |lease| FromWorker::Report {
            lease,
            points: vec![point(2, 0.5)],
            seconds: None,
        }),
        ("more epochs than asked for", |lease| FromWorker::Report {
            lease,
            points: (1..4).map(|e| point(e, 0.5)).collect(),
            seconds: None,
        }),
        ("completed too early", |lease| FromWorker::Finished { lease, result: completed(None) }),
        ("diverged with a finite loss", |lease| FromWorker::Finished {
            lease,
            result: Finished {
                outcome: Outcome::Diverged,
                last: None,
                test: None,
                seconds: 0.0,
                memory_bytes: None,
                model: None,
            },
        }),
    ];
    for (what, message) in cases {
        let mut bench = Bench::with_sweep(4, 1);
        let lease = bench.grants()[0].lease;
        assert_eq!(
            bench.say(1, message(lease)).unwrap_err().class(),
            ErrorClass::Invalid,
            "{what}"
        );
        assert!(bench.closes(1), "{what}");
        assert_eq!((bench.state(0), bench.grants().len()), (TrialState::Queued, 0), "{what}");
        // Repeated, the report fails the trial.
        for session in 2..4 {
            bench.hello(session, "w", 1, 1, &[]);
            let lease = bench.grants()[0].lease;
            bench.say(session, message(lease)).unwrap_err();
        }
        assert_eq!(bench.state(0), TrialState::Failed, "{what}");
    }
    let mut bench = Bench::new();
    assert_eq!(
        bench.say(1, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }),
        Err(Refusal::NoHello)
    );
}

#[test]
fn a_trial_without_a_finite_last_loss_cannot_be_completed() {
    let mut bench = Bench::with_sweep(4, 1);
    let lease = bench.grants()[0].lease;
    bench.report(1, lease, vec![point(1, 1.0), point(2, f64::NAN)]).unwrap();
    assert_eq!(
        bench.finish(1, lease, Outcome::Completed, None).unwrap_err().class(),
        ErrorClass::Invalid
    );
}

#[test]
fn after_a_restart_workers_are_listed_and_a_new_connection_changes_the_views() {
    let bench = Bench::with_sweep(3, 2);
    let core = Coordinator::recover(Config::default(), STORE, 0, bench.events.clone()).unwrap();
    assert_eq!(core.workers()[0].slots, 2);
    let mut bench = Bench { core, now: 0, ..bench };
    assert_eq!(bench.core.sweep(SWEEP).unwrap().notes, ["no worker is connected"]);
    bench.hello(1, "other", 1, 1, &[]);
    assert!(bench.effects.contains(&Effect::Changed(SWEEP)));
}

#[test]
fn a_worker_cannot_report_for_the_lease_of_another() {
    let mut bench = Bench::with_sweep(4, 1);
    let lease = bench.grants()[0].lease;
    bench.hello(2, "thief", 1, 1, &[]);
    bench.report(2, lease, vec![point(1, 0.5)]).unwrap();
    assert!(bench.revokes(lease));
    assert!(bench.tables.trial(SWEEP, TrialNumber(0), true).unwrap().curve.is_empty());
}

#[test]
fn lists_are_filtered_ordered_and_limited() {
    let mut bench = Bench::with_sweep(4, 1);
    let first = bench.grants()[0].lease;
    bench.report(1, first, vec![point(1, 1.0), point(2, 0.9)]).unwrap();
    bench.finish(1, first, Outcome::Completed, None).unwrap();
    let second = bench.grants()[0].lease;
    bench.train(1, second);
    let numbers = |filter: TrialFilter| -> Vec<u32> {
        bench.tables.trials(SWEEP, &filter).unwrap().iter().map(|t| t.trial.0).collect()
    };
    let all = || TrialFilter { limit: 10, ..TrialFilter::default() };
    assert_eq!(
        numbers(TrialFilter {
            order: TrialOrder::Objective,
            states: vec![TrialState::Completed],
            ..all()
        })[0],
        1
    );
    assert_eq!(numbers(TrialFilter { after: Some(TrialNumber(0)), limit: 1, ..all() }), [1]);
    // A list continues after a trial even if that trial has left the wanted states.
    let queued = TrialFilter {
        after: Some(TrialNumber(1)),
        states: vec![TrialState::Queued, TrialState::Running],
        ..all()
    };
    assert_eq!(numbers(queued), [2, 3]);
    let after = Some(TrialNumber(1));
    assert_eq!(numbers(TrialFilter { order: TrialOrder::Objective, after, ..all() }), [0, 2, 3]);
    assert_eq!(bench.core.find("s"), Some(SWEEP));
    assert_eq!(bench.core.find("1"), Some(SWEEP));
    assert_eq!(bench.core.find("2"), None);
}

#[test]
fn events_that_do_not_fit_are_refused() {
    let bench = Bench::with_sweep(3, 1);
    let mut events = bench.events.clone();
    let granted =
        events.iter().find(|e| matches!(e.payload, Payload::LeaseGranted(_))).unwrap().clone();
    events.push(granted);
    assert!(Coordinator::recover(Config::default(), STORE, 0, events).is_err());
}

#[test]
fn events_survive_json_with_a_nan() {
    let mut bench = Bench::with_sweep(2, 1);
    let lease = bench.grants()[0].lease;
    bench.report(1, lease, vec![point(1, f64::NAN)]).unwrap();
    bench.finish(1, lease, Outcome::Diverged, None).unwrap();
    for event in &bench.events {
        let text = serde_json::to_string(event).unwrap();
        let back: Event = serde_json::from_str(&text).unwrap();
        assert_eq!(format!("{back:?}"), format!("{event:?}"));
    }
}

#[test]
fn a_worker_that_is_away_cannot_be_drained() {
    let mut bench = Bench::with_sweep(4, 1);
    bench.step(Input::SessionClosed(SessionId(1))).unwrap();
    assert_eq!(
        bench.step(Input::DrainWorker(name("w"))).unwrap_err().class(),
        ErrorClass::Unavailable
    );
    assert!(!bench.core.workers()[0].draining);
}

#[test]
fn the_largest_number_is_reported_as_damage_without_a_panic() {
    let last = LeaseId(u64::MAX);
    let mut bench = Bench::with_sweep(2, 1);
    bench.step(Input::CancelSweep(SWEEP)).unwrap();
    bench.step(Input::DeleteSweep(SWEEP)).unwrap();
    let damage: [fn(&mut Event); 3] = [
        |event| {
            if let Payload::LeaseGranted(LeaseGranted { lease, .. }) = &mut event.payload {
                *lease = LeaseId(u64::MAX)
            }
        },
        |event| {
            if matches!(event.payload, Payload::SweepCreated(_)) {
                event.sweep = SweepId(u64::MAX)
            }
        },
        |event| {
            if let Payload::SweepDeleted(SweepDeleted { next_lease }) = &mut event.payload {
                *next_lease = LeaseId(u64::MAX)
            }
        },
    ];
    for damage in damage {
        let mut events = bench.events.clone();
        events.iter_mut().for_each(damage);
        let error = Coordinator::recover(Config::default(), STORE, 0, events).unwrap_err();
        assert!(error.to_string().contains(&last.to_string()), "{error}");
    }
}

#[test]
fn a_trial_that_was_given_up_keeps_no_epochs_of_its_lost_workers() {
    let mut bench = Bench::with_sweep(3, 1);
    for number in 2..=5 {
        let lease = bench.grants()[0].lease;
        bench.report(number - 1, lease, vec![point(1, 1.0)]).unwrap();
        bench.replace(number, 1);
    }
    let trial = bench.tables.trial(SWEEP, TrialNumber(0), true).unwrap();
    assert_eq!((trial.state, trial.curve, trial.last), (TrialState::Failed, vec![], None));
}

#[test]
fn deciding_in_pieces_delays_no_sweep_and_decides_the_same() {
    let mut at_once = Bench::new();
    let mut bench = Bench::new();
    for sweep in ["a", "b"] {
        at_once.create(sweep, 4, 10).unwrap();
        let spec = Box::new(spec(sweep, 4));
        let heard = bench
            .core
            .hear(
                0,
                Input::CreateSweep {
                    request_id: name(&format!("request-{sweep}")),
                    spec,
                    data: summary(10),
                    for_slots: None,
                },
            )
            .unwrap();
        assert_eq!(heard.events.len(), 1, "nothing is decided yet");
    }
    let mut sampled = Vec::new();
    loop {
        let piece = bench.core.decide(&mut || false).unwrap();
        assert!(piece.events.len() <= 1, "a trial at a time");
        sampled.extend(piece.events.iter().map(|event| event.sweep));
        if piece.is_all {
            break;
        }
        let tick = bench.core.hear(0, Input::Tick).unwrap();
        assert_eq!(tick.events, [], "a tick decides nothing");
    }
    assert_eq!(sampled, [SweepId(1), SweepId(2), SweepId(1), SweepId(2)], "in turn");
    assert_eq!(bench.core.record(), at_once.core.record());
}

/// A bench of two sweeps, a worker that trains one trial of each, and its events.
fn two_sweeps() -> Bench {
    let mut bench = Bench::new();
    bench.create("a", 4, 10).unwrap();
    bench.create("b", 4, 10).unwrap();
    bench.hello(1, "w", 1, 2, &[]);
    bench
}

#[test]
fn a_sweep_with_an_event_that_does_not_fit_is_stopped_and_the_others_go_on() {
    let bench = two_sweeps();
    let mut replay = Replay::new(CONFIG, STORE);
    // The second trial of the first sweep is lost, so what follows does not fit.
    let mut sampled = 0;
    let of_first = |event: &&Event| {
        let is_it = event.sweep == SweepId(1) && event.name() == "trial_sampled";
        sampled += usize::from(is_it);
        !(is_it && sampled == 1)
    };
    bench.events.iter().filter(of_first).for_each(|event| replay.apply_or_quarantine(event));
    assert_eq!(replay.quarantined().keys().collect::<Vec<_>>(), [&SweepId(1)]);
    let core = replay.finish(0);
    let next = core.record().next_lease();
    let mut bench = Bench { core, now: 0, ..bench };
    let notes = bench.core.sweep(SweepId(1)).unwrap().notes;
    assert!(notes[0].starts_with("this sweep is damaged and stopped: "), "{notes:?}");
    let refusal = bench.step(Input::PauseSweep(SweepId(1))).unwrap_err();
    assert_eq!(refusal.class(), ErrorClass::Refused);
    assert!(refusal.to_string().contains("caviar coordinator check STORE"), "{refusal}");
    // The worker has the leases of both sweeps. The one on the stopped sweep is taken away.
    bench.hello(2, "w", 1, 2, &[1, 2]);
    let grants = bench.grants();
    assert!(grants.iter().all(|grant| grant.sweep == SweepId(2)), "{grants:?}");
    assert!(grants.iter().all(|grant| grant.lease >= next && grant.lease.0 > 1 << 40));
    bench.step(Input::DeleteSweep(SweepId(1))).unwrap();
    assert!(bench.core.sweep(SweepId(1)).is_none());
    bench.create("c", 1, 10).unwrap();
}
