//! What a worker trains: the hyperparameters of one training, typed and in range.
//!
//! [`crate::hyper::train_spec`] makes a [`TrainSpec`] from an assignment and the fixed
//! hyperparameters. [`crate::hyper::TABLE`] states the defaults and the legal ranges. After that,
//! nothing is looked up by name. A choice carries the hyperparameters that only it has: SGD has no
//! beta2, and a constant learning rate has no decay.

use serde::{Deserialize, Serialize};

/// The update rule of the parameters.
///
/// In the formulas, `g` is the gradient, `w` a parameter, and `rate` the learning rate of the
/// epoch. Every hyperparameter means what it means in PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// w -= rate g
    Sgd,
    /// v = momentum v + g; w -= rate v (Polyak 1964)
    Momentum {
        /// The weight of the old velocity, in [0, 1).
        momentum: f64,
    },
    /// v = momentum v + g; w -= rate (g + momentum v) (Nesterov 1983)
    Nesterov {
        /// The weight of the old velocity, in [0, 1).
        momentum: f64,
    },
    /// s = beta2 s + (1 - beta2) g^2; w -= rate g / (sqrt(s) + epsilon) (Tieleman and Hinton 2012)
    Rmsprop {
        /// The weight of the old mean of squares, in [0, 1).
        beta2: f64,
        /// Added to the root of the mean of squares, above 0.
        epsilon: f64,
    },
    /// Adam (Kingma and Ba 2015) with bias correction. Weight decay is added to the gradient.
    Adam {
        /// The weight of the old mean of gradients, in [0, 1).
        beta1: f64,
        /// The weight of the old mean of squares, in [0, 1).
        beta2: f64,
        /// Added to the root of the corrected mean of squares, above 0.
        epsilon: f64,
    },
    /// Adam with decoupled weight decay, w -= rate weight_decay w (Loshchilov and Hutter 2019).
    Adamw {
        /// The weight of the old mean of gradients, in [0, 1).
        beta1: f64,
        /// The weight of the old mean of squares, in [0, 1).
        beta2: f64,
        /// Added to the root of the corrected mean of squares, above 0.
        epsilon: f64,
    },
}

/// The learning rate as a function of the epoch or of the share of the training that is done.
///
/// In the formulas, t = 0, 1, ... is the epoch, T the number of epochs, `rate` the
/// [`TrainSpec::learning_rate`], and d the `decay`, which is the hyperparameter
/// `learning_rate_decay`. With d = 0 every schedule that has a decay is constant.
///
/// The schedules without a decay change the rate at every step, because few epochs are too coarse
/// for them. Before step number i = 0, 1, ... of n, the share of the training done is p = i / n.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// The rate is the same in every epoch.
    Constant,
    /// rate / (1 + d t)
    InverseTime {
        /// The d of the formula, at least 0.
        decay: f64,
    },
    /// rate exp(-d t), the same factor in every epoch.
    Exponential {
        /// The d of the formula, at least 0.
        decay: f64,
    },
    /// rate 0.5^floor(d t): d halvings per epoch.
    Step {
        /// The d of the formula, at least 0.
        decay: f64,
    },
    /// rate (1 - d (1 - cos(pi t / T)) / 2) (Loshchilov and Hutter 2017, without restarts)
    Cosine {
        /// The d of the formula: the share of the rate that is lost by the end, in [0, 1].
        decay: f64,
    },
    /// A linear warm-up from rate / 25 to the rate over the first 30 % of the training,
    /// rate (1/25 + 24/25 p / 0.3), then a cosine decay to rate / 10,000,
    /// rate (e + (1 - e) (1 + cos(pi (p - 0.3) / 0.7)) / 2) with e = 1e-4 (Smith and Topin 2018).
    /// The momentum stays the same.
    OneCycle,
    /// rate (1 - cos(2 pi log2(1 + 15 p))) / 2: four cycles, each twice as long as the one before,
    /// that begin and end at 0 (Holzmueller, Grinsztajn and Steinwart 2024, "Better by default").
    CosineCycles,
}

/// The activation function g of the hidden layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(0, z), the rectified linear unit.
    Relu,
    /// z for z > 0, else 0.01 z
    LeakyRelu,
    /// tanh z, the hyperbolic tangent.
    Tanh,
    /// 1 / (1 + exp(-z))
    Sigmoid,
    /// z Phi(z), computed with the error function, not with the tanh approximation.
    Gelu,
    /// z / (1 + exp(-z)), the sigmoid-weighted linear unit, also called swish (Elfwing et al. 2018)
    Silu,
    /// z tanh(ln(1 + exp(z))) (Misra 2020)
    Mish,
    /// lambda z for z > 0, else lambda alpha (exp(z) - 1), where lambda = 1.0507009873554805 and
    /// alpha = 1.6732632423543772 (Klambauer et al. 2017)
    Selu,
}

/// The place of batch normalisation (BN) in a hidden layer a = g(x W + b).
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

/// The precision of the factors of matrix products. Everything else is computed in f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// The factors are not rounded.
    F32,
    /// 8 significant bits in the range of f32; faster on processors that multiply bf16.
    Bf16,
}

/// The variance of the initial weights, which are normal with mean 0.
///
/// gamma starts at 1, beta and b at 0. The output layer always uses Xavier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// He for relu, leaky_relu, gelu, silu and mish; Xavier for tanh and sigmoid; the variance
    /// 1 / fan_in for selu (LeCun et al. 1998), with which selu keeps the variance of its inputs.
    Auto,
    /// 2 / fan_in (He et al. 2015)
    He,
    /// 2 / (fan_in + fan_out) (Glorot and Bengio 2010)
    Xavier,
}

/// How numbers are scaled before the network. A number has the mean 0 and the variance 1 in the
/// training split when it arrives here; see [`TrainSpec::scaling`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// Not changed.
    #[default]
    Standard,
    /// u / sqrt(1 + (u / 3)^2), where u = (x - median) / (upper quartile - lower quartile). If the
    /// quartiles are equal, half of the range stands for their difference, and a constant becomes
    /// 0. This is the scaling of RealMLP (Holzmueller, Grinsztajn and Steinwart 2024, "Better by
    /// default").
    Robust,
    /// To a standard normal distribution, as scikit-learn's `QuantileTransformer` does with
    /// `output_distribution="normal"`.
    Quantile,
}

/// The inputs of the first layer that become of a category with many values: the length of the
/// vector that is learnt for each value. It is that of RealMLP (Holzmueller, Grinsztajn and
/// Steinwart 2024).
pub const CATEGORY_COLUMNS: u32 = 8;

/// What the network makes of each number before its first layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Embedding {
    /// The number itself.
    #[default]
    None,
    /// The number x itself and `size` - 1 learnt combinations of cos(2 pi w x + b), with 16 learnt
    /// w and b for each number. It is PBLD in RealMLP (Holzmueller, Grinsztajn and Steinwart 2024),
    /// after Gorishniy, Rubachev and Babenko 2022, "On embeddings for numerical features".
    Periodic {
        /// The inputs of the first layer for each number, at least 2.
        size: u32,
        /// The standard deviation of the initial w, above 0.
        frequency_scale: f64,
    },
    /// `size` learnt combinations of the piecewise linear encoding: for each of the bins between
    /// quantiles of the training split, 0 below it, 1 above it and linear inside. Below the first
    /// bin and above the last one, it continues linearly (Gorishniy, Rubachev and Babenko 2022).
    PiecewiseLinear {
        /// The inputs of the first layer for each number, at least 2.
        size: u32,
    },
}

impl Embedding {
    /// The inputs of the first layer for each number.
    pub const fn size(self) -> u32 {
        match self {
            Self::None => 1,
            Self::Periodic { size, .. } | Self::PiecewiseLinear { size } => size,
        }
    }
}

/// A factor of dropout or of weight decay during the training. Before step number i = 0, 1, ... of
/// n, the share of the training done is p = i / n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegularizationSchedule {
    /// Always 1.
    #[default]
    Constant,
    /// (1 + cos(pi (max(1, 2 p) - 1))) / 2: it is 1 in the first half of the training and falls to
    /// 0 in the second (Holzmueller, Grinsztajn and Steinwart 2024).
    FlatCosine,
}

/// The hyperparameters of a training. Together with the data and the seed they determine it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrainSpec {
    /// Passes over the training split, at least 1.
    pub epochs: u32,
    /// Examples per mini-batch, at least 2.
    pub batch_size: u32,
    /// Units of each hidden layer, input side first. Empty for softmax regression.
    pub hidden: Vec<u32>,
    /// The activation function of the hidden layers.
    pub activation: Activation,
    /// The place of batch normalisation in the hidden layers.
    pub normalization: Normalization,
    /// The weight m of the old value in the running mean and variance, in [0, 1):
    /// running = m running + (1 - m) batch. Without effect if `normalization` is `none`.
    pub batch_norm_momentum: f64,
    /// The probability that a hidden activation is set to 0 in training, in [0, 1). The others are
    /// divided by 1 - dropout.
    pub dropout: f64,
    /// The share s of the targets that is spread evenly over all classes in training, in [0, 1):
    /// the target of a class is (1 - s) onehot + s / classes (Szegedy et al. 2016). Always 0 for
    /// regression. Left out of the serialised form if it is 0, which has the same digest as
    /// before this field existed.
    #[serde(skip_serializing_if = "is_zero")]
    pub label_smoothing: f64,
    /// How dropout changes during the training. Like the next fields with a default, it is left
    /// out of the serialised form if it is the default.
    #[serde(skip_serializing_if = "is_default")]
    pub dropout_schedule: RegularizationSchedule,
    /// The L2 coefficient of the weight matrices of the layers, at least 0. gamma, beta, b, the
    /// embedding and the input scaling do not decay.
    pub weight_decay: f64,
    /// How weight decay changes during the training.
    #[serde(skip_serializing_if = "is_default")]
    pub weight_decay_schedule: RegularizationSchedule,
    /// How numbers are scaled, also the days of dates. Other inputs stay as they are.
    #[serde(skip_serializing_if = "is_default")]
    pub scaling: Scaling,
    /// What the network makes of each scaled number.
    #[serde(skip_serializing_if = "is_default")]
    pub embedding: Embedding,
    /// True if each input of the first layer is multiplied by a learnt factor, which begins at 1
    /// and has 6 times the learning rate of the other parameters.
    #[serde(skip_serializing_if = "is_default")]
    pub input_scaling: bool,
    /// The variance of the initial weights.
    pub init: Init,
    /// The largest global L2 norm of the gradient; 0 does not clip.
    pub gradient_clip: f64,
    /// The decay of the moving average of the parameters that is evaluated instead of them, in
    /// [0, 1); 0 evaluates the parameters. Left out of the serialised form if it is 0, like
    /// `label_smoothing`.
    #[serde(skip_serializing_if = "is_zero")]
    pub weight_average: f64,
    /// The update rule with its own hyperparameters.
    pub optimizer: Optimizer,
    /// The learning rate of the first epoch, or the largest of a schedule by steps, above 0.
    pub learning_rate: f64,
    /// How the learning rate changes during the training.
    pub schedule: Schedule,
    /// The precision of the factors of matrix products.
    pub precision: Precision,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
