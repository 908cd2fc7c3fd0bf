//! Passes over a strip of a layer while it is in the L1 cache: bias and activation, dropout masks,
//! column sums.
//!
//! Sums over the rows run in [`CHAINS`] chains on every machine, row i in chain i mod [`CHAINS`]. A
//! single chain would wait for the latency of each addition.

use crate::activation::Curve;
use crate::kernels::{Lanes, Pass, Simd, panels_of, panels_of_mut, vectors, vectors_mut};

/// The number of independent sums over the rows.
pub(crate) const CHAINS: usize = 4;

/// The sum of the chains, in a fixed order.
#[inline(always)]
pub(crate) fn total<S: Simd>(s: S, [a, b, c, d]: [S::F; CHAINS]) -> S::F {
    s.add(s.add(a, b), s.add(c, d))
}

/// Folds the rows of a panel with `add`, in chains; `add` gets the sum so far and a row.
#[inline(always)]
pub(crate) fn sum_rows<S: Simd>(s: S, rows: &[Lanes], add: impl Fn(S::F, S::F) -> S::F) -> S::F {
    let mut sums = [s.splat(0.0); CHAINS];
    let (groups, rest) = rows.as_chunks::<CHAINS>();
    for group in groups {
        for (sum, row) in sums.iter_mut().zip(group) {
            *sum = add(*sum, s.load(row));
        }
    }
    for (sum, row) in sums.iter_mut().zip(rest) {
        *sum = add(*sum, s.load(row));
    }
    total(s, sums)
}

/// The activation out = g(z + b) of a strip; z becomes z + b.
pub(crate) struct Activate<'a, A> {
    pub(crate) curve: A,
    pub(crate) rows: usize,
    pub(crate) bias: &'a [f32],
    pub(crate) z: &'a mut [f32],
    pub(crate) out: &'a mut [f32],
}

impl<A: Curve> Pass for Activate<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { curve, rows, bias, z, out } = self;
        for ((z, out), bias) in
            panels_of_mut(z, rows).zip(panels_of_mut(out, rows)).zip(vectors(bias))
        {
            for (z, out) in z.iter_mut().zip(out) {
                let value = s.add(s.load(z), s.load(bias));
                s.store(value, z);
                s.store(curve.value(s, value), out);
            }
        }
    }
}

/// The gradient of [`Activate`]: `d`, the gradient by out, becomes the gradient by z, and its
/// column sums are the gradient by b. `z` is z + b.
pub(crate) struct BackActivate<'a, A> {
    pub(crate) curve: A,
    pub(crate) rows: usize,
    pub(crate) z: &'a [f32],
    pub(crate) d: &'a mut [f32],
    pub(crate) d_bias: &'a mut [f32],
}

impl<A: Curve> Pass for BackActivate<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (z, d) in vectors(self.z).iter().zip(vectors_mut(self.d)) {
            s.store(self.curve.back(s, s.load(z), s.load(d)), d);
        }
        ColumnSums { rows: self.rows, matrix: self.d, sums: self.d_bias }.run(s);
    }
}

/// The sums of a strip over its rows: the gradient by a bias.
pub(crate) struct ColumnSums<'a> {
    pub(crate) rows: usize,
    pub(crate) matrix: &'a [f32],
    pub(crate) sums: &'a mut [f32],
}

impl Pass for ColumnSums<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (panel, sum) in panels_of(self.matrix, self.rows).zip(vectors_mut(self.sums)) {
            let total = sum_rows(
                s,
                panel,
                #[inline(always)]
                |sum, x| s.add(sum, x),
            );
            s.store(total, sum);
        }
    }
}

/// Multiplies each value by its factor: dropout, forward and backward.
pub(crate) struct Multiply<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) factors: &'a [f32],
}

impl Pass for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (value, factor) in vectors_mut(self.values).iter_mut().zip(vectors(self.factors)) {
            s.store(s.mul(s.load(value), s.load(factor)), value);
        }
    }
}
