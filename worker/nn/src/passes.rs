//! Passes over one panel of a layer, while the product that wrote it has it in the cache: bias and activation, masks, column sums.
//!
//! What runs down the rows is summed in [`CHAINS`] chains, row i in chain i mod [`CHAINS`], whatever the machine: one chain would wait
//! for every addition.
#![allow(clippy::indexing_slicing, reason = "a block of a panel's N vectors")]

use crate::activation::Curve;
use crate::kernels::{LANES, Lanes, Pass, Simd};

/// Sums that run side by side.
pub(crate) const CHAINS: usize = 4;

/// The rows of a panel that is `N` vectors wide.
#[inline(always)]
pub(crate) fn rows<const N: usize>(panel: &[f32]) -> &[[Lanes; N]] {
    panel.as_chunks::<LANES>().0.as_chunks::<N>().0
}

/// The rows of a panel that is `N` vectors wide, to write.
#[inline(always)]
pub(crate) fn rows_mut<const N: usize>(panel: &mut [f32]) -> &mut [[Lanes; N]] {
    panel.as_chunks_mut::<LANES>().0.as_chunks_mut::<N>().0
}

/// The vectors of values that belong to a panel's columns.
#[inline(always)]
pub(crate) fn columns<const N: usize>(values: &[f32]) -> Option<&[Lanes; N]> {
    values.as_chunks::<LANES>().0.first_chunk()
}

/// As [`columns`], to write.
#[inline(always)]
pub(crate) fn columns_mut<const N: usize>(values: &mut [f32]) -> Option<&mut [Lanes; N]> {
    values.as_chunks_mut::<LANES>().0.first_chunk_mut()
}

/// The chains' total.
#[inline(always)]
pub(crate) fn total<S: Simd>(s: S, [a, b, c, d]: [S::F; CHAINS]) -> S::F {
    s.add(s.add(a, b), s.add(c, d))
}

/// Takes `add` down the rows of column vector `block`, in chains.
#[inline(always)]
pub(crate) fn sum_rows<S: Simd, const N: usize>(s: S, rows: &[[Lanes; N]], block: usize, add: impl Fn(S::F, S::F) -> S::F) -> S::F {
    let mut sums = [s.splat(0.0); CHAINS];
    let (groups, rest) = rows.as_chunks::<CHAINS>();
    for group in groups {
        for (sum, row) in sums.iter_mut().zip(group) {
            *sum = add(*sum, s.load(&row[block]));
        }
    }
    for (sum, row) in sums.iter_mut().zip(rest) {
        *sum = add(*sum, s.load(&row[block]));
    }
    total(s, sums)
}

/// A pass over a panel of one vector or two, chosen by [`OfWidth`].
pub(crate) trait PanelPass {
    /// Does it for a panel `N` vectors wide.
    fn run_columns<S: Simd, const N: usize>(self, s: S);
}

/// A [`PanelPass`] and the width of its panel in floats.
pub(crate) struct OfWidth<P>(pub(crate) usize, pub(crate) P);

impl<P: PanelPass> Pass for OfWidth<P> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.0 == LANES { self.1.run_columns::<S, 1>(s) } else { self.1.run_columns::<S, 2>(s) }
    }
}

/// out = g(z + b); z becomes z + b.
pub(crate) struct Activate<'a, A> {
    pub(crate) curve: A,
    pub(crate) bias: &'a [f32],
    pub(crate) z: &'a mut [f32],
    pub(crate) out: &'a mut [f32],
}

impl<A: Curve> PanelPass for Activate<'_, A> {
    #[inline(always)]
    fn run_columns<S: Simd, const N: usize>(self, s: S) {
        let Some(bias) = columns::<N>(self.bias) else { return };
        for (z, out) in rows_mut::<N>(self.z).iter_mut().zip(rows_mut::<N>(self.out)) {
            for block in 0..N {
                let value = s.add(s.load(&z[block]), s.load(&bias[block]));
                s.store(value, &mut z[block]);
                s.store(self.curve.value(s, value), &mut out[block]);
            }
        }
    }
}

/// Backwards through [`Activate`]: `d`, the gradient by out, becomes the gradient by z, and its sum that by b. `z` is z + b.
pub(crate) struct BackActivate<'a, A> {
    pub(crate) curve: A,
    pub(crate) z: &'a [f32],
    pub(crate) d: &'a mut [f32],
    pub(crate) d_bias: &'a mut [f32],
}

impl<A: Curve> PanelPass for BackActivate<'_, A> {
    #[inline(always)]
    fn run_columns<S: Simd, const N: usize>(self, s: S) {
        for (z, d) in rows::<N>(self.z).iter().zip(rows_mut::<N>(self.d)) {
            for block in 0..N {
                s.store(self.curve.back(s, s.load(&z[block]), s.load(&d[block])), &mut d[block]);
            }
        }
        ColumnSums { matrix: self.d, sums: self.d_bias }.run_columns::<S, N>(s);
    }
}

/// The sums over the rows: the gradient by a bias.
pub(crate) struct ColumnSums<'a> {
    pub(crate) matrix: &'a [f32],
    pub(crate) sums: &'a mut [f32],
}

impl PanelPass for ColumnSums<'_> {
    #[inline(always)]
    fn run_columns<S: Simd, const N: usize>(self, s: S) {
        let Some(sums) = columns_mut::<N>(self.sums) else { return };
        for (block, sum) in sums.iter_mut().enumerate() {
            let total = sum_rows(
                s,
                rows::<N>(self.matrix),
                block,
                #[inline(always)]
                |sum, x| s.add(sum, x),
            );
            s.store(total, sum);
        }
    }
}

/// Multiplies each of `values` by its factor: dropout, forward and backward.
pub(crate) struct Multiply<'a> {
    pub(crate) values: &'a mut [f32],
    pub(crate) factors: &'a [f32],
}

impl Pass for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (value, factor) in rows_mut::<1>(self.values).iter_mut().zip(rows::<1>(self.factors)) {
            s.store(s.mul(s.load(&value[0]), s.load(&factor[0])), &mut value[0]);
        }
    }
}
