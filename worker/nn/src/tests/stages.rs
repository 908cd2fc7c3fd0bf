//! The stage before the first layer: its gradients against the slopes of a plain computation in
//! f64, and what it computes against scikit-learn and NumPy (`golden/make_stage.py`).

use std::f64::consts::TAU;

use caviar_common::train::{Embedding, Normalization, Optimizer, Scaling, TrainSpec};
use caviar_data::{Examples, Splits, Targets};
use caviar_model::{BINS, Basis, CATEGORY_COLUMNS, CategoryEmbedding, InputStage, PERIODS, bins};
use ndarray::Array2;
use serde::Deserialize;

use super::plain_network::train_pass;
use super::support::{draws, examples, spec, splits};
use crate::fit;
use crate::kernels::Family;
use crate::network::{Network, Sizes};
use crate::optimizer::Updater;

const PERIODIC: Embedding = Embedding::Periodic { size: 4, frequency_scale: 0.4 };
const SEGMENTS: Embedding = Embedding::PiecewiseLinear { size: 18 };

/// The inputs of the first layer, plainly. `parameters` has those of the stage first.
fn plain_stage(fitted: &InputStage, parameters: &[f64], x: &Array2<f64>) -> Array2<f64> {
    let (count, inputs) = (fitted.numbers.len(), x.ncols());
    let mut rest = parameters;
    let mut take = |len: usize| {
        let (first, others) = rest.split_at(len);
        rest = others;
        first.to_vec()
    };
    let width = fitted.width(inputs);
    let factors = fitted.factors.as_ref().map(|_| take(width));
    let mut out = Array2::zeros((x.nrows(), width));
    out.slice_mut(ndarray::s![.., ..inputs]).assign(x);
    if let Some(embedding) = &fitted.embedding {
        let (functions, size) = (embedding.basis.functions(), embedding.size);
        let [w, f] = match embedding.basis {
            Basis::Periodic { .. } => [take(count * PERIODS), take(count * PERIODS)],
            Basis::PiecewiseLinear { .. } => [vec![], vec![]],
        };
        let (weights, bias) = (take(count * functions * size), take(count * size));
        for (number, &place) in fitted.numbers.iter().enumerate() {
            for row in 0..x.nrows() {
                let value = x[[row, place]];
                let h: Vec<f64> = match &embedding.basis {
                    Basis::Periodic { .. } => (number * PERIODS..(number + 1) * PERIODS)
                        .map(|at| (TAU * w[at] * value + f[at]).cos())
                        .collect(),
                    Basis::PiecewiseLinear { edges } => bins(&edges[number])
                        .iter()
                        .map(|bin| {
                            let inside = (value - f64::from(bin.start)) * f64::from(bin.factor);
                            inside.clamp(f64::from(bin.low), f64::from(bin.high))
                        })
                        .collect(),
                };
                for column in 0..size {
                    let products = (0..functions)
                        .map(|at| h[at] * weights[(number * functions + at) * size + column]);
                    let sum = products.sum::<f64>() + bias[number * size + column];
                    let to = match (&embedding.basis, column) {
                        (Basis::Periodic { .. }, _) => inputs + number * size + column,
                        (Basis::PiecewiseLinear { .. }, 0) => place,
                        (Basis::PiecewiseLinear { .. }, _) => {
                            inputs + number * (size - 1) + column - 1
                        }
                    };
                    out[[row, to]] = sum;
                }
            }
        }
    }
    let others = inputs + count * (fitted.columns() - 1);
    for (number, category) in fitted.categories.iter().enumerate() {
        let table = take(category.values * CATEGORY_COLUMNS);
        for row in 0..x.nrows() {
            let value = x[[row, category.place]] as usize;
            for column in 0..CATEGORY_COLUMNS {
                let at = |row: usize| table[row * CATEGORY_COLUMNS + column];
                let to = match column {
                    0 => category.place,
                    _ => others + number * (CATEGORY_COLUMNS - 1) + column - 1,
                };
                out[[row, to]] = value.checked_sub(1).map_or(0.0, at);
            }
        }
    }
    if let Some(factors) = factors {
        let factors = Array2::from_shape_vec((1, width), factors).unwrap();
        out *= &factors;
    }
    out
}

pub(super) struct Case {
    pub(super) spec: TrainSpec,
    fitted: InputStage,
    pub(super) examples: Examples,
    pub(super) network: Network,
    parameters: Vec<f64>,
}

impl Case {
    /// A network whose parameters are all random.
    fn new(family: Family, spec: TrainSpec, sizes: [usize; 2]) -> Self {
        Self::with_categories(family, spec, sizes, Vec::new())
    }

    /// The same with these categories, each in a place that is 1 more than a multiple of 3. The
    /// last value of each does not occur.
    pub(super) fn with_categories(
        family: Family,
        spec: TrainSpec,
        [rows, features]: [usize; 2],
        categories: Vec<CategoryEmbedding>,
    ) -> Self {
        let mut stream = draws(rows as u64);
        let mut examples = examples(rows, features, 3, &mut stream);
        if !categories.is_empty() {
            let mut x = examples.features.to_array().unwrap();
            for category in &categories {
                x.column_mut(category.place)
                    .mapv_inplace(|_| stream.below(category.values as u64) as f32);
            }
            examples.features = x.into();
        }
        let data = Splits {
            folds: Vec::new(),
            train: examples.clone(),
            validation: examples.clone(),
            test: None,
            outputs: 3,
            schema: None,
        };
        let mut fitted = fit::stage(&spec, &data);
        if fitted.embedding.is_some() && features > 3 {
            // Not every input is a number.
            let keep = |number: &usize| number % 3 != 1;
            if let Some(Basis::PiecewiseLinear { edges }) =
                fitted.embedding.as_mut().map(|it| &mut it.basis)
            {
                let all = std::mem::take(edges).into_iter().enumerate();
                *edges = all.filter(|(number, _)| keep(number)).map(|(_, edges)| edges).collect();
            }
            fitted.numbers.retain(keep);
        }
        fitted.categories = categories;
        let width = fitted.width(features);
        fitted.factors = fitted.factors.map(|_| vec![0.0; width]);
        let sizes = Sizes { features, outputs: 3, capacity: rows + 3 };
        let mut network = Network::with_stage(family, &spec, &fitted, sizes).unwrap();
        let positions: Vec<usize> = network.tensors().flat_map(|it| it.positions()).collect();
        let mut parameters = Vec::new();
        for position in positions {
            let value = (0.5 * stream.normal()) as f32;
            network.parameters[position] = value;
            parameters.push(f64::from(value));
        }
        Self { spec, fitted, examples, network, parameters }
    }

    pub(super) fn stage_len(&self) -> usize {
        self.network.stage.iter().flat_map(|it| it.tensors()).map(|it| it.positions().count()).sum()
    }

    /// The loss, and the gradients by the parameters of the layers.
    fn plain(&self, parameters: &[f64]) -> (f64, Vec<f64>) {
        let x = self.examples.features.in_memory().unwrap().mapv(f64::from);
        let mixed = plain_stage(&self.fitted, parameters, &x);
        let hidden = self.spec.hidden.iter().map(|&units| units as usize);
        let widths: Vec<usize> = [mixed.ncols()].into_iter().chain(hidden).chain([3]).collect();
        let layers = &parameters[self.stage_len()..];
        let targets = &self.examples.targets;
        let pass = train_pass(&self.spec, &widths, layers, &mixed, targets);
        (pass.loss, pass.gradients)
    }
}

pub(super) fn specs() -> Vec<TrainSpec> {
    let mut specs = Vec::new();
    for (embedding, input_scaling) in [
        (PERIODIC, false),
        (PERIODIC, true),
        (SEGMENTS, false),
        (SEGMENTS, true),
        (Embedding::None, true),
    ] {
        for normalization in [Normalization::Before, Normalization::None] {
            let hidden = if input_scaling { vec![7, 5] } else { vec![] };
            let spec = TrainSpec { embedding, input_scaling, normalization, hidden, ..spec() };
            specs.push(spec);
        }
    }
    specs
}

#[test]
fn gradients_are_the_slopes_of_the_loss() {
    for family in Family::available() {
        for spec in specs() {
            for sizes in [[9, 5], [33, 19], [4, 1]] {
                check_gradients(Case::new(family, spec.clone(), sizes));
            }
        }
    }
}

pub(super) fn check_gradients(mut case: Case) {
    let rows: Vec<u32> = (0..).take(case.examples.targets.len()).collect();
    let tally = case.network.backpropagate(&case.examples, &rows, &mut draws(0)).unwrap();
    let (loss, of_layers) = case.plain(&case.parameters);
    let label = format!("{:?} {:?} {loss}", case.spec.embedding, case.spec.normalization);
    assert!((tally.score(false).loss - loss).abs() < 3e-5 * loss.max(1.0), "{label}");
    let tensors = case.network.tensors().flat_map(|it| it.positions());
    let got: Vec<f64> = tensors.map(|at| f64::from(case.network.gradients[at])).collect();
    let stage_len = case.stage_len();
    let scale = got.iter().fold(1e-2, |most: f64, gradient| most.max(gradient.abs()));
    for (got, want) in got[stage_len..].iter().zip(&of_layers) {
        assert!((got - want).abs() < 1e-3 * scale, "{label}: {got} but {want}");
    }
    let mut moved = case.parameters.clone();
    let step = 1e-6;
    for index in (0..stage_len).step_by(stage_len.div_ceil(60)) {
        moved[index] = case.parameters[index] + step;
        let right = case.plain(&moved).0;
        moved[index] = case.parameters[index] - step;
        let slope = (right - case.plain(&moved).0) / (2.0 * step);
        moved[index] = case.parameters[index];
        let error = (slope - got[index]).abs() / scale;
        assert!(error < 1e-3, "{label}: parameter {index}: {} but {slope}", got[index]);
    }
    // The padding has no gradient, so it stays 0.
    let positions: Vec<usize> = case.network.tensors().flat_map(|it| it.positions()).collect();
    let mut gradients = case.network.gradients.to_vec();
    positions.iter().for_each(|&position| gradients[position] = 0.0);
    assert!(gradients.iter().all(|gradient| *gradient == 0.0), "{label}: padding");
}

#[test]
fn factors_learn_six_times_as_fast_and_the_stage_does_not_decay() {
    for weight_decay in [0.0, 0.1] {
        let optimizer = Optimizer::Sgd;
        let spec = TrainSpec {
            embedding: PERIODIC,
            input_scaling: true,
            weight_decay,
            optimizer,
            ..spec()
        };
        let mut case = Case::new(Family::available()[0], spec.clone(), [9, 5]);
        let rows: Vec<u32> = (0..9).collect();
        case.network.backpropagate(&case.examples, &rows, &mut draws(0)).unwrap();
        let mut updater =
            Updater::new(Family::available()[0], &spec, case.network.parameters.len()).unwrap();
        updater.step(&mut case.network, 0.25);
        let positions: Vec<usize> = case.network.tensors().flat_map(|it| it.positions()).collect();
        let (stage_len, factors) = (case.stage_len(), case.fitted.factors.as_ref().unwrap().len());
        for (index, &at) in positions.iter().enumerate().take(stage_len) {
            let rate = if index < factors { 1.5 } else { 0.25 };
            let want = case.parameters[index] - rate * f64::from(case.network.gradients[at]);
            let got = f64::from(case.network.parameters[at]);
            assert!((got - want).abs() < 1e-6 * (1.0 + want.abs()), "{index}: {got} but {want}");
        }
    }
}

#[test]
fn initial_values_are_those_of_the_spec() {
    let embedding = Embedding::Periodic { size: 5, frequency_scale: 0.3 };
    let spec = TrainSpec { embedding, input_scaling: true, ..spec() };
    let data = splits(20, 50, 3);
    let fitted = fit::stage(&spec, &data);
    let sizes = Sizes { features: 50, outputs: 3, capacity: 20 };
    let mut network = Network::with_stage(Family::available()[0], &spec, &fitted, sizes).unwrap();
    network.initialise(
        &spec,
        caviar_common::seed::Seed::derive(1, 2, caviar_common::seed::Purpose::Init),
    );
    let stage = network.stage.as_ref().unwrap().export(&fitted, &network.parameters);
    assert!(stage.factors.unwrap().iter().all(|factor| *factor == 1.0));
    let embedding = stage.embedding.unwrap();
    let Basis::Periodic { frequencies, phases } = embedding.basis else { panic!("periodic") };
    let deviation = |values: &[f32]| {
        let squares = values.iter().map(|value| f64::from(value * value)).sum::<f64>();
        (squares / values.len() as f64).sqrt()
    };
    assert!((deviation(&frequencies) - 0.3).abs() < 0.03, "{}", deviation(&frequencies));
    let of_uniform = |bound: f64| bound / 3.0f64.sqrt();
    assert!((deviation(&phases) - of_uniform(std::f64::consts::PI)).abs() < 0.1);
    assert!((deviation(&embedding.weights) - of_uniform(0.25)).abs() < 0.01);
    assert!((deviation(&embedding.bias) - of_uniform(0.25)).abs() < 0.02);
}

/// What `golden/make_stage.py` writes.
#[derive(Deserialize)]
struct Golden {
    train: Vec<f32>,
    others: Vec<f32>,
    columns: usize,
    size: usize,
    robust: Vec<f64>,
    quantile: Vec<f64>,
    frequencies: Vec<f32>,
    phases: Vec<f32>,
    weights: Vec<f32>,
    bias: Vec<f32>,
    bin_weights: Vec<f32>,
    periodic: Vec<f64>,
    piecewise_linear: Vec<f64>,
}

fn golden() -> (Golden, Splits) {
    let golden: Golden =
        serde_json::from_str(include_str!("../../tests/golden/stage.json")).unwrap();
    let make = |values: &[f32]| {
        let shape = (values.len() / golden.columns, golden.columns);
        let features = Array2::from_shape_vec(shape, values.to_vec()).unwrap();
        Examples {
            features: features.into(),
            targets: Targets::Values(vec![0.0; shape.0].into()),
            weights: None,
        }
    };
    let (train, validation) = (make(&golden.train), make(&golden.others));
    (golden, Splits { train, validation, folds: Vec::new(), test: None, outputs: 1, schema: None })
}

#[test]
fn scaled_numbers_are_those_of_numpy_and_scikit_learn() {
    let (golden, data) = golden();
    // Between two knots, the quantiles of the normal distribution are taken as linear.
    let cases =
        [(Scaling::Robust, &golden.robust, 1e-5), (Scaling::Quantile, &golden.quantile, 0.01)];
    for (scaling, want, tolerance) in cases {
        let spec = TrainSpec { scaling, ..spec() };
        let stage = fit::stage(&spec, &data);
        let scaled = fit::scaled(&stage, &data).unwrap();
        for (index, (got, want)) in
            scaled.validation.features.in_memory().unwrap().iter().zip(want).enumerate()
        {
            // The constant column is 0 here.
            let want = if index % golden.columns == 4 { 0.0 } else { *want };
            let error = (f64::from(*got) - want).abs();
            assert!(error < tolerance, "{scaling:?} {index}: {got} but {want}");
        }
    }
    let standard = TrainSpec { scaling: Scaling::Standard, ..spec() };
    assert!(fit::scaled(&fit::stage(&standard, &data), &data).is_none());
}

#[test]
fn embedded_numbers_are_those_of_numpy() {
    let (golden, data) = golden();
    for is_periodic in [true, false] {
        let (embedding, weights, want) = if is_periodic {
            let size = golden.size as u32 + 1;
            let embedding = Embedding::Periodic { size, frequency_scale: 1.0 };
            (embedding, &golden.weights, &golden.periodic)
        } else {
            let embedding = Embedding::PiecewiseLinear { size: golden.size as u32 };
            (embedding, &golden.bin_weights, &golden.piecewise_linear)
        };
        let spec = TrainSpec { embedding, hidden: vec![], ..spec() };
        let mut stage = fit::stage(&spec, &data);
        let embedding = stage.embedding.as_mut().unwrap();
        embedding.weights.clone_from(weights);
        embedding.bias.clone_from(&golden.bias);
        if is_periodic {
            let (frequencies, phases) = (golden.frequencies.clone(), golden.phases.clone());
            embedding.basis = Basis::Periodic { frequencies, phases };
        }
        for family in Family::available() {
            let got = embedded(family, &spec, &stage, &data.validation);
            let columns = stage.columns();
            for (index, want) in want.iter().enumerate() {
                let (row, at) = (index / want_width(&golden), index % want_width(&golden));
                let (number, column) = (at / golden.size, at % golden.size);
                let skipped = usize::from(is_periodic);
                let got = got[row][number * columns + skipped + column];
                let error = (f64::from(got) - want).abs() / want.abs().max(1.0);
                assert!(error < 2e-5, "{is_periodic} {row} {at}: {got} but {want}");
            }
        }
    }
}

fn want_width(golden: &Golden) -> usize {
    golden.columns * golden.size
}

/// The columns of each number, number by number: the outputs of a network whose matrix selects one
/// input after the other.
fn embedded(
    family: Family,
    spec: &TrainSpec,
    stage: &InputStage,
    examples: &Examples,
) -> Vec<Vec<f32>> {
    let features = examples.features.ncols();
    let width = stage.width(features);
    let rows = examples.features.nrows();
    let sizes = Sizes { features, outputs: width, capacity: rows };
    let mut network = Network::with_stage(family, spec, stage, sizes).unwrap();
    network.stage.as_ref().unwrap().load(stage, &mut network.parameters);
    let positions: Vec<usize> = network.layers[0].weights.positions().collect();
    for input in 0..width {
        network.parameters[positions[input * width + input]] = 1.0;
    }
    let mut outputs = Vec::new();
    network.outputs(examples, 0..rows, &mut outputs).unwrap();
    let columns = stage.columns();
    let of_row = |row: &[f32]| {
        let of_number = |number: usize| {
            let extra = features + number * (columns - 1);
            let others = row[extra..extra + columns - 1].iter().copied();
            std::iter::once(row[number]).chain(others).collect::<Vec<f32>>()
        };
        (0..features).flat_map(of_number).collect()
    };
    outputs.chunks(width).map(of_row).collect()
}

#[test]
fn a_number_has_at_most_48_bins_and_a_constant_none() {
    let (_, data) = golden();
    let spec = TrainSpec { embedding: SEGMENTS, ..spec() };
    let stage = fit::stage(&spec, &data);
    let Basis::PiecewiseLinear { edges } = stage.embedding.unwrap().basis else { panic!("bins") };
    let counts: Vec<usize> = edges.iter().map(Vec::len).collect();
    assert_eq!(counts[0], BINS + 1);
    assert!(counts[2] < 15, "{counts:?}");
    assert_eq!((counts[3], counts[4]), (5, 0));
}
