//! One column of the inputs.

use caviar_common::data::{ColumnType, DataNote};

use super::{Bad, Kind, Stored, checked, of_cell};
use crate::delimited::{Codes, MissingTexts, Presence};
use crate::error::shown;
use crate::fault::Fault;
use crate::forms::{Candidates, Form, ISO_DATE, PLAIN, TRUE_FALSE, date_parts};
use crate::limits::{MAX_CATEGORIES, MAX_VALUES};
use crate::table::{info, warning};

/// The share of a column's cells that must be numbers before the others count as mistakes.
const NEARLY_ALL: u64 = 10;

/// A column as it was read.
pub(super) struct Input {
    pub(super) values: Values,
    /// The form in which spellings are read.
    pub(super) form: Option<Form>,
    /// Whether the spec says what they are, so that the form is no news.
    is_asked_for: bool,
    /// A second form in which they could be read.
    ambiguity: Option<String>,
}

pub(super) enum Values {
    Read {
        kind: ColumnType,
        values: Vec<f64>,
        categories: Vec<String>,
    },
    /// Text that names each row rather than a category, with this many different texts; `None` if
    /// they are more than a category can have.
    Free {
        different: Option<usize>,
    },
}

impl Input {
    pub(super) fn notes(&self, name: &str) -> Vec<DataNote> {
        let form = self.form.filter(|_| !self.is_asked_for);
        let form = form.filter(|form| *form != PLAIN && !matches!(form, Form::Boolean(_)));
        let form =
            form.map(|form| info("form", &[name], format!("read as {form}: {:?}", shown(name))));
        let ambiguity = self.ambiguity.as_ref().map(|ambiguity| {
            warning("ambiguous_form", &[name], format!("{:?}: {ambiguity}", shown(name)))
        });
        ambiguity.into_iter().chain(form).collect()
    }
}

/// Reads the rows that have a label, as what the file says, or as `asked`.
pub(super) fn read(
    stored: &dyn Stored,
    asked: Option<ColumnType>,
    is_labelled: &[bool],
) -> Result<Input, Bad> {
    let values = match (stored.kind(), asked) {
        (Kind::Text | Kind::Spelling, _) => return text(stored, asked, is_labelled),
        (_, Some(ColumnType::Category)) => {
            return category(stored, is_labelled, true).map(Input::from);
        }
        (Kind::Number | Kind::Boolean | Kind::Date, Some(ColumnType::Number))
        | (Kind::Number, None) => numbers(ColumnType::Number, stored, is_labelled, checked)?,
        (Kind::Boolean, None | Some(ColumnType::Boolean)) => {
            numbers(ColumnType::Boolean, stored, is_labelled, checked)?
        }
        (Kind::Number, Some(ColumnType::Boolean)) => {
            numbers(ColumnType::Boolean, stored, is_labelled, |value| match value {
                0.0 | 1.0 => Ok(value + 0.0),
                _ if value.is_nan() => Ok(value),
                _ => Err(misfit("0 or 1")),
            })?
        }
        (Kind::Date, None | Some(ColumnType::Date)) => {
            numbers(ColumnType::Date, stored, is_labelled, dated)?
        }
        (Kind::Date, Some(ColumnType::Boolean)) => {
            numbers(ColumnType::Boolean, stored, is_labelled, present(misfit("true or false")))?
        }
        (Kind::Number | Kind::Boolean, Some(ColumnType::Date)) => {
            numbers(ColumnType::Date, stored, is_labelled, present(misfit("a date")))?
        }
    };
    Ok(values.into())
}

fn misfit(expected: &str) -> Fault {
    Fault::Misfit { expected: expected.to_owned() }
}

/// Checks that a date lies in the years that text files can have.
fn dated(days: f64) -> Result<f64, Fault> {
    let is_date = days.is_nan() || date_parts(days).is_some();
    if is_date { Ok(days + 0.0) } else { Err(misfit("a date in the years -9999 to 9999")) }
}

/// Accepts a missing value only.
fn present(fault: Fault) -> impl Fn(f64) -> Result<f64, Fault> {
    move |value| if value.is_nan() { Ok(value) } else { Err(fault.clone()) }
}

impl From<Values> for Input {
    fn from(values: Values) -> Self {
        Self { values, form: None, is_asked_for: false, ambiguity: None }
    }
}

fn numbers(
    kind: ColumnType,
    stored: &dyn Stored,
    is_labelled: &[bool],
    read: impl Fn(f64) -> Result<f64, Fault>,
) -> Result<Values, Bad> {
    let (mut row, mut bad, mut values) = (0, None, Vec::with_capacity(is_labelled.len()));
    stored.numbers(&mut |value| {
        if is_labelled.get(row).copied().unwrap_or_default() && bad.is_none() {
            match read(value) {
                Ok(value) => values.push(value),
                Err(fault) => bad = Some(Bad { row, fault }),
            }
        }
        row += 1;
    });
    bad.map_or(Ok(Values::Read { kind, values, categories: Vec::new() }), Err)
}

/// Reads text as what `asked` says, or as what it is.
fn text(
    stored: &dyn Stored,
    asked: Option<ColumnType>,
    is_labelled: &[bool],
) -> Result<Input, Bad> {
    let survey = Survey::of(stored, is_labelled);
    let form = survey.candidates.form();
    let fitting = |fits: fn(&Form) -> bool, usual: Form| form.filter(fits).unwrap_or(usual);
    let (kind, form) = match (asked, form) {
        (Some(ColumnType::Category), _) => {
            return category(stored, is_labelled, true).map(Input::from);
        }
        (Some(ColumnType::Number), _) => {
            (ColumnType::Number, fitting(|form| matches!(form, Form::Number(_)), PLAIN))
        }
        (Some(ColumnType::Boolean), _) => {
            (ColumnType::Boolean, fitting(|form| matches!(form, Form::Boolean(_)), TRUE_FALSE))
        }
        (Some(ColumnType::Date), _) => {
            (ColumnType::Date, fitting(|form| matches!(form, Form::Date(_)), ISO_DATE))
        }
        (None, Some(form)) if stored.kind() == Kind::Spelling => (kind_of(form), form),
        (None, None) if survey.is_nearly_number(stored.kind()) => (ColumnType::Number, PLAIN),
        (None, Some(_) | None) => return category(stored, is_labelled, false).map(Input::from),
    };
    let ambiguity = asked.is_none().then(|| survey.candidates.ambiguity()).flatten();
    Ok(Input {
        values: spellings(kind, form, stored, is_labelled)?,
        form: Some(form),
        is_asked_for: asked.is_some(),
        ambiguity: ambiguity.map(|ambiguity| ambiguity.to_string()),
    })
}

const fn kind_of(form: Form) -> ColumnType {
    match form {
        Form::Number(_) => ColumnType::Number,
        Form::Boolean(_) => ColumnType::Boolean,
        Form::Date(_) => ColumnType::Date,
    }
}

fn spellings(
    kind: ColumnType,
    form: Form,
    stored: &dyn Stored,
    is_labelled: &[bool],
) -> Result<Values, Bad> {
    let missing = MissingTexts::new(&[]);
    let (mut row, mut bad, mut values) = (0, None, Vec::with_capacity(is_labelled.len()));
    stored.texts(&mut |text| {
        let text = text.map(str::trim);
        let text = text.filter(|text| missing.presence(text.as_bytes()) == Presence::Present);
        if is_labelled.get(row).copied().unwrap_or_default() && bad.is_none() {
            let parse = |text| form.parse(text).map_err(of_cell).and_then(checked);
            match text.map_or(Ok(f64::NAN), parse) {
                Ok(value) => values.push(value),
                Err(fault) => bad = Some(Bad { row, fault }),
            }
        }
        row += 1;
    });
    bad.map_or(Ok(Values::Read { kind, values, categories: Vec::new() }), Err)
}

/// Reads texts. Unless a category is asked for, they can turn out to be free text.
fn category(stored: &dyn Stored, is_labelled: &[bool], is_asked_for: bool) -> Result<Values, Bad> {
    match codes(stored, is_labelled, MAX_CATEGORIES) {
        Err(bad) if is_asked_for => Err(bad),
        Err(_) => Ok(Values::Free { different: None }),
        Ok((codes, _)) if !is_asked_for && codes.are_free_text() => {
            Ok(Values::Free { different: Some(codes.different()) })
        }
        Ok((codes, mut values)) => {
            let categories = codes.finish(&mut values);
            Ok(Values::Read { kind: ColumnType::Category, values, categories })
        }
    }
}

/// The group of each row, from 0; NaN for a row without one.
pub(super) fn groups(stored: &dyn Stored, is_labelled: &[bool]) -> Result<Vec<f64>, Bad> {
    let (codes, mut rows) = codes(stored, is_labelled, MAX_VALUES)?;
    codes.finish(&mut rows);
    Ok(rows)
}

/// The texts of all rows, if they are at most `most` different ones, and the code of each row.
fn codes(stored: &dyn Stored, is_labelled: &[bool], most: usize) -> Result<(Codes, Vec<f64>), Bad> {
    let missing = MissingTexts::new(&[]);
    let is_spelling = stored.kind() == Kind::Spelling;
    let (mut row, mut bad, mut codes, mut rows) = (0, None, Codes::default(), Vec::new());
    stored.texts(&mut |text| {
        let is_present = |text: &&str| {
            !text.is_empty()
                && (!is_spelling || missing.presence(text.as_bytes()) != Presence::Missing)
        };
        if is_labelled.get(row).copied().unwrap_or_default() && bad.is_none() {
            match text.map(str::trim).filter(is_present) {
                None => rows.push(f64::NAN),
                Some(text) => match codes.code(text, most) {
                    Ok(code) => rows.push(code),
                    Err(fault) => bad = Some(Bad { row, fault }),
                },
            }
        }
        row += 1;
    });
    bad.map_or(Ok((codes, rows)), Err)
}

/// What one pass over a column of text finds.
struct Survey {
    candidates: Candidates,
    has_weakly_missing: bool,
}

impl Survey {
    fn of(stored: &dyn Stored, is_labelled: &[bool]) -> Self {
        let missing = MissingTexts::new(&[]);
        let mut survey = Self { candidates: Candidates::new(), has_weakly_missing: false };
        let mut row = 0;
        stored.texts(&mut |text| {
            let is_read = is_labelled.get(row).copied().unwrap_or_default();
            row += 1;
            let text = text.map(str::trim).filter(|text| is_read && !text.is_empty());
            let Some(text) = text else { return };
            match missing.presence(text.as_bytes()) {
                Presence::Missing if stored.kind() == Kind::Spelling => {}
                Presence::Present | Presence::Missing => survey.candidates.add(text),
                Presence::MissingAmongNumbers => survey.has_weakly_missing = true,
            }
        });
        survey
    }

    /// Whether the column has no value, or nearly all are numbers and the others mistakes.
    fn is_nearly_number(&self, kind: Kind) -> bool {
        let candidates = &self.candidates;
        let others = candidates.cells() - candidates.numbers() - candidates.infinities();
        match candidates.cells() {
            0 => !self.has_weakly_missing,
            cells => kind == Kind::Spelling && others.saturating_mul(NEARLY_ALL) <= cells,
        }
    }
}
