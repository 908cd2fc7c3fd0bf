//! Passes of the stage before the first layer.
#![allow(clippy::indexing_slicing, reason = "a lane of a vector, and vectors of four lists")]

use crate::elementary::wave;
use crate::kernels::{LANES, Lanes, Pass, Simd, panels_of, panels_of_mut, vectors, vectors_mut};

/// One column of a matrix in panels.
#[derive(Clone, Copy)]
pub(crate) struct Number<'a> {
    /// The rows of the panel that has the column.
    pub(crate) rows: &'a [Lanes],
    /// The lane of the column.
    lane: usize,
}

impl<'a> Number<'a> {
    /// Column `column` of a matrix of `rows` rows.
    pub(crate) fn at(matrix: &'a [f32], rows: usize, column: usize) -> Self {
        let panel = &vectors(matrix)[column / LANES * rows..][..rows];
        Self { rows: panel, lane: column % LANES }
    }
}

/// cos(2 pi w x + f), a row of 16 functions for each row of the number x.
pub(crate) struct Cosines<'a> {
    pub(crate) x: Number<'a>,
    pub(crate) w: Lanes,
    pub(crate) f: Lanes,
    pub(crate) to: &'a mut [Lanes],
}

impl Pass for Cosines<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, w, f, to } = self;
        let (w, f) = (s.load(&w), s.load(&f));
        for (row, to) in x.rows.iter().zip(to) {
            let [cosine, _] = wave(s, s.splat(row[x.lane]), w, f);
            s.store(cosine, to);
        }
    }
}

/// The gradients by w and f of [`Cosines`], from d, the gradient by the functions.
pub(crate) struct BackCosines<'a> {
    pub(crate) x: Number<'a>,
    pub(crate) w: Lanes,
    pub(crate) f: Lanes,
    pub(crate) d: &'a [Lanes],
}

impl Pass for BackCosines<'_> {
    type Output = [Lanes; 2];

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> [Lanes; 2] {
        let Self { x, w, f, d } = self;
        let (w, f) = (s.load(&w), s.load(&f));
        let (mut by_w, mut by_f) = (s.splat(0.0), s.splat(0.0));
        for (row, d) in x.rows.iter().zip(d) {
            let x = s.splat(row[x.lane]);
            let [_, sine] = wave(s, x, w, f);
            let slope = s.mul(s.load(d), sine);
            by_f = s.sub(by_f, slope);
            by_w = s.neg_mul_add(x, slope, by_w);
        }
        let mut sums = [[0.0; LANES]; 2];
        s.store(s.mul(s.splat(std::f32::consts::TAU), by_w), &mut sums[0]);
        s.store(by_f, &mut sums[1]);
        sums
    }
}

/// (x - start) factor between low and high, for each bin of a number: as many rows of panels as the
/// number has rows.
pub(crate) struct Segments<'a> {
    pub(crate) x: Number<'a>,
    /// Of each panel of bins the starts, factors, lowest and highest values.
    pub(crate) bins: &'a [Lanes],
    pub(crate) to: &'a mut [f32],
}

impl Pass for Segments<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { x, bins, to } = self;
        for (bins, panel) in bins.as_chunks::<4>().0.iter().zip(panels_of_mut(to, x.rows.len())) {
            let (start, factor) = (s.load(&bins[0]), s.load(&bins[1]));
            let (low, high) = (s.load(&bins[2]), s.load(&bins[3]));
            for (row, to) in x.rows.iter().zip(panel) {
                let inside = s.mul(s.sub(s.splat(row[x.lane]), start), factor);
                // In this order NaN passes through.
                s.store(s.min(high, s.max(low, inside)), to);
            }
        }
    }
}

/// Multiplies each column by its factor.
pub(crate) struct Scale<'a> {
    pub(crate) rows: usize,
    pub(crate) values: &'a [f32],
    pub(crate) factors: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

impl Pass for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { rows, values, factors, out } = self;
        let panels = panels_of(values, rows).zip(panels_of_mut(out, rows));
        for ((values, out), factor) in panels.zip(vectors(factors)) {
            let factor = s.load(factor);
            for (value, out) in values.iter().zip(out) {
                s.store(s.mul(s.load(value), factor), out);
            }
        }
    }
}

/// The gradient of [`Scale`]: `d`, the gradient by the products, becomes that by the values, and
/// the sums of `d` times the values become the gradient by the factors.
pub(crate) struct BackScale<'a> {
    pub(crate) rows: usize,
    pub(crate) values: &'a [f32],
    pub(crate) factors: &'a [f32],
    pub(crate) d: &'a mut [f32],
    pub(crate) d_factors: &'a mut [f32],
}

impl Pass for BackScale<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { rows, values, factors, d, d_factors } = self;
        let panels = panels_of(values, rows).zip(panels_of_mut(d, rows));
        let factors = vectors(factors).iter().zip(vectors_mut(d_factors));
        for ((values, d), (factor, sum)) in panels.zip(factors) {
            let factor = s.load(factor);
            let mut total = s.splat(0.0);
            for (value, d) in values.iter().zip(d) {
                let by_product = s.load(d);
                total = s.mul_add(by_product, s.load(value), total);
                s.store(s.mul(by_product, factor), d);
            }
            s.store(total, sum);
        }
    }
}
