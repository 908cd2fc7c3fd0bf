//! The column that is predicted, as it is read.

use std::collections::BTreeMap;

use caviar_common::data::Task;

use crate::error::Fault;
use crate::examples::Targets;
use crate::{MAX_CLASSES, MAX_LABEL_BYTES};
use caviar_common::numbers::index;

/// The targets read so far.
pub(crate) enum Labels {
    /// Each row's class, numbered in the order in which the classes first appear.
    Classes { numbers: BTreeMap<String, u32>, rows: Vec<u32> },
    /// Each row's number.
    Values(Vec<f32>),
}

impl Labels {
    pub(crate) fn new(task: Task) -> Self {
        match task {
            Task::Classification => Self::Classes { numbers: BTreeMap::new(), rows: Vec::new() },
            Task::Regression => Self::Values(Vec::new()),
        }
    }

    /// Takes the label of the next row.
    pub(crate) fn push(&mut self, text: &str) -> Result<(), Fault> {
        match self {
            Self::Classes { numbers, rows } => rows.push(class(numbers, text)?),
            Self::Values(values) => values.push(number(text)?),
        }
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Classes { rows, .. } => rows.len(),
            Self::Values(values) => values.len(),
        }
    }

    /// The targets, and the names of the classes in their order (none for regression).
    pub(crate) fn finish(self) -> (Targets, Vec<String>) {
        match self {
            Self::Classes { numbers, rows } => {
                let (names, order) = in_order(&numbers);
                let classes =
                    rows.iter().filter_map(|&first| order.get(index(first)).copied()).collect();
                (Targets::Classes(classes), names)
            }
            Self::Values(values) => (Targets::Values(values), Vec::new()),
        }
    }
}

/// A finite f32.
pub(crate) fn number(text: &str) -> Result<f32, Fault> {
    if text.is_empty() {
        return Err(Fault::Empty);
    }
    let value: f32 = text.parse().map_err(|_| Fault::NotNumber)?;
    match value.is_finite() {
        true => Ok(value),
        // Infinity was either written in words or reached by too many digits.
        false if text.bytes().any(|b| b.is_ascii_digit()) => Err(Fault::OutOfRange),
        false => Err(Fault::NotFinite),
    }
}

fn class(numbers: &mut BTreeMap<String, u32>, text: &str) -> Result<u32, Fault> {
    if let Some(&known) = numbers.get(text) {
        return Ok(known);
    }
    if text.is_empty() {
        return Err(Fault::Empty);
    }
    if text.len() > MAX_LABEL_BYTES {
        return Err(Fault::LongLabel);
    }
    if numbers.len() >= MAX_CLASSES {
        return Err(Fault::TooManyClasses);
    }
    let next = u32::try_from(numbers.len()).map_err(|_| Fault::TooManyClasses)?;
    numbers.insert(text.to_owned(), next);
    Ok(next)
}

/// The classes' names in order, and by order of appearance each one's place in that order.
///
/// If all names are numbers their values decide, and spellings of one value (1, 1.0) are one class;
/// else the bytes of the text do. Either way the order of the rows has no part in it.
fn in_order(numbers: &BTreeMap<String, u32>) -> (Vec<String>, Vec<u32>) {
    let mut names = Vec::new();
    let mut order = vec![0; numbers.len()];
    for (name, spellings) in groups(numbers) {
        let place = u32::try_from(names.len()).unwrap_or(u32::MAX);
        names.push(name);
        for first in spellings {
            if let Some(slot) = order.get_mut(index(first)) {
                *slot = place;
            }
        }
    }
    (names, order)
}

fn groups(numbers: &BTreeMap<String, u32>) -> Vec<(String, Vec<u32>)> {
    // Adding 0 makes -0 and 0 one value.
    let value = |text: &str| text.parse().ok().filter(|v: &f64| v.is_finite()).map(|v| v + 0.0);
    let values: Option<Vec<(f64, u32)>> =
        numbers.iter().map(|(text, &first)| Some((value(text)?, first))).collect();
    let Some(mut values) = values else {
        return numbers.iter().map(|(text, &first)| (text.clone(), vec![first])).collect();
    };
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let group = |same: &[(f64, u32)]| {
        Some((same.first()?.0.to_string(), same.iter().map(|&(_, first)| first).collect()))
    };
    values.chunk_by(|a, b| a.0 == b.0).filter_map(group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(texts: &[&str]) -> (Vec<u32>, Vec<String>) {
        let mut labels = Labels::new(Task::Classification);
        for text in texts {
            labels.push(text).unwrap();
        }
        let (Targets::Classes(rows), names) = labels.finish() else {
            panic!("classes were asked for")
        };
        (rows, names)
    }

    #[test]
    fn numbers_are_ordered_by_value_and_text_by_its_bytes() {
        assert_eq!(
            classes(&["10", "9", "-1", "9"]),
            (vec![2, 1, 0, 1], vec!["-1".into(), "9".into(), "10".into()])
        );
        assert_eq!(
            classes(&["b10", "b9", "a"]),
            (vec![1, 2, 0], vec!["a".into(), "b10".into(), "b9".into()])
        );
        assert_eq!(
            classes(&["10", "9", "nan"]).1,
            ["10", "9", "nan"],
            "one text among them and all are text"
        );
    }

    #[test]
    fn spellings_of_one_number_are_one_class() {
        assert_eq!(
            classes(&["1.0", "0", "1", "-0.0", "01"]),
            (vec![1, 0, 1, 0, 1], vec!["0".into(), "1".into()])
        );
    }

    #[test]
    fn cells_that_are_no_number_say_why() {
        assert_eq!(number("-1.5e2"), Ok(-150.0));
        for (text, fault) in [
            ("", Fault::Empty),
            ("x", Fault::NotNumber),
            ("1,5", Fault::NotNumber),
            ("NaN", Fault::NotFinite),
            ("-inf", Fault::NotFinite),
            ("1e39", Fault::OutOfRange),
        ] {
            assert_eq!(number(text), Err(fault), "{text:?}");
        }
    }

    #[test]
    fn classes_are_limited_in_number_and_length() {
        let mut labels = Labels::new(Task::Classification);
        for i in 0..MAX_CLASSES {
            labels.push(&i.to_string()).unwrap();
        }
        assert_eq!(labels.push("one more"), Err(Fault::TooManyClasses));
        assert_eq!(labels.push("7"), Ok(()));
        assert_eq!(
            Labels::new(Task::Classification).push(&"x".repeat(MAX_LABEL_BYTES + 1)),
            Err(Fault::LongLabel)
        );
    }
}
