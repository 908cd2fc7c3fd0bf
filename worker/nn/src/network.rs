//! The network: its layers over flat buffers of parameters and gradients.
#![allow(
    clippy::indexing_slicing,
    reason = "layers and rows were checked when the trainer was made"
)]
#![allow(clippy::as_conversions, reason = "a 64-bit random word is split into its two halves")]

use caviar_common::limits::MAX_WEIGHTS;
use caviar_common::numbers::{index, real, single, to_u64};
use caviar_common::seed::{Seed, Stream};
use caviar_common::train::{Activation, Init, TrainSpec};
use caviar_data::{Examples, Features, RowWeight, Splits, Targets};
use caviar_model::InputStage;

use crate::average::Average;
use crate::dropout::DrawMask;
use crate::error::TrainError;
use crate::file_rows::FileRows;
use crate::kernels::{
    Buffer, Family, LANES, Pass, Piece, Simd, offset, padded, strips, vectors_mut,
};
use crate::layer::{HiddenSpec, Layer, Mode, Step};
use crate::loss::{BatchWeights, CrossEntropy, Tally, squared_error};
use crate::products::Products;
use crate::stage::Stage;
use crate::stage_categories::Categories;
use crate::tensor::{Layout, Tensor};

/// The stream of the seed from which the stage draws; no layer has this number.
const STAGE_STREAM: u64 = u64::MAX;

/// A network, with buffers for `capacity` examples at once.
pub(crate) struct Network {
    family: Family,
    /// What is learnt before the first layer, if anything is.
    pub(crate) stage: Option<Stage>,
    /// The hidden layers and then the output layer, input side first.
    pub(crate) layers: Vec<Layer>,
    /// All parameters, in the places that [`Layout`] gave to the layers' tensors.
    pub(crate) parameters: Buffer,
    /// The gradients by the parameters, in the same places.
    pub(crate) gradients: Buffer,
    /// What is evaluated instead of the parameters; `None` unless they are averaged.
    pub(crate) average: Option<Average>,
    /// The rows of the mini-batch, if the examples are in a file.
    file_rows: FileRows,
    /// The mini-batch [rows, features] in panels.
    input: Buffer,
    products: Products,
    /// The weight of the old running statistics, in [0, 1).
    momentum: f32,
    /// The probability that a hidden activation is dropped in the next step.
    pub(crate) dropout: f32,
    /// The share of the targets that is spread over all classes in training, in [0, 1).
    smoothing: f64,
    /// The weights of the rows of the mini-batch; empty if every row counts once.
    weights: Vec<RowWeight>,
}

/// The sizes of a network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The encoded inputs.
    pub(crate) features: usize,
    pub(crate) outputs: usize,
    /// The most examples at once.
    pub(crate) capacity: usize,
}

impl Network {
    /// The network of `spec` without a stage before its first layer, with all parameters 0, for up
    /// to `capacity` examples at once.
    ///
    /// # Errors
    /// The network has more weights than allowed, or there is not enough memory.
    pub(crate) fn new(
        family: Family,
        spec: &TrainSpec,
        features: usize,
        outputs: usize,
        capacity: usize,
    ) -> Result<Self, TrainError> {
        let sizes = Sizes { features, outputs, capacity };
        Self::with_stage(family, spec, &InputStage::default(), sizes)
    }

    /// The network of `spec` with that stage before its first layer and all parameters 0.
    ///
    /// # Errors
    /// Those of [`Network::new`].
    pub(crate) fn with_stage(
        family: Family,
        spec: &TrainSpec,
        stage: &InputStage,
        sizes: Sizes,
    ) -> Result<Self, TrainError> {
        let Sizes { features, outputs, capacity } = sizes;
        let hidden_widths = spec.hidden.iter().map(|&units| index(units));
        let first = stage.width(features);
        let widths: Vec<usize> =
            std::iter::once(first).chain(hidden_widths).chain([outputs]).collect();
        check_size(&widths, Categories::parameters(&stage.categories))?;
        let hidden = HiddenSpec {
            activation: spec.activation,
            normalization: spec.normalization,
            has_dropout: spec.dropout > 0.0,
        };
        let mut layout = Layout::default();
        let stage = Stage::new(family, &mut layout, stage, features, capacity)?;
        let layers = widths
            .windows(2)
            .enumerate()
            .map(|(number, ends)| {
                let hidden = (number < spec.hidden.len()).then_some(hidden);
                Layer::new(&mut layout, ends[0], ends[1], hidden, capacity)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let average = (spec.weight_average > 0.0)
            .then(|| Average::new(family, spec.weight_average, layout.len(), &layers))
            .transpose()?;
        let shapes = layers.iter().map(|layer| layer.shape(capacity));
        let products = Products::new(family, spec.precision, shapes)?;
        Ok(Self {
            family,
            stage,
            layers,
            parameters: Buffer::new(layout.len())?,
            gradients: Buffer::new(layout.len())?,
            average,
            file_rows: FileRows::default(),
            input: Buffer::new(capacity * padded(features))?,
            products,
            momentum: single(spec.batch_norm_momentum),
            dropout: single(spec.dropout),
            smoothing: spec.label_smoothing,
            weights: Vec::new(),
        })
    }

    /// Makes room for the weights of `capacity` examples at once.
    ///
    /// # Errors
    /// There is not enough memory.
    pub(crate) fn reserve_weights(&mut self, capacity: usize) -> Result<(), TrainError> {
        let missing = |_| TrainError::OutOfMemory { floats: capacity };
        self.weights.try_reserve_exact(capacity).map_err(missing)
    }

    /// In a cross-validation, sets the vectors of values to 0 that none of the rows has.
    pub(crate) fn forget_absent(&mut self, data: &Splits, rows: &[u32]) {
        let Some(features) = data.train.features.in_memory().filter(|_| !data.folds.is_empty())
        else {
            return;
        };
        if let Some(stage) = &self.stage {
            let column = |input| {
                let value = move |&row: &u32| features.get((index(row), input)).copied();
                rows.iter().filter_map(value)
            };
            stage.forget_absent(column, &mut self.parameters);
        }
    }

    /// Draws the initial weights with the variance of [`Init`]: layer i from stream i of `seed`,
    /// and the stage from a stream of its own. Sets gamma to 1, beta and b to 0.
    pub(crate) fn initialise(&mut self, spec: &TrainSpec, seed: Seed) {
        self.parameters.fill(0.0);
        if let Some(stage) = &self.stage {
            stage.initialise(spec, &mut seed.stream(STAGE_STREAM), &mut self.parameters);
        }
        for ((number, layer), stream_index) in self.layers.iter().enumerate().zip(0u64..) {
            let is_hidden = number < spec.hidden.len();
            let (fan_in, fan_out) = (real(layer.inputs), real(layer.outputs));
            let variance = match if is_hidden { spread(spec) } else { Spread::Xavier } {
                Spread::He => 2.0 / fan_in,
                Spread::Lecun => 1.0 / fan_in,
                Spread::Xavier => 2.0 / (fan_in + fan_out),
            };
            let deviation = variance.sqrt();
            let mut stream = seed.stream(stream_index);
            for position in layer.weights.positions() {
                self.parameters[position] = single(deviation * stream.normal());
            }
            for position in layer.gamma_beta().iter().flat_map(|[gamma, _]| gamma.positions()) {
                self.parameters[position] = 1.0;
            }
        }
        // Before the first step, the average is the initial state.
        self.include_in_average(1);
    }

    /// Includes the state after step number `steps`, from 1, in the average, if there is one.
    pub(crate) fn include_in_average(&mut self, steps: u64) {
        if let Some(average) = &mut self.average {
            average.include(steps, &self.parameters, &self.layers);
        }
    }

    /// Exchanges the parameters and their average, for an evaluation; without an average it is a
    /// no-op. A second call undoes it.
    pub(crate) fn exchange_average(&mut self) {
        if let Some(average) = &mut self.average {
            average.weights.exchange(&mut self.parameters, &mut self.layers);
        }
    }

    /// The places of all parameters, those of the stage and then layer by layer: the order of a
    /// checkpoint.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = Tensor> {
        let stage = self.stage.iter().flat_map(Stage::tensors);
        stage.chain(self.layers.iter().flat_map(Layer::tensors))
    }

    /// One forward and backward pass on the examples at `rows`, at least 2.
    ///
    /// Writes the gradient of the mini-batch's mean loss into `gradients`, updates the running
    /// statistics, and returns the loss and hits. `draws` decides which outputs are dropped.
    pub(crate) fn backpropagate(
        &mut self,
        examples: &Examples,
        rows: &[u32],
        draws: &mut Stream,
    ) -> Result<Tally, TrainError> {
        let row_at = |row: usize| index(rows[row]);
        self.draw_masks(rows.len(), draws);
        self.forward(examples, rows.len(), row_at, Mode::Train { momentum: self.momentum })?;
        let tally = self.loss(examples, rows.len(), row_at, self.smoothing)?;
        self.backward(rows.len())?;
        Ok(tally)
    }

    /// Loss and hits on `rows` of the examples, with running statistics and without dropout. The
    /// outputs are appended to `outputs`, as [`Network::outputs`] does.
    pub(crate) fn evaluate(
        &mut self,
        examples: &Examples,
        rows: std::ops::Range<usize>,
        outputs: Option<&mut Vec<f32>>,
    ) -> Result<Tally, TrainError> {
        let row_at = |row: usize| rows.start + row;
        self.forward(examples, rows.len(), row_at, Mode::Evaluate)?;
        if let Some(outputs) = outputs {
            self.append_outputs(rows.len(), outputs)?;
        }
        self.loss(examples, rows.len(), row_at, 0.0)
    }

    /// The outputs of `rows` of the examples with running statistics and without dropout, appended
    /// row by row: logits, or standardised numbers.
    pub(crate) fn outputs(
        &mut self,
        examples: &Examples,
        rows: std::ops::Range<usize>,
        to: &mut Vec<f32>,
    ) -> Result<(), TrainError> {
        self.forward(examples, rows.len(), |row| rows.start + row, Mode::Evaluate)?;
        self.append_outputs(rows.len(), to)
    }

    /// Appends what [`Network::forward`] left in the output layer.
    fn append_outputs(&self, rows: usize, to: &mut Vec<f32>) -> Result<(), TrainError> {
        let last = self.layers.last().ok_or(TrainError::Missing { what: "output layer" })?;
        let bias = last.output_bias()?.of(&self.parameters);
        for row in 0..rows {
            let columns = bias.iter().take(last.outputs).enumerate();
            to.extend(columns.map(|(column, b)| last.out[offset(rows, row, column)] + b));
        }
        Ok(())
    }

    fn forward(
        &mut self,
        examples: &Examples,
        rows: usize,
        row_at: impl Fn(usize) -> usize,
        mode: Mode,
    ) -> Result<(), TrainError> {
        let Self { family, stage, layers, parameters, input, products, file_rows, .. } = self;
        let width = examples.features.ncols();
        match &examples.features {
            Features::Memory(features) => {
                let features = features.as_slice();
                let features =
                    features.ok_or(TrainError::Missing { what: "row-major features" })?;
                family.run(Gather { features, width, rows, row_at, input });
            }
            Features::File(file) => {
                let features = file_rows.read(file, (0..rows).map(row_at))?;
                family.run(Gather { features, width, rows, row_at: |row| row, input });
            }
        }
        let step = Step { family: *family, rows, parameters, mode };
        let mut below: &[f32] = match stage {
            Some(stage) => {
                stage.forward(rows, parameters, input);
                stage.out()
            }
            None => input,
        };
        for layer in layers {
            layer.forward(step, products, below);
            below = &layer.out;
        }
        Ok(())
    }

    /// The loss of the outputs, which become its gradient. `smoothing` concerns only classes.
    fn loss(
        &mut self,
        examples: &Examples,
        rows: usize,
        row_at: impl Fn(usize) -> usize,
        smoothing: f64,
    ) -> Result<Tally, TrainError> {
        let weights = examples.weights.as_ref().map(|all| {
            self.weights.clear();
            self.weights.extend((0..rows).map(|row| all[row_at(row)]));
            BatchWeights::new(&self.weights)
        });
        let last = self.layers.last_mut().ok_or(TrainError::Missing { what: "output layer" })?;
        let bias = last.output_bias()?.of(&self.parameters);
        let (outputs, z) = (last.outputs, &mut last.out);
        Ok(match &examples.targets {
            Targets::Classes(classes) => {
                let class_of = |row| index(classes[row_at(row)]);
                let scratch = self.products.scratch();
                self.family.run(CrossEntropy {
                    rows,
                    outputs,
                    bias,
                    smoothing,
                    weights,
                    z,
                    scratch,
                    class_of,
                })
            }
            Targets::Values(numbers) => {
                squared_error(rows, bias, weights, z, |row| numbers.row(row_at(row)))
            }
        })
    }

    /// The backward pass: from the gradient by the outputs, which [`Network::loss`] wrote, to
    /// `gradients`.
    fn backward(&mut self, rows: usize) -> Result<(), TrainError> {
        let Self {
            family, stage, layers, parameters, gradients, input, products, momentum, ..
        } = self;
        let mode = Mode::Train { momentum: *momentum };
        let step = Step { family: *family, rows, parameters, mode };
        let output = layers.last_mut().ok_or(TrainError::Missing { what: "output layer" })?;
        output.backward_output(step, gradients)?;
        let mut rest = &mut layers[..];
        while let Some((layer, below)) = rest.split_last_mut() {
            let (shape, d) = (layer.shape(rows), layer.gradient_by_product());
            if let Some(below) = below.last_mut() {
                let (w, below) = (layer.weights.of(parameters), below.hidden_mut()?);
                products.take(rows, layer.outputs, d);
                for strip in strips(layer.inputs) {
                    let e = &mut below.gradient[strip.range(rows)];
                    products.input_gradient(Piece { shape, strip }, d, w, e);
                    below.backward(step, strip, gradients);
                }
            } else if let Some(stage) = stage {
                products.take(rows, layer.outputs, d);
                let w = layer.weights.of(parameters);
                for strip in strips(layer.inputs) {
                    let e = &mut stage.gradient[strip.range(rows)];
                    products.input_gradient(Piece { shape, strip }, d, w, e);
                }
            }
            let first = stage.as_ref().map_or(&**input, Stage::out);
            let a = below.last().map_or(first, |below| &below.out);
            products.weight_gradient(shape, a, d, layer.weights.of_mut(gradients));
            rest = below;
        }
        if let Some(stage) = stage {
            stage.backward(rows, parameters, input, gradients);
        }
        Ok(())
    }

    /// Draws which outputs are dropped: the mask of each layer from its own key.
    fn draw_masks(&mut self, rows: usize, draws: &mut Stream) {
        for layer in &mut self.layers {
            let columns = layer.outputs;
            if let Some(mask) = layer.mask_mut() {
                let word = draws.word();
                let key = [word as u32, (word >> 32) as u32];
                self.family.run(DrawMask { key, dropout: self.dropout, rows, columns, mask });
            }
        }
    }
}

/// Copies rows of the examples into panels.
pub(crate) struct Gather<'a, R> {
    /// The features of all examples, row-major.
    pub(crate) features: &'a [f32],
    /// The number of features.
    pub(crate) width: usize,
    pub(crate) rows: usize,
    /// Which example becomes a row.
    pub(crate) row_at: R,
    /// Becomes [rows, width] in panels. The padding is not written.
    pub(crate) input: &'a mut [f32],
}

impl<R: Fn(usize) -> usize> Pass for Gather<'_, R> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { features, width, rows, row_at, input } = self;
        // Panels that are written at once: the lines of more panels can compete for one set of the
        // L1 cache. Four were chosen in commit bafcacc (docs/internals/kernels.md).
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

/// The variance of the initial weights of a layer: [`Init`] with its automatic choice made.
enum Spread {
    He,
    /// 1 / fan_in (LeCun et al. 1998), with which selu keeps the variance.
    Lecun,
    Xavier,
}

/// The variance of the hidden layers' weights.
const fn spread(spec: &TrainSpec) -> Spread {
    match spec.init {
        Init::He => Spread::He,
        Init::Xavier => Spread::Xavier,
        Init::Auto => match spec.activation {
            Activation::Relu
            | Activation::LeakyRelu
            | Activation::Gelu
            | Activation::Silu
            | Activation::Mish => Spread::He,
            Activation::Selu => Spread::Lecun,
            Activation::Tanh | Activation::Sigmoid => Spread::Xavier,
        },
    }
}

/// Refuses a network whose weights, with padding and those of categories, exceed [`MAX_WEIGHTS`].
fn check_size(widths: &[usize], of_categories: usize) -> Result<(), TrainError> {
    let of_layer = |ends: &[usize]| to_u64(padded(ends[0])).saturating_mul(to_u64(padded(ends[1])));
    let of_layers = widths.windows(2).map(of_layer);
    let weights = of_layers.fold(to_u64(of_categories), u64::saturating_add);
    if weights > MAX_WEIGHTS {
        Err(TrainError::TooLarge { weights, limit: MAX_WEIGHTS })
    } else {
        Ok(())
    }
}
