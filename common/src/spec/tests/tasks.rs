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
fn several_labels_are_numbers() {
    let with = |label: &str, more: &str| {
        let text = format!(
            "name = \"s\"\n[data]\nsource = \"a.csv\"\nlabel = {label}\n{more}[search]\n\
             trials = 4\n"
        );
        let data = |file: file::SweepFile| file.spec.data;
        file::parse(&text).map(data).map_err(|problems| problems.to_string())
    };
    let data = with("[\"near\", \" far \"]", "").unwrap();
    assert_eq!(data.label_names().collect::<Vec<_>>(), ["near", "far"]);
    assert_eq!(data.task, Some(Task::Regression));
    assert_eq!(data.written_label().unwrap(), "[\"near\", \"far\"]");
    let one = with("[\"near\"]", "").unwrap();
    assert_eq!((one.task, one.label.as_deref()), (None, Some("near")));
    assert_eq!(one, with("\"near\"", "").unwrap());
    let many: Vec<String> = (0..65).map(|number| format!("\"y{number}\"")).collect();
    let many = |count: usize| format!("[{}]", many[..count].join(", "));
    assert_eq!(with(&many(64), "").unwrap().more_labels.len(), 63);
    let expected_names = "expected the name of a column, or a list of several numeric columns";
    for (label, more, expected) in [
        ("[]", "", expected_names),
        ("3", "", expected_names),
        ("[\"a\", 3]", "", expected_names),
        (&*many(65), "", "data.label: names 65 columns: expected 1 to 64"),
        (
            "[\"a\", \"b\", \"a\"]",
            "",
            "data.label = \"a\": is named twice: expected a different column for each label",
        ),
        (
            "[\"a\", \"b\"]",
            "task = \"classification\"\n",
            "data.task = \"classification\": several labels are predicted as numbers: expected \
             \"regression\", or one label",
        ),
        (
            "[\"a\", \"b\"]",
            "weight = \"b\"\n",
            "data.weight = \"b\": data.label names it too: expected a column of its own",
        ),
        (
            "[\"a\", \"b\"]",
            "class_weights = \"balanced\"\n",
            "data.class_weights: weights of classes have no effect with task = \"regression\": \
             remove class_weights, or set task = \"classification\"",
        ),
    ] {
        let error = with(label, more).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
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
