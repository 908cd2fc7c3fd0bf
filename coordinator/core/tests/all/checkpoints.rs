//! Checkpoints of trials: which one is kept, who gets it, and how many epochs are trained again.

use caviar_common::blob::{Blob, BlobName};
use caviar_common::error::ErrorClass;
use caviar_common::ids::{LeaseId, TrialNumber};
use caviar_common::message::{Checkpoint, FromWorker, Grant, Release, ToWorker};
use caviar_common::outcome::Outcome;
use caviar_core::Coordinator;
use caviar_core::event::Payload;
use caviar_core::input::Effect;

use crate::support::{Bench, CONFIG, RUNG_EPOCHS, STORE, SWEEP, TTL};

fn checkpoint(epoch: u32, batch: u64) -> Checkpoint {
    let hash = [epoch.to_le_bytes()[0], batch.to_le_bytes()[0]].repeat(16);
    let name = BlobName::from_hash(hash.try_into().unwrap());
    Checkpoint { epoch, batch, blob: Blob { name, bytes: 1_000 } }
}

/// A coordinator with one trial of ten epochs, which worker `w` trains.
fn bench() -> (Bench, LeaseId) {
    let mut bench = Bench::with_rungs(1, 1, |_| ());
    bench.hello(1, "w", 1, 1, &[]);
    let lease = bench.grants()[0].lease;
    assert_eq!(bench.grants()[0].checkpoint, None);
    (bench, lease)
}

fn store(bench: &mut Bench, session: u64, lease: LeaseId, checkpoint: Checkpoint) {
    bench.say(session, FromWorker::Checkpointed { lease, checkpoint }).unwrap();
}

/// Lets the worker's lease expire, and connects another one. Returns its grant.
fn lose(bench: &mut Bench, session: u64, worker: &str) -> Grant {
    bench.wait(TTL + 1);
    bench.hello(session, worker, session, 1, &[]);
    bench.grants().remove(0)
}

fn kept(bench: &Bench) -> Vec<Checkpoint> {
    let trial = bench.core.record().sweep(SWEEP).unwrap().trial(TrialNumber(0));
    trial.and_then(|trial| trial.checkpoint()).into_iter().copied().collect()
}

#[test]
fn a_lost_trial_is_granted_again_with_its_newest_checkpoint() {
    let (mut bench, lease) = bench();
    bench.epochs(lease, 1..=5, 0.5);
    store(&mut bench, 1, lease, checkpoint(2, 7));
    store(&mut bench, 1, lease, checkpoint(4, 0));
    let needed: Vec<_> = bench.core.checkpoints().collect();
    let newest = (SWEEP, TrialNumber(0), checkpoint(4, 0).blob);
    assert_eq!(needed, [newest], "the older one is not needed any more");
    let grant = lose(&mut bench, 2, "other");
    assert_eq!((grant.trial, grant.checkpoint), (TrialNumber(0), Some(checkpoint(4, 0))));
    let granted = bench.events.iter().rev().find_map(|event| {
        let Payload::LeaseGranted(granted) = &event.payload else { return None };
        Some((granted.recorded, granted.resumed))
    });
    assert_eq!(granted, Some((Some(5), Some(4))));
    // Epoch 5 was recorded before, and 6 is new.
    let points = [5, 6].map(|epoch| crate::support::point(epoch, 0.5)).to_vec();
    bench.report(2, grant.lease, points).unwrap();
    assert_eq!(bench.view(0).last.map(|last| last.epoch()), Some(6));
}

#[test]
fn a_released_trial_keeps_its_checkpoint() {
    let (mut bench, lease) = bench();
    bench.epochs(lease, 1..=3, 0.5);
    store(&mut bench, 1, lease, checkpoint(3, 5));
    bench.hello(2, "other", 1, 1, &[]);
    bench.say(1, FromWorker::Released { lease, release: Release::Drained }).unwrap();
    assert_eq!(bench.grants()[0].checkpoint, Some(checkpoint(3, 5)));
}

#[test]
fn only_a_checkpoint_that_is_further_is_recorded() {
    let (mut bench, lease) = bench();
    bench.epochs(lease, 1..=5, 0.5);
    store(&mut bench, 1, lease, checkpoint(4, 2));
    let events = bench.events.len();
    for (epoch, batch) in [(4, 2), (4, 1), (3, 900), (0, 0)] {
        store(&mut bench, 1, lease, checkpoint(epoch, batch));
    }
    assert_eq!((bench.events.len(), kept(&bench)), (events, vec![checkpoint(4, 2)]));
    store(&mut bench, 1, lease, checkpoint(4, 3));
    assert_eq!(kept(&bench), [checkpoint(4, 3)]);
}

#[test]
fn a_checkpoint_of_epochs_that_were_not_reported_is_refused() {
    let (mut bench, lease) = bench();
    bench.epochs(lease, 1..=2, 0.5);
    let message = FromWorker::Checkpointed { lease, checkpoint: checkpoint(3, 0) };
    let refusal = bench.say(1, message).unwrap_err();
    assert_eq!(refusal.class(), ErrorClass::Invalid);
    assert!(refusal.to_string().contains("of trial 0 at epoch 3 was reported after epoch 2"));
    assert_eq!(kept(&bench), []);
}

#[test]
fn a_checkpoint_of_a_lease_that_ended_is_revoked() {
    let (mut bench, lease) = bench();
    bench.epochs(lease, 1..=2, 0.5);
    let grant = lose(&mut bench, 2, "other");
    bench.hello(3, "w", 1, 1, &[lease.0]);
    store(&mut bench, 3, lease, checkpoint(2, 0));
    assert!(bench.revokes(lease));
    assert_eq!((grant.checkpoint, kept(&bench)), (None, Vec::new()));
}

#[test]
fn an_ended_trial_needs_no_checkpoint() {
    let (mut bench, lease) = bench();
    bench.epochs(lease, 1..=RUNG_EPOCHS, 0.5);
    store(&mut bench, 1, lease, checkpoint(9, 3));
    bench.finish(1, lease, Outcome::Completed, None).unwrap();
    assert_eq!(bench.core.checkpoints().count(), 0);
    assert_eq!(bench.grants()[0].checkpoint, None, "the scoring trains the winner again");
}

#[test]
fn epochs_that_are_trained_again_are_counted() {
    let (mut bench, lease) = bench();
    bench.epochs(lease, 1..=5, 0.5);
    store(&mut bench, 1, lease, checkpoint(2, 7));
    let again = |bench: &Bench| {
        let view = bench.core.sweep(SWEEP).unwrap();
        assert_eq!(view.retrained_epochs, bench.view(0).retrained_epochs);
        view.retrained_epochs
    };
    let second = lose(&mut bench, 2, "b");
    assert_eq!(again(&bench), 0, "it may be lost before it has trained anything");
    let third = lose(&mut bench, 3, "c");
    assert_eq!((second.checkpoint, third.checkpoint), (Some(checkpoint(2, 7)), second.checkpoint));
    let report = |bench: &mut Bench, session, lease, epochs: std::ops::RangeInclusive<u32>| {
        let points = epochs.map(|epoch| crate::support::point(epoch, 0.5)).collect();
        bench.report(session, lease, points).unwrap();
    };
    report(&mut bench, 3, third.lease, 3..=5);
    assert_eq!(again(&bench), 0);
    report(&mut bench, 3, third.lease, 6..=7);
    assert_eq!(again(&bench), 3, "epochs 3 to 5");
    report(&mut bench, 3, third.lease, 8..=8);
    assert_eq!(again(&bench), 3);
    // The fourth attempt only repeats what is known, and then ends.
    report(&mut bench, 3, third.lease, 9..=RUNG_EPOCHS);
    let fourth = lose(&mut bench, 4, "d");
    report(&mut bench, 4, fourth.lease, 3..=RUNG_EPOCHS);
    bench.finish(4, fourth.lease, Outcome::Completed, None).unwrap();
    assert_eq!(again(&bench), 3 + 8);
    // A restart knows the same.
    let events = bench.events.clone();
    let core = Coordinator::recover(CONFIG, STORE, bench.now, events).unwrap();
    assert_eq!(core.sweep(SWEEP).unwrap().retrained_epochs, 11);
}

#[test]
fn a_checkpoint_that_a_worker_cannot_use_is_dropped() {
    let (mut bench, lease) = bench();
    bench.epochs(lease, 1..=5, 0.5);
    store(&mut bench, 1, lease, checkpoint(4, 0));
    let second = lose(&mut bench, 2, "b");
    let reason = "no such blob".to_owned();
    let restarted = FromWorker::Restarted { lease: second.lease, reason };
    bench.say(2, restarted.clone()).unwrap();
    assert_eq!(kept(&bench), []);
    let events = bench.events.len();
    bench.say(2, restarted).unwrap();
    assert_eq!(bench.events.len(), events, "a repeated message changes nothing");
    // The worker trains all epochs again, and its own checkpoints count.
    let points = (1..=6).map(|epoch| crate::support::point(epoch, 0.5)).collect();
    bench.report(2, second.lease, points).unwrap();
    assert_eq!(bench.view(0).retrained_epochs, 5);
    store(&mut bench, 2, second.lease, checkpoint(1, 0));
    assert_eq!(kept(&bench), [checkpoint(1, 0)]);
}

#[test]
fn a_worker_is_told_that_checkpoints_are_kept() {
    let (mut bench, _) = bench();
    let is_told =
        |message: &ToWorker| matches!(message, ToWorker::Welcome { keeps_checkpoints: true, .. });
    bench.hello(2, "other", 1, 1, &[]);
    let is_sent = |effect: &Effect| matches!(effect, Effect::Send(_, sent) if is_told(sent));
    assert!(bench.effects.iter().any(is_sent));
}
