//! The parts of dates that repeat, as operators.
//!
//! A date is a number of days since 1970-01-01. Its year comes from the number of its day by whole
//! arithmetic (Hinnant 2013, "chrono-compatible low-level date algorithms"): years begin with March
//! there, so that the leap day is the last one, and 400 years are one era of 146,097 days.
//!
//! - z = day + 719468, the days since 1 March of the year 0; d = z mod 146097, the day of the era
//! - y = (d - d / 1460 + d / 36524 - d / 146096) / 365, the year of the era, rounded down as all
//!   quotients are
//! - p = d - (365 y + y / 4 - y / 100), the day of that year, which begins with March
//! - p >= 306 is in the next calendar year, whose day p - 306 it is; before, it is the day
//!   p + 59 + leap(y), where leap is 1 for a leap year and 0 for others
//!
//! The fraction of the year is (day of the year + fraction of the day) / days of the year. For
//! example, 2024-12-31 12:00 is day 20088.5: d = 8706, y = 23, p = 305, so it is day 305 + 60 = 365
//! of 366, and the fraction is 365.5 / 366.

use std::f64::consts::{FRAC_PI_2, TAU};

use caviar_data::Parts;

use super::graph::{Graph, Name};
use super::proto::tensor_proto::DataType;

/// The days of -9999-01-01 and of 10000-01-01. Dates outside have no parts, as in the encoder.
const DAYS: [f64; 2] = [-4_371_587.0, 2_932_897.0];
/// The largest f64 below 1. A sum just below a whole number can round to it.
const BELOW_ONE: f64 = 1.0 - f64::EPSILON / 2.0;

/// A column of dates.
pub(super) struct Dates {
    /// The name of the input.
    pub(super) input: Name,
    /// Stands for a missing date; `None` if its parts are 0.
    pub(super) median: Option<f64>,
    /// The parts that are inputs of the network.
    pub(super) parts: Parts,
}

/// Sine and cosine of each part of each column, in this order: `[N, parts]`. There is at least one.
pub(super) fn parts(graph: &mut Graph, columns: &[Dates]) -> Name {
    let count = columns.len();
    let inputs: Vec<&str> = columns.iter().map(|column| column.input.as_str()).collect();
    let days = graph.concat(&inputs);
    let medians: Vec<f64> = columns.iter().map(|c| c.median.unwrap_or(f64::NAN)).collect();
    let medians = graph.doubles(&[1, count], &medians);
    let is_missing = graph.is_nan(&days);
    let days = graph.node("Where", &[&is_missing, &medians, &days]);
    // A comparison with NaN is false.
    let [first, end] = DAYS.map(|day| graph.doubles(&[], &[day]));
    let is_late = graph.node("GreaterOrEqual", &[&days, &first]);
    let is_early = graph.node("Less", &[&days, &end]);
    let is_valid = graph.node("And", &[&is_late, &is_early]);
    let zero = graph.doubles(&[], &[0.0]);
    let days = graph.node("Where", &[&is_valid, &days, &zero]);

    let whole = graph.node("Floor", &[&days]);
    let rest = graph.node("Sub", &[&days, &whole]);
    let in_day = below_one(graph, &rest);
    let day = graph.cast(&whole, DataType::Int64);
    let in_week = fraction_of_week(graph, &day, &in_day);
    let in_year = fraction_of_year(graph, &day, &in_day);
    let fractions = graph.concat(&[&in_year, &in_week, &in_day]);

    let (mut sources, mut owners, mut shifts) = (Vec::new(), Vec::new(), Vec::new());
    for (column, dates) in columns.iter().enumerate() {
        let Parts { year, week, day } = dates.parts;
        for (period, _) in [year, week, day].into_iter().enumerate().filter(|(_, used)| *used) {
            // cos x = sin(x + pi / 2). Not every runtime has a cosine of 64-bit floats.
            for shift in [0.0, FRAC_PI_2] {
                sources.push(period * count + column);
                owners.push(column);
                shifts.push(shift);
            }
        }
    }
    let fractions = graph.columns(&fractions, &sources);
    let tau = graph.doubles(&[], &[TAU]);
    let angles = graph.node("Mul", &[&fractions, &tau]);
    let shifts = graph.doubles(&[1, shifts.len()], &shifts);
    let angles = graph.node("Add", &[&angles, &shifts]);
    let curves = graph.node("Sin", &[&angles]);
    let is_valid = graph.columns(&is_valid, &owners);
    let curves = graph.node("Where", &[&is_valid, &curves, &zero]);
    graph.cast(&curves, DataType::Float)
}

fn below_one(graph: &mut Graph, fractions: &str) -> Name {
    let limit = graph.doubles(&[], &[BELOW_ONE]);
    graph.node("Min", &[fractions, &limit])
}

/// (whole days + fraction of the day) / days of the period, below 1.
fn fraction(graph: &mut Graph, whole: &str, in_day: &str, period: &str) -> Name {
    let whole = graph.cast(whole, DataType::Double);
    let days = graph.node("Add", &[&whole, in_day]);
    let quotient = graph.node("Div", &[&days, period]);
    below_one(graph, &quotient)
}

/// 1970-01-01 was a Thursday, three days after a Monday.
fn fraction_of_week(graph: &mut Graph, day: &str, in_day: &str) -> Name {
    let three = graph.integers(&[], &[3]);
    let seven = graph.integers(&[], &[7]);
    let shifted = graph.node("Add", &[day, &three]);
    let of_week = graph.node("Mod", &[&shifted, &seven]);
    let period = graph.doubles(&[], &[7.0]);
    fraction(graph, &of_week, in_day, &period)
}

fn fraction_of_year(graph: &mut Graph, day: &str, in_day: &str) -> Name {
    let mut number = |value: i64| graph.integers(&[], &[value]);
    let [to_march, era, year_days, january, to_january] =
        [719_468, 146_097, 365, 306, 59].map(&mut number);
    let [four, hundred] = [4, 100].map(&mut number);
    let [d4, d100, d400] = [1_460, 36_524, 146_096].map(&mut number);

    let z = graph.node("Add", &[day, &to_march]);
    let d = graph.node("Mod", &[&z, &era]);
    let [q4, q100, q400] = [d4, d100, d400].map(|divisor| graph.node("Div", &[&d, &divisor]));
    let without = graph.node("Sub", &[&d, &q4]);
    let with = graph.node("Add", &[&without, &q100]);
    let without = graph.node("Sub", &[&with, &q400]);
    let y = graph.node("Div", &[&without, &year_days]);

    let common = graph.node("Mul", &[&y, &year_days]);
    let [leaps, skipped] = [four, hundred].map(|divisor| graph.node("Div", &[&y, &divisor]));
    let start = graph.node("Add", &[&common, &leaps]);
    let start = graph.node("Sub", &[&start, &skipped]);
    let p = graph.node("Sub", &[&d, &start]);

    let is_next = graph.node("GreaterOrEqual", &[&p, &january]);
    let next = graph.cast(&is_next, DataType::Int64);
    let year = graph.node("Add", &[&y, &next]);
    let leap_years: Vec<i64> = (0..=400).map(leap).collect();
    let leap_years = graph.integers(&[leap_years.len()], &leap_years);
    let leap = graph.node("Gather", &[&leap_years, &year]);
    let early = graph.node("Sub", &[&p, &january]);
    let late = graph.node("Add", &[&p, &to_january]);
    let late = graph.node("Add", &[&late, &leap]);
    let of_year = graph.node("Where", &[&is_next, &early, &late]);
    let length = graph.node("Add", &[&leap, &year_days]);
    let length = graph.cast(&length, DataType::Double);
    fraction(graph, &of_year, in_day, &length)
}

/// 1 for a leap year, else 0.
fn leap(year: i64) -> i64 {
    i64::from(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
}
