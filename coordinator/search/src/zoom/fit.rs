//! The fit of the model: the most probable length scales and noise given the results, with the
//! amplitude profiled out, by Rprop (Riedmiller and Braun, "A direct adaptive method for faster
//! backpropagation learning", 1993).
#![expect(
    clippy::indexing_slicing,
    reason = "numerical kernel: every index is bounded by the loop over the same buffer"
)]

use super::gp::{Theta, decay, solve, solve_transposed};
use crate::real;

/// Of the logarithm of a length scale: that of a half for three parameters, more for more, because
/// distances grow with their number.
fn scale_prior(dimensions: usize) -> (f64, f64) {
    (libm::log(0.5) + 0.5 * libm::log(real(dimensions) / 3.0), 1.0)
}

/// Mean and deviation of the logarithm of the noise.
const NOISE_PRIOR: (f64, f64) = (-4.0, 1.5);
const STEPS: usize = 25;
/// The first step, and the least and greatest one, of a logarithm.
const STEP: (f64, f64, f64) = (0.2, 1e-3, 0.6);
const FASTER: f64 = 1.2;
const SLOWER: f64 = 0.5;
/// Logarithms stay between these: the priors are 5 deviations away from them.
const BOUNDS: (f64, f64) = (-12.0, 6.0);

/// Where every fit begins, and what holds before there is anything to fit.
pub(super) fn prior(dimensions: usize) -> Theta {
    Theta {
        scales: vec![libm::exp(scale_prior(dimensions).0); dimensions],
        noise: libm::exp(NOISE_PRIOR.0),
    }
}

/// The best of 25 steps from the prior. Equal results say nothing: the prior stays.
pub(super) fn fit(choices: &[bool], points: &[f64], y: &[f64], factors: &[f64]) -> Theta {
    let d = choices.len();
    if y.iter().all(|v| *v == 0.0) {
        return prior(d);
    }
    let problem = Problem { squares: squares(choices, points), y, factors, dimensions: d };
    let mut x = vec![scale_prior(d).0; d];
    x.push(NOISE_PRIOR.0);
    let (mut steps, mut before) = (vec![STEP.0; d + 1], vec![0.0; d + 1]);
    let mut best = (f64::NEG_INFINITY, x.clone());
    for _ in 0..STEPS {
        let (value, gradient) = problem.evaluate(&x);
        if value > best.0 {
            best = (value, x.clone());
        }
        for j in 0..=d {
            let turn = gradient[j] * before[j];
            let factor = if turn > 0.0 {
                FASTER
            } else if turn < 0.0 {
                SLOWER
            } else {
                1.0
            };
            steps[j] = (steps[j] * factor).clamp(STEP.1, STEP.2);
            // After a turn the parameter rests for a step.
            before[j] = if turn < 0.0 { 0.0 } else { gradient[j] };
            let direction = if before[j] == 0.0 { 0.0 } else { before[j].signum() };
            x[j] = (x[j] + direction * steps[j]).clamp(BOUNDS.0, BOUNDS.1);
        }
    }
    let exponentials: Vec<f64> = best.1.iter().map(|v| libm::exp(*v)).collect();
    Theta { scales: exponentials[..d].to_vec(), noise: exponentials[d] }
}

/// The squared difference in each parameter, for every pair of points: row i of the lower triangle
/// holds the pairs (i, k < i).
fn squares(choices: &[bool], points: &[f64]) -> Vec<f64> {
    let d = choices.len();
    let mut squares = Vec::new();
    for (i, a) in points.chunks_exact(d).enumerate() {
        for b in points.chunks_exact(d).take(i) {
            squares.extend((0..d).map(|j| {
                let difference =
                    if choices[j] { f64::from(u8::from(a[j] != b[j])) } else { a[j] - b[j] };
                difference * difference
            }));
        }
    }
    squares
}

struct Problem<'a> {
    squares: Vec<f64>,
    y: &'a [f64],
    factors: &'a [f64],
    dimensions: usize,
}

impl Problem<'_> {
    /// The logarithm of the posterior up to a constant, and its gradient, at logarithms `x` of the
    /// length scales and the noise.
    fn evaluate(&self, x: &[f64]) -> (f64, Vec<f64>) {
        let (d, n) = (self.dimensions, self.y.len());
        let inverse: Vec<f64> = x[..d].iter().map(|v| libm::exp(-2.0 * v)).collect();
        let noise = libm::exp(x[d]);
        let (factor, slopes) = self.factor(&inverse, noise);
        let mut weights = self.y.to_vec();
        solve(&factor, &mut weights);
        let amplitude = weights.iter().map(|z| z * z).sum::<f64>() / real(n);
        solve_transposed(&factor, &mut weights);
        let log_det: f64 = (0..n).map(|i| libm::log(factor[i * (i + 3) / 2])).sum();
        let mut value = -0.5 * real(n) * libm::log(amplitude) - log_det;
        let precision = precision(&factor, n);
        let mut gradient = vec![0.0; d + 1];
        let mut pair = 0;
        for i in 0..n {
            let start = i * (i + 1) / 2;
            for k in 0..i {
                let weight =
                    (weights[i] * weights[k] / amplitude - precision[start + k]) * slopes[pair];
                for (g, s) in gradient.iter_mut().zip(&self.squares[pair * d..(pair + 1) * d]) {
                    *g += weight * s;
                }
                pair += 1;
            }
            gradient[d] += 0.5
                * noise
                * self.factors[i]
                * (weights[i] * weights[i] / amplitude - precision[start + i]);
        }
        for j in 0..d {
            gradient[j] *= inverse[j];
        }
        for (j, v) in x.iter().enumerate() {
            let (mean, deviation) = if j < d { scale_prior(d) } else { NOISE_PRIOR };
            value -= 0.5 * ((v - mean) / deviation).powi(2);
            gradient[j] -= (v - mean) / (deviation * deviation);
        }
        (value, gradient)
    }

    /// The packed factor, and for every pair the derivative of its correlation by the logarithm of
    /// a length scale, over the squared difference in that parameter on the model's scale.
    fn factor(&self, inverse: &[f64], noise: f64) -> (Vec<f64>, Vec<f64>) {
        let n = self.y.len();
        let mut slopes = Vec::with_capacity(n * n / 2);
        let mut factor = Vec::with_capacity(n * (n + 1) / 2);
        let mut pairs = self.squares.chunks_exact(self.dimensions);
        for i in 0..n {
            let start = factor.len();
            for squares in pairs.by_ref().take(i) {
                let squared: f64 =
                    squares.iter().zip(inverse).map(|(s, inverse)| s * inverse).sum();
                let a = (5.0 * squared).sqrt();
                let decay = decay(a);
                factor.push((1.0 + a + a * a / 3.0) * decay);
                slopes.push(5.0 / 3.0 * (1.0 + a) * decay);
            }
            let (rows, row) = factor.split_at_mut(start);
            solve(rows, row);
            let rest = 1.0 + noise * self.factors[i] - row.iter().map(|l| l * l).sum::<f64>();
            factor.push(rest.max(1e-12).sqrt());
        }
        (factor, slopes)
    }
}

/// The inverse of `L L^T`, its lower triangle packed.
fn precision(factor: &[f64], n: usize) -> Vec<f64> {
    // Row j of the inverse of the factor, transposed: column by column it is a solve that begins at
    // the diagonal.
    let mut columns: Vec<Vec<f64>> = Vec::with_capacity(n);
    for j in 0..n {
        let mut column = vec![0.0; n];
        column[j] = 1.0 / factor[j * (j + 3) / 2];
        for i in j + 1..n {
            let start = i * (i + 1) / 2;
            column[i] =
                -super::gp::dot(&factor[start + j..start + i], &column[j..i]) / factor[start + i];
        }
        columns.push(column);
    }
    let mut precision = Vec::with_capacity(n * (n + 1) / 2);
    for i in 0..n {
        for k in 0..=i {
            precision.push(super::gp::dot(&columns[i][i..], &columns[k][i..]));
        }
    }
    precision
}
