//! The numbers of one column, each in the fewest bytes that keep it exactly.
//!
//! Most columns hold small integers, or decimals with a few digits. A decimal such as 5.1 has no
//! short binary form, but it is the quotient 51 / 10, and the quotient of two exact numbers is
//! rounded as the text `5.1` is. So a column of such decimals is kept as integers and one power of
//! ten, in one to four bytes a number instead of eight.

use std::ops::Range;

use caviar_common::numbers::{floor_to_i64, single};
use serde::{Deserialize, Serialize};

use crate::map::Bytes;

/// Largest power of ten of a packed decimal. With it, an integer of four bytes is divided exactly.
const MAX_SCALE: u8 = 9;

/// How the numbers of a column are stored. A missing number is NaN in a float, and the least
/// integer in a signed one; unsigned bytes have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Width {
    U8,
    I16,
    I32,
    F32,
    F64,
}

impl Width {
    pub(crate) const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// The storage of a column: its width, and for integers the power of ten that divides them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pack {
    pub(crate) width: Width,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) scale: u8,
}

fn is_zero(scale: &u8) -> bool {
    *scale == 0
}

/// Bytes in memory of their own, or a part of a block.
#[derive(Clone, Debug)]
pub(crate) enum Section {
    Owned(Vec<u8>),
    /// The part was checked: the block has these bytes.
    Block {
        block: Bytes,
        range: Range<usize>,
    },
}

impl Section {
    pub(crate) fn get(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Block { block, range } => block.get().get(range.clone()).unwrap_or_default(),
        }
    }
}

/// The numbers of one column. A missing one is NaN.
#[derive(Clone, Debug)]
pub(crate) struct Cells {
    pack: Pack,
    section: Section,
}

impl Cells {
    /// Packs numbers, each finite or NaN.
    pub(crate) fn pack(values: &[f64]) -> Self {
        let pack = pack_of(values);
        let mut bytes = Vec::with_capacity(values.len() * pack.width.bytes());
        let factor = power(pack.scale);
        for &value in values {
            let whole = whole(value * factor);
            match pack.width {
                Width::U8 => bytes.push(u8::try_from(whole).unwrap_or_default()),
                Width::I16 => {
                    let whole = i16::try_from(whole).unwrap_or(i16::MIN);
                    bytes.extend_from_slice(&whole.to_le_bytes());
                }
                Width::I32 => {
                    let whole = i32::try_from(whole).unwrap_or(i32::MIN);
                    bytes.extend_from_slice(&whole.to_le_bytes());
                }
                Width::F32 => bytes.extend_from_slice(&single(value).to_le_bytes()),
                Width::F64 => bytes.extend_from_slice(&value.to_le_bytes()),
            }
        }
        Self { pack, section: Section::Owned(bytes) }
    }

    /// Numbers that are stored as `pack` says. The length of the section is a multiple of its
    /// width.
    pub(crate) const fn from_section(pack: Pack, section: Section) -> Self {
        Self { pack, section }
    }

    pub(crate) const fn packing(&self) -> Pack {
        self.pack
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.section.get()
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes().len() / self.pack.width.bytes()
    }

    /// The number of a row; NaN if it is missing or the row does not exist.
    pub(crate) fn get(&self, row: usize) -> f64 {
        let bytes = self.bytes();
        let divisor = power(self.pack.scale);
        match self.pack.width {
            Width::U8 => bytes.get(row).map_or(f64::NAN, |&byte| f64::from(byte) / divisor),
            Width::I16 => at(bytes, row, i16::from_le_bytes).map_or(f64::NAN, |number| {
                if number == i16::MIN { f64::NAN } else { f64::from(number) / divisor }
            }),
            Width::I32 => at(bytes, row, i32::from_le_bytes).map_or(f64::NAN, |number| {
                if number == i32::MIN { f64::NAN } else { f64::from(number) / divisor }
            }),
            Width::F32 => at(bytes, row, f32::from_le_bytes).map_or(f64::NAN, f64::from),
            Width::F64 => at(bytes, row, f64::from_le_bytes).unwrap_or(f64::NAN),
        }
    }

    /// All numbers, row by row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = f64> {
        (0..self.len()).map(|row| self.get(row))
    }
}

impl PartialEq for Cells {
    fn eq(&self, other: &Self) -> bool {
        self.pack == other.pack && self.bytes() == other.bytes()
    }
}

fn at<const N: usize, T>(bytes: &[u8], row: usize, read: fn([u8; N]) -> T) -> Option<T> {
    bytes.get(row * N..)?.first_chunk().copied().map(read)
}

/// The narrowest storage that keeps every number.
fn pack_of(values: &[f64]) -> Pack {
    let (mut low, mut high, mut scale, mut has_missing) = (0.0f64, 0.0f64, 0, false);
    for &value in values {
        if value.is_nan() {
            has_missing = true;
            continue;
        }
        while !is_decimal(value, scale) {
            scale += 1;
            if scale > MAX_SCALE {
                return Pack { width: float_width(values), scale: 0 };
            }
        }
        (low, high) = (low.min(value), high.max(value));
    }
    // A number that is exact with few digits need not be so with more.
    let is_exact = values.iter().all(|&value| value.is_nan() || is_decimal(value, scale));
    let (low, high) = (low * power(scale), high * power(scale));
    let fits = |least: f64, most: f64| low.round() >= least && high.round() <= most;
    let width = if !is_exact {
        return Pack { width: float_width(values), scale: 0 };
    } else if !has_missing && fits(0.0, f64::from(u8::MAX)) {
        Width::U8
    } else if fits(f64::from(i16::MIN) + 1.0, f64::from(i16::MAX)) {
        Width::I16
    } else {
        Width::I32
    };
    Pack { width, scale }
}

fn float_width(values: &[f64]) -> Width {
    let is_single = |value: &f64| value.is_nan() || f64::from(single(*value)) == *value;
    if values.iter().all(is_single) { Width::F32 } else { Width::F64 }
}

/// Whether `value` is an integer of four bytes divided by the power of ten. A zero with a sign is
/// not, because its sign would be lost.
fn is_decimal(value: f64, scale: u8) -> bool {
    let factor = power(scale);
    let whole = (value * factor).round();
    let is_negative_zero = value == 0.0 && value.is_sign_negative();
    !is_negative_zero
        && whole.abs() <= f64::from(i32::MAX)
        && (whole / factor).to_bits() == value.to_bits()
}

/// Ten to the power of `scale`, which is exact up to 22.
fn power(scale: u8) -> f64 {
    const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
    POWERS.get(usize::from(scale)).copied().unwrap_or(f64::NAN)
}

/// The integer next to a number; one below all integers of four bytes for NaN.
fn whole(value: f64) -> i64 {
    if value.is_nan() { i64::MIN } else { floor_to_i64(value.round()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn width_of(values: &[f64]) -> (Width, u8) {
        let cells = Cells::pack(values);
        let same = |(a, b): (f64, &f64)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
        assert_eq!(cells.len(), values.len());
        assert!(cells.iter().zip(values).all(same), "{values:?}: {:?}", cells.packing());
        (cells.packing().width, cells.packing().scale)
    }

    #[test]
    fn each_column_has_the_narrowest_storage_that_keeps_it() {
        let missing = f64::NAN;
        assert_eq!(width_of(&[0.0, 255.0]), (Width::U8, 0));
        assert_eq!(width_of(&[0.0, 255.0, missing]), (Width::I16, 0));
        assert_eq!(width_of(&[-1.0, 7.0]), (Width::I16, 0));
        assert_eq!(width_of(&[256.0, 32_767.0, -32_767.0]), (Width::I16, 0));
        assert_eq!(width_of(&[-32_768.0]), (Width::I32, 0));
        assert_eq!(width_of(&[5.1, 3.5, 0.2]), (Width::U8, 1));
        assert_eq!(width_of(&[5.1, 3.5, 300.25, missing]), (Width::I16, 2));
        assert_eq!(width_of(&[1e9, -2e9]), (Width::I32, 0));
        assert_eq!(width_of(&[1e10, 0.5]), (Width::F32, 0));
        assert_eq!(width_of(&[0.1 + 0.2]), (Width::F64, 0));
        assert_eq!(width_of(&[-0.0, 1.0]), (Width::F32, 0), "the sign of a zero is kept");
        assert_eq!(width_of(&[missing, missing]), (Width::I16, 0));
        assert_eq!(width_of(&[]), (Width::U8, 0));
    }

    proptest! {
        #[test]
        fn every_number_is_kept(
            numbers in prop::collection::vec(
                prop_oneof![
                    any::<f64>().prop_filter("finite", |x| x.is_finite()),
                    any::<f32>().prop_filter("finite", |x| x.is_finite()).prop_map(f64::from),
                    (any::<i32>(), 0u8..12).prop_map(|(n, k)| f64::from(n) / 10f64.powi(k.into())),
                    Just(f64::NAN),
                ],
                0..20,
            )
        ) {
            width_of(&numbers);
        }
    }
}
