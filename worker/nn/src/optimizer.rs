//! The update rules of [`Optimizer`], with PyTorch's meaning of every hyperparameter.
#![allow(clippy::indexing_slicing, reason = "states have the layout of the parameters")]

use std::ops::Range;

use caviar_common::numbers::single;
use caviar_common::train::{Optimizer, TrainSpec};

use crate::elementary::{LEAST_SQUARE, power, sqrt};
use crate::error::TrainError;
use crate::kernels::{Buffer, Family, LANES, Lanes, Pass, Simd, vectors, vectors_mut};
use crate::network::Network;
use crate::stage::Stage;

/// The learning rate of the factors of the inputs, in learning rates of the other parameters
/// (Holzmueller, Grinsztajn and Steinwart 2024).
const FACTOR_RATE: f64 = 6.0;

/// An update rule with its state.
pub(crate) struct Updater {
    family: Family,
    rule: Rule,
    /// Updates done so far.
    pub(crate) steps: u64,
    /// The weight decay of the next step.
    pub(crate) weight_decay: f64,
    gradient_clip: f64,
}

/// An [`Optimizer`] with its state: buffers in the layout of the parameters.
enum Rule {
    Sgd,
    Momentum {
        momentum: f32,
        /// Nesterov's rule: the step goes along the velocity after the next one.
        looks_ahead: bool,
        velocity: Buffer,
    },
    Rmsprop {
        beta2: f64,
        epsilon: f64,
        squares: Buffer,
    },
    Adam {
        beta1: f64,
        beta2: f64,
        epsilon: f64,
        /// Weight decay is taken from the weight (adamw) instead of added to the gradient.
        is_decoupled: bool,
        gradients: Buffer,
        squares: Buffer,
    },
}

/// The number of values that a rule stores per parameter.
pub(crate) const fn state_count(optimizer: Optimizer) -> u64 {
    match optimizer {
        Optimizer::Sgd => 0,
        Optimizer::Momentum { .. } | Optimizer::Nesterov { .. } | Optimizer::Rmsprop { .. } => 1,
        Optimizer::Adam { .. } | Optimizer::Adamw { .. } => 2,
    }
}

impl Rule {
    /// The rule of `optimizer` with zero state, for `len` parameters.
    fn new(optimizer: Optimizer, len: usize) -> Result<Self, TrainError> {
        let state = || Buffer::new(len);
        Ok(match optimizer {
            Optimizer::Sgd => Self::Sgd,
            Optimizer::Momentum { momentum } => Self::Momentum {
                momentum: single(momentum),
                looks_ahead: false,
                velocity: state()?,
            },
            Optimizer::Nesterov { momentum } => {
                Self::Momentum { momentum: single(momentum), looks_ahead: true, velocity: state()? }
            }
            Optimizer::Rmsprop { beta2, epsilon } => {
                Self::Rmsprop { beta2, epsilon: rounded_epsilon(epsilon), squares: state()? }
            }
            Optimizer::Adam { beta1, beta2, epsilon } => Self::Adam {
                beta1,
                beta2,
                epsilon: rounded_epsilon(epsilon),
                is_decoupled: false,
                gradients: state()?,
                squares: state()?,
            },
            Optimizer::Adamw { beta1, beta2, epsilon } => Self::Adam {
                beta1,
                beta2,
                epsilon: rounded_epsilon(epsilon),
                is_decoupled: true,
                gradients: state()?,
                squares: state()?,
            },
        })
    }

    /// The constants of step number `steps`, from 1, at a learning rate.
    fn moments(&self, rate: f64, steps: u64) -> Moments {
        match *self {
            Self::Sgd | Self::Momentum { .. } => Moments::default(),
            Self::Rmsprop { beta2, epsilon, .. } => Moments {
                beta1: 0.0,
                beta2: single(beta2),
                deviation: single((1.0 - beta2).sqrt()),
                epsilon: single(epsilon),
            },
            Self::Adam { beta1, beta2, epsilon, .. } => {
                let scale = rate * (1.0 - beta1) / (1.0 - power(beta1, steps));
                let bias = 1.0 - power(beta2, steps);
                Moments {
                    beta1: single(beta1),
                    beta2: single(beta2),
                    deviation: single(((1.0 - beta2) / bias).sqrt() / scale),
                    epsilon: single(epsilon / scale),
                }
            }
        }
    }

    /// True if weight decay is taken from the weight instead of added to the gradient.
    const fn is_decoupled(&self) -> bool {
        matches!(self, Self::Adam { is_decoupled: true, .. })
    }
}

/// The nearest f32, but at least the smallest normal one: an epsilon of 0 would divide 0 by 0 where
/// a gradient is 0.
fn rounded_epsilon(epsilon: f64) -> f64 {
    f64::from(single(epsilon).max(f32::MIN_POSITIVE))
}

/// What all parameters of one tensor have in common in one step.
#[derive(Clone, Copy)]
struct Step {
    /// The learning rate.
    rate: f32,
    /// The factor of the gradient: 1 unless it is clipped.
    clip: f32,
    /// Weight decay: added to the gradient, or by adamw taken from the weight.
    decay: f32,
    /// All 0 for the rules that have no moments.
    moments: Moments,
}

impl Updater {
    /// The update rule of `spec` for `len` parameters.
    ///
    /// # Errors
    /// There is not enough memory.
    pub(crate) fn new(family: Family, spec: &TrainSpec, len: usize) -> Result<Self, TrainError> {
        Ok(Self {
            family,
            rule: Rule::new(spec.optimizer, len)?,
            steps: 0,
            weight_decay: spec.weight_decay,
            gradient_clip: spec.gradient_clip,
        })
    }

    /// The rule's state, in the order of a checkpoint: of Adam the gradients, then the squares.
    pub(crate) fn states(&self) -> impl Iterator<Item = &Buffer> {
        let states = match &self.rule {
            Rule::Sgd => [None, None],
            Rule::Momentum { velocity, .. } => [Some(velocity), None],
            Rule::Rmsprop { squares, .. } => [Some(squares), None],
            Rule::Adam { gradients, squares, .. } => [Some(gradients), Some(squares)],
        };
        states.into_iter().flatten()
    }

    /// The same as [`Updater::states`], to write.
    pub(crate) fn states_mut(&mut self) -> impl Iterator<Item = &mut Buffer> {
        let states = match &mut self.rule {
            Rule::Sgd => [None, None],
            Rule::Momentum { velocity, .. } => [Some(velocity), None],
            Rule::Rmsprop { squares, .. } => [Some(squares), None],
            Rule::Adam { gradients, squares, .. } => [Some(gradients), Some(squares)],
        };
        states.into_iter().flatten()
    }

    /// Updates the network's parameters by its gradients. Only the weight matrices of the layers
    /// decay, and the factors of the inputs have [`FACTOR_RATE`] times the rate.
    pub(crate) fn step(&mut self, network: &mut Network, rate: f64) {
        self.steps += 1;
        let Network { stage, layers, parameters, gradients, .. } = network;
        let clip = self.clip_factor(gradients);
        let is_decoupled = self.rule.is_decoupled();
        let steps = self.steps;
        let undecayed = |rate: f64, rule: &Rule| Step {
            rate: single(rate),
            clip,
            decay: 0.0,
            moments: rule.moments(rate, steps),
        };
        let mut start = 0;
        if let Some(factors) = stage.as_ref().and_then(Stage::factors) {
            let step = undecayed(FACTOR_RATE * rate, &self.rule);
            self.update(step, factors.range(), parameters, gradients);
            start = factors.range().end;
        }
        let decay = if is_decoupled { rate * self.weight_decay } else { self.weight_decay };
        let moments = self.rule.moments(rate, self.steps);
        let step = Step { rate: single(rate), clip, decay: single(decay), moments };
        if decay <= 0.0 {
            return self.update(step, start..parameters.len(), parameters, gradients);
        }
        let end = stage.as_ref().map_or(start, |stage| stage.range().end);
        self.update(Step { decay: 0.0, ..step }, start..end, parameters, gradients);
        for layer in layers {
            for tensor in layer.tensors() {
                let step = if tensor == layer.weights { step } else { Step { decay: 0.0, ..step } };
                self.update(step, tensor.range(), parameters, gradients);
            }
        }
    }

    /// The factor that reduces the gradient's global norm to the limit (Pascanu, Mikolov and Bengio
    /// 2013), computed as PyTorch's `clip_grad_norm_` does.
    fn clip_factor(&self, gradients: &[f32]) -> f32 {
        if self.gradient_clip == 0.0 {
            return 1.0;
        }
        let factor = self.gradient_clip / (norm(gradients) + 1e-6);
        if factor > 1.0 { 1.0 } else { single(factor) }
    }

    /// Updates the parameters at `range`.
    fn update(
        &mut self,
        step: Step,
        range: Range<usize>,
        parameters: &mut [f32],
        gradients: &[f32],
    ) {
        let family = self.family;
        let (w, g) =
            (vectors_mut(&mut parameters[range.clone()]), vectors(&gradients[range.clone()]));
        match &mut self.rule {
            Rule::Sgd => family.run(Sgd { step, w, g }),
            Rule::Momentum { momentum, looks_ahead, velocity } => {
                let velocity = vectors_mut(&mut velocity[range]);
                let (momentum, looks_ahead) = (*momentum, *looks_ahead);
                family.run(Momentum { step, momentum, looks_ahead, w, g, velocity });
            }
            Rule::Rmsprop { squares, .. } => {
                let squares = vectors_mut(&mut squares[range]);
                family.run(Rmsprop { step, w, g, squares });
            }
            Rule::Adam { is_decoupled, gradients, squares, .. } => {
                let first = vectors_mut(&mut gradients[range.clone()]);
                let second = vectors_mut(&mut squares[range]);
                let is_decoupled = *is_decoupled;
                family.run(Adam { step, is_decoupled, w, g, first, second });
            }
        }
    }
}

/// The constants of one step of Adam (Kingma and Ba 2015, with PyTorch's meaning) or of rmsprop.
///
/// The state holds sums instead of means: m = beta1 m + g and v = beta2 v + g^2, which are the
/// moments divided by 1 - beta. The factors 1 - beta, the learning rate and the bias corrections
/// are all in the two constants of the update
///
/// w -= m / (deviation sqrt(v) + epsilon).
///
/// Rmsprop corrects no bias, and multiplies by the gradient and the rate themselves.
#[derive(Clone, Copy, Default)]
struct Moments {
    beta1: f32,
    beta2: f32,
    deviation: f32,
    epsilon: f32,
}

impl Moments {
    /// The divisor deviation sqrt(v) + epsilon.
    #[inline(always)]
    fn divisor<S: Simd>(self, s: S, squares: S::F) -> S::F {
        s.mul_add(sqrt(s, squares), s.splat(self.deviation), s.splat(self.epsilon))
    }
}

impl Step {
    /// True if the gradient is used unchanged.
    fn is_plain(self) -> bool {
        self.clip >= 1.0 && self.decay <= 0.0
    }

    /// The gradient, clipped and with the weight decay. `PLAIN` steps use it unchanged and must
    /// satisfy [`Step::is_plain`].
    #[inline(always)]
    fn gradient<S: Simd, const PLAIN: bool>(self, s: S, w: S::F, g: &Lanes) -> S::F {
        if PLAIN {
            s.load(g)
        } else {
            s.mul_add(s.splat(self.decay), w, s.mul(s.splat(self.clip), s.load(g)))
        }
    }
}

/// keep sum + new, with results below 1e-31 rounded to 0.
///
/// The sum of a parameter without gradients decays, and arithmetic on numbers below the normal
/// floats is about a hundred times slower.
#[inline(always)]
fn accumulate<S: Simd>(s: S, keep: f32, sum: S::F, new: S::F) -> S::F {
    let grain = s.splat(1e-24);
    s.sub(s.mul_add(s.splat(keep), sum, s.add(new, grain)), grain)
}

/// keep sum + g^2 + [`LEAST_SQUARE`], which keeps the root a normal float.
#[inline(always)]
fn accumulate_square<S: Simd>(s: S, keep: f32, sum: S::F, g: S::F) -> S::F {
    s.mul_add(g, g, s.mul_add(s.splat(keep), sum, s.splat(LEAST_SQUARE)))
}

/// w -= rate g
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

/// v = momentum v + g; w -= rate v, or if it looks ahead w -= rate (g + momentum v)
struct Momentum<'a> {
    step: Step,
    momentum: f32,
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

/// v = beta2 v + g^2; w -= rate g / (deviation sqrt(v) + epsilon)
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
            let scaled = s.mul(s.splat(self.step.rate), g);
            s.store(s.sub(weight, s.div(scaled, moments.divisor(s, v))), w);
        }
    }
}

/// The update of [`Moments`]; with decoupled weight decay first w -= rate weight_decay w.
struct Adam<'a> {
    step: Step,
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
            s.store(s.sub(decayed, s.div(m, moments.divisor(s, v))), w);
        }
    }
}

/// The Euclidean norm, summed in f64 and per lane, so it has the same bits on every machine. It is
/// computed once per step, and only with clipping: not worth vectors of f64.
fn norm(values: &[f32]) -> f64 {
    let mut sums = [0.0f64; LANES];
    for vector in vectors(values) {
        for (sum, &value) in sums.iter_mut().zip(vector) {
            *sum += f64::from(value) * f64::from(value);
        }
    }
    sums.into_iter().sum::<f64>().sqrt()
}
