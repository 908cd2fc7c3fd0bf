//! The reader of text files whose cells are separated by a delimiter.
//!
//! A file is read twice. The first pass ([`Scan`]) looks at every cell, because one cell does not
//! tell what a column is: `7` can be a number, a class or the code of a place. [`Plans`] then decides
//! what each column is read as, and the second pass reads it so. What could not be read is reported
//! with its line; nothing is guessed cell by cell.

mod dialect;
mod missing;
mod plan;
mod rows;
mod scan;

use std::collections::HashMap;

use caviar_common::data::{ColumnType, DataSpec};
use caviar_common::numbers::{index, to_u32};

pub(crate) use self::missing::{MissingTexts, Presence};
pub(crate) use self::plan::{hint, listed};
pub(crate) use self::scan::numbered;

use self::dialect::Dialect;
use self::plan::{LabelPlan, Plan, Plans};
use self::rows::Rows;
use self::scan::Scan;
use crate::cells::Cells;
use crate::error::{BadCell, DataError, Fault, LABEL, SOURCE, shown};
use crate::forms::Form;
use crate::labels::Labels;
use crate::limits::{MAX_CATEGORIES, MAX_LABEL_BYTES, MAX_NUMBER, MAX_VALUES};
use crate::table::{Column, Table, info, warning};
use crate::text::TextSource;

/// Reads a table. `label` is the name of the column to predict.
pub(crate) fn read(
    source: &TextSource,
    spec: &DataSpec,
    label: Option<&str>,
) -> Result<Table, DataError> {
    let path = spec.source.as_str();
    let dialect = dialect(source, spec)?;
    let mut rows = Rows::new(source.open()?, path, dialect);
    let scan = Scan::read(&mut rows, path, &spec.table, label)?;
    let plans = Plans::new(&scan, spec, label)?;
    let mut notes: Vec<_> = source
        .remarks()
        .into_iter()
        .map(|text| info("file", &[], format!("the file is {text}")))
        .collect();
    notes.extend(dialect.notes(&spec.table));
    let mut rows = Rows::new(source.open()?, path, dialect);
    let mut table = Builder::new(&plans, spec);
    if plans.has_header {
        rows.advance()?;
    }
    while rows.advance()? {
        table.push(rows.record(), rows.line())?;
    }
    let unlabelled = table.unlabelled;
    let (columns, labels) = table.finish()?;
    notes.extend(plans.notes.iter().cloned());
    if unlabelled > 0 {
        let text = format!(
            "{unlabelled} row{} no value in {:?} and {} left out",
            if unlabelled == 1 { " has" } else { "s have" },
            shown(&plans.label),
            if unlabelled == 1 { "is" } else { "are" },
        );
        notes.push(warning("rows_without_label", &[&plans.label], text));
    }
    let Plans { names, skipped, label, .. } = plans;
    Ok(Table { names, columns, skipped, labels, label, notes })
}

/// The names of the columns, and whether the first row of the file has them.
pub(crate) struct Header {
    pub(crate) names: Vec<String>,
    pub(crate) is_first_row: bool,
}

/// Reads a table only to find its columns. If the spec does not say whether there is a header, a
/// first row that looks like data is none.
pub(crate) fn header(source: &TextSource, spec: &DataSpec) -> Result<Header, DataError> {
    let path = spec.source.as_str();
    let dialect = dialect(source, spec)?;
    let mut rows = Rows::new(source.open()?, path, dialect);
    let scan = Scan::read(&mut rows, path, &spec.table, None)?;
    let missing = MissingTexts::new(&spec.table.missing);
    let is_first_row = spec.table.header.unwrap_or_else(|| !scan.starts_with_a_row(&missing));
    Ok(Header { names: plan::names(&scan, path, is_first_row)?, is_first_row })
}

fn dialect(source: &TextSource, spec: &DataSpec) -> Result<Dialect, DataError> {
    Dialect::detect(source.open()?, &spec.table).map_err(|error| DataError::Read {
        field: SOURCE,
        path: spec.source.clone(),
        at: 0,
        source: error,
    })
}

/// The columns read so far, and the first bad cell.
struct Builder<'a> {
    plans: &'a Plans,
    path: &'a str,
    missing: MissingTexts,
    columns: Vec<Growing>,
    labels: Labels,
    /// Columns that are read, with the label.
    width: usize,
    rows: usize,
    unlabelled: u64,
    bad: Option<BadCell>,
    /// How many bad cells follow the first one.
    more_bad: u64,
}

/// The values of one column so far.
enum Growing {
    Nothing,
    Numbers(Vec<f64>),
    Codes(Codes),
}

/// The codes of a category so far, in the order in which its texts appeared.
#[derive(Default)]
pub(crate) struct Codes {
    codes: HashMap<Box<str>, u32>,
    /// `u32::MAX` for a missing value.
    rows: Vec<u32>,
}

impl Codes {
    const MISSING: u32 = u32::MAX;

    pub(crate) fn push(&mut self, cell: &str) -> Result<(), Fault> {
        let known = self.codes.get(cell).copied();
        let code = match known {
            Some(code) => code,
            None if cell.len() > MAX_LABEL_BYTES => return Err(Fault::LongText),
            None if self.codes.len() >= MAX_CATEGORIES => return Err(Fault::TooManyTexts),
            None => {
                let code = to_u32(self.codes.len());
                self.codes.insert(cell.into(), code);
                code
            }
        };
        self.rows.push(code);
        Ok(())
    }

    pub(crate) fn push_missing(&mut self) {
        self.rows.push(Self::MISSING);
    }

    /// The place of each row's text among the sorted texts, and the texts.
    pub(crate) fn finish(self) -> (Vec<f64>, Vec<String>) {
        let mut texts: Vec<(String, u32)> =
            self.codes.into_iter().map(|(text, code)| (text.into_string(), code)).collect();
        texts.sort_unstable();
        let mut places = vec![f64::NAN; texts.len()];
        for (place, (_, code)) in (0_u32..).zip(&texts) {
            if let Some(slot) = places.get_mut(index(*code)) {
                *slot = f64::from(place);
            }
        }
        let place = |code: &u32| places.get(index(*code)).copied().unwrap_or(f64::NAN);
        let rows = self.rows.iter().map(place).collect();
        (rows, texts.into_iter().map(|(text, _)| text).collect())
    }
}

impl<'a> Builder<'a> {
    fn new(plans: &'a Plans, spec: &'a DataSpec) -> Self {
        let column = |plan: &Plan| match plan {
            Plan::Skip | Plan::Label(_) => Growing::Nothing,
            Plan::Number(_) | Plan::Boolean(_) | Plan::Date(_) => Growing::Numbers(Vec::new()),
            Plan::Category => Growing::Codes(Codes::default()),
        };
        let is_class = plans.plans.contains(&Plan::Label(LabelPlan::Classes));
        Self {
            path: &spec.source,
            missing: MissingTexts::new(&spec.table.missing),
            columns: plans.plans.iter().map(column).collect(),
            labels: if is_class { Labels::classes() } else { Labels::values() },
            width: plans.plans.iter().filter(|plan| **plan != Plan::Skip).count(),
            plans,
            rows: 0,
            unlabelled: 0,
            bad: None,
            more_bad: 0,
        }
    }

    fn push(&mut self, record: &csv::ByteRecord, line: u64) -> Result<(), DataError> {
        let plans = &self.plans.plans;
        if record.len() != plans.len() {
            let (path, found) = (self.path.to_owned(), record.len());
            return Err(DataError::Ragged { path, line, found, expected: plans.len() });
        }
        self.rows += 1;
        if self.rows.saturating_mul(self.width) > MAX_VALUES {
            return Err(DataError::TooLarge { path: self.path.to_owned() });
        }
        let label = plans.iter().position(|plan| matches!(plan, Plan::Label(_)));
        let label = label.and_then(|index| record.get(index)).unwrap_or_default();
        if self.missing.presence(label) == Presence::Missing {
            self.unlabelled += 1;
            return Ok(());
        }
        for (index, (cell, plan)) in record.iter().zip(plans).enumerate() {
            if let Err(fault) = self.cell(index, cell, *plan) {
                self.note(line, index, cell, fault);
            }
        }
        Ok(())
    }

    fn cell(&mut self, index: usize, cell: &[u8], plan: Plan) -> Result<(), Fault> {
        let (form, has_weak) = match plan {
            Plan::Skip => return Ok(()),
            Plan::Label(LabelPlan::Classes) => {
                return self
                    .labels
                    .push_class(std::str::from_utf8(cell).map_err(|_| Fault::NotUtf8)?);
            }
            Plan::Label(LabelPlan::Values(form)) => {
                self.labels.push_value(number(form, cell)?);
                return Ok(());
            }
            Plan::Category => (None, false),
            Plan::Number(form) | Plan::Boolean(form) | Plan::Date(form) => (Some(form), true),
        };
        let is_missing = match self.missing.presence(cell) {
            Presence::Present => false,
            Presence::Missing => true,
            Presence::MissingAmongNumbers => has_weak,
        };
        match (self.columns.get_mut(index), form) {
            (Some(Growing::Numbers(values)), Some(form)) => {
                values.push(if is_missing { f64::NAN } else { number(form, cell)? });
                Ok(())
            }
            (Some(Growing::Codes(codes)), _) if is_missing => {
                codes.push_missing();
                Ok(())
            }
            (Some(Growing::Codes(codes)), _) => {
                codes.push(std::str::from_utf8(cell).map_err(|_| Fault::NotUtf8)?)
            }
            // Every plan has its kind of column.
            (Some(Growing::Nothing | Growing::Numbers(_)) | None, _) => Ok(()),
        }
    }

    fn note(&mut self, line: u64, column: usize, cell: &[u8], fault: Fault) {
        if self.bad.is_some() {
            self.more_bad += 1;
            return;
        }
        let plan = self.plans.plans.get(column);
        let field = if matches!(plan, Some(Plan::Label(_))) { LABEL } else { SOURCE };
        let column = self.plans.names.get(column).map(|name| shown(name)).unwrap_or_default();
        let value = shown(&String::from_utf8_lossy(cell));
        self.bad = Some(BadCell { field, path: self.path.to_owned(), line, column, value, fault });
    }

    fn finish(self) -> Result<(Vec<Column>, Labels), DataError> {
        if let Some(cell) = self.bad {
            return Err(DataError::Cell { cell: Box::new(cell), more: self.more_bad });
        }
        let mut columns = Vec::with_capacity(self.width);
        for ((growing, plan), name) in
            self.columns.into_iter().zip(&self.plans.plans).zip(&self.plans.names)
        {
            let kind = match plan {
                Plan::Skip | Plan::Label(_) => continue,
                Plan::Number(_) => ColumnType::Number,
                Plan::Boolean(_) => ColumnType::Boolean,
                Plan::Date(_) => ColumnType::Date,
                Plan::Category => ColumnType::Category,
            };
            let (values, categories) = match growing {
                Growing::Nothing => continue,
                Growing::Numbers(values) => (values, Vec::new()),
                Growing::Codes(codes) => codes.finish(),
            };
            let cells = Cells::pack(&values);
            columns.push(Column { name: name.clone(), kind, cells, categories });
        }
        Ok((columns, self.labels))
    }
}

/// The number in a cell. A zero has no sign.
fn number(form: Form, cell: &[u8]) -> Result<f64, Fault> {
    let text = std::str::from_utf8(cell).map_err(|_| Fault::NotUtf8)?;
    let value = form.parse(text)?;
    if value.abs() > MAX_NUMBER {
        return Err(Fault::OutOfRange);
    }
    Ok(value + 0.0)
}
