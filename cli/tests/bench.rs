//! `caviar bench coordinator` with a small load: its figures are there and plausible, nothing is
//! left behind, and its errors are clear.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it fails")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs the benchmark with `directory` as the folder for temporary files.
fn bench(directory: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caviar"));
    command.args(["bench", "coordinator"]).args(arguments.split_whitespace());
    command.current_dir(directory).env("TMPDIR", directory).stdin(Stdio::null());
    for name in ["RUST_LOG", "CAVIAR_COORDINATOR", "CAVIAR_JOIN", "CAVIAR_STORE"] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_small_load_has_plausible_figures_and_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let load = "--workers 3 --slots 2 --sweeps 2 --trials 40 --reports 3 --json";
    let output = bench(directory.path(), load);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "", "nothing is shown outside a terminal");
    assert!(is_empty(directory.path()), "temporary files are left");

    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (field, expected) in [
        ("workers", 3),
        ("slots", 2),
        ("sweeps", 2),
        ("trials", 40),
        ("reports", 3),
        ("parallelism", 3),
        ("finished_trials", 40),
        ("revoked_leases", 0),
    ] {
        assert_eq!(report[field], expected, "{field}: {report}");
    }
    let number = |path: &str| {
        let value = report.pointer(path).and_then(Value::as_f64);
        value.unwrap_or_else(|| panic!("{path} is not a number: {report}"))
    };
    let (trials, reports) = (number("/trials_per_second"), number("/reports_per_second"));
    assert!((trials * number("/seconds") - 40.0).abs() < 1.0, "{report}");
    assert!((reports / trials - 3.0).abs() < 0.01, "{report}");
    // Each slot waits after each of its trials except the last.
    assert!((34.0..=40.0).contains(&number("/grant_ms/count")), "{report}");
    for times in [
        "/grant_ms",
        "/queries_ms/get_sweep",
        "/queries_ms/get_best",
        "/queries_ms/list_trials_by_number",
        "/queries_ms/list_trials_by_objective",
    ] {
        let [p50, p99, max] = ["p50", "p99", "max"].map(|it| number(&format!("{times}/{it}")));
        assert!(0.0 <= p50 && p50 <= p99 && p99 <= max && max < 60_000.0, "{times}: {report}");
    }
    assert!(number("/store_bytes/total") > 40.0 * number("/store_bytes/per_finished_trial"));
    assert!(number("/recovery/reply_seconds") > 0.0);
    assert!(number("/recovery/welcome_seconds") >= number("/recovery/reply_seconds"));
    assert!(number("/recovery/acknowledged_trials") >= 40.0 + 128.0, "killed under load");
    assert_eq!(number("/recovery/lost_trials") + number("/recovery/lost_epochs"), 0.0);
    if cfg!(target_os = "linux") {
        assert!(number("/cpu_seconds/coordinator") >= 0.0);
        assert!(number("/cpu_seconds/load_generator") >= 0.0);
        assert!(number("/memory_bytes/loaded") >= number("/memory_bytes/per_finished_trial"));
        assert!(number("/memory_bytes/idle") > 1e6);
    }
}

#[test]
fn a_load_that_is_cut_short_is_measured_and_its_store_can_be_kept() {
    let directory = tempfile::tempdir().unwrap();
    let load = "--workers 2 --trials 60000 --queries 0 --seconds 1 --store kept.db";
    let output = bench(directory.path(), load);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    for figure in ["trials per second", "grant after a result", "GetSweep", "recovery"] {
        assert!(text.contains(figure), "{text}");
    }
    assert!(directory.path().join("kept.db").is_file());

    let again = bench(directory.path(), load);
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).starts_with("error: kept.db exists already\n"), "{}", stderr(&again));
}

#[test]
fn a_load_beyond_the_limits_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = bench(directory.path(), "--sweeps 2 --trials 1 --json");
    assert_eq!(output.status.code(), Some(2));
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    let message = error["error"]["message"].as_str().unwrap();
    assert!(message.contains("2 sweeps need at least 2 trials"), "{message}");
    assert!(is_empty(directory.path()));
}
