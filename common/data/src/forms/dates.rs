//! The forms in which a column writes its dates.
//!
//! This module splits a cell into digits, names of months and separators itself, because the column
//! decides which number is the day. The crate `time` supplies the calendar: which dates exist, and
//! how many days lie between them. It is the proleptic Gregorian calendar.

use std::fmt;

use caviar_common::numbers::{floor_to_i64, floor_to_usize, real, real_from_i64};
use serde::{Deserialize, Serialize};
use time::util::days_in_year;
use time::{Date, Month};

/// The Julian day number of 1970-01-01.
const UNIX_EPOCH: i32 = 2_440_588;

const MS_PER_DAY: usize = 86_400_000;
const SECONDS_PER_DAY: f64 = 86_400.0;
const NANOSECONDS_PER_SECOND: f64 = 1e9;

/// The largest f64 below 1.
const BELOW_ONE: f64 = 1.0 - f64::EPSILON / 2.0;

/// The first two-digit year that belongs to the 20th century, as POSIX has it: 69 is 1969, and 68
/// is 2068.
const CENTURY_PIVOT: u32 = 69;

/// The blanks that programs write before a time and before AM or PM.
const BLANKS: [char; 3] = [' ', '\u{a0}', '\u{202f}'];

/// In which order the dates of a column are written, and with what between the parts. Days and
/// months have one or two digits. A year has four digits, or two if it comes last. All forms of
/// whole dates can be followed by a time; only those that begin with the year can have an offset
/// from UTC. Without one, a date is read as UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DateForm {
    /// `2024-12-31`, `2024-12-31T23:59:15.5+02:00`
    YearMonthDay(Separator),
    /// `12/31/2024`, `12/31/2024 11:59 PM`
    MonthDayYear(Separator),
    /// `31.12.2024`, `31/12/24`
    DayMonthYear(Separator),
    /// `31-Dec-2024`, `31 December 2024`
    DayNameYear(Separator),
    /// `Dec 31, 2024`, `December 31 2024`
    NameDayYear,
    /// `2024-12`, read as the first day of the month. The month has two digits.
    YearMonth,
    /// `Dec 2024`, read as the first day of the month.
    NameYear,
    /// `Dec-2024`, read as the first day of the month.
    NameDashYear,
    /// `12:30`, `12:30:15`, `1:30 PM`: a time without a date, read as a fraction of the day.
    TimeOfDay,
}

/// The character between the parts of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Separator {
    Dash,
    Slash,
    Point,
    /// One or more blanks.
    Blank,
}

/// Where a date lies in the periods that repeat, each as a fraction from 0 to below 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct DateParts {
    /// 0 is 1 January 00:00. The fraction is relative to the 365 or 366 days of that year.
    pub(crate) year_fraction: f64,
    /// 0 is Monday 00:00.
    pub(crate) week_fraction: f64,
    /// 0 is 00:00.
    pub(crate) day_fraction: f64,
}

impl Separator {
    const fn mark(self) -> char {
        match self {
            Self::Dash => '-',
            Self::Slash => '/',
            Self::Point => '.',
            Self::Blank => ' ',
        }
    }
}

impl DateForm {
    /// All forms of columns, in the order of preference. It matters only for dates such as
    /// `01/02/2024`, whose first number is read as the month if the column does not rule that out.
    pub(super) const ALL: [Self; 15] = [
        Self::YearMonthDay(Separator::Dash),
        Self::YearMonthDay(Separator::Slash),
        Self::YearMonthDay(Separator::Point),
        Self::MonthDayYear(Separator::Slash),
        Self::MonthDayYear(Separator::Dash),
        Self::DayMonthYear(Separator::Slash),
        Self::DayMonthYear(Separator::Dash),
        // Countries that write points put the day first, so no form has the month first.
        Self::DayMonthYear(Separator::Point),
        Self::DayNameYear(Separator::Blank),
        Self::DayNameYear(Separator::Dash),
        Self::NameDayYear,
        Self::YearMonth,
        Self::NameYear,
        Self::NameDashYear,
        Self::TimeOfDay,
    ];

    /// The form that gives other values if a column fits both.
    pub(super) const fn rival(self) -> Option<Self> {
        match self {
            Self::MonthDayYear(separator) => Some(Self::DayMonthYear(separator)),
            Self::YearMonthDay(_)
            | Self::DayMonthYear(_)
            | Self::DayNameYear(_)
            | Self::NameDayYear
            | Self::YearMonth
            | Self::NameYear
            | Self::NameDashYear
            | Self::TimeOfDay => None,
        }
    }

    /// The days from 1970-01-01 00:00 UTC to the date, with the time as a fraction. `None` if the
    /// cell is not written in this form, or the date or time does not exist. A value in the years
    /// 1900 to 2100 is exact to a microsecond.
    pub(super) fn parse(self, cell: &str) -> Option<f64> {
        let mut scanner = Scanner { rest: cell };
        let (day, seconds) = if self == Self::TimeOfDay {
            (0, scanner.time()?)
        } else {
            let date = self.scan_date(&mut scanner)?;
            (date.to_julian_day() - UNIX_EPOCH, self.scan_time(&mut scanner)?)
        };
        scanner.rest.is_empty().then_some(f64::from(day) + seconds / SECONDS_PER_DAY)
    }

    /// The seconds from 00:00 UTC of the date to the time that follows it.
    fn scan_time(self, scanner: &mut Scanner<'_>) -> Option<f64> {
        if scanner.rest.is_empty() {
            return Some(0.0);
        }
        match self {
            Self::YearMonthDay(_) => {
                if scanner.take(&['T', 't']).is_none() {
                    scanner.blanks()?;
                }
                Some(scanner.time()? - scanner.offset()?)
            }
            Self::MonthDayYear(_)
            | Self::DayMonthYear(_)
            | Self::DayNameYear(_)
            | Self::NameDayYear => {
                // JavaScript writes 12/31/2024, 11:59:00 PM.
                let _ = scanner.take(&[',']);
                scanner.blanks()?;
                scanner.time()
            }
            Self::YearMonth | Self::NameYear | Self::NameDashYear | Self::TimeOfDay => None,
        }
    }

    fn scan_date(self, scanner: &mut Scanner<'_>) -> Option<Date> {
        let (year, month, day) = match self {
            Self::YearMonthDay(separator) => {
                let year = scanner.long_year()?;
                scanner.separator(separator)?;
                let month = scanner.month_number()?;
                scanner.separator(separator)?;
                (year, month, scanner.day()?)
            }
            Self::MonthDayYear(separator) => {
                let month = scanner.month_number()?;
                scanner.separator(separator)?;
                let day = scanner.day()?;
                scanner.separator(separator)?;
                (scanner.year()?, month, day)
            }
            Self::DayMonthYear(separator) => {
                let day = scanner.day()?;
                scanner.separator(separator)?;
                let month = scanner.month_number()?;
                scanner.separator(separator)?;
                (scanner.year()?, month, day)
            }
            Self::DayNameYear(separator) => {
                let day = scanner.day()?;
                scanner.separator(separator)?;
                let month = scanner.month_name()?;
                scanner.separator(separator)?;
                (scanner.year()?, month, day)
            }
            Self::NameDayYear => {
                let month = scanner.month_name()?;
                scanner.blanks()?;
                let day = scanner.day()?;
                let _ = scanner.take(&[',']);
                scanner.blanks()?;
                (scanner.year()?, month, day)
            }
            Self::YearMonth => {
                let year = scanner.long_year()?;
                scanner.separator(Separator::Dash)?;
                (year, month(scanner.digits(2, 2)?)?, 1)
            }
            Self::NameYear | Self::NameDashYear => {
                let month = scanner.month_name()?;
                let is_dash = self == Self::NameDashYear;
                scanner.separator(if is_dash { Separator::Dash } else { Separator::Blank })?;
                (scanner.long_year()?, month, 1)
            }
            Self::TimeOfDay => return None,
        };
        Date::from_calendar_date(i32::try_from(year).ok()?, month, day).ok()
    }
}

/// What is left of a cell. Every method removes what it reads, and returns `None` if something else
/// follows.
struct Scanner<'a> {
    rest: &'a str,
}

impl<'a> Scanner<'a> {
    fn take(&mut self, wanted: &[char]) -> Option<()> {
        self.rest = self.rest.strip_prefix(wanted)?;
        Some(())
    }

    /// One or more blanks.
    fn blanks(&mut self) -> Option<()> {
        let rest = self.rest.trim_start_matches(BLANKS);
        let is_shorter = rest.len() < self.rest.len();
        self.rest = rest;
        is_shorter.then_some(())
    }

    fn separator(&mut self, separator: Separator) -> Option<()> {
        match separator {
            Separator::Blank => self.blanks(),
            Separator::Dash | Separator::Slash | Separator::Point => self.take(&[separator.mark()]),
        }
    }

    /// All leading characters that have a property. They are ASCII characters.
    fn run(&mut self, is_part: impl Fn(&u8) -> bool) -> Option<&'a str> {
        let end = self.rest.bytes().take_while(|byte| is_part(byte)).count();
        let (run, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(run)
    }

    /// A number with at least `least` and at most `most` digits, and no further digit after it.
    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let run = self.run(u8::is_ascii_digit)?;
        if (least..=most).contains(&run.len()) { run.parse().ok() } else { None }
    }

    fn day(&mut self) -> Option<u8> {
        u8::try_from(self.digits(1, 2)?).ok()
    }

    fn month_number(&mut self) -> Option<Month> {
        month(self.digits(1, 2)?)
    }

    fn month_name(&mut self) -> Option<Month> {
        let name = self.run(u8::is_ascii_alphabetic)?;
        let is_named = |full: &str| {
            let short = full.get(..3).unwrap_or(full);
            name.eq_ignore_ascii_case(short) || name.eq_ignore_ascii_case(full)
        };
        let number = MONTHS.iter().position(|full| is_named(full)).or_else(|| {
            // The only usual abbreviation with more than three letters.
            name.eq_ignore_ascii_case("Sept").then_some(8)
        })?;
        month(u32::try_from(number + 1).ok()?)
    }

    /// A year from 0001 to 9999.
    fn long_year(&mut self) -> Option<u32> {
        self.digits(4, 4).filter(|&year| year > 0)
    }

    /// A year with four or two digits.
    fn year(&mut self) -> Option<u32> {
        let length = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if length != 2 {
            return self.long_year();
        }
        let year = self.digits(2, 2)?;
        Some(if year < CENTURY_PIVOT { 2000 + year } else { 1900 + year })
    }

    /// The seconds since 00:00 of `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction`, each perhaps with AM
    /// or PM. The fraction is cut after nine digits. Leap seconds and 24:00 are refused.
    fn time(&mut self) -> Option<f64> {
        let hour = self.digits(1, 2)?;
        self.take(&[':'])?;
        let minute = self.digits(2, 2).filter(|&minute| minute < 60)?;
        let (mut second, mut nanoseconds) = (0, 0);
        if self.take(&[':']).is_some() {
            second = self.digits(2, 2).filter(|&second| second < 60)?;
            if self.take(&['.']).is_some() {
                nanoseconds = self.nanoseconds()?;
            }
        }
        let hour = match self.half_of_day() {
            None => (hour < 24).then_some(hour)?,
            // 12 AM is 00:00, and 12 PM is 12:00.
            Some(shift) => (1..=12).contains(&hour).then_some(hour % 12 + shift)?,
        };
        let whole = f64::from(hour * 3600 + minute * 60 + second);
        Some(whole + f64::from(nanoseconds) / NANOSECONDS_PER_SECOND)
    }

    fn nanoseconds(&mut self) -> Option<u32> {
        let run = self.run(u8::is_ascii_digit)?;
        if run.is_empty() {
            return None;
        }
        let digits = run.bytes().chain(std::iter::repeat(b'0')).take(9);
        Some(digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }

    /// The hours that AM or PM adds. `None` if neither follows.
    fn half_of_day(&mut self) -> Option<u32> {
        let word = self.rest.trim_start_matches(BLANKS);
        let (half, rest) = word.split_at_checked(2)?;
        let hours = if half.eq_ignore_ascii_case("am") {
            0
        } else if half.eq_ignore_ascii_case("pm") {
            12
        } else {
            return None;
        };
        self.rest = rest;
        Some(hours)
    }

    /// The offset from UTC in seconds: `Z`, `UTC`, `+02`, `+0200` or `+02:00`, or nothing. Offsets
    /// are below 24 hours.
    fn offset(&mut self) -> Option<f64> {
        self.rest = self.rest.trim_start_matches(BLANKS);
        if ["", "Z", "UTC"].iter().any(|utc| self.rest.eq_ignore_ascii_case(utc)) {
            self.rest = "";
            return Some(0.0);
        }
        let is_east = self.take(&['+']).is_some();
        if !is_east {
            self.take(&['-'])?;
        }
        let hours = self.pair().filter(|&hours| hours < 24)?;
        let minutes = if self.rest.is_empty() {
            0
        } else {
            let _ = self.take(&[':']);
            self.pair().filter(|&minutes| minutes < 60)?
        };
        let seconds = f64::from(hours * 3600 + minutes * 60);
        Some(if is_east { seconds } else { -seconds })
    }

    /// Two digits, which others can follow.
    fn pair(&mut self) -> Option<u32> {
        let (pair, rest) = self.rest.split_at_checked(2)?;
        self.rest = rest;
        Scanner { rest: pair }.digits(2, 2)
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

fn month(number: u32) -> Option<Month> {
    Month::try_from(u8::try_from(number).ok()?).ok()
}

/// Where the date lies in its year, week and day. `days` is relative to 1970-01-01 00:00 UTC, as
/// [`Form::parse`](super::Form::parse) returns it. `None` for NaN and for dates before the year
/// -9999 or after 9999, which no cell contains.
pub(crate) fn date_parts(days: f64) -> Option<DateParts> {
    let date = calendar_date(floor_to_i64(days)).filter(|_| !days.is_nan())?;
    let day_fraction = (days - days.floor()).min(BELOW_ONE);
    // A sum just below a whole number can round to it, and the quotient to 1.
    let fraction = |whole_days: f64, period_days: f64| {
        ((whole_days + day_fraction) / period_days).min(BELOW_ONE)
    };
    let day_of_week = date.weekday().number_days_from_monday();
    Some(DateParts {
        year_fraction: fraction(
            f64::from(date.ordinal()) - 1.0,
            f64::from(days_in_year(date.year())),
        ),
        week_fraction: fraction(f64::from(day_of_week), 7.0),
        day_fraction,
    })
}

/// The date in ISO 8601, rounded to a millisecond: `2024-12-31`, or with a time other than 00:00
/// `2024-12-31T23:59:00` or `2024-12-31T23:59:00.250`. `None` as for [`date_parts`].
pub(crate) fn format_date(days: f64) -> Option<String> {
    if days.is_nan() {
        return None;
    }
    let whole = floor_to_i64(days);
    let ms = floor_to_usize((days - real_from_i64(whole)) * real(MS_PER_DAY) + 0.5);
    let (whole, ms) = if ms < MS_PER_DAY { (whole, ms) } else { (whole.saturating_add(1), 0) };
    let date = calendar_date(whole)?;
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    let mut text = format!("{year:04}-{month:02}-{day:02}");
    if ms > 0 {
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        text += &format!("T{hour:02}:{minute:02}:{second:02}");
    }
    if ms % 1000 > 0 {
        text += &format!(".{:03}", ms % 1000);
    }
    Some(text)
}

/// The date that lies `day` days after 1970-01-01.
fn calendar_date(day: i64) -> Option<Date> {
    let julian_day = day.checked_add(i64::from(UNIX_EPOCH))?;
    Date::from_julian_day(i32::try_from(julian_day).ok()?).ok()
}

/// A description for the user, with an example.
impl fmt::Display for DateForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::YearMonthDay(separator) => {
                let mark = separator.mark();
                write!(f, "dates such as 2024{mark}12{mark}31")
            }
            Self::MonthDayYear(separator) => {
                let mark = separator.mark();
                write!(f, "dates such as 12{mark}31{mark}2024 (month first)")
            }
            Self::DayMonthYear(separator) => {
                let mark = separator.mark();
                write!(f, "dates such as 31{mark}12{mark}2024 (day first)")
            }
            Self::DayNameYear(separator) => {
                let mark = separator.mark();
                write!(f, "dates such as 31{mark}Dec{mark}2024")
            }
            Self::NameDayYear => f.write_str("dates such as Dec 31, 2024"),
            Self::YearMonth => f.write_str("months such as 2024-12"),
            Self::NameYear => f.write_str("months such as Dec 2024"),
            Self::NameDashYear => f.write_str("months such as Dec-2024"),
            Self::TimeOfDay => f.write_str("times of day such as 12:30"),
        }
    }
}
