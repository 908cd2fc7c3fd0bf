//! The labels of a table.

use std::collections::HashSet;

use caviar_common::data::{DataNote, Task};

use super::{Bad, Kind, Place, Stored, checked, of_cell};
use crate::delimited::{MissingTexts, Presence};
use crate::error::{DataError, shown};
use crate::fault::Fault;
use crate::forms::{Candidates, Form, NumberForm};
use crate::labels::Labels;
use crate::table::warning;
use crate::task_rule::{MOST_COUNTED, NumericLabels, is_regression};

/// The labels of the rows that have one.
pub(crate) struct Label {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    /// Whether each row of the file has a label. The others are left out.
    pub(super) is_labelled: Vec<bool>,
    pub(super) notes: Vec<DataNote>,
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
    let mut label = Label {
        name: place.column.to_owned(),
        labels: if is_number { Labels::values(1) } else { Labels::classes() },
        is_labelled: survey.is_labelled,
        notes: note.into_iter().collect(),
    };
    let read = match stored.kind() {
        Kind::Text | Kind::Spelling if is_number => {
            let form = survey.candidates.form().filter(|form| matches!(form, Form::Number(_)));
            let form = form.unwrap_or(Form::Number(NumberForm::PLAIN));
            let parse = |text: &str| form.parse(text).map_err(of_cell).and_then(checked);
            label.push_texts(stored, |labels, text| {
                parse(text).map(|value| labels.push_value(value))
            })
        }
        Kind::Number | Kind::Boolean | Kind::Date if is_number => label.push_numbers(stored),
        Kind::Number => label.push_texts(stored, |labels, text| {
            // A class has the name that its number has. Infinity is not a number here.
            match text.parse::<f64>() {
                Ok(value) if value.is_infinite() => checked(value).map(|_| ()),
                _ => labels.push_class(text),
            }
        }),
        Kind::Boolean | Kind::Date | Kind::Text | Kind::Spelling => {
            label.push_texts(stored, Labels::push_class)
        }
    };
    read.map_err(|bad| bad.into_error(place, stored, 0))?;
    label.note_unlabelled();
    Ok(label)
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

    /// The labels, the name of the label, and what the user should know of it.
    pub(crate) fn into_parts(self) -> (Labels, String, Vec<DataNote>) {
        (self.labels, self.name, self.notes)
    }

    fn push_texts(
        &mut self,
        stored: &dyn Stored,
        push: impl Fn(&mut Labels, &str) -> Result<(), Fault>,
    ) -> Result<(), Bad> {
        let (mut row, mut bad) = (0, None);
        stored.texts(&mut |text| {
            let has_label = self.is_labelled.get(row).copied().unwrap_or_default();
            if let (true, None, Some(text)) = (has_label, &bad, text)
                && let Err(fault) = push(&mut self.labels, text.trim())
            {
                bad = Some(Bad { row, fault });
            }
            row += 1;
        });
        bad.map_or(Ok(()), Err)
    }

    fn push_numbers(&mut self, stored: &dyn Stored) -> Result<(), Bad> {
        let (mut row, mut bad) = (0, None);
        stored.numbers(&mut |value| {
            let has_label = self.is_labelled.get(row).copied().unwrap_or_default();
            if has_label && bad.is_none() {
                match checked(value) {
                    Ok(value) => self.labels.push_value(value),
                    Err(fault) => bad = Some(Bad { row, fault }),
                }
            }
            row += 1;
        });
        bad.map_or(Ok(()), Err)
    }

    fn note_unlabelled(&mut self) {
        let unlabelled = self.is_labelled.iter().filter(|is_labelled| !**is_labelled).count();
        if unlabelled > 0 {
            let text = format!(
                "{unlabelled} row{} no value in {:?} and {} left out",
                if unlabelled == 1 { " has" } else { "s have" },
                shown(&self.name),
                if unlabelled == 1 { "is" } else { "are" },
            );
            self.notes.push(warning("rows_without_label", &[&self.name], text));
        }
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
