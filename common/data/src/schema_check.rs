//! Whether the parts of a schema fit each other. One that was fitted does; one that was read from a
//! file may not.

use std::collections::BTreeSet;

use caviar_common::data::ColumnType;
use caviar_common::limits::MAX_LABELS;
use caviar_common::numbers::index;

use crate::embedded::Embedded;
use crate::encode::{Encoder, Encoding, Number, OneHot};
use crate::limits::{
    MAX_CATEGORIES, MAX_CLASSES, MAX_EMBEDDED_VALUES, MAX_FEATURES, MAX_LABEL_BYTES, MAX_ONE_HOT,
};
use crate::schema::{InputColumn, Label, Schema};
use crate::standard::Standard;

/// What is wrong with a schema. The text continues a sentence that begins with the schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SchemaFault {
    /// Columns and pixels do not go together with the encoder.
    #[error("has another number of columns or pixels than its encoder")]
    Inputs,
    /// The network would have no input, or more than the limit.
    #[error("makes {width} inputs: expected 1 to {MAX_FEATURES}")]
    Width {
        /// The number of inputs.
        width: usize,
    },
    /// Two columns have one name.
    #[error("has the column {name:?} twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// A column does not fit its encoding.
    #[error("has a column {name:?} whose {part}")]
    Column {
        /// The name of the column.
        name: String,
        /// What is wrong, as the end of the sentence.
        part: &'static str,
    },
    /// The means or deviations of the pixels.
    #[error("has a mean or deviation of a pixel that is not a finite number")]
    Pixels,
    /// The label.
    #[error("has a label whose {part}")]
    Label {
        /// What is wrong, as the end of the sentence.
        part: &'static str,
    },
}

impl Schema {
    /// Checks that the parts of the schema fit each other, so that encoding cannot go wrong.
    ///
    /// # Errors
    /// The first fault.
    pub fn check(&self) -> Result<(), SchemaFault> {
        match &self.encoder {
            Encoder::Columns(encodings) => self.check_columns(encodings)?,
            Encoder::Pixels(standards) => self.check_pixels(standards)?,
        }
        let width = self.width();
        if width == 0 || width > MAX_FEATURES {
            return Err(SchemaFault::Width { width });
        }
        check_label(&self.label)?;
        self.check_more_labels()
    }

    fn check_more_labels(&self) -> Result<(), SchemaFault> {
        if self.more_labels.is_empty() {
            return Ok(());
        }
        let names: BTreeSet<&str> = self.labels().map(|label| label.name.as_str()).collect();
        let count = self.more_labels.len() + 1;
        let part = if self.labels().any(|label| label.standard.is_none()) {
            "columns are several, and not all of them numbers"
        } else if names.len() < count {
            "columns repeat"
        } else if count > MAX_LABELS {
            "columns are more than the limit"
        } else {
            return self.more_labels.iter().try_for_each(check_label);
        };
        Err(SchemaFault::Label { part })
    }

    fn check_columns(&self, encodings: &[Encoding]) -> Result<(), SchemaFault> {
        if self.pixels.is_some() || encodings.len() != self.columns.len() {
            return Err(SchemaFault::Inputs);
        }
        let mut names = BTreeSet::new();
        for (column, encoding) in self.columns.iter().zip(encodings) {
            let name = column.name.as_str();
            if !names.insert(name) {
                return Err(SchemaFault::Twice { name: name.to_owned() });
            }
            check_column(column, encoding)
                .map_err(|part| SchemaFault::Column { name: name.to_owned(), part })?;
        }
        Ok(())
    }

    fn check_pixels(&self, standards: &[Standard]) -> Result<(), SchemaFault> {
        let count = self.pixels.and_then(|[height, width]| height.checked_mul(width));
        if count != Some(standards.len()) || !self.columns.is_empty() {
            return Err(SchemaFault::Inputs);
        }
        if standards.iter().all(is_finite) { Ok(()) } else { Err(SchemaFault::Pixels) }
    }
}

/// What is wrong with a column.
fn check_column(column: &InputColumn, encoding: &Encoding) -> Result<(), &'static str> {
    let categories = &column.categories;
    if column.kind != ColumnType::Category && !categories.is_empty() {
        return Err("type has no categories, but it lists some");
    }
    if categories.len() > MAX_CATEGORIES {
        return Err("categories are more than the limit");
    }
    if !categories.is_sorted_by(|a, b| a < b) {
        return Err("categories are not sorted, or repeat");
    }
    match (column.kind, encoding) {
        (ColumnType::Number, Encoding::Number { number }) => check_number(number),
        (ColumnType::Boolean, Encoding::Binary { positive, .. }) if *positive <= 1 => Ok(()),
        (ColumnType::Category, Encoding::Binary { positive, .. })
            if index(*positive) < categories.len() =>
        {
            Ok(())
        }
        (ColumnType::Category, Encoding::OneHot(one_hot)) => check_one_hot(one_hot, categories),
        (ColumnType::Category, Encoding::Embedded(embedded)) => {
            check_embedded(embedded, categories)
        }
        (ColumnType::Date, Encoding::Date { days, .. }) => check_number(days),
        (ColumnType::Date, Encoding::Season { .. }) => Ok(()),
        (
            ColumnType::Number | ColumnType::Boolean | ColumnType::Category | ColumnType::Date,
            Encoding::Number { .. }
            | Encoding::Binary { .. }
            | Encoding::OneHot(_)
            | Encoding::Embedded(_)
            | Encoding::Date { .. }
            | Encoding::Season { .. },
        ) => Err("encoding does not fit its type"),
    }
}

fn check_number(number: &Number) -> Result<(), &'static str> {
    if is_finite(&number.standard) && number.median.is_finite() {
        Ok(())
    } else {
        Err("mean, deviation or median is not a finite number")
    }
}

fn is_finite(standard: &Standard) -> bool {
    standard.mean.is_finite() && standard.scale.is_finite() && standard.scale >= 0.0
}

fn check_one_hot(one_hot: &OneHot, categories: &[String]) -> Result<(), &'static str> {
    // One more than the limit, for the missing value.
    if index(one_hot.width) > MAX_ONE_HOT + 1 {
        return Err("inputs are more than the limit of a category");
    }
    if one_hot.slots.len() != categories.len() {
        return Err("encoding has another number of categories");
    }
    let slots = one_hot.slots.iter().chain([&one_hot.missing]).flatten();
    if slots.copied().all(|slot| slot < one_hot.width) {
        Ok(())
    } else {
        Err("encoding names an input that it does not have")
    }
}

fn check_embedded(embedded: &Embedded, categories: &[String]) -> Result<(), &'static str> {
    // Two more than the limit, for the missing value and for rare ones.
    if index(embedded.values) > MAX_EMBEDDED_VALUES + 2 {
        return Err("values are more than the limit of a category");
    }
    if embedded.numbers.len() != categories.len() {
        return Err("encoding has another number of categories");
    }
    if embedded.is_consistent() {
        Ok(())
    } else {
        Err("encoding has no values, or names one that it does not have")
    }
}

fn check_label(label: &Label) -> Result<(), SchemaFault> {
    let part = match &label.standard {
        Some(_) if !label.classes.is_empty() => "numbers have classes",
        Some(standard) if !is_finite(standard) => "mean or deviation is not a finite number",
        Some(_) => return Ok(()),
        None if label.classes.len() < 2 => "classes are fewer than 2",
        None if label.classes.len() > MAX_CLASSES => "classes are more than the limit",
        None if label.classes.iter().any(|name| name.len() > MAX_LABEL_BYTES) => {
            "classes have a name above the limit"
        }
        None if label.classes.iter().collect::<BTreeSet<_>>().len() < label.classes.len() => {
            "classes repeat"
        }
        None => return Ok(()),
    };
    Err(SchemaFault::Label { part })
}
