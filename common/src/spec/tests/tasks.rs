//! What a task, its splits and its labels rule out.

use super::*;

#[test]
fn labels_are_smoothed_only_with_classes() {
    let with = |data: &str, fixed: &str, space: &str| {
        let text = format!(
            "name = \"s\"\n[data]\nsource = \"a.csv\"\n{data}[fixed]\n{fixed}[space]\n\
             learning_rate = {{ low = 0.1, high = 1.0 }}\n{space}[search]\ntrials = 4\n"
        );
        file::parse(&text).map(|file| file.spec.data.task).map_err(|problems| problems.to_string())
    };
    let regression = "task = \"regression\"\n";
    let (fixed, none) = ("label_smoothing = 0.1\n", "label_smoothing = 0.0\n");
    let searched = "label_smoothing = { low = 0.0, high = 0.2 }\n";
    for (fixed, space, field) in
        [(fixed, "", "fixed.label_smoothing"), ("", searched, "space.label_smoothing")]
    {
        let error = with(regression, fixed, space).unwrap_err();
        let expected = format!(
            "{field}: has no effect with task = \"regression\": remove it, or set task = \
             \"classification\""
        );
        assert!(error.ends_with(&expected), "{error}");
        // As with an accuracy as the objective, the task follows.
        assert_eq!(with("", fixed, space), Ok(Some(Task::Classification)));
    }
    assert_eq!(with(regression, none, ""), Ok(Some(Task::Regression)));
    assert_eq!(with("", none, ""), Ok(None));
    let error = with(regression, "label_smoothing = 1.0\n", "").unwrap_err();
    assert!(error.ends_with("expected a number of at least 0 and below 1"), "{error}");
}

#[test]
fn folds_replace_the_validation_split_and_repeats_are_few() {
    let with = |data: &str, objective: &str| {
        let text = format!(
            "name = \"s\"\n[data]\nsource = \"a.csv\"\n{data}[search]\ntrials = 4\n\
             [objective]\n{objective}"
        );
        let found =
            |file: file::SweepFile| (file.spec.data.split.folds, file.spec.objective.repeats);
        file::parse(&text).map(found).map_err(|problems| problems.to_string())
    };
    assert_eq!(with("folds = 5\n", "repeats = 3\n"), Ok((Some(5), 3)));
    assert_eq!(with("", ""), Ok((None, 1)));
    for (data, objective, expected) in [
        ("folds = 1\n", "", "data.folds = 1: expected a whole number from 2 to 20"),
        ("", "repeats = 11\n", "objective.repeats = 11: expected a whole number from 1 to 10"),
        (
            "folds = 5\nvalidation = 0.2\n",
            "",
            "data.validation: every fold is the validation split once: remove this or folds",
        ),
        (
            "folds = 5\ntime = \"day\"\n",
            "",
            "data.folds = 5: a model would be validated on rows before those that it was trained \
             on: remove time or folds",
        ),
    ] {
        let error = with(data, objective).unwrap_err();
        assert!(error.ends_with(expected), "{error}");
    }
}
