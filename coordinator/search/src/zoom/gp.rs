//! The local model: a Gaussian process with a Matérn-5/2 kernel and one length scale per parameter.
//!
//! It predicts the result at a point from the results at other points: near points have similar
//! results, and a length scale says what near means along a parameter. Between two points u and v
//! with length scales l, the distance r and the correlation k are
//!
//! ```text
//! r² = sum over j of ((u_j - v_j) / l_j)²        k(r) = (1 + √5 r + 5 r² / 3) exp(-√5 r)
//! ```
//!
//! For a choice, u_j - v_j counts as 0 if the values are equal and as 1 otherwise. With the results
//! y, the matrix R of their correlations, the noise σ and a factor F for the noise of each result,
//! the covariance of the results is a (R + σ F). The amplitude a is the one under which y is most
//! probable, yᵀ (R + σ F)⁻¹ y / n. At a new point with the correlations c to the results,
//!
//! ```text
//! mean = cᵀ (R + σ F)⁻¹ y        variance = a (1 - cᵀ (R + σ F)⁻¹ c)
//! ```
//!
//! (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006, chapters 2 and 4).
//!
//! The Cholesky factor L, with L Lᵀ = R + σ F, grows by one row per point. So an assignment in
//! flight is appended to the factor of the results, with its predicted mean as its result
//! ([`Model::believe`]; Ginsbourger et al., "Kriging is well-suited to parallelize optimization",
//! 2010).
//!
//! Example: one result, y = -1, without noise. One length scale away k(1) = 4.903 * 0.1069 = 0.524,
//! so the predicted mean is -0.524 and the standard deviation √(1 - 0.524²) = 0.852.
#![expect(
    clippy::indexing_slicing,
    reason = "numerical kernel: every index is bounded by the loop over the same buffer"
)]

use caviar_common::numbers::real;

/// Candidates that are scored together. Sixteen of them fit into the vector registers while a row
/// of the factor passes.
pub(super) const LANES: usize = 16;
/// A squared amplitude below this is that of a constant function, whose model has amplitude 1.
const LEAST_AMPLITUDE: f64 = 1e-12;
/// The least value of 1 - cᵀ (R + σ F)⁻¹ c. Rounding can make it negative where points coincide and
/// the noise is small.
pub(super) const LEAST_VARIANCE: f64 = 1e-12;

/// What [`fit`](super::fit::fit) finds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KernelParameters {
    /// The length scale of each parameter, as a share of its range.
    pub(super) length_scales: Vec<f64>,
    /// The noise σ: the variance of the noise in units of the amplitude.
    pub(super) noise: f64,
}

/// A predicted mean and standard deviation, in units of the standardised results.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Prediction {
    pub(super) mean: f64,
    pub(super) deviation: f64,
}

/// The results from which a model is made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample<'a> {
    /// For each parameter, whether it is a choice.
    pub(super) is_choice: &'a [bool],
    /// The points of the results, in rows.
    pub(super) points: &'a [f64],
    /// The results y, standardised to mean 0 and deviation 1.
    pub(super) values: &'a [f64],
    /// The factor F of each result's noise.
    pub(super) noise_factors: &'a [f64],
}

/// The posterior distribution of the results, given some of them.
#[derive(Clone, Debug)]
pub(super) struct Model {
    metric: Metric,
    noise: f64,
    /// The points, each coordinate of a number divided by its length scale, in rows.
    points: Vec<f64>,
    /// The rows of the factor L up to the diagonal, one after the other.
    factor: Vec<f64>,
    /// How many of the points are results. The others are believed.
    results: usize,
    /// (R + σ F)⁻¹ y.
    weights: Vec<f64>,
    amplitude: f64,
}

/// How the distance between two points is measured.
#[derive(Clone, Debug)]
struct Metric {
    /// 1 / length scale of each parameter.
    inverse: Vec<f64>,
    is_choice: Vec<bool>,
}

impl Metric {
    /// Appends a point on the model's scale. A choice keeps its coordinate, because only equality
    /// counts.
    fn scale(&self, point: &[f64], out: &mut Vec<f64>) {
        out.extend(
            point
                .iter()
                .zip(&self.inverse)
                .zip(&self.is_choice)
                .map(|((u, inverse), is_choice)| if *is_choice { *u } else { u * inverse }),
        );
    }

    /// The squared distance between two points on the model's scale.
    fn squared(&self, a: &[f64], b: &[f64]) -> f64 {
        let pairs = a.iter().zip(b).zip(&self.inverse).zip(&self.is_choice);
        let difference = |(((a, b), inverse), is_choice): (((&f64, &f64), &f64), &bool)| match (
            is_choice,
            a == b,
        ) {
            (false, _) => a - b,
            (true, true) => 0.0,
            (true, false) => *inverse,
        };
        pairs.map(difference).map(|difference| difference * difference).sum()
    }
}

impl Model {
    pub(super) fn new(kernel: &KernelParameters, sample: &Sample<'_>) -> Self {
        let metric = Metric {
            inverse: kernel.length_scales.iter().map(|scale| 1.0 / scale).collect(),
            is_choice: sample.is_choice.to_vec(),
        };
        let mut model = Self {
            metric,
            noise: kernel.noise,
            points: Vec::new(),
            factor: Vec::new(),
            results: sample.values.len(),
            weights: Vec::new(),
            amplitude: 1.0,
        };
        let points = sample.points.chunks_exact(sample.is_choice.len());
        for (point, noise_factor) in points.zip(sample.noise_factors) {
            model.extend(point, *noise_factor);
        }
        model.weights = sample.values.to_vec();
        solve(&model.factor, &mut model.weights);
        let squared = model.weights.iter().map(|z| z * z).sum::<f64>() / real(sample.values.len());
        model.amplitude = if squared > LEAST_AMPLITUDE { squared } else { 1.0 };
        solve_transposed(&model.factor, &mut model.weights);
        model
    }

    /// Adds a result at `point` that equals the predicted mean there, and returns that mean. This
    /// changes no predicted mean, but lowers the deviations near the point.
    pub(super) fn believe(&mut self, point: &[f64]) -> f64 {
        self.extend(point, 1.0)
    }

    /// Appends a point, and its row to the factor. Returns the predicted mean at the point, or 0
    /// before the weights are known.
    fn extend(&mut self, point: &[f64], noise_factor: f64) -> f64 {
        let dimensions = self.metric.is_choice.len();
        let known = self.points.len() / dimensions;
        self.metric.scale(point, &mut self.points);
        let (before, new) = self.points.split_at(known * dimensions);
        let start = self.factor.len();
        let distances =
            before.chunks_exact(dimensions).map(|other| self.metric.squared(other, new));
        self.factor.extend(distances);
        let (rows, row) = self.factor.split_at_mut(start);
        // A separate pass, so that the compiler can vectorise it.
        row.iter_mut().for_each(|value| *value = matern(*value));
        let mean =
            row.iter().zip(&self.weights).map(|(correlation, weight)| correlation * weight).sum();
        solve(rows, row);
        let rest = 1.0 + self.noise * noise_factor - row.iter().map(|l| l * l).sum::<f64>();
        self.factor.push(rest.max(LEAST_VARIANCE).sqrt());
        mean
    }

    /// The least predicted mean at the results: the best result without its share of noise.
    pub(super) fn least(&self, sample: &Sample<'_>) -> f64 {
        let results = sample.values.iter().zip(&self.weights).zip(sample.noise_factors);
        let smoothed =
            results.map(|((value, weight), factor)| value - self.noise * factor * weight);
        smoothed.fold(f64::INFINITY, f64::min)
    }

    /// The number of points, including the believed ones.
    pub(super) fn len(&self) -> usize {
        self.points.len() / self.metric.is_choice.len()
    }

    /// The predictions at `points` (in rows), without noise.
    pub(super) fn predict(&self, points: &[f64]) -> Vec<Prediction> {
        let dimensions = self.metric.is_choice.len();
        let mut predictions = Vec::with_capacity(points.len() / dimensions);
        let mut solved = vec![[0.0; LANES]; self.len()];
        for block in points.chunks(dimensions * LANES) {
            let count = block.len() / dimensions;
            let columns = self.columns(block);
            let lanes = self.predict_lanes(&columns, &mut solved);
            predictions.extend_from_slice(&lanes[..count]);
        }
        predictions
    }

    /// Up to [`LANES`] points on the model's scale, one array per parameter.
    fn columns(&self, block: &[f64]) -> Vec<[f64; LANES]> {
        let Metric { inverse, is_choice } = &self.metric;
        let dimensions = is_choice.len();
        let mut columns = vec![[0.0; LANES]; dimensions];
        for (lane, point) in block.chunks_exact(dimensions).enumerate() {
            for j in 0..dimensions {
                columns[j][lane] = if is_choice[j] { point[j] } else { point[j] * inverse[j] };
            }
        }
        columns
    }

    /// The predictions at [`LANES`] points. `solved` receives L⁻¹ c of each of them.
    fn predict_lanes(
        &self,
        columns: &[[f64; LANES]],
        solved: &mut [[f64; LANES]],
    ) -> [Prediction; LANES] {
        let (mut mean, mut explained) = ([0.0; LANES], [0.0; LANES]);
        let mut start = 0;
        for (i, known) in self.points.chunks_exact(columns.len()).enumerate() {
            let mut row = self.kernel_row(known, columns);
            if i < self.results {
                for lane in 0..LANES {
                    mean[lane] += self.weights[i] * row[lane];
                }
            }
            let factor = &self.factor[start..=start + i];
            for (l, above) in factor.iter().zip(&solved[..i]) {
                for lane in 0..LANES {
                    row[lane] -= l * above[lane];
                }
            }
            let inverse = 1.0 / factor[i];
            for lane in 0..LANES {
                row[lane] *= inverse;
                explained[lane] += row[lane] * row[lane];
            }
            solved[i] = row;
            start += i + 1;
        }
        std::array::from_fn(|lane| {
            let variance = self.amplitude * (1.0 - explained[lane]).max(LEAST_VARIANCE);
            Prediction { mean: mean[lane], deviation: variance.sqrt() }
        })
    }

    /// The correlations of a known point with [`LANES`] others.
    fn kernel_row(&self, known: &[f64], columns: &[[f64; LANES]]) -> [f64; LANES] {
        let mut squared = [0.0; LANES];
        for (j, column) in columns.iter().enumerate() {
            let at = known[j];
            if self.metric.is_choice[j] {
                let apart = self.metric.inverse[j] * self.metric.inverse[j];
                for lane in 0..LANES {
                    squared[lane] += if column[lane] == at { 0.0 } else { apart };
                }
            } else {
                for lane in 0..LANES {
                    let difference = column[lane] - at;
                    squared[lane] += difference * difference;
                }
            }
        }
        for value in &mut squared {
            *value = matern(*value);
        }
        squared
    }
}

/// The correlation k at a squared distance.
#[inline]
pub(super) fn matern(squared: f64) -> f64 {
    let a = (5.0 * squared).sqrt();
    (1.0 + a + a * a / 3.0) * decay(a)
}

/// exp(-a) for a from 0 to 700, with a relative error below 1e-15. Above 700 it is exp(-700), which
/// is below any rounding error of the model.
///
/// It is written out so that it has the same bits on every machine, and so that the compiler can
/// vectorise it, which is impossible for a call of `libm`. The argument is reduced to
/// exp(-a) = 2^-k exp(r) with |r| <= ln 2 / 2 (Cody and Waite, "Software Manual for the Elementary
/// Functions", 1980), and exp(r) is its Taylor polynomial of degree 13.
#[inline]
pub(super) fn decay(a: f64) -> f64 {
    const LN2_HIGH: f64 = f64::from_bits(0x3fe6_2e42_fee0_0000);
    const LN2_LOW: f64 = f64::from_bits(0x3dea_39ef_3579_3c76);
    // Adding 1.5 * 2^52 rounds to the nearest whole number and leaves it in the low bits.
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

/// Solves L x = b in place. The factor has at least as many rows as `b` has items.
pub(super) fn solve(factor: &[f64], b: &mut [f64]) {
    let mut start = 0;
    for i in 0..b.len() {
        let row = &factor[start..=start + i];
        b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
        start += i + 1;
    }
}

/// Solves Lᵀ x = b in place.
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

/// The scalar product, summed in four chains so that the compiler can vectorise it.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut chains = [0.0; 4];
    let (whole_a, rest_a) = a.as_chunks::<4>();
    let (whole_b, rest_b) = b.as_chunks::<4>();
    for (x, y) in whole_a.iter().zip(whole_b) {
        for i in 0..4 {
            chains[i] += x[i] * y[i];
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(x, y)| x * y).sum();
    (chains[0] + chains[2]) + (chains[1] + chains[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decay_equals_the_exponential_function() {
        for i in 0..70_000 {
            let a = f64::from(i) * 0.01 + 1e-3;
            let exact = libm::exp(-a);
            assert!((decay(a) / exact - 1.0).abs() < 1e-15, "{a}: {} {exact}", decay(a));
        }
        assert_eq!(decay(0.0), 1.0);
    }
}
