//! Sixteen floats at a time, on every family of instructions.
//!
//! A pass over data is written once, generic over [`Simd`], and compiled for each family. A vector
//! always has [`LANES`] floats: one AVX-512 register, two of AVX2, or an array. So a pass does the
//! same operations on the same floats whatever the registers' width, each rounded once as IEEE 754
//! says, and its results are the same bits.
//!
//! No vector operation may stand in a closure or function given to anything that is not
//! `#[inline(always)]` (so no `std::array::from_fn`, no `map`): that may stay a function of its
//! own, compiled without the family's instructions, and every operation in it is a call. `.ci/run`
//! looks for such calls on x86.
//!
//! A value that implements [`Simd`] is the proof that its instructions are there (only
//! [`super::Family`] makes one, after detection), so all methods are safe.

use super::transpose::transpose;

/// Floats in a vector.
pub(crate) const LANES: usize = 16;

/// Floats in half a vector.
pub(crate) const HALF: usize = LANES / 2;

/// A vector in memory.
pub(crate) type Lanes = [f32; LANES];

/// The vectors of a buffer whose length is a multiple of [`LANES`].
pub(crate) fn vectors(values: &[f32]) -> &[Lanes] {
    values.as_chunks().0
}

/// As [`vectors`], to write.
pub(crate) fn vectors_mut(values: &mut [f32]) -> &mut [Lanes] {
    values.as_chunks_mut().0
}

/// A family of instructions, and what it does with vectors.
pub(crate) trait Simd: Copy {
    /// A vector of floats.
    type F: Copy;
    /// The first half of one.
    type Half: Copy;
    /// A vector of as many 32-bit words; arithmetic wraps.
    type U: Copy;
    /// A yes or no for every lane.
    type Mask: Copy;

    /// Whether a root and a division occupy the divider longer than all else beside them takes, see
    /// [`crate::elementary::sqrt`].
    const DIVIDES_SLOWLY: bool;

    /// `x` in every lane.
    fn splat(self, x: f32) -> Self::F;
    /// What lies at `from`.
    fn load(self, from: &Lanes) -> Self::F;
    /// Writes `x` to `to`.
    fn store(self, x: Self::F, to: &mut Lanes);
    /// Asks for the cache line at `at`, which need not be readable.
    fn prefetch(self, at: *const f32);
    /// a + b
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// a - b
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// a b
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// a / b
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// a b + c, rounded once.
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// c - a b, rounded once.
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// The root, correctly rounded.
    fn sqrt(self, x: Self::F) -> Self::F;
    /// a where a > b, else b: what is compared with NaN becomes `b`.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// a where a < b, else b.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// a < b; no for NaN.
    fn less(self, a: Self::F, b: Self::F) -> Self::Mask;
    /// a == b; no for NaN.
    fn equal(self, a: Self::F, b: Self::F) -> Self::Mask;
    /// `yes` where the mask says yes, else `no`.
    fn select(self, mask: Self::Mask, yes: Self::F, no: Self::F) -> Self::F;
    /// In every quarter the lanes of both in turn: of its first two (a's 0, b's 0, a's 1, b's 1),
    /// then of its last two.
    fn interleave_quarters(self, a: Self::F, b: Self::F) -> [Self::F; 2];
    /// The even quarters (a's 0 and 2, b's 0 and 2), then the odd ones.
    fn deal_quarters(self, a: Self::F, b: Self::F) -> [Self::F; 2];

    /// `x` in every lane.
    fn splat_half(self, x: f32) -> Self::Half;
    /// What lies at `from`.
    fn load_half(self, from: &[f32; HALF]) -> Self::Half;
    /// a b + c, rounded once.
    fn mul_add_half(self, a: Self::Half, b: Self::Half, c: Self::Half) -> Self::Half;
    /// A vector whose second half is 0.
    fn widen(self, half: Self::Half) -> Self::F;

    /// The floats' bits.
    fn bits(self, x: Self::F) -> Self::U;
    /// The floats with these bits.
    fn of_bits(self, x: Self::U) -> Self::F;
    /// `x` in every lane.
    fn splat_word(self, x: u32) -> Self::U;
    /// What lies at `from`.
    fn load_words(self, from: &[u32; LANES]) -> Self::U;
    /// a + b
    fn add_words(self, a: Self::U, b: Self::U) -> Self::U;
    /// a - b
    fn sub_words(self, a: Self::U, b: Self::U) -> Self::U;
    /// a ^ b
    fn xor(self, a: Self::U, b: Self::U) -> Self::U;
    /// x << by, with `by` below 32.
    fn shift_left(self, x: Self::U, by: u32) -> Self::U;
    /// x >> by, with `by` below 32.
    fn shift_right(self, x: Self::U, by: u32) -> Self::U;

    /// Writes the columns of a square as rows: row i of it lies at `from(i)`.
    #[inline(always)]
    fn transpose<'a>(self, from: impl Fn(usize) -> &'a Lanes, to: [&mut Lanes; LANES]) {
        let mut square = [self.splat(0.0); LANES];
        for (row, to) in square.iter_mut().enumerate() {
            *to = self.load(from(row));
        }
        for (column, to) in transpose(self, square).into_iter().zip(to) {
            self.store(column, to);
        }
    }
}

/// Something to do with vectors, compiled for every family.
pub(crate) trait Pass {
    /// What it gives.
    type Output;

    /// Does it. Must be `#[inline(always)]`, calling functions so marked, or it is compiled for the
    /// baseline.
    fn run<S: Simd>(self, simd: S) -> Self::Output;
}
