//! From a table to a model and its predictions, by the program as a user starts it.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fmt::Write;
use std::path::Path;
use std::process::{Command, Output};

fn caviar(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_caviar"))
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .env_remove("CAVIAR_COORDINATOR")
        .env_remove("CAVIAR_JOIN")
        .env_remove("CAVIAR_STORE")
        .env("CAVIAR_HOME", folder.join("home"))
        .output()
        .unwrap()
}

fn stdout(folder: &Path, arguments: &[&str]) -> String {
    let output = caviar(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn refusal(folder: &Path, arguments: &[&str]) -> String {
    let output = caviar(folder, arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn json(text: &str) -> serde_json::Value {
    serde_json::from_str(text).unwrap()
}

/// A table with text and gaps, whose class follows from two of its columns.
fn table(rows: usize) -> String {
    let mut text = "size;colour;when;kind\n".to_owned();
    for row in 0..rows {
        let size = row * 37 % 101;
        let colour = ["red", "green", "blue"][row * 7 % 3];
        let kind = if size > 50 || colour == "red" { "yes, big" } else { "no" };
        let size = if row % 11 == 0 { String::new() } else { format!("{size},5") };
        let day = 1 + row % 28;
        writeln!(text, "{size};{colour};{day:02}.03.2024;{kind}").unwrap();
    }
    text
}

fn sweep(name: &str, data: &str, more: &str) -> String {
    format!(
        "name = \"{name}\"\nseed = 5\n[data]\nsource = \"{data}\"\nlabel = \"kind\"\n\
         {more}[fixed]\nepochs = 6\n[search]\ntrials = 6\nparallelism = 3\n"
    )
}

#[test]
fn a_table_becomes_a_model_that_predicts_and_is_evaluated() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("train.csv"), table(300)).unwrap();
    std::fs::write(folder.join("s.toml"), sweep("kinds", "train.csv", "")).unwrap();
    let result = json(&stdout(folder, &["run", "s.toml", "--json", "--slots", "1"]));
    let models = result["models"].as_array().unwrap();
    assert!(!models.is_empty() && models[0]["trial"] == result["best"]["trial"], "{result}");

    let shown = stdout(folder, &["model", "kinds", "-o", "m"]);
    assert!(shown.starts_with("m: model.caviar, README.md, config.json"), "{shown}");
    assert!(shown.contains("balanced_accuracy"), "{shown}");
    // The figures of the folder are those of the sweep.
    let metrics = json(&std::fs::read_to_string(folder.join("m/metrics.json")).unwrap());
    let accuracy = |split: &str| {
        let figures = metrics[split]["figures"].as_array().unwrap();
        figures.iter().find(|it| it["measure"] == "accuracy").unwrap()["value"].as_f64().unwrap()
    };
    let counting = &result["best"]["counting"]["validation"];
    assert_eq!(accuracy("test"), result["test"]["score"]["accuracy"].as_f64().unwrap());
    assert_eq!(accuracy("validation"), counting["accuracy"].as_f64().unwrap());
    assert_eq!(result["best"]["objective"], counting["loss"], "the preset asks for the least loss");

    // Other columns are kept, the order does not matter, and the label need not be there.
    let later = "id;when;colour;size\n7;04.03.2024;green;99,5\n8;05.03.2024;violet;\n";
    std::fs::write(folder.join("later.csv"), later).unwrap();
    let output = caviar(folder, &["predict", "m", "later.csv"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        said,
        "note: 1 cell of column \"colour\" has a category that the training did not have\n"
    );
    let predicted = String::from_utf8(output.stdout).unwrap();
    let mut lines = predicted.lines();
    assert_eq!(lines.next().unwrap(), "id;when;colour;size;prediction;p_no;p_yes, big");
    assert!(lines.next().unwrap().starts_with("7;04.03.2024;green;99,5;yes, big;"), "{predicted}");
    assert!(lines.next().unwrap().starts_with("8;05.03.2024;violet;;"), "{predicted}");

    // The rows of the test split have the score of the sweep.
    let splits = stdout(folder, &["split", "kinds"]);
    let rows = table(300);
    let mut test = "size;colour;when;kind\n".to_owned();
    for (line, split) in rows.lines().skip(1).zip(splits.lines().skip(1)) {
        if split.ends_with(",test") {
            writeln!(test, "{line}").unwrap();
        }
    }
    std::fs::write(folder.join("test.csv"), test).unwrap();
    let judged = json(&stdout(folder, &["evaluate", "m", "test.csv", "--json"]));
    assert_eq!(judged["figures"], metrics["test"]["figures"]);
    assert_eq!(judged["class_names"], serde_json::json!(["no", "yes, big"]));
}

#[test]
fn a_measure_is_optimised_and_rows_count_by_their_weights() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let weighted = |(line, row): (usize, &str)| match line {
        0 => format!("{row};n\n"),
        _ => format!("{row};{}\n", line % 4),
    };
    let rows: String = table(300).lines().enumerate().map(weighted).collect();
    std::fs::write(folder.join("train.csv"), rows).unwrap();
    let weights = "weight = \"n\"\nclass_weights = \"balanced\"\n";
    let file = sweep("judged", "train.csv", weights) + "[objective]\nmetric = \"roc_auc\"\n";
    std::fs::write(folder.join("s.toml"), &file).unwrap();
    let checked = stdout(folder, &["check", "s.toml"]);
    assert!(checked.contains("\nobjective  maximize roc_auc\n"), "{checked}");
    assert!(checked.contains("\nweights    a row counts by its \"n\"; all classes"), "{checked}");

    let result = json(&stdout(folder, &["run", "s.toml", "--json", "--slots", "1"]));
    let objective = result["best"]["objective"].as_f64().unwrap();
    let test = result["test"]["score"]["roc_auc"].as_f64().unwrap();
    assert!(result["test"]["reproduced"].as_bool().unwrap(), "{result}");
    assert!(result["best"]["last"]["validation"]["roc_auc"].is_number(), "{result}");
    // The stored predictions have the weights too.
    stdout(folder, &["model", "judged", "-o", "m"]);
    let metrics = json(&std::fs::read_to_string(folder.join("m/metrics.json")).unwrap());
    let of_split = |split: &str| {
        let figures = metrics[split]["figures"].as_array().unwrap();
        figures.iter().find(|it| it["measure"] == "roc_auc").unwrap()["value"].as_f64().unwrap()
    };
    assert_eq!((of_split("validation"), of_split("test")), (objective, test));
    let shown = stdout(folder, &["status", "judged"]);
    assert!(shown.contains("highest roc_auc 0."), "{shown}");
    assert!(shown.contains("validation") && shown.contains("roc_auc 0."), "{shown}");
    let exported = stdout(folder, &["export", "judged", "--format", "csv"]);
    let heading = exported.lines().next().unwrap();
    assert!(heading.contains(",test_accuracy,test_roc_auc,"), "{heading}");
    assert!(heading.contains(",validation_accuracy,roc_auc,"), "{heading}");

    // Other weights give another model, and a class that does not exist is refused.
    let plain = file.replace("judged", "plain").replace("weight = \"n\"\n", "ignore = [\"n\"]\n");
    std::fs::write(folder.join("plain.toml"), plain).unwrap();
    let plain = json(&stdout(folder, &["run", "plain.toml", "--json", "--slots", "1"]));
    assert_ne!(plain["best"]["objective"], result["best"]["objective"]);
    let wrong = file.replace("judged", "wrong").replace("\"balanced\"", "{ maybe = 2 }");
    std::fs::write(folder.join("wrong.toml"), wrong).unwrap();
    let said = refusal(folder, &["check", "wrong.toml"]);
    assert!(
        said.contains("data.class_weights: no row has the class \"maybe\": expected one of"),
        "{said}"
    );
}

#[test]
fn other_forms_ensembles_and_calibration_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("train.csv"), table(200)).unwrap();
    std::fs::write(folder.join("s.toml"), sweep("kinds", "train.csv", "")).unwrap();
    stdout(folder, &["run", "s.toml", "--slots", "1"]);
    let all = "onnx,onnx-core,safetensors,caviar";
    let shown = stdout(folder, &["model", "kinds", "-o", "e", "--ensemble", "--format", all]);
    assert!(shown.contains("test split\nmeasure") && shown.contains("best alone"), "{shown}");
    for file in [
        "model.caviar",
        "model.onnx",
        "model-core.onnx",
        "model.safetensors",
        "model.py",
        "README.md",
        "config.json",
        "metrics.json",
        "sweep.toml",
    ] {
        assert!(folder.join("e").join(file).is_file(), "{file}");
    }
    stdout(folder, &["predict", "e", "train.csv", "-o", "predicted.csv"]);
    let predicted = std::fs::read_to_string(folder.join("predicted.csv")).unwrap();
    assert_eq!(predicted.lines().count(), 201);
    stdout(folder, &["model", "kinds", "-o", "c", "--calibrate"]);
    let temperature = |name: &str| {
        let config = std::fs::read_to_string(folder.join(name).join("config.json")).unwrap();
        json(&config)["members"][0]["about"]["temperature"].as_f64()
    };
    assert!(temperature("c").unwrap() != 1.0 && temperature("c").unwrap() > 0.0);
    // The file in the folder is that of the sweep.
    std::fs::write(folder.join("again.toml"), std::fs::read(folder.join("e/sweep.toml")).unwrap())
        .unwrap();
    assert!(refusal(folder, &["run", "again.toml"]).contains("caviar.db has a completed sweep"));
}

#[test]
fn the_best_trial_is_trained_again_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("train.csv"), table(250)).unwrap();
    std::fs::write(folder.join("s.toml"), sweep("kinds", "train.csv", "")).unwrap();
    let first = json(&stdout(folder, &["run", "s.toml", "--json", "--slots", "1"]));
    let file = stdout(folder, &["best", "kinds", "--toml"]);
    std::fs::write(folder.join("best.toml"), file).unwrap();
    let again = json(&stdout(folder, &["run", "best.toml", "--json", "--slots", "1"]));
    assert_eq!(again["name"], "kinds-best");
    for path in ["/best/objective", "/best/last", "/test/score"] {
        assert_eq!(again.pointer(path), first.pointer(path), "{path}");
    }
    // The tensors of a safetensors file follow a header, whose length is its first word.
    let tensors = |name: &str, to: &str| {
        stdout(folder, &["model", name, "-o", to, "--format", "safetensors"]);
        let bytes = std::fs::read(folder.join(to).join("model.safetensors")).unwrap();
        let header = u64::from_le_bytes(*bytes.first_chunk().unwrap());
        bytes[8 + usize::try_from(header).unwrap()..].to_vec()
    };
    let weights = tensors("kinds", "a");
    assert!(weights.len() > 1_000 && weights == tensors("kinds-best", "b"));
}

#[test]
fn mistakes_are_named_and_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("train.csv"), table(200)).unwrap();
    std::fs::write(folder.join("s.toml"), sweep("kinds", "train.csv", "")).unwrap();
    std::fs::write(
        folder.join("none.toml"),
        sweep("none", "train.csv", "").replace("[search]", "[keep]\nmodels = 0\n[search]"),
    )
    .unwrap();
    stdout(folder, &["run", "s.toml", "--slots", "1"]);
    stdout(folder, &["run", "none.toml", "--slots", "1"]);
    stdout(folder, &["model", "kinds", "-o", "m"]);
    let said = refusal(folder, &["model", "kinds", "-o", "m"]);
    assert!(said.contains("m is there already"), "{said}");
    let said = refusal(folder, &["model", "kinds", "-o", "m2", "--trial", "99"]);
    assert!(said.contains("the model of trial 99 is not kept"), "{said}");
    let said = refusal(folder, &["model", "none"]);
    assert!(said.contains("none has no model") && said.contains("models = 0"), "{said}");
    std::fs::write(folder.join("bad.csv"), "size;colour\n1,5;red\n").unwrap();
    let said = refusal(folder, &["predict", "m", "bad.csv", "-o", "out.csv"]);
    assert!(said.contains("\"when\""), "{said}");
    std::fs::write(
        folder.join("cell.csv"),
        "size;colour;when\n1,5;red;01.03.2024\nx;red;02.03.2024\n",
    )
    .unwrap();
    let said = refusal(folder, &["predict", "m", "cell.csv", "-o", "out.csv"]);
    assert!(said.contains("line 3") && said.contains("size"), "{said}");
    assert!(!folder.join("out.csv").exists() && !folder.join("out.csv.partial").exists());
    std::fs::write(folder.join("m/model.caviar"), b"CAVIARMD").unwrap();
    let said = refusal(folder, &["evaluate", "m", "train.csv"]);
    assert!(said.contains("model.caviar"), "{said}");
}

#[test]
fn folds_and_repeats_are_judged_by_their_mean_and_the_model_is_their_average() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("train.csv"), table(120)).unwrap();
    let text = sweep("kinds", "train.csv", "folds = 3\ntest = 0.2\n");
    let objective = "[objective]\nmetric = \"validation_accuracy\"\nrepeats = 2\n";
    std::fs::write(folder.join("s.toml"), text + objective).unwrap();
    let result = json(&stdout(folder, &["run", "s.toml", "--json", "--slots", "1"]));
    assert_eq!((&result["data"]["train"], &result["data"]["folds"]), (&96.into(), &3.into()));
    assert_eq!(result["test"]["reproduced"], true);
    // The winner has the spread of its trainings, also when it is read from the store.
    let spread = result["best"]["counting"]["spread"].as_f64().unwrap();
    assert!(spread > 0.0 && spread < 0.5, "{spread}");
    let best = json(&stdout(folder, &["best", "kinds", "--json"]));
    assert_eq!(best["trial"]["counting"]["spread"], spread);
    let shown = stdout(folder, &["status", "kinds"]);
    assert!(shown.contains(&format!(" ± {spread:.4} over 6 trainings\n")), "{shown}");
    let checked = stdout(folder, &["check", "s.toml"]);
    assert!(checked.contains("96 examples in 3 folds, 24 test examples"), "{checked}");

    // The same on two slots, and the same bytes.
    stdout(folder, &["run", "s.toml", "--slots", "2", "--store", "other.db"]);
    let curves = |store: &str| -> Vec<serde_json::Value> {
        let export = json(&stdout(folder, &["export", "kinds", "--json", "--store", store]));
        let trials = export["trials"].as_array().unwrap();
        trials.iter().map(|trial| trial["curve"].clone()).collect()
    };
    assert_eq!(curves("caviar.db"), curves("other.db"));
    assert!(curves("other.db").iter().all(serde_json::Value::is_array));
    let shown = stdout(folder, &["model", "kinds", "-o", "m"]);
    assert!(shown.contains("the average of its trainings"), "{shown}");
    stdout(folder, &["model", "kinds", "-o", "n", "--store", "other.db"]);
    let bytes = |name: &str| std::fs::read(folder.join(name).join("model.caviar")).unwrap();
    assert_eq!(bytes("m"), bytes("n"));
    let config = json(&std::fs::read_to_string(folder.join("m/config.json")).unwrap());
    assert_eq!(config["members"].as_array().unwrap().len(), 6);
    let metrics = json(&std::fs::read_to_string(folder.join("m/metrics.json")).unwrap());
    assert_eq!(
        (&metrics["validation"]["rows"], &metrics["test"]["rows"]),
        (&96.into(), &24.into())
    );
    let shown = stdout(folder, &["model", "kinds", "-o", "e", "--ensemble", "--format", "onnx"]);
    assert!(shown.contains("an average of the models of the trials"), "{shown}");
    let why = refusal(folder, &["model", "kinds", "-o", "c", "--calibrate"]);
    assert!(why.contains("only a single network for classes can be"), "{why}");

    let splits = stdout(folder, &["split", "kinds"]);
    for (name, rows) in [("fold1", 32), ("fold2", 32), ("fold3", 32), ("test", 24)] {
        let of_split = splits.lines().filter(|line| line.ends_with(&format!(",{name}")));
        assert_eq!(of_split.count(), rows, "{name}");
    }
}

#[test]
fn a_model_is_trained_again_on_all_rows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("train.csv"), table(200)).unwrap();
    std::fs::write(folder.join("s.toml"), sweep("kinds", "train.csv", "")).unwrap();
    stdout(folder, &["run", "s.toml", "--slots", "2"]);
    let shown = stdout(folder, &["refit", "kinds"]);
    assert!(shown.starts_with("kinds-refit: model.caviar, README.md"), "{shown}");
    assert!(shown.contains("trained without the rows that measure it"), "{shown}");
    let card = std::fs::read_to_string(folder.join("kinds-refit/README.md")).unwrap();
    assert!(card.contains("This model was trained on all rows of the data"), "{card}");
    let judged = json(&stdout(folder, &["evaluate", "kinds-refit", "train.csv", "--json"]));
    let accuracy = judged["figures"].as_array().unwrap();
    let accuracy = accuracy.iter().find(|it| it["measure"] == "accuracy").unwrap();
    assert!(accuracy["value"].as_f64().unwrap() > 0.8, "{judged}");
    // Its statistics are those of all rows, and it has the same bytes every time.
    stdout(folder, &["model", "kinds", "-o", "before"]);
    stdout(folder, &["refit", "kinds", "-o", "again"]);
    let bytes = |name: &str| std::fs::read(folder.join(name).join("model.caviar")).unwrap();
    assert_eq!(bytes("kinds-refit"), bytes("again"));
    let median = |name: &str| {
        let config = std::fs::read_to_string(folder.join(name).join("config.json")).unwrap();
        json(&config)["schema"]["encoder"].to_string()
    };
    assert_ne!(median("before"), median("again"));
    // Every network of an ensemble, and a file that is there is not replaced.
    let shown = stdout(folder, &["refit", "kinds", "--ensemble", "-o", "e"]);
    assert!(shown.contains("parameters"), "{shown}");
    let why = refusal(folder, &["refit", "kinds", "-o", "e"]);
    assert!(why.contains("e is there already"), "{why}");
    std::fs::write(folder.join("train.csv"), table(201)).unwrap();
    let again = stdout(folder, &["refit", "kinds", "-o", "from-block"]);
    assert!(again.starts_with("from-block: "), "{again}");
    assert_eq!(bytes("from-block"), bytes("again"));
}

#[test]
fn a_model_repeats_what_can_mislead_and_one_for_other_programs_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // The last column is the label under another name.
    let twice = |line: &str| format!("{line};{}\n", line.rsplit(';').next().unwrap());
    let leaky: String = table(120).lines().map(twice).collect();
    let leaky = leaky.replacen(";kind;kind", ";kind;outcome", 1);
    std::fs::write(folder.join("train.csv"), leaky).unwrap();
    std::fs::write(folder.join("s.toml"), sweep("kinds", "train.csv", "")).unwrap();
    stdout(folder, &["run", "s.toml", "--slots", "1"]);
    let output = caviar(folder, &["model", "kinds", "-o", "m", "--format", "onnx"]);
    let said = String::from_utf8(output.stderr).unwrap();
    let warning = "\"outcome\" predicts the label almost without the other columns";
    assert!(said.contains(&format!("warning: {warning}")), "{said}");
    let card = std::fs::read_to_string(folder.join("m/README.md")).unwrap();
    let intro = "The data can make these figures mislead:\n\n- ";
    assert!(card.contains(&format!("{intro}{warning}")), "{card}");

    let error = refusal(folder, &["predict", "m", "train.csv"]);
    assert!(error.contains("hint: this model is for other programs"), "{error}");
    let error = refusal(folder, &["predict", "kinds", "train.csv"]);
    assert!(error.contains("to write that of a sweep: caviar model NAME"), "{error}");
}
