//! The fit of the model's length scales and noise to the results.
//!
//! The most probable parameters are found by gradient ascent on their posterior density, starting
//! from the prior. With the symbols of [`gp`](super::gp), x the logarithms of the length scales and
//! of the noise, and the mean m_j and the deviation s_j of their normal prior, the logarithm of the
//! posterior is, up to a constant,
//!
//! ```text
//! -n/2 ln a - sum over i of ln L_ii - sum over j of ((x_j - m_j) / s_j)² / 2
//! ```
//!
//! where a is the most probable amplitude for the parameters. The derivative of the correlation by
//! the logarithm of the length scale j is 5/3 (1 + √5 r) exp(-√5 r) ((u_j - v_j) / l_j)².
//!
//! The ascent is Rprop (Riedmiller and Braun, "A direct adaptive method for faster backpropagation
//! learning", 1993): each x_j has its own step, which grows by 1.2 while the sign of its derivative
//! stays and is halved when it changes.
//!
//! Example: with three parameters every length scale starts at 0.5 and the noise at exp(-4) =
//! 0.018. If results do not change along a parameter, its derivative stays positive, and its length
//! scale grows by the factors exp(0.2), exp(0.24), exp(0.29) in the first three steps, to 1.04.
#![expect(
    clippy::indexing_slicing,
    reason = "numerical kernel: every index is bounded by the loop over the same buffer"
)]

use caviar_common::numbers::real;

use super::gp::{KernelParameters, LEAST_VARIANCE, Sample, decay, dot, solve, solve_transposed};

/// Mean and deviation of the prior of a length scale's logarithm: one half for three parameters,
/// and more for more parameters, because distances grow with the square root of their number.
fn scale_prior(dimensions: usize) -> (f64, f64) {
    (libm::log(0.5) + 0.5 * libm::log(real(dimensions) / 3.0), 1.0)
}

/// Mean and deviation of the prior of the noise's logarithm.
const NOISE_PRIOR: (f64, f64) = (-4.0, 1.5);
const STEPS: usize = 25;
/// The first step of a logarithm.
const FIRST_STEP: f64 = 0.2;
/// The least and the greatest step.
const STEP_BOUNDS: (f64, f64) = (1e-3, 0.6);
/// How a step changes while the sign of the derivative stays.
const FASTER: f64 = 1.2;
/// How a step changes when the sign of the derivative changes.
const SLOWER: f64 = 0.5;
/// Logarithms stay between these, at least five deviations away from the means of the priors.
const BOUNDS: (f64, f64) = (-12.0, 6.0);

/// The means of the priors, where every fit starts.
fn prior(dimensions: usize) -> KernelParameters {
    KernelParameters {
        length_scales: vec![libm::exp(scale_prior(dimensions).0); dimensions],
        noise: libm::exp(NOISE_PRIOR.0),
    }
}

/// The most probable parameters among those of 25 steps from the prior. If all results are equal,
/// these are the prior's.
pub(super) fn fit(sample: &Sample<'_>) -> KernelParameters {
    let dimensions = sample.is_choice.len();
    if sample.values.iter().all(|value| *value == 0.0) {
        return prior(dimensions);
    }
    let problem = Problem { squares: squares(sample), sample, dimensions };
    let mut x = vec![scale_prior(dimensions).0; dimensions];
    x.push(NOISE_PRIOR.0);
    let mut ascent = Rprop::new(x.len());
    let mut best = (f64::NEG_INFINITY, x.clone());
    for _ in 0..STEPS {
        let (value, gradient) = problem.evaluate(&x);
        if value > best.0 {
            best = (value, x.clone());
        }
        ascent.step(&mut x, &gradient);
    }
    let exponentials: Vec<f64> = best.1.iter().map(|v| libm::exp(*v)).collect();
    KernelParameters {
        length_scales: exponentials[..dimensions].to_vec(),
        noise: exponentials[dimensions],
    }
}

/// The state of the ascent: the step of each coordinate, and its last derivative.
struct Rprop {
    steps: Vec<f64>,
    /// It is 0 after the derivative has changed its sign: the coordinate then rests for one step.
    before: Vec<f64>,
}

impl Rprop {
    fn new(coordinates: usize) -> Self {
        Self { steps: vec![FIRST_STEP; coordinates], before: vec![0.0; coordinates] }
    }

    fn step(&mut self, x: &mut [f64], gradient: &[f64]) {
        for (j, derivative) in gradient.iter().enumerate() {
            let agreement = derivative * self.before[j];
            let factor = if agreement > 0.0 {
                FASTER
            } else if agreement < 0.0 {
                SLOWER
            } else {
                1.0
            };
            self.steps[j] = (self.steps[j] * factor).clamp(STEP_BOUNDS.0, STEP_BOUNDS.1);
            self.before[j] = if agreement < 0.0 { 0.0 } else { *derivative };
            let direction = if self.before[j] == 0.0 { 0.0 } else { self.before[j].signum() };
            x[j] = (x[j] + direction * self.steps[j]).clamp(BOUNDS.0, BOUNDS.1);
        }
    }
}

/// The squared differences (u_j - v_j)² of every pair of points. Row i of the lower triangle holds
/// the pairs (i, k) with k < i.
fn squares(sample: &Sample<'_>) -> Vec<f64> {
    let dimensions = sample.is_choice.len();
    let mut squares = Vec::new();
    for (i, a) in sample.points.chunks_exact(dimensions).enumerate() {
        for b in sample.points.chunks_exact(dimensions).take(i) {
            squares.extend((0..dimensions).map(|j| {
                let difference = if sample.is_choice[j] {
                    f64::from(u8::from(a[j] != b[j]))
                } else {
                    a[j] - b[j]
                };
                difference * difference
            }));
        }
    }
    squares
}

struct Problem<'a> {
    /// As [`squares`] returns them.
    squares: Vec<f64>,
    sample: &'a Sample<'a>,
    dimensions: usize,
}

impl Problem<'_> {
    /// The logarithm of the posterior up to a constant, and its gradient, at the logarithms `x` of
    /// the length scales and of the noise.
    fn evaluate(&self, x: &[f64]) -> (f64, Vec<f64>) {
        let n = self.sample.values.len();
        let inverse: Vec<f64> = x[..self.dimensions].iter().map(|v| libm::exp(-2.0 * v)).collect();
        let noise = libm::exp(x[self.dimensions]);
        let (factor, slopes) = self.factor(&inverse, noise);
        let mut weights = self.sample.values.to_vec();
        solve(&factor, &mut weights);
        let amplitude = weights.iter().map(|z| z * z).sum::<f64>() / real(n);
        solve_transposed(&factor, &mut weights);
        let log_det: f64 = (0..n).map(|i| libm::log(factor[i * (i + 3) / 2])).sum();
        let mut value = -0.5 * real(n) * libm::log(amplitude) - log_det;
        let precision = precision(&factor, n);
        // The derivative of the likelihood by the covariance of a pair.
        let pair_weight = |i: usize, k: usize| {
            weights[i] * weights[k] / amplitude - precision[i * (i + 1) / 2 + k]
        };
        let mut gradient = self.scale_gradient(&slopes, pair_weight);
        for (derivative, inverse) in gradient.iter_mut().zip(&inverse) {
            *derivative *= inverse;
        }
        gradient.push(0.0);
        for i in 0..n {
            gradient[self.dimensions] +=
                0.5 * noise * self.sample.noise_factors[i] * pair_weight(i, i);
        }
        for (j, v) in x.iter().enumerate() {
            let is_scale = j < self.dimensions;
            let (mean, deviation) =
                if is_scale { scale_prior(self.dimensions) } else { NOISE_PRIOR };
            value -= 0.5 * ((v - mean) / deviation).powi(2);
            gradient[j] -= (v - mean) / (deviation * deviation);
        }
        (value, gradient)
    }

    /// The gradient of the likelihood by the logarithms of the length scales, without the factor
    /// 1 / l_j².
    fn scale_gradient(
        &self,
        slopes: &[f64],
        pair_weight: impl Fn(usize, usize) -> f64,
    ) -> Vec<f64> {
        let mut gradient = vec![0.0; self.dimensions];
        let mut pairs = self.squares.chunks_exact(self.dimensions).zip(slopes);
        for i in 0..self.sample.values.len() {
            for (k, (squares, slope)) in pairs.by_ref().take(i).enumerate() {
                let weight = pair_weight(i, k) * slope;
                for (derivative, square) in gradient.iter_mut().zip(squares) {
                    *derivative += weight * square;
                }
            }
        }
        gradient
    }

    /// The packed factor L, and for every pair 5/3 (1 + √5 r) exp(-√5 r).
    fn factor(&self, inverse: &[f64], noise: f64) -> (Vec<f64>, Vec<f64>) {
        let n = self.sample.values.len();
        let mut slopes = Vec::with_capacity(n * n / 2);
        let mut factor = Vec::with_capacity(n * (n + 1) / 2);
        let mut pairs = self.squares.chunks_exact(self.dimensions);
        for i in 0..n {
            let start = factor.len();
            for squares in pairs.by_ref().take(i) {
                let squared: f64 =
                    squares.iter().zip(inverse).map(|(square, inverse)| square * inverse).sum();
                let a = (5.0 * squared).sqrt();
                let decay = decay(a);
                factor.push((1.0 + a + a * a / 3.0) * decay);
                slopes.push(5.0 / 3.0 * (1.0 + a) * decay);
            }
            let (rows, row) = factor.split_at_mut(start);
            solve(rows, row);
            let noise = noise * self.sample.noise_factors[i];
            let rest = 1.0 + noise - row.iter().map(|l| l * l).sum::<f64>();
            factor.push(rest.max(LEAST_VARIANCE).sqrt());
        }
        (factor, slopes)
    }
}

/// The lower triangle of (L Lᵀ)⁻¹, packed.
fn precision(factor: &[f64], n: usize) -> Vec<f64> {
    // The columns of L⁻¹. Each is a solution that starts at the diagonal.
    let mut columns: Vec<Vec<f64>> = Vec::with_capacity(n);
    for j in 0..n {
        let mut column = vec![0.0; n];
        column[j] = 1.0 / factor[j * (j + 3) / 2];
        for i in j + 1..n {
            let start = i * (i + 1) / 2;
            column[i] = -dot(&factor[start + j..start + i], &column[j..i]) / factor[start + i];
        }
        columns.push(column);
    }
    let mut precision = Vec::with_capacity(n * (n + 1) / 2);
    for i in 0..n {
        for k in 0..=i {
            precision.push(dot(&columns[i][i..], &columns[k][i..]));
        }
    }
    precision
}
