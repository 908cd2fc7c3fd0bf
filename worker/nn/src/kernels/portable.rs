//! Arrays, which the compiler turns into the vectors of the build target: on 64-bit ARM, NEON.
//!
//! The multiply-add is rounded once: in hardware where the target has it (on all 64-bit ARM), else
//! in software, which is slow but gives the same bits.

use super::lanes::{HALF, LANES, Lanes};
use super::simd::Simd;
use super::square::transpose_rows;

/// The family without instructions beyond the baseline of the build target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portable;

#[inline(always)]
fn each<T>(of: impl Fn(usize) -> T) -> [T; LANES] {
    std::array::from_fn(of)
}

impl Simd for Portable {
    type F = Lanes;
    type Half = [f32; HALF];
    type U = [u32; LANES];
    type Mask = [bool; LANES];
    const DIVIDES_SLOWLY: bool = cfg!(target_arch = "aarch64");

    #[inline(always)]
    fn splat(self, x: f32) -> Lanes {
        [x; LANES]
    }

    #[inline(always)]
    fn load(self, from: &Lanes) -> Lanes {
        *from
    }

    #[inline(always)]
    fn store(self, x: Lanes, to: &mut Lanes) {
        *to = x;
    }

    #[inline(always)]
    fn prefetch(self, _: *const f32) {}

    #[inline(always)]
    fn add(self, a: Lanes, b: Lanes) -> Lanes {
        each(|lane| a[lane] + b[lane])
    }

    #[inline(always)]
    fn sub(self, a: Lanes, b: Lanes) -> Lanes {
        each(|lane| a[lane] - b[lane])
    }

    #[inline(always)]
    fn mul(self, a: Lanes, b: Lanes) -> Lanes {
        each(|lane| a[lane] * b[lane])
    }

    #[inline(always)]
    fn div(self, a: Lanes, b: Lanes) -> Lanes {
        each(|lane| a[lane] / b[lane])
    }

    #[inline(always)]
    fn mul_add(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        each(|lane| a[lane].mul_add(b[lane], c[lane]))
    }

    #[inline(always)]
    fn neg_mul_add(self, a: Lanes, b: Lanes, c: Lanes) -> Lanes {
        each(|lane| (-a[lane]).mul_add(b[lane], c[lane]))
    }

    #[inline(always)]
    fn sqrt(self, x: Lanes) -> Lanes {
        each(|lane| x[lane].sqrt())
    }

    #[inline(always)]
    fn max(self, a: Lanes, b: Lanes) -> Lanes {
        each(|lane| if a[lane] > b[lane] { a[lane] } else { b[lane] })
    }

    #[inline(always)]
    fn min(self, a: Lanes, b: Lanes) -> Lanes {
        each(|lane| if a[lane] < b[lane] { a[lane] } else { b[lane] })
    }

    #[inline(always)]
    fn less(self, a: Lanes, b: Lanes) -> [bool; LANES] {
        each(|lane| a[lane] < b[lane])
    }

    #[inline(always)]
    fn equal(self, a: Lanes, b: Lanes) -> [bool; LANES] {
        #[allow(clippy::float_cmp, reason = "exact equality is the operation")]
        each(|lane| a[lane] == b[lane])
    }

    #[inline(always)]
    fn select(self, mask: [bool; LANES], yes: Lanes, no: Lanes) -> Lanes {
        each(|lane| if mask[lane] { yes[lane] } else { no[lane] })
    }

    #[inline(always)]
    fn splat_half(self, x: f32) -> [f32; HALF] {
        [x; HALF]
    }

    #[inline(always)]
    fn load_half(self, from: &[f32; HALF]) -> [f32; HALF] {
        *from
    }

    #[inline(always)]
    fn mul_add_half(self, a: [f32; HALF], b: [f32; HALF], c: [f32; HALF]) -> [f32; HALF] {
        std::array::from_fn(|lane| a[lane].mul_add(b[lane], c[lane]))
    }

    #[inline(always)]
    fn widen(self, half: [f32; HALF]) -> Lanes {
        each(|lane| half.get(lane).copied().unwrap_or(0.0))
    }

    #[inline(always)]
    fn interleave_quarters(self, a: Lanes, b: Lanes) -> [Lanes; 2] {
        let from = |lane: usize, half: usize| {
            let source = if lane.is_multiple_of(2) { &a } else { &b };
            source[lane / 4 * 4 + half + lane % 4 / 2]
        };
        [each(|lane| from(lane, 0)), each(|lane| from(lane, 2))]
    }

    #[inline(always)]
    fn deal_quarters(self, a: Lanes, b: Lanes) -> [Lanes; 2] {
        let from = |lane: usize, odd: usize| {
            let source = if lane < LANES / 2 { &a } else { &b };
            source[lane % 8 / 4 * 8 + odd * 4 + lane % 4]
        };
        [each(|lane| from(lane, 0)), each(|lane| from(lane, 1))]
    }

    #[inline(always)]
    fn transpose<'a>(self, from: impl Fn(usize) -> &'a Lanes, to: [&mut Lanes; LANES]) {
        transpose_rows(self, from, to);
    }

    #[inline(always)]
    fn bits(self, x: Lanes) -> [u32; LANES] {
        each(|lane| x[lane].to_bits())
    }

    #[inline(always)]
    fn floats(self, x: [u32; LANES]) -> Lanes {
        each(|lane| f32::from_bits(x[lane]))
    }

    #[inline(always)]
    fn splat_word(self, x: u32) -> [u32; LANES] {
        [x; LANES]
    }

    #[inline(always)]
    fn load_words(self, from: &[u32; LANES]) -> [u32; LANES] {
        *from
    }

    #[inline(always)]
    fn add_words(self, a: [u32; LANES], b: [u32; LANES]) -> [u32; LANES] {
        each(|lane| a[lane].wrapping_add(b[lane]))
    }

    #[inline(always)]
    fn sub_words(self, a: [u32; LANES], b: [u32; LANES]) -> [u32; LANES] {
        each(|lane| a[lane].wrapping_sub(b[lane]))
    }

    #[inline(always)]
    fn xor(self, a: [u32; LANES], b: [u32; LANES]) -> [u32; LANES] {
        each(|lane| a[lane] ^ b[lane])
    }

    #[inline(always)]
    fn shift_left(self, x: [u32; LANES], by: u32) -> [u32; LANES] {
        each(|lane| x[lane] << by)
    }

    #[inline(always)]
    fn shift_right(self, x: [u32; LANES], by: u32) -> [u32; LANES] {
        each(|lane| x[lane] >> by)
    }
}
