//! Early stopping with the programs that users start. The export is the same with one slot or
//! eight, one process or three, and after a worker was killed. The slot of a stopped trial trains
//! the next one.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests say at once what failed")]

use std::path::Path;
use std::sync::OnceLock;

use caviar_common::reason::Reason;
use caviar_coordinator::store::Store;
use caviar_coordinator::store::sqlite::SqliteStore;
use caviar_core::event::{Event, Payload};
use caviar_core::replay_decisions;
use caviar_proto::v1;
use caviar_tests::processes::{Place, worker};
use caviar_tests::watch::{block_on, client, until};
use serde_json::Value;

const TRIALS: usize = 20;

/// Rungs at 2 and 6. With one slot for each trial in flight, no trial is parked. With one slot for
/// all of them, many trials are.
const SWEEP: &str = r#"
name = "rungs"
seed = 11
[data]
source = "builtin:digits"
[fixed]
epochs = 18
[space]
learning_rate = { low = 1e-4, high = 1.0 }
momentum = { low = 0.5, high = 0.99 }
units = { low = 32, high = 160 }
activation = { choices = ["relu", "tanh"] }
[search]
strategy = "zoom"
trials = 20
parallelism = 4
[stopping]
rule = "halving"
"#;

fn place() -> Place {
    Place::new("rungs", SWEEP)
}

/// The number of trials whose field has the value `what`.
fn count(export: &Value, field: fn(&Value) -> &Value, what: &str) -> usize {
    export["trials"].as_array().into_iter().flatten().filter(|trial| field(trial) == what).count()
}

/// The export of one process with one slot, to which all others must be equal.
fn expected() -> &'static Value {
    static EXPECTED: OnceLock<Value> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let value = place().run("1");
        let (stopped, completed) = (
            count(&value, |t| &t["state"], "stopped"),
            count(&value, |t| &t["state"], "completed"),
        );
        assert!(
            stopped >= 5 && completed >= 2 && stopped + completed == TRIALS,
            "{stopped} stopped, {completed} completed"
        );
        let ranked = count(&value, |t| &t["reason"]["source"], "ranked");
        assert!(ranked >= TRIALS / 2, "{ranked} trials were chosen by the model");
        value
    })
}

#[test]
fn two_slots_and_eight_find_what_one_finds() {
    for slots in ["2", "8"] {
        assert_eq!(&place().run(slots), expected(), "{slots} slots");
    }
}

#[test]
fn three_programs_find_what_one_finds() {
    let place = place();
    let coordinator = place.submit();
    let _workers = [worker(&coordinator.url, "a", 2), worker(&coordinator.url, "b", 2)];
    assert_eq!(&place.finish(&coordinator).0, expected());
}

#[test]
fn a_killed_worker_changes_neither_who_is_stopped_nor_what_is_tried() {
    let place = place();
    let coordinator = place.submit();
    let mut killed = worker(&coordinator.url, "a", 2);
    until(&coordinator.url, "rungs", |s| s.counts.is_some_and(|c| c.stopped > 2 && c.running > 0));
    killed.kill();
    let _other = worker(&coordinator.url, "b", 2);
    let (found, again) = place.finish(&coordinator);
    assert!(again, "the kill hit no trial");
    assert_eq!(&found, expected());
}

#[test]
fn what_was_decided_in_the_order_of_arrival_is_decided_again_from_the_record() {
    let file = SWEEP.replace("parallelism = 4", "parallelism = 4\norder = \"as_completed\"");
    let place = Place::new("rungs", &file);
    let export = place.run("2");
    assert!(count(&export, |t| &t["state"], "stopped") > 0, "nothing was stopped");
    let mut store = SqliteStore::open(Path::new(&place.store())).expect("no process has it open");
    let events = store.load().expect("the store can be read");
    let mut events: Vec<Event> =
        events.map(|event| event.expect("every event can be read").1).collect();
    assert_eq!(replay_decisions(&events), Ok(Vec::new()));
    // A changed record is detected: the last trial now claims to have seen one result less.
    let sampled = events.iter_mut().filter_map(|event| {
        if let Payload::TrialSampled(sampled) = &mut event.payload {
            Some(&mut sampled.reason)
        } else {
            None
        }
    });
    let mut sampled: Vec<&mut Reason> = sampled.collect();
    assert_eq!(sampled.len(), TRIALS);
    sampled.last_mut().expect("there are trials").seen -= 1;
    assert_eq!(replay_decisions(&events).expect("the events fit").len(), 1);
}

/// Rungs at 100, 300 and 900.
const LONG: &str = r#"
name = "rungs"
seed = 11
[data]
source = "builtin:digits"
[fixed]
epochs = 1600
units = 8
layers = 1
batch_size = 256
[space]
learning_rate = { low = 1e-4, high = 0.1 }
[search]
strategy = "random"
trials = 5
parallelism = 4
[stopping]
rule = "halving"
"#;

#[test]
fn the_slot_of_a_stopped_trial_trains_the_next_one_while_the_others_go_on() {
    let place = Place::new("rungs", LONG);
    let coordinator = place.submit();
    let _worker = worker(&coordinator.url, "a", 4);
    let (trial, sweep) = block_on(async {
        let mut client = client(&coordinator.url).await;
        let request = v1::WatchSweepRequest { sweep: "rungs".to_owned() };
        let mut sweeps =
            client.watch_sweep(request).await.expect("the sweep is there").into_inner();
        while sweeps
            .message()
            .await
            .expect("the stream goes on")
            .expect("a trial stops")
            .counts
            .is_none_or(|c| c.stopped == 0)
        {}
        let request = v1::WatchTrialRequest { sweep: "rungs".to_owned(), trial: 4 };
        let mut trials =
            client.watch_trial(request).await.expect("a stop makes room for another").into_inner();
        loop {
            let trial = trials.message().await.expect("the stream goes on").expect("it is trained");
            if !trial.curve.is_empty() {
                let request = v1::GetSweepRequest { sweep: "rungs".to_owned() };
                return (
                    trial,
                    client.get_sweep(request).await.expect("the sweep is there").into_inner(),
                );
            }
        }
    });
    let counts = sweep.counts.expect("a sweep has counts");
    assert_eq!(
        (counts.completed, counts.diverged, counts.failed),
        (0, 0, 0),
        "no other slot was free"
    );
    assert!(
        trial.reason.is_some_and(|reason| reason.seen >= 2),
        "one that passed, and one that was stopped"
    );
}
