//! Times of UTC as text.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY_S: u64 = 86_400;

/// A time to the second, such as `2026-05-04T10:11:12Z`. A time before 1970 shows 1970.
pub fn to_second(time: SystemTime) -> String {
    format!("{}Z", until_second(since_1970(time)))
}

/// A time to the millisecond, such as `2026-05-04T10:11:12.345Z`. A time before 1970 shows 1970.
pub fn to_millisecond(time: SystemTime) -> String {
    let since_1970 = since_1970(time);
    format!("{}.{:03}Z", until_second(since_1970), since_1970.subsec_millis())
}

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO)
}

fn until_second(since_1970: Duration) -> String {
    let seconds = since_1970.as_secs();
    let (days, second) = (seconds / DAY_S, seconds % DAY_S);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// The year, month and day that begin `days` after 1970 does. Howard Hinnant's `civil_from_days`:
/// years begin in March, so that the leap day is the last of its year.
const fn date(days: u64) -> (u64, u64, u64) {
    // Days since 0000-03-01, in eras of 400 years.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_500, "2024-02-29T23:59:59.500Z"),
            (1_777_889_472_345, "2026-05-04T10:11:12.345Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(to_millisecond(UNIX_EPOCH + Duration::from_millis(ms)), expected);
        }
        let time = UNIX_EPOCH + Duration::from_millis(1_795_910_400_999);
        assert_eq!(to_second(time), "2026-11-29T00:00:00Z");
        assert_eq!(to_second(UNIX_EPOCH - Duration::from_secs(1)), "1970-01-01T00:00:00Z");
    }
}
