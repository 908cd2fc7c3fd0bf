//! A trained model in memory, and what makes it one.

use caviar_common::limits::{MAX_LAYERS, MAX_UNITS, MAX_WEIGHTS};
use caviar_common::numbers::{index, to_u64};
use caviar_common::train::Activation;
use caviar_data::Schema;
use serde::{Deserialize, Serialize};

use crate::error::{ModelError, Tensor};
use crate::input::InputStage;
use crate::limits::MAX_MEMBERS;

/// How far the weights of the members may be from a sum of 1.
const TOLERANCE: f64 = 1e-9;

/// One or several trained networks, and what they need to predict raw rows.
///
/// A model with one member predicts what its network says. With several it is an ensemble: the
/// members' probabilities, or for regression their numbers, are averaged with the members' weights.
/// All members have the same schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    schema: Schema,
    members: Vec<Member>,
}

/// One trained network of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its part in the average, above 0. The weights of all members have the sum 1.
    pub weight: f64,
    /// Where it is from.
    pub about: About,
    /// What it does with the encoded inputs before its first layer.
    pub stage: InputStage,
    /// The hidden layers, input side first, and then the output layer.
    pub layers: Vec<Layer>,
}

/// One layer with `a` as its inputs. A hidden layer computes g(BN(a W + b)) or BN(g(a W + b)), each
/// also without BN. The output layer computes a W + b: logits, or a standardised number.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The number of inputs.
    pub inputs: usize,
    /// The number of outputs.
    pub outputs: usize,
    /// W, `[inputs, outputs]`, row by row.
    pub weights: Vec<f32>,
    /// b, `[outputs]`; `None` if it is 0.
    pub bias: Option<Vec<f32>>,
    /// g; `None` in the output layer, and only there.
    pub activation: Option<Activation>,
    /// BN; always `None` in the output layer.
    pub norm: Option<BatchNorm>,
}

/// Batch normalisation with the statistics of the training:
/// gamma (x - mean) / sqrt(variance + epsilon) + beta. Each list is `[outputs]` of its layer.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// Whether it comes before or after the activation.
    pub place: Place,
    /// The learnt factors.
    pub gamma: Vec<f32>,
    /// The learnt terms.
    pub beta: Vec<f32>,
    /// The running means.
    pub mean: Vec<f32>,
    /// The running variances, at least 0.
    pub variance: Vec<f32>,
    /// Added to the variance before the square root, above 0.
    pub epsilon: f32,
}

/// The place of batch normalisation in a hidden layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// g(BN(a W + b))
    BeforeActivation,
    /// BN(g(a W + b))
    AfterActivation,
}

/// Where a network is from. All of it is in `config.json` and in the model card.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The version of Caviar that trained it.
    pub caviar: String,
    /// The name of the sweep.
    pub sweep: String,
    /// The number of the trial.
    pub trial: u32,
    /// The epoch whose weights these are, from 1.
    pub epoch: u32,
    /// The seed of the sweep.
    pub seed: u64,
    /// The digest of the data set.
    pub data_digest: String,
    /// The hyperparameters of the training as JSON.
    pub hyperparameters: serde_json::Value,
    /// The logits are divided by it: 1 unless they were calibrated, and always 1 for regression.
    pub temperature: f64,
}

impl Model {
    /// A model of `members`, which share `schema`.
    ///
    /// # Errors
    /// The schema is inconsistent, a layer does not fit its neighbours or the schema, a number is
    /// not finite, the weights of the members do not sum to 1, or a limit is exceeded.
    pub fn new(schema: Schema, members: Vec<Member>) -> Result<Self, ModelError> {
        schema.check()?;
        if members.is_empty() || members.len() > MAX_MEMBERS {
            return Err(ModelError::Members { count: members.len() });
        }
        for (number, member) in members.iter().enumerate() {
            check_member(number, member, &schema)?;
        }
        let sum: f64 = members.iter().map(|member| member.weight).sum();
        if (sum - 1.0).abs() > TOLERANCE {
            return Err(ModelError::MemberWeights { sum });
        }
        Ok(Self { schema, members })
    }

    /// From raw rows to inputs, and from outputs to predictions.
    pub const fn schema(&self) -> &Schema {
        &self.schema
    }

    /// The networks, at least one.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Whether there are several networks.
    pub fn is_ensemble(&self) -> bool {
        self.members.len() > 1
    }
}

impl Member {
    /// The numbers in the weights, biases and batch normalisations of all layers, and the learnt
    /// ones before the first layer.
    pub fn parameters(&self) -> usize {
        let stage = self.stage.tensors();
        let learnt = stage.iter().filter(|tensor| tensor.is_learnt);
        learnt.map(|tensor| tensor.values.len()).sum::<usize>()
            + self
                .layers
                .iter()
                .map(|layer| layer.tensors().map(|(_, values)| values.len()).sum::<usize>())
                .sum::<usize>()
    }
}

impl Layer {
    /// The lists of numbers of this layer, in the order in which a file stores them.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (Tensor, &[f32])> {
        let weights = (Tensor::Weights, self.weights.as_slice());
        let bias = self.bias.iter().map(|bias| (Tensor::Bias, bias.as_slice()));
        let norm = self.norm.iter().flat_map(|norm| {
            [
                (Tensor::Gamma, norm.gamma.as_slice()),
                (Tensor::Beta, norm.beta.as_slice()),
                (Tensor::Mean, norm.mean.as_slice()),
                (Tensor::Variance, norm.variance.as_slice()),
            ]
        });
        [weights].into_iter().chain(bias).chain(norm)
    }
}

/// Checks one member against the schema. Errors count members and layers from 0.
fn check_member(number: usize, member: &Member, schema: &Schema) -> Result<(), ModelError> {
    let Member { weight, about, stage, layers } = member;
    if !(weight.is_finite() && *weight > 0.0) {
        return Err(ModelError::MemberWeight { member: number, weight: *weight });
    }
    let temperature = about.temperature;
    let is_regression = schema.label.standard.is_some();
    if !(temperature.is_finite() && temperature > 0.0) || (is_regression && temperature != 1.0) {
        return Err(ModelError::Temperature { member: number, temperature });
    }
    let Some((output, hidden)) = layers.split_last() else {
        return Err(ModelError::Layers { member: number, count: 0 });
    };
    if hidden.len() > index(MAX_LAYERS) {
        return Err(ModelError::Layers { member: number, count: layers.len() });
    }
    stage
        .check(schema.width(), &schema.encoder.categories())
        .map_err(|fault| ModelError::Stage { member: number, fault })?;
    let mut inputs = stage.width(schema.width());
    let mut weights = stage.categories.iter().map(|it| to_u64(it.weights.len())).sum::<u64>();
    for (layer, content) in layers.iter().enumerate() {
        let at = At { member: number, layer };
        if content.inputs != inputs {
            return Err(at.shape("inputs", inputs, content.inputs));
        }
        inputs = content.outputs;
        weights = weights.saturating_add(to_u64(content.inputs).saturating_mul(to_u64(inputs)));
        if weights > MAX_WEIGHTS {
            return Err(ModelError::TooLarge { member: number });
        }
        check_layer(at, content)?;
    }
    for (layer, content) in hidden.iter().enumerate() {
        if content.outputs == 0 || content.outputs > index(MAX_UNITS) {
            return Err(ModelError::Units { member: number, layer, units: content.outputs });
        }
        if content.activation.is_none() {
            return Err(ModelError::Activation { member: number, layer });
        }
    }
    if output.activation.is_some() || output.norm.is_some() {
        return Err(ModelError::Activation { member: number, layer: hidden.len() });
    }
    let outputs = index(schema.outputs());
    if output.outputs == outputs {
        Ok(())
    } else {
        Err(At { member: number, layer: hidden.len() }.shape("outputs", outputs, output.outputs))
    }
}

/// The place of a layer.
#[derive(Clone, Copy)]
struct At {
    member: usize,
    layer: usize,
}

impl At {
    const fn shape(self, what: &'static str, expected: usize, found: usize) -> ModelError {
        ModelError::Shape { member: self.member, layer: self.layer, what, expected, found }
    }
}

fn check_layer(at: At, layer: &Layer) -> Result<(), ModelError> {
    for (tensor, values) in layer.tensors() {
        let expected = match tensor {
            Tensor::Weights => layer.inputs.saturating_mul(layer.outputs),
            Tensor::Bias | Tensor::Gamma | Tensor::Beta | Tensor::Mean | Tensor::Variance => {
                layer.outputs
            }
        };
        if values.len() != expected {
            return Err(at.shape(tensor.name(), expected, values.len()));
        }
        let is_legal =
            |value: &f32| value.is_finite() && (tensor != Tensor::Variance || *value >= 0.0);
        if !values.iter().all(is_legal) {
            return Err(ModelError::BadNumber { member: at.member, layer: at.layer, tensor });
        }
    }
    match &layer.norm {
        Some(norm) if !(norm.epsilon.is_finite() && norm.epsilon > 0.0) => {
            Err(ModelError::BadNumber {
                member: at.member,
                layer: at.layer,
                tensor: Tensor::Variance,
            })
        }
        Some(_) | None => Ok(()),
    }
}
