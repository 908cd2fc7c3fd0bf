//! From a table with two columns to predict to a model of both, by the program.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::fmt::Write;
use std::path::Path;

use serde_json::{Value, json};
use support::{caviar, stderr_of, stdout_of};

/// Two numbers that follow from `x` and `kind`, on very different scales.
fn table(rows: u32) -> String {
    let mut text = "price,x,kind,share\n".to_owned();
    for row in 0..rows {
        let (x, kind) = (row * 37 % 101, if row % 2 == 0 { "old" } else { "new" });
        let price = 50_000 + 300 * x + 9_000 * (row % 2);
        let share = f64::from(x * (1 + row % 2)) / 4_000.0;
        writeln!(text, "{price},{x},{kind},{share}").unwrap();
    }
    text
}

fn read(folder: &Path, file: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder.join(file)).unwrap()).unwrap()
}

fn figure(figures: &Value, measure: &str) -> f64 {
    let figures = figures.as_array().unwrap();
    let figure = figures.iter().find(|figure| figure["measure"] == measure).unwrap();
    figure["value"].as_f64().unwrap()
}

/// Runs the program and returns what it writes.
fn stdout(folder: &Path, words: &str) -> String {
    let mut command = caviar(folder, words);
    command.env("CAVIAR_HOME", folder.join("home"));
    stdout_of(command)
}

#[test]
fn two_labels_are_learnt_predicted_and_judged_together() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("homes.csv"), table(240)).unwrap();
    let shown = stdout(folder, "inspect homes.csv --label price --label share");
    assert!(shown.contains("label  price: a number to predict, 50000 to "), "{shown}");
    assert!(shown.contains("label  share: a number to predict, 0 to 0.05"), "{shown}");
    stdout(folder, "init homes.csv --label price --label share --trials 6");
    let file = std::fs::read_to_string(folder.join("homes.toml")).unwrap();
    assert!(file.contains("\nlabel = [\"price\", \"share\"]\ntask = \"regression\"\n"), "{file}");
    assert!(file.contains("\nepochs = 128\n"), "{file}");
    let file = file.replace("epochs = 128", "epochs = 20");
    assert!(file.contains("metric = \"validation_loss\""), "{file}");
    let file = file.replace("validation_loss", "r2");
    std::fs::write(folder.join("homes.toml"), file).unwrap();
    let checked = stdout(folder, "check homes.toml");
    assert!(checked.contains(", 2 numbers to predict\n"), "{checked}");

    let result: Value =
        serde_json::from_str(&stdout(folder, "run homes.toml --json --slots 1")).unwrap();
    assert_eq!(
        (&result["data"]["outputs"], &result["test"]["reproduced"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(result["spec"]["data"]["more_labels"], json!(["share"]));
    stdout(folder, "model homes -o m --format caviar,onnx,onnx-core,safetensors");
    let metrics = read(folder, "m/metrics.json");
    let of_label = |split: &str, label: usize| figure(&metrics[split]["outputs"][label], "r2");
    for (split, value) in
        [("validation", &result["best"]["objective"]), ("test", &result["test"]["score"]["r2"])]
    {
        let r2 = figure(&metrics[split]["figures"], "r2");
        assert_eq!(Some(r2), value.as_f64(), "{split}");
        let mean = (of_label(split, 0) + of_label(split, 1)) / 2.0;
        assert!((r2 - mean).abs() < 1e-12, "{split}: {r2} {mean}");
        assert!(r2 > 0.5, "{metrics}");
    }
    let card = std::fs::read_to_string(folder.join("m/README.md")).unwrap();
    assert!(card.contains("This model predicts `price`, `share`: 2 numbers."), "{card}");
    assert!(card.contains("\n| `rmse` of `share` |"), "{card}");

    // Rows without labels, in another order; and labels that are there are judged each by itself.
    std::fs::write(folder.join("later.csv"), "kind,x\nnew,30\nold,70\n").unwrap();
    let predicted = stdout(folder, "predict m later.csv");
    let lines: Vec<&str> = predicted.lines().collect();
    assert_eq!(lines.first(), Some(&"kind,x,prediction_price,prediction_share"));
    let numbers: Vec<f64> = predicted
        .lines()
        .nth(1)
        .unwrap()
        .split(',')
        .skip(2)
        .map(|it| it.parse().unwrap())
        .collect();
    let [price, share] = numbers.as_slice() else { panic!("{predicted}") };
    assert!((60_000.0..76_000.0).contains(price) && (0.0..0.03).contains(share), "{predicted}");
    let judged: Value =
        serde_json::from_str(&stdout(folder, "evaluate m homes.csv --json")).unwrap();
    assert_eq!((&judged["rows"], &judged["labels"]), (&json!(240), &json!(["price", "share"])));
    assert!(figure(&judged["outputs"][0], "rmse") > 100.0 * figure(&judged["outputs"][1], "rmse"));
    let shown = stdout(folder, "evaluate m homes.csv");
    assert!(shown.contains("\nlabel  rmse") && shown.contains("\nshare  "), "{shown}");

    // The winner again, and all rows.
    std::fs::write(folder.join("best.toml"), stdout(folder, "best homes --toml")).unwrap();
    let again: Value =
        serde_json::from_str(&stdout(folder, "run best.toml --json --slots 1")).unwrap();
    assert_eq!(again["best"]["objective"], result["best"]["objective"]);
    stdout(folder, "refit homes");
    let judged: Value =
        serde_json::from_str(&stdout(folder, "evaluate homes-refit homes.csv --json")).unwrap();
    assert!(figure(&judged["figures"], "r2") > 0.5, "{judged}");
    stdout(folder, "model homes -o e --ensemble");
    assert_eq!(stdout(folder, "predict e later.csv").lines().count(), 3);
}

#[test]
fn a_label_that_is_named_twice_or_not_there_is_a_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("homes.csv"), table(40)).unwrap();
    for (words, expected) in [
        ("inspect homes.csv --label price --label price", "--label \"price\" is given twice"),
        ("init homes.csv --label price --label cost", "homes.csv has no such column"),
    ] {
        let errors = stderr_of(caviar(folder, words), false);
        assert!(errors.contains(expected), "{errors}");
    }
}
