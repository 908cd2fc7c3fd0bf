//! The labels of a table: one column, or several of numbers.

use std::collections::HashSet;

use caviar_common::data::{DataNote, Task};

use super::{Bad, Kind, Place, Stored, checked, of_cell};
use crate::delimited::{MissingTexts, Presence};
use crate::error::{DataError, shown};
use crate::fault::Fault;
use crate::file_error::FileError;
use crate::forms::{Candidates, Form, PLAIN};
use crate::labels::{Labels, by_rows};
use crate::table::{LabelColumn, rows_without_label};
use crate::task_rule::{MOST_COUNTED, NumericLabels, is_regression};

/// The labels of the rows that have one.
pub(crate) struct Label {
    pub(crate) name: String,
    /// The further columns to predict.
    pub(crate) more: Vec<LabelColumn>,
    pub(crate) labels: Labels,
    /// Whether each row of the file has a label. The others are left out.
    pub(super) is_labelled: Vec<bool>,
    pub(crate) notes: Vec<DataNote>,
}

/// Reads the columns to predict, each with its name. `field` names them in the sweep file.
///
/// # Errors
/// Those of [`read_label`], and of several labels one that is not a number.
pub(crate) fn read_labels<S: Stored>(
    columns: &[(&str, S)],
    (field, path): (&'static str, &str),
    task: Option<Task>,
) -> Result<Label, DataError> {
    match columns {
        [(column, stored)] => read_label(stored, Place { field, path, column }, task),
        several => read_several(several, (field, path)),
    }
}

/// Reads the column to predict, by the rules of text files: the task follows from the labels unless
/// it is given, and a row without a label is left out.
///
/// # Errors
/// A label that is not a number in regression, more classes than the limit, or a long name of one.
pub(crate) fn read_label(
    stored: &dyn Stored,
    place: Place<'_>,
    task: Option<Task>,
) -> Result<Label, DataError> {
    let survey = Survey::of(stored);
    let (is_number, note) = is_regression(task, place.column, survey.numeric(stored.kind()));
    let is_labelled = &survey.is_labelled;
    let mut labels = if is_number { Labels::values(1) } else { Labels::classes() };
    let read = match stored.kind() {
        Kind::Number if !is_number => texts(stored, is_labelled, |text| {
            // A class has the name that its number has. Infinity is not a number here.
            match text.parse::<f64>() {
                Ok(value) if value.is_infinite() => checked(value).map(|_| ()),
                _ => labels.push_class(text),
            }
        }),
        Kind::Boolean | Kind::Date | Kind::Text | Kind::Spelling if !is_number => {
            texts(stored, is_labelled, |text| labels.push_class(text))
        }
        Kind::Number | Kind::Boolean | Kind::Date | Kind::Text | Kind::Spelling => {
            numbers(stored, survey.form(), is_labelled, |value| labels.push_value(value))
        }
    };
    read.map_err(|bad| bad.into_error(place, stored, 0))?;
    let mut notes: Vec<DataNote> = note.into_iter().collect();
    notes.extend(rows_without_label(&[place.column], unlabelled(is_labelled), is_labelled.len()));
    let (name, is_labelled) = (place.column.to_owned(), survey.is_labelled);
    Ok(Label { name, more: Vec::new(), labels, is_labelled, notes })
}

/// Reads several columns of numbers. A row that lacks one of them is left out.
fn read_several<S: Stored>(
    columns: &[(&str, S)],
    (field, path): (&'static str, &str),
) -> Result<Label, DataError> {
    let (mut is_labelled, mut forms) = (Vec::new(), Vec::with_capacity(columns.len()));
    for (column, stored) in columns {
        check_numbers(stored, Place { field, path, column })?;
        let survey = Survey::of(stored);
        forms.push(survey.form());
        merge(&mut is_labelled, survey.is_labelled);
    }
    let mut all = Vec::with_capacity(columns.len());
    for ((column, stored), form) in columns.iter().zip(forms) {
        let mut values = Vec::new();
        numbers(stored, form, &is_labelled, |value| values.push(value))
            .map_err(|bad| bad.into_error(Place { field, path, column }, stored, 0))?;
        all.push(values);
    }
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let mut labels = names.iter().map(|&name| LabelColumn { name: name.to_owned(), form: None });
    Ok(Label {
        name: labels.next().map(|first| first.name).unwrap_or_default(),
        more: labels.collect(),
        labels: Labels::Values { outputs: columns.len(), all: by_rows(&all) },
        notes: rows_without_label(&names, unlabelled(&is_labelled), is_labelled.len())
            .into_iter()
            .collect(),
        is_labelled,
    })
}

/// Refuses a column of booleans or dates. Text can be written as numbers.
pub(crate) fn check_numbers(stored: &dyn Stored, place: Place<'_>) -> Result<(), DataError> {
    let found = match stored.kind() {
        Kind::Boolean => "booleans",
        Kind::Date => "dates or times",
        Kind::Number | Kind::Text | Kind::Spelling => return Ok(()),
    };
    let (field, path, column) = (place.field, place.path.to_owned(), shown(place.column));
    Err(FileError::LabelKind { field, path, column, found }.into())
}

/// Keeps the rows that have this label too. `all` is empty before the first one.
pub(crate) fn merge(all: &mut Vec<bool>, one: Vec<bool>) {
    if all.is_empty() {
        *all = one;
    } else {
        all.iter_mut().zip(one).for_each(|(all, one)| *all &= one);
    }
}

fn unlabelled(is_labelled: &[bool]) -> usize {
    is_labelled.iter().filter(|is_labelled| !**is_labelled).count()
}

/// Passes the number of each row that has a label. `form` is how text is written.
fn numbers(
    stored: &dyn Stored,
    form: Form,
    is_labelled: &[bool],
    mut push: impl FnMut(f64),
) -> Result<(), Bad> {
    if matches!(stored.kind(), Kind::Text | Kind::Spelling) {
        let parse = |text: &str| form.parse(text).map_err(of_cell).and_then(checked);
        return texts(stored, is_labelled, |text| parse(text).map(&mut push));
    }
    let (mut row, mut bad) = (0, None);
    stored.numbers(&mut |value| {
        if is_labelled.get(row).copied().unwrap_or_default() && bad.is_none() {
            match checked(value) {
                Ok(value) => push(value),
                Err(fault) => bad = Some(Bad { row, fault }),
            }
        }
        row += 1;
    });
    bad.map_or(Ok(()), Err)
}

/// Passes the text of each row that has a label.
fn texts(
    stored: &dyn Stored,
    is_labelled: &[bool],
    mut push: impl FnMut(&str) -> Result<(), Fault>,
) -> Result<(), Bad> {
    let (mut row, mut bad) = (0, None);
    stored.texts(&mut |text| {
        let has_label = is_labelled.get(row).copied().unwrap_or_default();
        if let (true, None, Some(text)) = (has_label, &bad, text)
            && let Err(fault) = push(text.trim())
        {
            bad = Some(Bad { row, fault });
        }
        row += 1;
    });
    bad.map_or(Ok(()), Err)
}

impl Label {
    /// Whether each row of the files has a label.
    pub(crate) fn is_labelled(&self) -> &[bool] {
        &self.is_labelled
    }

    /// Removes the rows that have no label from the items of a file. A row has `width` items.
    pub(crate) fn retain_rows<T>(&self, items: &mut Vec<T>, width: usize) {
        let mut item = 0;
        items.retain(|_| {
            let row = item / width.max(1);
            item += 1;
            self.is_labelled.get(row).copied().unwrap_or_default()
        });
    }
}

/// What one pass over the labels finds.
struct Survey {
    /// Whether each row has a label.
    is_labelled: Vec<bool>,
    /// The forms of the labels, if they are text.
    candidates: Candidates,
    /// At most [`MOST_COUNTED`] different labels.
    different: HashSet<Box<str>>,
}

impl Survey {
    fn of(stored: &dyn Stored) -> Self {
        let missing = MissingTexts::new(&[]);
        let is_spelling = stored.kind() == Kind::Spelling;
        let mut survey = Self {
            is_labelled: Vec::new(),
            candidates: Candidates::new(),
            different: HashSet::new(),
        };
        stored.texts(&mut |text| {
            let text = text.map(str::trim).filter(|text| !text.is_empty());
            let presence = |text: &&str| {
                !is_spelling || missing.presence(text.as_bytes()) != Presence::Missing
            };
            let text = text.filter(presence);
            survey.is_labelled.push(text.is_some());
            let Some(text) = text else { return };
            if matches!(stored.kind(), Kind::Text | Kind::Spelling) {
                survey.candidates.add(text);
            }
            if survey.different.len() < MOST_COUNTED && !survey.different.contains(text) {
                survey.different.insert(text.into());
            }
        });
        survey
    }

    /// How the numbers are written, if they are text.
    fn form(&self) -> Form {
        let form = self.candidates.form().filter(|form| matches!(form, Form::Number(_)));
        form.unwrap_or(PLAIN)
    }

    /// What the task depends on; `None` if the labels are not numbers.
    fn numeric(&self, kind: Kind) -> Option<NumericLabels> {
        match kind {
            Kind::Number => NumericLabels::of(&self.different, |text| text.parse().ok()),
            Kind::Boolean | Kind::Date | Kind::Text => None,
            Kind::Spelling => {
                let form = self.candidates.form().filter(|form| matches!(form, Form::Number(_)))?;
                NumericLabels::of(&self.different, |text| form.parse(text).ok())
            }
        }
    }
}
