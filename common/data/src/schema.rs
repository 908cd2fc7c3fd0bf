//! What a model knows about tables: which columns it needs, and what it makes of them.
//!
//! A [`Schema`] is fitted on the training split and stored with the model, so that raw rows of any
//! later table become the inputs that the network was trained on.

use caviar_common::data::{ColumnType, Task};
use caviar_common::numbers::to_u32;
use serde::{Deserialize, Serialize};

use crate::encode::{Encoder, Encoding};
use crate::forms::{DateForm, Form};
use crate::missing::{MISSING, MISSING_AMONG_NUMBERS};
use crate::standard::Standard;

/// From raw rows to the inputs of a network, and from its outputs to predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schema {
    /// The columns that are inputs, in order; empty for images.
    pub columns: Vec<InputColumn>,
    /// Height and width of the images; `None` for a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixels: Option<[usize; 2]>,
    /// What each column or pixel becomes.
    pub encoder: Encoder,
    /// The column that is predicted; of several, the first.
    pub label: Label,
    /// The other columns that are predicted, all of them numbers, in the order of the outputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_labels: Vec<Label>,
    /// Texts that stand for a missing value, next to the usual ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

/// A column that is an input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputColumn {
    /// Its name in the header.
    pub name: String,
    /// What its values are.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// How its cells are written in a text file; `None` for text, and if the file of the training
    /// stored numbers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) form: Option<Form>,
    /// The texts of a category, sorted by their bytes; empty for the other types. The encoding
    /// counts values in this order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub categories: Vec<String>,
}

/// The column that is predicted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// Its name in the header.
    pub name: String,
    /// The names of the classes in the order of the outputs; empty for regression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<String>,
    /// Mean and deviation of the numbers in the training split, with which an output becomes a
    /// number of the label's units; `None` for classification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standard: Option<Standard>,
    /// How its numbers are written in a text file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) form: Option<Form>,
}

impl InputColumn {
    /// How its cells are written in a text file, as a phrase such as `dates such as 2024-12-31`;
    /// `None` for text, and if the file of the training stored numbers.
    pub fn written(&self) -> Option<String> {
        self.form.map(|form| form.to_string())
    }

    /// Whether its dates are times of day without a date.
    pub fn is_time_of_day(&self) -> bool {
        self.form == Some(Form::Date(DateForm::TimeOfDay))
    }

    /// Whether its dates are written with the day before the month, as numbers.
    pub const fn has_day_first(&self) -> bool {
        matches!(self.form, Some(Form::Date(DateForm::DayMonthYear(_))))
    }
}

impl Schema {
    /// The kind of prediction.
    pub const fn task(&self) -> Task {
        match self.label.standard {
            None => Task::Classification,
            Some(_) => Task::Regression,
        }
    }

    /// The number of inputs of the network.
    pub fn width(&self) -> usize {
        self.encoder.width()
    }

    /// The number of outputs of the network: of classes, or for regression of labels.
    pub fn outputs(&self) -> u32 {
        to_u32(self.label.classes.len()).max(1).saturating_add(to_u32(self.more_labels.len()))
    }

    /// The columns that are predicted, in the order of the outputs: one, or several for regression.
    pub fn labels(&self) -> impl Iterator<Item = &Label> {
        std::iter::once(&self.label).chain(&self.more_labels)
    }

    /// Mean and deviation of each output; empty for classification.
    pub fn standards(&self) -> Vec<Standard> {
        self.labels().filter_map(|label| label.standard).collect()
    }

    /// The texts that stand for a missing value in a column of texts.
    pub fn missing_texts(&self) -> impl Iterator<Item = &str> {
        self.missing.iter().map(|text| text.trim()).chain(MISSING)
    }

    /// The texts that stand for a missing value among numbers, booleans and dates.
    pub fn missing_among_numbers(&self) -> impl Iterator<Item = &str> {
        self.missing_texts().chain(MISSING_AMONG_NUMBERS)
    }

    /// What each column becomes, in the order of the columns; empty for images.
    pub fn encodings(&self) -> &[Encoding] {
        match &self.encoder {
            Encoder::Columns(encodings) => encodings,
            Encoder::Pixels(_) => &[],
        }
    }
}
