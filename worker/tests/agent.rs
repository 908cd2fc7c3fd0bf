//! Tests of the agent, rule by rule. `agent_model.rs` tests the rules together.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot continue should panic at the place of the fault"
)]

#[path = "support/short.rs"]
mod short;
mod support;

use caviar_common::blob::{Blob, BlobName};
use caviar_common::ids::{LeaseId, StoreId};
use caviar_common::message::{Checkpoint, Finished, FromWorker, Stored, ToWorker};
use caviar_common::outcome::Outcome;
use caviar_worker::agent::{Agent, End, RunnerEvent, State};
use short::{commands, messages};
use support::{agent, point};

fn connected(slots: u32) -> Agent {
    let mut agent = agent(slots);
    assert_eq!(agent.hello().held, []);
    welcome(&mut agent);
    agent
}

fn grant(lease: u64) -> ToWorker {
    support::grant(LeaseId(lease))
}

fn welcome(agent: &mut Agent) {
    welcome_from(agent, 1);
}

fn welcome_from(agent: &mut Agent, store: u64) {
    agent.on_message(ToWorker::Welcome {
        heartbeat_ms: 1_000,
        lease_ttl_ms: 5_000,
        store: StoreId(store),
        keeps_checkpoints: true,
    });
}

fn epochs(agent: &mut Agent, lease: u64, epochs: std::ops::RangeInclusive<u32>) {
    for epoch in epochs {
        agent.on_event(RunnerEvent::Epoch {
            lease: LeaseId(lease),
            metrics: point(epoch),
            seconds: f64::from(epoch),
        });
    }
}

fn completed() -> Finished {
    Finished {
        outcome: Outcome::Completed,
        last: None,
        test: None,
        seconds: 1.0,
        memory_bytes: None,
        model: None,
    }
}

fn end(agent: &mut Agent, lease: u64, end: End) {
    agent.on_event(RunnerEvent::Ended { lease: LeaseId(lease), end });
}

fn ack(agent: &mut Agent, lease: u64, stored: Stored) {
    agent.on_message(ToWorker::Ack { lease: LeaseId(lease), stored });
}

fn leases_in_hello(agent: &mut Agent) -> Vec<u64> {
    agent.hello().held.iter().map(|lease| lease.0).collect()
}

#[test]
fn unsent_epochs_go_into_one_report_and_the_result_follows_them() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    assert_eq!(commands(&mut agent), ["start 1"]);
    epochs(&mut agent, 1, 1..=3);
    assert_eq!(messages(&mut agent), ["report 1: 1-3"]);
    epochs(&mut agent, 1, 4..=5);
    end(&mut agent, 1, End::Finished(completed()));
    assert_eq!(messages(&mut agent), ["report 1: 4-5", "finished 1"]);
    assert_eq!(messages(&mut agent), [""; 0]);
}

#[test]
fn leases_of_another_store_are_dropped_before_any_message_about_them() {
    let mut agent = connected(2);
    agent.on_message(grant(1));
    agent.on_message(grant(2));
    assert_eq!(commands(&mut agent), ["start 1", "start 2"]);
    epochs(&mut agent, 1, 1..=3);
    end(&mut agent, 1, End::Finished(completed()));
    let hello = agent.hello();
    assert_eq!((hello.store, hello.held), (Some(StoreId(1)), vec![LeaseId(1), LeaseId(2)]));
    welcome_from(&mut agent, 2);
    assert_eq!(
        (messages(&mut agent), commands(&mut agent), agent.held_leases()),
        (vec![], vec!["cancel 2".to_owned()], 0)
    );
    // The leases of the other store have the same ids.
    agent.on_message(grant(1));
    assert_eq!(commands(&mut agent), ["start 1"]);
    let hello = agent.hello();
    assert_eq!((hello.store, hello.held), (Some(StoreId(2)), vec![LeaseId(1)]));
}

#[test]
fn a_repeated_grant_is_ignored() {
    let mut agent = connected(2);
    agent.on_message(grant(1));
    agent.on_message(grant(1));
    assert_eq!(commands(&mut agent), ["start 1"]);
    end(&mut agent, 1, End::Finished(completed()));
    agent.on_message(grant(1));
    assert_eq!(commands(&mut agent), [""; 0]);
    assert_eq!(messages(&mut agent), ["finished 1"]);
}

#[test]
fn a_grant_without_a_free_slot_is_declined() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    agent.on_message(grant(2));
    assert_eq!(
        (commands(&mut agent), messages(&mut agent)),
        (vec!["start 1".to_owned()], vec!["declined 2".to_owned()])
    );
    // An unacknowledged result uses no slot, but there may be only one for each slot.
    end(&mut agent, 1, End::Finished(completed()));
    agent.on_message(grant(3));
    assert_eq!(commands(&mut agent), ["start 3"]);
    end(&mut agent, 3, End::Finished(completed()));
    agent.on_message(grant(4));
    assert_eq!(messages(&mut agent), ["declined 4", "finished 1", "finished 3"]);
}

#[test]
fn nothing_is_sent_before_the_welcome_and_unacknowledged_messages_are_sent_again() {
    let mut agent = connected(2);
    agent.on_message(grant(1));
    agent.on_message(grant(2));
    epochs(&mut agent, 1, 1..=4);
    epochs(&mut agent, 2, 1..=1);
    assert_eq!(messages(&mut agent), ["report 1: 1-4", "report 2: 1-1"]);
    ack(&mut agent, 1, Stored::Epoch(2));
    agent.disconnected();
    epochs(&mut agent, 1, 5..=6);
    end(&mut agent, 1, End::Finished(completed()));
    assert_eq!(messages(&mut agent), [""; 0]);
    assert_eq!(leases_in_hello(&mut agent), [1, 2]);
    assert_eq!(messages(&mut agent), [""; 0]);
    welcome(&mut agent);
    let mut all = messages(&mut agent);
    all.sort();
    assert_eq!(all, ["finished 1", "report 1: 3-6", "report 2: 1-1"]);
    ack(&mut agent, 1, Stored::Epoch(6));
    assert_eq!(leases_in_hello(&mut agent), [1, 2]);
    welcome(&mut agent);
    assert_eq!(messages(&mut agent), ["report 2: 1-1", "finished 1"]);
    ack(&mut agent, 1, Stored::Finished);
    assert_eq!(leases_in_hello(&mut agent), [2]);
}

#[test]
fn a_revoked_lease_is_forgotten_and_its_slot_is_free_when_its_runner_has_ended() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    epochs(&mut agent, 1, 1..=2);
    agent.on_message(ToWorker::Revoke { lease: LeaseId(1), reason: "stopped".into() });
    assert_eq!(commands(&mut agent), ["start 1", "cancel 1"]);
    agent.on_message(grant(2));
    epochs(&mut agent, 1, 3..=3);
    assert_eq!((commands(&mut agent), messages(&mut agent)), (vec![], vec![]));
    end(&mut agent, 1, End::Finished(completed()));
    assert_eq!((commands(&mut agent), messages(&mut agent)), (vec!["start 2".to_owned()], vec![]));
    assert_eq!(leases_in_hello(&mut agent), [2]);
}

#[test]
fn a_slot_whose_job_does_not_stop_is_not_used_until_it_does() {
    let mut agent = connected(2);
    for lease in [1, 2] {
        agent.on_message(grant(lease));
    }
    agent.on_message(ToWorker::Revoke { lease: LeaseId(1), reason: "it hangs".into() });
    agent.on_message(grant(3));
    assert_eq!(commands(&mut agent), ["start 1", "start 2", "cancel 1"]);
    let stuck = |agent: &mut Agent| match agent.heartbeat(Vec::new()) {
        (FromWorker::Heartbeat { stuck, .. }, found) => (stuck, found),
        (other, _) => panic!("{other:?} is no heartbeat"),
    };
    let waiting = vec![LeaseId(2), LeaseId(3)];
    assert_eq!(
        agent.heartbeat(vec![LeaseId(1), LeaseId(2)]).0,
        FromWorker::Heartbeat { stuck: 0, waiting },
        "it may stop at its next mini-batch, and 3 waits for its slot"
    );
    assert!(messages(&mut agent).is_empty());
    assert_eq!(stuck(&mut agent), (1, vec![LeaseId(1)]));
    assert_eq!(messages(&mut agent), ["declined 3"], "nothing ends its wait");
    assert_eq!(stuck(&mut agent), (1, vec![]), "said once");
    agent.on_message(grant(4));
    assert_eq!(messages(&mut agent), ["declined 4"]);
    end(&mut agent, 1, End::Cancelled);
    assert_eq!(stuck(&mut agent), (0, vec![]));
    agent.on_message(grant(5));
    assert_eq!(commands(&mut agent), ["start 5"]);
}

#[test]
fn a_lease_that_is_revoked_while_it_waits_is_never_started() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    agent.on_message(ToWorker::Revoke { lease: LeaseId(1), reason: String::new() });
    agent.on_message(grant(2));
    agent.on_message(ToWorker::Revoke { lease: LeaseId(2), reason: String::new() });
    end(&mut agent, 1, End::Cancelled);
    assert_eq!(commands(&mut agent), ["start 1", "cancel 1"]);
}

#[test]
fn a_stopped_trial_is_cancelled_and_the_next_grant_gets_its_slot() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    epochs(&mut agent, 1, 1..=2);
    agent.on_message(ToWorker::Stop { lease: LeaseId(1), reason: "3 of 3".into() });
    agent.on_message(grant(2));
    assert_eq!(
        (commands(&mut agent), messages(&mut agent)),
        (vec!["start 1".to_owned(), "cancel 1".to_owned()], vec![])
    );
    end(&mut agent, 1, End::Cancelled);
    assert_eq!(
        (commands(&mut agent), leases_in_hello(&mut agent)),
        (vec!["start 2".to_owned()], vec![2])
    );
}

fn park(agent: &mut Agent, lease: u64) {
    agent.on_message(ToWorker::Park { lease: LeaseId(lease) });
}

fn unpark(agent: &mut Agent, lease: u64) {
    agent.on_message(ToWorker::Unpark { lease: LeaseId(lease) });
}

#[test]
fn a_parked_trial_keeps_its_lease_and_frees_its_slot() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    park(&mut agent, 1);
    agent.on_message(grant(2));
    assert_eq!(commands(&mut agent), ["start 1", "park 1", "start 2"]);
    park(&mut agent, 2);
    unpark(&mut agent, 1);
    assert_eq!(commands(&mut agent), ["park 2", "unpark 1"]);
    // Epochs from before it was parked are reported as usual.
    epochs(&mut agent, 2, 1..=1);
    assert_eq!(messages(&mut agent), ["report 2: 1-1"]);
    agent.on_message(ToWorker::Revoke { lease: LeaseId(2), reason: String::new() });
    assert_eq!(
        (commands(&mut agent), leases_in_hello(&mut agent)),
        (vec!["cancel 2".to_owned()], vec![1])
    );
}

#[test]
fn a_trial_can_be_parked_before_it_starts_and_waits_for_a_slot_when_it_is_unparked() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    agent.on_message(ToWorker::Stop { lease: LeaseId(1), reason: String::new() });
    agent.on_message(grant(2));
    park(&mut agent, 2);
    agent.on_message(grant(3));
    assert_eq!(commands(&mut agent), ["start 1", "cancel 1"]);
    end(&mut agent, 1, End::Cancelled);
    assert_eq!(commands(&mut agent), ["start 3"]);
    unpark(&mut agent, 2);
    assert_eq!(commands(&mut agent), [""; 0], "the slot is taken");
    end(&mut agent, 3, End::Finished(completed()));
    assert_eq!(commands(&mut agent), ["start 2"]);
}

#[test]
fn nothing_stays_parked_without_a_connection_or_when_draining() {
    for is_lost in [true, false] {
        let mut agent = connected(1);
        agent.on_message(grant(1));
        park(&mut agent, 1);
        agent.on_message(grant(2));
        assert_eq!(commands(&mut agent), ["start 1", "park 1", "start 2"]);
        if is_lost {
            agent.disconnected();
        } else {
            agent.on_message(ToWorker::Drain);
            park(&mut agent, 2);
        }
        end(&mut agent, 2, End::Finished(completed()));
        assert_eq!(commands(&mut agent), ["unpark 1"]);
    }
}

#[test]
fn the_number_of_parked_trials_is_limited() {
    let mut agent = connected(1);
    let parked = (1..1_000).take_while(|lease| {
        agent.on_message(grant(*lease));
        park(&mut agent, *lease);
        messages(&mut agent).is_empty()
    });
    assert_eq!(parked.count(), 65, "64 that are parked, and one that is not");
}

#[test]
fn messages_and_events_about_unknown_leases_are_ignored() {
    let mut agent = connected(1);
    ack(&mut agent, 7, Stored::Epoch(3));
    ack(&mut agent, 7, Stored::Finished);
    agent.on_message(ToWorker::Revoke { lease: LeaseId(7), reason: String::new() });
    agent.on_message(ToWorker::Stop { lease: LeaseId(7), reason: String::new() });
    park(&mut agent, 7);
    unpark(&mut agent, 7);
    epochs(&mut agent, 7, 1..=2);
    end(&mut agent, 7, End::Finished(completed()));
    assert_eq!(
        (commands(&mut agent), messages(&mut agent), agent.held_leases()),
        (vec![], vec![], 0)
    );
}

#[test]
fn a_sweep_that_this_worker_cannot_train_is_given_back_once() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    end(&mut agent, 1, End::Unable { message: "no such file".into() });
    assert_eq!(messages(&mut agent), ["unable 1"]);
    assert_eq!(leases_in_hello(&mut agent), [0; 0]);
    // Without a connection it is not sent at all: the next Hello does not list the lease.
    welcome(&mut agent);
    agent.on_message(grant(2));
    agent.disconnected();
    end(&mut agent, 2, End::Unable { message: "no such file".into() });
    assert_eq!(leases_in_hello(&mut agent), [0; 0]);
    welcome(&mut agent);
    assert_eq!(messages(&mut agent), [""; 0]);
}

#[test]
fn a_release_that_a_lost_connection_did_not_carry_is_not_sent_on_the_next_one() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    end(&mut agent, 1, End::Unable { message: "no such file".into() });
    agent.disconnected();
    assert_eq!(leases_in_hello(&mut agent), [0; 0]);
    welcome(&mut agent);
    assert_eq!(messages(&mut agent), [""; 0]);
}

#[test]
fn a_draining_worker_finishes_its_leases_and_exits() {
    let mut agent = connected(2);
    agent.on_message(grant(1));
    agent.on_message(ToWorker::Drain);
    agent.on_message(grant(2));
    assert_eq!(messages(&mut agent), ["drained 2"]);
    end(&mut agent, 1, End::Finished(completed()));
    assert_eq!(messages(&mut agent), ["finished 1"]);
    assert!(!agent.may_exit());
    let hello = agent.hello();
    assert!(hello.draining && hello.held == [LeaseId(1)]);
    welcome(&mut agent);
    ack(&mut agent, 1, Stored::Finished);
    assert!(agent.may_exit());
}

#[test]
fn a_stopping_worker_releases_unfinished_leases_and_delivers_results() {
    let mut agent = connected(2);
    agent.on_message(grant(1));
    agent.on_message(grant(2));
    end(&mut agent, 1, End::Finished(completed()));
    agent.stop();
    assert_eq!(commands(&mut agent), ["start 1", "start 2", "leave 2"]);
    assert_eq!(messages(&mut agent), ["finished 1"]);
    ack(&mut agent, 1, Stored::Finished);
    assert!(!agent.may_exit(), "a runner has not ended");
    end(&mut agent, 2, End::Cancelled);
    assert_eq!(messages(&mut agent), ["drained 2"]);
    assert!(agent.may_exit());
}

/// A runner has written a checkpoint.
fn write_checkpoint(agent: &mut Agent, lease: u64, epoch: u32) {
    let state = Box::new(State { epoch, batch: 0, bytes: vec![1, 2].into() });
    agent.on_event(RunnerEvent::Checkpoint { lease: LeaseId(lease), state });
}

/// A checkpoint was stored.
fn stored(agent: &mut Agent, lease: u64, epoch: u32) {
    let name = BlobName::from_hash([epoch.to_le_bytes()[0]; 32]);
    let checkpoint = Checkpoint { epoch, batch: 0, blob: Blob { name, bytes: 2 } };
    agent.on_stored(LeaseId(lease), Some(checkpoint));
}

#[test]
fn a_checkpoint_is_sent_after_it_is_stored_and_after_its_epochs() {
    let mut agent = connected(2);
    agent.on_message(grant(1));
    epochs(&mut agent, 1, 1..=2);
    write_checkpoint(&mut agent, 1, 2);
    assert_eq!(commands(&mut agent), ["start 1", "store 1: 2"]);
    stored(&mut agent, 1, 2);
    epochs(&mut agent, 1, 3..=3);
    assert_eq!(messages(&mut agent), ["report 1: 1-3", "checkpoint 1: 2"]);
    assert_eq!(messages(&mut agent), [""; 0]);
    // The coordinator may not have read it when the connection broke.
    ack(&mut agent, 1, Stored::Epoch(3));
    assert_eq!(leases_in_hello(&mut agent), [1]);
    welcome(&mut agent);
    assert_eq!(messages(&mut agent), ["checkpoint 1: 2"]);
    // Uploads can overtake each other.
    stored(&mut agent, 1, 1);
    assert_eq!(messages(&mut agent), [""; 0]);
    stored(&mut agent, 1, 3);
    assert_eq!(messages(&mut agent), ["checkpoint 1: 3"]);
}

#[test]
fn a_coordinator_that_keeps_no_checkpoints_gets_none() {
    let mut agent = agent(1);
    agent.hello();
    agent.on_message(ToWorker::Welcome {
        heartbeat_ms: 1_000,
        lease_ttl_ms: 5_000,
        store: StoreId(1),
        keeps_checkpoints: false,
    });
    agent.on_message(grant(1));
    write_checkpoint(&mut agent, 1, 0);
    agent.on_event(RunnerEvent::Restarted { lease: LeaseId(1), reason: String::new() });
    assert_eq!(commands(&mut agent), ["start 1", "discard 1"]);
    agent.stop();
    write_checkpoint(&mut agent, 1, 0);
    assert_eq!(commands(&mut agent), ["leave 1", "discard 1"]);
    end(&mut agent, 1, End::Cancelled);
    assert_eq!(messages(&mut agent), ["drained 1"]);
}

#[test]
fn a_worker_says_before_its_epochs_that_it_began_again() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    agent.on_event(RunnerEvent::Restarted { lease: LeaseId(1), reason: "gone".into() });
    epochs(&mut agent, 1, 1..=1);
    assert_eq!(messages(&mut agent), ["restarted 1", "report 1: 1-1"]);
    // Nothing of it arrived.
    agent.hello();
    welcome(&mut agent);
    assert_eq!(messages(&mut agent), ["restarted 1", "report 1: 1-1"]);
    ack(&mut agent, 1, Stored::Epoch(1));
    agent.hello();
    welcome(&mut agent);
    assert!(messages(&mut agent).is_empty());
}

#[test]
fn a_stopping_worker_releases_a_lease_after_its_checkpoint() {
    let mut agent = connected(2);
    agent.on_message(grant(1));
    park(&mut agent, 1);
    agent.on_message(grant(2));
    agent.on_message(grant(3));
    agent.stop();
    assert_eq!(
        commands(&mut agent),
        ["start 1", "park 1", "start 2", "start 3", "leave 1", "leave 2", "leave 3"]
    );
    epochs(&mut agent, 2, 1..=1);
    write_checkpoint(&mut agent, 1, 0);
    write_checkpoint(&mut agent, 2, 1);
    end(&mut agent, 1, End::Cancelled);
    end(&mut agent, 2, End::Cancelled);
    assert_eq!(messages(&mut agent), ["report 2: 1-1"], "nothing is stored yet");
    stored(&mut agent, 2, 1);
    assert_eq!(messages(&mut agent), ["checkpoint 2: 1", "drained 2"]);
    // Storing the other one fails.
    agent.on_stored(LeaseId(1), None);
    assert_eq!(messages(&mut agent), ["drained 1"]);
    // A trial that ends at the same time has a result.
    end(&mut agent, 3, End::Finished(completed()));
    assert_eq!(messages(&mut agent), ["finished 3"]);
    ack(&mut agent, 3, Stored::Finished);
    assert!(agent.may_exit());
}

#[test]
fn a_stopping_worker_does_not_wait_for_checkpoints_indefinitely() {
    let mut agent = connected(2);
    agent.on_message(grant(1));
    agent.on_message(grant(2));
    epochs(&mut agent, 1, 1..=2);
    agent.stop();
    write_checkpoint(&mut agent, 1, 2);
    end(&mut agent, 1, End::Cancelled);
    agent.stop_waiting();
    assert_eq!(messages(&mut agent), ["report 1: 1-2", "drained 2", "drained 1"]);
    assert!(!agent.may_exit(), "the runner of 2 is in a long mini-batch");
    // What arrives later is ignored.
    stored(&mut agent, 1, 2);
    write_checkpoint(&mut agent, 2, 0);
    end(&mut agent, 2, End::Cancelled);
    assert_eq!(messages(&mut agent), [""; 0]);
    assert!(agent.may_exit());
}

#[test]
fn a_lease_that_is_revoked_while_its_runner_leaves_is_forgotten() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    agent.stop();
    agent.on_message(ToWorker::Revoke { lease: LeaseId(1), reason: String::new() });
    assert_eq!(commands(&mut agent), ["start 1", "leave 1", "cancel 1"]);
    end(&mut agent, 1, End::Cancelled);
    assert_eq!(messages(&mut agent), [""; 0]);
    assert!(agent.may_exit());
}

#[test]
fn a_checkpoint_that_is_stored_without_a_connection_is_sent_on_the_next_one() {
    let mut agent = connected(2);
    agent.on_message(grant(1));
    agent.on_message(grant(2));
    agent.stop();
    write_checkpoint(&mut agent, 1, 0);
    agent.disconnected();
    end(&mut agent, 1, End::Cancelled);
    end(&mut agent, 2, End::Cancelled);
    stored(&mut agent, 1, 0);
    assert_eq!(leases_in_hello(&mut agent), [1], "lease 2 has nothing to say");
    welcome(&mut agent);
    assert_eq!(messages(&mut agent), ["checkpoint 1: 0", "drained 1"]);
    assert!(agent.may_exit());
}

#[test]
fn a_worker_that_was_not_asked_to_exit_never_does() {
    let mut agent = connected(1);
    assert!(!agent.may_exit());
    agent.disconnected();
    assert!(!agent.may_exit());
    agent.stop();
    assert!(agent.may_exit());
}

#[test]
fn a_stopping_worker_without_a_connection_waits_only_for_its_runners() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    agent.disconnected();
    agent.stop();
    assert!(!agent.may_exit());
    end(&mut agent, 1, End::Cancelled);
    assert!(agent.may_exit());
}

#[test]
fn the_worker_stops_reading_when_too_many_releases_are_unsent() {
    let mut agent = connected(1);
    let read = (1..5_000).take_while(|lease| {
        agent.on_message(grant(*lease));
        agent.accepts_messages()
    });
    assert_eq!(read.count(), 4_096);
    while agent.next_message().is_some() {}
    assert!(agent.accepts_messages());
}

#[test]
fn leases_take_turns_to_report() {
    let mut agent = connected(3);
    (1..=3).for_each(|lease| agent.on_message(grant(lease)));
    let mut senders = Vec::new();
    for epoch in 1..=6 {
        (1..=3).for_each(|lease| epochs(&mut agent, lease, epoch..=epoch));
        // The connection takes only one message per epoch.
        match agent.next_message() {
            Some(FromWorker::Report { lease, .. }) => senders.push(lease.0),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(senders, [1, 2, 3, 1, 2, 3]);
}
