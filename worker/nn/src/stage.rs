//! The stage before the first layer: the embedding of numbers and of categories, and learnt factors
//! of all inputs.
//!
//! The inputs that are numbers have been scaled before the training. An embedding makes of each
//! number x the columns h(x) W + b. Its functions h are cosines cos(2 pi w x + f) with learnt w
//! and f, or the fixed functions of a piecewise linear encoding ([`Basis`]). With e, the gradient
//! by the columns, and d = e W^T, the gradient by h, the gradients of a mini-batch are
//!
//! - by W: h^T e, and by b the column sums of e
//! - by f: the sum of -d sin(2 pi w x + f), and by w that of -d 2 pi x sin(2 pi w x + f)
//!
//! The functions of a number are computed again for the backward pass, which takes less time than
//! to read them from memory.
#![allow(
    clippy::indexing_slicing,
    reason = "buffers are made for the largest mini-batch, and places come from the layout"
)]

use std::f64::consts::PI;
use std::ops::Range;

use caviar_common::numbers::{real, single};
use caviar_common::seed::Stream;
use caviar_common::train::{Embedding, TrainSpec};
use caviar_model::{
    BINS, Basis, Bin, CATEGORY_COLUMNS, InputStage, NumberEmbedding, PERIODS, bins,
};

use crate::error::TrainError;
use crate::kernels::{
    Buffer, Family, LANES, Piece, Shape, offset, padded, strips, vectors, vectors_mut,
};
use crate::passes::ColumnSums;
use crate::stage_categories::Categories;
use crate::stage_passes::{BackCosines, BackScale, Cosines, Number, Scale, Segments};
use crate::tensor::{Layout, Tensor};

/// The bins of one number as vectors: of each panel of bins the starts, factors, lowest and highest
/// values.
const BIN_VECTORS: usize = 4 * BINS / LANES;

/// The stage of a network, for up to `capacity` rows.
pub(crate) struct Stage {
    family: Family,
    /// The encoded inputs.
    inputs: usize,
    /// The inputs of the first layer.
    pub(crate) width: usize,
    /// The encoded inputs that are numbers.
    numbers: Vec<usize>,
    embedding: Option<Embedded>,
    categories: Option<Categories>,
    factors: Option<Tensor>,
    /// The inputs of the first layer before the factors; empty if nothing is embedded, and they are
    /// the encoded inputs.
    mixed: Buffer,
    /// The inputs of the first layer; empty without factors.
    out: Buffer,
    /// The gradient by the inputs of the first layer.
    pub(crate) gradient: Buffer,
}

/// The embedding of all numbers.
struct Embedded {
    functions: usize,
    /// The columns of W.
    size: usize,
    basis: Functions,
    /// W of each number.
    weights: Vec<Tensor>,
    /// b of all numbers, `[numbers * size]`.
    bias: Tensor,
    /// h of one number, `[rows, functions]`, and the gradient by it.
    values: Buffer,
    by_values: Buffer,
    /// h W of one number, `[rows, size]`, and then the gradient by it.
    product: Buffer,
    /// For the product with W^T.
    scratch: Buffer,
    /// The column sums of one number.
    sums: Buffer,
}

enum Functions {
    /// w and f of all numbers, `[numbers * PERIODS]`.
    Periodic { frequencies: Tensor, phases: Tensor },
    /// [`BIN_VECTORS`] vectors of each number.
    Segments(Buffer),
}

impl Stage {
    /// The stage for `inputs` encoded inputs, with places from `layout`; `None` if it changes
    /// nothing that was not changed before the training.
    ///
    /// # Errors
    /// There is not enough memory.
    pub(crate) fn new(
        family: Family,
        layout: &mut Layout,
        fitted: &InputStage,
        inputs: usize,
        capacity: usize,
    ) -> Result<Option<Self>, TrainError> {
        if fitted.factors.is_none() && !is_mixed(fitted) {
            return Ok(None);
        }
        let width = fitted.width(inputs);
        let factors = fitted.factors.as_ref().map(|_| layout.vector(width));
        let count = fitted.numbers.len();
        let embedding = match &fitted.embedding {
            None => None,
            Some(embedding) => Some(Embedded::new(layout, embedding, count, capacity)?),
        };
        // The columns of the categories are the last ones.
        let others = width - fitted.categories.len() * (CATEGORY_COLUMNS - 1);
        let categories = Categories::new(layout, &fitted.categories, others);
        let len = capacity * padded(width);
        let mixed = Buffer::new(if is_mixed(fitted) { len } else { 0 })?;
        let out = Buffer::new(if factors.is_some() { len } else { 0 })?;
        let gradient = Buffer::new(len)?;
        let numbers = fitted.numbers.clone();
        Ok(Some(Self {
            family,
            inputs,
            width,
            numbers,
            embedding,
            categories,
            factors,
            mixed,
            out,
            gradient,
        }))
    }

    /// The floats of the buffers of a stage.
    pub(crate) fn buffer_len(fitted: &InputStage, inputs: usize, capacity: usize) -> usize {
        let len = capacity * padded(fitted.width(inputs));
        let copies = usize::from(fitted.factors.is_some()) + usize::from(is_mixed(fitted));
        // One more for the gradient.
        let copies = if copies > 0 { copies + 1 } else { 0 };
        let Some(embedding) = &fitted.embedding else { return copies * len };
        let segments = match &embedding.basis {
            Basis::Periodic { .. } => 0,
            Basis::PiecewiseLinear { edges } => edges.len() * BIN_VECTORS * LANES,
        };
        let lens = Embedded::lens(embedding, capacity);
        copies * len + segments + lens.into_iter().map(padded).sum::<usize>()
    }

    /// The places of the learnt lists, in the order of the parameters.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = Tensor> {
        let embedding = self.embedding.iter().flat_map(Embedded::tensors);
        let categories = self.categories.iter().map(Categories::tensor);
        self.factors.into_iter().chain(embedding).chain(categories)
    }

    /// The places of the factors in the parameters.
    pub(crate) fn factors(&self) -> Option<Tensor> {
        self.factors
    }

    /// The places of all learnt lists in the parameters.
    pub(crate) fn range(&self) -> Range<usize> {
        self.tensors().fold(0..0, |all, tensor| all.start..tensor.range().end)
    }

    /// Draws the initial values as RealMLP does: factors are 1, w is normal with the scale of the
    /// spec, f uniform in (-pi, pi), W and b uniform within 1 / sqrt(functions), and the vectors of
    /// categories normal.
    pub(crate) fn initialise(&self, spec: &TrainSpec, stream: &mut Stream, parameters: &mut [f32]) {
        for position in self.factors.into_iter().flat_map(Tensor::positions) {
            parameters[position] = 1.0;
        }
        if let Some(embedding) = &self.embedding {
            embedding.initialise(spec, stream, parameters);
        }
        if let Some(categories) = &self.categories {
            categories.initialise(stream, parameters);
        }
    }

    /// Sets the vectors of values to 0 that no example has, whose inputs `examples` returns.
    pub(crate) fn forget_absent<I: Iterator<Item = f32>>(
        &self,
        examples: impl Fn(usize) -> I,
        parameters: &mut [f32],
    ) {
        if let Some(categories) = &self.categories {
            categories.forget_absent(examples, parameters);
        }
    }

    /// Sets the parameters to those of a stage of the same shape.
    pub(crate) fn load(&self, from: &InputStage, parameters: &mut [f32]) {
        if let Some(categories) = &self.categories {
            categories.load(&from.categories, parameters);
        }
        let mut fill = |tensor: Tensor, values: &[f32]| {
            for (position, value) in tensor.positions().zip(values) {
                parameters[position] = *value;
            }
        };
        if let (Some(tensor), Some(factors)) = (self.factors, &from.factors) {
            fill(tensor, factors);
        }
        let (Some(embedding), Some(from)) = (&self.embedding, &from.embedding) else { return };
        if let (
            Functions::Periodic { frequencies, phases },
            Basis::Periodic { frequencies: w, phases: f },
        ) = (&embedding.basis, &from.basis)
        {
            fill(*frequencies, w);
            fill(*phases, f);
        }
        let len = embedding.functions * embedding.size;
        for (tensor, weights) in embedding.weights.iter().zip(from.weights.chunks(len.max(1))) {
            fill(*tensor, weights);
        }
        fill(embedding.bias, &from.bias);
    }

    /// The stage that was made from `fitted`, with these parameters.
    pub(crate) fn export(&self, fitted: &InputStage, parameters: &[f32]) -> InputStage {
        let of = |tensor: Tensor| -> Vec<f32> {
            tensor.positions().map(|position| parameters[position]).collect()
        };
        let mut stage = fitted.clone();
        stage.factors = self.factors.map(of);
        if let Some(categories) = &self.categories {
            categories.export(parameters, &mut stage.categories);
        }
        if let (Some(to), Some(from)) = (&mut stage.embedding, &self.embedding) {
            if let Functions::Periodic { frequencies, phases } = from.basis {
                to.basis = Basis::Periodic { frequencies: of(frequencies), phases: of(phases) };
            }
            to.weights = from.weights.iter().flat_map(|tensor| of(*tensor)).collect();
            to.bias = of(from.bias);
        }
        stage
    }

    /// Whether the inputs of the first layer are mixed of encoded and embedded ones.
    const fn is_mixed(&self) -> bool {
        self.embedding.is_some() || self.categories.is_some()
    }

    /// Computes the inputs of the first layer from the encoded inputs [rows, inputs] in panels.
    pub(crate) fn forward(&mut self, rows: usize, parameters: &[f32], input: &[f32]) {
        let family = self.family;
        let is_mixed = self.is_mixed();
        if is_mixed {
            // Columns beyond the inputs are written below, or are padding.
            let encoded = rows * padded(self.inputs);
            self.mixed[..encoded].copy_from_slice(&input[..encoded]);
        }
        if let Some(categories) = &self.categories {
            categories.forward(rows, parameters, input, &mut self.mixed);
        }
        if let Some(embedding) = &mut self.embedding {
            let places = Places { numbers: &self.numbers, inputs: self.inputs, rows };
            embedding.forward(family, places, parameters, input, &mut self.mixed);
        }
        if let Some(factors) = self.factors {
            let values = if is_mixed { &self.mixed } else { input };
            let len = rows * padded(self.width);
            let (values, out) = (&values[..len], &mut self.out[..len]);
            family.run(Scale { rows, values, factors: factors.of(parameters), out });
        }
    }

    /// The inputs of the first layer, after [`Stage::forward`].
    pub(crate) fn out(&self) -> &[f32] {
        if self.factors.is_some() { &self.out } else { &self.mixed }
    }

    /// Writes the gradients by the parameters of the stage, once `gradient` is that by the inputs
    /// of the first layer. `input` is the argument of [`Stage::forward`].
    pub(crate) fn backward(
        &mut self,
        rows: usize,
        parameters: &[f32],
        input: &[f32],
        gradients: &mut [f32],
    ) {
        let (family, is_mixed) = (self.family, self.is_mixed());
        if let Some(tensor) = self.factors {
            let values = if is_mixed { &self.mixed } else { input };
            let len = rows * padded(self.width);
            let (values, d) = (&values[..len], &mut self.gradient[..len]);
            let (factors, d_factors) = (tensor.of(parameters), tensor.of_mut(gradients));
            family.run(BackScale { rows, values, factors, d, d_factors });
            // The padding of the inputs is not defined.
            d_factors[self.width..].fill(0.0);
        }
        if let Some(categories) = &self.categories {
            categories.backward(rows, input, &self.gradient, gradients);
        }
        if let Some(embedding) = &mut self.embedding {
            let places = Places { numbers: &self.numbers, inputs: self.inputs, rows };
            let by = Parameters { values: parameters, gradients };
            embedding.backward(family, places, by, input, &self.gradient);
        }
    }
}

/// Whether a stage embeds anything.
fn is_mixed(fitted: &InputStage) -> bool {
    fitted.embedding.is_some() || !fitted.categories.is_empty()
}

/// Where the numbers are among the encoded inputs and among the inputs of the first layer, in a
/// mini-batch.
#[derive(Clone, Copy)]
struct Places<'a> {
    numbers: &'a [usize],
    inputs: usize,
    /// The rows of the mini-batch.
    rows: usize,
}

/// The parameters of the network and the gradients by them.
struct Parameters<'a> {
    values: &'a [f32],
    gradients: &'a mut [f32],
}

impl Embedded {
    fn new(
        layout: &mut Layout,
        fitted: &NumberEmbedding,
        count: usize,
        capacity: usize,
    ) -> Result<Self, TrainError> {
        let (functions, size) = (fitted.basis.functions(), fitted.size);
        let basis = match &fitted.basis {
            Basis::Periodic { .. } => Functions::Periodic {
                frequencies: layout.vector(count * PERIODS),
                phases: layout.vector(count * PERIODS),
            },
            Basis::PiecewiseLinear { edges } => Functions::Segments(segments(edges)?),
        };
        let weights = (0..count).map(|_| layout.matrix(functions, size)).collect();
        let bias = layout.vector(count * size);
        let [values, by_values, product, scratch, sums] = Self::lens(fitted, capacity);
        Ok(Self {
            functions,
            size,
            basis,
            weights,
            bias,
            values: Buffer::new(values)?,
            by_values: Buffer::new(by_values)?,
            product: Buffer::new(product)?,
            scratch: Buffer::new(scratch)?,
            sums: Buffer::new(sums)?,
        })
    }

    /// The floats of the buffers for one number.
    fn lens(fitted: &NumberEmbedding, capacity: usize) -> [usize; 5] {
        let (functions, size) = (fitted.basis.functions(), fitted.size);
        let shape = Shape { rows: capacity, inputs: functions, outputs: size };
        let (by_function, by_column) = (capacity * functions, capacity * padded(size));
        let by_values = match fitted.basis {
            Basis::Periodic { .. } => by_function,
            Basis::PiecewiseLinear { .. } => 0,
        };
        [by_function, by_values, by_column, shape.scratch_len(), padded(size)]
    }

    /// Draws the initial values: see [`Stage::initialise`].
    fn initialise(&self, spec: &TrainSpec, stream: &mut Stream, parameters: &mut [f32]) {
        let scale = match spec.embedding {
            Embedding::Periodic { frequency_scale, .. } => frequency_scale,
            Embedding::None | Embedding::PiecewiseLinear { .. } => 0.0,
        };
        if let Functions::Periodic { frequencies, phases } = self.basis {
            for position in frequencies.positions() {
                parameters[position] = single(scale * stream.normal());
            }
            for position in phases.positions() {
                parameters[position] = single(PI * (2.0 * stream.uniform() - 1.0));
            }
        }
        let bound = 1.0 / real(self.functions).sqrt();
        for position in self.weights.iter().chain([&self.bias]).flat_map(|it| it.positions()) {
            parameters[position] = single(bound * (2.0 * stream.uniform() - 1.0));
        }
    }

    /// Where column `column` of h W + b of number `number` is among the inputs of the first layer.
    fn place(&self, places: Places<'_>, number: usize, column: usize) -> usize {
        match (&self.basis, column) {
            // The place of the number has the number itself.
            (Functions::Periodic { .. }, _) => places.inputs + number * self.size + column,
            (Functions::Segments(_), 0) => places.numbers[number],
            (Functions::Segments(_), _) => places.inputs + number * (self.size - 1) + column - 1,
        }
    }

    fn tensors(&self) -> impl Iterator<Item = Tensor> {
        let of_basis = match self.basis {
            Functions::Periodic { frequencies, phases } => [Some(frequencies), Some(phases)],
            Functions::Segments(_) => [None, None],
        };
        let weights = self.weights.iter().copied();
        of_basis.into_iter().flatten().chain(weights).chain([self.bias])
    }

    fn shape(&self, rows: usize) -> Shape {
        Shape { rows, inputs: self.functions, outputs: self.size }
    }

    /// Computes h of a number for all rows.
    fn functions_of(&mut self, family: Family, number: usize, x: Number<'_>, parameters: &[f32]) {
        let rows = x.rows.len();
        let values = &mut self.values[..rows * self.functions];
        match &self.basis {
            Functions::Periodic { frequencies, phases } => {
                let of = |tensor: &Tensor| vectors(tensor.of(parameters))[number];
                let (w, f) = (of(frequencies), of(phases));
                family.run(Cosines { x, w, f, to: vectors_mut(values) });
            }
            Functions::Segments(all) => {
                let bins = &vectors(all)[number * BIN_VECTORS..][..BIN_VECTORS];
                family.run(Segments { x, bins, to: values });
            }
        }
    }

    fn forward(
        &mut self,
        family: Family,
        places: Places<'_>,
        parameters: &[f32],
        input: &[f32],
        mixed: &mut [f32],
    ) {
        let rows = places.rows;
        let shape = self.shape(rows);
        for (number, &place) in places.numbers.iter().enumerate() {
            self.functions_of(family, number, Number::at(input, rows, place), parameters);
            let w = self.weights[number].of(parameters);
            for strip in strips(self.size) {
                let z = &mut self.product[strip.range(rows)];
                family.forward(Piece { shape, strip }, &self.values, w, z);
            }
            let bias = &self.bias.of(parameters)[number * self.size..][..self.size];
            for (column, bias) in bias.iter().enumerate() {
                let to = self.place(places, number, column);
                for row in 0..rows {
                    mixed[offset(rows, row, to)] = self.product[offset(rows, row, column)] + bias;
                }
            }
        }
    }

    fn backward(
        &mut self,
        family: Family,
        places: Places<'_>,
        by: Parameters<'_>,
        input: &[f32],
        gradient: &[f32],
    ) {
        let rows = places.rows;
        let Parameters { values: parameters, gradients } = by;
        let shape = self.shape(rows);
        let product_len = rows * padded(self.size);
        for (number, &place) in places.numbers.iter().enumerate() {
            self.product[..product_len].fill(0.0);
            for column in 0..self.size {
                let from = self.place(places, number, column);
                for row in 0..rows {
                    self.product[offset(rows, row, column)] = gradient[offset(rows, row, from)];
                }
            }
            let d = &self.product[..product_len];
            family.run(ColumnSums { rows, matrix: d, sums: &mut self.sums });
            self.bias.of_mut(gradients)[number * self.size..][..self.size]
                .copy_from_slice(&self.sums[..self.size]);
            let x = Number::at(input, rows, place);
            self.functions_of(family, number, x, parameters);
            let (tensor, d) = (self.weights[number], &self.product[..product_len]);
            family.weight_gradient(shape, &self.values, d, tensor.of_mut(gradients));
            let Functions::Periodic { frequencies, phases } = self.basis else { continue };
            let w = tensor.of(parameters);
            for strip in strips(self.functions) {
                let e = &mut self.by_values[strip.range(rows)];
                family.input_gradient(Piece { shape, strip }, d, w, &mut self.scratch, e);
            }
            let of = |tensor: Tensor| vectors(tensor.of(parameters))[number];
            let [by_w, by_f] = family.run(BackCosines {
                x,
                w: of(frequencies),
                f: of(phases),
                d: &vectors(&self.by_values)[..rows],
            });
            vectors_mut(frequencies.of_mut(gradients))[number] = by_w;
            vectors_mut(phases.of_mut(gradients))[number] = by_f;
        }
    }
}

/// The bins of all numbers as vectors.
fn segments(edges: &[Vec<f32>]) -> Result<Buffer, TrainError> {
    let mut buffer = Buffer::new(edges.len() * BIN_VECTORS * LANES)?;
    let lists: [fn(&Bin) -> f32; 4] = [|b| b.start, |b| b.factor, |b| b.low, |b| b.high];
    let all = vectors_mut(&mut buffer).chunks_exact_mut(BIN_VECTORS);
    for (edges, vectors) in edges.iter().zip(all) {
        for (bins, panel) in bins(edges).chunks(LANES).zip(vectors.chunks_mut(lists.len())) {
            for (pick, vector) in lists.iter().zip(panel) {
                bins.iter().zip(vector).for_each(|(bin, lane)| *lane = pick(bin));
            }
        }
    }
    Ok(buffer)
}
