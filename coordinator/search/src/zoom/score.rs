//! The score of a candidate: the logarithm of its expected improvement.
//!
//! A candidate with the predicted mean m and standard deviation s improves on the value f to beat
//! by max(f - X, 0), where X is normal. With z = (f - m) / s, and the density φ and the
//! distribution function Φ of the standard normal distribution, the expected improvement is
//!
//! ```text
//! EI = s * (φ(z) + z Φ(z))        score = ln s + ln(φ(z) + z Φ(z))
//! ```
//!
//! (Jones, Schonlau and Welch, "Efficient Global Optimization of Expensive Black-Box Functions",
//! 1998). For z far below 0 both terms cancel. The logarithm is then computed without them, as in
//! Ament et al., "Unexpected Improvements to Expected Improvement for Bayesian Optimization", 2023,
//! so that candidates with next to no expected improvement still have an order.
//!
//! Example: for f = 0, m = 0.5 and s = 1, z = -0.5 and EI = 0.352 - 0.5 * 0.309 = 0.198, so the
//! score is -1.62.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::gp::Prediction;

/// The logarithm of the improvement on the value `least` that is expected of a candidate.
pub(super) fn log_expected_improvement(least: f64, prediction: Prediction) -> f64 {
    let z = (least - prediction.mean) / prediction.deviation;
    libm::log(prediction.deviation) + log_tail(z)
}

/// ln(φ(z) + z Φ(z)).
fn log_tail(z: f64) -> f64 {
    let log_density = -0.5 * z * z - 0.5 * libm::log(2.0 * PI);
    if z > -1.0 {
        return libm::log(libm::exp(log_density) + z * 0.5 * libm::erfc(-z * FRAC_1_SQRT_2));
    }
    // 1 + z Φ(z) / φ(z).
    let share = if z > -25.0 {
        let x = -z * FRAC_1_SQRT_2;
        1.0 + z * (PI / 2.0).sqrt() * libm::exp(x * x) * libm::erfc(x)
    } else {
        // The difference above would be only rounding error, so this is its asymptotic series.
        let inverse = 1.0 / (z * z);
        inverse * (1.0 - inverse * (3.0 - inverse * (15.0 - inverse * 105.0)))
    };
    log_density + libm::log(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_formulas_meet_and_the_score_grows_with_the_expected_improvement() {
        for seam in [-1.0, -25.0] {
            let (left, right) = (log_tail(seam - 1e-9), log_tail(seam + 1e-9));
            assert!(left < right && right - left < 1e-6, "{seam}: {left} {right}");
        }
        let values: Vec<f64> = (-400..100).map(|i| log_tail(f64::from(i) * 0.1)).collect();
        assert!(values.windows(2).all(|pair| matches!(pair, [a, b] if a < b)));
        let score = |least, mean, deviation| {
            log_expected_improvement(least, Prediction { mean, deviation })
        };
        assert!((score(1.0, -1.0, 1e-3) - libm::log(2.0)).abs() < 1e-12, "certain to improve by 2");
        assert!((score(0.0, 0.5, 1.0) - -1.62).abs() < 1e-3, "the example of the module");
    }
}
