//! One cell of a text file, read as the schema says.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use caviar_common::data::ColumnType;
use caviar_common::numbers::to_u64;

use crate::delimited::{MissingTexts, Presence, number};
use crate::encode::UNKNOWN;
use crate::fault::Fault;
use crate::forms::{Form, ISO_DATE, PLAIN, TRUE_FALSE};
use crate::schema::{InputColumn, Label, Schema};

use super::batch::Truth;
use super::counts::ReadCounts;

/// How the cells of one column become values.
pub(super) enum CellReader<'s> {
    Value(Form),
    /// The code of each text.
    Category(Codes<'s>),
}

impl<'s> CellReader<'s> {
    pub(super) fn new(column: &'s InputColumn) -> Self {
        match column.kind {
            ColumnType::Category => Self::Category(codes(&column.categories)),
            ColumnType::Number | ColumnType::Boolean | ColumnType::Date => {
                Self::Value(form(column))
            }
        }
    }

    /// The value of a cell, by the rules of the training: NaN for a missing one, and [`UNKNOWN`]
    /// for a category that the training did not have.
    pub(super) fn read(&self, cell: &[u8], missing: &MissingTexts) -> Result<f64, Fault> {
        // Only a text that the user calls missing can also be a value. So the others are compared
        // with the missing texts only if they are not one, which is rare.
        if missing.has_own() && missing.presence(cell) == Presence::Missing {
            return Ok(f64::NAN);
        }
        match self {
            Self::Value(form) => match number(*form, cell) {
                Err(_) if missing.presence(cell) != Presence::Present => Ok(f64::NAN),
                value => value,
            },
            Self::Category(codes) => Ok(match codes.get(cell) {
                Some(code) => f64::from(*code),
                None if missing.presence(cell) == Presence::Missing => f64::NAN,
                None => UNKNOWN,
            }),
        }
    }
}

/// How the cells of a column are written: as in the training, or as usual if that file did not have
/// text.
pub(super) fn form(column: &InputColumn) -> Form {
    column.form.unwrap_or(match column.kind {
        ColumnType::Number | ColumnType::Category => PLAIN,
        ColumnType::Boolean => TRUE_FALSE,
        ColumnType::Date => ISO_DATE,
    })
}

/// The place of each text of a category.
pub(super) type Codes<'s> = HashMap<&'s [u8], u32, BuildHasherDefault<TextHasher>>;

/// The place of each text.
pub(super) fn codes(texts: &[String]) -> Codes<'_> {
    texts.iter().map(String::as_bytes).zip(0..).collect()
}

/// A quick hash of short texts. The keys are those of the model, so nobody can choose them to
/// collide. It multiplies by 2^64 divided by the golden ratio, after Knuth (volume 3, section 6.4).
#[derive(Default)]
pub(super) struct TextHasher(u64);

impl TextHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for TextHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| self.add(u64::from_le_bytes(*word)));
        self.add(rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
    }

    fn write_usize(&mut self, length: usize) {
        self.add(to_u64(length));
    }

    fn finish(&self) -> u64 {
        // The table takes its place from the low bits and a tag from the high ones.
        self.0 ^ self.0 >> 32
    }
}

/// How the cells of the label become classes or numbers.
pub(super) enum LabelReader<'s> {
    Classes(Codes<'s>),
    Values(Form),
}

impl<'s> LabelReader<'s> {
    pub(super) fn new(label: &'s Label) -> Self {
        match label.standard {
            None => Self::Classes(codes(&label.classes)),
            Some(_) => Self::Values(label.form.unwrap_or(PLAIN)),
        }
    }

    /// No labels yet.
    pub(super) const fn empty(&self) -> Truth {
        match self {
            Self::Classes(_) => Truth::Classes(Vec::new()),
            Self::Values(_) => Truth::Values(Vec::new()),
        }
    }

    pub(super) const fn has_numbers(&self) -> bool {
        matches!(self, Self::Values(_))
    }

    /// Whether the cell is the name of a class.
    pub(super) fn knows(&self, cell: &[u8]) -> bool {
        match self {
            Self::Classes(codes) => codes.contains_key(cell),
            Self::Values(_) => false,
        }
    }

    /// Adds the label of the next row. A class that the model does not know is counted.
    pub(super) fn push(
        &self,
        cell: &[u8],
        truth: &mut Truth,
        counts: &mut ReadCounts,
    ) -> Result<(), Fault> {
        match (self, truth) {
            (Self::Classes(codes), Truth::Classes(classes)) => {
                let class = codes.get(cell).copied();
                counts.unknown_classes += u64::from(class.is_none());
                classes.push(class);
            }
            (Self::Values(form), Truth::Values(values)) => {
                values.push(number(*form, cell)?);
            }
            // The truth is of the label's kind.
            (Self::Classes(_), Truth::Values(_)) | (Self::Values(_), Truth::Classes(_)) => {}
        }
        Ok(())
    }
}

/// An empty list of the labels of a model, if they are asked for.
pub(super) fn empty_truth(schema: &Schema, needs_label: bool) -> Option<Truth> {
    needs_label.then(|| match schema.label.standard {
        None => Truth::Classes(Vec::new()),
        Some(_) => Truth::Values(Vec::new()),
    })
}
