//! Gradients: finite differences check the plain network, which checks the fast one.

use caviar_common::train::{Normalization, TrainSpec};
use caviar_data::{Examples, Numbers, RowWeight, Targets};
use ndarray::Array2;

use super::plain_network::{Pass, weighted_pass};
use super::support::{ACTIVATIONS, NORMALIZATIONS, draws, examples, spec};
use crate::batch_norm::Statistics;
use crate::kernels::{Family, offset};
use crate::layer::Layer;
use crate::network::Network;

/// Rows of the mini-batch, features, hidden units, outputs (0: regression).
const SHAPES: [(usize, usize, &[u32], u32); 6] = [
    (2, 3, &[4], 3),
    (7, 1, &[1], 2),
    (5, 5, &[3, 1, 6], 4),
    (9, 17, &[33, 16], 0),
    (33, 40, &[47], 35),
    (6, 4, &[], 3),
];

struct Case {
    spec: TrainSpec,
    widths: Vec<usize>,
    examples: Examples,
    /// In the order of a checkpoint; every value is an f32.
    parameters: Vec<f64>,
    network: Network,
}

fn case(family: Family, spec: TrainSpec, shape: (usize, usize, &[u32], u32)) -> Case {
    let (rows, features, hidden, outputs) = shape;
    let spec = TrainSpec { hidden: hidden.to_vec(), ..spec };
    let mut stream = draws(rows as u64);
    let examples = examples(rows, features, outputs, &mut stream);
    let outputs = outputs.max(1) as usize;
    let widths = [features]
        .into_iter()
        .chain(hidden.iter().map(|&units| units as usize))
        .chain([outputs])
        .collect();
    let mut network = Network::new(family, &spec, features, outputs, rows + 3).unwrap();
    let positions: Vec<usize> = network.tensors().flat_map(|tensor| tensor.positions()).collect();
    let mut parameters = Vec::new();
    for position in positions {
        let value = (0.7 * stream.normal()) as f32;
        network.parameters[position] = value;
        parameters.push(f64::from(value));
    }
    Case { spec, widths, examples, parameters, network }
}

fn all_cases(family: Family) -> Vec<Case> {
    let mut cases = Vec::new();
    for activation in ACTIVATIONS {
        for normalization in NORMALIZATIONS {
            for shape in SHAPES {
                cases.push(case(family, TrainSpec { activation, normalization, ..spec() }, shape));
            }
        }
    }
    for shape in SHAPES {
        cases.push(case(family, TrainSpec { label_smoothing: 0.3, ..spec() }, shape));
    }
    for (shape, label_smoothing) in SHAPES.into_iter().zip([0.0, 0.3].into_iter().cycle()) {
        let mut case = case(family, TrainSpec { label_smoothing, ..spec() }, shape);
        let weight = |row: usize| RowWeight { loss: (row * 7 % 5) as f32 / 2.0, measures: 1.0 };
        case.examples.weights = Some((1..=shape.0).map(weight).collect());
        cases.push(case);
    }
    // Several numbers to predict, in one panel of outputs and in two.
    for (outputs, is_weighted) in [(2, false), (2, true), (20, false), (20, true)] {
        let shape = (9, 5, [6].as_slice(), outputs);
        let mut case = case(family, spec(), shape);
        let mut stream = draws(77);
        let all = (0..9 * outputs).map(|_| stream.normal() as f32).collect();
        case.examples.targets = Targets::Values(Numbers::from_rows(outputs as usize, all).unwrap());
        let weight = |row: usize| RowWeight { loss: (row * 7 % 5) as f32 / 2.0, measures: 1.0 };
        case.examples.weights = is_weighted.then(|| (1..=9).map(weight).collect());
        cases.push(case);
    }
    cases
}

fn label(case: &Case) -> String {
    format!(
        "{:?} {:?} {:?} batch {}",
        case.spec.activation,
        case.spec.normalization,
        case.widths,
        case.examples.targets.len()
    )
}

/// The weight of each row in the loss.
fn weights(examples: &Examples) -> Vec<f64> {
    let rows = examples.features.nrows();
    let given = examples.weights.as_ref().map(|weights| weights.iter().map(|it| it.loss.into()));
    given.map_or_else(|| vec![1.0; rows], Iterator::collect)
}

fn wide(examples: &Examples) -> Array2<f64> {
    examples.features.to_array().unwrap().mapv(f64::from)
}

/// The scale of errors: the largest gradient, but at least 0.01, because gradients through the
/// batch statistics of two examples nearly vanish.
fn scale(gradients: &[f64]) -> f64 {
    gradients.iter().fold(1e-2, |most, g| most.max(g.abs()))
}

#[test]
fn plain_gradients_are_the_slopes_of_the_loss() {
    let family = *Family::available().last().unwrap();
    for case in all_cases(family) {
        let x = wide(&case.examples);
        let pass = |parameters: &[f64]| {
            let (targets, weights) = (&case.examples.targets, weights(&case.examples));
            weighted_pass(&case.spec, &case.widths, parameters, &x, targets, &weights)
        };
        let gradients = pass(&case.parameters).gradients;
        let step = 1e-6;
        let mut moved = case.parameters.clone();
        // About 150 parameters, spread over the network.
        for index in (0..moved.len()).step_by(moved.len().div_ceil(150)) {
            moved[index] = case.parameters[index] + step;
            let right = pass(&moved).loss;
            moved[index] = case.parameters[index] - step;
            let slope = (right - pass(&moved).loss) / (2.0 * step);
            moved[index] = case.parameters[index];
            let error = (slope - gradients[index]).abs() / scale(&gradients);
            assert!(
                error < 1e-6,
                "{}: parameter {index}: {slope} but {}",
                label(&case),
                gradients[index]
            );
        }
    }
}

#[test]
fn fast_gradients_equal_plain_gradients() {
    for family in Family::available() {
        for mut case in all_cases(family) {
            let want = weighted_pass(
                &case.spec,
                &case.widths,
                &case.parameters,
                &wide(&case.examples),
                &case.examples.targets,
                &weights(&case.examples),
            );
            let rows: Vec<u32> = (0..).take(case.examples.targets.len()).collect();
            let tally = case.network.backpropagate(&case.examples, &rows, &mut draws(0)).unwrap();
            let loss = tally.score(false).loss;
            assert!(
                (loss - want.loss).abs() < 1e-5 * want.loss.max(1.0),
                "{}: {loss} but {}",
                label(&case),
                want.loss
            );
            let positions: Vec<usize> =
                case.network.tensors().flat_map(|tensor| tensor.positions()).collect();
            assert_eq!(positions.len(), want.gradients.len());
            let tolerance = 2e-5 + 30.0 * sensitivity(&case, &want.gradients);
            assert!(
                tolerance < 0.05,
                "{}: the tolerance is too large to test anything",
                label(&case)
            );
            for (index, (&position, want_one)) in positions.iter().zip(&want.gradients).enumerate()
            {
                let got = f64::from(case.network.gradients[position]);
                let error = (got - want_one).abs() / scale(&want.gradients);
                assert!(
                    error < tolerance,
                    "{} {}: parameter {index}: {got} but {want_one}, tolerance {tolerance}",
                    family.name(),
                    label(&case)
                );
            }
            check_padding(&case.network, &positions, &label(&case));
            check_running(&case, &want.means, &want.unbiased_variances);
        }
    }
}

/// The change of the gradients when only the activations are rounded to f32. Batch normalisation
/// divides by the deviation, so a small deviation amplifies rounding errors.
fn sensitivity(case: &Case, gradients: &[f64]) -> f64 {
    let round = |value: f64| f64::from(value as f32);
    let x = wide(&case.examples);
    let pass = Pass {
        spec: &case.spec,
        widths: &case.widths,
        x: &x,
        targets: &case.examples.targets,
        weights: &weights(&case.examples),
        masks: &[],
        round,
        round_back: round,
    };
    let rounded = pass.run(&case.parameters).gradients;
    rounded.iter().zip(gradients).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / scale(gradients)
}

/// Checks that the gradients by the padding are 0, so the padding stays 0.
fn check_padding(network: &Network, positions: &[usize], label: &str) {
    let mut gradients = network.gradients.to_vec();
    positions.iter().for_each(|&position| gradients[position] = 0.0);
    assert!(gradients.iter().all(|&gradient| gradient == 0.0), "{label}: padding has a gradient");
}

fn check_running(case: &Case, means: &[f64], variances: &[f64]) {
    if case.spec.normalization == Normalization::None {
        return;
    }
    let statistics = |pick: fn(&Statistics) -> &[f32]| {
        let layers = case
            .network
            .layers
            .iter()
            .filter_map(|layer| Some((layer.outputs, layer.statistics()?)));
        layers
            .flat_map(|(units, statistics)| pick(statistics)[..units].to_vec())
            .collect::<Vec<f32>>()
    };
    let (got_means, got_variances) =
        (statistics(|s| &s.running_mean), statistics(|s| &s.running_variance));
    assert_eq!((got_means.len(), got_variances.len()), (means.len(), variances.len()));
    let near = |got: f32, want: f64| (f64::from(got) - want).abs() < 2e-5 * want.abs().max(1.0);
    for (&got, mean) in got_means.iter().zip(means) {
        assert!(near(got, 0.1 * mean), "{}: running mean {got}", label(case));
    }
    for (&got, variance) in got_variances.iter().zip(variances) {
        assert!(near(got, 0.9 + 0.1 * variance), "{}: running variance {got}", label(case));
    }
}

#[test]
fn dropped_outputs_pass_no_gradient() {
    let family = Family::available()[0];
    for normalization in NORMALIZATIONS {
        let spec = TrainSpec { normalization, dropout: 0.4, ..spec() };
        let mut case = case(family, spec, (33, 6, &[20, 35], 3));
        let rows: Vec<u32> = (0..33).collect();
        case.network.backpropagate(&case.examples, &rows, &mut draws(0)).unwrap();
        let hidden = &case.network.layers[..2];
        let mask = |layer: &Layer| {
            let mask = layer.mask().unwrap();
            Array2::from_shape_fn((33, layer.outputs), |(row, unit)| {
                f64::from(mask[offset(33, row, unit)])
            })
        };
        let masks: Vec<Array2<f64>> = hidden.iter().map(mask).collect();
        let (x, targets) = (wide(&case.examples), &case.examples.targets);
        let pass = Pass {
            spec: &case.spec,
            widths: &case.widths,
            x: &x,
            targets,
            weights: &weights(&case.examples),
            masks: &masks,
            round: |value| value,
            round_back: |value| value,
        };
        let want = pass.run(&case.parameters).gradients;
        let positions = case.network.tensors().flat_map(|tensor| tensor.positions());
        for (position, want_one) in positions.zip(&want) {
            let got = f64::from(case.network.gradients[position]);
            assert!(
                (got - want_one).abs() < 2e-5 * scale(&want),
                "{}: {got} but {want_one}",
                label(&case)
            );
        }
    }
}
