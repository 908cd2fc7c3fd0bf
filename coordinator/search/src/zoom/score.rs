//! Expected improvement (Jones et al. 1998), its logarithm as Ament et al. ("Unexpected
//! Improvements to Expected Improvement", 2023) keep it from vanishing where an improvement is next
//! to impossible.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

use super::gp::Belief;

/// The logarithm of the improvement below `least` that is expected of a candidate.
pub(super) fn log_expected_improvement(least: f64, belief: Belief) -> f64 {
    let z = (least - belief.mean) / belief.deviation;
    libm::log(belief.deviation) + log_tail(z)
}

/// ln(phi(z) + z Phi(z)).
fn log_tail(z: f64) -> f64 {
    let log_density = -0.5 * z * z - 0.5 * libm::log(2.0 * PI);
    if z > -1.0 {
        return libm::log(libm::exp(log_density) + z * 0.5 * libm::erfc(-z * FRAC_1_SQRT_2));
    }
    let share = if z > -25.0 {
        let x = -z * FRAC_1_SQRT_2;
        1.0 + z * (PI / 2.0).sqrt() * libm::exp(x * x) * libm::erfc(x)
    } else {
        // The difference above is all rounding here: its asymptotic series.
        let inverse = 1.0 / (z * z);
        inverse * (1.0 - inverse * (3.0 - inverse * (15.0 - inverse * 105.0)))
    };
    log_density + libm::log(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_meet_and_grow_with_what_is_promised() {
        for seam in [-1.0, -25.0] {
            let (left, right) = (log_tail(seam - 1e-9), log_tail(seam + 1e-9));
            assert!(left < right && right - left < 1e-6, "{seam}: {left} {right}");
        }
        let values: Vec<f64> = (-400..100).map(|i| log_tail(f64::from(i) * 0.1)).collect();
        assert!(values.windows(2).all(|pair| matches!(pair, [a, b] if a < b)));
        // A candidate that is sure to be better by 2 promises 2.
        assert!(
            (log_expected_improvement(1.0, Belief { mean: -1.0, deviation: 1e-3 })
                - libm::log(2.0))
            .abs()
                < 1e-12
        );
    }
}
