//! The plain network and the trainer compute what PyTorch computes. `tests/golden/make_golden.py`
//! wrote PyTorch's numbers, in f64 and in f32.

use caviar_common::train::{Activation, Normalization, Optimizer, TrainSpec};
use caviar_data::{Examples, Targets};
use ndarray::Array2;
use serde_json::Value;

use super::plain_network::train_pass;
use super::plain_optimizers::{PlainUpdater, is_weight};
use super::support::{draws, optimizers, spec};
use super::{error_of_list, targets_at};
use crate::kernels::Family;
use crate::network::Network;
use crate::optimizer::Updater;

const GOLDEN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/golden.json"));
/// The largest error of the plain network, which computes in f64 as PyTorch did.
const EXACT: f64 = 1e-9;
/// The largest error of the trainer's f32, against PyTorch's f64 and f32.
const ROUNDED: f64 = 1e-5;
const STEPS: usize = 20;

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

fn named<T: serde_json::value::Index, R: for<'de> serde::Deserialize<'de>>(
    golden: &Value,
    key: T,
) -> R {
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
        label_smoothing: named(&golden, "label_smoothing"),
        batch_norm_momentum: named(&golden, "batch_norm_momentum"),
        ..spec()
    };
    let rows: Vec<Vec<f32>> = named(&golden, "features");
    let features = rows[0].len();
    let x = Array2::from_shape_vec((rows.len(), features), rows.concat()).unwrap();
    let targets = match golden["values"].is_null() {
        true => Targets::Classes(named(&golden, "classes")),
        false => Targets::Values(named::<_, Vec<f32>>(&golden, "values").into()),
    };
    let hidden = spec.hidden.iter().map(|&units| units as usize);
    let widths = [features].into_iter().chain(hidden).chain([named(&golden, "outputs")]).collect();
    Case {
        spec,
        widths,
        examples: Examples { features: x.into(), targets, weights: None },
        batch: named(&golden, "batch"),
        golden,
    }
}

/// The initial parameters; every value is an f32.
fn start(case: &Case) -> Vec<f64> {
    numbers(&case.golden["parameters"]).into_iter().map(|value| f64::from(value as f32)).collect()
}

fn network(case: &Case, spec: &TrainSpec, family: Family) -> Network {
    let outputs = *case.widths.last().unwrap();
    let mut network = Network::new(family, spec, case.widths[0], outputs, case.batch).unwrap();
    let start = start(case);
    let positions: Vec<usize> = network.tensors().flat_map(|tensor| tensor.positions()).collect();
    assert_eq!(positions.len(), start.len());
    for (position, value) in positions.into_iter().zip(start) {
        network.parameters[position] = value as f32;
    }
    network
}

/// The name of a computed quantity and its lists (of running statistics, one list each).
type Quantity = (String, Vec<Vec<f64>>);

fn of_pytorch(case: &Case, precision: &str) -> Vec<Quantity> {
    let golden = &case.golden[precision];
    let mut quantities = vec![
        ("loss".to_owned(), vec![vec![golden["loss"].as_f64().unwrap()]]),
        ("gradients".to_owned(), vec![numbers(&golden["gradients"])]),
        (
            "running statistics".to_owned(),
            golden["running"].as_array().unwrap().iter().map(numbers).collect(),
        ),
        ("evaluated loss".to_owned(), vec![vec![golden["evaluated_loss"].as_f64().unwrap()]]),
    ];
    for (training, parameters) in trainings(case).iter().zip(golden["trained"].as_array().unwrap())
    {
        quantities.push((name_of(training), vec![numbers(parameters)]));
    }
    let averaged = &golden["averaged"];
    let running = averaged["running"].as_array().unwrap().iter().map(numbers);
    quantities.extend(of_average(
        numbers(&averaged["parameters"]),
        running.collect(),
        averaged["evaluated_loss"].as_f64().unwrap(),
    ));
    quantities
}

fn of_average(parameters: Vec<f64>, running: Vec<Vec<f64>>, loss: f64) -> [Quantity; 3] {
    [
        ("averaged parameters".to_owned(), vec![parameters]),
        ("averaged running statistics".to_owned(), running),
        ("evaluated loss of the averages".to_owned(), vec![vec![loss]]),
    ]
}

fn of_trainer(case: &Case, family: Family) -> Vec<Quantity> {
    let mut network = network(case, &case.spec, family);
    let rows: Vec<u32> = (0..).take(case.batch).collect();
    let loss = network.backpropagate(&case.examples, &rows, &mut draws(0)).unwrap();
    let loss = loss.score(false).loss;
    let evaluated = network.evaluate(&case.examples, case.batch..2 * case.batch, None).unwrap();
    let evaluated = evaluated.score(false).loss;
    let mut quantities = vec![
        ("loss".to_owned(), vec![vec![loss]]),
        ("gradients".to_owned(), vec![in_order(&network, &network.gradients)]),
        ("running statistics".to_owned(), running(&network)),
        ("evaluated loss".to_owned(), vec![vec![evaluated]]),
    ];
    for training in trainings(case) {
        let network = trained(case, &training, family);
        quantities.push((name_of(&training), vec![in_order(&network, &network.parameters)]));
    }
    // The settings of make_golden.py: Adam is the fifth optimiser.
    let spec = TrainSpec { weight_average: 0.9, ..trainings(case)[4].clone() };
    let mut network = trained(case, &spec, family);
    network.exchange_average();
    let evaluated = network.evaluate(&case.examples, case.batch..2 * case.batch, None).unwrap();
    quantities.extend(of_average(
        in_order(&network, &network.parameters),
        running(&network),
        evaluated.score(false).loss,
    ));
    quantities
}

fn trainings(case: &Case) -> Vec<TrainSpec> {
    let spec_of = |training: &Value| {
        // The settings of make_golden.py.
        let (momentum, beta1, beta2, epsilon) = (0.9, 0.8, 0.95, 1e-3);
        let (optimizer, learning_rate) = match training["optimizer"].as_str().unwrap() {
            "sgd" => (Optimizer::Sgd, 0.05),
            "momentum" => (Optimizer::Momentum { momentum }, 0.05),
            "nesterov" => (Optimizer::Nesterov { momentum }, 0.05),
            "rmsprop" => (Optimizer::Rmsprop { beta2, epsilon }, 0.01),
            "adam" => (Optimizer::Adam { beta1, beta2, epsilon }, 0.01),
            "adamw" => (Optimizer::Adamw { beta1, beta2, epsilon }, 0.01),
            other => panic!("optimizer = {other}: unknown to this test"),
        };
        let (weight_decay, gradient_clip) =
            (named(training, "weight_decay"), named(training, "gradient_clip"));
        TrainSpec { optimizer, learning_rate, weight_decay, gradient_clip, ..case.spec.clone() }
    };
    case.golden["trainings"].as_array().unwrap().iter().map(spec_of).collect()
}

fn name_of(training: &TrainSpec) -> String {
    let extras = if training.weight_decay > 0.0 { ", decay, clipping" } else { "" };
    let optimizer = format!("{:?}", training.optimizer);
    let name = optimizer.split(' ').next().unwrap_or_default();
    format!("{STEPS} steps of {name}{extras}")
}

fn trained(case: &Case, spec: &TrainSpec, family: Family) -> Network {
    let mut network = network(case, spec, family);
    let mut updater = Updater::new(family, spec, network.parameters.len()).unwrap();
    for rows in halves(case) {
        network.backpropagate(&case.examples, &rows, &mut draws(0)).unwrap();
        updater.step(&mut network, spec.learning_rate);
        network.include_in_average(updater.steps);
    }
    network
}

/// The rows of each step: the two halves of the examples in turn.
fn halves(case: &Case) -> impl Iterator<Item = Vec<u32>> {
    let batch = case.batch;
    (0..STEPS).map(move |step| (0..).skip(step % 2 * batch).take(batch).collect())
}

fn in_order(network: &Network, flat: &[f32]) -> Vec<f64> {
    network
        .tensors()
        .flat_map(|tensor| tensor.positions())
        .map(|position| f64::from(flat[position]))
        .collect()
}

fn running(network: &Network) -> Vec<Vec<f64>> {
    let layers =
        network.layers.iter().filter_map(|layer| Some((layer.outputs, layer.statistics()?)));
    let lists =
        layers.flat_map(|(units, of)| [&of.running_mean[..units], &of.running_variance[..units]]);
    lists.map(|list| list.iter().copied().map(f64::from).collect()).collect()
}

/// The largest error of a list relative to the list's largest value, of the worst list.
fn scaled_error(got: &[Vec<f64>], want: &[Vec<f64>]) -> f64 {
    assert_eq!(got.len(), want.len());
    got.iter().zip(want).map(|(got, want)| error_of_list(got, want, 0.0)).fold(0.0, f64::max)
}

#[test]
fn the_plain_network_computes_what_pytorch_computes() {
    for case in cases() {
        let golden = &case.golden["f64"];
        let x = case.examples.features.to_array().unwrap().mapv(f64::from);
        let x = x.slice_move(ndarray::s![..case.batch, ..]);
        let outcome =
            train_pass(&case.spec, &case.widths, &start(&case), &x, &case.examples.targets);
        let near = |got: &[f64], want: &[f64]| error_of_list(got, want, 1.0) < EXACT;
        assert!(near(&[outcome.loss], &[golden["loss"].as_f64().unwrap()]));
        assert!(near(&outcome.gradients, &numbers(&golden["gradients"])));
        let keep = case.spec.batch_norm_momentum;
        let (means, variances) = (outcome.means.iter(), outcome.unbiased_variances.iter());
        let mut means = means.map(|mean| (1.0 - keep) * mean);
        let mut variances = variances.map(|variance| keep + (1.0 - keep) * variance);
        for (index, want) in golden["running"].as_array().unwrap().iter().map(numbers).enumerate() {
            let values: &mut dyn Iterator<Item = f64> =
                if index % 2 == 0 { &mut means } else { &mut variances };
            assert!(
                near(&values.take(want.len()).collect::<Vec<f64>>(), &want),
                "running statistics {index}"
            );
        }
    }
}

#[test]
fn the_plain_optimizers_compute_what_pytorch_computes() {
    for case in cases() {
        for (spec, want) in
            trainings(&case).iter().zip(case.golden["f64"]["trained"].as_array().unwrap())
        {
            let mut parameters = start(&case);
            let mut updater =
                PlainUpdater::new(spec, is_weight(&network(&case, spec, Family::available()[0])));
            for rows in halves(&case) {
                let rows: Vec<usize> = rows.into_iter().map(|row| row as usize).collect();
                let x = case
                    .examples
                    .features
                    .to_array()
                    .unwrap()
                    .select(ndarray::Axis(0), &rows)
                    .mapv(f64::from);
                let targets = targets_at(&case.examples.targets, &rows);
                let gradients = train_pass(spec, &case.widths, &parameters, &x, &targets).gradients;
                updater.step(&mut parameters, &gradients);
            }
            assert!(error_of_list(&parameters, &numbers(want), 1.0) < EXACT, "{}", name_of(spec));
        }
    }
}

/// Prints a table of the errors with `--nocapture`.
#[test]
fn the_trainer_differs_from_pytorch_by_a_hundred_thousandth_at_most() {
    let mut table: Vec<(String, [f64; 3])> = Vec::new();
    for family in Family::available() {
        for case in cases() {
            let (exact, rounded) = (of_pytorch(&case, "f64"), of_pytorch(&case, "f32"));
            for ((ours, exact), rounded) in
                of_trainer(&case, family).iter().zip(&exact).zip(&rounded)
            {
                assert_eq!((&ours.0, &ours.0), (&exact.0, &rounded.0));
                let errors = [
                    scaled_error(&ours.1, &exact.1),
                    scaled_error(&rounded.1, &exact.1),
                    scaled_error(&ours.1, &rounded.1),
                ];
                match table.iter_mut().find(|(name, _)| *name == ours.0) {
                    Some((_, worst)) => {
                        *worst = std::array::from_fn(|index| worst[index].max(errors[index]))
                    }
                    None => table.push((ours.0.clone(), errors)),
                }
            }
        }
    }
    table.sort_by(|(a, _), (b, _)| a.cmp(b));
    println!(
        "{:<42} {:>15} {:>15} {:>15}",
        "worst error, scaled", "ours to f64", "torch f32 to f64", "ours to torch f32"
    );
    for (name, [ours, torch, apart]) in &table {
        println!("{name:<42} {ours:>15.1e} {torch:>15.1e} {apart:>15.1e}");
    }
    // Four quantities of a pass, every optimiser with and without decay and clipping, and three
    // quantities of an averaged network.
    assert_eq!(table.len(), 4 + 2 * optimizers(1e-3).len() + 3);
    assert!(table.iter().all(|(_, [ours, _, apart])| *ours < ROUNDED && *apart < ROUNDED));
}
