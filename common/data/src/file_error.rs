//! What can be wrong with a file that stores numbers and texts with their types.

use std::io;

use crate::fault::{Fault, plural};
use crate::fields::{LABEL, LABELS, SOURCE, TIME};

/// Why an array, a sparse file or a columnar file cannot be used. The text names the file, the
/// place in it and the value, and says what is expected.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file is damaged, exceeds a limit, or has a type that is not read.
    #[error("{what}")]
    Content {
        /// The field of the sweep file that names the file.
        field: &'static str,
        /// The text of the reader's error, which begins with the path.
        what: String,
    },
    /// A value that does not fit its column. The first one is described.
    #[error("{path}, row {row} (from 0), column {column:?}: {value:?} {fault}")]
    Value {
        /// The field of the sweep file that names the file or the column.
        field: &'static str,
        /// The file.
        path: String,
        /// The row, from 0 as programs count it.
        row: usize,
        /// The name of the column, at most 40 characters of it.
        column: String,
        /// The value, at most 40 characters of it.
        value: String,
        /// Why it does not fit.
        fault: Fault,
    },
    /// Two columns have the same name, so a name does not say which is meant.
    #[error("{path}: two columns are called {name:?}: expected a different name for each column")]
    NameTwice {
        /// The file.
        path: String,
        /// The name, at most 40 characters of it.
        name: String,
    },
    /// A row without a time, where the rows are split by time.
    #[error("{path}, row {row} (from 0): has no value in {column:?}: expected a time in every row")]
    NoTime {
        /// The file.
        path: String,
        /// The row, from 0 as programs count it.
        row: usize,
        /// The column with the times.
        column: String,
    },
    /// An array with labels that has another shape.
    #[error("{place}: has the shape {shape:?}: expected {expected}")]
    LabelShape {
        /// `data.label` or `data.labels`.
        field: &'static str,
        /// The file, and the array of an archive.
        place: String,
        /// The size of each dimension.
        shape: Vec<usize>,
        /// The shapes that it can have.
        expected: String,
    },
    /// A column that does not have numbers, where several columns are predicted.
    #[error(
        "{path}, column {column:?}: has {found}: expected numbers, because several labels are \
         predicted as numbers"
    )]
    LabelKind {
        /// `data.label` or `data.labels`.
        field: &'static str,
        /// The file.
        path: String,
        /// The name of the column, at most 40 characters of it.
        column: String,
        /// What it has instead.
        found: &'static str,
    },
    /// Two arrays of labels that have different numbers of rows.
    #[error(
        "{path}: the array {name:?} has {found} row{}: expected {expected}, as in {other:?}",
        plural(*.found)
    )]
    LabelRows {
        /// The path of the archive.
        path: String,
        /// The name of the array.
        name: String,
        /// The number of its rows.
        found: usize,
        /// The number of rows of the other array.
        expected: usize,
        /// The name of the other array.
        other: String,
    },
    /// The number of labels differs from the number of rows.
    #[error("{path}: has {labels} label{}: expected {rows}, one for each row of {source_path}",
        plural(*.labels)
    )]
    LabelCount {
        /// The path of the labels.
        path: String,
        /// How many labels it has.
        labels: usize,
        /// How many rows the inputs have.
        rows: usize,
        /// `data.source`.
        source_path: String,
    },
    /// The file of labels is not of the kind that its source needs.
    #[error("{path}: expected an NPY file with the labels of {source_path}, as np.save writes it")]
    LabelFormat {
        /// The path of the labels.
        path: String,
        /// `data.source`.
        source_path: String,
    },
    /// An archive of arrays without `label` in the sweep file.
    #[error(
        "missing: expected the name of the array with the labels in {path}, which has {arrays}"
    )]
    ArrayNotGiven {
        /// The path of the archive.
        path: String,
        /// Its arrays with their shapes and types.
        arrays: String,
    },
    /// No array of the archive has the name.
    #[error("{path}: has no array {name:?}: it has {arrays}")]
    NoSuchArray {
        /// The path of the archive.
        path: String,
        /// The name that was asked for.
        name: String,
        /// The arrays of the archive with their shapes and types.
        arrays: String,
    },
    /// No other array of the archive has a row for each label.
    #[error(
        "{path}: no array has {rows} row{} like the labels in {label:?}: it has {arrays}",
        plural(*.rows)
    )]
    NoInputArrays {
        /// The path of the archive.
        path: String,
        /// The array with the labels.
        label: String,
        /// The number of labels.
        rows: usize,
        /// The arrays of the archive with their shapes and types.
        arrays: String,
    },
    /// A file without columns, where columns are asked for.
    #[error("{path}: has images and no columns: to check it, use a sweep file and caviar check")]
    Images {
        /// The file.
        path: String,
    },
    /// A file whose labels are in a second file, where its label column is asked for.
    #[error(
        "{path}: its labels are in a second file: write a sweep file with source and labels, and \
         name that instead"
    )]
    TwoFiles {
        /// The file.
        path: String,
    },
    /// Data that is too large for memory cannot be kept in a temporary file.
    #[error(
        "a temporary file in {folder}: {source}; data that is too large for memory needs one: set \
         the environment variable TMPDIR to a folder on a disk with more space"
    )]
    Scratch {
        /// The folder of temporary files.
        folder: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// This build does not have the reader of the format.
    #[error(
        "{path}: this build of caviar does not read {format} files: install it with cargo install \
         --path cli --features arrow, or save the table as CSV"
    )]
    NotBuilt {
        /// The file.
        path: String,
        /// The name of the format.
        format: &'static str,
    },
}

impl FileError {
    /// The field of the sweep file to change.
    pub(crate) const fn field(&self) -> &'static str {
        match self {
            Self::Content { field, .. }
            | Self::Value { field, .. }
            | Self::LabelShape { field, .. }
            | Self::LabelKind { field, .. } => field,
            Self::NoTime { .. } => TIME,
            Self::LabelFormat { .. } | Self::LabelCount { .. } => LABELS,
            Self::ArrayNotGiven { .. }
            | Self::NoSuchArray { .. }
            | Self::LabelRows { .. }
            | Self::NoInputArrays { .. } => LABEL,
            Self::NameTwice { .. }
            | Self::Images { .. }
            | Self::TwoFiles { .. }
            | Self::Scratch { .. }
            | Self::NotBuilt { .. } => SOURCE,
        }
    }
}
