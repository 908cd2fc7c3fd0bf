//! From a training to the layers of its model.

use caviar_common::train::{Normalization, TrainSpec};
use caviar_model::{BatchNorm, Layer, Place};

use crate::batch_norm::EPSILON;
use crate::layer;
use crate::network::Network;
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
