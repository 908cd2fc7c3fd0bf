//! Standardisation: x' = (x - mean) / deviation, with the statistics of the training split.

use caviar_common::numbers::{real, single};
use ndarray::Array2;

/// The statistics of the columns of a training split.
pub(crate) struct Standard {
    means: Vec<f64>,
    /// The reciprocal of the standard deviation; 0 for a constant column.
    scales: Vec<f64>,
}

impl Standard {
    /// The mean and the biased variance of each column of `train`, `[rows, columns]`. Sums run in
    /// f64 in the order of the rows, so they are the same on every machine.
    pub(crate) fn from_columns(train: &Array2<f32>) -> Self {
        let rows = real(train.nrows());
        let mut means = vec![0.0; train.ncols()];
        for row in train.rows() {
            for (sum, &value) in means.iter_mut().zip(row) {
                *sum += f64::from(value);
            }
        }
        means.iter_mut().for_each(|sum| *sum /= rows);

        let mut scales = vec![0.0; train.ncols()];
        for row in train.rows() {
            for ((sum, &value), mean) in scales.iter_mut().zip(row).zip(&means) {
                let distance = f64::from(value) - mean;
                *sum += distance * distance;
            }
        }
        // The sum of up to 2^29 equal f32 is exact in an f64 (24 + 29 bits), so the variance of a
        // constant column is exactly 0.
        for scale in &mut scales {
            *scale = if *scale > 0.0 { (*scale / rows).sqrt().recip() } else { 0.0 };
        }
        Self { means, scales }
    }

    /// The mean of each pixel, and one standard deviation for all. With a deviation each, pixels at
    /// the border, which are dark in nearly every image, would dominate.
    pub(crate) fn from_pixels(train: &Array2<f32>) -> Self {
        let mut standard = Self::from_columns(train);
        let variances =
            standard.scales.iter().filter(|scale| **scale > 0.0).map(|scale| 1.0 / (scale * scale));
        let mean = variances.sum::<f64>() / real(train.ncols());
        let shared = if mean > 0.0 { mean.sqrt().recip() } else { 0.0 };
        standard.scales.fill(shared);
        standard
    }

    /// Standardises every row in place. A column that is constant in the training split becomes 0.
    pub(crate) fn apply(&self, values: &mut Array2<f32>) {
        for mut row in values.rows_mut() {
            for ((value, mean), scale) in row.iter_mut().zip(&self.means).zip(&self.scales) {
                *value = single((f64::from(*value) - mean) * scale);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn every_column_gets_mean_0_and_variance_1() {
        let mut values = array![[1.0, 10.0], [2.0, 30.0], [3.0, 20.0], [6.0, 40.0]];
        Standard::from_columns(&values).apply(&mut values);
        for column in values.columns() {
            let (sum, squares): (f32, f32) = (column.sum(), column.iter().map(|x| x * x).sum());
            assert!(sum.abs() < 1e-5 && (squares - 4.0).abs() < 1e-5, "{column}");
        }
    }

    #[test]
    fn pixels_keep_their_contrast() {
        let mut values =
            array![[0.0, 0.0, 5.0], [0.0, 200.0, 5.0], [2.0, 0.0, 5.0], [0.0, 200.0, 5.0]];
        Standard::from_pixels(&values).apply(&mut values);
        let (dim, bright) = (values[[2, 0]] - values[[0, 0]], values[[1, 1]] - values[[0, 1]]);
        assert!((bright / dim - 100.0).abs() < 1e-3, "{values}");
        assert_eq!(values.column(2).to_vec(), [0.0; 4]);
        let variance = values.iter().map(|x| x * x).sum::<f32>() / 12.0;
        assert!((variance - 1.0).abs() < 1e-5, "{variance}");
    }

    #[test]
    fn a_constant_column_becomes_0_also_in_other_splits() {
        let standard = Standard::from_columns(&Array2::from_elem((1_000_003, 1), 0.1));
        let mut values = array![[0.1], [7.0]];
        standard.apply(&mut values);
        assert_eq!(values, array![[0.0], [0.0]]);
    }

    #[test]
    fn columns_of_extreme_numbers_stay_finite() {
        let mut values = array![[f32::MAX, 1e-40], [f32::MIN, 2e-40]];
        Standard::from_columns(&values).apply(&mut values);
        assert_eq!(values.mapv(|value| value.round()), array![[1.0, -1.0], [-1.0, 1.0]]);
    }
}
