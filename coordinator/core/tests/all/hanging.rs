//! Trials that hang, and trials that only wait: for memory, for their data, or for a checkpoint.

use caviar_common::ids::LeaseId;
use caviar_common::message::{FromWorker, ToWorker};
use caviar_core::event::{LeaseEnd, Payload};
use caviar_core::input::{Effect, Input};

use crate::support::{Bench, CONFIG, TTL};

/// Lets `ms` milliseconds pass, in which the worker says that `waiting` have not begun. Returns the
/// leases that it lost.
fn pass(bench: &mut Bench, ms: u64, stuck: u32, waiting: &[LeaseId]) -> Vec<LeaseId> {
    let mut lost = Vec::new();
    for _ in 0..ms / (TTL / 4) {
        bench.now += TTL / 4;
        let waiting = waiting.to_vec();
        bench.say(1, FromWorker::Heartbeat { stuck, waiting }).unwrap();
        bench.step(Input::Tick).unwrap();
        lost.extend(bench.effects.iter().filter_map(|effect| match effect {
            Effect::Send(_, ToWorker::Revoke { lease, .. }) => Some(*lease),
            Effect::Send(..) | Effect::Close(..) | Effect::Answer(..) | Effect::Changed(_) => None,
        }));
    }
    lost
}

#[test]
fn a_trial_that_waits_for_memory_does_not_hang_and_its_time_begins_with_its_training() {
    let mut bench = Bench::with_sweep(3, 1);
    let lease = bench.grants()[0].lease;
    let patience = CONFIG.least_stall_ms;
    assert_eq!(pass(&mut bench, 5 * patience, 0, &[lease]), [], "it waits for as long as it takes");
    assert_eq!(pass(&mut bench, patience - TTL, 0, &[]), [], "it has begun");
    assert_eq!(pass(&mut bench, 2 * TTL, 0, &[]), [lease], "it has trained for too long");
}

#[test]
fn a_worker_does_not_prolong_the_leases_of_others() {
    let mut bench = Bench::new();
    bench.create("s", 3, 10).unwrap();
    bench.hello(1, "other", 1, 0, &[]);
    bench.hello(2, "w", 1, 1, &[]);
    let lease = bench.grants()[0].lease;
    let mut is_lost = false;
    for _ in 0..2 * CONFIG.least_stall_ms / (TTL / 4) {
        bench.now += TTL / 4;
        bench.say(1, FromWorker::Heartbeat { stuck: 0, waiting: vec![lease] }).unwrap();
        bench.say(2, FromWorker::Heartbeat { stuck: 0, waiting: Vec::new() }).unwrap();
        bench.step(Input::Tick).unwrap();
        let reason = "the training reported no epoch for too long".to_owned();
        is_lost |= bench.sends(&ToWorker::Revoke { lease, reason });
    }
    assert!(is_lost);
}

#[test]
fn a_trial_that_waits_behind_a_job_that_does_not_stop_is_taken_away_without_a_loss() {
    let mut bench = Bench::with_sweep(3, 1);
    let waiting = bench.grants()[0].lease;
    let lost = pass(&mut bench, CONFIG.least_stall_ms + 2 * TTL, 1, &[waiting]);
    assert_eq!(lost, [waiting]);
    let ended = bench.events.iter().find_map(|event| {
        let Payload::LeaseEnded(ended) = &event.payload else { return None };
        (ended.lease == waiting).then(|| ended.clone())
    });
    let ended = ended.unwrap();
    assert_eq!((ended.cause, ended.lost_worker), (LeaseEnd::Stalled, None));
}
