//! The initial weights, the dropout masks, the mini-batches, and what a step refuses to do without.

use caviar_common::error::ErrorClass;
use caviar_common::seed::{Purpose, Seed};
use caviar_common::train::{Activation, Init, TrainSpec};

use super::support::{draws, examples, spec};
use crate::error::TrainError;
use crate::kernels::Family;
use crate::layer::Layer;
use crate::network::Network;
use crate::rows::batches;

#[test]
fn initial_weights_have_the_documented_variance() {
    use Activation::{Gelu, LeakyRelu, Mish, Relu, Selu, Sigmoid, Silu, Tanh};
    let (he, lecun, xavier) = (2.0 / 400.0, 1.0 / 400.0, 2.0 / 1000.0);
    let by_activation = [(he, &[Relu, LeakyRelu, Gelu, Silu, Mish][..]), (lecun, &[Selu])];
    let by_activation = by_activation.into_iter().chain([(xavier, &[Tanh, Sigmoid][..])]);
    let automatic = by_activation.flat_map(|(want, activations)| {
        activations.iter().map(move |&activation| (Init::Auto, activation, want))
    });
    let given = [(Init::He, Tanh, he), (Init::Xavier, Selu, xavier)];
    for (init, activation, want) in automatic.chain(given) {
        let spec = TrainSpec { hidden: vec![600], init, activation, ..spec() };
        let mut network = Network::new(Family::available()[0], &spec, 400, 200, 2).unwrap();
        network.initialise(&spec, Seed::derive(1, 1, Purpose::Init));
        let variance = |layer: &Layer| {
            let positions = layer.weights.positions();
            let squares = positions.map(|position| f64::from(network.parameters[position]).powi(2));
            squares.sum::<f64>() / (layer.inputs * layer.outputs) as f64
        };
        let (hidden, output) = (variance(&network.layers[0]), variance(&network.layers[1]));
        assert!((hidden / want - 1.0).abs() < 0.02, "{init:?} {activation:?}: {hidden} but {want}");
        assert!((output / (2.0 / 800.0) - 1.0).abs() < 0.02, "output: {output}");
        let [gamma, beta] = network.layers[0].gamma_beta().unwrap();
        assert!(gamma.positions().all(|position| network.parameters[position] == 1.0));
        assert!(beta.positions().all(|position| network.parameters[position] == 0.0));
    }
}

#[test]
fn dropout_drops_its_share_and_keeps_the_mean() {
    let spec = TrainSpec { hidden: vec![200], dropout: 0.25, ..spec() };
    let mut stream = draws(3);
    let examples = examples(100, 4, 3, &mut stream);
    let mut network = Network::new(Family::available()[0], &spec, 4, 3, 100).unwrap();
    let rows: Vec<u32> = (0..100).collect();
    network.backpropagate(&examples, &rows, &mut stream).unwrap();
    let mask = &network.layers[0].mask().unwrap()[..100 * 208];
    let dropped = mask.iter().filter(|&&factor| factor == 0.0).count() as f64 / mask.len() as f64;
    assert!((dropped - 0.25).abs() < 0.01, "{dropped}");
    assert!(mask.iter().all(|&factor| factor == 0.0 || factor == (1.0f64 / 0.75) as f32));
}

#[test]
fn a_step_that_lacks_something_is_an_internal_error() {
    let missing = |what| Some(TrainError::Missing { what });
    let mut network = Network::new(Family::available()[0], &spec(), 4, 3, 10).unwrap();
    let mut stream = draws(3);
    let mut by_columns = examples(10, 4, 3, &mut stream);
    let by_rows = by_columns.features.in_memory().unwrap();
    by_columns.features = by_rows.t().as_standard_layout().to_owned().reversed_axes().into();
    let error = network.backpropagate(&by_columns, &[0, 1], &mut stream).err();
    assert_eq!(error, missing("row-major features"));
    assert_eq!(error.map(|error| error.class()), Some(ErrorClass::Internal));
    let examples = examples(10, 4, 3, &mut stream);
    network.layers.pop();
    let error = network.evaluate(&examples, 0..2, None).err();
    assert_eq!(error, missing("output layer"), "the last layer is a hidden one");
    network.layers.clear();
    assert_eq!(network.evaluate(&examples, 0..2, None).err(), missing("output layer"));
}

#[test]
fn mini_batches_cover_all_rows_and_have_at_least_two() {
    for rows in 2..60 {
        for size in 2..20 {
            let all: Vec<_> = batches(rows, size).collect();
            let covered: Vec<usize> = all.iter().cloned().flatten().collect();
            assert_eq!(covered, (0..rows).collect::<Vec<_>>(), "{rows} by {size}");
            assert!(
                all.iter().all(|batch| (2..=size + 1).contains(&batch.len())),
                "{rows} by {size}: {all:?}"
            );
        }
    }
    assert_eq!(batches(9, 4).collect::<Vec<_>>(), [0..4, 4..9]);
    assert_eq!(batches(5, 100).collect::<Vec<_>>(), vec![0..5; 1]);
}
