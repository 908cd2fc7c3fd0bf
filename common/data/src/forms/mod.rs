//! In which form the cells of a whole column of text are written, and how to read them then.
//!
//! One cell does not tell: `1,234` is a number in two conventions, and `01/02/2024` is a date with
//! either part first. So [`Candidates`] looks at every cell. There are 48 forms, and each has a
//! bit. A column starts with all bits, and a cell clears the bits of the forms that it does not
//! fit, which are those whose [`Form::parse`] fails. The lowest bit left is the form of the column;
//! if none is left, the column is text. So the result does not depend on the order of the cells,
//! and every cell of the column can be read in it. Worked example:
//!
//! | cell | forms left |
//! |---|---|
//! | `1,234` | commas between thousands, and all conventions with a decimal comma |
//! | `0,5` | all conventions with a decimal comma, because a group of thousands has three digits |
//! | `1.000,25` | points between thousands and a decimal comma |
//!
//! Cells are trimmed and not empty, and missing values are not shown to this module. It does no
//! I/O.

mod dates;
mod numbers;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub(crate) use dates::{DateForm, Separator, date_parts, format_date};
pub(crate) use numbers::{NumberForm, quick};

use numbers::NumberFault;

/// How every cell of a column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Form {
    Number(NumberForm),
    /// Two words for 1 and 0, in any case.
    Boolean(BooleanForm),
    /// Read as days since 1970-01-01 00:00 UTC, with the time as a fraction.
    Date(DateForm),
}

/// The words of a column of booleans; the first one is read as 1. A column uses one pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BooleanForm {
    TrueFalse,
    YesNo,
    TF,
    YN,
    OnOff,
}

/// A number such as 1.5.
pub(crate) const PLAIN: Form = Form::Number(NumberForm::PLAIN);
/// True or false, in any case.
pub(crate) const TRUE_FALSE: Form = Form::Boolean(BooleanForm::TrueFalse);
/// A date such as 2024-12-31.
pub(crate) const ISO_DATE: Form = Form::Date(DateForm::YearMonthDay(Separator::Dash));

/// Why a cell cannot be read in the form of its column. The text continues a sentence that begins
/// with the cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CellFault {
    /// The cell is written in another way, or is a date that does not exist.
    #[error("does not fit the form of its column: expected {form}")]
    Misfit {
        /// The form of the column.
        form: Form,
    },
    /// An infinity in words, in a column of plain numbers.
    #[error("is not finite: give a number, or remove the row")]
    Infinite,
    /// A number that is infinite as an f64.
    #[error("is too large for a 64-bit float: expected a number from -1.79e308 to 1.79e308")]
    OutOfRange,
}

/// The forms in which all cells so far are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidates {
    /// The forms that every cell fits, as bits; see [`Form::nth`].
    possible: u64,
    cells: u64,
    plain_numbers: u64,
    infinities: u64,
}

/// Two readings of a column that give different values, and between which no cell decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ambiguity {
    /// The form that the column gets.
    pub(crate) chosen: Form,
    /// The form that every cell fits as well.
    pub(crate) other: Form,
}

/// The first bit of the booleans, after those of the numbers.
const BOOLEANS: u32 = numbers::COUNT;
/// The first bit of the dates, after those of the booleans.
const DATES: u32 = BOOLEANS + 5;
/// The number of all forms.
const FORMS: u32 = DATES + 15;

impl Candidates {
    pub(crate) const fn new() -> Self {
        Self { possible: (1 << FORMS) - 1, cells: 0, plain_numbers: 0, infinities: 0 }
    }

    /// Takes the next cell into account. It must be trimmed and not empty.
    ///
    /// In a column of plain numbers, it parses one f64. Until a cell shows that points do not
    /// separate thousands, it also looks at the point of every number.
    pub(crate) fn add(&mut self, cell: &str) {
        self.cells += 1;
        match numbers::plain(cell) {
            Ok(_) => {
                self.plain_numbers += 1;
                // A plain number fits all these forms, so it excludes none of them.
                if self.possible & !numbers::POINT != 0 {
                    self.possible &= numbers::fits_of_plain(cell);
                }
            }
            Err(NumberFault::Infinite | NumberFault::OutOfRange) => {
                self.infinities += 1;
                self.possible = 0;
            }
            Err(NumberFault::NotNumber) => self.exclude_misfits(cell),
        }
    }

    /// The form that every cell so far fits. `None` if the column is text, or has no cell yet. Of
    /// several forms, numbers are preferred to booleans and booleans to dates; see
    /// [`ambiguity`](Self::ambiguity).
    pub(crate) fn form(&self) -> Option<Form> {
        if self.cells == 0 { None } else { Form::first(self.possible) }
    }

    /// The second reading of the column, for a note to the user. `None` if there is no second form
    /// that every cell fits, or it gives the same values.
    ///
    /// Whole numbers fit a decimal comma as well, with the same values. Dates such as `01/02/2024`
    /// are ambiguous even if the day equals the month in every cell, because later data can differ.
    pub(crate) fn ambiguity(&self) -> Option<Ambiguity> {
        let chosen = self.form()?;
        let other = Form::first(self.possible & chosen.rivals())?;
        Some(Ambiguity { chosen, other })
    }

    /// How many cells were shown.
    pub(crate) const fn cells(&self) -> u64 {
        self.cells
    }

    /// How many cells are plain and finite numbers such as 1.5 or 2e-3. If they are nearly all
    /// cells of a column of text, the others are probably mistakes.
    pub(crate) const fn numbers(&self) -> u64 {
        self.plain_numbers
    }

    /// How many cells are infinite: in words, or as a plain number that is too large for an f64.
    /// One such cell makes the column text.
    pub(crate) const fn infinities(&self) -> u64 {
        self.infinities
    }

    fn exclude_misfits(&mut self, cell: &str) {
        let number_bits = (1 << numbers::COUNT) - 1;
        let numbers = self.possible & number_bits;
        let mut fitting = if numbers == 0 { 0 } else { numbers::fits(cell, numbers) };
        let mut untried = self.possible & !number_bits;
        while let Some(form) = Form::first(untried) {
            let bit = untried & untried.wrapping_neg();
            if form.parse(cell).is_ok() {
                fitting |= bit;
            }
            untried &= !bit;
        }
        self.possible = fitting;
    }
}

impl Form {
    /// The value of a cell. Numbers are finite, percentages are fractions, booleans are 1 or 0, and
    /// dates are days since 1970-01-01 00:00 UTC.
    ///
    /// # Errors
    /// The cell is not written in this form; see [`CellFault`].
    pub(crate) fn parse(self, cell: &str) -> Result<f64, CellFault> {
        let misfit = CellFault::Misfit { form: self };
        match self {
            Self::Number(form) => form.parse(cell).map_err(|fault| match fault {
                NumberFault::NotNumber => misfit,
                NumberFault::Infinite => CellFault::Infinite,
                NumberFault::OutOfRange => CellFault::OutOfRange,
            }),
            Self::Boolean(form) => form.parse(cell).ok_or(misfit),
            Self::Date(form) => form.parse(cell).ok_or(misfit),
        }
    }

    /// The form of a bit. Of two forms that fit a column, the one with the lower bit is preferred.
    fn nth(bit: u32) -> Option<Self> {
        if let Some(form) = NumberForm::nth(bit) {
            return Some(Self::Number(form));
        }
        let at = |start: u32| usize::try_from(bit.checked_sub(start)?).ok();
        let boolean = at(BOOLEANS).and_then(|i| BooleanForm::ALL.get(i));
        let date = at(DATES).and_then(|i| DateForm::ALL.get(i));
        boolean.map(|&form| Self::Boolean(form)).or_else(|| date.map(|&form| Self::Date(form)))
    }

    /// The form of the lowest of some bits.
    fn first(bits: u64) -> Option<Self> {
        if bits == 0 { None } else { Self::nth(bits.trailing_zeros()) }
    }

    /// The forms, as bits, that give other values than this one if a column fits both.
    fn rivals(self) -> u64 {
        match self {
            Self::Number(form) => form.rivals(),
            Self::Boolean(_) => 0,
            Self::Date(form) => {
                let place = |rival| DateForm::ALL.iter().position(|&other| other == rival);
                form.rival().and_then(place).map_or(0, |place| (1 << DATES) << place)
            }
        }
    }
}

impl BooleanForm {
    const ALL: [Self; 5] = [Self::TrueFalse, Self::YesNo, Self::TF, Self::YN, Self::OnOff];

    /// The words for 1 and for 0.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::TrueFalse => ("true", "false"),
            Self::YesNo => ("yes", "no"),
            Self::TF => ("t", "f"),
            Self::YN => ("y", "n"),
            Self::OnOff => ("on", "off"),
        }
    }

    fn parse(self, cell: &str) -> Option<f64> {
        let (one, zero) = self.words();
        if cell.eq_ignore_ascii_case(one) {
            Some(1.0)
        } else if cell.eq_ignore_ascii_case(zero) {
            Some(0.0)
        } else {
            None
        }
    }
}

/// A description for the user, with an example: `dates such as 31/12/2024 (day first)`.
impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(form) => form.fmt(f),
            Self::Boolean(form) => {
                let (one, zero) = form.words();
                write!(f, "{one} or {zero}")
            }
            Self::Date(form) => form.fmt(f),
        }
    }
}

/// A sentence for the user, without a full stop.
impl fmt::Display for Ambiguity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chosen, other } = self;
        write!(f, "Caviar reads the column as {chosen}; every cell also fits {other}")
    }
}
