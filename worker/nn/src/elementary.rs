//! Elementary functions in f32, the same bits on every machine: additions, multiplications, divisions and square roots, which
//! IEEE 754 fixes, in one order and never fused. Written without branches, so that loops over them become vector code. NaN
//! stays NaN.

/// e^x, to 2 units in the last place; 0 or subnormal results below e^-87 are flushed to e^-87, and above e^88 it stays there.
///
/// Reduction by powers of two and a polynomial of degree 7, after Moshier's Cephes library (expf).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Not f32::clamp or max: they may turn NaN into the bound.
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    // Adding 1.5 x 2^23 rounds to an integer and leaves it in the low bits.
    let shifted = x * std::f32::consts::LOG2_E + 12_582_912.0;
    let n = shifted - 12_582_912.0;
    // ln 2 in two parts, the first exact in few bits.
    let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_2e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let power_of_two = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    ((p * (r * r) + r) + 1.0) * power_of_two
}

/// tanh x, to 3 units in the last place; Cephes' polynomial near 0, 1 - 2 / (e^2x + 1) elsewhere.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let s = x * x;
    let p = -5.704_988_7e-3;
    let p = p * s + 2.063_909e-2;
    let p = p * s - 5.373_971_5e-2;
    let p = p * s + 1.333_144_2e-1;
    let p = p * s - 3.333_328_3e-1;
    let near = p * s * x + x;
    // Beyond 10 the result is 1 and e^2x would leave the range.
    let size = x.abs();
    let size = if size > 10.0 { 10.0 } else { size };
    let far = (1.0 - 2.0 / (exp(2.0 * size) + 1.0)).copysign(x);
    if x.abs() < 0.625 { near } else { far }
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The error function, to 5e-7: a ratio of polynomials in x^2, fitted on [-4, 4] (as in Eigen).
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = if x > 4.0 { 4.0 } else { x };
    let x = if x < -4.0 { -4.0 } else { x };
    let s = x * x;
    let p = -2.726_142_3e-10;
    let p = p * s + 2.770_681_4e-8;
    let p = p * s - 2.101_024e-6;
    let p = p * s - 5.692_506_4e-5;
    let p = p * s - 7.349_906_3e-4;
    let p = p * s - 2.954_6e-3;
    let p = p * s - 1.609_603_3e-2;
    let q = -1.456_607_2e-5;
    let q = q * s - 2.133_740_6e-4;
    let q = q * s - 1.682_827e-3;
    let q = q * s - 7.373_329e-3;
    let q = q * s - 1.426_473_9e-2;
    x * p / q
}

#[cfg(test)]
mod tests {
    use super::{erf, exp, sigmoid, tanh};

    /// The largest error of `fast` on [-range, range], relative to the value or absolute, whichever is less.
    fn worst(fast: fn(f32) -> f32, exact: fn(f64) -> f64, range: f32) -> f64 {
        let mut worst = 0.0f64;
        for step in -20_000i16..=20_000 {
            let x = f32::from(step) / 20_000.0 * range;
            let (got, want) = (f64::from(fast(x)), exact(f64::from(x)));
            worst = worst.max((got - want).abs().min(((got - want) / want).abs()));
        }
        worst
    }

    #[test]
    fn elementary_functions_are_exact_to_a_few_units() {
        assert!(worst(exp, libm::exp, 86.0) < 2.5e-7, "exp {}", worst(exp, libm::exp, 86.0));
        assert!(worst(tanh, libm::tanh, 12.0) < 2.5e-7, "tanh {}", worst(tanh, libm::tanh, 12.0));
        assert!(worst(erf, libm::erf, 6.0) < 5e-7, "erf {}", worst(erf, libm::erf, 6.0));
        let exact = |x: f64| 1.0 / (1.0 + libm::exp(-x));
        assert!(worst(sigmoid, exact, 30.0) < 2.5e-7, "sigmoid {}", worst(sigmoid, exact, 30.0));
    }

    #[test]
    fn ends_and_nan() {
        for f in [exp, tanh, sigmoid, erf] {
            assert!(f(f32::NAN).is_nan());
            assert!(f(f32::INFINITY).is_finite() && f(f32::NEG_INFINITY).is_finite());
        }
        assert_eq!((tanh(50.0), tanh(-50.0), sigmoid(50.0), exp(0.0)), (1.0, -1.0, 1.0, 1.0));
    }
}
