//! What data and a training need of memory, known before a training starts.
#![allow(
    clippy::as_conversions,
    reason = "sizes below 2^64; a usize of every supported machine fits a u64"
)]

use caviar_common::train::{Normalization, Optimizer, TrainSpec};

use crate::kernels::{LANES, Shape, padded};
use crate::products::scratch_lens;
use crate::trainer::capacity;
use caviar_data::{Examples, Splits};

/// Bytes of the examples, of all splits together.
pub fn data_bytes(data: &Splits) -> u64 {
    let numbers = |examples: &Examples| (examples.features.len() + examples.targets.len()) as u64;
    let splits = [&data.train, &data.validation].into_iter().chain(&data.test);
    // A feature and a target have 4 bytes each.
    4 * splits.map(numbers).sum::<u64>()
}

/// Bytes that a [`crate::Trainer`] of `spec` allocates for itself, beside the data, which all
/// trainers of a process share. All of it is allocated when the trainer is made.
pub fn trial_bytes(spec: &TrainSpec, data: &Splits) -> u64 {
    let (rows, features) = data.train.features.dim();
    let capacity = capacity(spec, data) as u64;
    let mut inputs = features;
    let (mut parameters, mut activations, mut shapes) =
        (0u64, capacity * padded(features) as u64, Vec::new());
    for (index, units) in spec.hidden.iter().chain([&data.outputs]).enumerate() {
        let outputs = *units as usize;
        let (width, depth) = (padded(outputs) as u64, padded(inputs) as u64);
        let [vectors, statistics, matrices] =
            if index < spec.hidden.len() { of_hidden(spec) } else { [1, 0, 1] };
        parameters = parameters.saturating_add(width.saturating_mul(depth + vectors));
        activations =
            activations.saturating_add((capacity * matrices + statistics).saturating_mul(width));
        shapes.push(Shape { rows: capacity as usize, inputs, outputs });
        inputs = outputs;
    }
    let states = match spec.optimizer {
        Optimizer::Sgd => 0,
        Optimizer::Momentum | Optimizer::Nesterov | Optimizer::Rmsprop => 1,
        Optimizer::Adam | Optimizer::Adamw => 2,
    };
    let scratch = scratch_lens(spec.precision, shapes.into_iter())
        .into_iter()
        .map(|len| len.next_multiple_of(LANES) as u64)
        .sum();
    let floats = parameters
        .saturating_mul(2 + states)
        .saturating_add(activations)
        .saturating_add(scratch)
        .saturating_add(rows as u64);
    floats.saturating_mul(4)
}

/// Of a hidden layer: parameters and statistics with one value a unit, and buffers with one value a
/// unit and row.
const fn of_hidden(spec: &TrainSpec) -> [u64; 3] {
    // W's outputs and their gradient, what the way back needs, and the mask.
    let mask = if spec.dropout > 0.0 { 1 } else { 0 };
    match spec.normalization {
        Normalization::Before => [2, 3, 3 + mask],
        Normalization::After => [3, 3, 4 + mask],
        Normalization::None => [1, 0, 3 + mask],
    }
}
