//! The local model: a Gaussian process with the Matern-5/2 kernel and a length scale per parameter
//! (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapters 2 and 4).
//!
//! The covariance is `amplitude * (R + noise I)`. The Cholesky factor of the bracket grows by one
//! row per point, so that the assignments in flight are added to the factor of the results without
//! beginning anew.
#![expect(
    clippy::indexing_slicing,
    reason = "numerical kernel: every index is bounded by the loop over the same buffer"
)]

use crate::real;

/// Candidates scored together: as many as fit the registers while a row of the factor passes.
pub(super) const LANES: usize = 16;
/// Squared amplitudes below this are a constant function; its model has amplitude 1.
const LEAST_AMPLITUDE: f64 = 1e-12;

/// What the fit finds, all on the unit interval.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Theta {
    /// The length scale of each parameter.
    pub(super) scales: Vec<f64>,
    /// The variance of the noise, in units of the amplitude.
    pub(super) noise: f64,
}

/// A mean and a standard deviation, in units of the standardised results.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Belief {
    pub(super) mean: f64,
    pub(super) deviation: f64,
}

/// The posterior given some results.
#[derive(Clone, Debug)]
pub(super) struct Model {
    metric: Metric,
    noise: f64,
    /// Points, each parameter over its length scale.
    points: Vec<f64>,
    /// The rows of the factor without what lies above the diagonal, one after the other.
    factor: Vec<f64>,
    /// How many of the points are results; the rest are believed.
    results: usize,
    weights: Vec<f64>,
    amplitude: f64,
}

/// How far two points are apart.
#[derive(Clone, Debug)]
struct Metric {
    inverse: Vec<f64>,
    choices: Vec<bool>,
}

impl Metric {
    /// Appends the point on the model's scale: a choice keeps its place, because only equality
    /// counts.
    fn scale(&self, point: &[f64], out: &mut Vec<f64>) {
        out.extend(
            point
                .iter()
                .zip(&self.inverse)
                .zip(&self.choices)
                .map(|((u, inverse), choice)| if *choice { *u } else { u * inverse }),
        );
    }

    fn squared(&self, a: &[f64], b: &[f64]) -> f64 {
        let pairs = a.iter().zip(b).zip(&self.inverse).zip(&self.choices);
        let difference =
            |(((a, b), inverse), choice): (((&f64, &f64), &f64), &bool)| match (choice, a == b) {
                (false, _) => a - b,
                (true, same) => {
                    if same {
                        0.0
                    } else {
                        *inverse
                    }
                }
            };
        pairs.map(difference).map(|difference| difference * difference).sum()
    }
}

impl Model {
    /// The model of results `y` at `points` (row after row), the noise of each multiplied by its
    /// factor.
    pub(super) fn new(
        theta: &Theta,
        choices: &[bool],
        points: &[f64],
        y: &[f64],
        factors: &[f64],
    ) -> Self {
        let metric = Metric {
            inverse: theta.scales.iter().map(|s| 1.0 / s).collect(),
            choices: choices.to_vec(),
        };
        let mut model = Self {
            metric,
            noise: theta.noise,
            points: Vec::new(),
            factor: Vec::new(),
            results: y.len(),
            weights: Vec::new(),
            amplitude: 1.0,
        };
        for (point, factor) in points.chunks_exact(choices.len()).zip(factors) {
            model.extend(point, *factor);
        }
        model.weights = y.to_vec();
        solve(&model.factor, &mut model.weights);
        let squared = model.weights.iter().map(|z| z * z).sum::<f64>() / real(y.len());
        model.amplitude = if squared > LEAST_AMPLITUDE { squared } else { 1.0 };
        solve_transposed(&model.factor, &mut model.weights);
        model
    }

    /// Believes a result at `point`: the mean there, which is returned. That changes no mean, only
    /// how sure the model is.
    pub(super) fn believe(&mut self, point: &[f64]) -> f64 {
        self.extend(point, 1.0)
    }

    /// Adds a row to the factor. Returns the mean at `point` by the results' weights, if there are
    /// any yet.
    fn extend(&mut self, point: &[f64], noise_factor: f64) -> f64 {
        let d = self.metric.choices.len();
        let known = self.points.len() / d;
        self.metric.scale(point, &mut self.points);
        let (before, new) = self.points.split_at(known * d);
        let start = self.factor.len();
        self.factor.extend(before.chunks_exact(d).map(|other| self.metric.squared(other, new)));
        let (rows, row) = self.factor.split_at_mut(start);
        // In a pass of its own, of which the compiler makes vectors.
        row.iter_mut().for_each(|value| *value = matern(*value));
        let mean =
            row.iter().zip(&self.weights).map(|(correlation, weight)| correlation * weight).sum();
        solve(rows, row);
        let rest = 1.0 + self.noise * noise_factor - row.iter().map(|l| l * l).sum::<f64>();
        // Rounding can make it negative where points coincide and there is next to no noise.
        self.factor.push(rest.max(1e-12).sqrt());
        mean
    }

    /// The least posterior mean at the results: what was observed without its share of noise.
    pub(super) fn least(&self, y: &[f64], factors: &[f64]) -> f64 {
        let smoothed = y
            .iter()
            .zip(&self.weights)
            .zip(factors)
            .map(|((y, weight), factor)| y - self.noise * factor * weight);
        smoothed.fold(f64::INFINITY, f64::min)
    }

    /// How many points it knows, believed ones included.
    pub(super) fn len(&self) -> usize {
        self.points.len() / self.metric.choices.len()
    }

    /// What is believed of the results at `points` (row after row), noise left out.
    pub(super) fn beliefs(&self, points: &[f64]) -> Vec<Belief> {
        let d = self.metric.choices.len();
        let mut beliefs = Vec::with_capacity(points.len() / d);
        let mut solved = vec![[0.0; LANES]; self.len()];
        for block in points.chunks(d * LANES) {
            let count = block.len() / d;
            let columns = self.columns(block);
            let lanes = self.block(&columns, &mut solved);
            beliefs.extend_from_slice(&lanes[..count]);
        }
        beliefs
    }

    /// Up to [`LANES`] points on the model's scale, parameter by parameter.
    fn columns(&self, block: &[f64]) -> Vec<[f64; LANES]> {
        let d = self.metric.choices.len();
        let mut columns = vec![[0.0; LANES]; d];
        for (lane, point) in block.chunks_exact(d).enumerate() {
            for j in 0..d {
                columns[j][lane] = if self.metric.choices[j] {
                    point[j]
                } else {
                    point[j] * self.metric.inverse[j]
                };
            }
        }
        columns
    }

    fn block(&self, columns: &[[f64; LANES]], solved: &mut [[f64; LANES]]) -> [Belief; LANES] {
        let d = columns.len();
        let (mut mean, mut explained) = ([0.0; LANES], [0.0; LANES]);
        let mut start = 0;
        for (i, known) in self.points.chunks_exact(d).enumerate() {
            let mut row = self.kernel_row(known, columns);
            if i < self.results {
                for c in 0..LANES {
                    mean[c] += self.weights[i] * row[c];
                }
            }
            let factor = &self.factor[start..=start + i];
            for (l, above) in factor.iter().zip(&solved[..i]) {
                for c in 0..LANES {
                    row[c] -= l * above[c];
                }
            }
            let inverse = 1.0 / factor[i];
            for c in 0..LANES {
                row[c] *= inverse;
                explained[c] += row[c] * row[c];
            }
            solved[i] = row;
            start += i + 1;
        }
        std::array::from_fn(|c| {
            let variance = self.amplitude * (1.0 - explained[c]).max(1e-12);
            Belief { mean: mean[c], deviation: variance.sqrt() }
        })
    }

    fn kernel_row(&self, known: &[f64], columns: &[[f64; LANES]]) -> [f64; LANES] {
        let mut squared = [0.0; LANES];
        for (j, column) in columns.iter().enumerate() {
            let at = known[j];
            if self.metric.choices[j] {
                let apart = self.metric.inverse[j] * self.metric.inverse[j];
                for c in 0..LANES {
                    squared[c] += if column[c] == at { 0.0 } else { apart };
                }
            } else {
                for c in 0..LANES {
                    let difference = column[c] - at;
                    squared[c] += difference * difference;
                }
            }
        }
        for value in &mut squared {
            *value = matern(*value);
        }
        squared
    }
}

/// The Matern-5/2 correlation at a squared distance.
#[inline]
pub(super) fn matern(squared: f64) -> f64 {
    let a = (5.0 * squared).sqrt();
    (1.0 + a + a * a / 3.0) * decay(a)
}

/// exp(-a) for a >= 0, to two units in the last place; 0 above 700. Written out, so that it is the
/// same on every machine and the compiler can do several at once, which it cannot with a call of
/// `libm`. By Cody and Waite's reduction and a Taylor polynomial.
#[inline]
pub(super) fn decay(a: f64) -> f64 {
    const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
    // Adding it leaves the nearest whole number in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let a = a.min(700.0);
    let shifted = a * std::f64::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = -((a - k * LN2_HIGH) - k * LN2_LOW);
    let tail = 1.0 / 39_916_800.0 + r * (1.0 / 479_001_600.0 + r * (1.0 / 6_227_020_800.0));
    let high = 1.0 / 5_040.0
        + r * (1.0 / 40_320.0 + r * (1.0 / 362_880.0 + r * (1.0 / 3_628_800.0 + r * tail)));
    let low = 1.0
        + r * (1.0
            + r * (0.5
                + r * (1.0 / 6.0
                    + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * high))))));
    low * f64::from_bits((1023u64.wrapping_sub(shifted.to_bits() & 0xfff)) << 52)
}

/// Solves `L x = b` in place, for as many rows of the packed factor as `b` has.
pub(super) fn solve(factor: &[f64], b: &mut [f64]) {
    let mut start = 0;
    for i in 0..b.len() {
        let row = &factor[start..=start + i];
        b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
        start += i + 1;
    }
}

/// Solves `L^T x = b` in place.
pub(super) fn solve_transposed(factor: &[f64], b: &mut [f64]) {
    let mut end = b.len() * (b.len() + 1) / 2;
    for i in (0..b.len()).rev() {
        let row = &factor[end - i - 1..end];
        b[i] /= row[i];
        let value = b[i];
        for (above, l) in b[..i].iter_mut().zip(row) {
            *above -= l * value;
        }
        end -= i + 1;
    }
}

/// A sum of products in four chains, an order that the compiler may keep in vectors.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut chains = [0.0; 4];
    let (whole_a, rest_a) = a.as_chunks::<4>();
    let (whole_b, rest_b) = b.as_chunks::<4>();
    for (x, y) in whole_a.iter().zip(whole_b) {
        for c in 0..4 {
            chains[c] += x[c] * y[c];
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum();
    (chains[0] + chains[2]) + (chains[1] + chains[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decay_is_the_exponential() {
        for i in 0..70_000 {
            let a = f64::from(i) * 0.01 + 1e-3;
            let exact = libm::exp(-a);
            assert!((decay(a) / exact - 1.0).abs() < 1e-15, "{a}: {} {exact}", decay(a));
        }
        assert_eq!(decay(0.0), 1.0);
    }
}
