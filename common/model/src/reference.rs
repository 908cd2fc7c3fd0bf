//! Predictions computed plainly, in f64 and one row at a time.
//!
//! This is what every exported form is compared with. For many rows, the kernels of the trainer are
//! faster.

use caviar_common::train::Activation;

use crate::model::{BatchNorm, Layer, Member, Model, Place};

/// The slope of leaky relu below 0.
pub(crate) const LEAK: f64 = 0.01;
/// The lambda of selu.
pub(crate) const LAMBDA: f64 = 1.050_700_987_355_480_5;
/// The alpha of selu.
pub(crate) const ALPHA: f64 = 1.673_263_242_354_377_2;

impl Model {
    /// The prediction for one row of encoded inputs: the probability of each class, or for
    /// regression the numbers in the units of the labels. `None` if the row does not have as many
    /// inputs as the schema makes.
    pub fn predict_row(&self, features: &[f32]) -> Option<Vec<f64>> {
        let schema = self.schema();
        if features.len() != schema.width() {
            return None;
        }
        let mut mean: Vec<f64> = Vec::new();
        for member in self.members() {
            let mut outputs = member.outputs(features);
            if schema.label.standard.is_none() {
                outputs = softmax(&outputs, member.about.temperature);
            }
            mean.resize(outputs.len(), 0.0);
            for (mean, output) in mean.iter_mut().zip(outputs) {
                *mean += member.weight * output;
            }
        }
        for (value, standard) in mean.iter_mut().zip(schema.standards()) {
            *value = standard.restore(*value);
        }
        Some(mean)
    }
}

impl Member {
    /// The logits, or the standardised numbers, of one row of encoded inputs.
    fn outputs(&self, features: &[f32]) -> Vec<f64> {
        let inputs = self.stage.apply(features);
        self.layers.iter().fold(inputs, |inputs, layer| layer.apply(&inputs))
    }
}

impl Layer {
    fn apply(&self, inputs: &[f64]) -> Vec<f64> {
        let mut out = match &self.bias {
            Some(bias) => bias.iter().map(|&value| f64::from(value)).collect(),
            None => vec![0.0; self.outputs],
        };
        for (input, row) in inputs.iter().zip(self.weights.chunks_exact(self.outputs.max(1))) {
            for (out, weight) in out.iter_mut().zip(row) {
                *out += input * f64::from(*weight);
            }
        }
        let at = |place: Place| self.norm.as_ref().filter(|norm| norm.place == place);
        if let Some(norm) = at(Place::BeforeActivation) {
            norm.apply(&mut out);
        }
        if let Some(activation) = self.activation {
            out.iter_mut().for_each(|value| *value = activate(activation, *value));
        }
        if let Some(norm) = at(Place::AfterActivation) {
            norm.apply(&mut out);
        }
        out
    }
}

impl BatchNorm {
    /// The factor and the term of each unit that have the same effect: x factor + term.
    pub(crate) fn factors_and_terms(&self) -> impl Iterator<Item = (f64, f64)> {
        let scales = self.gamma.iter().zip(&self.variance);
        let shifts = self.beta.iter().zip(&self.mean);
        scales.zip(shifts).map(|((&gamma, &variance), (&beta, &mean))| {
            let deviation = (f64::from(variance) + f64::from(self.epsilon)).sqrt();
            let factor = f64::from(gamma) / deviation;
            (factor, f64::from(beta) - f64::from(mean) * factor)
        })
    }

    fn apply(&self, values: &mut [f64]) {
        for (value, (factor, term)) in values.iter_mut().zip(self.factors_and_terms()) {
            *value = *value * factor + term;
        }
    }
}

fn activate(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Relu => z.max(0.0),
        Activation::LeakyRelu => z.max(LEAK * z),
        Activation::Tanh => libm::tanh(z),
        Activation::Sigmoid => sigmoid(z),
        Activation::Gelu => z * 0.5 * (1.0 + libm::erf(z * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::Silu => z * sigmoid(z),
        Activation::Mish => {
            // ln(1 + e^z), without an overflow of e^z.
            let softplus = z.max(0.0) + libm::log1p(libm::exp(-z.abs()));
            z * libm::tanh(softplus)
        }
        Activation::Selu if z > 0.0 => LAMBDA * z,
        Activation::Selu => LAMBDA * ALPHA * libm::expm1(z),
    }
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-z))
}

/// exp(z / temperature) of each logit over the sum of all.
fn softmax(logits: &[f64], temperature: f64) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> =
        logits.iter().map(|logit| libm::exp((logit - largest) / temperature)).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}
