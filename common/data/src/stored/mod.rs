//! Tables of files that state what their columns hold: arrays of NumPy, LIBSVM, Parquet and Arrow.
//!
//! A reader of a format makes a [`Stored`] of each column, and a [`Builder`] makes the table, by
//! the same rules for every format. Where the file does not decide, they are those of text files:
//! how a label suggests the task, which text is free text, and which texts are missing values. So
//! the same data gives the same table, in whatever format it is stored.

mod input;
mod label;

use std::collections::HashSet;

use caviar_common::data::{ColumnType, DataNote, DataSpec};

use crate::cells::Cells;
use crate::delimited::{hint, listed};
use crate::error::{DataError, GROUP, IGNORE, TIME, TYPES, WEIGHT, shown};
use crate::fault::Fault;
use crate::file_error::FileError;
use crate::forms::CellFault;
use crate::given::Given;
use crate::limits::{MAX_FEATURES, MAX_NUMBER, MAX_VALUES};
use crate::memory::MemoryBudget;
use crate::shelf::Shelf;
use crate::table::{Column, Roles, Skipped, Table, Why, info, is_weight, warning};

pub(crate) use label::{Label, check_numbers, merge, read_label, read_labels};

/// What a file says that a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Number,
    Boolean,
    #[cfg_attr(not(feature = "arrow"), allow(dead_code, reason = "only columnar files have dates"))]
    Date,
    /// Text that is text by the file's own account: a category, even if it has digits only.
    #[cfg_attr(not(feature = "arrow"), allow(dead_code, reason = "only columnar files say so"))]
    Text,
    /// Text that can be the spelling of anything, as in a text file.
    Spelling,
}

/// A column as its file stores it.
pub(crate) trait Stored {
    fn kind(&self) -> Kind;

    /// Passes the number of each row: 1 or 0 for a boolean, days since 1970-01-01 for a date, and
    /// NaN for a missing value. A column of text passes NaN only.
    fn numbers(&self, visit: &mut dyn FnMut(f64));

    /// Passes the value of each row as text, `None` if it is missing. Whole numbers of any size are
    /// exact.
    fn texts(&self, visit: &mut dyn FnMut(Option<&str>));

    /// Whether the file has a whole number that [`Self::numbers`] rounds, which has more than 53
    /// bits.
    fn is_rounded(&self) -> bool {
        false
    }
}

/// The largest whole number up to which all are exact as a 64-bit float.
pub(crate) const MAX_EXACT: u64 = 1 << 53;

/// The table so far.
pub(crate) struct Builder<'a> {
    spec: &'a DataSpec,
    label: Label,
    names: Vec<String>,
    columns: Shelf,
    skipped: Vec<Skipped>,
    roles: Roles,
    /// The columns of free text.
    free: Vec<String>,
    /// The columns whose whole numbers are rounded.
    rounded: Vec<String>,
    notes: Vec<DataNote>,
    /// The files that the rows are from.
    files: Given<'a>,
}

impl<'a> Builder<'a> {
    /// A table without inputs. `names` are those of all columns of the file, in its order.
    ///
    /// # Errors
    /// Two columns have the same name, or a list of the spec names a column that the file lacks.
    /// `groups` are further names that `columns` and `ignore` can have, each for several columns.
    pub(crate) fn new(
        spec: &'a DataSpec,
        names: Vec<String>,
        groups: &[String],
        label: Label,
        files: Given<'a>,
    ) -> Result<Self, DataError> {
        let path = || spec.source.clone();
        if names.len() > MAX_FEATURES + 1 {
            return Err(DataError::TooLarge { path: path() });
        }
        check_names(spec, &names, groups)?;
        let columns = Shelf::new(MemoryBudget::DEFAULT.table_bytes);
        let (skipped, free, rounded) = (Vec::new(), Vec::new(), Vec::new());
        let given = files.parts(&label.is_labelled);
        let (roles, notes) = (Roles { given, ..Roles::default() }, Vec::new());
        Ok(Self { spec, label, names, columns, skipped, roles, free, rounded, notes, files })
    }

    /// Leaves out a column that the spec leaves out, or that cannot be read.
    pub(crate) fn skip(&mut self, name: &str) {
        self.skipped.push(Skipped { name: name.to_owned(), why: Why::Ignored });
    }

    pub(crate) fn note(&mut self, note: DataNote) {
        self.notes.push(note);
    }

    /// Reads a column as what the spec makes of it: a group, a time, or an input unless it is free
    /// text.
    pub(crate) fn add(&mut self, name: &str, stored: &dyn Stored) -> Result<(), DataError> {
        let rows = self.label.is_labelled.len();
        if (self.columns.len() + 1).saturating_mul(rows) > MAX_VALUES {
            return Err(DataError::TooLarge { path: self.spec.source.clone() });
        }
        let split = &self.spec.split;
        if split.group.as_deref() == Some(name) {
            return self.group(name, stored);
        }
        if split.time.as_deref() == Some(name) {
            return self.time(name, stored);
        }
        if self.spec.weights.column.as_deref() == Some(name) {
            return self.weight(name, stored);
        }
        let asked = self.spec.table.types.get(name).copied();
        let input = match input::read(stored, asked, &self.label.is_labelled) {
            Ok(input) => input,
            Err(bad) => return Err(self.bad_value(name, stored, bad)),
        };
        self.notes.extend(input.notes(name));
        match input.values {
            input::Values::Free { different } => {
                self.free.push(name.to_owned());
                let why = Why::FreeText(different);
                self.skipped.push(Skipped { name: name.to_owned(), why });
            }
            input::Values::Read { kind, values, categories } => {
                if stored.is_rounded() {
                    self.rounded.push(name.to_owned());
                }
                let (name, cells, form) = (name.to_owned(), Cells::pack(&values), input.form);
                self.columns.push(Column { name, kind, cells, categories, form })?;
            }
        }
        Ok(())
    }

    /// Reads the column whose equal values stay in one split.
    fn group(&mut self, name: &str, stored: &dyn Stored) -> Result<(), DataError> {
        let groups = input::groups(stored, &self.label.is_labelled);
        let groups = groups.map_err(|bad| self.bad_value(name, stored, bad))?;
        self.roles.group = Some(Cells::pack(&groups));
        Ok(())
    }

    /// Reads the column that orders the rows. Dates are also an input.
    fn time(&mut self, name: &str, stored: &dyn Stored) -> Result<(), DataError> {
        let input = input::read(stored, None, &self.label.is_labelled);
        let input = input.map_err(|bad| self.bad_value(name, stored, bad))?;
        let (path, column) = (self.spec.source.clone(), shown(name));
        let (values, is_date) = match &input.values {
            input::Values::Read { kind: ColumnType::Date, values, .. } => (values, true),
            input::Values::Read { kind: ColumnType::Number, values, .. } => (values, false),
            input::Values::Read { kind: ColumnType::Boolean | ColumnType::Category, .. }
            | input::Values::Free { .. } => {
                return Err(DataError::UnorderedTime { path, column });
            }
        };
        let rows = self.label.is_labelled.iter().enumerate().filter(|(_, is_read)| **is_read);
        let timeless = rows.zip(values).find(|(_, value)| value.is_nan());
        if let Some(((row, _), _)) = timeless {
            return Err(self.files.locate(FileError::NoTime { path, row, column }.into()));
        }
        let text = format!(
            "the latest rows by {column:?} are the test split, and those before them the \
             validation split"
        );
        self.notes.push(info("split_by_time", &[name], text));
        self.notes.extend(input.notes(name));
        let cells = Cells::pack(values);
        if is_date {
            let (name, cells, form) = (name.to_owned(), cells.clone(), input.form);
            self.roles.seasonal = Some(name.clone());
            let (kind, categories) = (ColumnType::Date, Vec::new());
            self.columns.push(Column { name, kind, cells, categories, form })?;
        }
        self.roles.time = Some(cells);
        Ok(())
    }

    /// Reads the column with the weights of the rows.
    fn weight(&mut self, name: &str, stored: &dyn Stored) -> Result<(), DataError> {
        let input = input::read(stored, Some(ColumnType::Number), &self.label.is_labelled);
        let weights = match input.map_err(|bad| self.bad_value(name, stored, bad))?.values {
            input::Values::Read { values, .. } => values,
            // Only text that is not read as numbers can be free text.
            input::Values::Free { .. } => Vec::new(),
        };
        let rows = self.label.is_labelled.iter().enumerate().filter(|(_, is_read)| **is_read);
        if let Some(((row, _), value)) = rows.zip(&weights).find(|(_, it)| !is_weight(**it)) {
            return Err(DataError::Weight {
                place: format!("{}, row {row} (from 0)", self.spec.source),
                column: shown(name),
                value: if value.is_nan() { String::new() } else { value.to_string() },
            });
        }
        self.roles.weight = Some(Cells::pack(&weights));
        Ok(())
    }

    fn bad_value(&self, name: &str, stored: &dyn Stored, bad: Bad) -> DataError {
        let is_typed = self.spec.table.types.contains_key(name);
        let field = if is_typed { TYPES } else { crate::error::SOURCE };
        let place = Place { field, path: &self.spec.source, column: name };
        self.files.locate(bad.into_error(place, stored, 0))
    }

    pub(crate) fn finish(self) -> Table {
        let mut notes = self.notes;
        notes.extend(self.label.notes);
        let names = |names: &[String]| -> Vec<String> { names.to_vec() };
        if !self.free.is_empty() {
            let text = format!(
                "text that differs in most rows is no input: {}; to use it as a category, name it \
                 in types",
                listed(&self.free)
            );
            notes.push(of_columns(info, "free_text", &names(&self.free), text));
        }
        if !self.rounded.is_empty() {
            let text = format!(
                "whole numbers beyond 2^53 are rounded to 64-bit floats: {}; if they identify \
                 rows, add them to ignore",
                listed(&self.rounded)
            );
            notes.push(of_columns(warning, "rounded_numbers", &names(&self.rounded), text));
        }
        Table {
            names: self.names,
            columns: self.columns.into_columns(),
            skipped: self.skipped,
            labels: self.label.labels,
            roles: self.roles,
            label: self.label.name,
            label_form: None,
            more_labels: self.label.more,
            notes,
        }
    }
}

/// Whether a column is not an input by `columns` and `ignore`, and decides no split. `group` is the
/// name that stands for it and others.
pub(crate) fn is_left_out(spec: &DataSpec, name: &str, group: Option<&str>) -> bool {
    let (table, split) = (&spec.table, &spec.split);
    let roles = [&split.group, &split.time, &spec.weights.column];
    if roles.into_iter().any(|role| role.as_deref() == Some(name)) {
        return false;
    }
    let has =
        |list: &[String]| list.iter().any(|entry| entry == name || Some(entry.as_str()) == group);
    has(&table.ignore) || !table.columns.is_empty() && !has(&table.columns)
}

/// A note about columns that a list names.
pub(crate) fn of_columns(
    level: fn(&str, &[&str], String) -> DataNote,
    code: &str,
    names: &[String],
    text: String,
) -> DataNote {
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    level(code, &all, text)
}

/// Refuses two columns of one name, and a name in `columns`, `ignore` or `types` that no column
/// has.
fn check_names(spec: &DataSpec, names: &[String], groups: &[String]) -> Result<(), DataError> {
    let mut known = HashSet::with_capacity(names.len());
    if let Some(twice) = names.iter().find(|name| !known.insert(name.as_str())) {
        let (path, name) = (spec.source.clone(), shown(twice));
        return Err(FileError::NameTwice { path, name }.into());
    }
    let table = &spec.table;
    let is_known = |name: &str| known.contains(name);
    let is_group = |name: &str| groups.iter().any(|group| group == name);
    let listed_names = [(crate::error::COLUMNS, &table.columns), (IGNORE, &table.ignore)];
    let listed_names =
        listed_names.into_iter().flat_map(|(field, list)| list.iter().map(move |n| (field, n)));
    let unlisted = |(_, name): &(&str, &String)| !is_known(name) && !is_group(name);
    let untyped = |(_, name): &(&str, &String)| !is_known(name);
    let typed = table.types.keys().map(|name| (TYPES, name));
    let group = spec.split.group.iter().map(|name| (GROUP, name));
    let weight = spec.weights.column.iter().map(|name| (WEIGHT, name));
    let roles = group.chain(spec.split.time.iter().map(|name| (TIME, name))).chain(weight);
    let unknown = listed_names.filter(unlisted).chain(typed.chain(roles).filter(untyped)).next();
    match unknown {
        None => Ok(()),
        Some((field, name)) => Err(unknown_column(spec, field, names, name)),
    }
}

/// The error for a column that the file does not have.
pub(crate) fn unknown_column(
    spec: &DataSpec,
    field: &'static str,
    names: &[String],
    name: &str,
) -> DataError {
    DataError::UnknownColumn {
        field,
        path: spec.source.clone(),
        name: shown(name),
        columns: listed(names),
        hint: hint(names, name),
    }
}

/// A value that does not fit its column, by its row.
#[derive(Debug)]
pub(crate) struct Bad {
    pub(crate) row: usize,
    pub(crate) fault: Fault,
}

/// Where a value is, for its error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) field: &'static str,
    pub(crate) path: &'a str,
    pub(crate) column: &'a str,
}

impl Bad {
    /// `first` is the row of the file that is the first one of `stored`.
    pub(crate) fn into_error(
        self,
        place: Place<'_>,
        stored: &dyn Stored,
        first: usize,
    ) -> DataError {
        let (mut row, mut value) = (0, String::new());
        stored.texts(&mut |text| {
            if row == self.row {
                value = shown(text.unwrap_or_default());
            }
            row += 1;
        });
        let (field, path) = (place.field, place.path.to_owned());
        let (column, row, fault) = (shown(place.column), first + self.row, self.fault);
        FileError::Value { field, path, row, column, value, fault }.into()
    }
}

/// Reads all rows of a column that does not have text as numbers, booleans or dates.
pub(crate) fn read_numbers(
    stored: &dyn Stored,
    kind: ColumnType,
    rows: usize,
) -> Result<Vec<f64>, Bad> {
    match input::read(stored, Some(kind), &vec![true; rows])?.values {
        input::Values::Read { values, .. } => Ok(values),
        // Only text can be free text.
        input::Values::Free { .. } => Ok(vec![f64::NAN; rows]),
    }
}

/// Checks a number, and takes the sign of a zero away. NaN stays.
pub(crate) fn checked(value: f64) -> Result<f64, Fault> {
    if value.is_infinite() {
        return Err(Fault::Misfit {
            expected: "a finite number, or NaN for a missing value".to_owned(),
        });
    }
    if value.abs() > MAX_NUMBER { Err(Fault::OutOfRange) } else { Ok(value + 0.0) }
}

/// The fault of a text that is read in the form of its column.
fn of_cell(fault: CellFault) -> Fault {
    match fault {
        CellFault::Misfit { form } => Fault::Misfit { expected: form.to_string() },
        CellFault::Infinite => Fault::Misfit { expected: "a finite number".to_owned() },
        CellFault::OutOfRange => Fault::OutOfRange,
    }
}
