//! Lengths of time as people write them: `90s`, `5m`, `1h30m`, `7d`.

use std::time::Duration;

use crate::text::quoted;

/// A text that is not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: expected a time such as 90s, 5m, 1h30m or 7d", quoted(.0))]
pub struct NotADuration(pub String);

/// The units, and their seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Reads numbers, each with its unit, the larger units first.
///
/// # Errors
/// A number has no unit, a unit is not known or follows a smaller one, or the time is longer than
/// 1,000 years.
///
/// ```
/// use std::time::Duration;
/// use caviar_common::duration::parse;
///
/// assert_eq!(parse("1h30m"), Ok(Duration::from_secs(5_400)));
/// assert!(parse("90").is_err());
/// ```
pub fn parse(text: &str) -> Result<Duration, NotADuration> {
    const MAX_SECONDS: u64 = 1_000 * 366 * 86_400;
    let wrong = || NotADuration(text.to_owned());
    let mut rest = text.trim();
    let mut seconds: u64 = 0;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (digits, after) = rest.split_at(end);
        let count: u64 = digits.parse().map_err(|_| wrong())?;
        let unit = after.chars().next().ok_or_else(wrong)?;
        let (_, size) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        let part = count.checked_mul(*size).ok_or_else(wrong)?;
        seconds = seconds.checked_add(part).filter(|it| *it <= MAX_SECONDS).ok_or_else(wrong)?;
        rest = after.get(unit.len_utf8()..).unwrap_or_default();
    }
    if text.trim().is_empty() { Err(wrong()) } else { Ok(Duration::from_secs(seconds)) }
}

/// The time as [`parse`] reads it, rounded down to whole seconds: `1h30m`.
pub fn format(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    let mut text = String::new();
    for (unit, size) in UNITS {
        if seconds >= size {
            text.push_str(&format!("{}{unit}", seconds / size));
            seconds %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_numbers_with_units() {
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("5m", 300),
            ("1h30m", 5_400),
            ("7d", 604_800),
            (" 1d1s ", 86_401),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in [
            "",
            "5",
            "m",
            "-5m",
            "5 m",
            "5w",
            "1m1h",
            "1h1h",
            "1.5h",
            "99999999999999999999s",
            "9999999d",
        ] {
            let error = parse(wrong).unwrap_err().to_string();
            assert!(error.contains("expected a time such as 90s"), "{wrong}: {error}");
        }
    }

    #[test]
    fn a_time_is_written_as_it_is_read() {
        for text in ["0s", "90s", "1h30m", "7d", "1d1s"] {
            let time = parse(text).unwrap();
            assert_eq!(parse(&format(time)), Ok(time), "{text}");
        }
        assert_eq!(format(Duration::from_millis(90_999)), "1m30s");
    }
}
