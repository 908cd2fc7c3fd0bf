//! The kernels as `benches/kernels.rs` measures them. Not part of the library's interface.
#![allow(clippy::indexing_slicing, reason = "a benchmark chooses the sizes")]

use caviar_common::numbers::{real, single};
use caviar_common::train::TrainSpec;

use crate::activation::Relu;
use crate::batch_norm::{BackNormalise, Normalise, Statistics};
use crate::dropout::DrawMask;
use crate::error::TrainError;
use crate::kernels::{Buffer, Family, Piece, Shape, Strip, padded, strips};
use crate::loss::CrossEntropy;
use crate::network::{Gather, Network};
use crate::optimizer::Updater;

/// A part of a training step.
#[derive(Clone, Copy, Debug)]
pub enum Kernel {
    /// The product z = a W.
    Forward,
    /// The product g = a^T d.
    WeightGradient,
    /// The product e = d W^T. It transposes W, which takes most of the time with one row.
    InputGradient,
    /// The batch statistics, normalisation and relu of z.
    Normalise,
    /// The gradient of [`Kernel::Normalise`].
    BackNormalise,
    /// The softmax and cross-entropy of z.
    Softmax,
    /// Drawing a dropout mask with the size of z.
    Mask,
    /// Copying a mini-batch a from the examples.
    Gather,
}

/// The buffers of one layer, whose product is a [rows, inputs] times W [inputs, outputs].
struct Workspace {
    family: Family,
    shape: Shape,
    a: Buffer,
    w: Buffer,
    z: Buffer,
    /// The gradient by z, with the size of z.
    d: Buffer,
    /// The gradient by a, with the size of a.
    e: Buffer,
    /// The gradient by W, with the size of W.
    g: Buffer,
    /// The outputs, with the size of z.
    out: Buffer,
    scratch: Buffer,
    ones: Buffer,
    statistics: Statistics,
}

fn filled(len: usize) -> Result<Buffer, TrainError> {
    let mut buffer = Buffer::new(len)?;
    for (index, value) in buffer.iter_mut().enumerate() {
        *value = single(real(index * 37 % 101)) / 50.0 - 1.0;
    }
    Ok(buffer)
}

impl Kernel {
    /// A function that runs the kernel once, on a layer of [rows, inputs, outputs].
    ///
    /// # Errors
    /// There is not enough memory, or `CAVIAR_KERNELS` is wrong.
    pub fn prepare(self, [rows, inputs, outputs]: [usize; 3]) -> Result<impl FnMut(), TrainError> {
        let shape = Shape { rows, inputs, outputs };
        let (a_len, w_len, z_len) =
            (rows * padded(inputs), padded(inputs) * padded(outputs), rows * padded(outputs));
        let mut ones = Buffer::new(padded(outputs))?;
        ones.fill(1.0);
        let mut workspace = Workspace {
            family: Family::for_process()?,
            shape,
            a: filled(a_len)?,
            w: filled(w_len)?,
            z: filled(z_len)?,
            d: filled(z_len)?,
            e: filled(a_len)?,
            g: filled(w_len)?,
            out: filled(z_len)?,
            scratch: filled(shape.scratch_len())?,
            ones,
            statistics: Statistics::new(outputs)?,
        };
        Ok(move || workspace.run(self))
    }
}

impl Workspace {
    fn run(&mut self, kernel: Kernel) {
        let Self { family, shape, a, w, z, d, e, g, out, scratch, .. } = self;
        let (family, shape) = (*family, *shape);
        let Shape { rows, inputs, outputs } = shape;
        match kernel {
            Kernel::Forward => strips(outputs).for_each(|strip| {
                family.forward(Piece { shape, strip }, a, w, &mut z[strip.range(rows)])
            }),
            Kernel::WeightGradient => family.weight_gradient(shape, a, d, g),
            Kernel::InputGradient => strips(inputs).for_each(|strip| {
                let e = &mut e[strip.range(rows)];
                family.input_gradient(Piece { shape, strip }, d, w, scratch, e)
            }),
            Kernel::Normalise => strips(outputs).for_each(|strip| self.normalise(strip)),
            Kernel::BackNormalise => strips(outputs).for_each(|strip| self.normalise_back(strip)),
            Kernel::Softmax => {
                family.run(CrossEntropy {
                    rows,
                    outputs,
                    bias: &self.ones,
                    smoothing: 0.0,
                    weights: None,
                    z,
                    scratch,
                    class_of: |row| row % outputs,
                });
            }
            Kernel::Mask => family.run(DrawMask {
                key: [1, 2],
                dropout: 0.3,
                rows,
                columns: outputs,
                mask: out,
            }),
            Kernel::Gather => family.run(Gather {
                features: e,
                width: inputs,
                rows,
                row_at: |row| rows - 1 - row,
                input: a,
            }),
        }
    }

    fn normalise(&mut self, strip: Strip) {
        let (range, columns) = (strip.range(self.shape.rows), strip.columns());
        let (gamma, beta) = (&self.ones[columns.clone()], &self.ones[columns]);
        let (z, out) = (&mut self.z[range.clone()], &mut self.out[range]);
        let pass = Normalise {
            curve: Relu,
            rows: self.shape.rows,
            momentum: 0.9,
            statistics: self.statistics.strip_mut(strip),
            gamma,
            beta,
            z,
            out,
        };
        self.family.run(pass);
    }

    fn normalise_back(&mut self, strip: Strip) {
        let (range, columns) = (strip.range(self.shape.rows), strip.columns());
        let ones = &self.ones[columns.clone()];
        let (normal, d) = (&self.z[range.clone()], &mut self.d[range]);
        let (d_gamma, d_beta) = (
            &mut self.statistics.running_mean[columns.clone()],
            &mut self.statistics.running_variance[columns],
        );
        let pass = BackNormalise {
            curve: Relu,
            rows: self.shape.rows,
            inverse_deviation: ones,
            gamma: ones,
            beta: ones,
            normal,
            d,
            d_gamma,
            d_beta,
        };
        self.family.run(pass);
    }
}

/// A function that updates a layer's W [inputs, outputs] and bias once.
///
/// # Errors
/// There is not enough memory, or `CAVIAR_KERNELS` is wrong.
pub fn prepare_update(
    spec: TrainSpec,
    [inputs, outputs]: [usize; 2],
) -> Result<impl FnMut(), TrainError> {
    let family = Family::for_process()?;
    let spec = TrainSpec { hidden: Vec::new(), ..spec };
    let mut network = Network::new(family, &spec, inputs, outputs, 2)?;
    let mut updater = Updater::new(family, &spec, network.parameters.len())?;
    let gradients = filled(network.gradients.len())?;
    network.gradients.copy_from_slice(&gradients);
    Ok(move || updater.step(&mut network, 1e-3))
}
