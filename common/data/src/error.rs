//! What can be wrong with the data of a sweep.

use std::io;

use caviar_common::limits::MAX_ROW_WEIGHT;
use caviar_common::text::shortened;

use crate::fault::{BadCell, plural};
use crate::file_error::FileError;
use crate::limits::{MAX_FEATURES, MAX_INPUTS, MAX_RECORD_BYTES, MAX_VALUES, MIN_ROWS};
use crate::schema_error::SchemaError;

pub(crate) use crate::fields::{
    CLASS_WEIGHTS, COLUMNS, DELIMITER, GROUP, HEADER, IGNORE, LABEL, LABELS, MISSING, SOURCE, TEST,
    TEST_SOURCE, TIME, TYPES, VALIDATION, VALIDATION_SOURCE, WEIGHT,
};

/// Longest text from a file that an error shows, in characters.
const SHOWN_CHARS: usize = 40;

/// Why data cannot be loaded or split. The text names the file, the place in it and the value, and
/// says what is expected.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// `builtin:` followed by an unknown name.
    #[error("there is no built-in data set {name:?}: expected \"builtin:digits\"")]
    UnknownBuiltin {
        /// The text after `builtin:`.
        name: String,
    },
    /// A file whose name is not that of any format.
    #[error(
        "{path}: unknown format: expected a text table (its name ends in .csv, .tsv, .tab, .txt, \
         .dat or .data), a LIBSVM file (.svm, .libsvm or .svmlight), an IDX image file (ubyte or \
         .idx), each also with .gz; a NumPy array (.npy or .npz), a Parquet file (.parquet), an \
         Arrow file (.arrow or .feather), or \"builtin:digits\"; tables of text also with .zst or \
         .zip; save a table of another program, such as an Excel workbook, as CSV"
    )]
    UnknownFormat {
        /// The source as given.
        path: String,
    },
    /// A field that does not apply to this kind of source.
    #[error("{remedy}")]
    Superfluous {
        /// The field to remove.
        field: &'static str,
        /// Why it does not apply, and what to do.
        remedy: &'static str,
    },
    /// The file cannot be opened.
    #[error("{path}: cannot be opened: {source}")]
    Open {
        /// The field of the sweep file that names the file.
        field: &'static str,
        /// The file that was asked for.
        path: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file cannot be read to its end: the disk fails, or the gzip data is damaged.
    #[error("{path}: cannot be read after byte {at}: {source}")]
    Read {
        /// The field of the sweep file that names the file.
        field: &'static str,
        /// The file that was being read.
        path: String,
        /// How many bytes were read before the error, after decompression.
        at: u64,
        /// The error of the operating system or the decompressor.
        source: io::Error,
    },
    /// The file has no content.
    #[error("{path}: the file is empty")]
    Empty {
        /// The field of the sweep file that names the file.
        field: &'static str,
        /// The path of the empty file.
        path: String,
    },
    /// More values than the limit.
    #[error(
        "{path}: too large: expected at most {MAX_FEATURES} features and {MAX_VALUES} numbers \
         (rows times features)"
    )]
    TooLarge {
        /// The file that exceeds a limit.
        path: String,
    },
    /// Fewer rows than any training needs.
    #[error(
        "{path}: has {rows} row{}: expected at least {MIN_ROWS}, 2 to train on and 1 to validate \
         on",
        plural(*.rows)
    )]
    TooFewRows {
        /// The file that has them.
        path: String,
        /// The number of its rows.
        rows: usize,
    },
    /// The file is not text, or is compressed in a way that cannot be read.
    #[error("{path}: {what}")]
    NotText {
        /// The file.
        path: String,
        /// What it is, and what to do.
        what: String,
    },
    /// No column is left that can be an input.
    #[error("{path}: no column is left to predict from: {why}")]
    NoInputs {
        /// The file.
        path: String,
        /// Why its columns were left out.
        why: String,
    },
    /// The columns become more inputs than the limit.
    #[error(
        "the columns become {inputs} inputs for {rows} rows: expected at most {MAX_FEATURES} \
         inputs and {MAX_INPUTS} numbers (rows times inputs); ignore some columns"
    )]
    ManyInputs {
        /// The inputs of the network.
        inputs: usize,
        /// The rows of the data.
        rows: usize,
    },

    /// A CSV file without `label` in the sweep file.
    #[error("missing: expected the name of the column of {path} to predict, one of {columns}")]
    LabelNotGiven {
        /// The path of the CSV file.
        path: String,
        /// The names of its columns.
        columns: String,
    },
    /// The header does not have the label column.
    #[error(
        "{path}, line {line}: no column is called {label:?}: expected one of {columns}; {hint}"
    )]
    NoSuchColumn {
        /// The path of the CSV file.
        path: String,
        /// The line of the header.
        line: u64,
        /// The name that was asked for.
        label: String,
        /// The names of the columns.
        columns: String,
        /// A likely cause or correction.
        hint: String,
    },
    /// A name in `columns`, `ignore` or `types` that no column has.
    #[error("{path} has no column {name:?}: expected one of {columns}; {hint}")]
    UnknownColumn {
        /// The field that names the column.
        field: &'static str,
        /// The path of the table.
        path: String,
        /// The name.
        name: String,
        /// The names of the columns.
        columns: String,
        /// What was probably meant, for the message.
        hint: String,
    },
    /// The first record of a text file looks like a row.
    #[error(
        "{path}, line {line}: the first row looks like data and not like the names of the columns: \
         {cell:?} is a value like those below it; if it is a row: header = false (the columns are \
         then called column1 to {last}), and if it is the header: header = true"
    )]
    NoHeader {
        /// `data.header`.
        field: &'static str,
        /// The path of the table.
        path: String,
        /// The line of the record.
        line: u64,
        /// Its first cell.
        cell: String,
        /// The name of the last column without a header.
        last: String,
    },
    /// Two features have the same name, which is usually a mistake.
    #[error(
        "{path}, line {line}: column {column} is called {name:?} like an earlier one: expected a \
         different name for each column"
    )]
    NameTwice {
        /// The path of the CSV file.
        path: String,
        /// The line of the header.
        line: u64,
        /// The name that occurs twice.
        name: String,
        /// The second column of that name, from 1.
        column: usize,
    },
    /// No column or pixel to predict from.
    #[error(
        "{path}: has no features: expected a table with at least one column in addition to the \
         label, or images of at least one pixel; if a character other than a comma separates the \
         columns, set delimiter"
    )]
    NoFeatures {
        /// The file without features.
        path: String,
    },
    /// A row with more or fewer cells than the header.
    #[error(
        "{path}, line {line}: has {found} cell{}: expected {expected}, as in the header",
        plural(*.found)
    )]
    Ragged {
        /// The path of the CSV file.
        path: String,
        /// The line of the row.
        line: u64,
        /// How many cells the row has.
        found: usize,
        /// How many cells the header has.
        expected: usize,
    },
    /// A quote that is still open at the end of the file.
    #[error("{path}, line {line}: a quote is opened here and never closed")]
    OpenQuote {
        /// The path of the CSV file.
        path: String,
        /// The line of the quote.
        line: u64,
    },
    /// A quote that closes on another line. Usually the closing quotes of two cells are missing.
    #[error(
        "{path}, line {line}: a quote is opened here and closed on another line, and the lines \
         between look like rows: is a quote missing or superfluous?"
    )]
    BrokenCell {
        /// The path of the CSV file.
        path: String,
        /// The line on which the quote opens.
        line: u64,
    },
    /// A row above the limit.
    #[error(
        "{path}, line {line}: the row that starts here is too long: expected at most \
         {MAX_RECORD_BYTES} bytes; is a quote left open?"
    )]
    LongRow {
        /// The path of the CSV file.
        path: String,
        /// The first line of the row.
        line: u64,
    },
    /// A cell that does not fit its column. The first one is described.
    #[error("{cell}{}", further(*.more))]
    Cell {
        /// The first bad cell.
        cell: Box<BadCell>,
        /// How many bad cells follow it.
        more: u64,
    },

    /// An IDX image file without `labels` in the sweep file.
    #[error("missing: expected the path of the label file of {path}")]
    LabelsNotGiven {
        /// The path of the image file.
        path: String,
    },
    /// A file that is not the kind of IDX file that is needed.
    #[error("{path}: starts with {found:08x}: expected {expected:08x}, {what}")]
    Magic {
        /// The field of the sweep file that names the file.
        field: &'static str,
        /// The file with the wrong start.
        path: String,
        /// Its first four bytes.
        found: u32,
        /// The four bytes of the kind that is needed.
        expected: u32,
        /// The kind that is needed.
        what: &'static str,
    },
    /// A file that is shorter than its header says.
    #[error("{path}: ends after {found} bytes: expected {expected}, as its header says")]
    Truncated {
        /// The field of the sweep file that names the file.
        field: &'static str,
        /// The file that is too short.
        path: String,
        /// Its length in bytes, after decompression.
        found: u64,
        /// The length in bytes that its header implies.
        expected: u64,
    },
    /// A file that is longer than its header says.
    #[error("{path}: continues after byte {expected}: expected its end there, as its header says")]
    Trailing {
        /// The field of the sweep file that names the file.
        field: &'static str,
        /// The file that is too long.
        path: String,
        /// The length in bytes that its header implies.
        expected: u64,
    },
    /// The number of labels differs from the number of images.
    #[error("{path}: has {labels} labels: expected {images}, one for each image of {images_path}")]
    CountMismatch {
        /// The path of the label file.
        path: String,
        /// How many labels it has.
        labels: u64,
        /// The path of the image file.
        images_path: String,
        /// How many images it has.
        images: u64,
    },

    /// All rows have the same label.
    #[error("{path}: every row has the label {value:?}: expected at least two different labels")]
    OneLabel {
        /// The field of the sweep file that names the labels.
        field: &'static str,
        /// The file with the labels.
        path: String,
        /// The label of every row.
        value: String,
    },
    /// A column that is a label and has another role too.
    #[error("{name:?} is the label: {remedy}")]
    LabelToo {
        /// The field of the sweep file that names the column.
        field: &'static str,
        /// The name of the column.
        name: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A label of regression without a scale in the training split.
    #[error("the label {label:?} {why}: expected a label that varies there, or another split")]
    NoScale {
        /// The name of the label.
        label: String,
        /// What is wrong with its numbers.
        why: String,
    },
    /// Fewer than two rows per class on average.
    #[error(
        "{path}: {classes} classes in {rows} rows are too many to learn: set task = \"regression\" \
         to predict a number, or choose another label"
    )]
    ManyClasses {
        /// The field of the sweep file that names the labels.
        field: &'static str,
        /// The file with the labels.
        path: String,
        /// The number of different labels.
        classes: usize,
        /// The number of rows.
        rows: usize,
    },

    /// A share outside its range.
    #[error("{value} is out of range: expected {expected}")]
    Share {
        /// The field with the share.
        field: &'static str,
        /// The share as given.
        value: f64,
        /// The range of this field.
        expected: &'static str,
    },
    /// Shares that leave no rows to train on.
    #[error(
        "validation = {validation} and test = {test} leave no rows to train on: expected a sum \
         below 1"
    )]
    SharesTooLarge {
        /// Share of the validation split.
        validation: f64,
        /// Share of the test split.
        test: f64,
    },
    /// A share so small that its split has no row.
    #[error("{share} of {rows} rows is less than one row: expected at least {least:.6}")]
    EmptySplit {
        /// The field with the share.
        field: &'static str,
        /// The share as given.
        share: f64,
        /// The number of rows of the data.
        rows: usize,
        /// The smallest share that gives a row.
        least: f64,
    },
    /// All rows that could be a split have the same time.
    #[error(
        "{share} leaves the split empty, because the latest rows have the same time: expected a \
         larger share, or another column for time"
    )]
    OneTime {
        /// The field with the split's share.
        field: &'static str,
        /// The share.
        share: f64,
    },
    /// Groups that are too large for a split.
    #[error(
        "none of the {groups} groups fits into a split of {size} rows: expected more or smaller \
         groups, or a larger share"
    )]
    FewGroups {
        /// The field with the split's share.
        field: &'static str,
        /// The number of groups.
        groups: usize,
        /// The rows that the split should have.
        size: usize,
    },
    /// More folds than there are rows or groups for them.
    #[error(
        "{folds} folds of {rows} rows{} leave one empty, or too few rows to train on: expected \
         fewer folds",
        groups.map(|groups| format!(" in {groups} groups")).unwrap_or_default()
    )]
    ManyFolds {
        /// The number of folds.
        folds: u32,
        /// The rows of all folds.
        rows: usize,
        /// The groups that they are in; `None` if rows are dealt one by one.
        groups: Option<usize>,
    },
    /// A cross-validation of inputs that are too large for it.
    #[error(
        "the inputs take {bytes} bytes, and folds are for at most {most}: remove folds, because a \
         validation split is large enough here"
    )]
    LargeFolds {
        /// The bytes of all inputs.
        bytes: usize,
        /// The most bytes that are accepted.
        most: usize,
    },
    /// A column for `time` that has neither numbers nor dates.
    #[error("{path}: column {column:?} has neither dates nor numbers: expected an order in time")]
    UnorderedTime {
        /// The path of the table.
        path: String,
        /// The column.
        column: String,
    },
    /// A row without a time.
    #[error("{path}, line {line}: has no value in {column:?}: expected a time in every row")]
    NoTime {
        /// The path of the table.
        path: String,
        /// The line of the row.
        line: u64,
        /// The column with the times.
        column: String,
    },
    /// A row whose weight is missing, negative or not a number.
    #[error(
        "{place}: the weight in {column:?} is {value:?}: expected a number from 0 to \
         {MAX_ROW_WEIGHT}"
    )]
    Weight {
        /// The file and the row in it.
        place: String,
        /// The column with the weights.
        column: String,
        /// The cell; empty if it is missing.
        value: String,
    },
    /// A split whose rows all have the weight 0.
    #[error("every row of the {split} split has the weight 0: expected at least one that counts")]
    NoWeight {
        /// The field with the weights.
        field: &'static str,
        /// The split in which no row counts.
        split: &'static str,
    },
    /// A weight of a class that does not exist.
    #[error("no row has the class {class:?}: expected one of {classes}; {hint}")]
    UnknownClass {
        /// The name in the sweep file.
        class: String,
        /// The classes of the data.
        classes: String,
        /// What was probably meant, for the message.
        hint: String,
    },
    /// A given file with other columns.
    #[error(
        "{path}: has other columns than {first}: its column {column} is called {found:?}: expected \
         {expected:?}"
    )]
    OtherColumns {
        /// The field that names the file.
        field: &'static str,
        /// The file.
        path: String,
        /// The file of `data.source`.
        first: String,
        /// The first column that differs, from 1.
        column: usize,
        /// Its name; empty if the file has fewer columns.
        found: String,
        /// The name in the first file; empty if that has fewer columns.
        expected: String,
    },
    /// A training split too small for batch normalisation.
    #[error(
        "{train} of {rows} rows {} left to train on: expected at least 2; lower validation or test",
        if *.train == 1 { "is" } else { "are" }
    )]
    SmallTraining {
        /// The number of rows of the data.
        rows: usize,
        /// The number of rows of the training split.
        train: usize,
    },
    /// No class can spare a row for a split.
    #[error(
        "{share} leaves the split empty: every class needs a row to train on, and none has \
         another; add rows, or lower validation or test"
    )]
    NothingToSpare {
        /// The field with the split's share.
        field: &'static str,
        /// The share.
        share: f64,
    },

    /// A file that stores numbers and texts with their types cannot be used.
    #[error(transparent)]
    File(Box<FileError>),
    /// A table does not have what a model needs.
    #[error(transparent)]
    Schema(Box<SchemaError>),
}

fn further(more: u64) -> String {
    match more {
        0 => String::new(),
        1 => " (and 1 more bad cell)".to_owned(),
        _ => format!(" (and {more} more bad cells)"),
    }
}

impl From<FileError> for DataError {
    fn from(error: FileError) -> Self {
        Self::File(Box::new(error))
    }
}

impl From<SchemaError> for DataError {
    fn from(error: SchemaError) -> Self {
        Self::Schema(Box::new(error))
    }
}

/// At most 40 characters of a text from a file.
pub(crate) fn shown(text: &str) -> String {
    shortened(text, SHOWN_CHARS)
}
