//! Early stopping with the programs that users start: one slot, few slots, a worker killed in the middle; the same export, and the slot
//! of a trial that was stopped trains the next one.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests say at once what failed")]

use std::path::PathBuf;

use caviar_proto::v1;
use caviar_tests::processes::{Coordinator, caviar_ok, export, worker};
use caviar_tests::watch::{block_on, client, is_completed, until};
use serde_json::Value;

/// Rungs at 2 and 6. With one slot for each trial in flight, nothing is parked; with one slot for all of them, much is.
const SWEEP: &str = r#"
name = "rungs"
seed = 11
[data]
source = "builtin:digits"
[fixed]
epochs = 18
[space]
learning_rate = { low = 1e-4, high = 1.0 }
units = { low = 32, high = 160 }
[search]
strategy = "random"
trials = 12
parallelism = 4
[stopping]
rule = "halving"
"#;

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(sweep: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("rungs.toml"), sweep).expect("the folder can be written");
        Self { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn start(&self) -> Coordinator {
        let coordinator = Coordinator::start(&PathBuf::from(self.path("rungs.db")), None);
        caviar_ok(&["submit", &self.path("rungs.toml"), "--coordinator", &coordinator.url]);
        coordinator
    }

    /// What one process finds.
    fn run(&self, slots: &str) -> Value {
        let store = self.path("rungs.db");
        caviar_ok(&["run", &self.path("rungs.toml"), "--slots", slots, "--store", &store]);
        export("rungs", &["--store", &store])
    }
}

fn finish(coordinator: &Coordinator) -> Value {
    until(&coordinator.url, "rungs", is_completed);
    export("rungs", &["--coordinator", &coordinator.url])
}

#[test]
fn slots_and_a_killed_worker_change_nothing() {
    let expected = Place::new(SWEEP).run("1");
    let states: Vec<&str> = expected["trials"].as_array().into_iter().flatten().filter_map(|t| t["state"].as_str()).collect();
    assert_eq!(states.len(), 12);
    assert!(states.contains(&"stopped") && states.contains(&"completed"), "{states:?}");
    assert_eq!(Place::new(SWEEP).run("2"), expected);
    let place = Place::new(SWEEP);
    let coordinator = place.start();
    let mut killed = worker(&coordinator.url, "a", 2);
    until(&coordinator.url, "rungs", |s| s.counts.is_some_and(|c| c.stopped > 0 && c.running > 0));
    killed.kill();
    let _other = worker(&coordinator.url, "b", 2);
    assert_eq!(finish(&coordinator), expected);
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
    let place = Place::new(LONG);
    let coordinator = place.start();
    let _worker = worker(&coordinator.url, "a", 4);
    let (trial, sweep) = block_on(async {
        let mut client = client(&coordinator.url).await;
        let request = v1::WatchSweepRequest { sweep: "rungs".to_owned() };
        let mut sweeps = client.watch_sweep(request).await.expect("the sweep is there").into_inner();
        while sweeps.message().await.expect("the stream goes on").expect("a trial stops").counts.is_none_or(|c| c.stopped == 0) {}
        let request = v1::WatchTrialRequest { sweep: "rungs".to_owned(), trial: 4 };
        let mut trials = client.watch_trial(request).await.expect("a stop makes room for another").into_inner();
        loop {
            let trial = trials.message().await.expect("the stream goes on").expect("it is trained");
            if !trial.curve.is_empty() {
                let request = v1::GetSweepRequest { sweep: "rungs".to_owned() };
                return (trial, client.get_sweep(request).await.expect("the sweep is there").into_inner());
            }
        }
    });
    let counts = sweep.counts.expect("a sweep has counts");
    assert_eq!((counts.completed, counts.diverged, counts.failed), (0, 0, 0), "no other slot was free");
    assert!(trial.reason.is_some_and(|reason| reason.seen >= 2), "one that passed, and one that was stopped");
}
