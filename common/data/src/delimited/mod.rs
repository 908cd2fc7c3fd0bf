//! The reader of text files whose cells are separated by a delimiter.
//!
//! A file is read twice. The first pass ([`Scan`]) looks at every cell, because one cell does not
//! tell what a column is: `7` can be a number, a class or the code of a place. [`Plans`] then
//! decides what each column is read as, and the second pass ([`Builder`]) reads it so. What could
//! not be read is reported with its line; nothing is guessed cell by cell.
//!
//! The files of `validation_source` and `test_source` are read in the same passes, one after the
//! other, so that a column has one form in all of them.

mod build;
mod dialect;
mod plan;
mod records;
mod rows;
mod scan;

use caviar_common::data::{DataNote, DataSpec, TableSpec};

pub(crate) use self::build::{Codes, number};
pub(crate) use self::plan::{LISTED_COLUMNS, hint, listed, near};
pub(crate) use self::records::Records;
pub(crate) use self::scan::numbered;
pub(crate) use crate::missing::{MissingTexts, Presence};

use self::build::{Builder, Built};
use self::dialect::Dialect;
use self::plan::Plans;
use self::rows::Rows;
use self::scan::Scan;
use crate::error::{DataError, SOURCE, TEST_SOURCE, VALIDATION_SOURCE};
use crate::memory::MemoryBudget;
use crate::table::{
    GIVEN_POOL, GIVEN_TEST, GIVEN_VALIDATION, LabelColumn, Table, info, rows_without_label,
};
use crate::text::TextSource;

/// Reads a table, and the files with given splits. `labels` are the names of the columns to
/// predict.
pub(crate) fn read(
    source: &TextSource,
    spec: &DataSpec,
    labels: &[&str],
    memory: MemoryBudget,
) -> Result<Table, DataError> {
    let others = others(spec)?;
    let first = Input::new(source, &spec.source, GIVEN_POOL, SOURCE, spec)?;
    let mut inputs = vec![first];
    for (source, path, part, field) in &others {
        inputs.push(Input::new(source, path, *part, field, spec)?);
    }
    let scan = scan(&inputs, spec, labels)?;
    let plans = Plans::new(&scan, spec, labels)?;
    let mut notes: Vec<DataNote> = inputs.iter().flat_map(|input| input.notes(spec)).collect();
    let mut table = Builder::new(&plans, spec, memory);
    for input in &inputs {
        let mut rows = input.rows()?;
        if plans.has_header {
            rows.advance()?;
        }
        table.begin(input.path, input.part);
        while rows.advance()? {
            table.push(rows.record(), rows.line())?;
        }
    }
    let (unlabelled, rows) = (table.unlabelled(), table.rows());
    let Built { columns, free, labels, roles } = table.finish()?;
    notes.extend(plans.notes.iter().cloned());
    if !free.is_empty() {
        let names: Vec<String> = free.iter().map(|column| column.name.clone()).collect();
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = format!(
            "text that differs in most rows is no input: {}; to use it as a category, name it in \
             types",
            plan::listed(&names)
        );
        notes.push(info("free_text", &all, text));
    }
    let label_names: Vec<&str> = plans.labels.iter().map(String::as_str).collect();
    notes.extend(rows_without_label(&label_names, unlabelled, rows));
    let mut all = plans
        .labels
        .iter()
        .enumerate()
        .map(|(place, name)| LabelColumn { name: name.clone(), form: plans.label_form(place) });
    let first = all.next().map(|first| (first.name, first.form));
    let (label, label_form) = first.unwrap_or_default();
    let more_labels = all.collect();
    let Plans { names, mut skipped, .. } = plans;
    skipped.extend(free);
    Ok(Table { names, columns, skipped, labels, roles, label, label_form, more_labels, notes })
}

/// One of the files that a table is read from.
struct Input<'a> {
    source: &'a TextSource,
    path: &'a str,
    /// The split of its rows.
    part: f64,
    /// The field of the sweep file that names it.
    field: &'static str,
    dialect: Dialect,
}

impl<'a> Input<'a> {
    fn new(
        source: &'a TextSource,
        path: &'a str,
        part: f64,
        field: &'static str,
        spec: &DataSpec,
    ) -> Result<Self, DataError> {
        let dialect = dialect(source, path, field, spec)?;
        Ok(Self { source, path, part, field, dialect })
    }

    fn rows(&self) -> Result<Rows<'a>, DataError> {
        Ok(Rows::new(self.source.open()?, self.path, self.dialect))
    }

    /// What is unusual about the file. Only the first one is told from the others by no name.
    fn notes(&self, spec: &DataSpec) -> Vec<DataNote> {
        let key = self.field.strip_prefix("data.").filter(|_| self.field != SOURCE);
        let file = key.map_or_else(|| "the file".to_owned(), |key| format!("the file of {key}"));
        let remarks = self.source.remarks().into_iter();
        let mut notes: Vec<DataNote> =
            remarks.map(|text| info("file", &[], format!("{file} is {text}"))).collect();
        if self.field == SOURCE {
            notes.extend(self.dialect.notes(&spec.table));
        }
        notes
    }
}

/// The files with given splits.
fn others(spec: &DataSpec) -> Result<Vec<(TextSource, &str, f64, &'static str)>, DataError> {
    let named = [
        (&spec.split.validation_source, GIVEN_VALIDATION, VALIDATION_SOURCE),
        (&spec.split.test_source, GIVEN_TEST, TEST_SOURCE),
    ];
    let mut others = Vec::new();
    for (path, part, field) in named {
        if let Some(path) = path {
            let source = TextSource::detect(path);
            let source = source.map_err(|error| DataError::from(error).of_field(field))?;
            others.push((source, path.as_str(), part, field));
        }
    }
    Ok(others)
}

/// The first pass over all files, which must have the same columns.
fn scan(inputs: &[Input<'_>], spec: &DataSpec, labels: &[&str]) -> Result<Scan, DataError> {
    let mut files = inputs.iter();
    let Some(first) = files.next() else {
        return Err(DataError::Empty { field: SOURCE, path: spec.source.clone() });
    };
    let mut scan = Scan::read(&mut first.rows()?, first.path, &spec.table, labels)?;
    for other in files {
        let mut rows = other.rows()?;
        let has_header = spec.table.header != Some(false);
        if has_header {
            if !rows.advance()? {
                let path = other.path.to_owned();
                return Err(DataError::Empty { field: other.field, path });
            }
            scan.check_columns(rows.record(), other.path, first.path, other.field)?;
        }
        scan.extend(&mut rows, other.path, &spec.table)?;
    }
    Ok(scan)
}

/// The names of the columns, and whether the first row of the file has them.
pub(crate) struct Header {
    pub(crate) names: Vec<String>,
    pub(crate) is_first_row: bool,
}

/// Reads a table only to find its columns. If the spec does not say whether there is a header, a
/// first row that looks like data does not count as one.
pub(crate) fn header(source: &TextSource, spec: &DataSpec) -> Result<Header, DataError> {
    let path = spec.source.as_str();
    let dialect = dialect(source, path, SOURCE, spec)?;
    let mut rows = Rows::new(source.open()?, path, dialect);
    let scan = Scan::read(&mut rows, path, &spec.table, &[])?;
    let missing = MissingTexts::new(&spec.table.missing);
    let is_first_row = spec.table.header.unwrap_or_else(|| !scan.starts_with_a_row(&missing));
    Ok(Header { names: plan::names(&scan, path, is_first_row)?, is_first_row })
}

/// The records of a file, with a header if it has one. `delimiter` is detected if it is not given.
pub(crate) fn records(
    source: &TextSource,
    path: &str,
    delimiter: Option<char>,
) -> Result<Records, DataError> {
    let table = TableSpec { delimiter, ..TableSpec::default() };
    let spec = DataSpec { table, ..DataSpec::default() };
    let dialect = dialect(source, path, SOURCE, &spec)?;
    Records::new(source.open()?, path, dialect)
}

fn dialect(
    source: &TextSource,
    path: &str,
    field: &'static str,
    spec: &DataSpec,
) -> Result<Dialect, DataError> {
    Dialect::detect(source.open()?, &spec.table).map_err(|error| DataError::Read {
        field,
        path: path.to_owned(),
        at: 0,
        source: error,
    })
}
