//! Standardisation: x' = (x - mean) / deviation, with the statistics of the training split.
//!
//! All of it is done in f64, and only x' becomes an f32. Microseconds of a date, for example, need
//! more digits than an f32 has, but their differences from the mean do not.

use caviar_common::numbers::{real, single};
use serde::{Deserialize, Serialize};

/// Farthest distance from the mean, in deviations. No row of a training split reaches it, because
/// the farthest of n rows is within the root of n. A row of another split can, and a network would
/// turn it into an infinity.
const FARTHEST: f64 = 1e6;

/// The mean of a column, and the reciprocal of its standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standard {
    /// The mean in the training split.
    pub mean: f64,
    /// 1 / deviation; 0 for a column that is constant in the training split, which becomes 0
    /// everywhere.
    pub scale: f64,
}

impl Standard {
    /// The largest distance from the mean, in deviations, that a value becomes.
    pub const FARTHEST: f64 = FARTHEST;

    /// The number whose standardised value is `output`: the mean if the training split had one
    /// value only.
    pub fn restore(&self, output: f64) -> f64 {
        if self.scale == 0.0 { self.mean } else { self.mean + output / self.scale }
    }

    /// The mean and the biased variance of the numbers. Sums run in the order of the rows, so they
    /// are the same on every machine.
    pub(crate) fn of(values: &[f64]) -> Self {
        let Some(&first) = values.first() else { return Self { mean: 0.0, scale: 0.0 } };
        let count = real(values.len());
        // The distances from the first value are exactly 0 in a constant column, and so are its
        // variance and its scale. The values themselves could not be summed exactly.
        let mean = first + values.iter().map(|value| value - first).sum::<f64>() / count;
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        Self { mean, scale: reciprocal((squares / count).sqrt()) }
    }

    /// The mean of each pixel, and one standard deviation for all: the root of the mean variance.
    /// `sums` has the sum and the sum of squares of each pixel over `count` images.
    pub(crate) fn of_pixels(sums: &[(u64, u64)], count: usize) -> Vec<Self> {
        let count = real(count);
        // The sums are exact: a sum of 2^29 squares of bytes is below 2^45.
        let exact = |(sum, squares): (u64, u64)| (exact(sum), exact(squares));
        let moments = || sums.iter().copied().map(exact);
        let variance = |(sum, squares): (f64, f64)| (squares - sum * sum / count) / count;
        let mean_variance = moments().map(variance).sum::<f64>() / real(sums.len());
        let scale = reciprocal(mean_variance.max(0.0).sqrt());
        moments().map(|(sum, _)| Self { mean: sum / count, scale }).collect()
    }

    /// The distance from the mean in deviations, at most [`FARTHEST`].
    pub(crate) fn apply(&self, value: f64) -> f32 {
        single(((value - self.mean) * self.scale).clamp(-FARTHEST, FARTHEST))
    }
}

/// 1 / deviation; 0 if that is not finite.
fn reciprocal(deviation: f64) -> f64 {
    Some(deviation.recip()).filter(|scale| scale.is_finite()).unwrap_or_default()
}

/// A whole number below 2^53 as a real one.
fn exact(number: u64) -> f64 {
    real(caviar_common::numbers::to_usize(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_gets_mean_0_and_variance_1() {
        let values = [10.0, 30.0, 20.0, 40.0];
        let standard = Standard::of(&values);
        let scaled: Vec<f64> = values.iter().map(|v| f64::from(standard.apply(*v))).collect();
        assert!(scaled.iter().sum::<f64>().abs() < 1e-6, "{scaled:?}");
        assert!((scaled.iter().map(|v| v * v).sum::<f64>() - 4.0).abs() < 1e-6, "{scaled:?}");
    }

    #[test]
    fn what_varies_below_the_precision_of_an_f32_is_kept() {
        let values: Vec<f64> = (0..100).map(|n| 1.7e15 + f64::from(n)).collect();
        let standard = Standard::of(&values);
        let scaled: Vec<f32> = values.iter().map(|v| standard.apply(*v)).collect();
        assert!(scaled.windows(2).all(|pair| pair[0] < pair[1]), "{scaled:?}");
        assert!((scaled[0] + 1.714_816).abs() < 1e-4, "{}", scaled[0]);
    }

    #[test]
    fn a_constant_column_becomes_0_also_in_other_rows() {
        let standard = Standard::of(&vec![0.1; 1_000_003]);
        assert_eq!((standard.apply(0.1), standard.apply(7.0)), (0.0, 0.0));
        assert_eq!(Standard::of(&[]).apply(7.0), 0.0);
    }

    #[test]
    fn columns_of_extreme_numbers_stay_finite() {
        for [a, b] in [[1e100, -1e100], [1e-150, 3e-150], [5e-324, 0.0]] {
            let standard = Standard::of(&[a, b]);
            assert!(standard.apply(a).is_finite() && standard.apply(1e100).is_finite(), "{a} {b}");
        }
        assert_eq!(Standard::of(&[1e100, -1e100]).apply(1e100), 1.0);
    }

    #[test]
    fn pixels_keep_their_contrast() {
        let images = [[0_u64, 0, 5], [0, 200, 5], [2, 0, 5], [0, 200, 5]];
        let sums: Vec<(u64, u64)> = (0..3)
            .map(|p| {
                let pixels = images.iter().map(|image| image[p]);
                (pixels.clone().sum(), pixels.map(|byte| byte * byte).sum())
            })
            .collect();
        let standards = Standard::of_pixels(&sums, 4);
        let value = |image: usize, p: usize| standards[p].apply(exact(images[image][p]));
        let (dim, bright) = (value(2, 0) - value(0, 0), value(1, 1) - value(0, 1));
        assert!((bright / dim - 100.0).abs() < 1e-3, "{bright} {dim}");
        assert_eq!(value(0, 2), 0.0);
        let squares = (0..4).flat_map(|i| (0..3).map(move |p| (i, p)));
        let variance = squares.map(|(i, p)| value(i, p).powi(2)).sum::<f32>() / 12.0;
        assert!((variance - 1.0).abs() < 1e-5, "{variance}");
    }
}
