//! One layer: the places of its parameters, its activations, and its part of the forward and the
//! backward pass.
//!
//! Both passes go strip by strip: a product writes a strip of 32 columns, and the passes that
//! follow (statistics, normalisation, activation, or their gradients) find it in the L1 cache.
#![allow(
    clippy::indexing_slicing,
    reason = "buffers are made for the largest mini-batch, and strips lie inside them"
)]

use caviar_common::train::{Activation, Normalization};

use crate::activation::{Curve, Identity, with_curve};
use crate::batch_norm::{BackNormalise, Fold, Normalise, Statistics};
use crate::error::TrainError;
use crate::kernels::{Buffer, Family, Piece, Shape, Strip, padded, strips};
use crate::passes::{Activate, BackActivate, ColumnSums, Multiply};
use crate::products::Products;
use crate::tensor::{Layout, Tensor};

/// What a pass through the network is for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    /// Normalise by the mini-batch, update the running statistics, and drop outputs.
    Train {
        /// The weight of the old running statistics, in [0, 1).
        momentum: f32,
    },
    /// Normalise by the running statistics, and drop nothing.
    Evaluate,
}

/// The context that all layers share in one forward or backward pass.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) family: Family,
    /// Examples of the mini-batch.
    pub(crate) rows: usize,
    /// The parameters of the whole network.
    pub(crate) parameters: &'a [f32],
    pub(crate) mode: Mode,
}

/// The gradients that the backward pass of a strip reads and writes.
struct Gradients<'a> {
    /// The gradient by the strip's values, from the outputs back to the product.
    d: &'a mut [f32],
    /// The gradients by the parameters of the whole network.
    parameters: &'a mut [f32],
}

/// What all hidden layers have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HiddenSpec {
    pub(crate) activation: Activation,
    pub(crate) normalization: Normalization,
    pub(crate) has_dropout: bool,
}

/// A layer. Its activations are [rows, outputs] in panels, for up to `capacity` rows.
pub(crate) struct Layer {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// The weight matrix W [inputs, outputs].
    pub(crate) weights: Tensor,
    stage: Stage,
    /// The input of the next layer. In the output layer, the logits and then their gradient.
    pub(crate) out: Buffer,
}

/// What follows the product of a layer.
enum Stage {
    /// The loss adds the bias itself.
    Output {
        bias: Tensor,
    },
    Hidden(Box<Hidden>),
}

/// What only a hidden layer has.
pub(crate) struct Hidden {
    form: Form,
    /// 0 where an output is dropped, else 1 / (1 - dropout). The network writes it before each
    /// training step. `None` without dropout.
    mask: Option<Buffer>,
    /// The gradient by the layer's outputs; [`Hidden::backward`] turns it into that by the product.
    pub(crate) gradient: Buffer,
}

/// The order of activation g and batch normalisation BN in out = f(a W).
enum Form {
    /// out = g(BN(a W))
    NormaliseFirst { activation: Activation, normal: Normalisation },
    /// out = BN(g(a W + b))
    ActivateFirst { activation: BiasedActivation, normal: Normalisation },
    /// out = g(a W + b)
    ActivateOnly { activation: BiasedActivation },
}

/// Bias and activation, g(z + b).
struct BiasedActivation {
    activation: Activation,
    /// The bias b, of shape `[outputs]`.
    bias: Tensor,
    /// The product; after the forward pass, z + b, which the backward pass reads.
    z: Buffer,
}

/// Batch normalisation, gamma zhat + beta.
struct Normalisation {
    /// The scale gamma, of shape `[outputs]`.
    gamma: Tensor,
    /// The shift beta, of shape `[outputs]`, which lies directly after gamma.
    beta: Tensor,
    statistics: Statistics,
    /// What is normalised; after the forward pass, zhat, which the backward pass reads.
    values: Buffer,
}

impl Layer {
    /// A layer with places from `layout`, for up to `capacity` rows. `hidden` is `None` for the
    /// output layer.
    pub(crate) fn new(
        layout: &mut Layout,
        inputs: usize,
        outputs: usize,
        hidden: Option<HiddenSpec>,
        capacity: usize,
    ) -> Result<Self, TrainError> {
        let weights = layout.matrix(inputs, outputs);
        let stage = match hidden {
            None => Stage::Output { bias: layout.vector(outputs) },
            Some(spec) => Stage::Hidden(Box::new(Hidden::new(layout, outputs, spec, capacity)?)),
        };
        let out = Buffer::new(capacity * padded(outputs))?;
        Ok(Self { inputs, outputs, weights, stage, out })
    }

    /// The layer's parameters in the order in which they are stored: W, then those of b, gamma and
    /// beta that it has.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = Tensor> {
        [Some(self.weights), self.bias()]
            .into_iter()
            .chain(self.gamma_beta().map(|pair| pair.map(Some)).into_iter().flatten())
            .flatten()
    }

    /// The bias, if the layer has one.
    pub(crate) fn bias(&self) -> Option<Tensor> {
        match &self.stage {
            Stage::Output { bias } => Some(*bias),
            Stage::Hidden(hidden) => hidden.activation().map(|activation| activation.bias),
        }
    }

    /// gamma and beta, if the layer is normalised.
    pub(crate) fn gamma_beta(&self) -> Option<[Tensor; 2]> {
        self.hidden()?.normal().map(|normal| [normal.gamma, normal.beta])
    }

    /// The statistics, if the layer is normalised.
    pub(crate) fn statistics(&self) -> Option<&Statistics> {
        self.hidden()?.normal().map(|normal| &normal.statistics)
    }

    /// The same as [`Layer::statistics`], to write.
    pub(crate) fn statistics_mut(&mut self) -> Option<&mut Statistics> {
        let Stage::Hidden(hidden) = &mut self.stage else { return None };
        match &mut hidden.form {
            Form::NormaliseFirst { normal, .. } | Form::ActivateFirst { normal, .. } => {
                Some(&mut normal.statistics)
            }
            Form::ActivateOnly { .. } => None,
        }
    }

    fn hidden(&self) -> Option<&Hidden> {
        match &self.stage {
            Stage::Output { .. } => None,
            Stage::Hidden(hidden) => Some(hidden),
        }
    }

    /// The dropout mask; `None` in the output layer and without dropout.
    #[cfg(test)]
    pub(crate) fn mask(&self) -> Option<&Buffer> {
        self.hidden()?.mask.as_ref()
    }

    /// The dropout mask, to write; `None` in the output layer and without dropout.
    pub(crate) fn mask_mut(&mut self) -> Option<&mut Buffer> {
        match &mut self.stage {
            Stage::Output { .. } => None,
            Stage::Hidden(hidden) => hidden.mask.as_mut(),
        }
    }

    /// What only a hidden layer has.
    ///
    /// # Errors
    /// This is the output layer.
    pub(crate) fn hidden_mut(&mut self) -> Result<&mut Hidden, TrainError> {
        match &mut self.stage {
            Stage::Output { .. } => Err(TrainError::Missing { what: "hidden layer" }),
            Stage::Hidden(hidden) => Ok(hidden),
        }
    }

    /// The bias of the output layer, with which the loss starts.
    ///
    /// # Errors
    /// This is a hidden layer.
    pub(crate) fn output_bias(&self) -> Result<Tensor, TrainError> {
        match &self.stage {
            Stage::Output { bias } => Ok(*bias),
            Stage::Hidden(_) => Err(TrainError::Missing { what: "output layer" }),
        }
    }

    /// The sizes of the layer's products.
    pub(crate) fn shape(&self, rows: usize) -> Shape {
        Shape { rows, inputs: self.inputs, outputs: self.outputs }
    }

    /// Computes `out` from `a`, the outputs of the layer below.
    pub(crate) fn forward(&mut self, step: Step<'_>, products: &mut Products, a: &[f32]) {
        let (shape, w) = (self.shape(step.rows), self.weights.of(step.parameters));
        products.take(step.rows, self.inputs, a);
        for strip in strips(self.outputs) {
            let (piece, range) = (Piece { shape, strip }, strip.range(step.rows));
            let out = &mut self.out[range.clone()];
            match &mut self.stage {
                Stage::Output { .. } => products.forward(piece, a, w, out),
                Stage::Hidden(hidden) => {
                    products.forward(piece, a, w, &mut hidden.product_mut()[range]);
                    hidden.forward(step, strip, out);
                }
            }
        }
    }

    /// Writes the gradient by the bias of the output layer, once `out` is the gradient by its
    /// outputs.
    ///
    /// # Errors
    /// This is a hidden layer.
    pub(crate) fn backward_output(
        &mut self,
        step: Step<'_>,
        gradients: &mut [f32],
    ) -> Result<(), TrainError> {
        let d_bias = self.output_bias()?.of_mut(gradients);
        for strip in strips(self.outputs) {
            let matrix = &self.out[strip.range(step.rows)];
            let sums = &mut d_bias[strip.columns()];
            step.family.run(ColumnSums { rows: step.rows, matrix, sums });
        }
        Ok(())
    }

    /// The gradient by the product a W: valid after [`Hidden::backward`], or in the output layer
    /// after the loss.
    pub(crate) fn gradient_by_product(&self) -> &[f32] {
        self.hidden().map_or(&*self.out, |hidden| &hidden.gradient)
    }
}

impl Hidden {
    fn new(
        layout: &mut Layout,
        outputs: usize,
        spec: HiddenSpec,
        capacity: usize,
    ) -> Result<Self, TrainError> {
        let activation = spec.activation;
        let form = match spec.normalization {
            Normalization::Before => Form::NormaliseFirst {
                activation,
                normal: Normalisation::new(layout, outputs, capacity)?,
            },
            Normalization::After => Form::ActivateFirst {
                activation: BiasedActivation::new(layout, outputs, activation, capacity)?,
                normal: Normalisation::new(layout, outputs, capacity)?,
            },
            Normalization::None => Form::ActivateOnly {
                activation: BiasedActivation::new(layout, outputs, activation, capacity)?,
            },
        };
        let len = capacity * padded(outputs);
        let mask = spec.has_dropout.then(|| Buffer::new(len)).transpose()?;
        Ok(Self { form, mask, gradient: Buffer::new(len)? })
    }

    fn activation(&self) -> Option<&BiasedActivation> {
        match &self.form {
            Form::NormaliseFirst { .. } => None,
            Form::ActivateFirst { activation, .. } | Form::ActivateOnly { activation } => {
                Some(activation)
            }
        }
    }

    fn normal(&self) -> Option<&Normalisation> {
        match &self.form {
            Form::NormaliseFirst { normal, .. } | Form::ActivateFirst { normal, .. } => {
                Some(normal)
            }
            Form::ActivateOnly { .. } => None,
        }
    }

    /// Where the product a W is written.
    fn product_mut(&mut self) -> &mut Buffer {
        match &mut self.form {
            Form::NormaliseFirst { normal, .. } => &mut normal.values,
            Form::ActivateFirst { activation, .. } | Form::ActivateOnly { activation } => {
                &mut activation.z
            }
        }
    }

    /// Computes one strip of the layer's outputs from the product.
    fn forward(&mut self, step: Step<'_>, strip: Strip, out: &mut [f32]) {
        let range = strip.range(step.rows);
        match &mut self.form {
            Form::NormaliseFirst { activation, normal } => {
                with_curve!(*activation, curve => normal.forward(step, strip, curve, out))
            }
            Form::ActivateFirst { activation, normal } => {
                activation.forward(step, strip, &mut normal.values[range.clone()]);
                normal.forward(step, strip, Identity, out);
            }
            Form::ActivateOnly { activation } => activation.forward(step, strip, out),
        }
        if let (Mode::Train { .. }, Some(mask)) = (step.mode, &self.mask) {
            step.family.run(Multiply { values: out, factors: &mask[range] });
        }
    }

    /// Turns one strip of `gradient` from the gradient by the outputs into that by the product, and
    /// writes the gradients by b, gamma and beta into `gradients`.
    pub(crate) fn backward(&mut self, step: Step<'_>, strip: Strip, gradients: &mut [f32]) {
        let range = strip.range(step.rows);
        let d = &mut self.gradient[range.clone()];
        if let Some(mask) = &self.mask {
            step.family.run(Multiply { values: d, factors: &mask[range] });
        }
        let by = Gradients { d, parameters: gradients };
        match &mut self.form {
            Form::NormaliseFirst { activation, normal } => {
                with_curve!(*activation, curve => { normal.backward(step, strip, curve, by); })
            }
            Form::ActivateFirst { activation, normal } => {
                let by = normal.backward(step, strip, Identity, by);
                activation.backward(step, strip, by);
            }
            Form::ActivateOnly { activation } => activation.backward(step, strip, by),
        }
    }
}

impl BiasedActivation {
    fn new(
        layout: &mut Layout,
        outputs: usize,
        activation: Activation,
        capacity: usize,
    ) -> Result<Self, TrainError> {
        let bias = layout.vector(outputs);
        Ok(Self { activation, bias, z: Buffer::new(capacity * padded(outputs))? })
    }

    /// One strip of out = g(z + b).
    fn forward(&mut self, step: Step<'_>, strip: Strip, out: &mut [f32]) {
        let rows = step.rows;
        let bias = &self.bias.of(step.parameters)[strip.columns()];
        let z = &mut self.z[strip.range(rows)];
        with_curve!(self.activation, curve => {
            step.family.run(Activate { curve, rows, bias, z, out })
        });
    }

    /// One strip of the gradient: `by.d` becomes the gradient by z, and its column sums that by b.
    fn backward(&self, step: Step<'_>, strip: Strip, by: Gradients<'_>) {
        let (rows, d) = (step.rows, by.d);
        let d_bias = &mut self.bias.of_mut(by.parameters)[strip.columns()];
        let z = &self.z[strip.range(rows)];
        with_curve!(self.activation, curve => {
            step.family.run(BackActivate { curve, rows, z, d, d_bias })
        });
    }
}

impl Normalisation {
    fn new(layout: &mut Layout, outputs: usize, capacity: usize) -> Result<Self, TrainError> {
        let (gamma, beta) = (layout.vector(outputs), layout.vector(outputs));
        let statistics = Statistics::new(outputs)?;
        Ok(Self { gamma, beta, statistics, values: Buffer::new(capacity * padded(outputs))? })
    }

    /// One strip of out = curve(gamma zhat + beta).
    fn forward(&mut self, step: Step<'_>, strip: Strip, curve: impl Curve, out: &mut [f32]) {
        let (rows, columns) = (step.rows, strip.columns());
        let gamma = &self.gamma.of(step.parameters)[columns.clone()];
        let beta = &self.beta.of(step.parameters)[columns];
        let statistics = self.statistics.strip_mut(strip);
        let z = &mut self.values[strip.range(rows)];
        match step.mode {
            Mode::Train { momentum } => {
                let pass = Normalise { curve, rows, momentum, statistics, gamma, beta, z, out };
                step.family.run(pass);
            }
            Mode::Evaluate => {
                step.family.run(Fold { curve, rows, statistics, gamma, beta, z, out });
            }
        }
    }

    /// One strip of the gradient: `by.d` becomes the gradient by z. Also writes the gradients by
    /// gamma and beta.
    fn backward<'a>(
        &self,
        step: Step<'_>,
        strip: Strip,
        curve: impl Curve,
        by: Gradients<'a>,
    ) -> Gradients<'a> {
        let columns = strip.columns();
        // beta lies directly after gamma, so both can be borrowed at once.
        let (by_gamma, by_beta) = by.parameters.split_at_mut(self.beta.range().start);
        step.family.run(BackNormalise {
            curve,
            rows: step.rows,
            inverse_deviation: &self.statistics.inverse_deviation[columns.clone()],
            gamma: &self.gamma.of(step.parameters)[columns.clone()],
            beta: &self.beta.of(step.parameters)[columns.clone()],
            normal: &self.values[strip.range(step.rows)],
            d: by.d,
            d_gamma: &mut self.gamma.of_mut(by_gamma)[columns.clone()],
            d_beta: &mut by_beta[columns],
        });
        by
    }
}
