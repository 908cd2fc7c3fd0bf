//! Matrices of bf16 for products: two in a word of 32 bits, neighbours along the depth.
//!
//! Along the depth, n values become [`words`]`(n)` words: of every 32, word i holds value i (its low half) and value i + 16 (its high half,
//! 0 where there is none). So a word is made of whole vectors, lane by lane. A matrix of words has the same layout as a matrix of floats
//! ([`mod@super::panels`]); its bits are kept in floats.

use super::panels::{PANEL, Panel, padded, panel_at, panels};
use super::simd::{LANES, Lanes, Pass, Simd};
use super::transpose::{Square, transpose};

/// The words that hold `values` values along the depth.
pub(crate) const fn words(values: usize) -> usize {
    let rest = values % PANEL;
    values / PANEL * LANES + if rest < LANES { rest } else { LANES }
}

/// Rounds to bf16, ties to even: the bits, in the lower half of each word. Below the normal floats everything is 0, as in the processors'
/// own dot products; NaN stays NaN.
#[inline(always)]
fn round<S: Simd>(s: S, x: S::F) -> S::U {
    let bits = s.bits(x);
    let last_bit = s.shift_right(s.shift_left(bits, 15), 31);
    let rounded = s.shift_right(s.add_words(s.add_words(bits, s.splat_word(0x7fff)), last_bit), 16);
    let size = s.max(x, s.sub(s.splat(0.0), x));
    let is_small = s.less(size, s.splat(f32::MIN_POSITIVE));
    let rounded = s.select(is_small, s.splat(0.0), s.of_bits(rounded));
    s.bits(s.select(s.equal(x, x), rounded, s.of_bits(s.splat_word(0x7fc0))))
}

/// A word of two values a lane, as floats' bits.
#[inline(always)]
fn pair<S: Simd>(s: S, low: S::F, high: S::F) -> S::F {
    s.of_bits(s.add_words(round(s, low), s.shift_left(round(s, high), 16)))
}

/// Pairs along the columns: `to` becomes [rows, words(columns)].
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
        for panel in panels(self.columns) {
            let from = self.from[panel.range(self.rows)].as_chunks::<LANES>().0.chunks_exact(panel.width / LANES);
            // Two panels of floats make one of words.
            let column = panel.first / 2;
            let Panel { first, width } = panel_at(words(self.columns), column / PANEL * PANEL);
            let to = self.to[first * self.rows..][..width * self.rows].as_chunks_mut::<LANES>().0;
            for (from, to) in from.zip(to.iter_mut().skip((column - first) / LANES).step_by(width / LANES)) {
                let high = from.get(1).map_or(s.splat(0.0), |high| s.load(high));
                s.store(pair(s, s.load(&from[0]), high), to);
            }
        }
    }
}

/// Pairs along the rows: a panel of `to` becomes [words(rows), width].
pub(super) struct PairRows<'a> {
    pub(super) rows: usize,
    pub(super) width: usize,
    pub(super) from: &'a [f32],
    pub(super) to: &'a mut [f32],
}

impl Pass for PairRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let from = self.from[..self.rows * self.width].chunks(PANEL * self.width);
        for (from, to) in from.zip(self.to.chunks_mut(LANES * self.width)) {
            let (from, to) = (from.as_chunks::<LANES>().0, to.as_chunks_mut::<LANES>().0);
            // Sixteen rows are as many vectors as the panel has columns.
            let (low, high) = from.split_at(from.len().min(self.width));
            let (paired, alone) = low.split_at(high.len());
            let (to_paired, to_alone) = to.split_at_mut(high.len());
            for ((low, high), to) in paired.iter().zip(high).zip(to_paired) {
                s.store(pair(s, s.load(low), s.load(high)), to);
            }
            for (low, to) in alone.iter().zip(to_alone) {
                s.store(pair(s, s.load(low), s.splat(0.0)), to);
            }
        }
    }
}

/// Rows `panel` of W [padded inputs, outputs] as columns of pairs: `to` becomes [words(outputs), panel.width].
pub(super) struct PairTransposed<'a> {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) panel: Panel,
    pub(super) w: &'a [f32],
    pub(super) to: &'a mut [f32],
}

impl Pass for PairTransposed<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { inputs, outputs, panel, w, to } = self;
        let vectors = panel.width / LANES;
        for source in panels(outputs) {
            let block = w[source.first * padded(inputs) + panel.first * source.width..][..panel.width * source.width].as_chunks().0;
            let to = to[source.first / 2 * panel.width..].as_chunks_mut().0;
            for column in 0..vectors {
                let from = block[column * source.width..].chunks_exact(source.width / LANES);
                let square = pairs_of_rows(s, from);
                for (vector, to) in transpose(s, square).into_iter().zip(to.iter_mut().skip(column).step_by(vectors)) {
                    s.store(vector, to);
                }
            }
        }
    }
}

/// Sixteen rows of one vector or two, each as a vector of pairs.
#[inline(always)]
fn pairs_of_rows<'a, S: Simd>(s: S, rows: impl Iterator<Item = &'a [Lanes]>) -> Square<S> {
    let mut square = [s.splat(0.0); LANES];
    for (to, row) in square.iter_mut().zip(rows) {
        let high = row.get(1).map_or(s.splat(0.0), |high| s.load(high));
        *to = pair(s, s.load(&row[0]), high);
    }
    square
}
