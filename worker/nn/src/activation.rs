//! The activation functions of the hidden layers and their derivatives.

use crate::elementary::{erf, exp, exp_minus_one, sigmoid, tanh};
use crate::kernels::Simd;

/// The slope of leaky relu for z < 0.
const LEAK: f32 = 0.01;

/// A function g of one variable and its derivative g'.
pub(crate) trait Curve: Copy {
    /// The value g(z) in each lane.
    fn value<S: Simd>(self, s: S, z: S::F) -> S::F;
    /// The gradient d g'(z) in each lane, from d, the gradient by g(z).
    fn back<S: Simd>(self, s: S, z: S::F, d: S::F) -> S::F;
}

/// g(z) = z, for a layer that normalises after its activation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity;
/// g(z) = max(0, z). The slope at 0 is 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Relu;
/// g(z) = z for z > 0, else [`LEAK`] z.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeakyRelu;
/// g(z) = tanh z
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tanh;
/// g(z) = 1 / (1 + e^-z)
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sigmoid;
/// g(z) = z Phi(z), where Phi is the standard normal distribution function (Hendrycks and Gimpel
/// 2016)
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gelu;
/// g(z) = z / (1 + e^-z), the sigmoid-weighted linear unit (Elfwing, Uchibe and Doya 2018)
///
/// With the sigmoid p, g' = p + z p (1 - p). The relative error of the value and the absolute error
/// of the slope are at most 2e-7.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silu;
/// g(z) = z tanh(ln(1 + e^z)) (Misra 2020)
///
/// With e = e^z and n = e (e + 2), the tangent is n / (n + 2), which needs no logarithm, and
/// g' = (n + 4 z e (e + 1) / (n + 2)) / (n + 2). The relative error of the value is at most 3e-7,
/// and the absolute error of the slope at most 2e-7.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mish;
/// g(z) = lambda z for z > 0, else lambda alpha (e^z - 1), with [`LAMBDA`] and [`LAMBDA_ALPHA`]
/// (Klambauer, Unterthiner, Mayr and Hochreiter 2017)
///
/// The relative error of the value and the absolute error of the slope are at most 1.5e-7. The
/// slope at 0 is lambda alpha, as in PyTorch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Selu;

/// The lambda of [`Selu`], 1.0507009873554805. With alpha, it keeps a mean of 0 and a variance of 1
/// from layer to layer.
const LAMBDA: f32 = 1.050_701;
/// The product of lambda and alpha = 1.6732632423543772, the limit of -[`Selu`] for small z.
const LAMBDA_ALPHA: f32 = 1.758_099_3;

/// Evaluates `$body` with `$curve` bound to the [`Curve`] of an activation.
macro_rules! with_curve {
    ($activation:expr, $curve:ident => $body:expr) => {
        match $activation {
            caviar_common::train::Activation::Relu => {
                let $curve = $crate::activation::Relu;
                $body
            }
            caviar_common::train::Activation::LeakyRelu => {
                let $curve = $crate::activation::LeakyRelu;
                $body
            }
            caviar_common::train::Activation::Tanh => {
                let $curve = $crate::activation::Tanh;
                $body
            }
            caviar_common::train::Activation::Sigmoid => {
                let $curve = $crate::activation::Sigmoid;
                $body
            }
            caviar_common::train::Activation::Gelu => {
                let $curve = $crate::activation::Gelu;
                $body
            }
            caviar_common::train::Activation::Silu => {
                let $curve = $crate::activation::Silu;
                $body
            }
            caviar_common::train::Activation::Mish => {
                let $curve = $crate::activation::Mish;
                $body
            }
            caviar_common::train::Activation::Selu => {
                let $curve = $crate::activation::Selu;
                $body
            }
        }
    };
}
pub(crate) use with_curve;

impl Curve for Identity {
    #[inline(always)]
    fn value<S: Simd>(self, _: S, z: S::F) -> S::F {
        z
    }

    #[inline(always)]
    fn back<S: Simd>(self, _: S, _: S::F, d: S::F) -> S::F {
        d
    }
}

impl Curve for Relu {
    #[inline(always)]
    fn value<S: Simd>(self, s: S, z: S::F) -> S::F {
        // In this order NaN passes through, so a diverged training is visible.
        s.max(s.splat(0.0), z)
    }

    #[inline(always)]
    fn back<S: Simd>(self, s: S, z: S::F, d: S::F) -> S::F {
        s.select(s.less(s.splat(0.0), z), d, s.splat(0.0))
    }
}

impl Curve for LeakyRelu {
    #[inline(always)]
    fn value<S: Simd>(self, s: S, z: S::F) -> S::F {
        s.max(s.mul(s.splat(LEAK), z), z)
    }

    #[inline(always)]
    fn back<S: Simd>(self, s: S, z: S::F, d: S::F) -> S::F {
        s.select(s.less(s.splat(0.0), z), d, s.mul(s.splat(LEAK), d))
    }
}

impl Curve for Tanh {
    #[inline(always)]
    fn value<S: Simd>(self, s: S, z: S::F) -> S::F {
        tanh(s, z)
    }

    #[inline(always)]
    fn back<S: Simd>(self, s: S, z: S::F, d: S::F) -> S::F {
        let value = tanh(s, z);
        s.mul(d, s.neg_mul_add(value, value, s.splat(1.0)))
    }
}

impl Curve for Sigmoid {
    #[inline(always)]
    fn value<S: Simd>(self, s: S, z: S::F) -> S::F {
        sigmoid(s, z)
    }

    #[inline(always)]
    fn back<S: Simd>(self, s: S, z: S::F, d: S::F) -> S::F {
        let value = sigmoid(s, z);
        s.mul(d, s.neg_mul_add(value, value, value))
    }
}

impl Gelu {
    /// Phi(z), the probability that a standard normal variable is below z.
    #[inline(always)]
    fn phi<S: Simd>(s: S, z: S::F) -> S::F {
        let half = s.splat(0.5);
        s.mul_add(half, erf(s, s.mul(z, s.splat(std::f32::consts::FRAC_1_SQRT_2))), half)
    }
}

impl Curve for Gelu {
    #[inline(always)]
    fn value<S: Simd>(self, s: S, z: S::F) -> S::F {
        s.mul(z, Self::phi(s, z))
    }

    #[inline(always)]
    fn back<S: Simd>(self, s: S, z: S::F, d: S::F) -> S::F {
        const INVERSE_SQRT_2PI: f32 = 0.398_942_3;
        let density = s.mul(s.splat(INVERSE_SQRT_2PI), exp(s, s.mul(s.mul(s.splat(-0.5), z), z)));
        s.mul(d, s.mul_add(z, density, Self::phi(s, z)))
    }
}

impl Curve for Silu {
    #[inline(always)]
    fn value<S: Simd>(self, s: S, z: S::F) -> S::F {
        s.mul(z, sigmoid(s, z))
    }

    #[inline(always)]
    fn back<S: Simd>(self, s: S, z: S::F, d: S::F) -> S::F {
        let power = exp(s, s.sub(s.splat(0.0), z));
        let share = s.div(s.splat(1.0), s.add(power, s.splat(1.0)));
        // 1 - p as a product: a difference of numbers near 1 has an error, which z would multiply.
        let rest = s.mul(power, share);
        s.mul(d, s.mul_add(s.mul(z, share), rest, share))
    }
}

impl Mish {
    /// From this argument on, the value is z and the slope is 1; e^2z could overflow.
    const LINEAR: f32 = 20.0;

    /// The parts e and n, and z limited to [`Mish::LINEAR`].
    #[inline(always)]
    fn parts<S: Simd>(s: S, z: S::F) -> [S::F; 3] {
        // In this order NaN passes through.
        let z = s.min(s.splat(Self::LINEAR), z);
        let e = exp(s, z);
        [e, s.mul(e, s.add(e, s.splat(2.0))), z]
    }
}

impl Curve for Mish {
    #[inline(always)]
    fn value<S: Simd>(self, s: S, z: S::F) -> S::F {
        let [_, n, _] = Self::parts(s, z);
        s.mul(z, s.div(n, s.add(n, s.splat(2.0))))
    }

    #[inline(always)]
    fn back<S: Simd>(self, s: S, z: S::F, d: S::F) -> S::F {
        let [e, n, z] = Self::parts(s, z);
        let inverse = s.div(s.splat(1.0), s.add(n, s.splat(2.0)));
        let share = s.mul(s.mul(e, s.add(e, s.splat(1.0))), inverse);
        let slope = s.mul(inverse, s.mul_add(s.mul(s.splat(4.0), z), share, n));
        s.mul(d, slope)
    }
}

impl Curve for Selu {
    #[inline(always)]
    fn value<S: Simd>(self, s: S, z: S::F) -> S::F {
        let below = s.mul(s.splat(LAMBDA_ALPHA), exp_minus_one(s, z));
        s.select(s.less(s.splat(0.0), z), s.mul(s.splat(LAMBDA), z), below)
    }

    #[inline(always)]
    fn back<S: Simd>(self, s: S, z: S::F, d: S::F) -> S::F {
        let below = s.mul(s.splat(LAMBDA_ALPHA), exp(s, z));
        s.mul(d, s.select(s.less(s.splat(0.0), z), s.splat(LAMBDA), below))
    }
}

#[cfg(test)]
mod tests {
    use caviar_common::numbers::single;
    use caviar_common::train::Activation;

    use super::*;
    use crate::kernels::{Family, LANES, Lanes, Pass};

    /// The value and the slope of a curve in each lane.
    struct Apply<A>(A, Lanes);

    impl<A: Curve> Pass for Apply<A> {
        type Output = [Lanes; 2];

        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> [Lanes; 2] {
            let z = s.load(&self.1);
            let mut out = [[0.0; LANES]; 2];
            s.store(self.0.value(s, z), &mut out[0]);
            s.store(self.0.back(s, z, s.splat(1.0)), &mut out[1]);
            out
        }
    }

    /// Value and slope at z, which must have the same bits on every family.
    fn apply(activation: Activation, z: f32) -> [f32; 2] {
        let of = |family: Family| {
            let [value, slope] =
                with_curve!(activation, curve => family.run(Apply(curve, [z; LANES])));
            [value[5], slope[5]]
        };
        let families = Family::available();
        let first = of(families[0]);
        for family in families {
            let same = first.map(f32::to_bits) == of(family).map(f32::to_bits);
            assert!(same || first[0].is_nan(), "{activation:?} at {z} with {}", family.name());
        }
        first
    }

    fn exact(activation: Activation, z: f64) -> [f64; 2] {
        let (share, power) = (1.0 / (1.0 + libm::exp(-z)), libm::exp(z));
        let (lambda, alpha) = (1.050_700_987_355_480_5, 1.673_263_242_354_377_2);
        match activation {
            Activation::Silu => [z * share, share * (1.0 + z * (1.0 - share))],
            Activation::Mish => {
                let tangent = libm::tanh(libm::log1p(power));
                [z * tangent, tangent + z * share * (1.0 - tangent * tangent)]
            }
            Activation::Selu if z > 0.0 => [lambda * z, lambda],
            Activation::Selu => [lambda * alpha * libm::expm1(z), lambda * alpha * power],
            Activation::Relu
            | Activation::LeakyRelu
            | Activation::Tanh
            | Activation::Sigmoid
            | Activation::Gelu => [f64::NAN; 2],
        }
    }

    /// The largest relative error of the values and the largest absolute error of the slopes, for z
    /// from -30 to 30.
    fn worst(activation: Activation) -> [f64; 2] {
        let mut worst = [0.0f64; 2];
        for step in -60_000..=60_000i32 {
            let z = single(f64::from(step) / 2_000.0);
            let ([value, slope], want) =
                (apply(activation, z).map(f64::from), exact(activation, f64::from(z)));
            let relative = if z == 0.0 { value.abs() } else { (value / want[0] - 1.0).abs() };
            let errors = [relative, (slope - want[1]).abs()];
            for (worst, error) in worst.iter_mut().zip(errors) {
                // In this form NaN counts as an error.
                *worst = if error <= *worst { *worst } else { error };
            }
        }
        worst
    }

    /// Prints the errors with `--nocapture`.
    #[test]
    fn smooth_curves_have_the_errors_that_are_promised() {
        for (activation, of_value, of_slope) in [
            (Activation::Silu, 2e-7, 2e-7),
            (Activation::Mish, 3e-7, 2e-7),
            (Activation::Selu, 1.5e-7, 1.5e-7),
        ] {
            let [value, slope] = worst(activation);
            println!("{activation:?}: value {value:.1e}, slope {slope:.1e}");
            assert!(value <= of_value && slope <= of_slope, "{activation:?}");
        }
    }

    #[test]
    fn curves_far_from_zero_are_linear_or_flat_and_keep_nan() {
        for activation in [Activation::Silu, Activation::Mish] {
            assert_eq!(apply(activation, 1e30), [1e30, 1.0], "{activation:?}");
            let flat = apply(activation, -1e20).map(f32::abs);
            assert!(flat[0] < 1e-15 && flat[1] < 1e-15, "{activation:?}: {flat:?}");
        }
        assert_eq!(apply(Activation::Selu, -1e30)[0], -LAMBDA_ALPHA);
        assert_eq!(apply(Activation::Selu, 0.0), [0.0, LAMBDA_ALPHA]);
        for activation in [Activation::Silu, Activation::Mish, Activation::Selu] {
            let is_nan = apply(activation, f32::NAN).map(f32::is_nan);
            assert_eq!(is_nan, [true; 2], "{activation:?}");
        }
    }
}
