//! Batch normalisation (Ioffe and Szegedy 2015), a panel at a time, with the activation that follows.
#![allow(clippy::indexing_slicing, reason = "a block of a panel's N vectors, and panels of the layer they belong to")]

use crate::activation::Curve;
use crate::error::TrainError;
use crate::kernels::{Buffer, Lanes, Panel, Simd};
use crate::passes::{CHAINS, PanelPass, columns, columns_mut, rows, rows_mut, sum_rows, total};

/// Added to the variance before the square root.
pub(crate) const EPSILON: f32 = 1e-5;

/// What one batch-normalised layer remembers, beside gamma and beta. One value a unit, padded.
pub(crate) struct Statistics {
    /// 1 / sqrt(variance + epsilon) of the last mini-batch.
    pub(crate) inverse_deviation: Buffer,
    /// Exponential average of the means; serves at test time.
    pub(crate) running_mean: Buffer,
    /// Exponential average of the unbiased variances.
    pub(crate) running_variance: Buffer,
}

/// The part of [`Statistics`] that belongs to a panel.
pub(crate) struct PanelStatistics<'a> {
    inverse_deviation: &'a mut [f32],
    running_mean: &'a mut [f32],
    running_variance: &'a mut [f32],
}

impl Statistics {
    /// At the start of a training: running mean 0 and variance 1.
    pub(crate) fn new(units: usize) -> Result<Self, TrainError> {
        let mut running_variance = Buffer::new(units)?;
        running_variance.fill(1.0);
        Ok(Self { inverse_deviation: Buffer::new(units)?, running_mean: Buffer::new(units)?, running_variance })
    }

    pub(crate) fn of_panel(&mut self, panel: Panel) -> PanelStatistics<'_> {
        let columns = panel.columns();
        PanelStatistics {
            inverse_deviation: &mut self.inverse_deviation[columns.clone()],
            running_mean: &mut self.running_mean[columns.clone()],
            running_variance: &mut self.running_variance[columns],
        }
    }
}

/// Normalises by the mini-batch: `z` becomes zhat = (z - mean) / sqrt(variance + epsilon), and `out` g(gamma zhat + beta). The running
/// statistics move: running = momentum running + (1 - momentum) batch, with the unbiased variance. There are at least 2 rows.
pub(crate) struct Normalise<'a, A> {
    pub(crate) curve: A,
    pub(crate) momentum: f32,
    pub(crate) statistics: PanelStatistics<'a>,
    pub(crate) gamma: &'a [f32],
    pub(crate) beta: &'a [f32],
    pub(crate) z: &'a mut [f32],
    pub(crate) out: &'a mut [f32],
}

impl<A: Curve> PanelPass for Normalise<'_, A> {
    #[inline(always)]
    fn run_columns<S: Simd, const N: usize>(self, s: S) {
        let Self { curve, momentum, statistics: PanelStatistics { inverse_deviation, running_mean, running_variance }, .. } = self;
        let (Some(inverse_deviation), Some(running_mean), Some(running_variance), Some(gamma), Some(beta)) = (
            columns_mut::<N>(inverse_deviation),
            columns_mut::<N>(running_mean),
            columns_mut::<N>(running_variance),
            columns::<N>(self.gamma),
            columns::<N>(self.beta),
        ) else {
            return;
        };
        let (z, out) = (rows_mut::<N>(self.z), rows_mut::<N>(self.out));
        for block in 0..N {
            let (mean, squares) = mean_and_squares(s, z, block);
            let inverse = inverse_of(s, s.div(squares, count(s, z.len())));
            s.store(inverse, &mut inverse_deviation[block]);
            let (keep, take) = (s.splat(momentum), s.splat(1.0 - momentum));
            let unbiased = s.div(squares, count(s, z.len() - 1));
            for (running, batch) in [(&mut running_mean[block], mean), (&mut running_variance[block], unbiased)] {
                s.store(s.mul_add(keep, s.load(running), s.mul(take, batch)), running);
            }
            let (gamma, beta) = (s.load(&gamma[block]), s.load(&beta[block]));
            for (z, out) in z.iter_mut().zip(out.iter_mut()) {
                let normal = s.mul(s.sub(s.load(&z[block]), mean), inverse);
                s.store(normal, &mut z[block]);
                s.store(curve.value(s, s.mul_add(gamma, normal, beta)), &mut out[block]);
            }
        }
    }
}

/// The mean of a column and the sum of its squared deviations, in two passes: the mean of squares less the square of the mean would
/// cancel.
#[inline(always)]
fn mean_and_squares<S: Simd, const N: usize>(s: S, z: &[[Lanes; N]], block: usize) -> (S::F, S::F) {
    let sum = sum_rows(
        s,
        z,
        block,
        #[inline(always)]
        |sum, x| s.add(sum, x),
    );
    let mean = s.div(sum, count(s, z.len()));
    let squares = sum_rows(
        s,
        z,
        block,
        #[inline(always)]
        |sum, x| {
            let deviation = s.sub(x, mean);
            s.mul_add(deviation, deviation, sum)
        },
    );
    (mean, squares)
}

#[inline(always)]
#[allow(clippy::as_conversions, reason = "a row count is far below 2^24")]
fn count<S: Simd>(s: S, rows: usize) -> S::F {
    s.splat(rows as f32)
}

#[inline(always)]
fn inverse_of<S: Simd>(s: S, variance: S::F) -> S::F {
    s.div(s.splat(1.0), s.sqrt(s.add(variance, s.splat(EPSILON))))
}

/// Normalises by the running statistics, which are folded into one scale and one shift a column: out = g(scale z + shift).
pub(crate) struct Fold<'a, A> {
    pub(crate) curve: A,
    pub(crate) statistics: PanelStatistics<'a>,
    pub(crate) gamma: &'a [f32],
    pub(crate) beta: &'a [f32],
    pub(crate) z: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

impl<A: Curve> PanelPass for Fold<'_, A> {
    #[inline(always)]
    fn run_columns<S: Simd, const N: usize>(self, s: S) {
        let (Some(mean), Some(variance), Some(gamma), Some(beta)) = (
            columns::<N>(self.statistics.running_mean),
            columns::<N>(self.statistics.running_variance),
            columns::<N>(self.gamma),
            columns::<N>(self.beta),
        ) else {
            return;
        };
        for block in 0..N {
            let scale = s.mul(s.load(&gamma[block]), inverse_of(s, s.load(&variance[block])));
            let shift = s.neg_mul_add(s.load(&mean[block]), scale, s.load(&beta[block]));
            for (z, out) in rows::<N>(self.z).iter().zip(rows_mut::<N>(self.out)) {
                s.store(self.curve.value(s, s.mul_add(scale, s.load(&z[block]), shift)), &mut out[block]);
            }
        }
    }
}

/// Backwards through [`Normalise`]: `d`, the gradient by its out, becomes the gradient by its z, which also moved the mean and the
/// variance; `d_gamma` and `d_beta` are written. `normal` is zhat.
pub(crate) struct BackNormalise<'a, A> {
    pub(crate) curve: A,
    pub(crate) inverse_deviation: &'a [f32],
    pub(crate) gamma: &'a [f32],
    pub(crate) beta: &'a [f32],
    pub(crate) normal: &'a [f32],
    pub(crate) d: &'a mut [f32],
    pub(crate) d_gamma: &'a mut [f32],
    pub(crate) d_beta: &'a mut [f32],
}

impl<A: Curve> PanelPass for BackNormalise<'_, A> {
    #[inline(always)]
    fn run_columns<S: Simd, const N: usize>(self, s: S) {
        let (Some(inverse), Some(gamma), Some(beta), Some(d_gamma), Some(d_beta)) = (
            columns::<N>(self.inverse_deviation),
            columns::<N>(self.gamma),
            columns::<N>(self.beta),
            columns_mut::<N>(self.d_gamma),
            columns_mut::<N>(self.d_beta),
        ) else {
            return;
        };
        let (normal, d) = (rows::<N>(self.normal), rows_mut::<N>(self.d));
        for block in 0..N {
            let (gamma, beta) = (s.load(&gamma[block]), s.load(&beta[block]));
            let none = [s.splat(0.0); CHAINS];
            let back = Back { curve: self.curve, gamma, beta, by_gamma: none, by_beta: none };
            let [by_gamma, by_beta] = back.through_curve(s, normal, d, block);
            s.store(by_gamma, &mut d_gamma[block]);
            s.store(by_beta, &mut d_beta[block]);
            // d = scale (d - mean(d) - zhat mean(d zhat)), with scale = gamma / deviation.
            let scale = s.mul(gamma, s.load(&inverse[block]));
            let share = s.div(s.sub(s.splat(0.0), scale), count(s, d.len()));
            let (constant, slope) = (s.mul(share, by_beta), s.mul(share, by_gamma));
            for (normal, d) in normal.iter().zip(d.iter_mut()) {
                let centre = s.mul_add(s.load(&normal[block]), slope, constant);
                s.store(s.mul_add(s.load(&d[block]), scale, centre), &mut d[block]);
            }
        }
    }
}

/// The first half of [`BackNormalise`] on a column: back through the curve, and the sums on the way.
struct Back<S: Simd, A> {
    curve: A,
    gamma: S::F,
    beta: S::F,
    by_gamma: [S::F; CHAINS],
    by_beta: [S::F; CHAINS],
}

impl<S: Simd, A: Curve> Back<S, A> {
    /// `d` becomes the gradient by gamma zhat + beta; gives the sums of d zhat and of d.
    #[inline(always)]
    fn through_curve<const N: usize>(mut self, s: S, normal: &[[Lanes; N]], d: &mut [[Lanes; N]], block: usize) -> [S::F; 2] {
        let ((normal, normal_rest), (d, d_rest)) = (normal.as_chunks::<CHAINS>(), d.as_chunks_mut::<CHAINS>());
        // Two chains at a time: AVX2 has no registers for the sums of four.
        self.add_chains::<N, 0>(s, normal, d, block);
        self.add_chains::<N, 2>(s, normal, d, block);
        for (chain, (normal, d)) in normal_rest.iter().zip(d_rest).enumerate() {
            self.add(s, chain, &normal[block], &mut d[block]);
        }
        [total(s, self.by_gamma), total(s, self.by_beta)]
    }

    /// Chains `FIRST` and the next.
    #[inline(always)]
    fn add_chains<const N: usize, const FIRST: usize>(
        &mut self,
        s: S,
        normal: &[[[Lanes; N]; CHAINS]],
        d: &mut [[[Lanes; N]; CHAINS]],
        block: usize,
    ) {
        for (normal, d) in normal.iter().zip(d) {
            self.add(s, FIRST, &normal[FIRST][block], &mut d[FIRST][block]);
            self.add(s, FIRST + 1, &normal[FIRST + 1][block], &mut d[FIRST + 1][block]);
        }
    }

    #[inline(always)]
    fn add(&mut self, s: S, chain: usize, normal: &Lanes, d: &mut Lanes) {
        let x = s.load(normal);
        let y = s.mul_add(self.gamma, x, self.beta);
        let through = self.curve.back(s, y, s.load(d));
        s.store(through, d);
        self.by_gamma[chain] = s.mul_add(through, x, self.by_gamma[chain]);
        self.by_beta[chain] = s.add(self.by_beta[chain], through);
    }
}
