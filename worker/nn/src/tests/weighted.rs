//! Weighted losses and their gradients: scikit-learn checks the plain network and the fast one.
//! `tests/golden/make_weighted.py` wrote scikit-learn's numbers, in f64.

use caviar_common::train::{Activation, Normalization, TrainSpec};
use caviar_data::{Examples, RowWeight, Targets};
use ndarray::Array2;
use serde_json::Value;

use super::error_of_list;
use super::plain_network::weighted_pass;
use super::support::{draws, spec};
use crate::kernels::Family;
use crate::network::Network;

const GOLDEN: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/weighted.json"));

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

#[test]
fn weighted_losses_and_gradients_are_those_of_scikit_learn() {
    let cases: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    for case in &cases {
        let rows: Vec<Vec<f32>> = serde_json::from_value(case["features"].clone()).unwrap();
        let x = Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap();
        let (targets, outputs) = match case.get("classes") {
            Some(classes) => {
                (Targets::Classes(serde_json::from_value(classes.clone()).unwrap()), 3)
            }
            None => {
                let values: Vec<f32> = serde_json::from_value(case["values"].clone()).unwrap();
                (Targets::Values(values.into()), 1)
            }
        };
        let weights = numbers(&case["weights"]);
        assert!(weights.contains(&0.0), "a row that does not count");
        let (parameters, want) = (numbers(&case["parameters"]), numbers(&case["gradients"]));
        let spec = TrainSpec {
            hidden: vec![5],
            activation: Activation::Tanh,
            normalization: Normalization::None,
            ..spec()
        };
        let widths = [x.ncols(), 5, outputs];
        let plain =
            weighted_pass(&spec, &widths, &parameters, &x.mapv(f64::from), &targets, &weights);
        let loss = case["loss"].as_f64().unwrap();
        assert!((plain.loss - loss).abs() < 1e-9, "{} but {loss}", plain.loss);
        assert!(error_of_list(&plain.gradients, &want, 1e-2) < 1e-9);

        let weight = |weight: &f64| RowWeight { loss: *weight as f32, measures: 1.0 };
        let weights = Some(weights.iter().map(weight).collect());
        let examples = Examples { features: x.into(), targets, weights };
        for family in Family::available() {
            let mut network = Network::new(family, &spec, widths[0], outputs, 11).unwrap();
            let positions: Vec<usize> =
                network.tensors().flat_map(|tensor| tensor.positions()).collect();
            for (&position, value) in positions.iter().zip(&parameters) {
                network.parameters[position] = *value as f32;
            }
            let rows: Vec<u32> = (0..11).collect();
            let tally = network.backpropagate(&examples, &rows, &mut draws(0)).unwrap();
            let found = tally.score(false).loss;
            assert!((found - loss).abs() < 1e-5 * loss.max(1.0), "{found} but {loss}");
            let gradients = positions.iter().map(|&position| network.gradients[position]);
            let gradients: Vec<f64> = gradients.map(f64::from).collect();
            assert!(error_of_list(&gradients, &want, 1e-2) < 1e-5, "{}", family.name());
        }
    }
}
