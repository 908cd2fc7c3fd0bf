//! Checkpoints with the programs that users start: a trial continues on another worker after its
//! worker was killed or stopped, and the export is that of an undisturbed run.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests say at once what failed")]

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use caviar_tests::processes::{Place, Process, caviar_ok, program};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Two trials, one after the other, that take some seconds each.
const SWEEP: &str = r#"
name = "long"
seed = 3
[data]
source = "builtin:digits"
[fixed]
epochs = 150
units = 96
layers = 2
dropout = 0.1
[space]
learning_rate = { low = 1e-4, high = 1e-2 }
optimizer = { choices = ["adam", "nesterov"] }
[search]
strategy = "random"
trials = 2
parallelism = 1
"#;

fn place() -> Place {
    Place::new("long", SWEEP)
}

fn expected() -> &'static Value {
    static EXPECTED: OnceLock<Value> = OnceLock::new();
    EXPECTED.get_or_init(|| place().run("1"))
}

/// Starts a worker that writes a checkpoint every 20 ms, and waits until it has said this so many
/// times.
fn worker_says(url: &str, name: &str, what: &str, times: u32) -> Process {
    let mut command = program("caviar-worker");
    command.args(["--coordinator", url, "--name", name, "--slots", "1", "--checkpoint-ms", "20"]);
    let left = Cell::new(times);
    let said = |line: &str| {
        left.set(left.get() - u32::from(line.contains(what)));
        (left.get() == 0).then_some(())
    };
    Process::start_and_hear(command.env("RUST_LOG", "info"), said).0
}

/// How many epochs the first trial has trained again, and in how many attempts.
fn first_trial(url: &str) -> (u64, u64) {
    let listed = caviar_ok(&["trials", "long", "--json", "--coordinator", url]);
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let number = |field: &str| listed[0][field].as_u64().expect("a number");
    (number("retrained_epochs"), number("attempts"))
}

#[test]
fn the_trial_of_a_killed_worker_resumes_elsewhere_with_the_same_result() {
    let place = place();
    let coordinator = place.submit();
    // With the third one, the coordinator knows of the first.
    let mut killed = worker_says(&coordinator.url, "a", "checkpoint stored", 3);
    killed.kill();
    let _other = worker_says(&coordinator.url, "b", "resumed from a checkpoint", 1);
    let (found, again) = place.finish(&coordinator);
    assert!(again, "the kill hit no trial");
    assert_eq!(&found, expected());
    let (retrained, attempts) = first_trial(&coordinator.url);
    assert!(attempts == 2 && retrained < 150, "{retrained} epochs in {attempts} attempts");
}

#[test]
fn a_stopped_worker_leaves_a_checkpoint_and_is_gone() {
    let place = place();
    let coordinator = place.submit();
    for (name, signal) in [("a", Signal::SIGTERM), ("b", Signal::SIGUSR1), ("c", Signal::SIGINT)] {
        let mut stopped = worker_says(&coordinator.url, name, "trial started", 1);
        stopped.signal(signal);
        assert!(stopped.wait(), "{signal}");
    }
    let mut stopped = worker_says(&coordinator.url, "d", "checkpoint stored", 1);
    stopped.signal(Signal::SIGTERM);
    assert!(stopped.wait());
    let _other = worker_says(&coordinator.url, "e", "resumed from a checkpoint", 1);
    let (found, _) = place.finish(&coordinator);
    assert_eq!(&found, expected());
    let (retrained, attempts) = first_trial(&coordinator.url);
    // The release comes after the checkpoint and its epochs, so nothing is trained twice.
    assert_eq!((retrained, attempts), (0, 5));
}

/// `cargo test -p caviar-tests --test checkpoints -- --ignored --nocapture` prints how long workers
/// take from SIGTERM to their end, with four trainings each.
#[test]
#[ignore = "measures the time of a hundred runs"]
fn a_hundred_workers_are_gone_within_five_seconds() {
    let place = Place::new("long", &SWEEP.replace("parallelism = 1", "parallelism = 4"));
    let coordinator = place.submit();
    let mut times: Vec<Duration> = (0..100)
        .map(|run| {
            let mut command = program("caviar-worker");
            command.args(["--coordinator", &coordinator.url, "--checkpoint-ms", "20"]);
            command.args(["--slots", "4", "--name", &format!("w{run}")]);
            let started = |line: &str| line.contains("trial started").then_some(());
            let (mut worker, ()) =
                Process::start_and_hear(command.env("RUST_LOG", "info"), started);
            let began = Instant::now();
            worker.signal(Signal::SIGTERM);
            assert!(worker.wait());
            began.elapsed()
        })
        .collect();
    times.sort();
    println!("SIGTERM to gone: median {:?}, worst {:?}", times[50], times[99]);
    assert!(times[99] < Duration::from_secs(5), "{:?}", times[99]);
}
