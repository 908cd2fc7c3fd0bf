//! The rows of the splits: how they are cut into pieces, and how much they count.

use std::ops::Range;

use caviar_common::numbers::{index, real, to_u32};
use caviar_common::train::TrainSpec;
use caviar_data::{Examples, Splits, Targets};

/// Examples that are evaluated at once. A product of 256 rows already runs at the peak
/// (docs/performance.md: wide), so more rows would only need more memory.
pub(crate) const EVALUATION_BLOCK: usize = 256;

/// The rows of the train split that a model for this fold is trained on, ascending.
pub(crate) fn rows(data: &Splits, fold: usize) -> impl Iterator<Item = u32> {
    let fold = data.folds.get(fold);
    let all = to_u32(if fold.is_none() { data.train.features.nrows() } else { 0 });
    (0..all).chain(fold.into_iter().flat_map(|fold| fold.train.iter().copied()))
}

/// Cuts `rows` rows into mini-batches of `size`. A last one of a single row is merged into the one
/// before it.
pub(crate) fn batches(rows: usize, size: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let count = if rows % size == 1 && rows > 1 { rows / size } else { rows.div_ceil(size) };
    (0..count)
        .map(move |batch| batch * size..if batch + 1 == count { rows } else { (batch + 1) * size })
}

/// Cuts examples into the blocks that are evaluated at once.
pub(crate) fn blocks(examples: &Examples) -> impl Iterator<Item = Range<usize>> + use<> {
    let rows = examples.features.nrows();
    (0..rows).step_by(EVALUATION_BLOCK).map(move |first| first..rows.min(first + EVALUATION_BLOCK))
}

/// The weight of all rows in the measures.
pub(crate) fn total_weight(examples: &Examples) -> f64 {
    match &examples.weights {
        Some(weights) => weights.iter().map(|weight| f64::from(weight.measures)).sum(),
        None => real(examples.features.nrows()),
    }
}

/// Whether some rows count more than others.
pub(crate) fn is_weighted(data: &Splits) -> bool {
    let folds = data.folds.iter().map(|fold| &fold.validation);
    let splits = [&data.train, &data.validation].into_iter().chain(&data.test).chain(folds);
    splits.into_iter().any(|examples| examples.weights.is_some())
}

/// What tells these weights from others; empty without weights.
pub(crate) fn weights_identity(data: &Splits) -> String {
    if !is_weighted(data) {
        return String::new();
    }
    let mut hasher = blake3::Hasher::new();
    for examples in [&data.train, &data.validation] {
        for weight in examples.weights.iter().flatten() {
            hasher.update(&weight.loss.to_le_bytes());
            hasher.update(&weight.measures.to_le_bytes());
        }
    }
    format!(" weights {}", hasher.finalize().to_hex())
}

pub(crate) fn has_classes(examples: &Examples) -> bool {
    matches!(examples.targets, Targets::Classes(_))
}

/// The examples that the network must hold at once.
pub(crate) fn capacity(spec: &TrainSpec, data: &Splits) -> usize {
    // One more than a mini-batch, for a merged example.
    let batch = index(spec.batch_size).saturating_add(1).min(data.train.features.nrows());
    batch.max(EVALUATION_BLOCK.min(largest_evaluated(data)))
}

/// The examples of the largest of the validation split, the folds and the test split.
fn largest_evaluated(data: &Splits) -> usize {
    let folds = data.folds.iter().map(|fold| &fold.validation);
    let evaluated = folds.chain([&data.validation]).chain(&data.test);
    evaluated.map(|examples| examples.features.nrows()).max().unwrap_or_default()
}
