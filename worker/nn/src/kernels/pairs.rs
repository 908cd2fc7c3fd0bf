//! Matrices of bf16 for products: pairs of values in words of 32 bits, along the depth.
//!
//! n values become [`words`]`(n)` words. Of every 32 values, word i holds value i in its low half
//! and value i + 16 in its high half, or 0 if there is no such value. So a word is made of two
//! whole vectors, lane by lane. A matrix of words has the layout of a matrix of floats
//! ([`mod@super::panels`]), and its bits are stored as floats.

use super::lanes::{LANES, Lanes, vectors, vectors_mut};
use super::panels::{Piece, padded, panels, panels_of, panels_of_mut, words};
use super::simd::{Pass, Simd};
use super::square::{Square, transpose};

/// Rounds to bf16, ties to even. The result is in the lower half of each word.
///
/// Values below the normal floats become 0, as in the processors' own dot products. NaN stays NaN.
#[inline(always)]
fn round<S: Simd>(s: S, x: S::F) -> S::U {
    let bits = s.bits(x);
    let last_bit = s.shift_right(s.shift_left(bits, 15), 31);
    let rounded = s.shift_right(s.add_words(s.add_words(bits, s.splat_word(0x7fff)), last_bit), 16);
    let size = s.max(x, s.sub(s.splat(0.0), x));
    let is_small = s.less(size, s.splat(f32::MIN_POSITIVE));
    let rounded = s.select(is_small, s.splat(0.0), s.floats(rounded));
    s.bits(s.select(s.equal(x, x), rounded, s.floats(s.splat_word(0x7fc0))))
}

/// A word of two values per lane, with its bits in a float.
#[inline(always)]
fn pair<S: Simd>(s: S, low: S::F, high: S::F) -> S::F {
    s.floats(s.add_words(round(s, low), s.shift_left(round(s, high), 16)))
}

/// Pairs along the columns: `to` becomes [rows, words(columns)]. Two panels of floats make one of
/// words.
pub(super) struct PairColumns<'a> {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) from: &'a [f32],
    pub(super) to: &'a mut [f32],
}

impl Pass for PairColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let from = vectors(&self.from[..padded(self.columns) * self.rows]).chunks(2 * self.rows);
        for (from, to) in from.zip(vectors_mut(self.to).chunks_exact_mut(self.rows)) {
            let (low, high) = from.split_at(self.rows);
            pair_vectors(s, low, high, to);
        }
    }
}

/// Pairs along the rows: `to` becomes [words(rows), columns].
pub(super) struct PairRows<'a> {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) from: &'a [f32],
    pub(super) to: &'a mut [f32],
}

impl Pass for PairRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let from = panels_of(&self.from[..padded(self.columns) * self.rows], self.rows);
        for (from, to) in from.zip(panels_of_mut(self.to, words(self.rows))) {
            for (from, to) in from.chunks(2 * LANES).zip(to.chunks_mut(LANES)) {
                let (low, high) = from.split_at(from.len().min(LANES));
                pair_vectors(s, low, high, to);
            }
        }
    }
}

/// Pairs each vector of `low` with that of `high`, or with 0 where `high` is shorter.
#[inline(always)]
fn pair_vectors<S: Simd>(s: S, low: &[Lanes], high: &[Lanes], to: &mut [Lanes]) {
    let (paired, single) = low.split_at(high.len());
    let (to_paired, to_single) = to.split_at_mut(high.len());
    for ((low, high), to) in paired.iter().zip(high).zip(to_paired) {
        s.store(pair(s, s.load(low), s.load(high)), to);
    }
    for (low, to) in single.iter().zip(to_single) {
        s.store(pair(s, s.load(low), s.splat(0.0)), to);
    }
}

/// Writes the rows `strip` of W [padded inputs, outputs] as columns of pairs: `to` becomes
/// [padded words(outputs), strip.width].
pub(super) struct PairTransposed<'a> {
    /// The strip of the input gradient, whose columns are rows of W.
    pub(super) piece: Piece,
    pub(super) w: &'a [f32],
    pub(super) to: &'a mut [f32],
}

impl Pass for PairTransposed<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { piece: Piece { shape, strip }, w, to } = self;
        let panel_len = padded(shape.inputs) * LANES;
        for panel in panels(strip.width) {
            let to = vectors_mut(&mut to[panel * padded(words(shape.outputs))..])
                .as_chunks_mut::<LANES>()
                .0;
            let square = (strip.first + panel) * LANES..(strip.first + panel + LANES) * LANES;
            for (from, to) in
                w[..panel_len * padded(shape.outputs) / LANES].chunks(2 * panel_len).zip(to)
            {
                let (low, high) = from.split_at(panel_len);
                let square = pairs_of_rows(
                    s,
                    vectors(&low[square.clone()]),
                    high.get(square.clone()).map_or(&[], vectors),
                );
                for (vector, to) in transpose(s, square).into_iter().zip(to) {
                    s.store(vector, to);
                }
            }
        }
    }
}

/// Pairs sixteen rows of a panel with those of the next panel, or with 0 after the last panel.
#[inline(always)]
fn pairs_of_rows<S: Simd>(s: S, low: &[Lanes], high: &[Lanes]) -> Square<S> {
    let mut square = [s.splat(0.0); LANES];
    for (row, to) in square.iter_mut().enumerate() {
        let above = if let Some(high) = high.get(row) { s.load(high) } else { s.splat(0.0) };
        *to = pair(s, s.load(&low[row]), above);
    }
    square
}
