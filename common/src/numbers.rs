//! Conversions between number types for which the standard library has no infallible form.
//!
//! They saturate instead of failing. They are for counts and sizes that stay far below every bound:
//! what a peer or a file sends is checked against its limit first.

/// A count as a 32-bit number; `u32::MAX` if it does not fit.
pub fn to_u32(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A count as a 64-bit number.
pub fn to_u64(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A 64-bit size as a count of things in memory; `usize::MAX` if it does not fit.
pub fn to_usize(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}

/// A 32-bit number as an index. A `usize` has at least 32 bits on every platform that Caviar
/// supports.
#[expect(clippy::as_conversions, reason = "usize has at least 32 bits wherever this runs")]
pub const fn index(number: u32) -> usize {
    number as usize
}

/// A count as a real number; exact below 2^53.
#[expect(clippy::as_conversions, reason = "exact below 2^53, which no count reaches")]
pub const fn real(count: usize) -> f64 {
    count as f64
}

/// A whole number as a real one; exact from -2^53 to 2^53.
#[expect(clippy::as_conversions, reason = "exact up to 2^53, to which hyperparameters are limited")]
pub const fn real_from_i64(number: i64) -> f64 {
    number as f64
}

/// The f32 nearest to `value`.
#[expect(clippy::as_conversions, reason = "rounding to f32 is the purpose")]
pub const fn single(value: f64) -> f32 {
    value as f32
}

/// The largest whole number that is not above `value`; saturates at both ends, and is 0 for
/// negative numbers and NaN.
#[expect(clippy::as_conversions, reason = "truncation is the purpose; the cast saturates")]
pub const fn floor_to_usize(value: f64) -> usize {
    value as usize
}

/// The largest whole number that is not above `value`; saturates at both ends, and is 0 for NaN.
#[expect(clippy::as_conversions, reason = "a whole number by now; the cast saturates")]
pub fn floor_to_i64(value: f64) -> i64 {
    value.floor() as i64
}
