//! What a worker trains: every hyperparameter of one training, typed and in range.
//!
//! A [`TrainSpec`] is made from an assignment and the fixed hyperparameters by [`crate::hyper`],
//! which also holds the defaults and the allowed ranges. From here on nothing is looked up by name
//! any more.

use serde::{Deserialize, Serialize};

/// The update rule. `g` is the gradient, `w` a weight, `rate` the current learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// w -= rate g
    Sgd,
    /// v = momentum v + g; w -= rate v (Polyak 1964, as in PyTorch)
    Momentum,
    /// v = momentum v + g; w -= rate (g + momentum v) (Nesterov's, as in PyTorch)
    Nesterov,
    /// s = beta2 s + (1 - beta2) g^2; w -= rate g / (sqrt(s) + epsilon) (Hinton's lecture 6e)
    Rmsprop,
    /// Kingma and Ba 2015, with bias correction; weight decay is added to the gradient
    Adam,
    /// Loshchilov and Hutter 2019: Adam with decoupled weight decay, w -= rate weight_decay w
    Adamw,
}

/// How the learning rate falls with the epoch t = 0, 1, ... of T. At `learning_rate_decay` d = 0
/// every schedule is constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// rate
    Constant,
    /// rate / (1 + d t)
    InverseTime,
    /// rate exp(-d t)
    Exponential,
    /// rate 0.5^floor(d t): d halvings an epoch
    Step,
    /// rate (1 - d (1 - cos(pi t / T)) / 2), d in [0, 1]: the share of the rate that is lost by the
    /// end
    Cosine,
}

/// The non-linearity of the hidden layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(0, z)
    Relu,
    /// z for z > 0, else 0.01 z
    LeakyRelu,
    /// tanh z
    Tanh,
    /// 1 / (1 + exp(-z))
    Sigmoid,
    /// z Phi(z), by the error function (not the tanh approximation)
    Gelu,
}

/// Where batch normalisation stands in a hidden layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// a = g(BN(x W)), without b (Ioffe and Szegedy 2015)
    Before,
    /// a = BN(g(x W + b))
    After,
    /// a = g(x W + b)
    None,
}

/// What the factors of the products are rounded to; everything else is f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Not at all
    F32,
    /// 8 significant bits in the range of f32: faster where the processor multiplies them itself
    Bf16,
}

/// Spread of the initial weights. Weights are normal with mean 0; gamma starts at 1, beta and b at
/// 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// He for relu, leaky_relu and gelu; Xavier for tanh and sigmoid
    Auto,
    /// variance 2 / fan_in (He et al. 2015)
    He,
    /// variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)
    Xavier,
}

/// All that a training is a function of, besides the data and the seed. The output layer always
/// starts at Xavier with b = 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainSpec {
    /// Passes over the training split, at least 1.
    pub epochs: u32,
    /// Examples per mini-batch, at least 2.
    pub batch_size: u32,
    /// Units of each hidden layer, input side first; may be empty (softmax regression).
    pub hidden: Vec<u32>,
    /// Non-linearity of the hidden layers.
    pub activation: Activation,
    /// Place of batch normalisation.
    pub normalization: Normalization,
    /// Weight of the old value in the running mean and variance, in [0, 1): running = m running +
    /// (1 - m) batch.
    pub batch_norm_momentum: f64,
    /// Share of the hidden activations set to 0 in training, in [0, 1); the rest is divided by 1 -
    /// dropout.
    pub dropout: f64,
    /// L2 coefficient on weight matrices alone (not on gamma, beta, b), at least 0.
    pub weight_decay: f64,
    /// Spread of the initial weights.
    pub init: Init,
    /// Largest global L2 norm of the gradient; 0 does not clip.
    pub gradient_clip: f64,
    /// Update rule.
    pub optimizer: Optimizer,
    /// Rate of the first epoch, above 0.
    pub learning_rate: f64,
    /// How the rate falls.
    pub schedule: Schedule,
    /// The d of [`Schedule`].
    pub learning_rate_decay: f64,
    /// For momentum and nesterov, in [0, 1).
    pub momentum: f64,
    /// For adam and adamw, in [0, 1).
    pub beta1: f64,
    /// For rmsprop, adam and adamw, in [0, 1).
    pub beta2: f64,
    /// For rmsprop, adam and adamw, above 0.
    pub epsilon: f64,
    /// Of the products.
    pub precision: Precision,
}
