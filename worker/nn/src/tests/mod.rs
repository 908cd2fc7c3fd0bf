//! Tests that see inside: the fast path against a plain one, PyTorch, and itself.
#![allow(clippy::as_conversions, reason = "made-up data and tolerances")]

mod errors;
mod golden;
mod gradients;
mod optimizers;
mod products;
mod reference;
mod schedules;
mod steps;
mod training;

use std::sync::Arc;

use caviar_common::seed::{Purpose, Seed, Stream};
use caviar_common::train::{
    Activation, Init, Normalization, Optimizer, Precision, Schedule, TrainSpec,
};
use ndarray::Array2;

use caviar_data::{Examples, Splits, Targets};

const ACTIVATIONS: [Activation; 5] = [
    Activation::Relu,
    Activation::LeakyRelu,
    Activation::Tanh,
    Activation::Sigmoid,
    Activation::Gelu,
];
const NORMALIZATIONS: [Normalization; 3] =
    [Normalization::Before, Normalization::After, Normalization::None];
const OPTIMIZERS: [Optimizer; 6] = [
    Optimizer::Sgd,
    Optimizer::Momentum,
    Optimizer::Nesterov,
    Optimizer::Rmsprop,
    Optimizer::Adam,
    Optimizer::Adamw,
];

fn spec() -> TrainSpec {
    TrainSpec {
        epochs: 4,
        batch_size: 8,
        hidden: vec![12, 9],
        activation: Activation::Relu,
        normalization: Normalization::Before,
        batch_norm_momentum: 0.9,
        dropout: 0.0,
        weight_decay: 0.0,
        init: Init::Auto,
        gradient_clip: 0.0,
        optimizer: Optimizer::Adam,
        learning_rate: 0.01,
        schedule: Schedule::Constant,
        learning_rate_decay: 0.0,
        momentum: 0.9,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        precision: Precision::F32,
    }
}

fn draws(index: u64) -> Stream {
    Seed::derive(99, 0, Purpose::Sample).stream(index)
}

/// Random examples; of each class (or around each value) the first feature lies elsewhere.
/// `outputs` 0 is regression.
fn examples(rows: usize, features: usize, outputs: u32, stream: &mut Stream) -> Examples {
    let mut x = Array2::from_shape_simple_fn((rows, features), || stream.normal() as f32);
    let classes_of = if outputs == 0 { 3 } else { u64::from(outputs) };
    let classes: Vec<u32> = (0..rows).map(|_| stream.below(classes_of) as u32).collect();
    for (row, &class) in classes.iter().enumerate() {
        x[[row, 0]] += 3.0 * (class.min(2) as f32 - 1.0);
    }
    let targets = match outputs {
        0 => Targets::Values(classes.iter().map(|&class| class as f32 - 1.0).collect()),
        _ => Targets::Classes(classes),
    };
    Examples { features: x, targets }
}

fn splits(rows: usize, features: usize, outputs: u32) -> Arc<Splits> {
    let mut stream = draws(1);
    let mut make = |rows| examples(rows, features, outputs, &mut stream);
    Arc::new(Splits {
        train: make(rows),
        validation: make(19),
        test: Some(make(7)),
        outputs: outputs.max(1),
    })
}

/// The largest error, relative to the largest value of `want` or to `least`; infinite for what is
/// not a number.
fn error_of_list(got: &[f64], want: &[f64], least: f64) -> f64 {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().fold(least, |most, value| most.max(value.abs()));
    let errors = got.iter().zip(want).map(|(got, want)| (got - want).abs() / scale);
    errors.map(|error| if error.is_nan() { f64::INFINITY } else { error }).fold(0.0, f64::max)
}

fn targets_at(targets: &Targets, rows: &[usize]) -> Targets {
    match targets {
        Targets::Classes(classes) => {
            Targets::Classes(rows.iter().map(|&row| classes[row]).collect())
        }
        Targets::Values(values) => Targets::Values(rows.iter().map(|&row| values[row]).collect()),
    }
}
