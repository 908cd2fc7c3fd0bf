//! The update rules written plainly, in f64 and one parameter at a time, as PyTorch's documentation
//! states them.

use caviar_common::train::{Optimizer, TrainSpec};

use crate::network::Network;

pub(super) struct PlainUpdater {
    spec: TrainSpec,
    is_weight: Vec<bool>,
    first: Vec<f64>,
    second: Vec<f64>,
    steps: i32,
}

/// Whether each parameter belongs to a weight matrix, in the order of a checkpoint.
pub(super) fn is_weight(network: &Network) -> Vec<bool> {
    let of_layer = |layer: &crate::layer::Layer| {
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
        let TrainSpec { optimizer, learning_rate: rate, momentum, beta1, beta2, epsilon, .. } =
            self.spec;
        let decay = if self.is_weight[index] { self.spec.weight_decay } else { 0.0 };
        let (w, g) = if optimizer == Optimizer::Adamw {
            (w - rate * decay * w, g)
        } else {
            (w, g + decay * w)
        };
        let (first, second) = (&mut self.first[index], &mut self.second[index]);
        match optimizer {
            Optimizer::Sgd => w - rate * g,
            Optimizer::Momentum | Optimizer::Nesterov => {
                *first = momentum * *first + g;
                w - rate
                    * if optimizer == Optimizer::Nesterov { g + momentum * *first } else { *first }
            }
            Optimizer::Rmsprop => {
                *second = beta2 * *second + (1.0 - beta2) * g * g;
                w - rate * g / (second.sqrt() + epsilon)
            }
            Optimizer::Adam | Optimizer::Adamw => {
                *first = beta1 * *first + (1.0 - beta1) * g;
                *second = beta2 * *second + (1.0 - beta2) * g * g;
                let mean = *first / (1.0 - beta1.powi(self.steps));
                let deviation = (*second / (1.0 - beta2.powi(self.steps))).sqrt();
                w - rate * mean / (deviation + epsilon)
            }
        }
    }
}
