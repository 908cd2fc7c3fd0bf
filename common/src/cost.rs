//! The arithmetic cost of an epoch, which virtual time counts.
//!
//! It is a function of the assignment and the data only, so virtual times do not depend on the
//! speed of the workers.

use crate::data::DataSummary;
use crate::train::{Embedding, Normalization, Optimizer, TrainSpec};

/// Floating-point operations per unit of virtual time.
const FLOPS_PER_UNIT: u64 = 1_000_000;

/// The cost of one epoch of a trial in units of a million floating-point operations, at least 1.
///
/// It counts
///
/// - two operations per multiply-add of the three products of each layer, and of the two products
///   of the first layer, which needs no gradient by its inputs unless something before it is
///   learnt,
/// - the operations of the embedding, three times in training,
/// - 20 operations per activation with batch normalisation, or 8 without,
/// - the optimiser's operations per weight and mini-batch, also of the vectors of categories, and
///   those of the weight average,
/// - the forward products of the validation split.
///
/// A cross-validation counts all folds, each row in all but one, and `repeats` counts all of it.
/// Sums saturate, so no size overflows.
pub fn epoch_units(spec: &TrainSpec, data: &DataSummary, repeats: u32) -> u64 {
    let folds = u64::from(data.folds.max(1));
    // With folds, how many of them each row trains.
    let trains = folds.saturating_sub(1).max(1);
    let rows = data.train.saturating_mul(trains);
    let rows_of_fold = rows.div_ceil(folds).max(1);
    let batch = u64::from(spec.batch_size).min(rows_of_fold);
    let steps = rows_of_fold.div_ceil(batch).saturating_mul(folds);
    let embedded = u64::from(spec.embedding.size()).saturating_sub(1);
    let embedding = embedding_flops(spec).saturating_mul(u64::from(data.numbers));
    let mut inputs =
        data.first_inputs().saturating_add(u64::from(data.numbers).saturating_mul(embedded));
    let learns_before =
        spec.input_scaling || spec.embedding != Embedding::None || data.categories > 0;
    let (mut weights, mut products, mut activations) = (0u64, 0u64, 0u64);
    for (layer, units) in spec.hidden.iter().chain(std::iter::once(&data.outputs)).enumerate() {
        let outputs = u64::from(*units);
        let layer_weights = inputs.saturating_mul(outputs);
        weights = weights.saturating_add(layer_weights);
        products =
            products.saturating_add(layer_weights.saturating_mul(of_layer(layer, learns_before)));
        activations = activations.saturating_add(outputs);
        inputs = outputs;
    }
    let per_example = products
        .saturating_mul(2)
        .saturating_add(activations.saturating_mul(activation_flops(spec)))
        .saturating_add(embedding.saturating_mul(3));
    let updated = weights.saturating_add(data.category_weights());
    let training = rows
        .saturating_mul(per_example)
        .saturating_add(steps.saturating_mul(updated).saturating_mul(update_flops(spec)));
    let evaluation =
        data.validation.saturating_mul(weights.saturating_mul(2).saturating_add(embedding));
    let all = training.saturating_add(evaluation).saturating_mul(u64::from(repeats.max(1)));
    all.div_ceil(FLOPS_PER_UNIT).max(1)
}

/// The products of a layer in training.
const fn of_layer(layer: usize, learns_before: bool) -> u64 {
    if layer == 0 && !learns_before { 2 } else { 3 }
}

/// Operations per number of the embedding, forward: 16 cosines or 48 bins, and their product.
fn embedding_flops(spec: &TrainSpec) -> u64 {
    match spec.embedding {
        Embedding::None => 0,
        Embedding::Periodic { size, .. } => 16 * (20 + 2 * u64::from(size)),
        Embedding::PiecewiseLinear { size } => 48 * (4 + 2 * u64::from(size)),
    }
}

/// Operations per activation, forward and backward.
const fn activation_flops(spec: &TrainSpec) -> u64 {
    match spec.normalization {
        Normalization::Before | Normalization::After => 20,
        Normalization::None => 8,
    }
}

/// Operations per weight of one update.
fn update_flops(spec: &TrainSpec) -> u64 {
    let average = if spec.weight_average > 0.0 { 3 } else { 0 };
    let update = match spec.optimizer {
        Optimizer::Sgd => 2,
        Optimizer::Momentum { .. } | Optimizer::Nesterov { .. } => 4,
        Optimizer::Rmsprop { .. } => 8,
        Optimizer::Adam { .. } | Optimizer::Adamw { .. } => 12,
    };
    update + average
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assignment::{Assignment, Value};
    use crate::hyper::train_spec;

    fn units(pairs: &[(&str, i64)], train: u64) -> u64 {
        let fixed: Assignment =
            pairs.iter().map(|(n, v)| ((*n).to_owned(), Value::Int(*v))).collect();
        let data = DataSummary {
            train,
            validation: train / 4,
            test: 0,
            features: 64,
            outputs: 10,
            ..DataSummary::default()
        };
        epoch_units(&train_spec(&fixed, &Assignment::default()).unwrap(), &data, 1)
    }

    #[test]
    fn more_arithmetic_costs_more() {
        let base = units(&[("units", 64), ("layers", 2)], 1_000);
        assert!(units(&[("units", 128), ("layers", 2)], 1_000) > base);
        assert!(units(&[("units", 64), ("layers", 3)], 1_000) > base);
        assert!(units(&[("units", 64), ("layers", 2)], 2_000) > base);
        assert!(units(&[("units", 64), ("layers", 2), ("batch_size", 16)], 1_000) > base);
    }

    #[test]
    fn embeddings_and_learnt_scaling_cost_more() {
        let cost = |pairs: &[(&str, &str)], numbers| {
            let text =
                |(name, value): &(&str, &str)| ((*name).to_owned(), Value::Text((*value).into()));
            let fixed: Assignment = pairs.iter().map(text).collect();
            let data = DataSummary {
                train: 10_000,
                features: 64,
                outputs: 2,
                numbers,
                ..DataSummary::default()
            };
            epoch_units(&train_spec(&fixed, &Assignment::default()).unwrap(), &data, 1)
        };
        let base = cost(&[], 64);
        assert!(cost(&[("input_scaling", "true")], 64) > base);
        for kind in ["periodic", "piecewise_linear"] {
            let embedding = [("embedding", kind)];
            assert!(cost(&embedding, 64) > cost(&embedding, 8), "{kind}");
            assert!(cost(&embedding, 8) > base, "{kind}");
        }
    }

    #[test]
    fn embedded_categories_cost_the_inputs_and_weights_that_they_add() {
        let cost = |features, categories, category_values| {
            let data = DataSummary {
                train: 10_000,
                features,
                outputs: 2,
                categories,
                category_values,
                ..DataSummary::default()
            };
            let spec = train_spec(&Assignment::default(), &Assignment::default()).unwrap();
            epoch_units(&spec, &data, 1)
        };
        // 3 categories have 24 inputs instead of 3, and the first layer a third product.
        assert!(cost(64, 3, 300) > cost(85, 0, 0));
        assert!(cost(64, 3, 30_000) > cost(64, 3, 300));
    }

    #[test]
    fn the_largest_sizes_do_not_overflow() {
        let huge = units(&[("units", 8192), ("layers", 64), ("batch_size", 2)], u64::MAX / 8);
        assert!(huge > 0);
    }
}
