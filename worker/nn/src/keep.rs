//! From a training to what is kept of it: its model, and predictions for the rows that judge it.

use caviar_common::metric::Score;
use caviar_common::numbers::{index, real};
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

/// The score of the average of several networks: of their probabilities, or for regression of their
/// outputs. Each has the outputs `[rows, outputs]`.
///
/// # Errors
/// The outputs do not fit the examples, which is a bug.
pub(crate) fn score(examples: &Examples, networks: Vec<Vec<f32>>) -> Result<Score, TrainError> {
    let rows = examples.targets.len();
    let count = real(networks.len());
    let width = networks.first().map_or(0, Vec::len) / rows.max(1);
    let mut sums = vec![0.0; rows * width];
    for mut outputs in networks {
        if let Targets::Classes(_) = examples.targets {
            softmax(&mut outputs, width, 1.0);
        }
        sums.iter_mut().zip(&outputs).for_each(|(sum, output)| *sum += f64::from(*output));
    }
    let means = sums.chunks(width.max(1));
    let missing = TrainError::Missing { what: "output of each class" };
    match &examples.targets {
        Targets::Classes(truth) => {
            let (mut loss, mut hits) = (0.0, 0_u32);
            for (&class, sums) in truth.iter().zip(means) {
                let Some(sum) = sums.get(index(class)) else { return Err(missing) };
                // Like the logarithm of the smallest number, so that the loss is finite.
                loss -= libm::log((sum / count).max(f64::from(f32::MIN_POSITIVE)));
                let is_hit = sums
                    .iter()
                    .zip(0..)
                    .all(|(other, place)| if place < class { other < sum } else { other <= sum });
                hits += u32::from(is_hit);
            }
            Ok(Score { loss: loss / real(rows), accuracy: Some(f64::from(hits) / real(rows)) })
        }
        Targets::Values(truth) => {
            let error = |(value, sums): (&f32, &[f64])| {
                (f64::from(*value) - sums.iter().sum::<f64>() / count).powi(2)
            };
            let loss = truth.iter().zip(means).map(error).sum::<f64>() / real(rows);
            Ok(Score { loss, accuracy: None })
        }
    }
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
