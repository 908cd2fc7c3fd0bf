//! Vectors of sixteen floats, on every family of instructions.
//!
//! A pass over data is written once, generic over [`Simd`], and compiled for each family. A vector
//! always has [`LANES`] floats: one register of AVX-512, two of AVX2, or an array. So a pass does
//! the same operations on the same floats whatever the width of the registers. IEEE 754 rounds each
//! operation once, so the results have the same bits.
//!
//! A closure or function that contains vector operations must be `#[inline(always)]`, and may only
//! be passed to functions that are too: not to `std::array::from_fn` and not to `map`. Otherwise
//! the compiler may leave it a function of its own, without the family's instructions, and each
//! vector operation in it becomes a call. `.ci/run` looks for such calls on x86.
//!
//! A value that implements [`Simd`] proves that the machine has its instructions, because only
//! [`super::Family`] makes one, after detection. Therefore all methods are safe.

use super::lanes::{HALF, LANES, Lanes};

/// A family of instructions and its operations on vectors.
pub(crate) trait Simd: Copy {
    /// A vector of [`LANES`] floats.
    type F: Copy;
    /// The first half of a vector of floats.
    type Half: Copy;
    /// A vector of [`LANES`] 32-bit words. Arithmetic wraps.
    type U: Copy;
    /// One boolean per lane.
    type Mask: Copy;

    /// True if a root and a division occupy the divider for longer than everything else in an
    /// update takes; see [`crate::elementary::sqrt`].
    const DIVIDES_SLOWLY: bool;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// The vector at `from`.
    fn load(self, from: &Lanes) -> Self::F;
    /// Writes `x` to `to`.
    fn store(self, x: Self::F, to: &mut Lanes);
    /// Prefetches the cache line at `at`, which need not be readable.
    fn prefetch(self, at: *const f32);
    /// a + b, rounded to the nearest float like all arithmetic of this trait.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// a - b
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// The product a b.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// a / b
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// a b + c, rounded once.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// c - a b, rounded once.
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The square root, correctly rounded.
    fn sqrt(self, x: Self::F) -> Self::F;
    /// a where a > b, else b: so b where either is NaN.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// a where a < b, else b: so b where either is NaN.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// a < b; false for NaN.
    fn less(self, a: Self::F, b: Self::F) -> Self::Mask;
    /// a == b; false for NaN.
    fn equal(self, a: Self::F, b: Self::F) -> Self::Mask;
    /// `yes` where the mask is true, else `no`.
    fn select(self, mask: Self::Mask, yes: Self::F, no: Self::F) -> Self::F;
    /// Interleaves each quarter of a with that of b. The first result has the first two lanes of
    /// each (a's 0, b's 0, a's 1, b's 1), the second result the last two.
    fn interleave_quarters(self, a: Self::F, b: Self::F) -> [Self::F; 2];
    /// The even quarters (a's 0 and 2, b's 0 and 2), then the odd quarters.
    fn deal_quarters(self, a: Self::F, b: Self::F) -> [Self::F; 2];

    /// `x` in every lane of half a vector.
    fn splat_half(self, x: f32) -> Self::Half;
    /// The half vector at `from`.
    fn load_half(self, from: &[f32; HALF]) -> Self::Half;
    /// a b + c, rounded once.
    fn mul_add_half(self, a: Self::Half, b: Self::Half, c: Self::Half) -> Self::Half;
    /// A vector whose second half is 0.
    fn widen(self, half: Self::Half) -> Self::F;

    /// The bits of the floats.
    fn bits(self, x: Self::F) -> Self::U;
    /// The floats with these bits.
    fn floats(self, x: Self::U) -> Self::F;
    /// `x` in every lane of a vector of words.
    fn splat_word(self, x: u32) -> Self::U;
    /// The vector of words at `from`.
    fn load_words(self, from: &[u32; LANES]) -> Self::U;
    /// a + b modulo 2^32.
    fn add_words(self, a: Self::U, b: Self::U) -> Self::U;
    /// a - b modulo 2^32.
    fn sub_words(self, a: Self::U, b: Self::U) -> Self::U;
    /// a ^ b
    fn xor(self, a: Self::U, b: Self::U) -> Self::U;
    /// x << by, for `by` below 32.
    fn shift_left(self, x: Self::U, by: u32) -> Self::U;
    /// x >> by, for `by` below 32.
    fn shift_right(self, x: Self::U, by: u32) -> Self::U;

    /// Writes the columns of a square as rows. `from(i)` is row i of the square.
    fn transpose<'a>(self, from: impl Fn(usize) -> &'a Lanes, to: [&mut Lanes; LANES]);
}

/// A pass over data, compiled for every family.
pub(crate) trait Pass {
    /// The result of the pass.
    type Output;

    /// Runs the pass. It must be `#[inline(always)]` and call only such functions, or it is
    /// compiled for the baseline instructions.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}
