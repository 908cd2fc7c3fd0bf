//! Why a value does not fit its column.

use crate::forms::{CellFault, Form, NumberForm};
use crate::limits::{MAX_CATEGORIES, MAX_CLASSES, MAX_LABEL_BYTES, MAX_NUMBER};

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

/// The ending of a noun that is counted.
pub(crate) const fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
