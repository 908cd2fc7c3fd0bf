//! A cell that does not fit its column.

use std::fmt;

use crate::forms::{CellFault, Form, NumberForm};
use crate::limits::{MAX_CATEGORIES, MAX_CLASSES, MAX_LABEL_BYTES, MAX_NUMBER};

/// A cell of a table that does not fit its column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCell {
    /// `data.label` for the label column, otherwise `data.source`.
    pub field: &'static str,
    /// The path of the CSV file.
    pub path: String,
    /// The line of the row, from 1.
    pub line: u64,
    /// The name of the column, at most 40 characters of it.
    pub column: String,
    /// The content of the cell, at most 40 characters of it.
    pub value: String,
    /// Why it does not fit.
    pub fault: Fault,
}

impl From<CellFault> for Fault {
    fn from(fault: CellFault) -> Self {
        match fault {
            CellFault::Misfit { form: Form::Number(form) } if form == NumberForm::PLAIN => {
                Self::NotNumber
            }
            CellFault::Misfit { form } => Self::Misfit { expected: form.to_string() },
            CellFault::Infinite => Self::NotFinite,
            CellFault::OutOfRange => Self::OutOfRange,
        }
    }
}

impl fmt::Display for BadCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, value, fault, .. } = self;
        write!(f, "{path}, line {line}, column {column:?}: {value:?} {fault}")
    }
}

/// Why a cell does not fit its column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The cell is empty or has only blanks.
    #[error("is empty: expected a value in every row")]
    Empty,
    /// The bytes are not UTF-8 text.
    #[error("is not UTF-8: save the file in that encoding")]
    NotUtf8,
    /// Text in a column of numbers.
    #[error(
        "is not a number: expected one such as 1.5 or 2e-3; if it stands for a missing value, add \
         it to missing"
    )]
    NotNumber,
    /// A cell that is not written like the others of its column.
    #[error("does not fit its column: expected {expected}")]
    Misfit {
        /// How the other cells are written, with an example.
        expected: String,
    },
    /// An infinity, in words.
    #[error("is not finite: give a number, or add it to missing")]
    NotFinite,
    /// A number whose square can overflow.
    #[error("is too large: expected a number from -{MAX_NUMBER:e} to {MAX_NUMBER:e}")]
    OutOfRange,
    /// One text more than a category can have.
    #[error(
        "is one text too many for a category: expected at most {MAX_CATEGORIES} different ones"
    )]
    TooManyTexts,
    /// A text of a category that exceeds the limit.
    #[error("is too long for a category: expected at most {MAX_LABEL_BYTES} bytes")]
    LongText,
    /// One class more than the limit.
    #[error(
        "is one class too many: expected at most {MAX_CLASSES}; set task = \"regression\" to \
         predict a number"
    )]
    TooManyClasses,
    /// A class whose name exceeds the limit.
    #[error("is too long for the name of a class: expected at most {MAX_LABEL_BYTES} bytes")]
    LongLabel,
}

/// The ending of a noun that is counted.
pub(crate) const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
