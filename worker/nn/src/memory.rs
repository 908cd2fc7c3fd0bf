//! The memory of the data and of a training, known before the training starts.

use caviar_common::numbers::{index, to_u64};
use caviar_common::spec::{Objective, ObjectiveEpoch};
use caviar_common::train::{Normalization, Scaling, TrainSpec};
use caviar_data::{Examples, Features, Splits, Targets};
use caviar_model::{Basis, InputStage, PERIODS};

use crate::fit;
use crate::judge::judge_bytes;
use crate::kernels::{LANES, Shape, padded};
use crate::optimizer::state_count;
use crate::products::scratch_lens;
use crate::rows::{capacity, is_weighted};
use crate::stage::Stage;
use crate::stage_categories::Categories;

/// The size of an f32 in bytes.
const FLOAT_BYTES: u64 = 4;

/// Bytes of the examples of all splits that are in memory.
pub fn data_bytes(data: &Splits) -> u64 {
    // A feature and a target have four bytes each, and the two weights of a row too.
    let numbers = |examples: &Examples| {
        let features = examples.features.in_memory().map_or(0, |features| features.len());
        let weights = examples.weights.as_ref().map_or(0, Vec::len);
        let targets = match &examples.targets {
            Targets::Classes(classes) => classes.len(),
            Targets::Values(numbers) => numbers.all().len(),
        };
        to_u64(features + targets + 2 * weights)
    };
    let folds = data.folds.iter().map(|fold| &fold.validation);
    let splits = [&data.train, &data.validation].into_iter().chain(&data.test).chain(folds);
    // So has the number of a row.
    let rows = data.folds.iter().map(|fold| to_u64(fold.train.len()));
    FLOAT_BYTES * splits.map(numbers).chain(rows).sum::<u64>()
}

/// Bytes that a [`crate::TrialTrainer`] of `spec` allocates: when it is made, or when it reads the
/// first examples if these are in a file. What a measure as its objective takes for a moment is
/// included.
///
/// The data, which all trainers of a process share, is not included. Sums saturate. A trainer for
/// an objective of the best epoch keeps the weights of that epoch. All folds and repeats of a trial
/// are in memory. With a scaling, they share a copy of the data with scaled numbers.
pub fn trial_bytes(spec: &TrainSpec, data: &Splits, objective: &Objective) -> u64 {
    let parts = (0..data.parts()).map(|fold| part_bytes(spec, data, objective, fold));
    let once = parts.fold(0u64, u64::saturating_add);
    let copy = if spec.scaling == Scaling::Standard { 0 } else { data_bytes(data) };
    once.saturating_mul(u64::from(objective.repeats)).saturating_add(copy)
}

/// Bytes of the training for one fold, or of the only one, without the data.
fn part_bytes(spec: &TrainSpec, data: &Splits, objective: &Objective, fold: usize) -> u64 {
    let keeps_best = objective.epoch == ObjectiveEpoch::Best;
    let (all, features) = data.train.features.dim();
    let rows = data.folds.get(fold).map_or(all, |fold| fold.train.len());
    let capacity = capacity(spec, data);
    let stage = StageSizes::of(&fit::shape(spec, data), features, capacity);
    let mut inputs = stage.width;
    let (mut parameters, mut shapes) = (stage.parameters, Vec::new());
    let mut activations =
        (to_u64(capacity) * to_u64(padded(features))).saturating_add(stage.buffers);
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
    let weights = if is_weighted(data) { 2 * to_u64(capacity) } else { 0 };
    let floats = floats.saturating_add(weights);
    floats
        .saturating_mul(FLOAT_BYTES)
        .saturating_add(judge_bytes(objective, data, fold))
        .saturating_add(file_bytes(capacity, data))
}

/// Bytes of the window and the mini-batch, if the examples are in a file.
fn file_bytes(capacity: usize, data: &Splits) -> u64 {
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

/// The floats of the stage before the first layer.
struct StageSizes {
    /// The inputs of the first layer.
    width: usize,
    parameters: u64,
    buffers: u64,
}

impl StageSizes {
    fn of(stage: &InputStage, features: usize, capacity: usize) -> Self {
        let count = stage.numbers.len();
        let width = stage.width(features);
        let factors = stage.factors.as_ref().map_or(0, |_| padded(width));
        let embedding = stage.embedding.as_ref().map_or(0, |embedding| {
            let matrix = embedding.basis.functions() * padded(embedding.size);
            let basis = match embedding.basis {
                Basis::Periodic { .. } => 2 * count * PERIODS,
                Basis::PiecewiseLinear { .. } => 0,
            };
            basis + count * matrix + padded(count * embedding.size)
        });
        let categories = Categories::parameters(&stage.categories);
        let parameters = to_u64(factors + embedding).saturating_add(to_u64(categories));
        let buffers = to_u64(Stage::buffer_len(stage, features, capacity));
        Self { width, parameters, buffers }
    }
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
