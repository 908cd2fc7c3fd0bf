//! Probabilities from logits.

use caviar_common::numbers::single;

/// Replaces the logits of each row, `classes` of them, by softmax(logits / temperature), with the
/// same bits on every machine. A row with NaN becomes NaN.
pub fn softmax(rows: &mut [f32], classes: usize, temperature: f64) {
    for row in rows.chunks_mut(classes.max(1)) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let power = |logit: f32| libm::exp(f64::from(logit - largest) / temperature);
        let sum: f64 = row.iter().map(|logit| power(*logit)).sum();
        row.iter_mut().for_each(|logit| *logit = single(power(*logit) / sum));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logits_become_probabilities() {
        let mut rows = [0.0, 3f32.ln(), 1000.0, 0.0, f32::NAN, 1.0];
        softmax(&mut rows, 2, 1.0);
        assert!((rows[0] - 0.25).abs() < 1e-7 && (rows[1] - 0.75).abs() < 1e-7, "{rows:?}");
        assert_eq!(rows[2..4], [1.0, 0.0]);
        assert!(rows[4].is_nan() && rows[5].is_nan());
        let mut calibrated = [0.0, 2.0 * 3f32.ln()];
        softmax(&mut calibrated, 2, 2.0);
        assert!((calibrated[1] - 0.75).abs() < 1e-7, "{calibrated:?}");
    }
}
