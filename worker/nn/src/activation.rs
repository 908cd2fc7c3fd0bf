//! The activation functions of the hidden layers and their derivatives.

use crate::elementary::{erf, exp, sigmoid, tanh};
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
