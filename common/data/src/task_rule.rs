//! Which task the labels suggest, by one rule for every format.

use std::collections::HashSet;

use caviar_common::data::{DataNote, Task};

use crate::error::shown;
use crate::limits::MAX_CATEGORIES;
use crate::table::{info, warning};

/// Whole numbers with more different values than this are predicted as numbers, not as classes.
const MOST_WHOLE_CLASSES: usize = 20;
/// The same for other numbers.
const MOST_OTHER_CLASSES: usize = 2;

/// What the rule looks at if all labels are numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NumericLabels {
    /// Different labels as they are written.
    pub(crate) different: usize,
    /// Whether all are whole numbers.
    pub(crate) is_whole: bool,
}

impl NumericLabels {
    /// Looks at different texts. `None` if one is not a number, which `parse` decides.
    pub(crate) fn of(
        texts: &HashSet<Box<str>>,
        parse: impl Fn(&str) -> Option<f64>,
    ) -> Option<Self> {
        let is_number = texts.iter().all(|text| parse(text).is_some());
        let is_whole = |text: &str| parse(text).is_some_and(|value| value.fract() == 0.0);
        let is_whole = texts.iter().all(|text| is_whole(text));
        is_number.then_some(Self { different: texts.len(), is_whole })
    }
}

/// Most different labels that are counted: more would not change what the rule decides.
pub(crate) const MOST_COUNTED: usize = MAX_CATEGORIES + 1;

/// Whether the label `name` is predicted as a number, and what the user should know of that.
/// `numeric` is `None` if some label is not a number.
pub(crate) fn is_regression(
    task: Option<Task>,
    name: &str,
    numeric: Option<NumericLabels>,
) -> (bool, Option<DataNote>) {
    let seems_number = numeric.filter(|labels| {
        labels.different > if labels.is_whole { MOST_WHOLE_CLASSES } else { MOST_OTHER_CLASSES }
    });
    match (task, seems_number) {
        (Some(Task::Regression), _) => (true, None),
        (None, Some(NumericLabels { different, .. })) => {
            let text = format!(
                "the label {:?} has {different} different numbers, so the task is regression; to \
                 predict classes: task = \"classification\"",
                shown(name)
            );
            (true, Some(info("task", &[name], text)))
        }
        (Some(Task::Classification), Some(NumericLabels { different, .. })) => {
            let text = format!(
                "the label {:?} has {different} different numbers and looks like a number to \
                 predict: task = \"regression\" would do that",
                shown(name)
            );
            (false, Some(warning("label_is_a_number", &[name], text)))
        }
        (Some(Task::Classification) | None, None) => (false, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_different_numbers_are_predicted_as_numbers() {
        let rule = |task, different, is_whole| {
            let numeric = Some(NumericLabels { different, is_whole });
            let (is_regression, note) = is_regression(task, "y", numeric);
            (is_regression, note.map(|note| note.code))
        };
        let (task, number) = (Some("task".to_owned()), Some("label_is_a_number".to_owned()));
        assert_eq!(rule(None, 20, true), (false, None));
        assert_eq!(rule(None, 21, true), (true, task.clone()));
        assert_eq!(rule(None, 2, false), (false, None));
        assert_eq!(rule(None, 3, false), (true, task));
        assert_eq!(rule(Some(Task::Classification), 21, true), (false, number));
        assert_eq!(rule(Some(Task::Regression), 2, true), (true, None));
        assert_eq!(is_regression(None, "y", None), (false, None));
        assert_eq!(is_regression(Some(Task::Regression), "y", None), (true, None));
    }
}
