//! Networks as operators: from encoded inputs to predictions.

use caviar_common::numbers::single;
use caviar_common::train::Activation;
use caviar_data::Standard;

use super::graph::{Graph, Name, float, int};
use super::proto::tensor_proto::DataType;
use super::stage;
use crate::model::{BatchNorm, Layer, Member, Model, Place};
use crate::reference::{ALPHA, LAMBDA, LEAK};

/// The weighted mean of what the networks say about `features`, `[N, width]`: probabilities, or
/// standardised numbers.
pub(super) fn mean(graph: &mut Graph, model: &Model, features: &str) -> Name {
    let is_regression = model.schema().label.standard.is_some();
    let mut terms = Vec::with_capacity(model.members().len());
    for member in model.members() {
        let features = stage::stage(graph, &member.stage, model.schema().width(), features);
        let mut out = network(graph, member, &features);
        if !is_regression {
            if member.about.temperature != 1.0 {
                let temperature = graph.floats(&[], &[single(member.about.temperature)]);
                out = graph.node("Div", &[&out, &temperature]);
            }
            out = graph.node_with("Softmax", &[&out], vec![int("axis", 1)]);
        }
        if model.is_ensemble() {
            let weight = graph.floats(&[], &[single(member.weight)]);
            out = graph.node("Mul", &[&out, &weight]);
        }
        terms.push(out);
    }
    match terms.as_slice() {
        [only] => only.clone(),
        terms => graph.node("Sum", &terms.iter().map(String::as_str).collect::<Vec<&str>>()),
    }
}

/// The number of the class with the largest probability, `[N]`; of equal ones the first.
pub(super) fn largest(graph: &mut Graph, probabilities: &str) -> Name {
    graph.node_with("ArgMax", &[probabilities], vec![int("axis", 1), int("keepdims", 0)])
}

/// Standardised numbers in the units of the labels, as 64-bit floats, `[N, outputs]`.
pub(super) fn restore(graph: &mut Graph, model: &Model, numbers: &str) -> Name {
    let numbers = graph.cast(numbers, DataType::Double);
    let standards = model.schema().standards();
    let standard = match standards.as_slice() {
        [] => return numbers,
        [only] => only,
        several => return restore_each(graph, several, &numbers),
    };
    // A label that was constant in training has the scale 0, and every prediction is its mean.
    let (operator, scale) =
        if standard.scale == 0.0 { ("Mul", 0.0) } else { ("Div", standard.scale) };
    let scale = graph.doubles(&[], &[scale]);
    let distance = graph.node(operator, &[&numbers, &scale]);
    let mean = graph.doubles(&[], &[standard.mean]);
    graph.node("Add", &[&distance, &mean])
}

/// The same for several labels.
fn restore_each(graph: &mut Graph, standards: &[Standard], numbers: &str) -> Name {
    let dims = [1, standards.len()];
    // A label that was constant in training has the deviation 0, and every prediction is its mean.
    let deviation = |it: &Standard| if it.scale == 0.0 { 0.0 } else { 1.0 / it.scale };
    let deviations: Vec<f64> = standards.iter().map(deviation).collect();
    let means: Vec<f64> = standards.iter().map(|standard| standard.mean).collect();
    let (deviations, means) = (graph.doubles(&dims, &deviations), graph.doubles(&dims, &means));
    let distances = graph.node("Mul", &[numbers, &deviations]);
    graph.node("Add", &[&distances, &means])
}

fn network(graph: &mut Graph, member: &Member, features: &str) -> Name {
    member.layers.iter().fold(features.to_owned(), |inputs, content| layer(graph, content, &inputs))
}

fn layer(graph: &mut Graph, layer: &Layer, inputs: &str) -> Name {
    let weights = graph.floats(&[layer.inputs, layer.outputs], &layer.weights);
    let mut out = match &layer.bias {
        Some(bias) => {
            let bias = graph.floats(&[layer.outputs], bias);
            graph.node("Gemm", &[inputs, &weights, &bias])
        }
        None => graph.node("MatMul", &[inputs, &weights]),
    };
    let at = |place: Place| layer.norm.as_ref().filter(|norm| norm.place == place);
    if let Some(norm) = at(Place::BeforeActivation) {
        out = batch_norm(graph, norm, &out);
    }
    if let Some(activation) = layer.activation {
        out = activate(graph, activation, &out);
    }
    if let Some(norm) = at(Place::AfterActivation) {
        out = batch_norm(graph, norm, &out);
    }
    out
}

fn batch_norm(graph: &mut Graph, norm: &BatchNorm, inputs: &str) -> Name {
    let lists = [&norm.gamma, &norm.beta, &norm.mean, &norm.variance];
    let [gamma, beta, mean, variance] = lists.map(|list| graph.floats(&[list.len()], list));
    let epsilon = vec![float("epsilon", norm.epsilon)];
    let inputs = [inputs, &gamma, &beta, &mean, &variance];
    graph.node_with("BatchNormalization", &inputs, epsilon)
}

fn activate(graph: &mut Graph, activation: Activation, z: &str) -> Name {
    match activation {
        Activation::Relu => graph.node("Relu", &[z]),
        Activation::LeakyRelu => {
            graph.node_with("LeakyRelu", &[z], vec![float("alpha", single(LEAK))])
        }
        Activation::Tanh => graph.node("Tanh", &[z]),
        Activation::Sigmoid => graph.node("Sigmoid", &[z]),
        // Opset 17 has neither Gelu nor Mish.
        Activation::Gelu => {
            let root = graph.floats(&[], &[std::f32::consts::FRAC_1_SQRT_2]);
            let scaled = graph.node("Mul", &[z, &root]);
            let erf = graph.node("Erf", &[&scaled]);
            let one = graph.floats(&[], &[1.0]);
            let sum = graph.node("Add", &[&erf, &one]);
            let half = graph.floats(&[], &[0.5]);
            let share = graph.node("Mul", &[&sum, &half]);
            graph.node("Mul", &[z, &share])
        }
        Activation::Silu => {
            let share = graph.node("Sigmoid", &[z]);
            graph.node("Mul", &[z, &share])
        }
        Activation::Mish => {
            let softplus = graph.node("Softplus", &[z]);
            let share = graph.node("Tanh", &[&softplus]);
            graph.node("Mul", &[z, &share])
        }
        Activation::Selu => {
            let constants = vec![float("alpha", single(ALPHA)), float("gamma", single(LAMBDA))];
            graph.node_with("Selu", &[z], constants)
        }
    }
}
