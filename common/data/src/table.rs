//! A table as a reader returns it: typed columns, the label, and what was noticed.

use caviar_common::data::{ColumnType, DataNote, NoteLevel};
use caviar_common::limits::{MAX_NOTE_COLUMNS, MAX_ROW_WEIGHT};

use crate::cells::Cells;
use crate::error::shown;
use crate::forms::Form;
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
    /// How the cells were written; `None` for text, and for a file that stores numbers.
    pub(crate) form: Option<Form>,
}

/// A column of the file that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Skipped {
    pub(crate) name: String,
    pub(crate) why: Why,
}

/// Why a column is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The spec leaves it out.
    Ignored,
    /// Its texts name the rows. There are this many different ones; `None` if they are more than a
    /// category can have.
    FreeText(Option<usize>),
}

/// A further column of numbers to predict.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LabelColumn {
    pub(crate) name: String,
    /// How its numbers were written.
    pub(crate) form: Option<Form>,
}

/// What decides the split of a row, apart from the shares, and how much the row counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Roles {
    /// The group of each row, from 0. A row without a group, NaN, is a group of its own.
    pub(crate) group: Option<Cells>,
    /// The time of each row, which no row lacks.
    pub(crate) time: Option<Cells>,
    /// Which file each row is from: [`GIVEN_POOL`], [`GIVEN_VALIDATION`] or [`GIVEN_TEST`]. `None`
    /// if there is one file.
    pub(crate) given: Option<Cells>,
    /// The column of dates that orders the rows. Its days lie beyond those of the training split in
    /// the others, so only its parts that repeat are inputs.
    pub(crate) seasonal: Option<String>,
    /// The weight of each row, from 0 to [`MAX_ROW_WEIGHT`], which no row lacks. `None` if every
    /// row counts once.
    pub(crate) weight: Option<Cells>,
}

/// Whether a number is the weight of a row.
pub(crate) fn is_weight(value: f64) -> bool {
    (0.0..=f64::from(MAX_ROW_WEIGHT)).contains(&value)
}

/// Rows of `source`, which are split by the shares.
pub(crate) const GIVEN_POOL: f64 = 0.0;
/// Rows of `validation_source`.
pub(crate) const GIVEN_VALIDATION: f64 = 1.0;
/// Rows of `test_source`.
pub(crate) const GIVEN_TEST: f64 = 2.0;

impl Roles {
    /// The columns that are not inputs, in the order in which a block stores them.
    pub(crate) fn cells(&self) -> impl Iterator<Item = &Cells> {
        [&self.group, &self.time, &self.given, &self.weight].into_iter().flatten()
    }
}

/// A table as it was read.
pub(crate) struct Table {
    /// The names of all columns of the file, in its order.
    pub(crate) names: Vec<String>,
    /// All columns but the label and those that are not read, in the order of the file.
    pub(crate) columns: Vec<Column>,
    pub(crate) skipped: Vec<Skipped>,
    pub(crate) labels: Labels,
    pub(crate) roles: Roles,
    /// The name of the column to predict.
    pub(crate) label: String,
    /// How the numbers of the label were written; `None` for classes, and for a file that stores
    /// numbers.
    pub(crate) label_form: Option<Form>,
    /// The other columns to predict.
    pub(crate) more_labels: Vec<LabelColumn>,
    /// What the reader detected and left out.
    pub(crate) notes: Vec<DataNote>,
}

/// One in this many rows without a label is more than a few forgotten cells.
const MANY_WITHOUT_LABEL: usize = 10;

/// The warning about `rows` of `all` rows that lack one of the labels; `None` if there are no such
/// rows.
pub(crate) fn rows_without_label(labels: &[&str], rows: usize, all: usize) -> Option<DataNote> {
    let quoted: Vec<String> = labels.iter().map(|name| format!("{:?}", shown(name))).collect();
    let mut text = format!(
        "{rows} of {all} rows {} no value in {} and {} left out",
        if rows == 1 { "has" } else { "have" },
        quoted.join(" or "),
        if rows == 1 { "is" } else { "are" },
    );
    if rows.saturating_mul(MANY_WITHOUT_LABEL) >= all {
        text.push_str("; if a cell without a value means a class, write its name there");
    }
    (rows > 0).then(|| warning("rows_without_label", labels, text))
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
