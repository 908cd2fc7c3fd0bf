//! The network: its layers over flat buffers of parameters and gradients.
#![allow(
    clippy::indexing_slicing,
    reason = "layers and rows were counted when the trainer was made"
)]
#![allow(
    clippy::as_conversions,
    reason = "sizes below 2^32, and initial values rounded to the f32 that the trainer computes in"
)]

use caviar_common::limits::MAX_WEIGHTS;
use caviar_common::seed::{Seed, Stream};
use caviar_common::train::{Activation, Init, TrainSpec};

use crate::dropout::DrawMask;
use crate::error::TrainError;
use crate::kernels::{Buffer, Family, LANES, Pass, Simd, padded, strips, vectors_mut};
use crate::layer::{Hidden, Layer, Mode};
use crate::loss::{CrossEntropy, Tally, squared_error};
use crate::products::Products;
use crate::tensor::{Layout, Tensor};
use caviar_data::{Examples, Targets};

/// A network, and room for `capacity` examples in it.
pub(crate) struct Network {
    family: Family,
    /// The hidden ones and the output layer, input side first.
    pub(crate) layers: Vec<Layer>,
    pub(crate) parameters: Buffer,
    pub(crate) gradients: Buffer,
    /// The mini-batch [rows, features] in panels.
    input: Buffer,
    products: Products,
    momentum: f32,
    dropout: f32,
}

impl Network {
    /// The network of `spec` with all parameters 0, for up to `capacity` examples at once.
    ///
    /// # Errors
    /// More weights than allowed, or no memory.
    pub(crate) fn new(
        family: Family,
        spec: &TrainSpec,
        features: usize,
        outputs: usize,
        capacity: usize,
    ) -> Result<Self, TrainError> {
        let hidden_widths = || spec.hidden.iter().map(|&units| units as usize);
        let widths: Vec<usize> =
            std::iter::once(features).chain(hidden_widths()).chain([outputs]).collect();
        check_size(&widths)?;
        let hidden = Hidden {
            activation: spec.activation,
            normalization: spec.normalization,
            has_dropout: spec.dropout > 0.0,
        };
        let mut layout = Layout::default();
        let layers = widths
            .windows(2)
            .enumerate()
            .map(|(index, ends)| {
                Layer::new(
                    &mut layout,
                    ends[0],
                    ends[1],
                    (index < spec.hidden.len()).then_some(hidden),
                    capacity,
                )
            })
            .collect::<Result<Vec<_>, _>>()?;
        let products = Products::new(
            family,
            spec.precision,
            layers.iter().map(|layer| layer.shape(capacity)),
        )?;
        Ok(Self {
            family,
            layers,
            parameters: Buffer::new(layout.len())?,
            gradients: Buffer::new(layout.len())?,
            input: Buffer::new(capacity * padded(features))?,
            products,
            momentum: spec.batch_norm_momentum as f32,
            dropout: spec.dropout as f32,
        })
    }

    /// Draws the initial weights as [`Init`] says, layer i from stream i of `seed`; gamma becomes
    /// 1, beta and b 0.
    pub(crate) fn initialise(&mut self, spec: &TrainSpec, seed: Seed) {
        self.parameters.fill(0.0);
        let last = self.layers.len() - 1;
        for (index, layer) in self.layers.iter().enumerate() {
            let (fan_in, fan_out) = (layer.inputs as f64, layer.outputs as f64);
            let variance =
                if index < last && uses_he(spec) { 2.0 / fan_in } else { 2.0 / (fan_in + fan_out) };
            let deviation = variance.sqrt();
            let mut stream = seed.stream(index as u64);
            for position in layer.weights.positions() {
                self.parameters[position] = (deviation * stream.normal()) as f32;
            }
            for position in layer.gamma_beta.iter().flat_map(|[gamma, _]| gamma.positions()) {
                self.parameters[position] = 1.0;
            }
        }
    }

    /// All parameters' places, layer by layer: the order of a checkpoint.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = Tensor> {
        self.layers.iter().flat_map(Layer::tensors)
    }

    /// Trains forward and backward on the examples at `rows` (at least 2): the gradient of the
    /// mini-batch's mean loss is in `gradients`, and the running statistics have moved. `draws`
    /// decides what is dropped.
    pub(crate) fn backpropagate(
        &mut self,
        examples: &Examples,
        rows: &[u32],
        draws: &mut Stream,
    ) -> Tally {
        let row_at = |index: usize| rows[index] as usize;
        self.draw_masks(rows.len(), draws);
        self.forward(examples, rows.len(), row_at, Mode::Train { momentum: self.momentum });
        let tally = self.loss(&examples.targets, rows.len(), row_at);
        self.backward(rows.len());
        tally
    }

    /// Loss and hits on `rows` of the examples, with running statistics and without dropout.
    pub(crate) fn evaluate(&mut self, examples: &Examples, rows: std::ops::Range<usize>) -> Tally {
        let row_at = |index: usize| rows.start + index;
        self.forward(examples, rows.len(), row_at, Mode::Evaluate);
        self.loss(&examples.targets, rows.len(), row_at)
    }

    fn forward(
        &mut self,
        examples: &Examples,
        rows: usize,
        row_at: impl Fn(usize) -> usize,
        mode: Mode,
    ) {
        let Some(features) = examples.features.as_slice() else { return };
        self.family.run(Gather {
            features,
            width: examples.features.ncols(),
            rows,
            row_at,
            input: &mut self.input,
        });
        let mut below: &[f32] = &self.input;
        for layer in &mut self.layers {
            layer.forward(self.family, &mut self.products, rows, &self.parameters, below, mode);
            below = &layer.out;
        }
    }

    /// The loss of the outputs, which become its gradient.
    fn loss(&mut self, targets: &Targets, rows: usize, row_at: impl Fn(usize) -> usize) -> Tally {
        let Some(last) = self.layers.last_mut() else { return Tally::default() };
        let bias = last.bias.map_or(&[][..], |bias| bias.of(&self.parameters));
        match targets {
            Targets::Classes(classes) => {
                let class_of = |row| classes[row_at(row)] as usize;
                let scratch = self.products.scratch();
                self.family.run(CrossEntropy {
                    rows,
                    outputs: last.outputs,
                    bias,
                    z: &mut last.out,
                    scratch,
                    class_of,
                })
            }
            Targets::Values(values) => {
                squared_error(rows, bias, &mut last.out, |row| values[row_at(row)])
            }
        }
    }

    fn backward(&mut self, rows: usize) {
        let Self { family, layers, parameters, gradients, input, products, .. } = self;
        if let Some(output) = layers.last_mut() {
            output.backward_of_output(*family, rows, gradients);
        }
        for index in (0..layers.len()).rev() {
            let (below, above) = layers.split_at_mut(index);
            let Some(layer) = above.first_mut() else { return };
            let shape = layer.shape(rows);
            if let Some(below) = below.last_mut() {
                let (d, w) = (layer.gradient_by_product(), layer.weights.of(parameters));
                products.take(rows, layer.outputs, d);
                for strip in strips(layer.inputs) {
                    products.input_gradient(
                        shape,
                        strip,
                        d,
                        w,
                        &mut below.gradient[strip.range(rows)],
                    );
                    below.backward(*family, strip, rows, parameters, gradients);
                }
            }
            let a = below.last().map_or(&**input, |below| &below.out);
            products.weight_gradient(
                shape,
                a,
                layer.gradient_by_product(),
                layer.weights.of_mut(gradients),
            );
        }
    }

    /// Draws which outputs are dropped: each layer's mask from a key of its own.
    fn draw_masks(&mut self, rows: usize, draws: &mut Stream) {
        for layer in self.layers.iter_mut().filter(|layer| !layer.mask.is_empty()) {
            let word = draws.word();
            let key = [word as u32, (word >> 32) as u32];
            self.family.run(DrawMask {
                key,
                dropout: self.dropout,
                rows,
                columns: layer.outputs,
                mask: &mut layer.mask,
            });
        }
    }
}

/// Copies rows of the examples into panels.
pub(crate) struct Gather<'a, R> {
    /// All examples' features, row-major.
    pub(crate) features: &'a [f32],
    pub(crate) width: usize,
    pub(crate) rows: usize,
    pub(crate) row_at: R,
    pub(crate) input: &'a mut [f32],
}

impl<R: Fn(usize) -> usize> Pass for Gather<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { features, width, rows, row_at, input } = self;
        // Panels that are written side by side: their lines may all compete for one set of the
        // nearest cache.
        const GROUP: usize = 4;
        let input = vectors_mut(input);
        for first in (0..width.div_ceil(LANES)).step_by(GROUP) {
            for row in 0..rows {
                let (vectors, rest) = features[row_at(row) * width..]
                    [first * LANES..width.min((first + GROUP) * LANES)]
                    .as_chunks();
                for (panel, from) in (first..).zip(vectors) {
                    s.store(s.load(from), &mut input[panel * rows + row]);
                    s.prefetch(from.as_ptr().wrapping_add(GROUP * LANES));
                }
                if !rest.is_empty() {
                    input[width / LANES * rows + row][..rest.len()].copy_from_slice(rest);
                }
            }
        }
    }
}

fn uses_he(spec: &TrainSpec) -> bool {
    match spec.init {
        Init::He => true,
        Init::Xavier => false,
        Init::Auto => {
            matches!(spec.activation, Activation::Relu | Activation::LeakyRelu | Activation::Gelu)
        }
    }
}

fn check_size(widths: &[usize]) -> Result<(), TrainError> {
    let mut weights = 0u64;
    for ends in widths.windows(2) {
        weights =
            weights.saturating_add((padded(ends[0]) as u64).saturating_mul(padded(ends[1]) as u64));
    }
    if weights > MAX_WEIGHTS {
        Err(TrainError::TooLarge { weights, limit: MAX_WEIGHTS })
    } else {
        Ok(())
    }
}
