//! Batch normalisation (Ioffe and Szegedy 2015) of a strip, with the activation that follows.
//!
//! For each column z of a mini-batch of n rows:
//!
//! - mean = sum(z) / n and variance = sum((z - mean)^2) / n,
//! - zhat = (z - mean) / sqrt(variance + epsilon), with epsilon = [`EPSILON`],
//! - out = g(gamma zhat + beta), where g is the activation, and gamma and beta are learnt,
//! - running = momentum running + (1 - momentum) batch, for the mean and for the unbiased variance
//!   sum((z - mean)^2) / (n - 1).
//!
//! Evaluation uses the running mean and variance instead of those of the mini-batch.
#![allow(
    clippy::indexing_slicing,
    reason = "strips lie inside their layer, and there are four chains"
)]

use crate::activation::Curve;
use crate::error::TrainError;
use crate::kernels::{
    Buffer, Lanes, Pass, Simd, Strip, panels_of, panels_of_mut, vectors, vectors_mut,
};
use crate::passes::{CHAINS, sum_rows, total};

/// Added to the variance before the square root. PyTorch has the same default.
pub(crate) const EPSILON: f32 = 1e-5;

/// The statistics of a batch-normalised layer: one value per unit, padded.
pub(crate) struct Statistics {
    /// 1 / sqrt(variance + epsilon) of the last mini-batch, for the backward pass.
    pub(crate) inverse_deviation: Buffer,
    /// The exponential average of the means.
    pub(crate) running_mean: Buffer,
    /// The exponential average of the unbiased variances.
    pub(crate) running_variance: Buffer,
}

/// The statistics of a strip's columns.
pub(crate) struct StripStatistics<'a> {
    inverse_deviation: &'a mut [f32],
    running_mean: &'a mut [f32],
    running_variance: &'a mut [f32],
}

impl Statistics {
    /// The statistics at the start of a training: running mean 0 and running variance 1.
    pub(crate) fn new(units: usize) -> Result<Self, TrainError> {
        let mut running_variance = Buffer::new(units)?;
        running_variance.fill(1.0);
        Ok(Self {
            inverse_deviation: Buffer::new(units)?,
            running_mean: Buffer::new(units)?,
            running_variance,
        })
    }

    /// The statistics of the columns of `strip`.
    pub(crate) fn strip_mut(&mut self, strip: Strip) -> StripStatistics<'_> {
        let columns = strip.columns();
        StripStatistics {
            inverse_deviation: &mut self.inverse_deviation[columns.clone()],
            running_mean: &mut self.running_mean[columns.clone()],
            running_variance: &mut self.running_variance[columns],
        }
    }
}

/// Normalises by the mini-batch: `z` becomes zhat, and `out` g(gamma zhat + beta). Updates the
/// running statistics. There are at least 2 rows.
pub(crate) struct Normalise<'a, A> {
    pub(crate) curve: A,
    pub(crate) rows: usize,
    pub(crate) momentum: f32,
    pub(crate) statistics: StripStatistics<'a>,
    pub(crate) gamma: &'a [f32],
    pub(crate) beta: &'a [f32],
    pub(crate) z: &'a mut [f32],
    pub(crate) out: &'a mut [f32],
}

impl<A: Curve> Pass for Normalise<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self {
            curve,
            momentum,
            statistics: StripStatistics { inverse_deviation, running_mean, running_variance },
            ..
        } = self;
        let averages = vectors_mut(running_mean).iter_mut().zip(vectors_mut(running_variance));
        let learnt = vectors(self.gamma).iter().zip(vectors(self.beta));
        let panels = panels_of_mut(self.z, self.rows).zip(panels_of_mut(self.out, self.rows));
        for (((panel, averages), inverse_deviation), learnt) in
            panels.zip(averages).zip(vectors_mut(inverse_deviation)).zip(learnt)
        {
            let (z, out) = panel;
            let (mean, squares) = mean_and_squares(s, z);
            let inverse = inverse_of(s, s.div(squares, count(s, z.len())));
            s.store(inverse, inverse_deviation);
            let (keep, take) = (s.splat(momentum), s.splat(1.0 - momentum));
            let unbiased = s.div(squares, count(s, z.len() - 1));
            for (running, batch) in [(averages.0, mean), (averages.1, unbiased)] {
                s.store(s.mul_add(keep, s.load(running), s.mul(take, batch)), running);
            }
            let (gamma, beta) = (s.load(learnt.0), s.load(learnt.1));
            for (z, out) in z.iter_mut().zip(out) {
                let normal = s.mul(s.sub(s.load(z), mean), inverse);
                s.store(normal, z);
                s.store(curve.value(s, s.mul_add(gamma, normal, beta)), out);
            }
        }
    }
}

/// The mean of a column and the sum of its squared deviations, in two passes. The mean of squares
/// minus the square of the mean would lose digits by cancellation.
#[inline(always)]
fn mean_and_squares<S: Simd>(s: S, z: &[Lanes]) -> (S::F, S::F) {
    let sum = sum_rows(
        s,
        z,
        #[inline(always)]
        |sum, x| s.add(sum, x),
    );
    let mean = s.div(sum, count(s, z.len()));
    let squares = sum_rows(
        s,
        z,
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

/// Normalises by the running statistics, folded into one scale and one shift per column:
/// out = g(scale z + shift), where scale = gamma / sqrt(variance + epsilon) and
/// shift = beta - mean scale.
pub(crate) struct Fold<'a, A> {
    pub(crate) curve: A,
    pub(crate) rows: usize,
    pub(crate) statistics: StripStatistics<'a>,
    pub(crate) gamma: &'a [f32],
    pub(crate) beta: &'a [f32],
    pub(crate) z: &'a [f32],
    pub(crate) out: &'a mut [f32],
}

impl<A: Curve> Pass for Fold<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let running = vectors(self.statistics.running_mean)
            .iter()
            .zip(vectors(self.statistics.running_variance));
        let learnt = vectors(self.gamma).iter().zip(vectors(self.beta));
        let panels = panels_of(self.z, self.rows).zip(panels_of_mut(self.out, self.rows));
        for (((z, out), (mean, variance)), (gamma, beta)) in panels.zip(running).zip(learnt) {
            let scale = s.mul(s.load(gamma), inverse_of(s, s.load(variance)));
            let shift = s.neg_mul_add(s.load(mean), scale, s.load(beta));
            for (z, out) in z.iter().zip(out) {
                s.store(self.curve.value(s, s.mul_add(scale, s.load(z), shift)), out);
            }
        }
    }
}

/// The gradient of [`Normalise`]: `d`, the gradient by out, becomes the gradient by z, which
/// includes the effect of z on mean and variance.
///
/// With d' = d g'(gamma zhat + beta), d_gamma = sum(d' zhat) and d_beta = sum(d'), the gradient by
/// z is gamma / sqrt(variance + epsilon) (d' - d_beta / n - zhat d_gamma / n). `normal` is zhat.
pub(crate) struct BackNormalise<'a, A> {
    pub(crate) curve: A,
    pub(crate) rows: usize,
    pub(crate) inverse_deviation: &'a [f32],
    pub(crate) gamma: &'a [f32],
    pub(crate) beta: &'a [f32],
    pub(crate) normal: &'a [f32],
    pub(crate) d: &'a mut [f32],
    pub(crate) d_gamma: &'a mut [f32],
    pub(crate) d_beta: &'a mut [f32],
}

impl<A: Curve> Pass for BackNormalise<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let learnt = vectors(self.gamma).iter().zip(vectors(self.beta));
        let panels = panels_of(self.normal, self.rows).zip(panels_of_mut(self.d, self.rows));
        let sums = vectors_mut(self.d_gamma).iter_mut().zip(vectors_mut(self.d_beta));
        for (((panel, sums), inverse), learnt) in
            panels.zip(sums).zip(vectors(self.inverse_deviation)).zip(learnt)
        {
            let (normal, d) = panel;
            let (gamma, beta) = (s.load(learnt.0), s.load(learnt.1));
            let none = [s.splat(0.0); CHAINS];
            let back = Back { curve: self.curve, gamma, beta, by_gamma: none, by_beta: none };
            let [by_gamma, by_beta] = back.through_curve(s, normal, d);
            s.store(by_gamma, sums.0);
            s.store(by_beta, sums.1);
            // d = scale d' + slope zhat + constant: the formula above, multiplied out.
            let scale = s.mul(gamma, s.load(inverse));
            let share = s.div(s.sub(s.splat(0.0), scale), count(s, d.len()));
            let (constant, slope) = (s.mul(share, by_beta), s.mul(share, by_gamma));
            for (normal, d) in normal.iter().zip(d) {
                let centre = s.mul_add(s.load(normal), slope, constant);
                s.store(s.mul_add(s.load(d), scale, centre), d);
            }
        }
    }
}

/// The first half of [`BackNormalise`] on a panel: the gradient of the curve, and the sums.
struct Back<S: Simd, A> {
    curve: A,
    gamma: S::F,
    beta: S::F,
    by_gamma: [S::F; CHAINS],
    by_beta: [S::F; CHAINS],
}

impl<S: Simd, A: Curve> Back<S, A> {
    /// Turns `d` into the gradient d' by gamma zhat + beta, and returns the sums of d' zhat and of
    /// d'.
    #[inline(always)]
    fn through_curve(mut self, s: S, normal: &[Lanes], d: &mut [Lanes]) -> [S::F; 2] {
        let ((normal, normal_rest), (d, d_rest)) =
            (normal.as_chunks::<CHAINS>(), d.as_chunks_mut::<CHAINS>());
        // Two chains at a time, because AVX2 has too few registers for the sums of four (commit
        // 6034a61).
        self.add_chains::<0>(s, normal, d);
        self.add_chains::<2>(s, normal, d);
        for (chain, (normal, d)) in normal_rest.iter().zip(d_rest).enumerate() {
            self.add(s, chain, normal, d);
        }
        [total(s, self.by_gamma), total(s, self.by_beta)]
    }

    /// Adds the rows of chains `FIRST` and `FIRST + 1`.
    #[inline(always)]
    fn add_chains<const FIRST: usize>(
        &mut self,
        s: S,
        normal: &[[Lanes; CHAINS]],
        d: &mut [[Lanes; CHAINS]],
    ) {
        for (normal, d) in normal.iter().zip(d) {
            self.add(s, FIRST, &normal[FIRST], &mut d[FIRST]);
            self.add(s, FIRST + 1, &normal[FIRST + 1], &mut d[FIRST + 1]);
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
