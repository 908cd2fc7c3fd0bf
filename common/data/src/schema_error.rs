//! What can be wrong with a table whose rows a model is given.

use crate::fault::plural;
use crate::fields::{DELIMITER, HEADER, LABEL, SOURCE};

/// Why a model cannot read a table. The text names the file, and says what the model needs.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The file lacks columns that are inputs of the model.
    #[error("{path}: lacks {missing}, which the model reads: the file has {columns}{hint}")]
    MissingColumns {
        /// The file.
        path: String,
        /// The missing columns, and for each the name that was probably meant.
        missing: String,
        /// The columns that the file has.
        columns: String,
        /// What else can be wrong; empty or a clause that begins with a semicolon.
        hint: String,
    },
    /// The label is needed, and the file lacks it.
    #[error("{path}: lacks {label:?}, the column that the model predicts: {hint}")]
    MissingLabel {
        /// The file.
        path: String,
        /// The name of the label.
        label: String,
        /// A likely correction.
        hint: String,
    },
    /// A file without a header, for a model that knows its columns by name.
    #[error(
        "{path}: has no header, and the model finds its columns by their names: add a first line \
         with the names, such as {columns}"
    )]
    NeedsHeader {
        /// The file.
        path: String,
        /// The columns of the model.
        columns: String,
    },
    /// A file without a header that has too few columns.
    #[error(
        "{path}: has {found} column{} and no header, so the model finds its columns by their \
         places: it needs {needed}, and {labels}; a file without labels must keep such a column, \
         with empty cells, unless it is the last one",
        plural(*.found)
    )]
    FewColumns {
        /// The file.
        path: String,
        /// The number of its columns.
        found: usize,
        /// How many columns it needs.
        needed: usize,
        /// The places of the labels, from 1, in words.
        labels: String,
    },
    /// A delimiter that cannot separate cells.
    #[error("delimiter {delimiter:?}: expected one ASCII character other than a quote or line end")]
    BadDelimiter {
        /// The delimiter as given.
        delimiter: char,
    },
    /// Something that a format does not have.
    #[error("{path}: {remedy}")]
    Superfluous {
        /// The option.
        field: &'static str,
        /// The file.
        path: String,
        /// Why it does not apply, and what to do.
        remedy: &'static str,
    },
    /// Images for a model of tables, or a table for a model of images.
    #[error("{path}: is {found}: the model was trained on {expected}")]
    OtherKind {
        /// The file.
        path: String,
        /// What the file has.
        found: &'static str,
        /// What the model needs.
        expected: &'static str,
    },
    /// Images of another size.
    #[error(
        "{path}: has images of {} by {} pixels: the model was trained on images of {} by {}",
        found[0], found[1], expected[0], expected[1]
    )]
    ImageSize {
        /// The file.
        path: String,
        /// Height and width of its images.
        found: [usize; 2],
        /// Height and width that the model needs.
        expected: [usize; 2],
    },
    /// Arrays of an archive that have different numbers of rows.
    #[error("{path}: the array {name:?} has {found} rows: expected {expected}, as in the others")]
    OtherRows {
        /// The archive.
        path: String,
        /// The array.
        name: String,
        /// The number of its rows.
        found: usize,
        /// The number of rows of the others.
        expected: usize,
    },
}

impl SchemaError {
    /// The field of a sweep file that says the same about data.
    pub(crate) const fn field(&self) -> &'static str {
        match self {
            Self::MissingLabel { .. } => LABEL,
            Self::NeedsHeader { .. } => HEADER,
            Self::BadDelimiter { .. } => DELIMITER,
            Self::Superfluous { field, .. } => field,
            Self::MissingColumns { .. }
            | Self::FewColumns { .. }
            | Self::OtherKind { .. }
            | Self::ImageSize { .. }
            | Self::OtherRows { .. } => SOURCE,
        }
    }
}
