//! The update rules, with PyTorch's meaning of every hyperparameter (see [`Optimizer`]).
#![allow(clippy::as_conversions, reason = "hyperparameters are f64, the trainer computes in f32")]

use caviar_common::train::{Optimizer, TrainSpec};

use crate::error::TrainError;
use crate::kernels::{Buffer, Family, LANES};
use crate::network::Network;
use crate::tensor::Tensor;

/// An update rule and its state: up to two values a parameter, in the layout of the parameters.
pub(crate) struct Updater {
    family: Family,
    rule: Optimizer,
    /// The velocity of momentum and nesterov, the first moment of adam and adamw; else empty.
    pub(crate) first: Buffer,
    /// The second moment of rmsprop, adam and adamw; else empty.
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
        let has_first = matches!(rule, Optimizer::Momentum | Optimizer::Nesterov | Optimizer::Adam | Optimizer::Adamw);
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

    /// Updates the network's parameters by its gradients. Weight decay is for the weight matrices alone.
    pub(crate) fn step(&mut self, network: &mut Network, rate: f64) {
        self.steps += 1;
        let (clip, moments) = (self.clip_factor(&network.gradients), self.moments(rate));
        for layer in &network.layers {
            for tensor in layer.tensors() {
                let decay = if tensor == layer.weights { self.weight_decay } else { 0.0 };
                let decay = if self.rule == Optimizer::Adamw { rate * decay } else { decay };
                let step = Step { rate: rate as f32, clip, decay: decay as f32, moments };
                self.update(step, tensor, &mut network.parameters, &network.gradients);
            }
        }
    }

    /// The factor that brings the gradient's global norm down to the limit (Pascanu, Mikolov and Bengio 2013), as
    /// PyTorch's clip_grad_norm_.
    fn clip_factor(&self, gradients: &[f32]) -> f32 {
        if self.gradient_clip == 0.0 {
            return 1.0;
        }
        let factor = self.gradient_clip / (norm(self.family, gradients) + 1e-6);
        if factor > 1.0 { 1.0 } else { factor as f32 }
    }

    fn update(&mut self, step: Step, tensor: Tensor, parameters: &mut [f32], gradients: &[f32]) {
        let (family, Step { rate, clip, decay, moments }) = (self.family, step);
        let (w, g) = (tensor.of_mut(parameters), tensor.of(gradients));
        let (momentum, epsilon) = (self.momentum, self.epsilon);
        let (first, second) = (part(&mut self.first, tensor), part(&mut self.second, tensor));
        match self.rule {
            Optimizer::Sgd => each(family, w, g, move |w, g| w - rate * (clip * g + decay * w)),
            Optimizer::Momentum => each_with(family, w, g, first, move |w, g, v| {
                let v = momentum * v + (clip * g + decay * w);
                (w - rate * v, v)
            }),
            Optimizer::Nesterov => each_with(family, w, g, first, move |w, g, v| {
                let g = clip * g + decay * w;
                let v = momentum * v + g;
                (w - rate * (g + momentum * v), v)
            }),
            Optimizer::Rmsprop => {
                let (keep, take) = (self.beta2 as f32, (1.0 - self.beta2) as f32);
                each_with(family, w, g, second, move |w, g, s| {
                    let g = clip * g + decay * w;
                    let s = keep * s + take * (g * g);
                    (w - rate * g / (s.sqrt() + epsilon), s)
                });
            }
            Optimizer::Adam => moments.update(family, w, g, first, second, move |w, g| (w, clip * g + decay * w)),
            Optimizer::Adamw => moments.update(family, w, g, first, second, move |w, g| (w - decay * w, clip * g)),
        }
    }

    fn moments(&self, rate: f64) -> Moments {
        let taken = self.steps as f64;
        let correction = |beta: f64| 1.0 - libm::pow(beta, taken);
        Moments {
            beta1: [self.beta1 as f32, (1.0 - self.beta1) as f32],
            beta2: [self.beta2 as f32, (1.0 - self.beta2) as f32],
            rate: (rate / correction(self.beta1)) as f32,
            deviation: (1.0 / correction(self.beta2).sqrt()) as f32,
            epsilon: self.epsilon,
        }
    }
}

/// The tensor's part of a state, nothing of one that the rule does not have.
fn part(state: &mut Buffer, tensor: Tensor) -> &mut [f32] {
    if state.is_empty() { &mut [] } else { tensor.of_mut(state) }
}

/// Adam's constants in one step (Kingma and Ba 2015, in the order of operations of PyTorch).
#[derive(Clone, Copy)]
struct Moments {
    /// What is kept of the old moment and taken of the new.
    beta1: [f32; 2],
    beta2: [f32; 2],
    /// The learning rate over the first moment's bias correction.
    rate: f32,
    /// 1 over the root of the second moment's bias correction.
    deviation: f32,
    epsilon: f32,
}

impl Moments {
    /// One step; `decayed` applies clipping and weight decay to a weight and its gradient.
    #[inline(always)]
    fn update(self, family: Family, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], decayed: impl Fn(f32, f32) -> (f32, f32)) {
        family.vectorised(
            #[inline(always)]
            move || {
                let Self { beta1, beta2, rate, deviation, epsilon } = self;
                for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
                    let (weight, g) = decayed(*w, g);
                    *m = beta1[0] * *m + beta1[1] * g;
                    *v = beta2[0] * *v + beta2[1] * (g * g);
                    *w = weight - rate * *m / (v.sqrt() * deviation + epsilon);
                }
            },
        );
    }
}

#[inline(always)]
fn each(family: Family, w: &mut [f32], g: &[f32], rule: impl Fn(f32, f32) -> f32) {
    family.vectorised(
        #[inline(always)]
        || {
            for (w, &g) in w.iter_mut().zip(g) {
                *w = rule(*w, g);
            }
        },
    );
}

#[inline(always)]
fn each_with(family: Family, w: &mut [f32], g: &[f32], state: &mut [f32], rule: impl Fn(f32, f32, f32) -> (f32, f32)) {
    family.vectorised(
        #[inline(always)]
        || {
            for ((w, &g), state) in w.iter_mut().zip(g).zip(state) {
                (*w, *state) = rule(*w, g, *state);
            }
        },
    );
}

/// The Euclidean norm, summed in f64 and lane by lane, so that its order does not depend on the vector width.
fn norm(family: Family, values: &[f32]) -> f64 {
    family.vectorised(
        #[inline(always)]
        || {
            let mut sums = [0.0f64; LANES];
            for line in values.as_chunks::<LANES>().0 {
                for (sum, &value) in sums.iter_mut().zip(line) {
                    *sum += f64::from(value) * f64::from(value);
                }
            }
            sums.into_iter().sum::<f64>().sqrt()
        },
    )
}
