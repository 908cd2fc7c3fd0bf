//! Batch normalisation folded into weights and biases.
//!
//! With the statistics of the training, it is x' = s x + t for each unit, where
//! s = gamma / sqrt(variance + epsilon) and t = beta - s mean. So it can be a part of a product:
//!
//! - before the activation, s (a W + b) + t = a (W s) + (s b + t), with s along the columns of W
//! - after the activation, the next layer computes (s x + t) W + b = x (s W) + (t W + b), with s
//!   along the rows of W

use caviar_common::numbers::single;

use crate::error::ModelError;
use crate::model::{Layer, Member, Model, Place};

impl Model {
    /// The same model without batch normalisation. Its predictions are equal except for rounding.
    ///
    /// # Errors
    /// A folded weight is too large for an f32.
    pub fn fold_batch_norm(&self) -> Result<Self, ModelError> {
        let members = self.members().iter().map(|member| Member {
            weight: member.weight,
            about: member.about.clone(),
            stage: member.stage.clone(),
            layers: fold(&member.layers),
        });
        Self::new(self.schema().clone(), members.collect())
    }
}

fn fold(layers: &[Layer]) -> Vec<Layer> {
    let mut pending: Option<Vec<(f64, f64)>> = None;
    let mut folded = Vec::with_capacity(layers.len());
    for layer in layers {
        let mut affine = Affine::of(layer);
        if let Some(rows) = pending.take() {
            affine.scale_rows(&rows);
        }
        if let Some(norm) = &layer.norm {
            let factors_and_terms: Vec<(f64, f64)> = norm.factors_and_terms().collect();
            match norm.place {
                Place::BeforeActivation => affine.scale_columns(&factors_and_terms),
                Place::AfterActivation => pending = Some(factors_and_terms),
            }
        }
        folded.push(affine.into_layer(layer));
    }
    folded
}

/// a W + b in f64.
struct Affine {
    /// W, row by row.
    weights: Vec<f64>,
    /// b; `None` if it is 0.
    bias: Option<Vec<f64>>,
    outputs: usize,
}

impl Affine {
    fn of(layer: &Layer) -> Self {
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
        Self {
            weights: wide(&layer.weights),
            bias: layer.bias.as_deref().map(wide),
            outputs: layer.outputs,
        }
    }

    /// Takes the factor and the term of each input into W and b.
    fn scale_rows(&mut self, inputs: &[(f64, f64)]) {
        let bias = self.bias.get_or_insert_with(|| vec![0.0; self.outputs]);
        let rows = self.weights.chunks_exact_mut(self.outputs.max(1));
        for (row, (factor, term)) in rows.zip(inputs) {
            for (weight, bias) in row.iter_mut().zip(bias.iter_mut()) {
                *bias += term * *weight;
                *weight *= factor;
            }
        }
    }

    /// Takes the factor and the term of each output into W and b.
    fn scale_columns(&mut self, outputs: &[(f64, f64)]) {
        for row in self.weights.chunks_exact_mut(self.outputs.max(1)) {
            for (weight, (factor, _)) in row.iter_mut().zip(outputs) {
                *weight *= factor;
            }
        }
        let bias = self.bias.get_or_insert_with(|| vec![0.0; self.outputs]);
        for (bias, (factor, term)) in bias.iter_mut().zip(outputs) {
            *bias = *bias * factor + term;
        }
    }

    fn into_layer(self, layer: &Layer) -> Layer {
        let narrow = |values: Vec<f64>| values.into_iter().map(single).collect();
        Layer {
            inputs: layer.inputs,
            outputs: layer.outputs,
            weights: narrow(self.weights),
            bias: self.bias.map(narrow),
            activation: layer.activation,
            norm: None,
        }
    }
}
