//! `--memory` with the programs that users start: a trial that does not fit is reported and left to
//! other workers, and results are the same.
#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "tests say at once what failed")]

use std::path::Path;

use caviar_tests::processes::{Coordinator, Process, caviar, caviar_ok, export, program, worker};
use caviar_tests::watch::{done, is_completed, until};
use serde_json::Value;

/// The digits take less than 500 KiB; a trial takes 0.2 MiB with 8 units, and 4.2 MiB with 1,024.
const SWEEP: &str = r#"
name = "wide"
seed = 5
[data]
source = "builtin:digits"
[fixed]
epochs = 2
layers = 1
[space]
units = { choices = [8, 1024] }
learning_rate = { low = 1e-3, high = 1e-1, points = 3 }
[search]
strategy = "grid"
trials = 6
parallelism = 6
"#;

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// A folder with the sweep file, and the path of the file.
fn place() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("wide.toml");
    std::fs::write(&file, SWEEP).expect("the folder can be written");
    let file = text(&file).to_owned();
    (folder, file)
}

/// The export after `caviar run` with these additional arguments.
fn run(args: &[&str]) -> Value {
    let (folder, file) = place();
    let store = folder.path().join("wide.db");
    caviar_ok(&[&["run", &file, "--store", text(&store)], args].concat());
    export("wide", &["--store", text(&store)])
}

#[test]
fn a_limit_that_lets_one_large_trial_in_at_a_time_changes_no_result() {
    assert_eq!(run(&["--slots", "3", "--memory", "6MiB"]), run(&["--slots", "3"]));
}

#[test]
fn what_is_too_large_for_a_worker_is_named_and_trained_by_another() {
    let (folder, file) = place();
    let coordinator = Coordinator::start(&folder.path().join("wide.db"), None);
    caviar_ok(&["submit", &file, "--coordinator", &coordinator.url]);
    let mut command = program("caviar-worker");
    command
        .args([
            "--coordinator",
            &coordinator.url,
            "--name",
            "small",
            "--slots",
            "2",
            "--memory",
            "2MiB",
        ])
        .env("RUST_LOG", "warn");
    let _small = Process::start(&mut command);
    let refusals = |notes: &[String]| {
        notes.iter().filter(|note| note.contains("but --memory is 2.0 MiB: use --memory ")).count()
    };
    let waits =
        until(&coordinator.url, "wide", |sweep| done(sweep) == 3 && refusals(&sweep.notes) == 3);
    assert!(
        waits.notes.iter().all(|note| note.starts_with("worker small cannot train trial ")
            || note.ends_with("fits no connected worker: connect one with more memory")
            || note.starts_with("what workers refused is offered to them again ")),
        "{:?}",
        waits.notes
    );
    let _large = worker(&coordinator.url, "large", 1);
    until(&coordinator.url, "wide", is_completed);
    assert_eq!(export("wide", &["--coordinator", &coordinator.url]), run(&["--slots", "1"]));
}

#[test]
fn a_run_that_cannot_continue_says_which_limit_is_enough() {
    let (folder, file) = place();
    let store = folder.path().join("wide.db");
    let output =
        caviar(&["run", &file, "--store", text(&store), "--slots", "1", "--memory", "2MiB"]);
    let said = String::from_utf8_lossy(&output.stderr);
    let enough = said
        .split("but --memory is 2.0 MiB: use --memory ")
        .nth(1)
        .and_then(|rest| rest.split(',').next());
    let enough = enough.unwrap_or_else(|| panic!("it does not say which limit is enough: {said}"));
    assert!(!output.status.success());
    caviar_ok(&["run", "--resume", "--store", text(&store), "--memory", enough]);
    assert_eq!(export("wide", &["--store", text(&store)]), run(&["--slots", "1"]));
}
