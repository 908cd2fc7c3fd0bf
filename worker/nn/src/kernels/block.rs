//! What a register tile multiplies: a word of a with a block of neighbouring words of b, added to a
//! block of sums.
//!
//! A word is a float, or a pair of bf16 (see [`super::pairs`]).

use super::simd::{HALF, LANES, Lanes, Simd};

/// How a block of columns is loaded, multiplied and stored.
pub(super) trait Block: Copy {
    /// Words of a or b.
    type Words: Copy;
    /// Sums of products.
    type Sums: Copy;

    /// Sums of 0.
    fn zero(self) -> Self::Sums;
    /// The word at `from`, for every column.
    ///
    /// # Safety
    /// It can be read.
    unsafe fn broadcast(self, from: *const f32) -> Self::Words;
    /// The words of the block's columns.
    ///
    /// # Safety
    /// They can be read.
    unsafe fn load(self, from: *const f32) -> Self::Words;
    /// a b + c
    fn mul_add(self, a: Self::Words, b: Self::Words, c: Self::Sums) -> Self::Sums;
    /// Writes the sums, and 0 for what the block lacks of a vector.
    ///
    /// # Safety
    /// [`LANES`] floats can be written.
    unsafe fn store(self, sums: Self::Sums, to: *mut f32);
    /// As [`Simd::prefetch`].
    fn prefetch(self, at: *const f32);
}

/// A vector of floats.
#[derive(Clone, Copy)]
pub(super) struct Whole<S>(pub(super) S);

/// Half a vector of floats, where the other half would be padding.
#[derive(Clone, Copy)]
pub(super) struct Half<S>(pub(super) S);

/// A vector of pairs of bf16. Of each pair first the high halves are multiplied and added, then the
/// low ones, each rounded once to f32: what Intel's and AMD's dot product does (but for sums below
/// the normal floats, which it makes 0).
#[derive(Clone, Copy)]
pub(super) struct Pairs<S>(pub(super) S);

impl<S: Simd> Block for Whole<S> {
    type Words = S::F;
    type Sums = S::F;

    #[inline(always)]
    fn zero(self) -> S::F {
        self.0.splat(0.0)
    }

    #[inline(always)]
    unsafe fn broadcast(self, from: *const f32) -> S::F {
        // SAFETY: the caller's promise.
        self.0.splat(unsafe { *from })
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> S::F {
        // SAFETY: the caller's promise.
        self.0.load(unsafe { &*from.cast::<Lanes>() })
    }

    #[inline(always)]
    fn mul_add(self, a: S::F, b: S::F, c: S::F) -> S::F {
        self.0.mul_add(a, b, c)
    }

    #[inline(always)]
    unsafe fn store(self, sums: S::F, to: *mut f32) {
        // SAFETY: the caller's promise.
        self.0.store(sums, unsafe { &mut *to.cast::<Lanes>() });
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        self.0.prefetch(at);
    }
}

impl<S: Simd> Block for Half<S> {
    type Words = S::Half;
    type Sums = S::Half;

    #[inline(always)]
    fn zero(self) -> S::Half {
        self.0.splat_half(0.0)
    }

    #[inline(always)]
    unsafe fn broadcast(self, from: *const f32) -> S::Half {
        // SAFETY: the caller's promise.
        self.0.splat_half(unsafe { *from })
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> S::Half {
        // SAFETY: the caller's promise.
        self.0.load_half(unsafe { &*from.cast::<[f32; HALF]>() })
    }

    #[inline(always)]
    fn mul_add(self, a: S::Half, b: S::Half, c: S::Half) -> S::Half {
        self.0.mul_add_half(a, b, c)
    }

    #[inline(always)]
    unsafe fn store(self, sums: S::Half, to: *mut f32) {
        // SAFETY: the caller's promise.
        self.0.store(self.0.widen(sums), unsafe { &mut *to.cast::<Lanes>() });
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        self.0.prefetch(at);
    }
}

impl<S: Simd> Block for Pairs<S> {
    type Words = S::U;
    type Sums = S::F;

    #[inline(always)]
    fn zero(self) -> S::F {
        self.0.splat(0.0)
    }

    #[inline(always)]
    unsafe fn broadcast(self, from: *const f32) -> S::U {
        // SAFETY: the caller's promise.
        self.0.splat_word(unsafe { *from.cast::<u32>() })
    }

    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> S::U {
        // SAFETY: the caller's promise.
        self.0.load_words(unsafe { &*from.cast::<[u32; LANES]>() })
    }

    #[inline(always)]
    fn mul_add(self, a: S::U, b: S::U, c: S::F) -> S::F {
        let s = self.0;
        let sum = s.mul_add(high(s, a), high(s, b), c);
        s.mul_add(low(s, a), low(s, b), sum)
    }

    #[inline(always)]
    unsafe fn store(self, sums: S::F, to: *mut f32) {
        // SAFETY: the caller's promise.
        self.0.store(sums, unsafe { &mut *to.cast::<Lanes>() });
    }

    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        self.0.prefetch(at);
    }
}

#[inline(always)]
fn high<S: Simd>(s: S, pairs: S::U) -> S::F {
    s.of_bits(s.shift_left(s.shift_right(pairs, 16), 16))
}

#[inline(always)]
fn low<S: Simd>(s: S, pairs: S::U) -> S::F {
    s.of_bits(s.shift_left(pairs, 16))
}
