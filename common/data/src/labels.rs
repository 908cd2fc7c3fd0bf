//! The labels of a data set as they are read.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use caviar_common::numbers::{index, to_u32};

use crate::examples::{Numbers, Targets};
use crate::fault::Fault;
use crate::limits::{MAX_CLASSES, MAX_LABEL_BYTES};

/// The labels read so far.
pub(crate) enum Labels {
    /// The class of each row. Classes are numbered in the order in which they first appear.
    Classes { numbers: BTreeMap<String, u32>, rows: Vec<u32> },
    /// The numbers of each row, as many as there are labels, row by row.
    Values { outputs: usize, all: Vec<f64> },
}

impl Labels {
    pub(crate) const fn classes() -> Self {
        Self::Classes { numbers: BTreeMap::new(), rows: Vec::new() }
    }

    /// Numbers: `outputs` for each row.
    pub(crate) const fn values(outputs: usize) -> Self {
        Self::Values { outputs, all: Vec::new() }
    }

    /// Adds the class of the next row.
    pub(crate) fn push_class(&mut self, text: &str) -> Result<(), Fault> {
        if let Self::Classes { numbers, rows } = self {
            rows.push(class(numbers, text)?);
        }
        Ok(())
    }

    /// Adds the next number. The numbers of a row follow each other.
    pub(crate) fn push_value(&mut self, value: f64) {
        if let Self::Values { all, .. } = self {
            all.push(value);
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Classes { rows, .. } => rows.len(),
            Self::Values { outputs, all } => all.len() / (*outputs).max(1),
        }
    }

    /// The targets, and the names of the classes in order (empty for regression).
    pub(crate) fn finish(self) -> (Targets<f64>, Vec<String>) {
        match self {
            Self::Classes { numbers, rows } => {
                let (names, order) = in_order(&numbers);
                let classes =
                    rows.iter().filter_map(|&first| order.get(index(first)).copied()).collect();
                (Targets::Classes(classes), names)
            }
            Self::Values { outputs, mut all } => {
                // A row that was not read to its end has no target.
                all.truncate(all.len() - all.len() % outputs.max(1));
                let numbers = Numbers::from_rows(outputs, all);
                let numbers = numbers.unwrap_or_else(|| Vec::new().into());
                (Targets::Values(numbers), Vec::new())
            }
        }
    }
}

/// The numbers of columns of equal length, row by row.
pub(crate) fn by_rows(columns: &[Vec<f64>]) -> Vec<f64> {
    let rows = columns.iter().map(Vec::len).min().unwrap_or_default();
    let row = |row: usize| columns.iter().filter_map(move |column| column.get(row).copied());
    (0..rows).flat_map(row).collect()
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

/// The names of the classes in order, and for each class by order of appearance its index in that
/// order.
///
/// Names are compared as they are written: `7` and `007` are two classes, and so are numbers that
/// differ in the twentieth digit. If all names are numbers they are sorted by value, and those of
/// one value by their text. Otherwise they are sorted by the bytes of the text. The order of the
/// rows never matters.
fn in_order(numbers: &BTreeMap<String, u32>) -> (Vec<String>, Vec<u32>) {
    let mut names: Vec<(&String, u32)> =
        numbers.iter().map(|(text, &first)| (text, first)).collect();
    let value = |text: &str| text.parse().ok().filter(|value: &f64| value.is_finite());
    let values: Option<Vec<f64>> = names.iter().map(|(text, _)| value(text)).collect();
    if let Some(values) = values {
        // Adding 0 turns -0 into 0.
        let mut sorted: Vec<_> = values.into_iter().map(|value| value + 0.0).zip(names).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| by_digits(a.1.0, b.1.0)));
        names = sorted.into_iter().map(|(_, name)| name).collect();
    }
    let mut order = vec![0; numbers.len()];
    for (place, (_, first)) in names.iter().enumerate() {
        if let Some(slot) = order.get_mut(index(*first)) {
            *slot = to_u32(place);
        }
    }
    (names.into_iter().map(|(name, _)| name.clone()).collect(), order)
}

/// The order of numbers that an f64 cannot tell apart: by length, so that long integers are in
/// order, and then by the bytes.
fn by_digits(a: &str, b: &str) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(texts: &[&str]) -> (Vec<u32>, Vec<String>) {
        let mut labels = Labels::classes();
        for text in texts {
            labels.push_class(text).unwrap();
        }
        let (Targets::Classes(rows), names) = labels.finish() else {
            panic!("classes were asked for")
        };
        (rows, names)
    }

    #[test]
    fn numbers_are_sorted_by_value_and_text_by_its_bytes() {
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
            "with one text among them all are text"
        );
    }

    #[test]
    fn classes_are_compared_as_they_are_written() {
        assert_eq!(
            classes(&["7", "1.0", "0", "1", "-0.0", "007"]),
            (
                vec![4, 3, 0, 2, 1, 5],
                ["0", "-0.0", "1", "1.0", "7", "007"].map(str::to_owned).into()
            )
        );
        // An f64 has 53 bits.
        let ids = ["2023552585717889802", "2023552585717889801", "2023552585717889800"];
        assert_eq!(
            classes(&ids),
            (vec![2, 1, 0], [ids[2], ids[1], ids[0]].map(str::to_owned).into())
        );
    }

    #[test]
    fn the_number_of_classes_and_the_length_of_their_names_are_limited() {
        let mut labels = Labels::classes();
        for i in 0..MAX_CLASSES {
            labels.push_class(&i.to_string()).unwrap();
        }
        assert_eq!(labels.push_class("one more"), Err(Fault::TooManyClasses));
        assert_eq!(labels.push_class("7"), Ok(()));
        assert_eq!(
            Labels::classes().push_class(&"x".repeat(MAX_LABEL_BYTES + 1)),
            Err(Fault::LongLabel)
        );
    }
}
