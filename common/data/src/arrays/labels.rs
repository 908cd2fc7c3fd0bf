//! The labels in arrays: a list, the rows of a matrix, or several lists.

use std::ops::RangeInclusive;

use caviar_common::data::{DataNote, Task};
use caviar_common::limits::MAX_LABELS;

use super::column::ArrayColumn;
use super::{names, width};
use crate::error::DataError;
use crate::file_error::FileError;
use crate::labels::Labels;
use crate::numpy::Array;
use crate::schema::Schema;
use crate::stored::{Label, read_labels};
use crate::table::warning;

/// The columns to predict, and the arrays that they are in.
#[derive(Default)]
pub(crate) struct LabelArrays {
    arrays: Vec<Array>,
    columns: Vec<Place>,
}

/// Where a column to predict is.
struct Place {
    name: String,
    /// The index of the array.
    array: usize,
    /// The place in a row of the array.
    column: usize,
}

impl LabelArrays {
    /// All columns of an array. That of a list has the name of the array, and those of a matrix are
    /// numbered like inputs.
    pub(super) fn of_array(name: &str, array: Array) -> Self {
        let is_numbered = width(&array.shape) > 1;
        let names = names(name, &array.shape, is_numbered).into_iter().enumerate();
        let columns = names.map(|(column, name)| Place { name, array: 0, column }).collect();
        Self { arrays: vec![array], columns }
    }

    /// The labels of a model, which are the columns of an array in its order.
    pub(crate) fn of_rows(schema: &Schema, array: Array) -> Self {
        let names = schema.labels().map(|label| label.name.clone()).enumerate();
        let columns = names.map(|(column, name)| Place { name, array: 0, column }).collect();
        Self { arrays: vec![array], columns }
    }

    /// Adds an array, and returns its index.
    pub(crate) fn push(&mut self, array: Array) -> usize {
        self.arrays.push(array);
        self.arrays.len() - 1
    }

    /// Adds a column of an array as the next label.
    pub(crate) fn push_column(&mut self, name: &str, array: usize, column: usize) {
        self.columns.push(Place { name: name.to_owned(), array, column });
    }

    /// The columns with their names, in the order of the outputs.
    pub(crate) fn columns(&self) -> Vec<(&str, ArrayColumn<'_>)> {
        let column = |place: &'_ Place| {
            let array = self.arrays.get(place.array)?;
            Some(ArrayColumn::new(&array.items, place.column, width(&array.shape)))
        };
        let columns = self.columns.iter();
        columns.filter_map(|place| Some((place.name.as_str(), column(place)?))).collect()
    }

    /// The name of each label, and how many rows its array has.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (&str, usize)> {
        self.columns.iter().filter_map(|place| {
            let rows = self.arrays.get(place.array)?.shape.first().copied();
            Some((place.name.as_str(), rows.unwrap_or_default()))
        })
    }

    /// The names of several labels that an input must not have; none of one label, whose array is
    /// found first.
    pub(super) fn several(&self) -> Vec<&str> {
        let has_several = self.columns.len() > 1;
        self.columns.iter().filter(|_| has_several).map(|place| place.name.as_str()).collect()
    }

    /// Reads the labels that `field` names.
    pub(super) fn read(
        &self,
        (field, path): (&'static str, &str),
        task: Option<Task>,
    ) -> Result<Label, DataError> {
        let mut label = read_labels(&self.columns(), (field, path), task)?;
        label.notes.extend(self.one_hot(&label.labels));
        Ok(label)
    }

    /// A warning about a matrix whose rows look like classes.
    fn one_hot(&self, labels: &Labels) -> Option<DataNote> {
        let Labels::Values { outputs, all } = labels else { return None };
        let is_one_hot = |row: &[f64]| {
            let ones = row.iter().filter(|value| **value == 1.0).count();
            ones == 1 && row.iter().filter(|value| **value == 0.0).count() + 1 == row.len()
        };
        let is_matrix = self.arrays.len() == 1 && *outputs > 1;
        (is_matrix && all.chunks(*outputs).all(is_one_hot)).then(|| {
            let text = "each row of the labels has a 1 and otherwise 0, as one-hot classes have, \
                        and they are predicted as numbers: to predict classes, save \
                        y.argmax(axis=1) instead";
            warning("one_hot_labels", &self.several(), text.to_owned())
        })
    }
}

/// Which shapes labels can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LabelShape {
    /// A list, or a column of a list.
    List,
    /// A list of classes.
    Classes,
    /// A list, or a matrix with a column for each output.
    Any,
    /// A matrix with as many columns as the model has labels, which are more than one.
    Matrix(usize),
}

impl LabelShape {
    /// The shapes that one array of labels can have.
    pub(super) const fn of_task(task: Option<Task>) -> Self {
        match task {
            Some(Task::Classification) => Self::Classes,
            Some(Task::Regression) | None => Self::Any,
        }
    }

    /// The shapes of an array with all labels of a model.
    pub(crate) const fn of_outputs(labels: usize) -> Self {
        if labels > 1 { Self::Matrix(labels) } else { Self::List }
    }

    const fn columns(self) -> RangeInclusive<usize> {
        match self {
            Self::List | Self::Classes => 1..=1,
            Self::Any => 1..=MAX_LABELS,
            Self::Matrix(labels) => labels..=labels,
        }
    }

    fn describe(self) -> String {
        match self {
            Self::List => "one label for each row, a shape of [rows]".to_owned(),
            Self::Classes => "one class for each row, a shape of [rows]; if the rows are one-hot, \
                              save y.argmax(axis=1)"
                .to_owned(),
            Self::Any => format!(
                "one label for each row, a shape of [rows], or 1 to {MAX_LABELS} numbers for each \
                 row, a shape of [rows, numbers]"
            ),
            Self::Matrix(labels) => format!(
                "a number for each of the {labels} labels of the model in each row, a shape of \
                 [rows, {labels}]"
            ),
        }
    }

    /// Checks the shape of the labels at a place, which `field` names. Returns the number of rows.
    pub(crate) fn check(
        self,
        labels: &Array,
        field: &'static str,
        place: &str,
    ) -> Result<usize, DataError> {
        match labels.shape.as_slice() {
            [rows] if self.columns().contains(&1) => Ok(*rows),
            [rows, columns] if self.columns().contains(columns) => Ok(*rows),
            shape => {
                let (place, shape, expected) = (place.to_owned(), shape.to_vec(), self.describe());
                Err(FileError::LabelShape { field, place, shape, expected }.into())
            }
        }
    }
}
