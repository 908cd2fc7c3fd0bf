//! What can be wrong with the data of a sweep.

use std::fmt;
use std::io;

use caviar_common::error::ErrorClass;

use crate::{MAX_CLASSES, MAX_FEATURES, MAX_LABEL_BYTES, MAX_RECORD_BYTES, MAX_VALUES, MIN_ROWS};

pub(crate) const SOURCE: &str = "data.source";
pub(crate) const LABEL: &str = "data.label";
pub(crate) const LABELS: &str = "data.labels";
pub(crate) const VALIDATION: &str = "data.validation";
pub(crate) const TEST: &str = "data.test";

/// Why data cannot be loaded or split. The text names the file, the place, the value, and what
/// would be right.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// `builtin:` with a name that nothing has.
    #[error("there is no built-in data set {name:?}; there is \"builtin:digits\"")]
    UnknownBuiltin {
        /// What follows `builtin:`.
        name: String,
    },
    /// A file name that is neither that of a CSV file nor that of an IDX file.
    #[error(
        "{path}: name a .csv file with a header, an IDX image file (its name ends in ubyte or .idx), either with .gz, or \"builtin:digits\""
    )]
    UnknownFormat {
        /// The source as given.
        path: String,
    },
    /// A field that this kind of source has no use for.
    #[error("{right}")]
    Superfluous {
        /// The field that should be left out.
        field: &'static str,
        /// What to do instead.
        right: &'static str,
    },
    /// The file cannot be opened.
    #[error("{path}: cannot be opened: {source}")]
    Open {
        /// The field that names the file.
        field: &'static str,
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be read to its end: a failing disk, or damaged gzip data.
    #[error("{path}: cannot be read beyond byte {at}: {source}")]
    Read {
        /// The field that names the file.
        field: &'static str,
        /// The file.
        path: String,
        /// Bytes read well, after decompression.
        at: u64,
        /// What the system or the decompressor said.
        source: io::Error,
    },
    /// The file holds nothing.
    #[error("{path}: is empty")]
    Empty {
        /// The field that names the file.
        field: &'static str,
        /// The file.
        path: String,
    },
    /// More values than are held in memory.
    #[error(
        "{path}: is too large: at most {MAX_FEATURES} features, and {MAX_VALUES} numbers in all (rows times features), are held in memory"
    )]
    TooLarge {
        /// The file.
        path: String,
    },
    /// Fewer rows than any training needs.
    #[error("{path}: has {rows} row{}; at least {MIN_ROWS} are needed, 2 to train and 1 to validate", if *.rows == 1 { "" } else { "s" })]
    TooFewRows {
        /// The file.
        path: String,
        /// Its rows.
        rows: usize,
    },
    /// Features and rows that do not multiply: a fault of the reader, not of the file.
    #[error("{path}: its values do not fill whole rows: {source}")]
    Shape {
        /// The file.
        path: String,
        /// What does not fit.
        source: ndarray::ShapeError,
    },

    /// A CSV file without `label`.
    #[error("{path}: `label` must name the column to predict, one of {columns}")]
    LabelNotGiven {
        /// The file.
        path: String,
        /// Its columns.
        columns: String,
    },
    /// The header lacks the label column.
    #[error(
        "{path}, line {line}: no column is called {label:?}; the columns are {columns}; {hint}"
    )]
    NoSuchColumn {
        /// The file.
        path: String,
        /// The header's line.
        line: u64,
        /// The column that was asked for.
        label: String,
        /// The columns that there are.
        columns: String,
        /// What may have been meant.
        hint: String,
    },
    /// Two columns by the label's name.
    #[error(
        "{path}, line {line}: {count} columns are called {label:?}; the label column needs a name of its own"
    )]
    LabelTwice {
        /// The file.
        path: String,
        /// The header's line.
        line: u64,
        /// The name.
        label: String,
        /// How many columns have it.
        count: usize,
    },
    /// Two features by one name: one of them is most often there by mistake.
    #[error(
        "{path}, line {line}: column {column} is called {name:?} as one before it; give each column a name of its own"
    )]
    NameTwice {
        /// The file.
        path: String,
        /// The header's line.
        line: u64,
        /// The name.
        name: String,
        /// The second column of that name, from 1.
        column: usize,
    },
    /// A column without a name, most often a row number, which must not become a feature unseen.
    #[error(
        "{path}, line {line}: column {column} has no name; name it, or remove it if it only numbers the rows"
    )]
    UnnamedColumn {
        /// The file.
        path: String,
        /// The header's line.
        line: u64,
        /// The column, from 1.
        column: usize,
    },
    /// Nothing to predict from.
    #[error(
        "{path}: has no features; a CSV file needs a column beside the label, an image at least one pixel"
    )]
    NoFeatures {
        /// The file.
        path: String,
    },
    /// A row with more or fewer cells than the header.
    #[error("{path}, line {line}: has {found} cell{}; the header has {expected}", if *.found == 1 { "" } else { "s" })]
    Ragged {
        /// The file.
        path: String,
        /// The row's line.
        line: u64,
        /// Cells in the row.
        found: usize,
        /// Cells in the header.
        expected: usize,
    },
    /// A quote that is open at the end of the file.
    #[error("{path}, line {line}: a quote is opened here and never closed")]
    OpenQuote {
        /// The file.
        path: String,
        /// The line of the quote.
        line: u64,
    },
    /// A quote that is closed on another line: most often one of two that were forgotten.
    #[error(
        "{path}, line {line}: a quote is opened here and closed on another line; a cell must stand on one line"
    )]
    BrokenCell {
        /// The file.
        path: String,
        /// The line where the quote is opened.
        line: u64,
    },
    /// A row too long to be one.
    #[error(
        "{path}, line {line}: the row that begins here is longer than {MAX_RECORD_BYTES} bytes; is a quote left open?"
    )]
    LongRow {
        /// The file.
        path: String,
        /// The row's first line.
        line: u64,
    },
    /// The first cell that does not hold what its column needs.
    #[error("{cell}{}", further(*.more))]
    Cell {
        /// The first bad cell.
        cell: Box<BadCell>,
        /// How many bad cells follow it.
        more: u64,
    },

    /// An IDX image file without `labels`.
    #[error("{path}: an IDX image file needs `labels`, the path of its label file")]
    LabelsNotGiven {
        /// The image file.
        path: String,
    },
    /// The file does not begin as the IDX file that is needed here.
    #[error("{path}: begins with {found:08x}; {what} begins with {expected:08x}")]
    Magic {
        /// The field that names the file.
        field: &'static str,
        /// The file.
        path: String,
        /// Its first four bytes.
        found: u32,
        /// What they should be.
        expected: u32,
        /// The kind of file that is needed.
        what: &'static str,
    },
    /// The file ends before what its header promises.
    #[error("{path}: ends after {found} of {expected} bytes that its header promises")]
    Truncated {
        /// The field that names the file.
        field: &'static str,
        /// The file.
        path: String,
        /// Bytes that there are, after decompression.
        found: u64,
        /// Bytes that there should be.
        expected: u64,
    },
    /// The file goes on after what its header promises.
    #[error("{path}: goes on after the {expected} bytes that its header promises")]
    Trailing {
        /// The field that names the file.
        field: &'static str,
        /// The file.
        path: String,
        /// Bytes that there should be.
        expected: u64,
    },
    /// Images and labels that are not as many.
    #[error("{path}: holds {labels} labels; {images_path} holds {images} images")]
    CountMismatch {
        /// The label file.
        path: String,
        /// Its labels.
        labels: u64,
        /// The image file.
        images_path: String,
        /// Its images.
        images: u64,
    },

    /// All rows have the same label.
    #[error("{path}: every row has the label {value:?}; at least two different labels are needed")]
    OneLabel {
        /// The field that names the labels.
        field: &'static str,
        /// The file.
        path: String,
        /// The label.
        value: String,
    },
    /// So many classes that most have a single example.
    #[error(
        "{path}: {classes} classes in {rows} rows are too many to learn; to predict a number say task = \"regression\", or choose another label"
    )]
    ManyClasses {
        /// The field that names the labels.
        field: &'static str,
        /// The file.
        path: String,
        /// Different labels.
        classes: usize,
        /// Rows.
        rows: usize,
    },

    /// A share outside its range.
    #[error("{value} is no share of the data; it must {right}")]
    Share {
        /// The field.
        field: &'static str,
        /// Its value.
        value: f64,
        /// Its range.
        right: &'static str,
    },
    /// Shares that leave nothing to train on.
    #[error(
        "validation {validation} and test {test} leave nothing to train on; together they must stay below 1"
    )]
    SharesTooLarge {
        /// Share of the validation split.
        validation: f64,
        /// Share of the test split.
        test: f64,
    },
    /// A share so small that its split would be empty.
    #[error("{share} of {rows} rows is no row at all; it must be at least {least:.6}")]
    EmptySplit {
        /// The field.
        field: &'static str,
        /// Its value.
        share: f64,
        /// Rows of the data.
        rows: usize,
        /// The smallest share that gives a row.
        least: f64,
    },
    /// A training split that batch normalisation cannot train on.
    #[error("of {rows} rows {train} {} left to train on; at least 2 are needed: lower `validation` or `test`", if *.train == 1 { "is" } else { "are" })]
    SmallTraining {
        /// Rows of the data.
        rows: usize,
        /// Rows of the training split.
        train: usize,
    },
    /// A class that the training split would not see.
    #[error("class {class:?} has {rows} row{} and none would be left to train on; add rows, or lower `validation` or `test`", if *.rows == 1 { "" } else { "s" })]
    UntrainedClass {
        /// The class.
        class: String,
        /// Its rows.
        rows: usize,
    },
}

impl DataError {
    /// What a caller can do about it: mend the file or the sweep, unless the system did not give
    /// it.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        if let Self::Open { source, .. } = self
            && source.kind() == io::ErrorKind::NotFound
        {
            ErrorClass::NotFound
        } else if matches!(self, Self::Open { .. } | Self::Read { .. }) {
            ErrorClass::Unavailable
        } else if matches!(self, Self::Shape { .. }) {
            ErrorClass::Internal
        } else {
            ErrorClass::Invalid
        }
    }

    /// The field of the sweep file that is at fault: `data.source`, `data.label`, `data.labels`,
    /// `data.validation` or `data.test`.
    pub fn field(&self) -> &'static str {
        match self {
            Self::UnknownBuiltin { .. }
            | Self::UnknownFormat { .. }
            | Self::TooLarge { .. }
            | Self::TooFewRows { .. }
            | Self::Shape { .. }
            | Self::UnnamedColumn { .. }
            | Self::NoFeatures { .. }
            | Self::NameTwice { .. }
            | Self::Ragged { .. }
            | Self::OpenQuote { .. }
            | Self::BrokenCell { .. }
            | Self::LongRow { .. } => SOURCE,
            Self::LabelNotGiven { .. } | Self::NoSuchColumn { .. } | Self::LabelTwice { .. } => {
                LABEL
            }
            Self::LabelsNotGiven { .. } | Self::CountMismatch { .. } => LABELS,
            Self::SharesTooLarge { .. }
            | Self::SmallTraining { .. }
            | Self::UntrainedClass { .. } => VALIDATION,
            Self::Superfluous { field, .. }
            | Self::Open { field, .. }
            | Self::Read { field, .. }
            | Self::Empty { field, .. }
            | Self::Magic { field, .. }
            | Self::Truncated { field, .. }
            | Self::Trailing { field, .. }
            | Self::OneLabel { field, .. }
            | Self::ManyClasses { field, .. }
            | Self::Share { field, .. }
            | Self::EmptySplit { field, .. } => field,
            Self::Cell { cell, .. } => cell.field,
        }
    }
}

/// A cell of a CSV file that does not hold what its column needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCell {
    /// `data.label` in the label column, else `data.source`.
    pub field: &'static str,
    /// The file.
    pub path: String,
    /// The row's line, from 1.
    pub line: u64,
    /// The column.
    pub column: String,
    /// What the cell holds, shortened.
    pub value: String,
    /// What is wrong with it.
    pub fault: Fault,
}

impl fmt::Display for BadCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, value, fault, .. } = self;
        write!(f, "{path}, line {line}, column {column:?}: {value:?} {fault}")
    }
}

/// What is wrong with a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Nothing but blanks.
    #[error("is empty; every row needs a value here")]
    Empty,
    /// Bytes that are no text.
    #[error("is not UTF-8; save the file in that encoding")]
    NotUtf8,
    /// Text where a number belongs.
    #[error("is not a number; write it as one, like 1.5 or 2e-3")]
    NotNumber,
    /// NaN or infinity.
    #[error("is not finite; write a number, or remove the row")]
    NotFinite,
    /// A number beyond the reach of an f32.
    #[error("is too large for a 32-bit float; stay within 3.4e38")]
    OutOfRange,
    /// One class more than there may be.
    #[error(
        "is one class too many after {MAX_CLASSES}; to predict a number say task = \"regression\""
    )]
    TooManyClasses,
    /// A class with a name that is no name.
    #[error("is no name of a class; at most {MAX_LABEL_BYTES} bytes are")]
    LongLabel,
}

fn further(more: u64) -> String {
    match more {
        0 => String::new(),
        1 => " (and 1 more such cell)".to_owned(),
        _ => format!(" (and {more} more such cells)"),
    }
}

/// At most 40 characters of `text`, for an error.
pub(crate) fn shorten(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
