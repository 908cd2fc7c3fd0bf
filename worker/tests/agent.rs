//! The agent, rule by rule. `agent_model.rs` tries the rules together.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that cannot go on should panic where it stands"
)]

mod support;

use caviar_common::ids::{LeaseId, StoreId};
use caviar_common::message::{Finished, FromWorker, Release, Stored, ToWorker};
use caviar_common::outcome::Outcome;
use caviar_worker::agent::{Agent, Command, End, RunnerEvent};
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
    });
}

fn epochs(agent: &mut Agent, lease: u64, epochs: std::ops::RangeInclusive<u32>) {
    for epoch in epochs {
        agent.on_event(RunnerEvent::Epoch { lease: LeaseId(lease), metrics: point(epoch) });
    }
}

fn result() -> Finished {
    Finished {
        outcome: Outcome::Completed,
        last: None,
        test: None,
        seconds: 1.0,
        memory_bytes: None,
    }
}

fn end(agent: &mut Agent, lease: u64, end: End) {
    agent.on_event(RunnerEvent::Ended { lease: LeaseId(lease), end });
}

fn ack(agent: &mut Agent, lease: u64, stored: Stored) {
    agent.on_message(ToWorker::Ack { lease: LeaseId(lease), stored });
}

/// Everything it has to say, in short: `report 1: 2-3`, `finished 1`, `drained 1`, `declined 1`,
/// `unable 1`.
fn said(agent: &mut Agent) -> Vec<String> {
    let mut all = Vec::new();
    while agent.has_message() {
        all.push(match agent.next_message().unwrap() {
            FromWorker::Report { lease, points } => {
                format!("report {lease}: {}-{}", points[0].epoch, points[points.len() - 1].epoch)
            }
            FromWorker::Finished { lease, .. } => format!("finished {lease}"),
            FromWorker::Released { lease, release: Release::Drained } => format!("drained {lease}"),
            FromWorker::Released { lease, release: Release::Declined } => {
                format!("declined {lease}")
            }
            FromWorker::Released { lease, release: Release::Unable { .. } } => {
                format!("unable {lease}")
            }
            FromWorker::Released { lease, release: Release::TooLarge { .. } } => {
                format!("too large {lease}")
            }
            FromWorker::Hello(_) | FromWorker::Heartbeat => panic!("not the agent's to say"),
        });
    }
    assert_eq!(agent.next_message(), None);
    all
}

/// Everything it wants of the runners, in short: `start 1`, `cancel 1`.
fn wanted(agent: &mut Agent) -> Vec<String> {
    std::iter::from_fn(|| agent.next_command())
        .map(|command| match command {
            Command::Start(grant) => format!("start {}", grant.lease),
            Command::Cancel(lease) => format!("cancel {lease}"),
            Command::Hold(lease) => format!("hold {lease}"),
            Command::Continue(lease) => format!("continue {lease}"),
        })
        .collect()
}

fn held(agent: &mut Agent) -> Vec<u64> {
    agent.hello().held.iter().map(|lease| lease.0).collect()
}

#[test]
fn epochs_that_come_together_are_one_report_and_the_end_comes_after_them() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    assert_eq!(wanted(&mut agent), ["start 1"]);
    epochs(&mut agent, 1, 1..=3);
    assert_eq!(said(&mut agent), ["report 1: 1-3"]);
    epochs(&mut agent, 1, 4..=5);
    end(&mut agent, 1, End::Finished(result()));
    assert_eq!(said(&mut agent), ["report 1: 4-5", "finished 1"]);
    assert_eq!(said(&mut agent), [""; 0]);
}

#[test]
fn what_another_store_granted_is_dropped_before_a_word_is_said_of_it() {
    let mut agent = connected(2);
    agent.on_message(grant(1));
    agent.on_message(grant(2));
    assert_eq!(wanted(&mut agent), ["start 1", "start 2"]);
    epochs(&mut agent, 1, 1..=3);
    end(&mut agent, 1, End::Finished(result()));
    let hello = agent.hello();
    assert_eq!((hello.store, hello.held), (Some(StoreId(1)), vec![LeaseId(1), LeaseId(2)]));
    welcome_from(&mut agent, 2);
    assert_eq!(
        (said(&mut agent), wanted(&mut agent), agent.held()),
        (vec![], vec!["cancel 2".to_owned()], 0)
    );
    // The other store's leases have the same numbers.
    agent.on_message(grant(1));
    assert_eq!(wanted(&mut agent), ["start 1"]);
    let hello = agent.hello();
    assert_eq!((hello.store, hello.held), (Some(StoreId(2)), vec![LeaseId(1)]));
}

#[test]
fn a_grant_twice_is_a_grant_once() {
    let mut agent = connected(2);
    agent.on_message(grant(1));
    agent.on_message(grant(1));
    assert_eq!(wanted(&mut agent), ["start 1"]);
    end(&mut agent, 1, End::Finished(result()));
    agent.on_message(grant(1));
    assert_eq!(wanted(&mut agent), [""; 0]);
    assert_eq!(said(&mut agent), ["finished 1"]);
}

#[test]
fn a_grant_beyond_the_slots_is_given_back() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    agent.on_message(grant(2));
    assert_eq!(
        (wanted(&mut agent), said(&mut agent)),
        (vec!["start 1".to_owned()], vec!["declined 2".to_owned()])
    );
    // An end that nobody acknowledged takes no slot, but there may be only one for each.
    end(&mut agent, 1, End::Finished(result()));
    agent.on_message(grant(3));
    assert_eq!(wanted(&mut agent), ["start 3"]);
    end(&mut agent, 3, End::Finished(result()));
    agent.on_message(grant(4));
    assert_eq!(said(&mut agent), ["declined 4", "finished 1", "finished 3"]);
}

#[test]
fn nothing_is_said_before_the_welcome_and_what_is_unacknowledged_is_said_again() {
    let mut agent = connected(2);
    agent.on_message(grant(1));
    agent.on_message(grant(2));
    epochs(&mut agent, 1, 1..=4);
    epochs(&mut agent, 2, 1..=1);
    assert_eq!(said(&mut agent), ["report 1: 1-4", "report 2: 1-1"]);
    ack(&mut agent, 1, Stored::Epoch(2));
    agent.disconnected();
    epochs(&mut agent, 1, 5..=6);
    end(&mut agent, 1, End::Finished(result()));
    assert_eq!(said(&mut agent), [""; 0]);
    assert_eq!(held(&mut agent), [1, 2]);
    assert_eq!(said(&mut agent), [""; 0]);
    welcome(&mut agent);
    let mut all = said(&mut agent);
    all.sort();
    assert_eq!(all, ["finished 1", "report 1: 3-6", "report 2: 1-1"]);
    ack(&mut agent, 1, Stored::Epoch(6));
    assert_eq!(held(&mut agent), [1, 2]);
    welcome(&mut agent);
    assert_eq!(said(&mut agent), ["report 2: 1-1", "finished 1"]);
    ack(&mut agent, 1, Stored::Finished);
    assert_eq!(held(&mut agent), [2]);
}

#[test]
fn a_revoked_lease_is_cancelled_forgotten_and_keeps_its_slot_until_its_runner_ends() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    epochs(&mut agent, 1, 1..=2);
    agent.on_message(ToWorker::Revoke { lease: LeaseId(1), reason: "stopped".into() });
    assert_eq!(wanted(&mut agent), ["start 1", "cancel 1"]);
    agent.on_message(grant(2));
    epochs(&mut agent, 1, 3..=3);
    assert_eq!((wanted(&mut agent), said(&mut agent)), (vec![], vec![]));
    end(&mut agent, 1, End::Finished(result()));
    assert_eq!((wanted(&mut agent), said(&mut agent)), (vec!["start 2".to_owned()], vec![]));
    assert_eq!(held(&mut agent), [2]);
}

#[test]
fn a_lease_that_is_revoked_while_it_waits_is_never_started() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    agent.on_message(ToWorker::Revoke { lease: LeaseId(1), reason: String::new() });
    agent.on_message(grant(2));
    agent.on_message(ToWorker::Revoke { lease: LeaseId(2), reason: String::new() });
    end(&mut agent, 1, End::Cancelled);
    assert_eq!(wanted(&mut agent), ["start 1", "cancel 1"]);
}

#[test]
fn a_stopped_trial_is_cancelled_and_the_next_grant_has_its_slot() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    epochs(&mut agent, 1, 1..=2);
    agent.on_message(ToWorker::Stop { lease: LeaseId(1), reason: "3 of 3".into() });
    agent.on_message(grant(2));
    assert_eq!(
        (wanted(&mut agent), said(&mut agent)),
        (vec!["start 1".to_owned(), "cancel 1".to_owned()], vec![])
    );
    end(&mut agent, 1, End::Cancelled);
    assert_eq!((wanted(&mut agent), held(&mut agent)), (vec!["start 2".to_owned()], vec![2]));
}

fn park(agent: &mut Agent, lease: u64) {
    agent.on_message(ToWorker::Park { lease: LeaseId(lease) });
}

fn unpark(agent: &mut Agent, lease: u64) {
    agent.on_message(ToWorker::Unpark { lease: LeaseId(lease) });
}

#[test]
fn a_parked_trial_keeps_its_lease_and_gives_its_slot_to_others() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    park(&mut agent, 1);
    agent.on_message(grant(2));
    assert_eq!(wanted(&mut agent), ["start 1", "hold 1", "start 2"]);
    park(&mut agent, 2);
    unpark(&mut agent, 1);
    assert_eq!(wanted(&mut agent), ["hold 2", "continue 1"]);
    // What it had done before it was held is said like anything else.
    epochs(&mut agent, 2, 1..=1);
    assert_eq!(said(&mut agent), ["report 2: 1-1"]);
    agent.on_message(ToWorker::Revoke { lease: LeaseId(2), reason: String::new() });
    assert_eq!((wanted(&mut agent), held(&mut agent)), (vec!["cancel 2".to_owned()], vec![1]));
}

#[test]
fn one_that_is_parked_no_more_waits_for_a_slot_and_one_that_has_not_begun_can_be_parked() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    agent.on_message(ToWorker::Stop { lease: LeaseId(1), reason: String::new() });
    agent.on_message(grant(2));
    park(&mut agent, 2);
    agent.on_message(grant(3));
    assert_eq!(wanted(&mut agent), ["start 1", "cancel 1"]);
    end(&mut agent, 1, End::Cancelled);
    assert_eq!(wanted(&mut agent), ["start 3"]);
    unpark(&mut agent, 2);
    assert_eq!(wanted(&mut agent), [""; 0], "the slot is taken");
    end(&mut agent, 3, End::Finished(result()));
    assert_eq!(wanted(&mut agent), ["start 2"]);
}

#[test]
fn nothing_stays_parked_without_a_connection_or_when_draining() {
    for is_lost in [true, false] {
        let mut agent = connected(1);
        agent.on_message(grant(1));
        park(&mut agent, 1);
        agent.on_message(grant(2));
        assert_eq!(wanted(&mut agent), ["start 1", "hold 1", "start 2"]);
        if is_lost {
            agent.disconnected();
        } else {
            agent.on_message(ToWorker::Drain);
            park(&mut agent, 2);
        }
        end(&mut agent, 2, End::Finished(result()));
        assert_eq!(wanted(&mut agent), ["continue 1"]);
    }
}

#[test]
fn trials_are_not_parked_without_end() {
    let mut agent = connected(1);
    let parked = (1..1_000).take_while(|lease| {
        agent.on_message(grant(*lease));
        park(&mut agent, *lease);
        said(&mut agent).is_empty()
    });
    assert_eq!(parked.count(), 65, "those that are parked, and one that is not");
}

#[test]
fn what_is_said_of_unknown_leases_is_ignored() {
    let mut agent = connected(1);
    ack(&mut agent, 7, Stored::Epoch(3));
    ack(&mut agent, 7, Stored::Finished);
    agent.on_message(ToWorker::Revoke { lease: LeaseId(7), reason: String::new() });
    agent.on_message(ToWorker::Stop { lease: LeaseId(7), reason: String::new() });
    park(&mut agent, 7);
    unpark(&mut agent, 7);
    epochs(&mut agent, 7, 1..=2);
    end(&mut agent, 7, End::Finished(result()));
    assert_eq!((wanted(&mut agent), said(&mut agent), agent.held()), (vec![], vec![], 0));
}

#[test]
fn a_sweep_that_cannot_be_trained_here_is_given_back_once() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    end(&mut agent, 1, End::Unable { message: "no such file".into() });
    assert_eq!(said(&mut agent), ["unable 1"]);
    assert_eq!(held(&mut agent), [0; 0]);
    // Without a connection it is not said at all: the next Hello does not list it.
    welcome(&mut agent);
    agent.on_message(grant(2));
    agent.disconnected();
    end(&mut agent, 2, End::Unable { message: "no such file".into() });
    assert_eq!(held(&mut agent), [0; 0]);
    welcome(&mut agent);
    assert_eq!(said(&mut agent), [""; 0]);
}

#[test]
fn a_release_that_a_lost_connection_did_not_carry_is_not_said_on_the_next() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    end(&mut agent, 1, End::Unable { message: "no such file".into() });
    agent.disconnected();
    assert_eq!(held(&mut agent), [0; 0]);
    welcome(&mut agent);
    assert_eq!(said(&mut agent), [""; 0]);
}

#[test]
fn a_draining_worker_finishes_what_it_holds_and_leaves() {
    let mut agent = connected(2);
    agent.on_message(grant(1));
    agent.on_message(ToWorker::Drain);
    agent.on_message(grant(2));
    assert_eq!(said(&mut agent), ["drained 2"]);
    end(&mut agent, 1, End::Finished(result()));
    assert_eq!(said(&mut agent), ["finished 1"]);
    assert!(!agent.may_exit());
    let hello = agent.hello();
    assert!(hello.draining && hello.held == [LeaseId(1)]);
    welcome(&mut agent);
    ack(&mut agent, 1, Stored::Finished);
    assert!(agent.may_exit());
}

#[test]
fn a_stopping_worker_gives_back_what_is_unfinished_and_hands_in_what_is_finished() {
    let mut agent = connected(2);
    agent.on_message(grant(1));
    agent.on_message(grant(2));
    end(&mut agent, 1, End::Finished(result()));
    agent.stop();
    assert_eq!(wanted(&mut agent), ["start 1", "start 2", "cancel 2"]);
    assert_eq!(said(&mut agent), ["drained 2", "finished 1"]);
    ack(&mut agent, 1, Stored::Finished);
    assert!(!agent.may_exit(), "a runner has not ended");
    end(&mut agent, 2, End::Cancelled);
    assert!(agent.may_exit());
}

#[test]
fn a_worker_at_work_never_leaves() {
    let mut agent = connected(1);
    assert!(!agent.may_exit());
    agent.disconnected();
    assert!(!agent.may_exit());
    agent.stop();
    assert!(agent.may_exit());
}

#[test]
fn a_stopping_worker_without_a_connection_waits_for_its_runners_alone() {
    let mut agent = connected(1);
    agent.on_message(grant(1));
    agent.disconnected();
    agent.stop();
    assert!(!agent.may_exit());
    end(&mut agent, 1, End::Cancelled);
    assert!(agent.may_exit());
}

#[test]
fn a_flood_of_grants_is_not_read_on_without_end() {
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
fn no_lease_speaks_alone() {
    let mut agent = connected(3);
    (1..=3).for_each(|lease| agent.on_message(grant(lease)));
    let mut speakers = Vec::new();
    for epoch in 1..=6 {
        (1..=3).for_each(|lease| epochs(&mut agent, lease, epoch..=epoch));
        // The wire takes one message only.
        match agent.next_message() {
            Some(FromWorker::Report { lease, .. }) => speakers.push(lease.0),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(speakers, [1, 2, 3, 1, 2, 3]);
}
