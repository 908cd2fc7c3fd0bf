//! Batch normalisation (Ioffe and Szegedy 2015), column by column of a matrix in panels.
//!
//! Sums run down the rows in order, one chain a column, so they do not depend on the vector width.
#![allow(clippy::indexing_slicing, reason = "a panel's part of a buffer, whose length the network made to fit")]

use crate::kernels::{Buffer, Family, LANES, blocks};

/// Added to the variance before the square root.
pub(crate) const EPSILON: f32 = 1e-5;

/// What one batch-normalised layer remembers, beside gamma and beta. One value a unit, padded.
pub(crate) struct Statistics {
    /// Mean of the last mini-batch, or the running one in evaluation.
    pub(crate) mean: Buffer,
    /// Biased variance of the last mini-batch, or the running one in evaluation.
    pub(crate) variance: Buffer,
    /// 1 / sqrt(variance + epsilon).
    pub(crate) inverse_deviation: Buffer,
    /// Exponential average of the means; serves at test time.
    pub(crate) running_mean: Buffer,
    /// Exponential average of the unbiased variances.
    pub(crate) running_variance: Buffer,
}

#[inline(always)]
fn lanes(values: &[f32], first: usize) -> [f32; LANES] {
    std::array::from_fn(|lane| values[first..][..LANES][lane])
}

/// `combine` of two vectors, lane by lane.
#[inline(always)]
fn both(a: [f32; LANES], b: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(
        #[inline(always)]
        |lane| combine(a[lane], b[lane]),
    )
}

/// The sum over the rows of `matrix`, column by column: the gradient by a bias.
pub(crate) fn column_sums(family: Family, rows: usize, matrix: &[f32], sums: &mut [f32]) {
    family.vectorised(
        #[inline(always)]
        || {
            for block in blocks(rows, sums.len()) {
                let mut sum = [0.0; LANES];
                for &row in block.rows(matrix, rows) {
                    sum = both(sum, row, |sum, x| sum + x);
                }
                sums[block.column..][..LANES].copy_from_slice(&sum);
            }
        },
    );
}

/// Adds `bias` to every row of `matrix`.
pub(crate) fn add_bias(family: Family, rows: usize, matrix: &mut [f32], bias: &[f32]) {
    family.vectorised(
        #[inline(always)]
        || {
            for block in blocks(rows, bias.len()) {
                let bias = lanes(bias, block.column);
                for row in block.rows_mut(matrix, rows) {
                    *row = both(*row, bias, |x, b| x + b);
                }
            }
        },
    );
}

impl Statistics {
    /// At the start of a training: running mean 0 and variance 1.
    pub(crate) fn new(units: usize) -> Result<Self, crate::error::TrainError> {
        let make = || Buffer::new(units);
        let mut running_variance = make()?;
        running_variance.fill(1.0);
        Ok(Self { mean: make()?, variance: make()?, inverse_deviation: make()?, running_mean: make()?, running_variance })
    }

    /// Takes mean and biased variance of a mini-batch `z` [rows, units], and moves the running ones: running = momentum running
    /// + (1 - momentum) batch, with the unbiased variance. `rows` is at least 2.
    pub(crate) fn of_batch(&mut self, family: Family, rows: usize, z: &[f32], momentum: f64) {
        #[allow(clippy::as_conversions, reason = "a row count is far below 2^24")]
        let count = rows as f32;
        family.vectorised(
            #[inline(always)]
            || {
                for block in blocks(rows, self.mean.len()) {
                    let mut sum = [0.0; LANES];
                    for &row in block.rows(z, rows) {
                        sum = both(sum, row, |sum, x| sum + x);
                    }
                    let mean = sum.map(|sum| sum / count);
                    // A second pass: the mean of squares less the square of the mean would cancel.
                    let mut squares = [0.0; LANES];
                    for &row in block.rows(z, rows) {
                        let deviation = both(row, mean, |x, mean| x - mean);
                        squares = both(squares, deviation, |sum, d| sum + d * d);
                    }
                    self.mean[block.column..][..LANES].copy_from_slice(&mean);
                    self.variance[block.column..][..LANES].copy_from_slice(&squares.map(|sum| sum / count));
                }
            },
        );
        #[allow(clippy::as_conversions, reason = "the trainer computes in f32")]
        let (keep, take) = (momentum as f32, (1.0 - momentum) as f32);
        let unbiased = count / (count - 1.0);
        for (running, mean) in self.running_mean.iter_mut().zip(self.mean.iter()) {
            *running = keep * *running + take * mean;
        }
        for (running, variance) in self.running_variance.iter_mut().zip(self.variance.iter()) {
            *running = keep * *running + take * (variance * unbiased);
        }
        self.invert();
    }

    /// Takes the running mean and variance, for evaluation.
    pub(crate) fn of_running(&mut self) {
        self.mean.copy_from_slice(&self.running_mean);
        self.variance.copy_from_slice(&self.running_variance);
        self.invert();
    }

    fn invert(&mut self) {
        for (inverse, variance) in self.inverse_deviation.iter_mut().zip(self.variance.iter()) {
            *inverse = 1.0 / (variance + EPSILON).sqrt();
        }
    }

    /// `z` [rows, units] becomes zhat = (z - mean) / sqrt(variance + epsilon), and `out` gamma zhat + beta.
    pub(crate) fn normalise(&self, family: Family, rows: usize, z: &mut [f32], gamma: &[f32], beta: &[f32], out: &mut [f32]) {
        family.vectorised(
            #[inline(always)]
            || {
                for block in blocks(rows, gamma.len()) {
                    let (mean, inverse) = (lanes(&self.mean, block.column), lanes(&self.inverse_deviation, block.column));
                    let (gamma, beta) = (lanes(gamma, block.column), lanes(beta, block.column));
                    for (z, out) in block.rows_mut(z, rows).zip(block.rows_mut(out, rows)) {
                        let normal = both(both(*z, mean, |z, mean| z - mean), inverse, |d, inverse| d * inverse);
                        *z = normal;
                        *out = both(both(normal, gamma, |n, gamma| n * gamma), beta, |n, beta| n + beta);
                    }
                }
            },
        );
    }

    /// Backwards through [`Self::normalise`] in training: `d`, the gradient by its `out`, becomes the gradient by its input, which
    /// also moved the mean and the variance; `d_gamma` and `d_beta` are written. `normal` is zhat.
    pub(crate) fn backward(
        &self,
        family: Family,
        rows: usize,
        normal: &[f32],
        gamma: &[f32],
        d: &mut [f32],
        d_gamma_beta: [&mut [f32]; 2],
    ) {
        #[allow(clippy::as_conversions, reason = "a row count is far below 2^24")]
        let share = 1.0 / rows as f32;
        let [d_gamma, d_beta] = d_gamma_beta;
        family.vectorised(
            #[inline(always)]
            || {
                for block in blocks(rows, gamma.len()) {
                    let (mut by_gamma, mut by_beta) = ([0.0; LANES], [0.0; LANES]);
                    for (&d, &normal) in block.rows(d, rows).zip(block.rows(normal, rows)) {
                        by_beta = both(by_beta, d, |sum, d| sum + d);
                        by_gamma = both(by_gamma, both(d, normal, |d, n| d * n), |sum, dn| sum + dn);
                    }
                    d_gamma[block.column..][..LANES].copy_from_slice(&by_gamma);
                    d_beta[block.column..][..LANES].copy_from_slice(&by_beta);
                    let scale = both(lanes(gamma, block.column), lanes(&self.inverse_deviation, block.column), |g, inverse| g * inverse);
                    let (mean_d, mean_dn) = (by_beta.map(|sum| sum * share), by_gamma.map(|sum| sum * share));
                    for (d, &normal) in block.rows_mut(d, rows).zip(block.rows(normal, rows)) {
                        let centred = both(both(*d, mean_d, |d, mean| d - mean), both(normal, mean_dn, |n, m| n * m), |d, nm| d - nm);
                        *d = both(centred, scale, |d, scale| d * scale);
                    }
                }
            },
        );
    }
}
