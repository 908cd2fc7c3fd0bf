//! From typed columns to the inputs of a network.
//!
//! An [`Encoder`] is fitted on the training split only, so nothing that it knows comes from the
//! rows that judge a model. What it makes of a column:
//!
//! - a number: (x - mean) / deviation, with the median where x is missing
//! - a boolean, or a category of two values: 1 and -1, and 0 where it is missing
//! - a category of at most [`MAX_ONE_HOT`] values: one-hot, that is 1 for its value and 0 for the
//!   others; a missing value is a value of its own
//! - a category of more values: the number of its value, as [`Embedded`] says
//! - a date: the days as a number; sine and cosine of the place in the year, the week and the day,
//!   as far as they vary
//! - a pixel of an image: (x - mean of the pixel) / deviation of all pixels
//!
//! A number, boolean or date with a missing value in the training split gets one more input: 1
//! where it is missing and 0 elsewhere. A column that is constant in the training split becomes 0.
//! A value that the training split does not have is 0 in all inputs of a one-hot category.

use std::f64::consts::TAU;

use caviar_common::data::ColumnType;
use caviar_common::numbers::{floor_to_usize, index, single, to_u32};
use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::cells::Cells;
use crate::embedded::{CategoryInput, Embedded};
use crate::error::DataError;
use crate::forms::date_parts;
use crate::inputs::Inputs;
use crate::limits::{MAX_EMBEDDED_VALUES, MAX_FEATURES, MAX_INPUTS, MAX_ONE_HOT};
use crate::pixels::Pixels;
use crate::standard::Standard;
use crate::table::{Column, Roles};

/// Rows that are encoded column by column before the next ones: their inputs stay in the cache
/// while all columns write to them.
pub(crate) const ROWS_AT_ONCE: usize = 256;

/// The code of a category that the data of the training did not have.
pub(crate) const UNKNOWN: f64 = f64::INFINITY;

/// What each column becomes, as the training split says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Encoder {
    /// What each column becomes.
    Columns(Vec<Encoding>),
    /// The mean of each pixel, and one deviation for all.
    Pixels(Vec<Standard>),
}

/// What one column becomes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Encoding {
    /// One input, and one more if the number has an indicator.
    Number {
        /// How it is standardised.
        number: Number,
    },
    /// One input: 1, -1 or, where the value is missing or unknown, 0.
    Binary {
        /// The value that becomes 1; every other one of the data becomes -1.
        positive: u32,
        /// Whether one more input says which values are missing.
        has_indicator: bool,
    },
    /// One input for each value.
    OneHot(OneHot),
    /// One input, the number of the value. It is not a quantity: a network has a vector for each.
    Embedded(Embedded),
    /// The days as a number, and then the parts. The median stands for a missing date.
    Date {
        /// Days since 1970-01-01.
        days: Number,
        /// The parts that repeat.
        parts: Parts,
    },
    /// The parts of a date that repeat, without the days; 0 for a missing date.
    Season {
        /// The parts that repeat.
        parts: Parts,
    },
}

/// A standardised number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Number {
    /// Mean and deviation in the training split.
    pub standard: Standard,
    /// Stands for a missing value if there is an indicator; otherwise the mean does.
    pub median: f64,
    /// Whether one more input says which values are missing.
    pub has_indicator: bool,
}

/// The inputs of a category.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneHot {
    /// The input of each value, by its index among the categories; `None` for one that the training
    /// split lacks. In models of early releases, rare values share an input.
    pub slots: Vec<Option<u32>>,
    /// The input of a missing value; `None` if all are 0 then.
    pub missing: Option<u32>,
    /// The number of inputs.
    pub width: u32,
}

/// Which parts of a date vary in the training split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    /// Sine and cosine of the place in the year.
    pub year: bool,
    /// Sine and cosine of the place in the week.
    pub week: bool,
    /// Sine and cosine of the place in the day.
    pub day: bool,
}

impl Encoder {
    /// Learns from the rows `train`, which are not empty.
    ///
    /// # Errors
    /// The columns become more inputs than the limit.
    pub(crate) fn fit(inputs: &Inputs, roles: &Roles, train: &[usize]) -> Result<Self, DataError> {
        let seasonal = roles.seasonal.as_deref();
        let encoder = match inputs {
            Inputs::Columns(columns) => {
                let fit = |column: &Column| {
                    let is_seasonal = seasonal == Some(column.name.as_str());
                    if is_seasonal && column.kind == ColumnType::Date {
                        Encoding::Season { parts: Parts::fit(&column.cells, train) }
                    } else {
                        Encoding::fit(column, train)
                    }
                };
                Self::Columns(columns.iter().map(fit).collect())
            }
            Inputs::Pixels(pixels) => Self::Pixels(standards_of(pixels, train)),
        };
        let (width, rows) = (encoder.width(), inputs.rows());
        if width > MAX_FEATURES || width.checked_mul(rows).is_none_or(|all| all > MAX_INPUTS) {
            return Err(DataError::ManyInputs { inputs: width, rows });
        }
        Ok(encoder)
    }

    /// The number of inputs of the network.
    pub fn width(&self) -> usize {
        match self {
            Self::Columns(encodings) => encodings.iter().map(Encoding::width).sum(),
            Self::Pixels(standards) => standards.len(),
        }
    }

    /// The inputs that are numbers or the days of dates, ascending. Indicators, categories and the
    /// parts of dates are not, nor are pixels.
    pub fn numbers(&self) -> Vec<usize> {
        let number = |(place, encoding): (usize, &Encoding)| match encoding {
            Encoding::Number { .. } | Encoding::Date { .. } => Some(place),
            Encoding::Binary { .. }
            | Encoding::OneHot(_)
            | Encoding::Embedded(_)
            | Encoding::Season { .. } => None,
        };
        self.first_inputs().filter_map(number).collect()
    }

    /// The inputs that are numbers of the values of a category, ascending.
    pub fn categories(&self) -> Vec<CategoryInput> {
        let category = |(place, encoding): (usize, &Encoding)| match encoding {
            Encoding::Embedded(embedded) => {
                Some(CategoryInput { place, values: index(embedded.values) })
            }
            Encoding::Number { .. }
            | Encoding::Binary { .. }
            | Encoding::OneHot(_)
            | Encoding::Date { .. }
            | Encoding::Season { .. } => None,
        };
        self.first_inputs().filter_map(category).collect()
    }

    /// The first input of each column, and how the column is encoded.
    fn first_inputs(&self) -> impl Iterator<Item = (usize, &Encoding)> {
        let encodings: &[Encoding] = match self {
            Self::Columns(encodings) => encodings,
            Self::Pixels(_) => &[],
        };
        encodings.iter().scan(0, |next, encoding| {
            let first = *next;
            *next += encoding.width();
            Some((first, encoding))
        })
    }

    /// The inputs of `rows`, `[rows, inputs]`. `inputs` has the columns that the encoder was fitted
    /// on.
    pub(crate) fn encode(&self, inputs: &Inputs, rows: &[usize]) -> Array2<f32> {
        let width = self.width();
        let mut out = Array2::zeros((rows.len(), width));
        let Some(cells) = out.as_slice_mut() else { return out };
        match (self, inputs) {
            (Self::Columns(encodings), Inputs::Columns(columns)) => {
                let chunks = cells.chunks_mut((ROWS_AT_ONCE * width).max(1));
                for (rows, cells) in rows.chunks(ROWS_AT_ONCE).zip(chunks) {
                    let mut first = 0;
                    for (encoding, column) in encodings.iter().zip(columns) {
                        let target = Target { cells, width, first };
                        encoding.write(rows.iter().map(|&row| column.cells.get(row)), target);
                        first += encoding.width();
                    }
                }
            }
            (Self::Pixels(_), Inputs::Pixels(pixels)) => {
                for (&row, cells) in rows.iter().zip(cells.chunks_mut(width.max(1))) {
                    self.encode_pixels(pixels.row(row), cells);
                }
            }
            // The caller encodes what it has fitted.
            (Self::Columns(_), Inputs::Pixels(_)) | (Self::Pixels(_), Inputs::Columns(_)) => {}
        }
        out
    }

    /// Sets the inputs `out`, `[rows, inputs]`, which are 0 before. `columns` has the values of
    /// each column in these rows, in the units of [`Column::cells`]; [`UNKNOWN`] is a category that
    /// the data of the training did not have.
    pub(crate) fn encode_columns<'a>(
        &self,
        columns: impl Iterator<Item = &'a [f64]>,
        out: &mut [f32],
    ) {
        let Self::Columns(encodings) = self else { return };
        let (width, mut first) = (self.width(), 0);
        for (encoding, values) in encodings.iter().zip(columns) {
            let target = Target { cells: out, width, first };
            encoding.write(values.iter().copied(), target);
            first += encoding.width();
        }
    }

    /// Sets the inputs `out` of images, `[images, pixels]`. `bytes` has their pixels, image by
    /// image.
    pub(crate) fn encode_pixels(&self, bytes: &[u8], out: &mut [f32]) {
        let Self::Pixels(standards) = self else { return };
        let width = standards.len().max(1);
        for (bytes, cells) in bytes.chunks(width).zip(out.chunks_mut(width)) {
            for ((cell, &byte), standard) in cells.iter_mut().zip(bytes).zip(standards) {
                *cell = standard.apply(f64::from(byte));
            }
        }
    }
}

/// Where the inputs of one column go: `cells` are rows of `width`, and the column begins at
/// `first`.
struct Target<'a> {
    cells: &'a mut [f32],
    width: usize,
    first: usize,
}

impl Target<'_> {
    /// The inputs of the column in each row.
    fn rows(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let first = self.first;
        self.cells
            .chunks_mut(self.width.max(1))
            .map(move |row| row.get_mut(first..).unwrap_or_default())
    }
}

/// Sets one input. One that does not exist is not set, and the caller has made sure that it does.
fn set(inputs: &mut [f32], index: usize, value: f32) {
    if let Some(input) = inputs.get_mut(index) {
        *input = value;
    }
}

impl Encoding {
    fn fit(column: &Column, train: &[usize]) -> Self {
        let cells = &column.cells;
        match column.kind {
            ColumnType::Number => Self::Number { number: Number::fit(cells, train) },
            ColumnType::Boolean => {
                Self::Binary { positive: 1, has_indicator: has_missing(cells, train) }
            }
            ColumnType::Category => Self::fit_category(column, train),
            ColumnType::Date => {
                Self::Date { days: Number::fit(cells, train), parts: Parts::fit(cells, train) }
            }
        }
    }

    fn fit_category(column: &Column, train: &[usize]) -> Self {
        let mut counts = vec![0_usize; column.categories.len()];
        for &row in train {
            if let Some(count) = code(column.cells.get(row)).and_then(|code| counts.get_mut(code)) {
                *count += 1;
            }
        }
        let seen: Vec<(usize, u32)> =
            counts.into_iter().zip(0..).filter(|(count, _)| *count > 0).collect();
        let has_missing = has_missing(&column.cells, train);
        if let [(_, _), (_, second)] = *seen.as_slice()
            && !has_missing
        {
            return Self::Binary { positive: second, has_indicator: false };
        }
        let categories = column.categories.len();
        if seen.len() > MAX_ONE_HOT {
            let (known, most) = (seen.iter().map(|(rows, _)| rows).sum(), MAX_EMBEDDED_VALUES);
            let missing = train.len().saturating_sub(known);
            return Self::Embedded(Embedded::fit(seen, categories, missing, most));
        }
        let width = to_u32(seen.len());
        let mut slots = vec![None; categories];
        for ((_, code), input) in seen.into_iter().zip(0..) {
            if let Some(slot) = slots.get_mut(index(code)) {
                *slot = Some(input);
            }
        }
        let missing = has_missing.then_some(width);
        Self::OneHot(OneHot { slots, missing, width: width + u32::from(has_missing) })
    }

    /// The number of inputs that the column becomes.
    pub fn width(&self) -> usize {
        match self {
            Self::Number { number } => number.width(),
            Self::Binary { has_indicator, .. } => 1 + usize::from(*has_indicator),
            Self::OneHot(one_hot) => index(one_hot.width),
            Self::Embedded(_) => 1,
            Self::Date { days, parts } => days.width() + parts.width(),
            Self::Season { parts } => parts.width(),
        }
    }

    fn write(&self, values: impl Iterator<Item = f64>, mut target: Target<'_>) {
        let pairs = values.zip(target.rows());
        match self {
            Self::Number { number } => {
                pairs.for_each(|(value, inputs)| number.write(value, inputs))
            }
            Self::Binary { positive, has_indicator } => {
                for (value, inputs) in pairs {
                    let signed = if value == f64::from(*positive) { 1.0 } else { -1.0 };
                    let has_sign = !value.is_nan() && value != UNKNOWN;
                    set(inputs, 0, if has_sign { signed } else { 0.0 });
                    if *has_indicator {
                        set(inputs, 1, f32::from(u8::from(value.is_nan())));
                    }
                }
            }
            Self::OneHot(one_hot) => {
                for (value, inputs) in pairs {
                    if let Some(slot) = one_hot.slot(value) {
                        set(inputs, index(slot), 1.0);
                    }
                }
            }
            Self::Embedded(embedded) => {
                for (value, inputs) in pairs {
                    set(inputs, 0, single(f64::from(embedded.number(code(value)))));
                }
            }
            Self::Season { parts } => pairs.for_each(|(value, inputs)| parts.write(value, inputs)),
            Self::Date { days, parts } => {
                for (value, inputs) in pairs {
                    days.write(value, inputs);
                    let rest = inputs.get_mut(days.width()..).unwrap_or_default();
                    parts.write(if value.is_nan() { days.median } else { value }, rest);
                }
            }
        }
    }
}

impl OneHot {
    /// The input that is 1 for a value; `None` if all are 0.
    fn slot(&self, value: f64) -> Option<u32> {
        match code(value) {
            Some(code) => self.slots.get(code).copied().flatten(),
            None => self.missing,
        }
    }
}

/// The index of a category; `None` if it is missing.
fn code(value: f64) -> Option<usize> {
    (!value.is_nan()).then(|| floor_to_usize(value))
}

fn has_missing(cells: &Cells, rows: &[usize]) -> bool {
    rows.iter().any(|&row| cells.get(row).is_nan())
}

impl Number {
    fn fit(cells: &Cells, train: &[usize]) -> Self {
        let mut present: Vec<f64> =
            train.iter().map(|&row| cells.get(row)).filter(|value| !value.is_nan()).collect();
        let has_indicator = present.len() < train.len();
        let standard = Standard::of(&present);
        let median = if has_indicator { median(&mut present) } else { 0.0 };
        Self { standard, median, has_indicator }
    }

    const fn width(&self) -> usize {
        if self.has_indicator { 2 } else { 1 }
    }

    fn write(&self, value: f64, inputs: &mut [f32]) {
        let is_missing = value.is_nan();
        // Without an indicator the median was not needed in training, and the mean stands for what
        // is missing later.
        let filled = match (is_missing, self.has_indicator) {
            (false, _) => self.standard.apply(value),
            (true, true) => self.standard.apply(self.median),
            (true, false) => 0.0,
        };
        set(inputs, 0, filled);
        if self.has_indicator {
            set(inputs, 1, f32::from(u8::from(is_missing)));
        }
    }
}

/// The middle number, or the mean of the two in the middle; 0 without numbers.
fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    let has_two = values.len().is_multiple_of(2);
    let (below, &mut upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    if !has_two {
        return upper;
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    lower + (upper - lower) / 2.0
}

impl Parts {
    fn fit(cells: &Cells, train: &[usize]) -> Self {
        let mut parts = Self { year: false, week: false, day: false };
        let mut dates = train.iter().filter_map(|&row| date_parts(cells.get(row)));
        let Some(first) = dates.next() else { return parts };
        for date in dates {
            parts.year |= date.year_fraction != first.year_fraction;
            parts.week |= date.week_fraction != first.week_fraction;
            parts.day |= date.day_fraction != first.day_fraction;
        }
        parts
    }

    fn width(self) -> usize {
        2 * (usize::from(self.year) + usize::from(self.week) + usize::from(self.day))
    }

    fn write(self, days: f64, inputs: &mut [f32]) {
        let Some(date) = date_parts(days) else { return };
        let fractions = [
            (self.year, date.year_fraction),
            (self.week, date.week_fraction),
            (self.day, date.day_fraction),
        ];
        let varying = fractions.into_iter().filter(|(varies, _)| *varies);
        for (pair, (_, fraction)) in inputs.chunks_exact_mut(2).zip(varying) {
            let angle = TAU * fraction;
            set(pair, 0, single(libm::sin(angle)));
            set(pair, 1, single(libm::cos(angle)));
        }
    }
}

/// The mean of each pixel, and one standard deviation for all. With a deviation each, pixels at the
/// border, which are dark in nearly every image, would dominate.
fn standards_of(pixels: &Pixels, train: &[usize]) -> Vec<Standard> {
    let mut sums = vec![(0_u64, 0_u64); pixels.width()];
    for &row in train {
        for (sum, &byte) in sums.iter_mut().zip(pixels.row(row)) {
            let byte = u64::from(byte);
            *sum = (sum.0 + byte, sum.1 + byte * byte);
        }
    }
    Standard::of_pixels(&sums, train.len())
}
