//! Against PyTorch, whose numbers `tests/golden/make_golden.py` wrote in f64.

use caviar_common::train::{Activation, Normalization, Optimizer, TrainSpec};
use ndarray::Array2;
use serde_json::Value;

use super::reference::train_pass;
use super::{draws, spec};
use crate::examples::{Examples, Targets};
use crate::kernels::Family;
use crate::network::Network;
use crate::optimizer::Updater;

const GOLDEN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/golden.json"));
/// Of the plain network, which computes in f64 as PyTorch did.
const EXACT: f64 = 1e-9;
/// Of the trainer's f32, for a value of size 1.
const ROUNDED: f64 = 2e-6;
/// Of the trainer's f32 after 20 steps.
const ROUNDED_TWENTY_TIMES: f64 = 2e-5;

struct Case {
    spec: TrainSpec,
    widths: Vec<usize>,
    examples: Examples,
    batch: usize,
    golden: Value,
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn named<T: serde_json::value::Index, R: for<'de> serde::Deserialize<'de>>(golden: &Value, key: T) -> R {
    serde_json::from_value(golden[key].clone()).unwrap()
}

fn cases() -> Vec<Case> {
    let all: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    all.into_iter().map(case).collect()
}

fn case(golden: Value) -> Case {
    let spec = TrainSpec {
        hidden: named(&golden, "hidden"),
        activation: named::<_, Activation>(&golden, "activation"),
        normalization: named::<_, Normalization>(&golden, "normalization"),
        batch_norm_momentum: named(&golden, "batch_norm_momentum"),
        ..spec()
    };
    let rows: Vec<Vec<f32>> = named(&golden, "features");
    let features = rows[0].len();
    let x = Array2::from_shape_vec((rows.len(), features), rows.concat()).unwrap();
    let targets = match golden["values"].is_null() {
        true => Targets::Classes(named(&golden, "classes")),
        false => Targets::Values(named(&golden, "values")),
    };
    let hidden = spec.hidden.iter().map(|&units| units as usize);
    let widths = [features].into_iter().chain(hidden).chain([named(&golden, "outputs")]).collect();
    Case { spec, widths, examples: Examples { features: x, targets }, batch: named(&golden, "batch"), golden }
}

fn network(case: &Case, family: Family) -> Network {
    let outputs = *case.widths.last().unwrap();
    let mut network = Network::new(family, &case.spec, case.widths[0], outputs, case.batch).unwrap();
    let start = numbers(&case.golden["parameters"]);
    let positions: Vec<usize> = network.tensors().flat_map(|tensor| tensor.positions()).collect();
    assert_eq!(positions.len(), start.len());
    for (position, value) in positions.into_iter().zip(start) {
        network.parameters[position] = value as f32;
    }
    network
}

fn in_order(network: &Network, flat: &[f32]) -> Vec<f64> {
    network.tensors().flat_map(|tensor| tensor.positions()).map(|position| f64::from(flat[position])).collect()
}

fn running(network: &Network, is_variance: bool) -> Vec<f64> {
    let layers = network.layers.iter().filter_map(|layer| Some((layer.outputs, layer.statistics.as_ref()?)));
    let pick = |(units, statistics): (usize, &crate::batch_norm::Statistics)| {
        let values = if is_variance { &statistics.running_variance } else { &statistics.running_mean };
        values[..units].iter().copied().map(f64::from).collect::<Vec<f64>>()
    };
    layers.flat_map(pick).collect()
}

fn assert_near(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        assert!((got - want).abs() < tolerance * want.abs().max(1.0), "{what} {index}: {got} but {want}");
    }
}

#[test]
fn plain_network_is_pytorch() {
    for case in cases() {
        let golden = &case.golden;
        let x = case.examples.features.mapv(f64::from);
        let x = x.slice_move(ndarray::s![..case.batch, ..]);
        let outcome = train_pass(&case.spec, &case.widths, &numbers(&golden["parameters"]), &x, &case.examples.targets);
        assert_near("loss", &[outcome.loss], &[golden["loss"].as_f64().unwrap()], EXACT);
        assert_near("gradient", &outcome.gradients, &numbers(&golden["gradients"]), EXACT);
        let keep = case.spec.batch_norm_momentum;
        let means: Vec<f64> = outcome.means.iter().map(|mean| (1.0 - keep) * mean).collect();
        let variances: Vec<f64> = outcome.unbiased_variances.iter().map(|variance| keep + (1.0 - keep) * variance).collect();
        assert_near("running mean", &means, &numbers(&golden["running_means"]), EXACT);
        assert_near("running variance", &variances, &numbers(&golden["running_variances"]), EXACT);
    }
}

#[test]
fn trained_pass_is_pytorch() {
    for family in Family::available() {
        for case in cases() {
            let golden = &case.golden;
            let mut network = network(&case, family);
            let rows: Vec<u32> = (0..).take(case.batch).collect();
            let loss = network.backpropagate(&case.examples, &rows, &mut draws(0)).score(false).loss;
            assert_near("loss", &[loss], &[golden["loss"].as_f64().unwrap()], ROUNDED);
            assert_near("gradient", &in_order(&network, &network.gradients), &numbers(&golden["gradients"]), ROUNDED);
            assert_near("running mean", &running(&network, false), &numbers(&golden["running_means"]), ROUNDED);
            assert_near("running variance", &running(&network, true), &numbers(&golden["running_variances"]), ROUNDED);
            let evaluated = network.evaluate(&case.examples, case.batch..2 * case.batch).score(false).loss;
            assert_near("evaluated loss", &[evaluated], &[golden["evaluated_loss"].as_f64().unwrap()], ROUNDED);
        }
    }
}

/// The optimisers of `make_golden.py`.
fn optimizer_spec(case: &Case, trained: &Value) -> (TrainSpec, f64) {
    let optimizer: Optimizer = named(trained, "optimizer");
    let (beta2, rate) = match optimizer {
        Optimizer::Sgd | Optimizer::Momentum | Optimizer::Nesterov => (0.0, 0.05),
        Optimizer::Rmsprop | Optimizer::Adam | Optimizer::Adamw => (0.95, 0.01),
    };
    let (weight_decay, gradient_clip) = (named(trained, "weight_decay"), named(trained, "gradient_clip"));
    let spec = TrainSpec { optimizer, beta1: 0.8, beta2, epsilon: 1e-3, weight_decay, gradient_clip, ..case.spec.clone() };
    (spec, rate)
}

#[test]
fn twenty_steps_of_every_optimizer_are_pytorch() {
    let mut seen = Vec::new();
    for family in Family::available() {
        for case in cases() {
            for trained in case.golden["trained"].as_array().unwrap() {
                let (spec, rate) = optimizer_spec(&case, trained);
                let mut network = network(&case, family);
                let mut updater = Updater::new(family, &spec, network.parameters.len()).unwrap();
                let halves: [Vec<u32>; 2] = [(0..).take(case.batch).collect(), (0..).skip(case.batch).take(case.batch).collect()];
                for step in 0..20 {
                    network.backpropagate(&case.examples, &halves[step % 2], &mut draws(0));
                    updater.step(&mut network, rate);
                }
                let what = format!("{} {:?} {:?}", family.name(), spec.optimizer, spec.normalization);
                let got = in_order(&network, &network.parameters);
                assert_near(&what, &got, &numbers(&trained["parameters"]), ROUNDED_TWENTY_TIMES);
                seen.push(spec.optimizer);
            }
        }
    }
    assert!(super::OPTIMIZERS.iter().all(|optimizer| seen.contains(optimizer)));
}
