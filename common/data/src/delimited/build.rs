//! The second pass over a text file: the cells are read as the plans say.

use std::collections::HashMap;

use caviar_common::data::{ColumnType, DataSpec};
use caviar_common::numbers::{index, to_u32};

use super::plan::{LabelPlan, Plan, Plans};
use crate::cells::Cells;
use crate::error::{DataError, LABEL, SOURCE, shown};
use crate::fault::{BadCell, Fault};
use crate::forms::{Form, PLAIN, quick};
use crate::labels::Labels;
use crate::limits::{MAX_CATEGORIES, MAX_LABEL_BYTES, MAX_NUMBER, MAX_VALUES};
use crate::missing::{MissingTexts, Presence};
use crate::table::{Column, GIVEN_POOL, Roles, Skipped, Why, is_weight};

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
    groups: Codes,
    times: Vec<f64>,
    weights: Vec<f64>,
    parts: Vec<f64>,
    /// Columns that are read, with the label.
    width: usize,
    rows: usize,
    unlabelled: u64,
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

/// The values of one column so far.
enum Growing {
    Nothing,
    Numbers(Vec<f64>),
    Codes(Codes),
    /// More different texts, or longer ones, than a category can have. They are not kept.
    FreeText,
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

    /// Adds the text of the next row, if there are at most `most` different ones.
    pub(crate) fn push(&mut self, cell: &str, most: usize) -> Result<(), Fault> {
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
        self.rows.push(code);
        Ok(())
    }

    /// Whether the texts name each row rather than a category: more than half of them differ. A few
    /// texts are a category in any case.
    pub(crate) fn are_free_text(&self) -> bool {
        const FEWEST_TEXTS: usize = 20;
        let (different, all) = (self.codes.len(), self.rows.iter());
        let present = all.filter(|code| **code != Self::MISSING).count();
        different > FEWEST_TEXTS && different * 2 > present
    }

    pub(crate) fn push_missing(&mut self) {
        self.rows.push(Self::MISSING);
    }

    /// How many different texts there are.
    pub(crate) fn different(&self) -> usize {
        self.codes.len()
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
    pub(super) fn new(plans: &'a Plans, spec: &DataSpec) -> Self {
        let column = |plan: &Plan| match plan {
            Plan::Skip
            | Plan::Label(_)
            | Plan::Group
            | Plan::Weight(_)
            | Plan::Time(Form::Number(_)) => Growing::Nothing,
            Plan::Number(_) | Plan::Boolean(_) | Plan::Date(_) | Plan::Time(_) => {
                Growing::Numbers(Vec::new())
            }
            Plan::Category { .. } => Growing::Codes(Codes::default()),
        };
        let is_class = plans.plans.contains(&Plan::Label(LabelPlan::Classes));
        Self {
            path: spec.source.clone(),
            part: GIVEN_POOL,
            missing: MissingTexts::new(&spec.table.missing),
            columns: plans.plans.iter().map(column).collect(),
            labels: if is_class { Labels::classes() } else { Labels::values() },
            width: plans.plans.iter().filter(|plan| **plan != Plan::Skip).count(),
            groups: Codes::default(),
            times: Vec::new(),
            weights: Vec::new(),
            parts: Vec::new(),
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

    /// Rows that were left out because they have no label.
    pub(super) const fn unlabelled(&self) -> u64 {
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
        let label = plans.iter().position(|plan| matches!(plan, Plan::Label(_)));
        let label = label.and_then(|index| record.get(index)).unwrap_or_default();
        if self.missing.presence(label) == Presence::Missing {
            self.unlabelled += 1;
            return Ok(());
        }
        self.parts.push(self.part);
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
                self.weights.push(weight);
                Ok(())
            }
            None => Err(DataError::Weight {
                place: format!("{}, line {line}", self.path),
                column: self.plans.names.get(index).map(|name| shown(name)).unwrap_or_default(),
                value: shown(&String::from_utf8_lossy(cell)),
            }),
        }
    }

    fn cell(&mut self, index: usize, cell: &[u8], plan: Plan) -> Result<(), Fault> {
        let (form, has_weak) = match plan {
            Plan::Skip | Plan::Weight(_) => return Ok(()),
            Plan::Label(LabelPlan::Classes) => {
                return self
                    .labels
                    .push_class(std::str::from_utf8(cell).map_err(|_| Fault::NotUtf8)?);
            }
            Plan::Label(LabelPlan::Values(form)) => {
                self.labels.push_value(number(form, cell)?);
                return Ok(());
            }
            Plan::Group if self.missing.presence(cell) == Presence::Missing => {
                self.groups.push_missing();
                return Ok(());
            }
            Plan::Group => {
                let text = std::str::from_utf8(cell).map_err(|_| Fault::NotUtf8)?;
                return self.groups.push(text, MAX_VALUES);
            }
            Plan::Time(form) => {
                self.times.push(number(form, cell)?);
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
            (Some(Growing::Numbers(values)), Some(form)) => {
                values.push(if is_missing { f64::NAN } else { number(form, cell)? });
                Ok(())
            }
            (Some(Growing::Codes(codes)), _) if is_missing => {
                codes.push_missing();
                Ok(())
            }
            (Some(column @ Growing::Codes(_)), _) => {
                let text = std::str::from_utf8(cell).map_err(|_| Fault::NotUtf8)?;
                let Growing::Codes(codes) = column else { return Ok(()) };
                match codes.push(text, MAX_CATEGORIES) {
                    Err(_) if plan == (Plan::Category { is_asked_for: false }) => {
                        *column = Growing::FreeText;
                        Ok(())
                    }
                    result => result,
                }
            }
            // Every plan has its kind of column.
            (Some(Growing::Nothing | Growing::FreeText | Growing::Numbers(_)) | None, _) => Ok(()),
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
    pub(super) fn finish(self) -> Result<Built, DataError> {
        if let Some(cell) = self.bad {
            return Err(DataError::Cell { cell: Box::new(cell), more: self.more_bad });
        }
        let mut columns = Vec::with_capacity(self.width);
        let (mut seasonal, mut free) = (None, Vec::new());
        for ((growing, plan), name) in
            self.columns.into_iter().zip(&self.plans.plans).zip(&self.plans.names)
        {
            let (kind, form) = match plan {
                Plan::Skip | Plan::Label(_) | Plan::Group | Plan::Weight(_) => continue,
                Plan::Number(form) => (ColumnType::Number, Some(*form)),
                Plan::Boolean(form) => (ColumnType::Boolean, Some(*form)),
                Plan::Date(form) => (ColumnType::Date, Some(*form)),
                Plan::Time(form) => {
                    seasonal = Some(name.clone());
                    (ColumnType::Date, Some(*form))
                }
                Plan::Category { .. } => (ColumnType::Category, None),
            };
            let (values, categories) = match growing {
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
                Growing::Numbers(values) => (values, Vec::new()),
                Growing::Codes(codes) => codes.finish(),
            };
            let cells = Cells::pack(&values);
            columns.push(Column { name: name.clone(), kind, cells, categories, form });
        }
        let has = |plan: fn(&Plan) -> bool| self.plans.plans.iter().any(plan);
        let is_grouped = has(|plan| *plan == Plan::Group);
        let is_timed = has(|plan| matches!(plan, Plan::Time(_)));
        let is_weighted = has(|plan| matches!(plan, Plan::Weight(_)));
        let is_given = self.parts.iter().any(|part| *part != GIVEN_POOL);
        let roles = Roles {
            group: is_grouped.then(|| Cells::pack(&self.groups.finish().0)),
            time: is_timed.then(|| Cells::pack(&self.times)),
            given: is_given.then(|| Cells::pack(&self.parts)),
            weight: is_weighted.then(|| Cells::pack(&self.weights)),
            seasonal: seasonal.filter(|name| columns.iter().any(|c: &Column| c.name == *name)),
        };
        Ok(Built { columns, free, labels: self.labels, roles })
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
