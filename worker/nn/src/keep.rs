//! From a training to what is kept of it: its model, and predictions for the rows that judge it.

use caviar_common::numbers::index;
use caviar_common::train::{Normalization, TrainSpec};
use caviar_data::{Examples, Schema, Targets};
use caviar_metrics::Predictions;
use caviar_model::{BatchNorm, Layer, Place};

use crate::batch_norm::EPSILON;
use crate::error::TrainError;
use crate::layer;
use crate::network::Network;
use crate::softmax::softmax;
use crate::tensor::Tensor;

/// The layers of a network with its present parameters and running statistics.
pub(crate) fn layers(spec: &TrainSpec, network: &Network) -> Vec<Layer> {
    let of = |tensor: Tensor| -> Vec<f32> {
        let values = tensor.positions().map(|position| network.parameters.get(position));
        values.flatten().copied().collect()
    };
    let hidden = spec.hidden.len();
    let layers = network.layers.iter().enumerate();
    layers
        .map(|(number, layer)| Layer {
            inputs: layer.inputs,
            outputs: layer.outputs,
            weights: of(layer.weights),
            bias: layer.bias().map(of),
            activation: (number < hidden).then_some(spec.activation),
            norm: norm(spec, layer, of),
        })
        .collect()
}

fn norm(
    spec: &TrainSpec,
    layer: &layer::Layer,
    of: impl Fn(Tensor) -> Vec<f32>,
) -> Option<BatchNorm> {
    let place = match spec.normalization {
        Normalization::Before => Place::BeforeActivation,
        Normalization::After => Place::AfterActivation,
        Normalization::None => return None,
    };
    let ([gamma, beta], running) = (layer.gamma_beta()?, layer.statistics()?);
    let units = |values: &[f32]| values.iter().take(layer.outputs).copied().collect();
    Some(BatchNorm {
        place,
        gamma: of(gamma),
        beta: of(beta),
        mean: units(&running.running_mean),
        variance: units(&running.running_variance),
        epsilon: EPSILON,
    })
}

/// What the outputs `[rows, outputs]` of a network say of the examples, in the units of the label.
///
/// # Errors
/// The outputs do not fit the examples, which is a bug.
pub(crate) fn predictions(
    schema: &Schema,
    examples: &Examples,
    mut outputs: Vec<f32>,
) -> Result<Predictions, TrainError> {
    let predictions = match &examples.targets {
        Targets::Classes(truth) => {
            let classes = index(schema.outputs());
            softmax(&mut outputs, classes, 1.0);
            Predictions::from_probabilities(classes, truth.clone(), outputs)
        }
        Targets::Values(truth) => {
            let standard = schema.label.standard;
            let standard = standard.ok_or(TrainError::Missing { what: "scale of its label" })?;
            let restore = |value: &f32| standard.restore(f64::from(*value));
            let predicted = outputs.iter().map(restore).collect();
            Predictions::from_values(truth.iter().map(restore).collect(), predicted)
        }
    };
    predictions.map_err(|_| TrainError::Missing { what: "predictions that fit its data" })
}
