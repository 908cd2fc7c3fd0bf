//! The checks of `class_weights` and `weight` in `[data]`.

use std::collections::BTreeSet;

use crate::data::{ClassWeights, Task, WeightSpec};
use crate::error::{Problem, Problems};
use crate::limits::{MAX_COLUMN_NAMES, MAX_ROW_WEIGHT, MAX_TEXT_CHARS};
use crate::spec::rules::{EXPECTED_CLASS_WEIGHTS, GIVEN_TWICE};
use crate::spec::{Draft, DraftClassWeights, DraftData};
use crate::text::quoted;

const CLASSES: &str = "data.class_weights";
const COLUMN: &str = "data.weight";

/// The weights as written. [`check_weights`] reports what is wrong with them.
pub(super) fn read_weights(data: &DraftData) -> WeightSpec {
    let classes = data.class_weights.as_ref().map(|given| match given {
        DraftClassWeights::Rule(_) => ClassWeights::Balanced,
        DraftClassWeights::Given(weights) => {
            let entry = |(name, weight): &(String, f64)| (name.trim().to_owned(), *weight);
            ClassWeights::Given(weights.iter().map(entry).collect())
        }
    });
    WeightSpec { classes, column: data.weight.as_deref().map(|name| name.trim().to_owned()) }
}

pub(super) fn check_weights(draft: &Draft, task: Option<Task>, problems: &mut Problems) {
    let data = &draft.data;
    if let Some(weights) = &data.class_weights {
        check_class_weights(weights, problems);
        if task == Some(Task::Regression) {
            let message = "weights of classes have no effect with task = \"regression\": remove \
                           class_weights, or set task = \"classification\"";
            problems.push(Problem::new(CLASSES, message));
        }
    }
    let Some(column) = &data.weight else { return };
    check_length(COLUMN, column, problems);
    let labels = data.label.iter().chain(&data.more_labels).map(|name| ("label", name));
    let group = data.group.iter().map(|name| ("group", name));
    let roles = labels.chain(group).chain(data.time.iter().map(|name| ("time", name)));
    for (key, _) in roles.filter(|(_, name)| name.trim() == column.trim()) {
        let message = format!("data.{key} names it too: expected a column of its own");
        problems.push(Problem::with_value(COLUMN, quoted(column), message));
    }
}

fn check_class_weights(weights: &DraftClassWeights, problems: &mut Problems) {
    let weights = match weights {
        DraftClassWeights::Rule(rule) => {
            if rule != ClassWeights::BALANCED {
                problems.push(Problem::with_value(CLASSES, quoted(rule), EXPECTED_CLASS_WEIGHTS));
            }
            return;
        }
        DraftClassWeights::Given(weights) => weights,
    };
    if weights.is_empty() {
        let message = format!("has no weights: {EXPECTED_CLASS_WEIGHTS}");
        problems.push(Problem::new(CLASSES, message));
    }
    if weights.len() > MAX_COLUMN_NAMES {
        let message = format!("has {} entries: expected at most {MAX_COLUMN_NAMES}", weights.len());
        problems.push(Problem::new(CLASSES, message));
        return;
    }
    let mut seen = BTreeSet::new();
    for (name, weight) in weights {
        let field = format!("{CLASSES}.{name}");
        check_length(&field, name, problems);
        if !(0.0..=f64::from(MAX_ROW_WEIGHT)).contains(weight) {
            let message = format!("expected a number from 0 to {MAX_ROW_WEIGHT}");
            problems.push(Problem::with_value(&field, weight, message));
        }
        if !seen.insert(name.trim()) {
            problems.push(Problem::new(&field, GIVEN_TWICE));
        }
    }
}

fn check_length(field: &str, text: &str, problems: &mut Problems) {
    if text.chars().count() > MAX_TEXT_CHARS {
        let message = format!("expected at most {MAX_TEXT_CHARS} characters");
        problems.push(Problem::with_value(field, quoted(text), message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::file;

    const FILE: &str = "name = \"s\"\n[data]\nsource = \"builtin:digits\"\n[search]\ntrials = 10\n";

    #[test]
    fn weights_are_checked() {
        let errors_of = |lines: &str| {
            let text = FILE.replace("[search]", &format!("{lines}\n[search]"));
            let error = file::parse(&text).unwrap_err().to_string();
            error.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let field = "line 4: data.class_weights";
        let expected = "expected \"balanced\", or the weights of classes, such as { rare = 10 }";
        for (lines, found) in [
            ("class_weights = \"equal\"", format!("{field} = \"equal\": {expected}")),
            ("class_weights = 3", format!("{field} = 3: {expected}")),
            ("class_weights = {}", format!("{field}: has no weights: {expected}")),
            (
                "class_weights = { a = -1 }",
                format!("{field}.a = -1: expected a number from 0 to 1000000000"),
            ),
            (
                "weight = \"n\"\ngroup = \"n\"",
                "line 4: data.weight = \"n\": data.group names it too: expected a column of its own"
                    .to_owned(),
            ),
            (
                "class_weights = \"balanced\"\ntask = \"regression\"",
                format!(
                    "{field}: weights of classes have no effect with task = \"regression\": remove \
                     class_weights, or set task = \"classification\""
                ),
            ),
        ] {
            assert_eq!(errors_of(lines), [found]);
        }
        let spec = FILE.replace("[search]", "class_weights = { a = 2, \"b c\" = 0.5 }\n[search]");
        let spec = file::parse(&spec).unwrap().spec;
        let given = [("a".to_owned(), 2.0), ("b c".to_owned(), 0.5)].into_iter().collect();
        assert_eq!(spec.data.weights.classes, Some(ClassWeights::Given(given)));
        assert_eq!(spec.data.task, Some(Task::Classification), "only classes have weights");
    }
}
