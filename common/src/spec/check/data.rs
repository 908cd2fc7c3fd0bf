//! The checks of `[data]`.

use std::collections::{BTreeMap, BTreeSet};

use super::weights::read_weights;
use crate::assignment::Value;
use crate::data::{ColumnType, DataSpec, SplitSpec, TableSpec, Task};
use crate::error::{Problem, Problems};
use crate::limits::{MAX_COLUMN_NAMES, MAX_FOLDS, MAX_LABELS, MAX_TEXT_CHARS};
use crate::metric::Metric;
use crate::spec::rules::{EXPECTED_TEST, EXPECTED_VALIDATION, GIVEN_TWICE, expected_whole, named};
use crate::spec::{Draft, DraftData};
use crate::text::{one_of, quoted};

/// Share of the validation split unless the sweep file gives another.
const DEFAULT_VALIDATION: f64 = 0.2;
/// Share of the test split unless the sweep file gives another.
const DEFAULT_TEST: f64 = 0.1;

/// Delimiters that have a name, because a TOML file shows them badly.
const NAMED_DELIMITERS: [(&str, char); 3] = [("tab", '\t'), ("\\t", '\t'), ("space", ' ')];

pub(super) fn check_data(draft: &Draft, problems: &mut Problems) -> DataSpec {
    let data = &draft.data;
    let source = data.source.clone().unwrap_or_default();
    if data.source.is_none() {
        problems.push(Problem::new(
            "data.source",
            "missing: expected \"builtin:digits\", the path of a table or an IDX file, or \
             \"external\"",
        ));
    }
    check_data_text("data.source", Some(&source), problems);
    check_data_text("data.label", data.label.as_deref(), problems);
    check_data_text("data.labels", data.labels.as_deref(), problems);
    check_more_labels(data, problems);
    check_path("data.source", Some(&source), problems);
    check_path("data.labels", data.labels.as_deref(), problems);
    let task = check_task(draft, problems);
    let validation = data.validation.unwrap_or(DEFAULT_VALIDATION);
    let test = data.test.unwrap_or(DEFAULT_TEST);
    check_shares(validation, test, problems);
    DataSpec {
        source,
        label: data.label.clone(),
        more_labels: data.more_labels.iter().map(|name| name.trim().to_owned()).collect(),
        labels: data.labels.clone(),
        task,
        validation,
        test,
        table: check_table(data, problems),
        split: check_split(data, problems),
        weights: read_weights(data),
    }
}

fn check_split(data: &DraftData, problems: &mut Problems) -> SplitSpec {
    let name = |key: &str, text: &Option<String>, problems: &mut Problems| {
        check_data_text(&format!("data.{key}"), text.as_deref(), problems);
        text.as_deref().map(|name| name.trim().to_owned())
    };
    let split = SplitSpec {
        group: name("group", &data.group, problems),
        time: name("time", &data.time, problems),
        validation_source: data.validation_source.clone(),
        test_source: data.test_source.clone(),
        folds: check_folds(data, problems),
    };
    for (key, path) in
        [("validation_source", &split.validation_source), ("test_source", &split.test_source)]
    {
        let field = format!("data.{key}");
        check_data_text(&field, path.as_deref(), problems);
        check_path(&field, path.as_deref(), problems);
    }
    let given = [
        ("validation", data.validation.is_some(), split.validation_source.is_some()),
        ("test", data.test.is_some(), split.test_source.is_some()),
    ];
    for (key, ..) in
        given.into_iter().filter(|(_, has_share, has_source)| *has_share && *has_source)
    {
        let message = format!("{key}_source has the rows of this split: remove one of the two");
        problems.push(Problem::new(format!("data.{key}"), message));
    }
    if let (Some(group), Some(_)) = (&split.group, &split.time) {
        let message = "rows are kept together by group or split by time: remove one of the two";
        problems.push(Problem::with_value("data.group", quoted(group), message));
    }
    split
}

/// The number of folds. Each is the validation split once.
fn check_folds(data: &DraftData, problems: &mut Problems) -> Option<u32> {
    let given = data.folds?;
    let superfluous = [
        ("validation", data.validation.is_some()),
        ("validation_source", data.validation_source.is_some()),
    ];
    for (key, _) in superfluous.into_iter().filter(|(_, is_given)| *is_given) {
        let message = "every fold is the validation split once: remove this or folds";
        problems.push(Problem::new(format!("data.{key}"), message));
    }
    if data.time.is_some() {
        let message = "a model would be validated on rows before those that it was trained on: \
                       remove time or folds";
        problems.push(Problem::with_value("data.folds", given, message));
    }
    let folds = u32::try_from(given).ok().filter(|folds| (2..=MAX_FOLDS).contains(folds));
    if folds.is_none() {
        problems.push(Problem::with_value("data.folds", given, expected_whole(2, MAX_FOLDS)));
    }
    folds
}

/// The task as given. If it is absent but the objective is a metric that only one task has, it is
/// that task, and if labels are smoothed or classes have weights, it is classification.
fn check_task(draft: &Draft, problems: &mut Problems) -> Option<Task> {
    let tasks = Task::ALL.map(|task| (task.name(), Some(task)));
    let metric = draft.objective.metric.as_deref().and_then(Metric::from_name);
    let has_classes = metric.as_ref().is_some_and(Metric::needs_classes);
    let has_numbers = metric.as_ref().is_some_and(Metric::needs_numbers);
    let has_classes =
        has_classes || smoothing_field(draft).is_some() || draft.data.class_weights.is_some();
    let has_several = !draft.data.more_labels.is_empty();
    let implied = match (has_classes, has_numbers || has_several) {
        (_, true) => Some(Task::Regression),
        (true, false) => Some(Task::Classification),
        (false, false) => None,
    };
    named("data.task", draft.data.task.as_deref(), &tasks, implied, problems)
}

/// Checks the names of several labels, which are all predicted as numbers.
fn check_more_labels(data: &DraftData, problems: &mut Problems) {
    const FIELD: &str = "data.label";
    if data.more_labels.is_empty() {
        return;
    }
    if data.label.is_none() {
        problems.push(Problem::new(FIELD, "is missing: expected the first of several labels"));
        return;
    }
    let count = data.more_labels.len() + 1;
    if count > MAX_LABELS {
        let message = format!("names {count} columns: expected 1 to {MAX_LABELS}");
        problems.push(Problem::new(FIELD, message));
        return;
    }
    for name in &data.more_labels {
        check_data_text(FIELD, Some(name), problems);
    }
    let names = || data.label.iter().chain(&data.more_labels).map(|name| name.trim());
    let mut earlier = BTreeSet::new();
    if let Some(twice) = names().find(|name| !earlier.insert(*name)) {
        let message = "is named twice: expected a different column for each label";
        problems.push(Problem::with_value(FIELD, quoted(twice), message));
    }
    if data.task.as_deref() == Some(Task::Classification.name()) {
        let message = "several labels are predicted as numbers: expected \"regression\", or one \
                       label";
        let given = quoted(Task::Classification.name());
        problems.push(Problem::with_value("data.task", given, message));
    }
}

/// The field that smooths labels, which only classification can: `space.label_smoothing`, or
/// `fixed.label_smoothing` unless it is 0.
fn smoothing_field(draft: &Draft) -> Option<String> {
    const NAME: &str = "label_smoothing";
    let parameters = draft.space.iter().flatten();
    let searched = parameters.map(|it| &it.name).any(|name| name == NAME);
    let is_fixed = draft.fixed.iter().any(|(name, value)| name == NAME && is_above_0(value));
    match (searched, is_fixed) {
        (true, _) => Some(format!("space.{NAME}")),
        (false, true) => Some(format!("fixed.{NAME}")),
        (false, false) => None,
    }
}

fn is_above_0(value: &Value) -> bool {
    value.as_f64().is_some_and(|number| number > 0.0)
}

/// Refuses to smooth the labels of a regression, as the objective refuses its accuracy.
pub(super) fn check_smoothing(draft: &Draft, task: Option<Task>, problems: &mut Problems) {
    let Some(field) = smoothing_field(draft).filter(|_| task == Some(Task::Regression)) else {
        return;
    };
    if !problems.touches(&field) {
        let message = "has no effect with task = \"regression\": remove it, or set task = \
                       \"classification\"";
        problems.push(Problem::new(field, message));
    }
}

fn check_table(data: &DraftData, problems: &mut Problems) -> TableSpec {
    let list = |key: &str, texts: &Option<Vec<String>>, problems: &mut Problems| {
        check_texts(&format!("data.{key}"), texts.as_deref().unwrap_or_default(), problems)
    };
    let columns = list("columns", &data.columns, problems);
    let ignore = list("ignore", &data.ignore, problems);
    for name in columns.iter().filter(|name| ignore.contains(name)) {
        let message =
            format!("data.columns names {} too: remove it from one of them", quoted(name));
        problems.push(Problem::with_value("data.ignore", quoted(name), message));
    }
    TableSpec {
        delimiter: check_delimiter(data.delimiter.as_deref(), problems),
        header: data.header,
        columns,
        ignore,
        types: check_types(data.types.as_deref().unwrap_or_default(), problems),
        missing: list("missing", &data.missing, problems),
    }
}

/// A list of different texts.
fn check_texts(field: &str, texts: &[String], problems: &mut Problems) -> Vec<String> {
    if texts.len() > MAX_COLUMN_NAMES {
        let message = format!("has {} entries: expected at most {MAX_COLUMN_NAMES}", texts.len());
        problems.push(Problem::new(field, message));
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    for text in texts {
        check_data_text(field, Some(text), problems);
        if !seen.insert(text.trim()) {
            problems.push(Problem::with_value(field, quoted(text), GIVEN_TWICE));
        }
    }
    texts.iter().map(|text| text.trim().to_owned()).collect()
}

fn check_types(
    types: &[(String, String)],
    problems: &mut Problems,
) -> BTreeMap<String, ColumnType> {
    let known = ColumnType::ALL.map(|kind| (kind.name(), Some(kind)));
    if types.len() > MAX_COLUMN_NAMES {
        let message = format!("has {} entries: expected at most {MAX_COLUMN_NAMES}", types.len());
        problems.push(Problem::new("data.types", message));
        return BTreeMap::new();
    }
    let mut checked = BTreeMap::new();
    for (name, kind) in types {
        let field = format!("data.types.{name}");
        check_data_text(&field, Some(name), problems);
        if let Some(kind) = named(&field, Some(kind), &known, None, problems)
            && checked.insert(name.trim().to_owned(), kind).is_some()
        {
            problems.push(Problem::new(field, GIVEN_TWICE));
        }
    }
    checked
}

/// One ASCII character that can stand between cells, or a name of one.
fn check_delimiter(text: Option<&str>, problems: &mut Problems) -> Option<char> {
    let text = text?;
    if let Some((_, delimiter)) = NAMED_DELIMITERS.iter().find(|(name, _)| *name == text) {
        return Some(*delimiter);
    }
    let mut characters = text.chars();
    let is_legal =
        |c: &char| c.is_ascii() && !c.is_ascii_alphanumeric() && !"\"\r\n.-+".contains(*c);
    match (characters.next().filter(is_legal), characters.next()) {
        (Some(delimiter), None) => Some(delimiter),
        (Some(_) | None, Some(_) | None) => {
            let names = one_of(["tab", "space"]);
            let message = format!(
                "expected one ASCII character that is no letter, digit, quote, point or sign, such \
                 as \";\"; or {names}"
            );
            problems.push(Problem::with_value("data.delimiter", quoted(text), message));
            None
        }
    }
}

fn check_data_text(field: &str, text: Option<&str>, problems: &mut Problems) {
    if let Some(text) = text.filter(|t| t.chars().count() > MAX_TEXT_CHARS) {
        let message = format!("expected at most {MAX_TEXT_CHARS} characters");
        problems.push(Problem::with_value(field, quoted(text), message));
    }
}

/// Refuses a URL: it would be taken for a relative path and reported as a file that does not exist.
fn check_path(field: &str, path: Option<&str>, problems: &mut Problems) {
    let scheme = path.and_then(|path| path.split_once("://")).map(|(scheme, _)| scheme);
    let is_url = scheme.is_some_and(|scheme| {
        !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    });
    if is_url {
        let message = "a URL: download the file first and give its path";
        problems.push(Problem::with_value(field, quoted(path.unwrap_or_default()), message));
    }
}

fn check_shares(validation: f64, test: f64, problems: &mut Problems) {
    if !(validation > 0.0 && validation < 1.0) {
        problems.push(Problem::with_value("data.validation", validation, EXPECTED_VALIDATION));
    }
    if !(0.0..1.0).contains(&test) {
        problems.push(Problem::with_value("data.test", test, EXPECTED_TEST));
    } else if validation + test >= 1.0 && !problems.touches("data.validation") {
        let message = format!(
            "with validation = {validation} no rows are left to train on: expected a sum below 1"
        );
        problems.push(Problem::with_value("data.test", test, message));
    }
}
