//! The conventions in which a column writes its numbers.
//!
//! A convention has a decimal mark, perhaps a separator between thousands, and perhaps a percent
//! sign. A cell that contains neither mark nor separator fits every convention without a percent
//! sign. [`fits`] looks at the marks of a cell once, so it reads the cell at most twice: once with
//! a decimal point and once with a decimal comma. Worked examples:
//!
//! | cell | with a decimal point | with a decimal comma |
//! |---|---|---|
//! | `3,14` | does not fit: a group of thousands has three digits | 3.14, with any separator |
//! | `1,234` | 1234, with commas between thousands | 1.234, with any separator |
//! | `1 234` | 1234, with blanks between thousands | 1234, with blanks between thousands |
//! | `1.5` | 1.5, with any separator | does not fit |

use std::fmt;
use std::io::Write;

use caviar_common::numbers::real_from_i64;
use serde::{Deserialize, Serialize};

/// Longest number, in bytes, that is rewritten without an allocation. Most numbers have at most 25.
const SHORT_BYTES: usize = 64;

/// What a percentage has in place of its sign when it is rewritten as a plain number. Dividing by
/// 100 afterwards would round twice: 0.7 / 100 is not the f64 nearest to 0.007.
const HUNDREDTHS: &[u8] = b"e-2";

/// The conventions with a decimal point and without a percent sign, as bits (see
/// [`NumberForm::nth`]). Every plain number with a decimal point fits them, and every plain whole
/// number.
pub(super) const POINT: u64 = (1 << STYLES) - 1;

/// The conventions with a decimal comma and without a percent sign, as bits.
pub(super) const COMMA: u64 = POINT << STYLES;

/// The number of conventions, with and without a percent sign.
pub(super) const COUNT: u32 = 4 * STYLES;

/// The distance from the bit of a convention to the bit of the same convention with a percent sign.
const PERCENT_SHIFT: u32 = 2 * STYLES;

/// The number of conventions that share a decimal mark, one for each item of [`Thousands`].
const STYLES: u32 = 7;

/// How the numbers of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NumberForm {
    pub(crate) thousands: Thousands,
    pub(crate) decimal: DecimalMark,
    /// Whether every cell ends with a percent sign. `12.5%` is read as the fraction 0.125.
    pub(crate) percent: bool,
}

/// The character between the whole part of a number and its fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DecimalMark {
    /// `1.5`
    Point,
    /// `1,5`
    Comma,
}

/// The character between the thousands of a number. A cell may omit it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Thousands {
    /// The column has no separators.
    None,
    /// A comma before a decimal point, or a point before a decimal comma.
    Mark,
    /// A space.
    Blank,
    /// The ASCII apostrophe.
    Apostrophe,
    /// The right single quotation mark U+2019, as in the Swiss locales of Unicode.
    Quote,
    /// The no-break space U+00A0.
    NoBreakSpace,
    /// The narrow no-break space U+202F, as in the French locale of Unicode.
    NarrowNoBreakSpace,
}

/// Why a cell is not a number of a given form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberFault {
    NotNumber,
    /// An infinity in words.
    Infinite,
    /// Digits whose value is infinite as an f64.
    OutOfRange,
}

impl DecimalMark {
    const ALL: [Self; 2] = [Self::Point, Self::Comma];

    const fn mark(self) -> char {
        match self {
            Self::Point => '.',
            Self::Comma => ',',
        }
    }
}

impl Thousands {
    /// All items, in the order of their bits. Of two conventions that fit a column, the earlier one
    /// is preferred.
    const ALL: [Self; 7] = [
        Self::None,
        Self::Mark,
        Self::Blank,
        Self::Apostrophe,
        Self::Quote,
        Self::NoBreakSpace,
        Self::NarrowNoBreakSpace,
    ];

    const fn separator(self, decimal: DecimalMark) -> Option<char> {
        match (self, decimal) {
            (Self::None, _) => None,
            (Self::Mark, DecimalMark::Point) => Some(','),
            (Self::Mark, DecimalMark::Comma) => Some('.'),
            (Self::Blank, _) => Some(' '),
            (Self::Apostrophe, _) => Some('\''),
            (Self::Quote, _) => Some('\u{2019}'),
            (Self::NoBreakSpace, _) => Some('\u{a0}'),
            (Self::NarrowNoBreakSpace, _) => Some('\u{202f}'),
        }
    }

    /// The place of the item in [`ALL`](Self::ALL).
    const fn bit(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Mark => 1,
            Self::Blank => 2,
            Self::Apostrophe => 3,
            Self::Quote => 4,
            Self::NoBreakSpace => 5,
            Self::NarrowNoBreakSpace => 6,
        }
    }
}

impl NumberForm {
    /// `1.5`, `-2e-3`, `+7`, `.5` and `5.`: what programs write.
    pub(crate) const PLAIN: Self =
        Self { thousands: Thousands::None, decimal: DecimalMark::Point, percent: false };

    /// The convention of a bit; bit 0 is [`PLAIN`](Self::PLAIN). `None` from [`COUNT`] on. Of two
    /// conventions that fit a column, the one with the lower bit is preferred.
    pub(super) fn nth(bit: u32) -> Option<Self> {
        let thousands = *usize::try_from(bit % STYLES).ok().and_then(|i| Thousands::ALL.get(i))?;
        let (decimal, percent) = match bit / STYLES {
            0 => (DecimalMark::Point, false),
            1 => (DecimalMark::Comma, false),
            2 => (DecimalMark::Point, true),
            3 => (DecimalMark::Comma, true),
            _ => return None,
        };
        Some(Self { thousands, decimal, percent })
    }

    /// The conventions, as bits, that give other values than this one if a column fits both. Only
    /// texts such as `1,234` have two values: 1234 with commas between thousands, and 1.234 with a
    /// decimal comma. `1.234` is a plain number by convention.
    pub(super) const fn rivals(self) -> u64 {
        let has_commas =
            matches!((self.thousands, self.decimal), (Thousands::Mark, DecimalMark::Point));
        match (has_commas, self.percent) {
            (true, false) => COMMA,
            (true, true) => COMMA << PERCENT_SHIFT,
            (false, _) => 0,
        }
    }

    /// The finite value of a cell, rounded once to the nearest f64.
    pub(super) fn parse(self, cell: &str) -> Result<f64, NumberFault> {
        if self == Self::PLAIN {
            return plain(cell);
        }
        let number = match self.percent {
            true => without_percent(cell).ok_or(NumberFault::NotNumber)?,
            false => cell,
        };
        let size = number.len() + HUNDREDTHS.len();
        let (mut short, mut long) = ([0; SHORT_BYTES], Vec::new());
        let buffer = if size <= SHORT_BYTES {
            &mut short[..]
        } else {
            long.resize(size, 0);
            &mut long[..]
        };
        let written = self.rewrite(number, buffer).ok_or(NumberFault::NotNumber)?;
        plain(str::from_utf8(written).map_err(|_| NumberFault::NotNumber)?)
    }

    /// Writes the number to the buffer as a plain one and returns the written part. `None` if its
    /// whole part is not digits and well-placed separators. [`plain`] checks the rest.
    fn rewrite<'b>(self, number: &str, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let size = buffer.len();
        let mut out = &mut *buffer;
        let unsigned = without_sign(number);
        if unsigned.len() < number.len() {
            out.write_all(number.as_bytes().get(..1)?).ok()?;
        }
        let mark = self.decimal.mark();
        let end = unsigned.find([mark, 'e', 'E']).unwrap_or(unsigned.len());
        let (whole, rest) = unsigned.split_at_checked(end)?;
        match self.thousands.separator(self.decimal).filter(|&separator| whole.contains(separator))
        {
            // 1,234e5 is rather 1.234e5 with a decimal comma.
            Some(_) if rest.contains(['e', 'E']) => return None,
            Some(separator) if are_groups(whole, separator) => {
                for group in whole.split(separator) {
                    out.write_all(group.as_bytes()).ok()?;
                }
            }
            Some(_) => return None,
            None if whole.bytes().all(|byte| byte.is_ascii_digit()) => {
                out.write_all(whole.as_bytes()).ok()?;
            }
            None => return None,
        }
        if let Some(fraction) = rest.strip_prefix(mark) {
            out.write_all(b".").ok()?;
            out.write_all(fraction.as_bytes()).ok()?;
        } else {
            out.write_all(rest.as_bytes()).ok()?;
        }
        if self.percent {
            // A percentage with an exponent gets two of them, which no plain number has.
            out.write_all(HUNDREDTHS).ok()?;
        }
        let left = out.len();
        buffer.get(..size.checked_sub(left)?)
    }
}

/// True if the first group has one to three digits and no leading zero, and every other group has
/// exactly three digits.
fn are_groups(whole: &str, separator: char) -> bool {
    whole.split(separator).enumerate().all(|(place, group)| {
        let fits = match place {
            0 => (1..=3).contains(&group.len()) && !group.starts_with('0'),
            _ => group.len() == 3,
        };
        fits && group.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// The value of a plain number without an exponent and with few digits, which is what most cells
/// are. `None` does not mean that the cell is not a number.
///
/// A whole number up to 2^53 and a power of ten up to 10^22 are exact as an f64, and so their
/// quotient is rounded once, as the standard library rounds the text. (Clinger, "How to read
/// floating point numbers accurately", 1990.)
pub(crate) fn quick(cell: &[u8]) -> Option<f64> {
    const MAX_EXACT: i64 = 1 << 53;
    let (digits, is_negative) = match cell {
        [b'-', digits @ ..] => (digits, true),
        digits => (digits, false),
    };
    // With at most 18 digits the whole number does not overflow.
    if digits.len() > 19 {
        return None;
    }
    let (mut whole, mut count, mut point) = (0_i64, 0_usize, None);
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                whole = whole.wrapping_mul(10).wrapping_add(i64::from(byte - b'0'));
                count += 1;
            }
            b'.' if point.is_none() => point = Some(count),
            _ => return None,
        }
    }
    if count == 0 || count > 18 || whole > MAX_EXACT {
        return None;
    }
    let power = POWERS.get(point.map_or(0, |before| count - before))?;
    let value = real_from_i64(whole) / power;
    Some(if is_negative { -value } else { value })
}

/// The powers of ten that [`quick`] divides by.
const POWERS: [f64; 19] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18,
];

/// The finite value of a plain number. NaN in words is not a number.
pub(super) fn plain(cell: &str) -> Result<f64, NumberFault> {
    match cell.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(value) if value.is_nan() => Err(NumberFault::NotNumber),
        Ok(_) if cell.bytes().any(|byte| byte.is_ascii_digit()) => Err(NumberFault::OutOfRange),
        Ok(_) => Err(NumberFault::Infinite),
        Err(_) => Err(NumberFault::NotNumber),
    }
}

/// The conventions that a finite plain number fits, as bits. The result is that of [`fits`], but is
/// found without reading the number again. Only the point of a number such as `1.234` can be a
/// separator.
pub(super) fn fits_of_plain(cell: &str) -> u64 {
    let unsigned = without_sign(cell);
    if !unsigned.contains('.') {
        POINT | COMMA
    } else if are_groups(unsigned, '.') {
        POINT | 1 << (STYLES + Thousands::Mark.bit())
    } else {
        POINT
    }
}

/// Those of the possible conventions that a cell fits, as bits. They are exactly the ones whose
/// [`NumberForm::parse`] succeeds.
pub(super) fn fits(cell: &str, possible: u64) -> u64 {
    let (number, percent) = match without_percent(cell) {
        Some(number) => (number, true),
        None => (cell, false),
    };
    let Some(marks) = Marks::of(number) else {
        return 0;
    };
    let mut fitting = 0;
    for decimal in DecimalMark::ALL {
        let Some(thousands) = marks.thousands(decimal) else { continue };
        let plain = match (thousands, decimal) {
            // Without a separator in the cell, the convention of the column can have any.
            (Thousands::None, DecimalMark::Point) => POINT,
            (Thousands::None, DecimalMark::Comma) => COMMA,
            (_, DecimalMark::Point) => 1 << thousands.bit(),
            (_, DecimalMark::Comma) => 1 << (STYLES + thousands.bit()),
        };
        let alike = possible & if percent { plain << PERCENT_SHIFT } else { plain };
        if alike != 0 && (NumberForm { thousands, decimal, percent }).parse(cell).is_ok() {
            fitting |= alike;
        }
    }
    fitting
}

/// The decimal marks and separators that occur in a cell.
struct Marks {
    has_point: bool,
    has_comma: bool,
    /// The separator other than point and comma, if there is one.
    other: Option<Thousands>,
}

impl Marks {
    /// `None` if the cell has two other separators, or a character that no number has.
    fn of(number: &str) -> Option<Self> {
        let mut marks = Self { has_point: false, has_comma: false, other: None };
        for character in number.chars() {
            let other = match character {
                '0'..='9' | '+' | '-' | 'e' | 'E' => continue,
                '.' => {
                    marks.has_point = true;
                    continue;
                }
                ',' => {
                    marks.has_comma = true;
                    continue;
                }
                ' ' => Thousands::Blank,
                '\'' => Thousands::Apostrophe,
                '\u{2019}' => Thousands::Quote,
                '\u{a0}' => Thousands::NoBreakSpace,
                '\u{202f}' => Thousands::NarrowNoBreakSpace,
                _ => return None,
            };
            if *marks.other.get_or_insert(other) != other {
                return None;
            }
        }
        Some(marks)
    }

    /// What separates the thousands if `decimal` is the decimal mark. `None` if two separators do.
    const fn thousands(&self, decimal: DecimalMark) -> Option<Thousands> {
        let has_mark = match decimal {
            DecimalMark::Point => self.has_comma,
            DecimalMark::Comma => self.has_point,
        };
        match (has_mark, self.other) {
            (false, None) => Some(Thousands::None),
            (false, other) => other,
            (true, None) => Some(Thousands::Mark),
            (true, Some(_)) => None,
        }
    }
}

fn without_sign(number: &str) -> &str {
    number.strip_prefix(['+', '-']).unwrap_or(number)
}

fn without_percent(cell: &str) -> Option<&str> {
    cell.strip_suffix('%').map(|number| number.trim_end_matches([' ', '\u{a0}', '\u{202f}']))
}

/// A description for the user, with an example.
impl fmt::Display for NumberForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::PLAIN {
            return f.write_str("numbers such as 1.5 or 2e-3");
        }
        let Self { thousands, decimal, percent } = *self;
        let separators = match (thousands, decimal) {
            (Thousands::None, _) => None,
            (Thousands::Mark, DecimalMark::Point) => Some("commas"),
            (Thousands::Mark, DecimalMark::Comma) => Some("points"),
            (Thousands::Blank, _) => Some("blanks"),
            (Thousands::Apostrophe | Thousands::Quote, _) => Some("apostrophes"),
            (Thousands::NoBreakSpace, _) => Some("no-break spaces"),
            (Thousands::NarrowNoBreakSpace, _) => Some("narrow no-break spaces"),
        };
        f.write_str(if percent { "percentages" } else { "numbers" })?;
        match (separators, decimal) {
            (Some(name), _) => write!(f, " with {name} between thousands,")?,
            (None, DecimalMark::Comma) => f.write_str(" with a decimal comma,")?,
            (None, DecimalMark::Point) => {}
        }
        f.write_str(" such as ")?;
        if let Some(separator) = thousands.separator(decimal) {
            write!(f, "1{separator}234")?;
        } else {
            f.write_str("12")?;
        }
        write!(f, "{}5", decimal.mark())?;
        f.write_str(if percent { "%" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::quick;

    proptest! {
        #[test]
        fn a_quick_number_is_the_number_of_the_standard_library(
            cell in prop_oneof![
                "[-+]?[0-9]{0,19}[.]?[0-9]{0,19}",
                "[-+.0-9e]{0,6}",
                "9[0-9]{15,19}",
                any::<f64>().prop_map(|value| value.to_string()),
                any::<i32>().prop_map(|value| (f64::from(value) / 1e4).to_string()),
            ],
        ) {
            let quick = quick(cell.as_bytes());
            if let Some(value) = quick {
                prop_assert_eq!(value.to_bits(), cell.parse::<f64>().unwrap().to_bits());
            }
            // Short numbers without an exponent are all found.
            let digits = cell.strip_prefix('-').unwrap_or(&cell);
            let is_short = digits.len() <= 15 && digits.bytes().any(|byte| byte.is_ascii_digit());
            let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            if is_short && is_plain {
                prop_assert_eq!(quick.is_some(), cell.parse::<f64>().is_ok());
            }
        }
    }
}
