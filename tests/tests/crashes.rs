//! The export is the same with one or many slots, one process or five, and with or without
//! `kill -9`. These tests run the programs that users start.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails with the reason at once"
)]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use caviar_proto::v1;
use caviar_tests::processes::{Coordinator, Place, Process, caviar_ok, program, worker};
use caviar_tests::watch::{done, is_in_training, until};
use nix::sys::signal::Signal;
use serde_json::Value;

const TRIALS: usize = 14;
/// Epochs of each trial.
const EPOCHS: usize = 25;

/// A sweep that is short enough for a test and long enough to be killed while it runs.
const SWEEP: &str = r#"
name = "crash"
seed = 11
[data]
source = "builtin:digits"
[fixed]
epochs = 25
[space]
learning_rate = { low = 1e-3, high = 1.0 }
units = { low = 32, high = 160 }
layers = { low = 1, high = 3 }
[search]
strategy = "rounds"
trials = 14
rounds = [8, 6]
parallelism = 4
"#;

fn place() -> Place {
    Place::new("crash", SWEEP)
}

/// The log that SQLite keeps next to a store in use.
fn wal(store: &str) -> PathBuf {
    PathBuf::from(format!("{store}-wal"))
}

/// The export of one process with one slot, to which all others must be equal.
fn expected() -> &'static Value {
    static EXPECTED: OnceLock<Value> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let value = place().run("1");
        assert_eq!(value["trials"].as_array().map(Vec::len), Some(TRIALS), "the budget is exact");
        value
    })
}

/// Kills a worker in the middle of a trial. It is stopped first, so that its trials stand still
/// while the coordinator is asked about them.
fn kill_in_training(worker: &mut Process, url: &str) {
    let mut ended = 0;
    loop {
        let is_running = |s: &v1::Sweep| s.counts.as_ref().is_some_and(|c| c.running > 0);
        let sweep = until(url, "crash", |s| done(s) >= ended && is_running(s));
        worker.signal(Signal::SIGSTOP);
        if is_in_training(url, "crash", EPOCHS / 2) {
            break;
        }
        worker.signal(Signal::SIGCONT);
        ended = done(&sweep) + 1;
    }
    worker.kill();
}

#[test]
fn two_slots_give_the_result_of_one() {
    assert_eq!(&place().run("2"), expected());
}

#[test]
fn three_programs_give_the_result_of_one() {
    let place = place();
    let coordinator = place.submit();
    let _workers = [worker(&coordinator.url, "a", 2), worker(&coordinator.url, "b", 2)];
    assert_eq!(&place.finish(&coordinator).0, expected());
}

#[test]
fn a_worker_killed_during_a_trial_changes_nothing() {
    let place = place();
    let coordinator = place.submit();
    let mut killed = worker(&coordinator.url, "a", 2);
    kill_in_training(&mut killed, &coordinator.url);
    let _other = worker(&coordinator.url, "b", 2);
    let (found, again) = place.finish(&coordinator);
    assert!(again, "the kill hit no trial");
    assert_eq!(&found, expected());
}

#[test]
fn a_coordinator_killed_during_a_sweep_changes_nothing() {
    let place = place();
    let mut coordinator = place.submit();
    let _workers = [worker(&coordinator.url, "a", 1), worker(&coordinator.url, "b", 1)];
    for trials in [3, 9] {
        until(&coordinator.url, "crash", |s| done(s) >= trials);
        coordinator.process.kill();
        let url = coordinator.url.clone();
        coordinator = Coordinator::start(Path::new(&place.store()), Some(&url));
    }
    assert_eq!(&place.finish(&coordinator).0, expected());
}

#[test]
fn a_sweep_continues_after_coordinator_and_worker_were_killed() {
    let place = place();
    let mut coordinator = place.submit();
    let mut killed = worker(&coordinator.url, "a", 2);
    until(&coordinator.url, "crash", |s| done(s) >= 3);
    coordinator.process.kill();
    killed.kill();
    // One program on the same store is enough to finish the sweep.
    caviar_ok(&["run", "--resume", "--slots", "2", "--store", &place.store()]);
    assert_eq!(&place.stored(), expected());
}

#[test]
fn an_interrupted_run_is_resumed() {
    let place = place();
    let (sweep, store) = (place.sweep(), place.store());
    let mut command = program("caviar");
    command.args(["run", &sweep, "--slots", "1", "--store", &store]);
    let (mut run, ()) =
        Process::start_and_hear(&mut command, |line| line.starts_with("crash: ").then_some(()));
    run.signal(Signal::SIGINT);
    assert!(!run.wait(), "an interrupted run says so by its exit code");
    let left = wal(&store);
    assert!(!left.exists(), "{} is left: a store at rest is one file", left.display());
    let seen = caviar_ok(&["status", "crash", "--store", &store]);
    assert!(
        seen.starts_with("sweep crash (number 1) is interrupted\n")
            && seen.contains("note  no process has "),
        "{seen}"
    );
    caviar_ok(&["run", &sweep, "--resume", "--slots", "2", "--store", &store]);
    assert_eq!(&place.stored(), expected());
}
