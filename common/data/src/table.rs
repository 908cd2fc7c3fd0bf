//! A table as a reader returns it: typed columns, the label, and what was noticed.

use caviar_common::data::{ColumnType, DataNote, NoteLevel};
use caviar_common::limits::MAX_NOTE_COLUMNS;

use crate::cells::Cells;
use crate::labels::Labels;

/// One column of the inputs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: ColumnType,
    /// Numbers as they are; 1 and 0 for a boolean; days since 1970-01-01 for a date; for a category
    /// its index in `categories`. A missing value is NaN.
    pub(crate) cells: Cells,
    /// The texts of a category, sorted by their bytes; empty for the other types.
    pub(crate) categories: Vec<String>,
}

/// A column of the file that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) name: String,
    /// Different texts that were counted, at most one more than a category can have; `None` for a
    /// column that the spec leaves out.
    pub(crate) different_texts: Option<usize>,
}

/// A table as it was read.
pub(crate) struct Table {
    /// The names of all columns of the file, in its order.
    pub(crate) names: Vec<String>,
    /// All columns but the label and those that are not read, in the order of the file.
    pub(crate) columns: Vec<Column>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) labels: Labels,
    /// The name of the column to predict.
    pub(crate) label: String,
    /// What the reader detected and left out.
    pub(crate) notes: Vec<DataNote>,
}

/// A note that only says what was detected or decided.
pub(crate) fn info(code: &str, columns: &[&str], text: String) -> DataNote {
    note(NoteLevel::Info, code, columns, text)
}

/// A note about something that can mislead.
pub(crate) fn warning(code: &str, columns: &[&str], text: String) -> DataNote {
    note(NoteLevel::Warning, code, columns, text)
}

fn note(level: NoteLevel, code: &str, columns: &[&str], text: String) -> DataNote {
    let columns = columns.iter().take(MAX_NOTE_COLUMNS).map(|&name| name.to_owned()).collect();
    DataNote { level, code: code.to_owned(), columns, text }
}
