//! The operation of a register tile: a word of a times a block of neighbouring words of b, added to
//! a block of sums.
//!
//! A word is a float, or a pair of bf16 (see [`super::pairs`]).

use super::lanes::{HALF, LANES, Lanes};
use super::simd::Simd;

/// How a block of columns is loaded, multiplied and stored.
pub(super) trait Block: Copy {
    /// One word of a or b per column.
    type Words: Copy;
    /// One sum of products per column.
    type Sums: Copy;

    /// A block of sums that are 0.
    fn zero(self) -> Self::Sums;
    /// The word at `from`, for every column.
    ///
    /// # Safety
    /// One word can be read at `from`.
    unsafe fn broadcast(self, from: *const f32) -> Self::Words;
    /// The words of the block's columns, which start at `from`.
    ///
    /// # Safety
    /// One word per column can be read.
    unsafe fn load(self, from: *const f32) -> Self::Words;
    /// a b + c
    fn mul_add(self, a: Self::Words, b: Self::Words, c: Self::Sums) -> Self::Sums;
    /// Writes a vector: the sums, and 0 in the lanes that the block does not have.
    ///
    /// # Safety
    /// [`LANES`] floats can be written at `to`.
    unsafe fn store(self, sums: Self::Sums, to: *mut f32);
    /// Prefetches the cache line at `at`, which need not be readable.
    fn prefetch(self, at: *const f32);
}

/// Blocks of one vector of floats.
#[derive(Clone, Copy)]
pub(super) struct Whole<S>(pub(super) S);

/// Blocks of half a vector of floats, where the other half would be padding.
#[derive(Clone, Copy)]
pub(super) struct Half<S>(pub(super) S);

/// Blocks of one vector of pairs of bf16.
///
/// The high halves of each pair are multiplied and added first, then the low halves, each rounded
/// once to f32. The dot product of Intel and AMD does the same, except that it turns sums below the
/// normal floats into 0.
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
    s.floats(s.shift_left(s.shift_right(pairs, 16), 16))
}

#[inline(always)]
fn low<S: Simd>(s: S, pairs: S::U) -> S::F {
    s.floats(s.shift_left(pairs, 16))
}
