//! Leases of workers that connect, disconnect and are lost.

use std::collections::VecDeque;

use caviar_common::error::ErrorClass;
use caviar_common::ids::{LeaseId, SessionId, TrialNumber};
use caviar_common::message::{FromWorker, Grant, Hello, Release, ToWorker};
use caviar_common::outcome::{Job, Outcome, SweepState, TrialState};
use caviar_common::spec::Parallelism;
use caviar_core::Coordinator;
use caviar_core::input::{Effect, Input, Refusal};

use crate::support::{Bench, CONFIG, STORE, SWEEP, TTL, hello, name, point, spec, summary};

#[test]
fn a_silent_worker_loses_its_lease_and_its_late_result_is_refused() {
    let mut bench = Bench::with_sweep(3, 1);
    let old = bench.grants()[0].lease;
    bench.wait(TTL);
    assert_eq!(bench.state(0), TrialState::Running, "the deadline itself is in time");
    bench.wait(1);
    assert_eq!(bench.state(0), TrialState::Queued);
    bench.hello(2, "other", 7, 1, &[]);
    assert_eq!(bench.grants()[0].trial, TrialNumber(0));
    bench.hello(3, "w", 1, 1, &[old.0]);
    assert!(bench.revokes(old));
    bench.finish(3, old, Outcome::Completed, None).unwrap();
    assert!(bench.revokes(old));
    assert_eq!(bench.state(0), TrialState::Running);
}

#[test]
fn any_message_renews_the_lease() {
    let mut bench = Bench::with_sweep(3, 1);
    for _ in 0..3 {
        bench.wait(900);
        bench.say(1, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
    }
    assert_eq!(bench.state(0), TrialState::Running);
}

#[test]
fn time_in_which_the_coordinator_was_stopped_expires_no_lease() {
    let mut bench = Bench::with_sweep(4, 2);
    bench.wait(700);
    // After the coordinator was stopped and continued, the timer may run before it reads the
    // heartbeats that wait in the sockets.
    for _ in 0..3 {
        bench.now += 20 * TTL;
        bench.step(Input::Tick).unwrap();
        bench.say(1, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
    }
    assert_eq!((bench.state(0), bench.state(1)), (TrialState::Running, TrialState::Running));
    bench.wait(TTL + 1);
    assert_eq!(
        bench.state(0),
        TrialState::Queued,
        "silence while the coordinator runs still expires it"
    );
}

#[test]
fn after_a_restart_a_worker_has_one_full_lease_duration_to_reconnect() {
    let bench = Bench::with_sweep(3, 1);
    let core = Coordinator::recover(CONFIG, STORE, 50_000, bench.events.clone()).unwrap();
    let mut bench = Bench { core, now: 50_000, ..bench };
    bench.wait(TTL);
    assert_eq!(bench.state(0), TrialState::Running);
    bench.wait(1);
    assert_eq!(bench.state(0), TrialState::Queued);
}

#[test]
fn a_second_process_of_the_same_name_is_refused_while_the_first_is_alive() {
    let mut bench = Bench::with_sweep(3, 1);
    for session in 2..20 {
        bench.wait(100);
        bench.say(1, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
        let refusal = bench.try_hello(session, "w", 2, 1, &[]).unwrap_err();
        assert_eq!(
            (refusal.class(), bench.closes(session), bench.closes(1)),
            (ErrorClass::Busy, true, false)
        );
    }
    assert_eq!(bench.state(0), TrialState::Running);
    bench.train(1, LeaseId(1));
    // When the first is killed, its connection breaks at once, and the next process is accepted.
    bench.step(Input::SessionClosed(SessionId(1))).unwrap();
    bench.hello(30, "w", 2, 1, &[]);
    // A connection that breaks silently keeps the name for one lease duration.
    bench.wait(TTL);
    assert_eq!(bench.try_hello(31, "w", 3, 1, &[]).unwrap_err().class(), ErrorClass::Busy);
    bench.now += 1;
    bench.hello(32, "w", 3, 1, &[]);
    assert!(bench.closes(30));
}

#[test]
fn leases_of_another_store_are_ignored() {
    let mut bench = Bench::with_sweep(3, 1);
    let lease = bench.grants()[0].lease;
    for store in [None, Some(caviar_common::ids::StoreId(78))] {
        let hello = Hello { store, ..hello("w", 1, 1, &[lease.0, 9]) };
        bench.say(2, FromWorker::Hello(hello)).unwrap();
        assert!(matches!(
            bench.effects[1],
            Effect::Send(_, ToWorker::Welcome { store: STORE, .. })
        ));
        assert!(!bench.revokes(LeaseId(9)));
        assert_eq!(
            bench.grants()[0].trial,
            TrialNumber(0),
            "the grant of this store never arrived"
        );
        bench.step(Input::SessionClosed(SessionId(2))).unwrap();
        bench.hello(1, "w", 1, 1, &[]);
    }
}

#[test]
fn a_grant_that_never_arrived_is_granted_again_and_counts_no_lost_worker() {
    let mut bench = Bench::with_sweep(3, 1);
    for session in 2..10 {
        bench.step(Input::SessionClosed(SessionId(session - 1))).unwrap();
        bench.hello(session, "w", 1, 1, &[]);
        assert_eq!(bench.grants()[0].trial, TrialNumber(0));
    }
}

#[test]
fn a_trial_that_crashes_its_worker_several_times_fails_with_a_message() {
    let mut bench = Bench::with_sweep(3, 1);
    for incarnation in 2..=4 {
        bench.replace(incarnation, 1);
    }
    assert_eq!(bench.state(0), TrialState::Failed);
    bench.finish(4, LeaseId(3), Outcome::Completed, None).unwrap();
    assert!(bench.revokes(LeaseId(3)), "the result of a lost lease is not acknowledged");
    let message = bench.tables.trial(SWEEP, TrialNumber(0), false).unwrap().message.unwrap();
    assert_eq!(message, "given up after 3 failed attempts in a row; the last: its worker was lost");
}

#[test]
fn a_trial_that_crashes_its_workers_fails_and_the_others_on_them_do_not() {
    for slots in [1, 2, 4, 8] {
        let mut bench = Bench::new();
        let mut spec = spec("s", 12);
        spec.search.parallelism = Parallelism::Trials(8);
        bench
            .step(Input::CreateSweep {
                request_id: name("r"),
                spec: Box::new(spec),
                data: summary(10),
                for_slots: None,
            })
            .unwrap();
        let mut number = 1;
        bench.hello(number, "w", number, slots, &[]);
        let mut held = bench.grants();
        while bench.sweep_state() != SweepState::Completed {
            if held.iter().any(|g| g.trial == TrialNumber(0) && g.job == Job::Train) {
                number += 1;
                assert!(number < 20, "{slots} slots: {:?}", bench.core.record());
                bench.replace(number, slots);
                held = bench.grants();
                continue;
            }
            let grant = held.remove(0);
            match grant.job {
                Job::Train => bench.train(number, grant.lease),
                Job::Score => bench
                    .finish(number, grant.lease, Outcome::Completed, Some(point(2, 0.5).validation))
                    .map(|_| ())
                    .unwrap(),
            }
            held.extend(bench.grants());
        }
        let failed: Vec<u32> = (0..12).filter(|t| bench.state(*t) == TrialState::Failed).collect();
        assert_eq!(failed, [0], "{slots} slots");
    }
}

/// A sweep of many trials in flight, on a machine that is taken away again and again.
fn wide(slots: u32) -> Bench {
    let mut bench = Bench::new();
    let mut spec = spec("s", 4_000);
    spec.search.parallelism = Parallelism::Trials(2 * slots);
    let data = summary(10);
    bench
        .step(Input::CreateSweep {
            request_id: name("r"),
            spec: Box::new(spec),
            data,
            for_slots: None,
        })
        .unwrap();
    bench
}

#[test]
fn a_lost_worker_of_one_slot_does_not_idle_a_wide_one() {
    let mut bench = wide(200);
    bench.hello(1, "spot", 1, 1, &[]);
    let lost = bench.grants()[0].clone();
    bench.hello(2, "wide", 1, 200, &[]);
    let mut held = bench.grants();
    assert_eq!(held.len(), 200);
    bench.step(Input::SessionClosed(SessionId(1))).unwrap();
    for _ in 0..9 {
        bench.now += TTL / 8;
        bench.say(2, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
        bench.step(Input::Tick).unwrap();
    }
    assert_eq!(bench.state(lost.trial.0), TrialState::Queued);
    for _ in 0..200 {
        let grant = held.remove(0);
        bench.train(2, grant.lease);
        held.extend(bench.grants());
        assert_eq!(held.len(), 200);
    }
    assert!(held.iter().any(|grant| grant.trial == lost.trial));
}

#[test]
fn a_wide_worker_that_is_lost_again_and_again_is_given_all_its_slots_again() {
    let mut bench = Bench::new();
    let mut spec = spec("s", 400);
    spec.search.parallelism = Parallelism::Trials(200);
    spec.fixed.insert("epochs", caviar_common::assignment::Value::Int(100));
    let (request_id, data) = (name("r"), summary(10));
    bench
        .step(Input::CreateSweep { request_id, spec: Box::new(spec), data, for_slots: None })
        .unwrap();
    bench.hello(1, "w", 1, 200, &[]);
    for number in 2..30_u32 {
        let grants = bench.grants();
        assert_eq!(grants.len(), 200, "loss {number}");
        for grant in &grants {
            let epochs = (1..=number).map(|epoch| point(epoch, 1.0)).collect();
            bench.report(u64::from(number) - 1, grant.lease, epochs).unwrap();
        }
        bench.replace(number.into(), 200);
    }
    assert_eq!(bench.core.sweep(SWEEP).unwrap().counts.failed, 0);
}

#[test]
fn a_suspect_gets_the_first_free_slot_and_shares_no_worker_with_another_suspect() {
    let mut bench = wide(8);
    bench.hello(1, "w", 1, 8, &[]);
    bench.replace(2, 8);
    bench.replace(3, 8);
    // After two losses without an epoch, the eight trials are suspects.
    let suspects: Vec<TrialNumber> = (0..8).map(TrialNumber).collect();
    let is_suspect = |grant: &&Grant| suspects.contains(&grant.trial);
    let mut held = bench.grants();
    assert_eq!((held.len(), held.iter().filter(is_suspect).count()), (8, 1));
    let suspect = held.iter().position(|grant| is_suspect(&grant)).unwrap();
    // A trial that reports an epoch is cleared. The next free slot is for the next suspect.
    let cleared = held.remove(suspect);
    bench.report(3, cleared.lease, vec![point(1, 1.0)]).unwrap();
    assert!(bench.grants().is_empty(), "no slot is free");
    let other = held.remove(0);
    bench.train(3, other.lease);
    assert_eq!(bench.grants().iter().filter(is_suspect).count(), 1);
}

#[test]
fn the_suspects_of_a_wide_worker_are_cleared_until_all_its_slots_are_busy_again() {
    let mut bench = Bench::new();
    let mut spec = spec("s", 400);
    spec.search.parallelism = Parallelism::Trials(200);
    let (request_id, data) = (name("r"), summary(10));
    bench
        .step(Input::CreateSweep { request_id, spec: Box::new(spec), data, for_slots: None })
        .unwrap();
    bench.hello(1, "w", 1, 200, &[]);
    bench.replace(2, 200);
    assert_eq!(bench.grants().len(), 200, "one loss proves nothing");
    bench.replace(3, 200);
    // All trials in flight are suspects, and the worker is given one of them at a time.
    for cleared in 0..200 {
        let grants = bench.grants();
        assert_eq!(grants.len(), 1, "after {cleared} were cleared");
        bench.report(3, grants[0].lease, vec![point(1, 1.0)]).unwrap();
    }
    let counts = bench.core.sweep(SWEEP).unwrap().counts;
    assert_eq!((counts.running, counts.failed), (200, 0));
}

#[test]
fn a_suspect_does_not_wait_for_a_narrow_worker_that_is_busy() {
    let mut bench = Bench::with_sweep(3, 1);
    bench.hello(2, "spot", 1, 1, &[]);
    let lost = bench.grants()[0].trial;
    let mut spec = spec("large", 4_000);
    spec.search.parallelism = Parallelism::Trials(400);
    let (request_id, data) = (name("large"), summary(0));
    bench
        .step(Input::CreateSweep { request_id, spec: Box::new(spec), data, for_slots: None })
        .unwrap();
    bench.hello(3, "wide", 1, 200, &[]);
    let wide = bench.grants();
    assert_eq!(wide.len(), 200);
    // The trial loses its worker twice: the second process of `spot` falls silent.
    bench.step(Input::SessionClosed(SessionId(2))).unwrap();
    bench.hello(4, "spot", 2, 1, &[]);
    assert_eq!(bench.grants()[0].trial, lost);
    for _ in 0..9 {
        bench.now += TTL / 8;
        bench.say(1, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
        bench.say(3, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
        bench.step(Input::Tick).unwrap();
    }
    assert_eq!(bench.state(lost.0), TrialState::Queued);
    bench.train(3, wide[0].lease);
    assert_eq!(bench.state(lost.0), TrialState::Running, "in the first free slot");
}

#[test]
fn the_notes_of_a_sweep_are_few_however_many_trials_are_refused() {
    let mut bench = wide(64);
    for worker in 1..=3 {
        bench.hello(worker, &format!("w{worker}"), 1, 64, &[]);
        let mut held: VecDeque<Grant> = bench.grants().into();
        while let Some(Grant { lease, .. }) = held.pop_front() {
            let release = Release::TooLarge { message: "it needs 9.0 GiB".to_owned() };
            bench.say(worker, FromWorker::Released { lease, release }).unwrap();
            held.extend(bench.grants());
        }
    }
    let notes = bench.core.sweep(SWEEP).unwrap().notes;
    assert_eq!(notes.len(), 19, "{notes:?}");
    assert_eq!(notes[0], "worker w1 cannot train trial 0: it needs 9.0 GiB");
    assert_eq!(notes[16], "workers refused 368 more trials of this sweep");
    assert_eq!(notes[17], "trial 0 fits no connected worker: connect one with more memory");
}

#[test]
fn a_worker_that_cannot_read_the_data_gets_no_trial_and_is_named_in_a_note() {
    let mut bench = Bench::with_sweep(3, 1);
    let lease = bench.grants()[0].lease;
    let release = Release::Unable { message: "no such file".to_owned() };
    bench.say(1, FromWorker::Released { lease, release }).unwrap();
    assert!(bench.grants().is_empty());
    assert_eq!(
        bench.core.sweep(SWEEP).unwrap().notes,
        [
            "worker w cannot train this sweep: no such file",
            "what workers refused is offered to them again within 10 s, and at once when they \
             reconnect or after: caviar resume s"
        ]
    );
    bench.hello(2, "other", 1, 1, &[]);
    assert_eq!(bench.grants().len(), 1);
}

#[test]
fn a_worker_without_memory_for_one_trial_still_gets_others() {
    let mut bench = Bench::with_sweep(3, 1);
    let first = bench.grants()[0].clone();
    let release = Release::TooLarge { message: "no memory for 9 more floats".to_owned() };
    bench.say(1, FromWorker::Released { lease: first.lease, release }).unwrap();
    let second = bench.grants()[0].clone();
    assert_ne!(second.trial, first.trial);
    let note = format!("worker w cannot train trial {}: no memory for 9 more floats", first.trial);
    let homeless =
        format!("trial {} fits no connected worker: connect one with more memory", first.trial);
    assert_eq!(bench.core.sweep(SWEEP).unwrap().notes[..2], [note, homeless]);
    bench.hello(2, "larger", 1, 1, &[]);
    assert_eq!(bench.grants()[0].trial, first.trial);
}

#[test]
fn an_unable_worker_gets_trials_again_after_some_time_or_when_it_reconnects() {
    let unable = |bench: &mut Bench, session, lease| {
        let release = Release::Unable { message: "no thread to train in".to_owned() };
        bench.say(session, FromWorker::Released { lease, release }).unwrap();
        assert!(bench.grants().is_empty());
    };
    let mut bench = Bench::with_sweep(3, 1);
    let lease = bench.grants()[0].lease;
    unable(&mut bench, 1, lease);
    bench.hello(2, "w", 1, 1, &[]);
    let lease = bench.grants()[0].lease;
    unable(&mut bench, 2, lease);
    for tick in 0..10_000 / (TTL / 8) {
        assert!(bench.grants().is_empty(), "after {tick} ticks");
        bench.now += TTL / 8;
        bench.say(2, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
        bench.step(Input::Tick).unwrap();
    }
    let lease = bench.grants()[0].lease;
    assert!(bench.core.sweep(SWEEP).unwrap().notes.is_empty());
    // It is asked at once when a client resumes the sweep.
    unable(&mut bench, 2, lease);
    bench.step(Input::ResumeSweep(SWEEP)).unwrap();
    assert_eq!(bench.grants().len(), 1);
}

#[test]
fn a_worker_without_memory_is_asked_again_when_one_of_its_trials_has_ended() {
    let mut bench = Bench::with_sweep(9, 2);
    let [large, small]: [Grant; 2] = bench.grants().try_into().unwrap();
    let release = Release::TooLarge { message: "no memory".to_owned() };
    bench.say(1, FromWorker::Released { lease: large.lease, release }).unwrap();
    let awake = |bench: &mut Bench, ms: u64| {
        let mut granted = Vec::new();
        for _ in 0..ms / (TTL / 8) {
            bench.now += TTL / 8;
            bench.say(1, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
            bench.step(Input::Tick).unwrap();
            granted.extend(bench.grants().into_iter().map(|grant| grant.trial));
        }
        granted
    };
    assert!(!awake(&mut bench, 5_000).contains(&large.trial), "nothing has changed");
    bench.train(1, small.lease);
    assert!(awake(&mut bench, 250).contains(&large.trial), "there may be more memory now");
}

#[test]
fn a_draining_worker_keeps_its_leases_and_gets_no_new_ones() {
    let mut bench = Bench::with_sweep(4, 1);
    let lease = bench.grants()[0].lease;
    bench.step(Input::DrainWorker(name("w"))).unwrap();
    assert!(bench.sends(&ToWorker::Drain));
    bench.train(1, lease);
    assert!(bench.grants().is_empty());
    assert_eq!(bench.state(0), TrialState::Completed);
    assert_eq!(
        bench.step(Input::DrainWorker(name("x"))).unwrap_err().class(),
        ErrorClass::NotFound
    );
}

#[test]
fn a_worker_that_declines_a_grant_gets_another_after_the_next_tick() {
    let mut bench = Bench::with_sweep(4, 1);
    let lease = bench.grants()[0].lease;
    bench.say(1, FromWorker::Released { lease, release: Release::Declined }).unwrap();
    assert!(bench.grants().is_empty(), "not at once");
    assert!(!bench.core.workers()[0].draining);
    bench.step(Input::Tick).unwrap();
    assert_eq!(bench.grants()[0].trial, TrialNumber(0));
}

#[test]
fn a_training_that_hangs_loses_its_lease_and_fails_in_the_end() {
    let mut bench = Bench::with_sweep(3, 1);
    let first = bench.grants()[0].clone();
    let mut lost = Vec::new();
    for _ in 0..30_000 {
        bench.now += TTL / 8;
        bench.say(1, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
        bench.step(Input::Tick).unwrap();
        let revoked = |e: &Effect| match e {
            Effect::Send(_, ToWorker::Revoke { lease, .. }) => Some(*lease),
            Effect::Send(..) | Effect::Close(..) | Effect::Answer(..) | Effect::Changed(_) => None,
        };
        lost.extend(bench.effects.iter().filter_map(revoked));
    }
    assert_eq!((lost.len(), lost[0]), (3, first.lease), "1,000 s each");
    assert_eq!(bench.state(0), TrialState::Failed);
    let message = bench.tables.trial(SWEEP, TrialNumber(0), false).unwrap().message.unwrap();
    assert_eq!(
        message,
        "given up after 3 failed attempts in a row; the last: it reported no epoch for too long"
    );
}

#[test]
fn a_slot_in_which_a_job_does_not_stop_is_granted_nothing() {
    let mut bench = Bench::with_sweep(3, 1);
    let first = bench.grants()[0].clone();
    bench.say(1, FromWorker::Heartbeat { stuck: 1, waiting: Vec::new() }).unwrap();
    bench.step(Input::ReleaseTrial(SWEEP, first.trial)).unwrap();
    assert_eq!(bench.grants().len(), 0);
    bench.step(Input::Tick).unwrap();
    assert_eq!(bench.grants().len(), 0);
    bench.say(1, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
    assert_eq!(bench.grants()[0].trial, first.trial);
}

#[test]
fn an_operator_can_take_a_lease_away() {
    let mut bench = Bench::with_sweep(3, 1);
    let first = bench.grants()[0].clone();
    bench.step(Input::ReleaseTrial(SWEEP, first.trial)).unwrap();
    assert!(bench.revokes(first.lease));
    let again = bench.grants()[0].clone();
    assert_eq!((again.trial, again.attempt.0), (first.trial, 2));
    bench.train(1, again.lease);
    let refusal = bench.step(Input::ReleaseTrial(SWEEP, first.trial)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "trial 0 of sweep s is completed, so there is no lease to release"
    );
    let unknown = bench.step(Input::ReleaseTrial(SWEEP, TrialNumber(9))).unwrap_err();
    assert_eq!(unknown.class(), ErrorClass::NotFound);
}

#[test]
fn a_trial_that_has_ended_has_no_lease_to_release() {
    let mut bench = Bench::with_sweep(3, 1);
    for _ in 0..2 {
        let grant = bench.grants()[0].clone();
        bench.train(1, grant.lease);
    }
    for trial in 0..2 {
        let release = Input::ReleaseTrial(SWEEP, TrialNumber(trial));
        let refusal = bench.step(release).unwrap_err();
        let text =
            format!("trial {trial} of sweep s is completed, so there is no lease to release");
        assert_eq!(refusal.to_string(), text);
    }
}

#[test]
fn an_operator_can_take_the_lease_of_a_scoring_away() {
    let mut bench = Bench::with_sweep(2, 1);
    for _ in 0..2 {
        let training = bench.grants()[0].clone();
        bench.train(1, training.lease);
    }
    let scoring = bench.grants()[0].clone();
    assert_eq!((scoring.trial, scoring.job), (TrialNumber(0), Job::Score));
    let other = bench.step(Input::ReleaseTrial(SWEEP, TrialNumber(1))).unwrap_err();
    assert!(matches!(other, Refusal::NotRunning { .. }), "{other}");
    bench.step(Input::ReleaseTrial(SWEEP, scoring.trial)).unwrap();
    assert!(bench.revokes(scoring.lease));
    let again = bench.grants()[0].clone();
    assert_eq!((again.trial, again.job, again.attempt.0), (scoring.trial, Job::Score, 2));
    bench.finish(1, again.lease, Outcome::Completed, Some(point(2, 0.5).validation)).unwrap();
    assert_eq!(bench.sweep_state(), SweepState::Completed);
    let ended = bench.step(Input::ReleaseTrial(SWEEP, scoring.trial)).unwrap_err();
    assert!(matches!(ended, Refusal::NotRunning { .. }), "{ended}");
}

#[test]
fn the_scoring_of_a_cancelled_sweep_cannot_be_released() {
    let mut bench = Bench::with_sweep(1, 1);
    let training = bench.grants()[0].clone();
    bench.train(1, training.lease);
    assert_eq!(bench.grants()[0].job, Job::Score);
    bench.step(Input::CancelSweep(SWEEP)).unwrap();
    let ended = bench.step(Input::ReleaseTrial(SWEEP, training.trial)).unwrap_err();
    assert!(matches!(ended, Refusal::NotRunning { .. }), "{ended}");
}

#[test]
fn a_scoring_that_hangs_loses_its_lease_after_a_restart_too() {
    let mut bench = Bench::with_sweep(1, 1);
    let training = bench.grants()[0].clone();
    bench.train(1, training.lease);
    let scoring = bench.grants()[0].clone();
    assert_eq!(scoring.job, Job::Score);
    bench.core = Coordinator::recover(CONFIG, STORE, bench.now, bench.events.clone()).unwrap();
    bench.hello(2, "w", 1, 1, &[scoring.lease.0]);
    let mut is_revoked = false;
    for _ in 0..30_000 {
        bench.now += TTL / 8;
        bench.say(2, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
        bench.step(Input::Tick).unwrap();
        is_revoked |= bench.revokes(scoring.lease);
    }
    assert!(is_revoked);
    assert_eq!(bench.sweep_state(), SweepState::Completed, "the scoring was given up");
}
