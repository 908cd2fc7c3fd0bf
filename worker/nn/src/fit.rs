//! What a training learns from its training split before the first step: how numbers are scaled,
//! and the bins of their embedding. It is a function of the data and the spec.
//!
//! Quantiles are those of NumPy, with linear interpolation between the sorted values.

use caviar_common::numbers::{index, real, single};
use caviar_common::train::{Embedding, Scaling, TrainSpec};
use caviar_data::{CategoryInput, Examples, Features, Splits};
use caviar_model::{BINS, Basis, CategoryEmbedding, InputStage, NumberEmbedding, NumberScaling};

use crate::quantile::{knots, quantile};

/// The largest factor of a robust scaling, so that its square stays finite: the numbers are at most
/// a million deviations from the mean.
const LARGEST_FACTOR: f64 = 1e9;
/// Edges that are closer than this, in deviations, are one edge.
const LEAST_BIN: f32 = 1e-6;

/// The stage of a training, without what is learnt in steps.
pub(crate) fn stage(spec: &TrainSpec, data: &Splits) -> InputStage {
    let mut stage = shape(spec, data);
    let (numbers, train) = (&stage.numbers, &data.train);
    stage.scaling = scaling(spec.scaling, numbers, train);
    let scaling = &stage.scaling;
    let edges = |number: usize| {
        let input = numbers.get(number).copied().unwrap_or_default();
        let mut values = column(train, input);
        values.iter_mut().for_each(|value| *value = scaling.apply(number, *value));
        edges(values)
    };
    stage.embedding = embedding(spec.embedding, numbers.len(), edges);
    stage
}

/// The same without scaling and bins, which need a pass over the data.
pub(crate) fn shape(spec: &TrainSpec, data: &Splits) -> InputStage {
    let changes_numbers = spec.scaling != Scaling::Standard || spec.embedding != Embedding::None;
    let numbers = if changes_numbers { numbers(data) } else { Vec::new() };
    let embedding = embedding(spec.embedding, numbers.len(), |_| Vec::new());
    let scaling = NumberScaling::Standard;
    let categories = categories(data);
    let mut stage = InputStage { numbers, scaling, embedding, categories, factors: None };
    let width = stage.width(data.train.features.ncols());
    stage.factors = spec.input_scaling.then(|| vec![0.0; width]);
    stage
}

/// The same data with the numbers scaled; `None` if the stage does not scale them.
pub(crate) fn scaled(stage: &InputStage, data: &Splits) -> Option<Splits> {
    if stage.numbers.is_empty() || stage.scaling == NumberScaling::Standard {
        return None;
    }
    let mut data = data.clone();
    let Splits { train, validation, test, folds, .. } = &mut data;
    let folds = folds.iter_mut().map(|fold| &mut fold.validation);
    for examples in [train, validation].into_iter().chain(test).chain(folds) {
        let width = examples.features.ncols();
        if let Features::Memory(features) = &mut examples.features
            && let Some(rows) = features.as_slice_mut()
        {
            stage.scale(rows, width);
        }
    }
    Some(data)
}

/// The inputs that are numbers: those of the schema, and without a schema all.
pub(crate) fn numbers(data: &Splits) -> Vec<usize> {
    match &data.schema {
        Some(schema) => schema.encoder.numbers(),
        None => (0..data.train.features.ncols()).collect(),
    }
}

/// The inputs that are numbers of the values of a category, which are always embedded.
fn categories(data: &Splits) -> Vec<CategoryEmbedding> {
    let of_schema = data.schema.iter().flat_map(|schema| schema.encoder.categories());
    let category = |CategoryInput { place, values }| {
        let weights = Vec::new();
        CategoryEmbedding { place, values, weights }
    };
    of_schema.map(category).collect()
}

/// The values of an input, which are in memory.
fn column(examples: &Examples, input: usize) -> Vec<f32> {
    let features = examples.features.in_memory();
    features.map(|features| features.column(input).to_vec()).unwrap_or_default()
}

/// The values of an input in ascending order.
fn sorted(examples: &Examples, input: usize) -> Vec<f64> {
    let mut values = column(examples, input);
    values.sort_by(f32::total_cmp);
    values.into_iter().map(f64::from).collect()
}

fn scaling(scaling: Scaling, numbers: &[usize], train: &Examples) -> NumberScaling {
    if numbers.is_empty() {
        return NumberScaling::Standard;
    }
    match scaling {
        Scaling::Standard => NumberScaling::Standard,
        Scaling::Robust => {
            let fit = |&input: &usize| robust(&sorted(train, input));
            let (medians, factors) = numbers.iter().map(fit).unzip();
            NumberScaling::Robust { medians, factors }
        }
        Scaling::Quantile => {
            let fit = |&input: &usize| knots(&sorted(train, input));
            NumberScaling::Quantile(numbers.iter().map(fit).collect())
        }
    }
}

/// The median, and the reciprocal of the distance between the quartiles. If that is 0, it is the
/// reciprocal of half the range, and 0 for a constant.
fn robust(sorted: &[f64]) -> (f32, f32) {
    let [first, lower, median, upper, last] =
        [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| quantile(sorted, share));
    let width = if upper > lower { upper - lower } else { 0.5 * (last - first) };
    let factor = if width > 0.0 { (1.0 / width).min(LARGEST_FACTOR) } else { 0.0 };
    (single(median), single(factor))
}

/// The embedding of `count` numbers, without what is learnt in steps. `edges` returns the edges of
/// the bins of a number.
fn embedding(
    embedding: Embedding,
    count: usize,
    edges: impl FnMut(usize) -> Vec<f32>,
) -> Option<NumberEmbedding> {
    let columns = index(embedding.size());
    if count == 0 {
        return None;
    }
    let (basis, size) = match embedding {
        Embedding::None => return None,
        Embedding::Periodic { .. } => {
            let basis = Basis::Periodic { frequencies: Vec::new(), phases: Vec::new() };
            (basis, columns.saturating_sub(1))
        }
        Embedding::PiecewiseLinear { .. } => {
            (Basis::PiecewiseLinear { edges: (0..count).map(edges).collect() }, columns)
        }
    };
    Some(NumberEmbedding { basis, size, weights: Vec::new(), bias: Vec::new() })
}

/// The different quantiles of the values at the shares 0, 1/48, ..., 1; none for a constant.
fn edges(mut values: Vec<f32>) -> Vec<f32> {
    values.sort_by(f32::total_cmp);
    let sorted: Vec<f64> = values.into_iter().map(f64::from).collect();
    let mut edges: Vec<f32> = Vec::with_capacity(BINS + 1);
    for step in 0..=BINS {
        let edge = single(quantile(&sorted, real(step) / real(BINS)));
        if edges.last().is_none_or(|last| edge - last > LEAST_BIN) {
            edges.push(edge);
        }
    }
    if edges.len() == 1 { Vec::new() } else { edges }
}
