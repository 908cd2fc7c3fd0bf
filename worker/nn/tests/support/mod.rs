//! Specs and random data that the tests share, also those in `src/tests`.
#![allow(dead_code, reason = "each test program uses a part of this module")]
#![allow(
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "small random data, and defaults that are legal"
)]

use std::sync::Arc;

use caviar_common::assignment::Assignment;
use caviar_common::hyper::train_spec;
use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::train::{
    Activation, Embedding, Normalization, Optimizer, RegularizationSchedule, Scaling, Schedule,
    TrainSpec,
};
use caviar_data::{Examples, Splits, Targets};
use ndarray::Array2;

pub(crate) const ACTIVATIONS: [Activation; 8] = [
    Activation::Relu,
    Activation::LeakyRelu,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Gelu,
    Activation::Silu,
    Activation::Mish,
    Activation::Selu,
];
pub(crate) const NORMALIZATIONS: [Normalization; 3] =
    [Normalization::Before, Normalization::After, Normalization::None];

pub(crate) const ADAM: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

/// Every optimiser with its default hyperparameters, except for `epsilon`.
pub(crate) fn optimizers(epsilon: f64) -> [Optimizer; 6] {
    let (momentum, beta1, beta2) = (0.9, 0.9, 0.999);
    [
        Optimizer::Sgd,
        Optimizer::Momentum { momentum },
        Optimizer::Nesterov { momentum },
        Optimizer::Rmsprop { beta2, epsilon },
        Optimizer::Adam { beta1, beta2, epsilon },
        Optimizer::Adamw { beta1, beta2, epsilon },
    ]
}

/// The defaults, but a small network, few epochs, a constant learning rate, and Adam.
pub(crate) fn spec() -> TrainSpec {
    let defaults = train_spec(&Assignment::default(), &Assignment::default());
    TrainSpec {
        epochs: 4,
        batch_size: 8,
        hidden: vec![12, 9],
        optimizer: ADAM,
        schedule: Schedule::Constant,
        ..defaults.expect("the defaults are legal")
    }
}

const FLAT: RegularizationSchedule = RegularizationSchedule::FlatCosine;

/// Specs that reach every branch of a training between them, with dropout and clipping in most.
pub(crate) fn specs_of_every_branch() -> Vec<TrainSpec> {
    let spec_of = |(index, optimizer): (usize, Optimizer)| TrainSpec {
        optimizer,
        activation: ACTIVATIONS[index],
        normalization: NORMALIZATIONS[index % 3],
        dropout: if index == 0 { 0.0 } else { 0.3 },
        gradient_clip: if index == 1 { 0.0 } else { 0.5 },
        weight_decay: 0.01,
        weight_average: if index % 2 == 0 { 0.9 } else { 0.0 },
        scaling: [Scaling::Standard, Scaling::Robust, Scaling::Quantile][index % 3],
        embedding: [
            Embedding::None,
            Embedding::Periodic { size: 3, frequency_scale: 0.2 },
            Embedding::None,
            Embedding::PiecewiseLinear { size: 2 },
        ][index % 4],
        input_scaling: index >= 3,
        dropout_schedule: [RegularizationSchedule::Constant, FLAT][index % 2],
        weight_decay_schedule: [FLAT, RegularizationSchedule::Constant][index % 2],
        schedule: match index % 3 {
            0 => Schedule::Cosine { decay: 0.9 },
            1 => Schedule::OneCycle,
            _ => Schedule::CosineCycles,
        },
        ..spec()
    };
    let optimizers = optimizers(1e-8).into_iter().cycle();
    optimizers.take(ACTIVATIONS.len()).enumerate().map(spec_of).collect()
}

/// The random stream of that number.
pub(crate) fn draws(index: u64) -> Stream {
    Seed::derive(99, 0, Purpose::Sample).stream(index)
}

/// Random examples whose first feature depends on the class or value. `outputs` 0 is regression.
pub(crate) fn examples(
    rows: usize,
    features: usize,
    outputs: u32,
    stream: &mut Stream,
) -> Examples {
    let mut x = Array2::from_shape_simple_fn((rows, features), || stream.normal() as f32);
    let class_count = if outputs == 0 { 3 } else { u64::from(outputs) };
    let classes: Vec<u32> = (0..rows).map(|_| stream.below(class_count) as u32).collect();
    for (row, &class) in classes.iter().enumerate() {
        x[[row, 0]] += 3.0 * (class.min(2) as f32 - 1.0);
    }
    let targets = match outputs {
        0 => {
            let values: Vec<f32> = classes.iter().map(|&class| class as f32 - 1.0).collect();
            Targets::Values(values.into())
        }
        _ => Targets::Classes(classes),
    };
    Examples { features: x.into(), targets, weights: None }
}

/// Splits with `rows` random training examples. `outputs` 0 is regression.
pub(crate) fn splits(rows: usize, features: usize, outputs: u32) -> Arc<Splits> {
    let mut stream = draws(1);
    let mut make = |rows| examples(rows, features, outputs, &mut stream);
    Arc::new(Splits {
        train: make(rows),
        validation: make(19),
        folds: Vec::new(),
        test: Some(make(7)),
        outputs: outputs.max(1),
        schema: None,
    })
}
