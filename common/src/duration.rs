//! Durations as text: `90s`, `5m`, `1h30m`, `7d`.

use std::time::Duration;

/// The units with their seconds, in the order in which they are written.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
/// Longest duration. A longer one is most likely a mistake, and would overflow sums with clocks.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDuration {
    /// A number is missing, or has no unit.
    #[error("expected numbers with units, such as 90s, 5m, 1h30m or 7d")]
    NoUnit,
    /// A unit is not one of the four.
    #[error("unknown unit {0:?}: expected d, h, m or s, as in 7d, 1h30m or 90s")]
    Unit(char),
    /// A unit is repeated, or a larger one follows a smaller one.
    #[error("expected each unit at most once, the larger first, as in 1h30m")]
    Order,
    /// It is zero.
    #[error("expected at least 1s")]
    Zero,
    /// It is longer than ten years.
    #[error("expected at most 3650d")]
    TooLong,
}

/// Parses a duration of at least a second: numbers with the units `d`, `h`, `m` and `s`, the larger
/// unit first.
///
/// # Errors
/// The text is not a duration, or it is zero or longer than 3650 days.
pub fn parse(text: &str) -> Result<Duration, BadDuration> {
    let mut seconds = 0_u64;
    let mut units = UNITS.as_slice();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(BadDuration::NoUnit);
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or(BadDuration::NoUnit)?;
        let (digits, after) = rest.split_at_checked(end).ok_or(BadDuration::NoUnit)?;
        let unit = after.chars().next().ok_or(BadDuration::NoUnit)?;
        if digits.is_empty() {
            return Err(BadDuration::NoUnit);
        }
        if !UNITS.iter().any(|(known, _)| *known == unit) {
            return Err(BadDuration::Unit(unit));
        }
        let at = units.iter().position(|(known, _)| *known == unit).ok_or(BadDuration::Order)?;
        let (_, scale) = units.get(at).ok_or(BadDuration::Order)?;
        units = units.get(at + 1..).unwrap_or_default();
        let number: u64 = digits.parse().map_err(|_| BadDuration::TooLong)?;
        seconds = seconds.saturating_add(number.saturating_mul(*scale));
        rest = after.get(1..).unwrap_or_default();
    }
    match Duration::from_secs(seconds) {
        Duration::ZERO => Err(BadDuration::Zero),
        duration if duration > LONGEST => Err(BadDuration::TooLong),
        duration => Ok(duration),
    }
}

/// The duration as [`parse`] reads it, rounded down to whole seconds: `1h30m`.
pub fn format(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    let mut text = String::new();
    for (unit, scale) in UNITS {
        if seconds >= scale {
            text.push_str(&format!("{}{unit}", seconds / scale));
            seconds %= scale;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_are_durations_and_written_alike() {
        for (text, seconds) in
            [("90s", 90), ("5m", 300), ("1h30m", 5_400), ("7d", 604_800), ("1d2h3m4s", 93_784)]
        {
            assert_eq!(parse(text).unwrap().as_secs(), seconds, "{text}");
            assert_eq!(parse(&format(Duration::from_secs(seconds))).unwrap().as_secs(), seconds);
        }
        assert_eq!(format(Duration::from_secs(5_400)), "1h30m");
        assert_eq!(format(Duration::from_millis(20)), "0s");
    }

    #[test]
    fn anything_else_is_refused_with_what_would_be_right() {
        for (text, problem) in [
            ("", BadDuration::NoUnit),
            ("5", BadDuration::NoUnit),
            ("m", BadDuration::NoUnit),
            ("1h30", BadDuration::NoUnit),
            ("-5m", BadDuration::NoUnit),
            ("1.5h", BadDuration::Unit('.')),
            ("5min", BadDuration::NoUnit),
            ("5w", BadDuration::Unit('w')),
            ("5µ", BadDuration::Unit('µ')),
            ("5m1h", BadDuration::Order),
            ("5m5m", BadDuration::Order),
            ("0s", BadDuration::Zero),
            ("4000d", BadDuration::TooLong),
            ("99999999999999999999d", BadDuration::TooLong),
        ] {
            assert_eq!(parse(text), Err(problem), "{text}");
        }
    }
}
