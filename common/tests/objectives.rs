//! Which metrics a sweep can optimise.
#![allow(clippy::unwrap_used, reason = "tests")]

use caviar_common::data::{DataNote, DataSummary, NoteLevel, ONE_CLASS, Task};
use caviar_common::spec::{Goal, file};

const FILE: &str = "\
name = \"s\"
[data]
source = \"builtin:digits\"
[search]
trials = 10
";

#[test]
fn measures_are_objectives_of_their_task() {
    let objective = |metric: &str, task: &str| {
        let text = FILE.replace("[search]", &format!("{task}[search]"));
        let text = format!("{text}[objective]\nmetric = \"{metric}\"\n");
        file::parse(&text).map(|file| (file.spec.objective, file.spec.data.task))
    };
    for (metric, goal, task) in [
        ("balanced_accuracy", Goal::Maximize, Task::Classification),
        ("macro_f1", Goal::Maximize, Task::Classification),
        ("log_loss", Goal::Minimize, Task::Classification),
        ("roc_auc", Goal::Maximize, Task::Classification),
        ("pr_auc", Goal::Maximize, Task::Classification),
        ("brier", Goal::Minimize, Task::Classification),
        ("rmse", Goal::Minimize, Task::Regression),
        ("mae", Goal::Minimize, Task::Regression),
        ("r2", Goal::Maximize, Task::Regression),
    ] {
        let (found, implied) = objective(metric, "").unwrap();
        assert_eq!((found.metric.name(), found.goal, implied), (metric, goal, Some(task)));
        let other = if task == Task::Regression { "classification" } else { "regression" };
        let error = objective(metric, &format!("task = {other:?}\n")).unwrap_err().to_string();
        let expected = format!("objective.metric = {metric:?}: only {} has it", task.name());
        assert!(error.contains(&expected), "{error}");
    }
    assert!(objective("accuracy", "").is_err(), "its name is validation_accuracy");
}

#[test]
fn a_measure_that_compares_labels_needs_different_ones() {
    let text = format!("{FILE}[objective]\nmetric = \"roc_auc\"\n");
    let spec = file::parse(&text).unwrap().spec;
    let mut data = DataSummary { features: 64, outputs: 10, ..DataSummary::default() };
    assert!(spec.check_new(Some(&data)).is_ok());
    data.notes.push(DataNote {
        level: NoteLevel::Warning,
        code: ONE_CLASS.to_owned(),
        columns: Vec::new(),
        text: "every row of the validation split has the class \"a\"".to_owned(),
    });
    let error = spec.check_new(Some(&data)).unwrap_err().to_string();
    assert_eq!(
        error,
        "objective.metric = \"roc_auc\": every row of the validation split has the class \"a\", \
         and this measure compares different classes: expected rows to validate on that have them, \
         or another metric"
    );
    let spec = file::parse(FILE).unwrap().spec;
    assert!(spec.check_new(Some(&data)).is_ok(), "an accuracy needs no second class");
}
