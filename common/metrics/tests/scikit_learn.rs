//! The measures against scikit-learn: live where Python has it, and by recorded values.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::as_conversions, reason = "tests")]

use std::ffi::OsString;
use std::io::Write;
use std::process::Command;

use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_metrics::{Measure, Predictions, Report};
use serde_json::Value;

/// A Python that can import scikit-learn: `CAVIAR_PYTHON`, or `python3` if that is not set.
///
/// `CAVIAR_PYTHON` must have it. If `python3` lacks it, reports that the test is skipped, and
/// returns `None`.
fn python() -> Option<OsString> {
    let named = std::env::var_os("CAVIAR_PYTHON");
    let is_named = named.is_some();
    let python = named.unwrap_or_else(|| OsString::from("python3"));
    let mut probe = Command::new(&python);
    probe.args(["-c", "from sklearn.metrics import root_mean_squared_error"]);
    if probe.output().is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert!(!is_named, "CAVIAR_PYTHON={} cannot import scikit-learn 1.4", python.display());
    // Not by a macro, whose output is shown only for tests that fail.
    let _unheard =
        writeln!(std::io::stderr(), "skipped: python3 lacks scikit-learn 1.4; set CAVIAR_PYTHON");
    None
}

/// The kinds of random predictions: classes (0 for values), steps of the probabilities before
/// division by their sum (few steps give ties), classes that never occur, and whether rows have
/// weights.
const KINDS: [(u32, u64, u32, bool); 10] = [
    (2, 1 << 20, 0, false),
    (2, 4, 0, false),
    (2, 4, 0, true),
    (3, 1 << 20, 0, false),
    (3, 3, 0, true),
    (5, 1 << 20, 2, true),
    (7, 2, 1, false),
    (2, 1, 0, false),
    (0, 0, 0, false),
    (0, 0, 0, true),
];

fn random(kind: (u32, u64, u32, bool), rows: usize, stream: &mut Stream) -> Predictions {
    let (classes, steps, absent, has_weights) = kind;
    let predictions = if classes == 0 {
        let truth: Vec<f64> = (0..rows).map(|_| 1e3 + 5.0 * stream.normal()).collect();
        let predicted = truth.iter().map(|y| y + 3.0 * stream.normal()).collect();
        Predictions::from_values(truth, predicted).unwrap()
    } else {
        let occurring = u64::from(classes - absent);
        let truth: Vec<u32> = (0..rows).map(|_| stream.below(occurring) as u32).collect();
        let mut probabilities = Vec::new();
        for class in &truth {
            let mut row: Vec<f64> = (0..classes).map(|_| stream.below(steps + 1) as f64).collect();
            row[*class as usize] += stream.below(steps + 1) as f64 / 2.0;
            let sum: f64 = row.iter().sum();
            let share = |x: &f64| if sum > 0.0 { x / sum } else { 1.0 / f64::from(classes) };
            probabilities.extend(row.iter().map(|x| share(x) as f32));
        }
        Predictions::from_probabilities(classes as usize, truth, probabilities).unwrap()
    };
    if !has_weights {
        return predictions;
    }
    let weights = (0..rows).map(|row| stream.below(4) as f64 * 0.3 + f64::from(row == 0));
    predictions.with_weights(weights.collect()).unwrap()
}

fn assert_close(found: Option<f64>, expected: &Value, tolerance: f64, context: &str) {
    let expected = expected.as_f64();
    assert_eq!(found.is_some(), expected.is_some(), "{context}: {found:?}, not {expected:?}");
    if let (Some(found), Some(expected)) = (found, expected) {
        let error = (found - expected).abs() / expected.abs().max(1.0);
        assert!(error <= tolerance, "{context}: {found}, scikit-learn: {expected}");
    }
}

fn assert_equal(report: &Report, expected: &Value, context: &str) {
    for figure in &report.figures {
        let name = figure.measure.name();
        assert_close(figure.value, &expected[name], 1e-12, &format!("{context}: {name}"));
    }
    let Some(classes) = &report.classes else { return };
    let log_loss = report.figure(Measure::LogLoss).unwrap().value;
    assert_close(log_loss, &expected["log_loss_in_f32"], 2e-6, context);
    for (class, (row, figures)) in classes.confusion.iter().zip(&classes.figures).enumerate() {
        for (cell, expected) in row.iter().zip(expected["confusion"][class].as_array().unwrap()) {
            assert_close(Some(*cell), expected, 1e-12, &format!("{context}: confusion"));
        }
        let found = [figures.precision, figures.recall, figures.f1, figures.support];
        for (found, expected) in
            found.into_iter().zip(expected["by_class"][class].as_array().unwrap())
        {
            assert_close(Some(found), expected, 1e-12, &format!("{context}: class {class}"));
        }
    }
}

#[test]
fn measures_equal_those_of_scikit_learn() {
    let Some(python) = python() else { return };
    let mut stream = Seed::derive(13, 0, Purpose::Sample).stream(0);
    let mut cases = Vec::new();
    for (number, kind) in KINDS.into_iter().enumerate() {
        for rows in [2, 3, 10, 47, 300] {
            cases.push((format!("kind {number}, {rows} rows"), random(kind, rows, &mut stream)));
        }
    }
    let all: Vec<&Predictions> = cases.iter().map(|(_, predictions)| predictions).collect();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("predictions.json");
    std::fs::write(&file, serde_json::to_string(&all).unwrap()).unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scikit_learn.py");
    let output = Command::new(python).args(["-W", "ignore", program]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(expected.len(), cases.len());
    for ((context, predictions), expected) in cases.iter().zip(&expected) {
        assert_equal(&Report::of(predictions, 1), expected, context);
    }
}

/// A case of the file next to this one: `expected` is what scikit_learn.py prints for the
/// `predictions`, with scikit-learn 1.9.1.
#[derive(serde::Deserialize)]
struct Recorded {
    name: String,
    predictions: Predictions,
    expected: Value,
}

#[test]
fn measures_equal_the_recorded_ones_of_scikit_learn() {
    let cases: Vec<Recorded> = serde_json::from_str(include_str!("scikit_learn.json")).unwrap();
    assert_eq!(cases.len(), KINDS.len());
    for Recorded { name, predictions, expected } in cases {
        assert_equal(&Report::of(&predictions, 1), &expected, &name);
    }
}
