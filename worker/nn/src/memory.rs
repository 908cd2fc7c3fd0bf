//! The memory of the data and of a training, known before the training starts.

use caviar_common::numbers::{index, to_u64};
use caviar_common::spec::ObjectiveEpoch;
use caviar_common::train::{Normalization, TrainSpec};
use caviar_data::{Examples, Features, Splits};

use crate::kernels::{LANES, Shape, padded};
use crate::optimizer::state_count;
use crate::products::scratch_lens;
use crate::trainer::capacity;

/// The size of an f32 in bytes.
const FLOAT_BYTES: u64 = 4;

/// Bytes of the examples of all splits that are in memory.
pub fn data_bytes(data: &Splits) -> u64 {
    // A feature and a target have four bytes each.
    let numbers = |examples: &Examples| {
        let features = examples.features.in_memory().map_or(0, |features| features.len());
        to_u64(features + examples.targets.len())
    };
    let splits = [&data.train, &data.validation].into_iter().chain(&data.test);
    FLOAT_BYTES * splits.map(numbers).sum::<u64>()
}

/// Bytes that a [`crate::Trainer`] of `spec` allocates: when it is made, or when it reads the first
/// examples if these are in a file.
///
/// The data, which all trainers of a process share, is not included. Sums saturate. A trainer for
/// an objective of the best epoch keeps the weights of that epoch.
pub fn trial_bytes(spec: &TrainSpec, data: &Splits, epoch: ObjectiveEpoch) -> u64 {
    let keeps_best = epoch == ObjectiveEpoch::Best;
    let (rows, features) = data.train.features.dim();
    let capacity = capacity(spec, data);
    let mut inputs = features;
    let (mut parameters, mut shapes) = (0u64, Vec::new());
    let mut activations = to_u64(capacity) * to_u64(padded(features));
    for (layer, &units) in spec.hidden.iter().chain([&data.outputs]).enumerate() {
        let outputs = index(units);
        let (width, depth) = (to_u64(padded(outputs)), to_u64(padded(inputs)));
        let is_hidden = layer < spec.hidden.len();
        let counts = if is_hidden { Counts::of_hidden(spec, keeps_best) } else { Counts::OUTPUT };
        parameters = parameters.saturating_add(width.saturating_mul(depth + counts.vectors));
        let floats_per_unit = to_u64(capacity) * counts.matrices + counts.statistics;
        activations = activations.saturating_add(floats_per_unit.saturating_mul(width));
        shapes.push(Shape { rows: capacity, inputs, outputs });
        inputs = outputs;
    }
    let scratch = scratch_lens(spec.precision, shapes.into_iter())
        .into_iter()
        .map(|len| to_u64(len.next_multiple_of(LANES)))
        .sum();
    // The parameters, their gradients, the states of the update rule, the average, and the best.
    let copies = u64::from(spec.weight_average > 0.0) + u64::from(keeps_best);
    let floats = parameters
        .saturating_mul(2 + state_count(spec.optimizer) + copies)
        .saturating_add(activations)
        .saturating_add(scratch)
        .saturating_add(to_u64(rows));
    floats.saturating_mul(FLOAT_BYTES).saturating_add(stage_bytes(capacity, data))
}

/// Bytes of the window and the mini-batch, if the examples are in a file.
fn stage_bytes(capacity: usize, data: &Splits) -> u64 {
    let splits = [&data.train, &data.validation].into_iter().chain(&data.test);
    let window = |examples: &Examples| match &examples.features {
        Features::Memory(_) => None,
        Features::File(file) => Some(to_u64(file.window_bytes())),
    };
    splits.filter_map(window).max().map_or(0, |window| {
        let batch = to_u64(capacity).saturating_mul(to_u64(data.train.features.ncols()));
        window.saturating_add(batch.saturating_mul(FLOAT_BYTES))
    })
}

/// How many buffers a layer has.
struct Counts {
    /// Parameters with one value per unit: b, gamma and beta.
    vectors: u64,
    /// Statistics of batch normalisation, their averages and those of the best epoch, with one
    /// value per unit.
    statistics: u64,
    /// Buffers with one value per unit and row.
    matrices: u64,
}

impl Counts {
    /// The bias; the logits.
    const OUTPUT: Self = Self { vectors: 1, statistics: 0, matrices: 1 };

    /// The matrices are the outputs, their gradient, what the backward pass reads, and the mask.
    const fn of_hidden(spec: &TrainSpec, keeps_best: bool) -> Self {
        let mask = if spec.dropout > 0.0 { 1 } else { 0 };
        let averages = if spec.weight_average > 0.0 { 2 } else { 0 };
        let statistics = 3 + averages + if keeps_best { 2 } else { 0 };
        let [vectors, statistics, matrices] = match spec.normalization {
            Normalization::Before => [2, statistics, 3],
            Normalization::After => [3, statistics, 4],
            Normalization::None => [1, 0, 3],
        };
        Self { vectors, statistics, matrices: matrices + mask }
    }
}
