//! The non-linearities of the hidden layers, and what the backward pass needs of them.

use caviar_common::train::Activation;

use crate::elementary::{erf, exp, sigmoid, tanh};
use crate::kernels::Family;

/// Slope of leaky relu left of 0.
const LEAK: f32 = 0.01;

/// Each of `values` becomes g of it, and its neighbour in `slopes` the derivative there. At the kink of relu the slope is the left one.
pub(crate) fn activate(family: Family, activation: Activation, values: &mut [f32], slopes: &mut [f32]) {
    match activation {
        Activation::Relu => each(family, values, slopes, relu),
        Activation::LeakyRelu => each(family, values, slopes, leaky_relu),
        Activation::Tanh => each(family, values, slopes, tanh_slope),
        Activation::Sigmoid => each(family, values, slopes, sigmoid_slope),
        Activation::Gelu => each(family, values, slopes, gelu),
    }
}

/// Multiplies each of `gradients` by its factor: the backward pass of [`activate`] and of dropout.
pub(crate) fn multiply(family: Family, gradients: &mut [f32], factors: &[f32]) {
    family.vectorised(
        #[inline(always)]
        move || {
            for (gradient, factor) in gradients.iter_mut().zip(factors) {
                *gradient *= factor;
            }
        },
    );
}

#[inline(always)]
fn each(family: Family, values: &mut [f32], slopes: &mut [f32], value_and_slope: impl Fn(f32) -> (f32, f32)) {
    family.vectorised(
        #[inline(always)]
        move || {
            for (value, slope) in values.iter_mut().zip(slopes) {
                (*value, *slope) = value_and_slope(*value);
            }
        },
    );
}

// Written as `z < 0`, not `z > 0`, so that NaN passes through: a diverged training must show.
#[inline(always)]
fn relu(z: f32) -> (f32, f32) {
    (if z < 0.0 { 0.0 } else { z }, if z > 0.0 { 1.0 } else { 0.0 })
}

#[inline(always)]
fn leaky_relu(z: f32) -> (f32, f32) {
    (if z > 0.0 { z } else { LEAK * z }, if z > 0.0 { 1.0 } else { LEAK })
}

#[inline(always)]
fn tanh_slope(z: f32) -> (f32, f32) {
    let value = tanh(z);
    (value, 1.0 - value * value)
}

#[inline(always)]
fn sigmoid_slope(z: f32) -> (f32, f32) {
    let value = sigmoid(z);
    (value, value * (1.0 - value))
}

/// z Phi(z) (Hendrycks and Gimpel 2016), and Phi(z) + z phi(z).
#[inline(always)]
fn gelu(z: f32) -> (f32, f32) {
    const INVERSE_SQRT_2PI: f32 = 0.398_942_3;
    let below = 0.5 * (1.0 + erf(z * std::f32::consts::FRAC_1_SQRT_2));
    let density = INVERSE_SQRT_2PI * exp(-0.5 * z * z);
    (z * below, below + z * density)
}
