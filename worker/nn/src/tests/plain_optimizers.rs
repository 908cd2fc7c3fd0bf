//! The update rules in f64, one parameter at a time, as PyTorch's documentation states them.

use caviar_common::train::{Optimizer, TrainSpec};

use crate::layer::Layer;
use crate::network::Network;

pub(super) struct PlainUpdater {
    spec: TrainSpec,
    is_weight: Vec<bool>,
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
}

/// For each parameter, in the order of a checkpoint, true if it belongs to a weight matrix.
pub(super) fn is_weight(network: &Network) -> Vec<bool> {
    let of_layer = |layer: &Layer| {
        let weights = layer.weights;
        layer
            .tensors()
            .flat_map(move |tensor| tensor.positions().map(move |_| tensor == weights))
            .collect::<Vec<bool>>()
    };
    network.layers.iter().flat_map(of_layer).collect()
}

impl PlainUpdater {
    pub(super) fn new(spec: &TrainSpec, is_weight: Vec<bool>) -> Self {
        let zeros = vec![0.0; is_weight.len()];
        Self { spec: spec.clone(), is_weight, first: zeros.clone(), second: zeros, steps: 0 }
    }

    pub(super) fn step(&mut self, parameters: &mut [f64], gradients: &[f64]) {
        self.steps += 1;
        let norm = gradients.iter().map(|g| g * g).sum::<f64>().sqrt();
        let limit = self.spec.gradient_clip;
        let clip = if limit > 0.0 { (limit / (norm + 1e-6)).min(1.0) } else { 1.0 };
        for (index, (w, g)) in parameters.iter_mut().zip(gradients).enumerate() {
            *w = self.updated(index, *w, clip * g);
        }
    }

    fn updated(&mut self, index: usize, w: f64, g: f64) -> f64 {
        let (optimizer, rate) = (self.spec.optimizer, self.spec.learning_rate);
        let decay = if self.is_weight[index] { self.spec.weight_decay } else { 0.0 };
        let is_decoupled = matches!(optimizer, Optimizer::Adamw { .. });
        let (w, g) = if is_decoupled { (w - rate * decay * w, g) } else { (w, g + decay * w) };
        let (first, second) = (&mut self.first[index], &mut self.second[index]);
        match optimizer {
            Optimizer::Sgd => w - rate * g,
            Optimizer::Momentum { momentum } => {
                *first = momentum * *first + g;
                w - rate * *first
            }
            Optimizer::Nesterov { momentum } => {
                *first = momentum * *first + g;
                w - rate * (g + momentum * *first)
            }
            Optimizer::Rmsprop { beta2, epsilon } => {
                *second = beta2 * *second + (1.0 - beta2) * g * g;
                w - rate * g / (second.sqrt() + epsilon)
            }
            Optimizer::Adam { beta1, beta2, epsilon }
            | Optimizer::Adamw { beta1, beta2, epsilon } => {
                *first = beta1 * *first + (1.0 - beta1) * g;
                *second = beta2 * *second + (1.0 - beta2) * g * g;
                let mean = *first / (1.0 - beta1.powi(self.steps));
                let deviation = (*second / (1.0 - beta2.powi(self.steps))).sqrt();
                w - rate * mean / (deviation + epsilon)
            }
        }
    }
}
