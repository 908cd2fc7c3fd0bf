//! Predictions of a trained model for new rows.

use caviar_common::numbers::{index, to_u32};
use caviar_common::train::{
    Activation, Embedding, Init, Normalization, Optimizer, Precision, RegularizationSchedule,
    Scaling, Schedule, TrainSpec,
};
use caviar_data::{Examples, Standard, Targets};
use caviar_model::{InputStage, Layer, Member, Model, Place};
use ndarray::Array2;

use crate::error::TrainError;
use crate::kernels::Family;
use crate::network::{Network, Sizes};
use crate::softmax::softmax;
use crate::tensor::Tensor;

/// Rows that go through the network at once.
const BLOCK: usize = 256;

/// A model that is ready to predict.
///
/// A row's prediction has the same bits on every machine, whichever other rows are predicted with
/// it.
pub struct Predictor {
    members: Vec<Ready>,
    width: usize,
    outputs: usize,
    /// For regression, the scale of each label.
    standards: Vec<Standard>,
}

/// A network with its part in the average.
struct Ready {
    network: Network,
    /// How its numbers are scaled.
    stage: InputStage,
    weight: f64,
    temperature: f64,
}

impl Predictor {
    /// Makes a model ready, with the kernels of [`crate::kernel_family`].
    ///
    /// # Errors
    /// The hidden layers of a network differ in their activation or normalisation, there is not
    /// enough memory, or `CAVIAR_KERNELS` is wrong.
    pub fn new(model: &Model) -> Result<Self, TrainError> {
        let schema = model.schema();
        let width = schema.width();
        let ready = |member| Ready::new(member, width);
        let members = model.members().iter().map(ready).collect::<Result<_, _>>()?;
        Ok(Self { members, width, outputs: index(schema.outputs()), standards: schema.standards() })
    }

    /// How many numbers are predicted for a row: the number of classes, or for regression of
    /// labels.
    pub const fn outputs(&self) -> usize {
        self.outputs
    }

    /// Predicts rows. `features` are their inputs `[rows, width]`, and `to` becomes
    /// `[rows, outputs]`: the probability of each class, or the numbers in the units of the labels.
    ///
    /// # Errors
    /// The features are not whole rows.
    pub fn predict(&mut self, features: &[f32], to: &mut Vec<f64>) -> Result<(), TrainError> {
        let rows = features.len().checked_div(self.width).unwrap_or_default();
        let width = self.width;
        to.clear();
        to.resize(rows * self.outputs, 0.0);
        let mut outputs = Vec::new();
        for Ready { network, stage, weight, temperature } in &mut self.members {
            outputs.clear();
            let mut scaled = features.to_vec();
            stage.scale(&mut scaled, width);
            let matrix = Array2::from_shape_vec((rows, width), scaled);
            let matrix =
                matrix.map_err(|_| TrainError::Missing { what: "inputs for whole rows" })?;
            let targets = Targets::Classes(Vec::new());
            let examples = Examples { features: matrix.into(), targets, weights: None };
            for first in (0..rows).step_by(BLOCK) {
                network.outputs(&examples, first..rows.min(first + BLOCK), &mut outputs)?;
            }
            if self.standards.is_empty() {
                softmax(&mut outputs, self.outputs, *temperature);
            }
            let weighted = outputs.iter().map(|output| *weight * f64::from(*output));
            to.iter_mut().zip(weighted).for_each(|(sum, part)| *sum += part);
        }
        for (value, standard) in to.iter_mut().zip(self.standards.iter().cycle()) {
            *value = standard.restore(*value);
        }
        Ok(())
    }
}

impl Ready {
    fn new(member: &Member, features: usize) -> Result<Self, TrainError> {
        let Member { weight, about, stage, layers } = member;
        let is_bf16 = about.hyperparameters.get("precision").is_some_and(|name| name == "bf16");
        let precision = if is_bf16 { Precision::Bf16 } else { Precision::F32 };
        let spec = spec_of(layers, precision)?;
        let output = layers.last().ok_or(TrainError::Missing { what: "output layer" })?;
        let family = Family::for_process()?;
        let sizes = Sizes { features, outputs: output.outputs, capacity: BLOCK };
        let mut network = Network::with_stage(family, &spec, stage, sizes)?;
        if let Some(place) = &network.stage {
            place.load(stage, &mut network.parameters);
        }
        for (place, layer) in network.layers.iter_mut().zip(layers) {
            let mut fill = |tensor: Option<Tensor>, values: Option<&[f32]>| {
                let positions = tensor.into_iter().flat_map(Tensor::positions);
                for (position, value) in positions.zip(values.unwrap_or_default()) {
                    if let Some(parameter) = network.parameters.get_mut(position) {
                        *parameter = *value;
                    }
                }
            };
            let norm = layer.norm.as_ref();
            let gamma_beta = place.gamma_beta();
            fill(Some(place.weights), Some(&layer.weights));
            fill(place.bias(), layer.bias.as_deref());
            fill(gamma_beta.map(|[gamma, _]| gamma), norm.map(|norm| norm.gamma.as_slice()));
            fill(gamma_beta.map(|[_, beta]| beta), norm.map(|norm| norm.beta.as_slice()));
            if let (Some(statistics), Some(norm)) = (place.statistics_mut(), norm) {
                let copy = |to: &mut [f32], from: &[f32]| {
                    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
                };
                copy(&mut statistics.running_mean, &norm.mean);
                copy(&mut statistics.running_variance, &norm.variance);
            }
        }
        Ok(Self { network, stage: stage.clone(), weight: *weight, temperature: about.temperature })
    }
}

/// A spec for the same network. What concerns only the training has any legal value.
fn spec_of(layers: &[Layer], precision: Precision) -> Result<TrainSpec, TrainError> {
    let hidden = layers.split_last().map(|(_, hidden)| hidden).unwrap_or_default();
    let form = |layer: &Layer| {
        let normalization = match &layer.norm {
            Some(norm) if norm.place == Place::BeforeActivation => Normalization::Before,
            Some(_) => Normalization::After,
            None => Normalization::None,
        };
        (layer.activation.unwrap_or(Activation::Relu), normalization)
    };
    let first = hidden.first().map_or((Activation::Relu, Normalization::None), form);
    if hidden.iter().any(|layer| form(layer) != first) {
        let what = "its hidden layers differ in their activation or normalisation".to_owned();
        return Err(TrainError::Model { what });
    }
    let (activation, normalization) = first;
    Ok(TrainSpec {
        epochs: 1,
        batch_size: to_u32(BLOCK),
        hidden: hidden.iter().map(|layer| to_u32(layer.outputs)).collect(),
        activation,
        normalization,
        batch_norm_momentum: 0.9,
        dropout: 0.0,
        dropout_schedule: RegularizationSchedule::Constant,
        label_smoothing: 0.0,
        weight_decay: 0.0,
        weight_decay_schedule: RegularizationSchedule::Constant,
        scaling: Scaling::Standard,
        embedding: Embedding::None,
        input_scaling: false,
        init: Init::Auto,
        gradient_clip: 0.0,
        weight_average: 0.0,
        optimizer: Optimizer::Sgd,
        learning_rate: 1.0,
        schedule: Schedule::Constant,
        precision,
    })
}
