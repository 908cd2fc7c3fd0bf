//! One column of a table in Arrow's form.

use std::fmt::{Display, Write};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DecimalType, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Float16Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, Time32MillisecondType, Time32SecondType,
    Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, PrimitiveArray, RecordBatch};
use arrow_schema::DataType;
use caviar_common::numbers::{real, real_from_i64, to_usize};

use crate::forms::format_date;
use crate::stored::{Kind, MAX_EXACT, Stored};

const SECONDS_PER_DAY: i64 = 86_400;
/// The units of a second.
const MS: i64 = 1_000;
const MICROS: i64 = 1_000_000;
const NANOS: i64 = 1_000_000_000;

/// Whether columns of the type can be inputs or labels.
pub(crate) fn is_read(kind: &DataType) -> bool {
    kind_of(kind).is_some()
}

/// What a type holds; `None` if it is not read.
fn kind_of(data_type: &DataType) -> Option<Kind> {
    match data_type {
        DataType::Null
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt8
        | DataType::UInt16
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float16
        | DataType::Float32
        | DataType::Float64
        | DataType::Duration(_)
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => Some(Kind::Number),
        DataType::Boolean => Some(Kind::Boolean),
        DataType::Timestamp(..)
        | DataType::Date32
        | DataType::Date64
        | DataType::Time32(_)
        | DataType::Time64(_) => Some(Kind::Date),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(Kind::Text),
        // A dictionary of dictionaries has no use, and recursion would need a limit.
        DataType::Dictionary(_, values) => {
            let is_nested = matches!(values.as_ref(), DataType::Dictionary(..));
            if is_nested { None } else { kind_of(values) }
        }
        DataType::Interval(_)
        | DataType::Binary
        | DataType::FixedSizeBinary(_)
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::List(_)
        | DataType::ListView(_)
        | DataType::FixedSizeList(..)
        | DataType::LargeList(_)
        | DataType::LargeListView(_)
        | DataType::Struct(_)
        | DataType::Union(..)
        | DataType::Map(..)
        | DataType::RunEndEncoded(..) => None,
    }
}

/// A column of several batches of rows.
pub(crate) struct Batches<'a> {
    kind: Kind,
    parts: Vec<Part<'a>>,
}

impl<'a> Batches<'a> {
    /// The column at `index` of each batch.
    pub(crate) fn new(batches: &'a [RecordBatch], index: usize) -> Self {
        let columns = batches.iter().filter_map(|batch| batch.columns().get(index));
        let parts: Vec<Part<'a>> = columns.filter_map(|array| Part::of(array)).collect();
        let first = batches.first().and_then(|batch| batch.columns().get(index));
        let kind = first.and_then(|array| kind_of(array.data_type())).unwrap_or(Kind::Number);
        Self { kind, parts }
    }
}

impl Stored for Batches<'_> {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn numbers(&self, visit: &mut dyn FnMut(f64)) {
        for part in &self.parts {
            (0..part.rows).for_each(|row| visit((part.number)(row)));
        }
    }

    fn texts(&self, visit: &mut dyn FnMut(Option<&str>)) {
        let mut text = String::new();
        for part in &self.parts {
            for row in 0..part.rows {
                text.clear();
                let is_present = (part.write)(row, &mut text);
                visit(is_present.then_some(text.as_str()));
            }
        }
    }

    fn is_rounded(&self) -> bool {
        self.parts.iter().any(|part| part.is_rounded)
    }
}

/// Appends the text of a row. False if it is missing.
type WriteRow<'a> = Box<dyn Fn(usize, &mut String) -> bool + 'a>;

/// How the values of one array are read.
struct Part<'a> {
    rows: usize,
    /// The number of a row; NaN if it is missing or text.
    number: Box<dyn Fn(usize) -> f64 + 'a>,
    write: WriteRow<'a>,
    /// Whether a whole number has more than 53 bits.
    is_rounded: bool,
}

impl<'a> Part<'a> {
    /// `None` for a type that is not read.
    fn of(array: &'a dyn Array) -> Option<Self> {
        match array.data_type() {
            DataType::Null => Some(Self::new(array, |_| f64::NAN, |_, _| false)),
            DataType::Int8 => whole::<Int8Type>(array, i64::from),
            DataType::Int16 => whole::<Int16Type>(array, i64::from),
            DataType::Int32 => whole::<Int32Type>(array, i64::from),
            DataType::Int64 => whole::<Int64Type>(array, |value| value),
            DataType::UInt8 => whole::<UInt8Type>(array, i64::from),
            DataType::UInt16 => whole::<UInt16Type>(array, i64::from),
            DataType::UInt32 => whole::<UInt32Type>(array, i64::from),
            DataType::UInt64 => {
                let values = array.as_primitive_opt::<UInt64Type>()?;
                let is_rounded = values.iter().flatten().any(|value| value > MAX_EXACT);
                let part = plain::<UInt64Type>(array, |value| real(to_usize(value)))?;
                Some(Self { is_rounded, ..part })
            }
            DataType::Float16 => plain::<Float16Type>(array, f64::from),
            DataType::Float32 => plain::<Float32Type>(array, f64::from),
            DataType::Float64 => plain::<Float64Type>(array, |value| value),
            DataType::Decimal32(..) => decimal::<Decimal32Type>(array),
            DataType::Decimal64(..) => decimal::<Decimal64Type>(array),
            DataType::Decimal128(..) => decimal::<Decimal128Type>(array),
            DataType::Decimal256(..) => decimal::<Decimal256Type>(array),
            DataType::Boolean => {
                let values = array.as_boolean_opt()?;
                let number = |row| f64::from(u8::from(values.value(row)));
                let write = |row, text: &mut String| write(text, values.value(row));
                Some(Self::new(array, number, write))
            }
            DataType::Utf8 => {
                let values = array.as_string_opt::<i32>()?;
                Some(texts(array, |row| values.value(row)))
            }
            DataType::LargeUtf8 => {
                let values = array.as_string_opt::<i64>()?;
                Some(texts(array, |row| values.value(row)))
            }
            DataType::Utf8View => {
                let values = array.as_string_view_opt()?;
                Some(texts(array, |row| values.value(row)))
            }
            DataType::Duration(_) => duration(array),
            DataType::Date32
            | DataType::Date64
            | DataType::Time32(_)
            | DataType::Time64(_)
            | DataType::Timestamp(..) => time(array),
            DataType::Dictionary(..) => dictionary(array),
            DataType::Interval(_)
            | DataType::Binary
            | DataType::FixedSizeBinary(_)
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::List(_)
            | DataType::ListView(_)
            | DataType::FixedSizeList(..)
            | DataType::LargeList(_)
            | DataType::LargeListView(_)
            | DataType::Struct(_)
            | DataType::Union(..)
            | DataType::Map(..)
            | DataType::RunEndEncoded(..) => None,
        }
    }

    /// `number` and `write` are only called for rows that have a value.
    fn new(
        array: &'a dyn Array,
        number: impl Fn(usize) -> f64 + 'a,
        write: impl Fn(usize, &mut String) -> bool + 'a,
    ) -> Self {
        Self {
            rows: array.len(),
            number: Box::new(move |row| if array.is_null(row) { f64::NAN } else { number(row) }),
            write: Box::new(move |row, text| !array.is_null(row) && write(row, text)),
            is_rounded: false,
        }
    }
}

/// Appends a value. False for NaN, which is a missing value.
fn write(text: &mut String, value: impl Display) -> bool {
    let start = text.len();
    // Writing to a String cannot fail.
    let _ = write!(text, "{value}");
    text.get(start..) != Some("NaN")
}

/// Numbers that are written as they are.
fn plain<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    number: impl Fn(T::Native) -> f64 + 'a,
) -> Option<Part<'a>>
where
    T::Native: Display,
{
    let values: &'a PrimitiveArray<T> = array.as_primitive_opt::<T>()?;
    let write = move |row, text: &mut String| write(text, values.value(row));
    Some(Part::new(array, move |row| number(values.value(row)), write))
}

/// Whole numbers.
fn whole<'a, T: ArrowPrimitiveType>(
    array: &'a dyn Array,
    number: impl Fn(T::Native) -> i64 + Copy + 'a,
) -> Option<Part<'a>>
where
    T::Native: Display,
{
    let values: &'a PrimitiveArray<T> = array.as_primitive_opt::<T>()?;
    let is_long = |value: T::Native| number(value).unsigned_abs() > MAX_EXACT;
    let is_rounded = values.iter().flatten().any(is_long);
    let part = plain::<T>(array, move |value| real_from_i64(number(value)))?;
    Some(Part { is_rounded, ..part })
}

/// Decimals. Their text has the number of digits of the column, and is read as in a text file.
fn decimal<T: DecimalType>(array: &dyn Array) -> Option<Part<'_>> {
    let values = array.as_primitive_opt::<T>()?;
    let number = |row| values.value_as_string(row).parse().unwrap_or(f64::NAN);
    let write = move |row, text: &mut String| {
        // 1.50 is 1.5, as in a column of floats.
        let number: f64 = values.value_as_string(row).parse().unwrap_or(f64::NAN);
        write(text, number)
    };
    Some(Part::new(array, number, write))
}

fn texts<'a>(array: &'a dyn Array, value: impl Fn(usize) -> &'a str + 'a) -> Part<'a> {
    let write = move |row, text: &mut String| {
        text.push_str(value(row));
        true
    };
    Part::new(array, |_| f64::NAN, write)
}

/// Durations, in seconds.
fn duration(array: &dyn Array) -> Option<Part<'_>> {
    let (values, per_second) = integers::<DurationSecondType>(array, 1)
        .or_else(|| integers::<DurationMillisecondType>(array, MS))
        .or_else(|| integers::<DurationMicrosecondType>(array, MICROS))
        .or_else(|| integers::<DurationNanosecondType>(array, NANOS))?;
    let seconds = move |row| real_from_i64(value(values, row)) / real_from_i64(per_second);
    Some(Part::new(array, seconds, move |row, text: &mut String| write(text, seconds(row))))
}

/// Dates, dates with a time, and times of day.
fn time(array: &dyn Array) -> Option<Part<'_>> {
    if let Some(values) = array.as_primitive_opt::<Date32Type>() {
        return Some(days(array, |row| f64::from(values.value(row))));
    }
    if let Some(values) = array.as_primitive_opt::<Time32SecondType>() {
        return Some(at(array, 1, |row| values.value(row).into()));
    }
    if let Some(values) = array.as_primitive_opt::<Time32MillisecondType>() {
        return Some(at(array, MS, |row| values.value(row).into()));
    }
    let (values, per_second) = integers::<Date64Type>(array, MS)
        .or_else(|| integers::<Time64MicrosecondType>(array, MICROS))
        .or_else(|| integers::<Time64NanosecondType>(array, NANOS))
        .or_else(|| integers::<TimestampSecondType>(array, 1))
        .or_else(|| integers::<TimestampMillisecondType>(array, MS))
        .or_else(|| integers::<TimestampMicrosecondType>(array, MICROS))
        .or_else(|| integers::<TimestampNanosecondType>(array, NANOS))?;
    Some(at(array, per_second, |row| value(values, row)))
}

/// The values of a type that stores 64-bit integers, and how many of its units a second has. `None`
/// if the array has another type.
fn integers<T: ArrowPrimitiveType<Native = i64>>(
    array: &dyn Array,
    per_second: i64,
) -> Option<(&[i64], i64)> {
    Some((array.as_primitive_opt::<T>()?.values().as_ref(), per_second))
}

fn value(values: &[i64], row: usize) -> i64 {
    values.get(row).copied().unwrap_or_default()
}

/// Instants in a unit from 1970-01-01. The sum is that of a date in a text file, so that both give
/// the same number.
fn at<'a>(
    array: &'a dyn Array,
    per_second: i64,
    value: impl Fn(usize) -> i64 + Copy + 'a,
) -> Part<'a> {
    days(array, move |row| {
        let value = value(row);
        let (second, fraction) = (value.div_euclid(per_second), value.rem_euclid(per_second));
        let (day, second) =
            (second.div_euclid(SECONDS_PER_DAY), second.rem_euclid(SECONDS_PER_DAY));
        let seconds = real_from_i64(second) + real_from_i64(fraction) / real_from_i64(per_second);
        real_from_i64(day) + seconds / real_from_i64(SECONDS_PER_DAY)
    })
}

/// Dates as days since 1970-01-01.
fn days<'a>(array: &'a dyn Array, days: impl Fn(usize) -> f64 + Copy + 'a) -> Part<'a> {
    let write = move |row, text: &mut String| match format_date(days(row)) {
        Some(date) => {
            text.push_str(&date);
            true
        }
        None => write(text, days(row)),
    };
    Part::new(array, days, write)
}

/// Values by their keys.
fn dictionary(array: &dyn Array) -> Option<Part<'_>> {
    let dictionary = array.as_any_dictionary_opt()?;
    if dictionary.values().is_empty() {
        return Some(Part::new(array, |_| f64::NAN, |_, _| false));
    }
    let values = Part::of(dictionary.values().as_ref())?;
    let keys = dictionary.normalized_keys();
    let (number, write) = (values.number, values.write);
    let key = move |row: usize| keys.get(row).copied().unwrap_or_default();
    let number_key = key.clone();
    let part = Part::new(
        array,
        move |row| number(number_key(row)),
        move |row, text: &mut String| write(key(row), text),
    );
    Some(Part { is_rounded: values.is_rounded, ..part })
}
