//! One layer: its parameters' places, its activations, and its share of the forward and the backward pass.

use caviar_common::train::{Activation, Normalization};

use crate::activation::{activate, multiply};
use crate::batch_norm::{Statistics, add_bias, column_sums};
use crate::error::TrainError;
use crate::kernels::{Buffer, Family, Shape, padded};
use crate::tensor::{Layout, Tensor};

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    /// Normalise by the mini-batch, move the running statistics with this momentum, drop out.
    Train { momentum: f64 },
    /// Normalise by the running statistics, drop nothing.
    Evaluate,
}

/// What a hidden layer does beside its product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hidden {
    pub(crate) activation: Activation,
    pub(crate) normalization: Normalization,
    pub(crate) has_dropout: bool,
}

/// A layer. Its activations are [rows, outputs] in panels, for up to `capacity` rows.
pub(crate) struct Layer {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    hidden: Option<Hidden>,
    pub(crate) weights: Tensor,
    pub(crate) bias: Option<Tensor>,
    pub(crate) gamma_beta: Option<[Tensor; 2]>,
    pub(crate) statistics: Option<Statistics>,
    /// What is normalised; after the forward pass, zhat. Empty without normalisation.
    normal: Buffer,
    /// The activation's derivative. Empty in the output layer.
    slopes: Buffer,
    /// 0 where an output is dropped, else 1 / (1 - dropout), written by the network before each training step. Empty without dropout.
    pub(crate) mask: Buffer,
    /// What the next layer reads; of the output layer, the logits and then their gradient.
    pub(crate) out: Buffer,
    /// The gradient by `out`, then by the product. Empty in the output layer, where `out` becomes it.
    pub(crate) gradient: Buffer,
}

impl Layer {
    /// A layer with places from `layout`; `hidden` is none for the output layer.
    pub(crate) fn new(
        layout: &mut Layout,
        inputs: usize,
        outputs: usize,
        hidden: Option<Hidden>,
        capacity: usize,
    ) -> Result<Self, TrainError> {
        let normalization = hidden.map_or(Normalization::None, |hidden| hidden.normalization);
        let is_normalised = normalization != Normalization::None;
        let has_dropout = hidden.is_some_and(|hidden| hidden.has_dropout);
        let matrix_if = |is_used: bool| Buffer::new(if is_used { capacity * padded(outputs) } else { 0 });
        Ok(Self {
            inputs,
            outputs,
            hidden,
            weights: layout.matrix(inputs, outputs),
            bias: (normalization != Normalization::Before).then(|| layout.vector(outputs)),
            gamma_beta: is_normalised.then(|| [layout.vector(outputs), layout.vector(outputs)]),
            statistics: is_normalised.then(|| Statistics::new(outputs)).transpose()?,
            normal: matrix_if(is_normalised)?,
            slopes: matrix_if(hidden.is_some())?,
            mask: matrix_if(has_dropout)?,
            out: matrix_if(true)?,
            gradient: matrix_if(hidden.is_some())?,
        })
    }

    /// Its parameters in the order in which they are kept: W, b, gamma, beta, as far as it has them.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = Tensor> {
        [Some(self.weights), self.bias].into_iter().chain(self.gamma_beta.map(|pair| pair.map(Some)).into_iter().flatten()).flatten()
    }

    pub(crate) fn shape(&self, rows: usize) -> Shape {
        Shape { rows, inputs: self.inputs, outputs: self.outputs }
    }

    /// Computes `out` from the layer below's, `a`.
    pub(crate) fn forward(&mut self, family: Family, rows: usize, parameters: &[f32], a: &[f32], mode: Mode) {
        let (shape, size) = (self.shape(rows), rows * padded(self.outputs));
        let product = if self.statistics.is_some() { &mut self.normal } else { &mut self.out };
        family.forward(shape, a, self.weights.of(parameters), product);
        if let Some(bias) = self.bias {
            add_bias(family, rows, product, bias.of(parameters));
        }
        let Some(Hidden { activation, normalization, .. }) = self.hidden else { return };
        match normalization {
            Normalization::Before => {
                self.normalise(family, rows, parameters, mode);
                activate(family, activation, slice_mut(&mut self.out, size), slice_mut(&mut self.slopes, size));
            }
            Normalization::After => {
                activate(family, activation, slice_mut(&mut self.normal, size), slice_mut(&mut self.slopes, size));
                self.normalise(family, rows, parameters, mode);
            }
            Normalization::None => activate(family, activation, slice_mut(&mut self.out, size), slice_mut(&mut self.slopes, size)),
        }
        if mode != Mode::Evaluate && !self.mask.is_empty() {
            multiply(family, slice_mut(&mut self.out, size), slice(&self.mask, size));
        }
    }

    fn normalise(&mut self, family: Family, rows: usize, parameters: &[f32], mode: Mode) {
        let (Some(statistics), Some([gamma, beta])) = (&mut self.statistics, self.gamma_beta) else { return };
        match mode {
            Mode::Train { momentum } => statistics.of_batch(family, rows, &self.normal, momentum),
            Mode::Evaluate => statistics.of_running(),
        }
        statistics.normalise(family, rows, &mut self.normal, gamma.of(parameters), beta.of(parameters), &mut self.out);
    }

    /// Turns the gradient by `out` into the gradient by the product, and writes those of the parameters into `gradients`. `a` is
    /// what [`Self::forward`] read.
    pub(crate) fn backward(&mut self, family: Family, rows: usize, parameters: &[f32], a: &[f32], gradients: &mut [f32]) {
        let (shape, size) = (self.shape(rows), rows * padded(self.outputs));
        if let Some(hidden) = self.hidden {
            if !self.mask.is_empty() {
                multiply(family, slice_mut(&mut self.gradient, size), slice(&self.mask, size));
            }
            if hidden.normalization == Normalization::After {
                self.backward_of_normalise(family, rows, parameters, gradients);
            }
            multiply(family, slice_mut(&mut self.gradient, size), slice(&self.slopes, size));
            if hidden.normalization == Normalization::Before {
                self.backward_of_normalise(family, rows, parameters, gradients);
            }
        }
        let by_product = self.gradient_by_product();
        if let Some(bias) = self.bias {
            column_sums(family, rows, by_product, bias.of_mut(gradients));
        }
        family.weight_gradient(shape, a, by_product, self.weights.of_mut(gradients));
    }

    fn backward_of_normalise(&mut self, family: Family, rows: usize, parameters: &[f32], gradients: &mut [f32]) {
        let (Some(statistics), Some([gamma, beta])) = (&self.statistics, self.gamma_beta) else { return };
        // gamma and beta lie side by side.
        let (by_gamma, by_beta) = gradients.split_at_mut(beta.range().start);
        let by_gamma_beta = [gamma.of_mut(by_gamma), slice_mut(by_beta, padded(self.outputs))];
        statistics.backward(family, rows, &self.normal, gamma.of(parameters), &mut self.gradient, by_gamma_beta);
    }

    /// The gradient by the product, after the backward pass (in the output layer, after the loss).
    pub(crate) fn gradient_by_product(&self) -> &[f32] {
        if self.hidden.is_some() { &self.gradient } else { &self.out }
    }
}

/// The first `len` floats. Buffers are made for the largest mini-batch, so they have them.
fn slice(buffer: &[f32], len: usize) -> &[f32] {
    buffer.split_at(len).0
}

fn slice_mut(buffer: &mut [f32], len: usize) -> &mut [f32] {
    buffer.split_at_mut(len).0
}
