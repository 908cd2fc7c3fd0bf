//! The update rules, with PyTorch's meaning of every hyperparameter (see [`Optimizer`]).
#![allow(clippy::as_conversions, reason = "hyperparameters are f64, the trainer computes in f32")]
#![allow(clippy::indexing_slicing, reason = "states have the layout of the parameters")]

use std::ops::Range;

use caviar_common::train::{Optimizer, TrainSpec};

use crate::elementary::{LEAST_SQUARE, sqrt};
use crate::error::TrainError;
use crate::kernels::{Buffer, Family, LANES, Lanes, Pass, Simd, vectors, vectors_mut};
use crate::network::Network;

/// An update rule and its state: up to two values a parameter, in the layout of the parameters.
pub(crate) struct Updater {
    family: Family,
    rule: Optimizer,
    /// The velocity of momentum and nesterov, the [sum of gradients](Moments) of adam and adamw;
    /// else empty.
    pub(crate) first: Buffer,
    /// The [sum of squares](Moments) of rmsprop, adam and adamw; else empty.
    pub(crate) second: Buffer,
    /// Steps done.
    pub(crate) steps: u64,
    weight_decay: f64,
    gradient_clip: f64,
    momentum: f32,
    beta1: f64,
    beta2: f64,
    epsilon: f32,
}

/// What the parameters of one tensor share in one step.
#[derive(Clone, Copy)]
struct Step {
    rate: f32,
    /// Factor of the gradient, 1 unless it is clipped.
    clip: f32,
    /// Weight decay: added to the gradient, or by adamw taken from the weight.
    decay: f32,
    moments: Moments,
}

impl Updater {
    /// The rule of `spec`, for `len` parameters.
    pub(crate) fn new(family: Family, spec: &TrainSpec, len: usize) -> Result<Self, TrainError> {
        let rule = spec.optimizer;
        let has_first = matches!(
            rule,
            Optimizer::Momentum | Optimizer::Nesterov | Optimizer::Adam | Optimizer::Adamw
        );
        let has_second = matches!(rule, Optimizer::Rmsprop | Optimizer::Adam | Optimizer::Adamw);
        Ok(Self {
            family,
            rule,
            first: Buffer::new(if has_first { len } else { 0 })?,
            second: Buffer::new(if has_second { len } else { 0 })?,
            steps: 0,
            weight_decay: spec.weight_decay,
            gradient_clip: spec.gradient_clip,
            momentum: spec.momentum as f32,
            beta1: spec.beta1,
            beta2: spec.beta2,
            // An epsilon that f32 rounds to 0 would make 0 / 0 of a parameter whose gradient is 0.
            epsilon: (spec.epsilon as f32).max(f32::MIN_POSITIVE),
        })
    }

    /// Updates the network's parameters by its gradients. Weight decay is for the weight matrices
    /// alone.
    pub(crate) fn step(&mut self, network: &mut Network, rate: f64) {
        self.steps += 1;
        let (clip, moments) = (self.clip_factor(&network.gradients), self.moments(rate));
        let decay = if self.rule == Optimizer::Adamw {
            rate * self.weight_decay
        } else {
            self.weight_decay
        };
        let step = Step { rate: rate as f32, clip, decay: decay as f32, moments };
        if decay <= 0.0 {
            return self.update(
                step,
                0..network.parameters.len(),
                &mut network.parameters,
                &network.gradients,
            );
        }
        for layer in &network.layers {
            for tensor in layer.tensors() {
                let step = if tensor == layer.weights { step } else { Step { decay: 0.0, ..step } };
                self.update(step, tensor.range(), &mut network.parameters, &network.gradients);
            }
        }
    }

    /// The factor that brings the gradient's global norm down to the limit (Pascanu, Mikolov and
    /// Bengio 2013), as PyTorch's clip_grad_norm_.
    fn clip_factor(&self, gradients: &[f32]) -> f32 {
        if self.gradient_clip == 0.0 {
            return 1.0;
        }
        let factor = self.gradient_clip / (norm(gradients) + 1e-6);
        if factor > 1.0 { 1.0 } else { factor as f32 }
    }

    /// Updates the parameters at `range`.
    fn update(
        &mut self,
        step: Step,
        range: Range<usize>,
        parameters: &mut [f32],
        gradients: &[f32],
    ) {
        let (first, second) =
            (part(&mut self.first, range.clone()), part(&mut self.second, range.clone()));
        let (w, g) = (vectors_mut(&mut parameters[range.clone()]), vectors(&gradients[range]));
        let (family, momentum) = (self.family, self.momentum);
        match self.rule {
            Optimizer::Sgd => family.run(Sgd { step, w, g }),
            Optimizer::Momentum => {
                family.run(Momentum { step, momentum, looks_ahead: false, w, g, velocity: first })
            }
            Optimizer::Nesterov => {
                family.run(Momentum { step, momentum, looks_ahead: true, w, g, velocity: first })
            }
            Optimizer::Rmsprop => family.run(Rmsprop { step, w, g, squares: second }),
            Optimizer::Adam => family.run(Adam { step, is_decoupled: false, w, g, first, second }),
            Optimizer::Adamw => family.run(Adam { step, is_decoupled: true, w, g, first, second }),
        }
    }

    fn moments(&self, rate: f64) -> Moments {
        // Rmsprop corrects no bias, and multiplies by the gradient and the rate themselves.
        let (scale, bias) = if self.rule == Optimizer::Rmsprop {
            (1.0, 1.0)
        } else {
            (
                rate * (1.0 - self.beta1) / (1.0 - power(self.beta1, self.steps)),
                1.0 - power(self.beta2, self.steps),
            )
        };
        Moments {
            beta1: self.beta1 as f32,
            beta2: self.beta2 as f32,
            deviation: (((1.0 - self.beta2) / bias).sqrt() / scale) as f32,
            epsilon: (f64::from(self.epsilon) / scale) as f32,
        }
    }
}

/// base^exponent by squaring: the same bits everywhere, and cheaper than a general power.
fn power(mut base: f64, mut exponent: u64) -> f64 {
    let mut product = 1.0;
    while exponent > 0 {
        // Beside 1, what it is taken from, it is nothing from here on.
        if base < 1e-20 {
            return 0.0;
        }
        if exponent % 2 == 1 {
            product *= base;
        }
        base *= base;
        exponent /= 2;
    }
    product
}

/// A state's values at `range`, nothing of one that the rule does not have.
fn part(state: &mut Buffer, range: Range<usize>) -> &mut [Lanes] {
    if state.is_empty() { &mut [] } else { vectors_mut(&mut state[range]) }
}

/// The constants of Adam (Kingma and Ba 2015, with PyTorch's meaning) and of rmsprop in one step: w
/// -= m / (deviation sqrt(v) + epsilon).
///
/// The sums m = beta1 m + g and v = beta2 v + g^2 are the moments divided by 1 - beta. That factor,
/// the learning rate and the bias corrections are in the two constants.
#[derive(Clone, Copy)]
struct Moments {
    beta1: f32,
    beta2: f32,
    deviation: f32,
    epsilon: f32,
}

impl Moments {
    /// What a gradient is divided by.
    #[inline(always)]
    fn size<S: Simd>(self, s: S, squares: S::F) -> S::F {
        s.mul_add(sqrt(s, squares), s.splat(self.deviation), s.splat(self.epsilon))
    }
}

impl Step {
    /// Whether the gradient is taken as it is.
    fn is_plain(self) -> bool {
        self.clip >= 1.0 && self.decay <= 0.0
    }

    /// The gradient, clipped, with the weight decay; where the step [is plain](Self::is_plain), the
    /// gradient.
    #[inline(always)]
    fn gradient<S: Simd, const PLAIN: bool>(self, s: S, w: S::F, g: &Lanes) -> S::F {
        if PLAIN {
            s.load(g)
        } else {
            s.mul_add(s.splat(self.decay), w, s.mul(s.splat(self.clip), s.load(g)))
        }
    }
}

/// keep sum + new, with values below 1e-31 rounded to 0: a sum without gradients decays, and below
/// the normal floats arithmetic is a hundred times slower.
#[inline(always)]
fn accumulate<S: Simd>(s: S, keep: f32, sum: S::F, new: S::F) -> S::F {
    let grain = s.splat(1e-24);
    s.sub(s.mul_add(s.splat(keep), sum, s.add(new, grain)), grain)
}

/// keep sum + g^2, and a little that keeps the root normal.
#[inline(always)]
fn accumulate_square<S: Simd>(s: S, keep: f32, sum: S::F, g: S::F) -> S::F {
    s.mul_add(g, g, s.mul_add(s.splat(keep), sum, s.splat(LEAST_SQUARE)))
}

struct Sgd<'a> {
    step: Step,
    w: &'a mut [Lanes],
    g: &'a [Lanes],
}

impl Pass for Sgd<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for (w, g) in self.w.iter_mut().zip(self.g) {
            let weight = s.load(w);
            let g = self.step.gradient::<S, false>(s, weight, g);
            s.store(s.neg_mul_add(s.splat(self.step.rate), g, weight), w);
        }
    }
}

struct Momentum<'a> {
    step: Step,
    momentum: f32,
    /// Nesterov's.
    looks_ahead: bool,
    w: &'a mut [Lanes],
    g: &'a [Lanes],
    velocity: &'a mut [Lanes],
}

impl Pass for Momentum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let momentum = s.splat(self.momentum);
        for ((w, g), velocity) in self.w.iter_mut().zip(self.g).zip(self.velocity) {
            let weight = s.load(w);
            let g = self.step.gradient::<S, false>(s, weight, g);
            let v = accumulate(s, self.momentum, s.load(velocity), g);
            s.store(v, velocity);
            let direction = if self.looks_ahead { s.mul_add(momentum, v, g) } else { v };
            s.store(s.neg_mul_add(s.splat(self.step.rate), direction, weight), w);
        }
    }
}

struct Rmsprop<'a> {
    step: Step,
    w: &'a mut [Lanes],
    g: &'a [Lanes],
    squares: &'a mut [Lanes],
}

impl Pass for Rmsprop<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let moments = self.step.moments;
        for ((w, g), squares) in self.w.iter_mut().zip(self.g).zip(self.squares) {
            let weight = s.load(w);
            let g = self.step.gradient::<S, false>(s, weight, g);
            let v = accumulate_square(s, moments.beta2, s.load(squares), g);
            s.store(v, squares);
            s.store(s.sub(weight, s.div(s.mul(s.splat(self.step.rate), g), moments.size(s, v))), w);
        }
    }
}

struct Adam<'a> {
    step: Step,
    /// Weight decay is taken from the weight (adamw), not added to the gradient.
    is_decoupled: bool,
    w: &'a mut [Lanes],
    g: &'a [Lanes],
    first: &'a mut [Lanes],
    second: &'a mut [Lanes],
}

impl Pass for Adam<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.step.is_plain() { self.update::<S, true>(s) } else { self.update::<S, false>(s) }
    }
}

impl Adam<'_> {
    #[inline(always)]
    fn update<S: Simd, const PLAIN: bool>(self, s: S) {
        let moments = self.step.moments;
        let coupled =
            Step { decay: if self.is_decoupled { 0.0 } else { self.step.decay }, ..self.step };
        let decoupled = s.splat(if self.is_decoupled { self.step.decay } else { 0.0 });
        for (((w, g), first), second) in
            self.w.iter_mut().zip(self.g).zip(self.first).zip(self.second)
        {
            let weight = s.load(w);
            let g = coupled.gradient::<S, PLAIN>(s, weight, g);
            let m = accumulate(s, moments.beta1, s.load(first), g);
            let v = accumulate_square(s, moments.beta2, s.load(second), g);
            s.store(m, first);
            s.store(v, second);
            let decayed = if PLAIN { weight } else { s.neg_mul_add(decoupled, weight, weight) };
            s.store(s.sub(decayed, s.div(m, moments.size(s, v))), w);
        }
    }
}

/// The Euclidean norm, summed in f64 and lane by lane: it is the same on every machine, and too
/// rare to be worth vectors of doubles.
fn norm(values: &[f32]) -> f64 {
    let mut sums = [0.0f64; LANES];
    for vector in vectors(values) {
        for (sum, &value) in sums.iter_mut().zip(vector) {
            *sum += f64::from(value) * f64::from(value);
        }
    }
    sums.into_iter().sum::<f64>().sqrt()
}
