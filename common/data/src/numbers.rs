//! The conversions between kinds of numbers that the standard library has no checked form for.

/// A count as a real number; exact below 2^53, which no count of rows reaches.
#[expect(clippy::as_conversions, reason = "exact below 2^53")]
pub(crate) fn real(count: usize) -> f64 {
    count as f64
}

/// The nearest f32.
#[expect(clippy::as_conversions, reason = "rounding to f32 is what is wanted")]
pub(crate) fn single(value: f64) -> f32 {
    value as f32
}

/// The whole part of a number that is not negative.
#[expect(clippy::as_conversions, reason = "truncates, and saturates at both ends")]
pub(crate) fn whole(value: f64) -> usize {
    value as usize
}

/// A 32-bit number as an index.
#[expect(clippy::as_conversions, reason = "usize has at least 32 bits wherever this runs")]
pub(crate) fn index(number: u32) -> usize {
    number as usize
}
