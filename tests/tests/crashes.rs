//! One or many slots, one process or five, calm or `kill -9`: the same export. With the programs that users start.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::print_stderr, reason = "tests say at once what failed")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use caviar_tests::processes::{Coordinator, Process, caviar_ok, export, program, worker};
use caviar_tests::watch::{done, is_completed, until, until_in_training};
use nix::sys::signal::Signal;
use serde_json::Value;

const TRIALS: usize = 14;

/// Small enough for a test, large enough to be killed in the middle of.
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

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("crash.toml"), SWEEP).expect("the folder can be written");
        Self { folder }
    }

    fn sweep(&self) -> String {
        self.folder.path().join("crash.toml").to_string_lossy().into_owned()
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("crash.db")
    }

    fn run(&self, slots: &str) -> Value {
        let store = self.store();
        caviar_ok(&["run", &self.sweep(), "--slots", slots, "--store", text(&store)]);
        export("crash", &["--store", text(&store)])
    }
}

/// What SQLite keeps beside a store that is in use.
fn wal(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// What one process with one slot finds; everything else must find the same.
fn expected() -> &'static Value {
    static EXPECTED: OnceLock<Value> = OnceLock::new();
    EXPECTED.get_or_init(|| {
        let value = Place::new().run("1");
        assert_eq!(value["trials"].as_array().map(Vec::len), Some(TRIALS), "the budget is exact");
        value
    })
}

/// The end of a sweep on a coordinator: the export, and whether any trial was executed more than once.
fn finish(coordinator: &Coordinator) -> (Value, bool) {
    until(&coordinator.url, "crash", is_completed);
    let place = ["--coordinator", coordinator.url.as_str()];
    let listed: Value = serde_json::from_str(&caviar_ok(&["trials", "crash", "--json", place[0], place[1]])).expect("JSON");
    let again = listed.as_array().into_iter().flatten().any(|t| t["attempts"].as_u64() > Some(1));
    (export("crash", &place), again)
}

#[test]
fn two_slots_give_what_one_slot_gives() {
    assert_eq!(&Place::new().run("2"), expected());
}

#[test]
fn three_programs_give_what_one_gives() {
    let place = Place::new();
    let coordinator = Coordinator::start(&place.store(), None);
    caviar_ok(&["submit", &place.sweep(), "--coordinator", &coordinator.url]);
    let _workers = [worker(&coordinator.url, "a", 2), worker(&coordinator.url, "b", 2)];
    assert_eq!(&finish(&coordinator).0, expected());
}

#[test]
fn a_worker_killed_in_the_middle_of_a_trial_changes_nothing() {
    let place = Place::new();
    let coordinator = Coordinator::start(&place.store(), None);
    caviar_ok(&["submit", &place.sweep(), "--coordinator", &coordinator.url]);
    let mut killed = worker(&coordinator.url, "a", 2);
    until(&coordinator.url, "crash", |s| s.counts.as_ref().is_some_and(|c| c.running > 0));
    until_in_training(&coordinator.url, "crash", 0, 2);
    killed.kill();
    let _other = worker(&coordinator.url, "b", 2);
    let (found, again) = finish(&coordinator);
    assert!(again, "the kill hit no trial");
    assert_eq!(&found, expected());
}

#[test]
fn a_coordinator_killed_in_the_middle_of_a_sweep_changes_nothing() {
    let place = Place::new();
    let mut coordinator = Coordinator::start(&place.store(), None);
    caviar_ok(&["submit", &place.sweep(), "--coordinator", &coordinator.url]);
    let _workers = [worker(&coordinator.url, "a", 1), worker(&coordinator.url, "b", 1)];
    for trials in [3, 9] {
        until(&coordinator.url, "crash", |s| done(s) >= trials);
        coordinator.process.kill();
        let url = coordinator.url.clone();
        coordinator = Coordinator::start(&place.store(), Some(&url));
    }
    assert_eq!(&finish(&coordinator).0, expected());
}

#[test]
fn both_killed_and_the_sweep_goes_on_where_it_was() {
    let place = Place::new();
    let mut coordinator = Coordinator::start(&place.store(), None);
    caviar_ok(&["submit", &place.sweep(), "--coordinator", &coordinator.url]);
    let mut killed = worker(&coordinator.url, "a", 2);
    until(&coordinator.url, "crash", |s| done(s) >= 3);
    coordinator.process.kill();
    killed.kill();
    // One program on the same file is enough to go on.
    caviar_ok(&["run", "--resume", "--slots", "2", "--store", text(&place.store())]);
    let found = export("crash", &["--store", text(&place.store())]);
    assert_eq!(&found, expected());
}

#[test]
fn an_interrupted_run_is_resumed() {
    let place = Place::new();
    let (sweep, store) = (place.sweep(), place.store());
    let mut command = program("caviar");
    command.args(["run", &sweep, "--slots", "1", "--store", text(&store)]);
    let (mut run, ()) = Process::start_and_hear(&mut command, |line| line.starts_with("crash: ").then_some(()));
    run.signal(Signal::SIGINT);
    assert!(!run.wait(), "an interrupted run says so by its exit code");
    let left = wal(&store);
    assert!(!left.exists(), "{} is left: a store at rest is one file", left.display());
    let seen = caviar_ok(&["status", "crash", "--store", text(&store)]);
    assert!(seen.starts_with("sweep crash (number 1) is interrupted: ") && seen.contains("note  nobody runs it now; to go on: "), "{seen}");
    caviar_ok(&["run", &sweep, "--resume", "--slots", "2", "--store", text(&store)]);
    assert_eq!(&export("crash", &["--store", text(&store)]), expected());
}
