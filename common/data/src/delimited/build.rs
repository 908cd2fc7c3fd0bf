//! The second pass over a text file: the cells are read as the plans say.

use std::collections::HashMap;

use caviar_common::data::{ColumnType, DataSpec};
use caviar_common::numbers::{floor_to_usize, index, to_u32};

use super::plan::{LabelPlan, Plan, Plans};
use crate::cells::Cells;
use crate::error::{DataError, LABEL, SOURCE, shown};
use crate::fault::{BadCell, Fault};
use crate::forms::{Form, PLAIN, quick};
use crate::labels::Labels;
use crate::limits::{MAX_CATEGORIES, MAX_LABEL_BYTES, MAX_NUMBER, MAX_VALUES};
use crate::memory::MemoryBudget;
use crate::missing::{MissingTexts, Presence};
use crate::shelf::Shelf;
use crate::spool::Spool;
use crate::table::{Column, GIVEN_POOL, Roles, Skipped, Why, is_weight};

/// The size of a number in the spool, in bytes.
const VALUE_BYTES: usize = 8;

/// The columns read so far, and the first bad cell.
pub(super) struct Builder<'a> {
    plans: &'a Plans,
    /// The file that is read.
    path: String,
    /// The split of its rows.
    part: f64,
    missing: MissingTexts,
    columns: Vec<Growing>,
    labels: Labels,
    /// The numbers of the labels of the current row, in the order of the spec.
    outputs: Vec<f64>,
    groups: Codes,
    /// The values of the columns of the file, and then those of [`Extra`].
    spool: Spool,
    /// Whether there are several files.
    is_given: bool,
    memory: MemoryBudget,
    /// Columns that are read, with the label.
    width: usize,
    rows: usize,
    unlabelled: usize,
    bad: Option<BadCell>,
    /// How many bad cells follow the first one.
    more_bad: u64,
}

/// What was read of all files.
pub(super) struct Built {
    pub(super) columns: Vec<Column>,
    /// The columns of free text.
    pub(super) free: Vec<Skipped>,
    pub(super) labels: Labels,
    pub(super) roles: Roles,
}

/// What one column is so far. Its values are in the spool.
enum Growing {
    Nothing,
    Numbers,
    Codes(Codes),
    /// More different texts, or longer ones, than a category can have. They are not kept.
    FreeText,
}

/// The codes of a category so far, in the order in which its texts appeared.
#[derive(Default)]
pub(crate) struct Codes {
    codes: HashMap<Box<str>, u32>,
    /// Rows with a text.
    present: usize,
}

impl Codes {
    /// The code of the next row with a text, if there are at most `most` different ones.
    pub(crate) fn code(&mut self, cell: &str, most: usize) -> Result<f64, Fault> {
        let known = self.codes.get(cell).copied();
        let code = match known {
            Some(code) => code,
            None if cell.len() > MAX_LABEL_BYTES => return Err(Fault::LongText),
            None if self.codes.len() >= most => return Err(Fault::TooManyTexts),
            None => {
                let code = to_u32(self.codes.len());
                self.codes.insert(cell.into(), code);
                code
            }
        };
        self.present += 1;
        Ok(f64::from(code))
    }

    /// Whether the texts name each row rather than a category: more than half of them differ. A few
    /// texts are a category in any case.
    pub(crate) fn are_free_text(&self) -> bool {
        const FEWEST_TEXTS: usize = 20;
        let different = self.codes.len();
        different > FEWEST_TEXTS && different * 2 > self.present
    }

    /// How many different texts there are.
    pub(crate) fn different(&self) -> usize {
        self.codes.len()
    }

    /// The sorted texts. Replaces the code of each row by the place of its text; NaN stays.
    pub(crate) fn finish(self, rows: &mut [f64]) -> Vec<String> {
        let mut texts: Vec<(String, u32)> =
            self.codes.into_iter().map(|(text, code)| (text.into_string(), code)).collect();
        texts.sort_unstable();
        let mut places = vec![f64::NAN; texts.len()];
        for (place, (_, code)) in (0_u32..).zip(&texts) {
            if let Some(slot) = places.get_mut(index(*code)) {
                *slot = f64::from(place);
            }
        }
        for row in rows.iter_mut().filter(|row| !row.is_nan()) {
            *row = places.get(floor_to_usize(*row)).copied().unwrap_or(f64::NAN);
        }
        texts.into_iter().map(|(text, _)| text).collect()
    }
}

impl<'a> Builder<'a> {
    pub(super) fn new(plans: &'a Plans, spec: &DataSpec, memory: MemoryBudget) -> Self {
        let column = |plan: &Plan| match plan {
            Plan::Skip
            | Plan::Label(_)
            | Plan::Group
            | Plan::Weight(_)
            | Plan::Time(Form::Number(_)) => Growing::Nothing,
            Plan::Number(_) | Plan::Boolean(_) | Plan::Date(_) | Plan::Time(_) => Growing::Numbers,
            Plan::Category { .. } => Growing::Codes(Codes::default()),
        };
        let is_class = plans.plans.contains(&Plan::Label(LabelPlan::Classes));
        Self {
            path: spec.source.clone(),
            part: GIVEN_POOL,
            missing: MissingTexts::new(&spec.table.missing),
            columns: plans.plans.iter().map(column).collect(),
            labels: if is_class { Labels::classes() } else { Labels::values(plans.labels.len()) },
            outputs: vec![0.0; plans.labels.len()],
            width: plans.plans.iter().filter(|plan| **plan != Plan::Skip).count(),
            groups: Codes::default(),
            spool: Spool::new(plans.plans.len() + Extra::COUNT, memory.table_bytes / VALUE_BYTES),
            is_given: spec.split.validation_source.is_some() || spec.split.test_source.is_some(),
            memory,
            plans,
            rows: 0,
            unlabelled: 0,
            bad: None,
            more_bad: 0,
        }
    }

    /// Begins with the next file, whose rows belong to the split `part`.
    pub(super) fn begin(&mut self, path: &str, part: f64) {
        path.clone_into(&mut self.path);
        self.part = part;
    }

    /// All rows, those that were left out among them.
    pub(super) const fn rows(&self) -> usize {
        self.rows
    }

    /// Rows that were left out because they have no label.
    pub(super) const fn unlabelled(&self) -> usize {
        self.unlabelled
    }

    pub(super) fn push(&mut self, record: &csv::ByteRecord, line: u64) -> Result<(), DataError> {
        let plans = &self.plans.plans;
        if record.len() != plans.len() {
            let (path, found) = (self.path.clone(), record.len());
            return Err(DataError::Ragged { path, line, found, expected: plans.len() });
        }
        self.rows += 1;
        if self.rows.saturating_mul(self.width) > MAX_VALUES {
            return Err(DataError::TooLarge { path: self.path.clone() });
        }
        let labels = record.iter().zip(plans).filter(|(_, plan)| matches!(plan, Plan::Label(_)));
        let mut labels = labels.map(|(cell, _)| self.missing.presence(cell));
        if labels.any(|presence| presence == Presence::Missing) {
            self.unlabelled += 1;
            return Ok(());
        }
        if self.is_given {
            self.spool.push(self.extra(Extra::Part), self.part);
        }
        for (index, (cell, plan)) in record.iter().zip(plans).enumerate() {
            if matches!(plan, Plan::Time(_)) && self.missing.presence(cell) != Presence::Present {
                let column = self.plans.names.get(index).map(|name| shown(name));
                let (path, column) = (self.path.clone(), column.unwrap_or_default());
                return Err(DataError::NoTime { path, line, column });
            }
            if let Plan::Weight(form) = plan {
                self.weight(index, cell, *form, line)?;
                continue;
            }
            if let Err(fault) = self.cell(index, cell, *plan) {
                self.note(line, index, cell, fault);
            }
        }
        self.outputs.iter().for_each(|value| self.labels.push_value(*value));
        self.spool.end_row()?;
        Ok(())
    }

    /// Adds the weight of a row, which no row can lack.
    fn weight(
        &mut self,
        index: usize,
        cell: &[u8],
        form: Form,
        line: u64,
    ) -> Result<(), DataError> {
        let is_present = self.missing.presence(cell) == Presence::Present;
        let weight = number(form, cell).ok().filter(|weight| is_present && is_weight(*weight));
        match weight {
            Some(weight) => {
                self.spool.push(self.extra(Extra::Weight), weight);
                Ok(())
            }
            None => Err(DataError::Weight {
                place: format!("{}, line {line}", self.path),
                column: self.plans.names.get(index).map(|name| shown(name)).unwrap_or_default(),
                value: shown(&String::from_utf8_lossy(cell)),
            }),
        }
    }

    /// The column of the spool.
    const fn extra(&self, extra: Extra) -> usize {
        self.plans.plans.len() + extra.index()
    }

    fn cell(&mut self, index: usize, cell: &[u8], plan: Plan) -> Result<(), Fault> {
        let (form, has_weak) = match plan {
            Plan::Skip | Plan::Weight(_) => return Ok(()),
            Plan::Label(LabelPlan::Classes) => {
                return self
                    .labels
                    .push_class(std::str::from_utf8(cell).map_err(|_| Fault::NotUtf8)?);
            }
            Plan::Label(LabelPlan::Values { form, place }) => {
                let value = number(form, cell)?;
                if let Some(slot) = self.outputs.get_mut(place) {
                    *slot = value;
                }
                return Ok(());
            }
            Plan::Group if self.missing.presence(cell) == Presence::Missing => {
                self.spool.push(self.extra(Extra::Group), f64::NAN);
                return Ok(());
            }
            Plan::Group => {
                let text = std::str::from_utf8(cell).map_err(|_| Fault::NotUtf8)?;
                let code = self.groups.code(text, MAX_VALUES)?;
                self.spool.push(self.extra(Extra::Group), code);
                return Ok(());
            }
            Plan::Time(form) => {
                self.spool.push(self.extra(Extra::Time), number(form, cell)?);
                (Some(form), true)
            }
            Plan::Category { .. } => (None, false),
            Plan::Number(form) | Plan::Boolean(form) | Plan::Date(form) => (Some(form), true),
        };
        let is_missing = match self.missing.presence(cell) {
            Presence::Present => false,
            Presence::Missing => true,
            Presence::MissingAmongNumbers => has_weak,
        };
        match (self.columns.get_mut(index), form) {
            (Some(Growing::Numbers), Some(form)) => {
                let value = if is_missing { f64::NAN } else { number(form, cell)? };
                self.spool.push(index, value);
                Ok(())
            }
            (Some(Growing::Codes(_)), _) if is_missing => {
                self.spool.push(index, f64::NAN);
                Ok(())
            }
            (Some(column @ Growing::Codes(_)), _) => {
                let text = std::str::from_utf8(cell).map_err(|_| Fault::NotUtf8)?;
                let Growing::Codes(codes) = column else { return Ok(()) };
                match codes.code(text, MAX_CATEGORIES) {
                    Ok(code) => {
                        self.spool.push(index, code);
                        Ok(())
                    }
                    Err(_) if plan == (Plan::Category { is_asked_for: false }) => {
                        *column = Growing::FreeText;
                        Ok(())
                    }
                    Err(fault) => Err(fault),
                }
            }
            // Every plan has its kind of column.
            (Some(Growing::Nothing | Growing::FreeText | Growing::Numbers) | None, _) => Ok(()),
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
        self.bad = Some(BadCell { field, path: self.path.clone(), line, column, value, fault });
    }

    /// The columns that are read, those of free text, the labels and the roles.
    pub(super) fn finish(mut self) -> Result<Built, DataError> {
        if let Some(cell) = self.bad {
            return Err(DataError::Cell { cell: Box::new(cell), more: self.more_bad });
        }
        let mut shelf = Shelf::new(self.memory.table_bytes);
        let (mut seasonal, mut free) = (None, Vec::new());
        let plans = self.plans.plans.iter().zip(&self.plans.names);
        for (index, (growing, (plan, name))) in self.columns.into_iter().zip(plans).enumerate() {
            let Some((kind, form)) = kind_of(plan) else { continue };
            if matches!(plan, Plan::Time(_)) {
                seasonal = Some(name.clone());
            }
            let codes = match growing {
                Growing::Nothing => continue,
                Growing::FreeText => {
                    free.push(Skipped { name: name.clone(), why: Why::FreeText(None) });
                    continue;
                }
                Growing::Codes(codes)
                    if *plan == (Plan::Category { is_asked_for: false })
                        && codes.are_free_text() =>
                {
                    let why = Why::FreeText(Some(codes.different()));
                    free.push(Skipped { name: name.clone(), why });
                    continue;
                }
                Growing::Numbers => None,
                Growing::Codes(codes) => Some(codes),
            };
            let mut values = self.spool.take(index)?;
            let categories = codes.map(|codes| codes.finish(&mut values)).unwrap_or_default();
            let cells = Cells::pack(&values);
            shelf.push(Column { name: name.clone(), kind, cells, categories, form })?;
        }
        let columns = shelf.into_columns();
        let mut extra = |extra: Extra| self.spool.take(self.plans.plans.len() + extra.index());
        let (mut groups, times, parts) =
            (extra(Extra::Group)?, extra(Extra::Time)?, extra(Extra::Part)?);
        let weights = extra(Extra::Weight)?;
        let has = |plan: fn(&Plan) -> bool| self.plans.plans.iter().any(plan);
        let is_grouped = has(|plan| *plan == Plan::Group);
        let is_timed = has(|plan| matches!(plan, Plan::Time(_)));
        let is_weighted = has(|plan| matches!(plan, Plan::Weight(_)));
        let is_given = parts.iter().any(|part| *part != GIVEN_POOL);
        if is_grouped {
            self.groups.finish(&mut groups);
        }
        let roles = Roles {
            group: is_grouped.then(|| Cells::pack(&groups)),
            time: is_timed.then(|| Cells::pack(&times)),
            given: is_given.then(|| Cells::pack(&parts)),
            weight: is_weighted.then(|| Cells::pack(&weights)),
            seasonal: seasonal.filter(|name| columns.iter().any(|c: &Column| c.name == *name)),
        };
        Ok(Built { columns, free, labels: self.labels, roles })
    }
}

/// The columns of the spool after those of the file.
#[derive(Clone, Copy)]
enum Extra {
    /// The codes of the groups.
    Group,
    /// The times that order the rows.
    Time,
    /// The splits of the rows.
    Part,
    /// The weights of the rows.
    Weight,
}

impl Extra {
    const COUNT: usize = 4;

    const fn index(self) -> usize {
        match self {
            Self::Group => 0,
            Self::Time => 1,
            Self::Part => 2,
            Self::Weight => 3,
        }
    }
}

/// What a column of inputs has, and how it is written; `None` for a column that is not an input.
const fn kind_of(plan: &Plan) -> Option<(ColumnType, Option<Form>)> {
    match plan {
        Plan::Skip | Plan::Label(_) | Plan::Group | Plan::Weight(_) => None,
        Plan::Number(form) => Some((ColumnType::Number, Some(*form))),
        Plan::Boolean(form) => Some((ColumnType::Boolean, Some(*form))),
        Plan::Date(form) | Plan::Time(form) => Some((ColumnType::Date, Some(*form))),
        Plan::Category { .. } => Some((ColumnType::Category, None)),
    }
}

/// The number in a cell. A zero has no sign.
pub(crate) fn number(form: Form, cell: &[u8]) -> Result<f64, Fault> {
    if form == PLAIN
        && let Some(value) = quick(cell)
    {
        return Ok(value + 0.0);
    }
    let text = std::str::from_utf8(cell).map_err(|_| Fault::NotUtf8)?;
    let value = form.parse(text)?;
    if value.abs() > MAX_NUMBER {
        return Err(Fault::OutOfRange);
    }
    Ok(value + 0.0)
}
