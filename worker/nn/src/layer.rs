//! One layer: its parameters' places, its activations, and its share of the forward and the
//! backward pass.
//!
//! Both go strip by strip: a product writes 32 columns, and the passes that follow (statistics,
//! normalisation, activation, or their way back) find it in the nearest cache.
#![allow(
    clippy::indexing_slicing,
    reason = "buffers are made for the largest mini-batch, and strips lie inside them"
)]

use caviar_common::train::{Activation, Normalization};

use crate::activation::{Curve, Identity, with_curve};
use crate::batch_norm::{BackNormalise, Fold, Normalise, Statistics};
use crate::error::TrainError;
use crate::kernels::{Buffer, Family, Shape, Strip, padded, strips};
use crate::passes::{Activate, BackActivate, ColumnSums, Multiply};
use crate::products::Products;
use crate::tensor::{Layout, Tensor};

/// What a forward pass is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    /// Normalise by the mini-batch, move the running statistics with this momentum, drop out.
    Train { momentum: f32 },
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
    /// What the activation reads, unless that can be told from `normal`. Empty in the output layer,
    /// and where the normalisation stands before the activation.
    z: Buffer,
    /// What is normalised; after the forward pass, zhat. Empty without normalisation.
    normal: Buffer,
    /// 0 where an output is dropped, else 1 / (1 - dropout), written by the network before each
    /// training step. Empty without dropout.
    pub(crate) mask: Buffer,
    /// What the next layer reads; of the output layer, the logits and then their gradient.
    pub(crate) out: Buffer,
    /// The gradient by `out`, then by the product. Empty in the output layer, where `out` becomes
    /// it.
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
        let matrix_if =
            |is_used: bool| Buffer::new(if is_used { capacity * padded(outputs) } else { 0 });
        Ok(Self {
            inputs,
            outputs,
            hidden,
            weights: layout.matrix(inputs, outputs),
            bias: (normalization != Normalization::Before).then(|| layout.vector(outputs)),
            gamma_beta: is_normalised.then(|| [layout.vector(outputs), layout.vector(outputs)]),
            statistics: is_normalised.then(|| Statistics::new(outputs)).transpose()?,
            z: matrix_if(hidden.is_some() && normalization != Normalization::Before)?,
            normal: matrix_if(is_normalised)?,
            mask: matrix_if(has_dropout)?,
            out: matrix_if(true)?,
            gradient: matrix_if(hidden.is_some())?,
        })
    }

    /// Its parameters in the order in which they are kept: W, b, gamma, beta, as far as it has
    /// them.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = Tensor> {
        [Some(self.weights), self.bias]
            .into_iter()
            .chain(self.gamma_beta.map(|pair| pair.map(Some)).into_iter().flatten())
            .flatten()
    }

    pub(crate) fn shape(&self, rows: usize) -> Shape {
        Shape { rows, inputs: self.inputs, outputs: self.outputs }
    }

    /// Computes `out` from the layer below's, `a`.
    pub(crate) fn forward(
        &mut self,
        family: Family,
        products: &mut Products,
        rows: usize,
        parameters: &[f32],
        a: &[f32],
        mode: Mode,
    ) {
        let (shape, w) = (self.shape(rows), self.weights.of(parameters));
        products.take(rows, self.inputs, a);
        for strip in strips(self.outputs) {
            let range = strip.range(rows);
            let Some(hidden) = self.hidden else {
                products.forward(shape, strip, a, w, &mut self.out[range]);
                continue;
            };
            let product = if hidden.normalization == Normalization::Before {
                &mut self.normal
            } else {
                &mut self.z
            };
            products.forward(shape, strip, a, w, &mut product[range.clone()]);
            match hidden.normalization {
                Normalization::Before => {
                    with_curve!(hidden.activation, curve => self.normalise(family, strip, rows, parameters, mode, curve))
                }
                Normalization::After => {
                    self.activate(family, strip, rows, parameters, hidden);
                    self.normalise(family, strip, rows, parameters, mode, Identity);
                }
                Normalization::None => self.activate(family, strip, rows, parameters, hidden),
            }
            if mode != Mode::Evaluate && !self.mask.is_empty() {
                family.run(Multiply {
                    values: &mut self.out[range.clone()],
                    factors: &self.mask[range],
                });
            }
        }
    }

    /// Bias and activation: from `z` to what is normalised next, or to `out`.
    fn activate(
        &mut self,
        family: Family,
        strip: Strip,
        rows: usize,
        parameters: &[f32],
        hidden: Hidden,
    ) {
        let Some(bias) = self.bias else { return };
        let range = strip.range(rows);
        let bias = &bias.of(parameters)[strip.columns()];
        let to = if hidden.normalization == Normalization::After {
            &mut self.normal
        } else {
            &mut self.out
        };
        let (z, out) = (&mut self.z[range.clone()], &mut to[range]);
        with_curve!(hidden.activation, curve => family.run(Activate { curve, rows, bias, z, out }));
    }

    /// Normalisation and what follows it: from `normal` to `out`.
    fn normalise(
        &mut self,
        family: Family,
        strip: Strip,
        rows: usize,
        parameters: &[f32],
        mode: Mode,
        curve: impl Curve,
    ) {
        let (Some(statistics), Some(gamma_beta)) = (&mut self.statistics, self.gamma_beta) else {
            return;
        };
        let [gamma, beta] = gamma_beta.map(|tensor| &tensor.of(parameters)[strip.columns()]);
        let (statistics, range) = (statistics.of_strip(strip), strip.range(rows));
        let (z, out) = (&mut self.normal[range.clone()], &mut self.out[range]);
        match mode {
            Mode::Train { momentum } => {
                family.run(Normalise { curve, rows, momentum, statistics, gamma, beta, z, out });
            }
            Mode::Evaluate => family.run(Fold { curve, rows, statistics, gamma, beta, z, out }),
        }
    }

    /// Turns the output layer's gradient into that of its bias.
    pub(crate) fn backward_of_output(
        &mut self,
        family: Family,
        rows: usize,
        gradients: &mut [f32],
    ) {
        let Some(bias) = self.bias else { return };
        for strip in strips(self.outputs) {
            let (matrix, sums) =
                (&self.out[strip.range(rows)], &mut bias.of_mut(gradients)[strip.columns()]);
            family.run(ColumnSums { rows, matrix, sums });
        }
    }

    /// Turns one strip of the gradient by `out` into the gradient by the product, and writes those
    /// of b, gamma and beta into `gradients`.
    pub(crate) fn backward(
        &mut self,
        family: Family,
        strip: Strip,
        rows: usize,
        parameters: &[f32],
        gradients: &mut [f32],
    ) {
        let Some(hidden) = self.hidden else { return };
        if !self.mask.is_empty() {
            let range = strip.range(rows);
            family.run(Multiply {
                values: &mut self.gradient[range.clone()],
                factors: &self.mask[range],
            });
        }
        match hidden.normalization {
            Normalization::Before => {
                with_curve!(hidden.activation, curve => self.backward_of_normalise(family, strip, rows, parameters, gradients, curve));
            }
            Normalization::After => {
                self.backward_of_normalise(family, strip, rows, parameters, gradients, Identity);
                self.backward_of_activate(family, strip, rows, gradients, hidden.activation);
            }
            Normalization::None => {
                self.backward_of_activate(family, strip, rows, gradients, hidden.activation)
            }
        }
    }

    fn backward_of_activate(
        &mut self,
        family: Family,
        strip: Strip,
        rows: usize,
        gradients: &mut [f32],
        activation: Activation,
    ) {
        let Some(bias) = self.bias else { return };
        let range = strip.range(rows);
        let (z, d, d_bias) = (
            &self.z[range.clone()],
            &mut self.gradient[range],
            &mut bias.of_mut(gradients)[strip.columns()],
        );
        with_curve!(activation, curve => family.run(BackActivate { curve, rows, z, d, d_bias }));
    }

    fn backward_of_normalise(
        &mut self,
        family: Family,
        strip: Strip,
        rows: usize,
        parameters: &[f32],
        gradients: &mut [f32],
        curve: impl Curve,
    ) {
        let (Some(statistics), Some(gamma_beta)) = (&self.statistics, self.gamma_beta) else {
            return;
        };
        let [gamma, beta] = gamma_beta.map(|tensor| &tensor.of(parameters)[strip.columns()]);
        // gamma and beta lie side by side.
        let (by_gamma, by_beta) = gradients.split_at_mut(gamma_beta[1].range().start);
        let (d_gamma, d_beta) =
            (&mut gamma_beta[0].of_mut(by_gamma)[strip.columns()], &mut by_beta[strip.columns()]);
        let range = strip.range(rows);
        let inverse_deviation = &statistics.inverse_deviation[strip.columns()];
        let (normal, d) = (&self.normal[range.clone()], &mut self.gradient[range]);
        let pass = BackNormalise {
            curve,
            rows,
            inverse_deviation,
            gamma,
            beta,
            normal,
            d,
            d_gamma,
            d_beta,
        };
        family.run(pass);
    }

    /// The gradient by the product, after the backward pass (in the output layer, after the loss).
    pub(crate) fn gradient_by_product(&self) -> &[f32] {
        if self.hidden.is_some() { &self.gradient } else { &self.out }
    }
}
