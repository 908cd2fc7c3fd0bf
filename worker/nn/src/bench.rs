//! The kernels, for `benches/kernels.rs` alone: no part of the library's interface.
#![allow(clippy::indexing_slicing, clippy::as_conversions, reason = "sizes that a benchmark chose")]

use caviar_common::train::TrainSpec;

use crate::activation::Relu;
use crate::batch_norm::{BackNormalise, Normalise, Statistics};
use crate::dropout::DrawMask;
use crate::error::TrainError;
use crate::kernels::{Buffer, Family, Shape, Strip, padded, strips};
use crate::loss::CrossEntropy;
use crate::network::{Gather, Network};
use crate::optimizer::Updater;

/// What a step consists of.
#[derive(Clone, Copy, Debug)]
pub enum Kernel {
    /// z = a W
    Forward,
    /// a^T d
    WeightGradient,
    /// d W^T, transposing W on the way: with one row, little else.
    InputGradient,
    /// Batch statistics, normalisation and relu of z.
    Normalise,
    /// The way back through them.
    BackNormalise,
    /// Softmax and cross-entropy of z.
    Softmax,
    /// Drawing a dropout mask for z.
    Mask,
    /// Copying a mini-batch of a out of the examples.
    Gather,
}

/// Buffers of one layer: a [rows, inputs] times W [inputs, outputs] is z.
struct Room {
    family: Family,
    shape: Shape,
    a: Buffer,
    w: Buffer,
    z: Buffer,
    /// Like z, a, W and z.
    d: Buffer,
    e: Buffer,
    g: Buffer,
    out: Buffer,
    scratch: Buffer,
    ones: Buffer,
    statistics: Statistics,
}

fn filled(len: usize) -> Result<Buffer, TrainError> {
    let mut buffer = Buffer::new(len)?;
    for (index, value) in buffer.iter_mut().enumerate() {
        *value = (index * 37 % 101) as f32 / 50.0 - 1.0;
    }
    Ok(buffer)
}

impl Kernel {
    /// The kernel on a layer of [rows, inputs, outputs], ready to be run again and again.
    ///
    /// # Errors
    /// No memory, or `CAVIAR_KERNELS` is wrong.
    pub fn prepare(self, [rows, inputs, outputs]: [usize; 3]) -> Result<impl FnMut(), TrainError> {
        let shape = Shape { rows, inputs, outputs };
        let (a_len, w_len, z_len) =
            (rows * padded(inputs), padded(inputs) * padded(outputs), rows * padded(outputs));
        let mut ones = Buffer::new(padded(outputs))?;
        ones.fill(1.0);
        let mut room = Room {
            family: Family::of_process()?,
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
        Ok(move || room.run(self))
    }
}

impl Room {
    fn run(&mut self, kernel: Kernel) {
        let Self { family, shape, a, w, z, d, e, g, out, scratch, .. } = self;
        let Shape { rows, inputs, outputs } = *shape;
        match kernel {
            Kernel::Forward => strips(outputs)
                .for_each(|strip| family.forward(*shape, strip, a, w, &mut z[strip.range(rows)])),
            Kernel::WeightGradient => family.weight_gradient(*shape, a, d, g),
            Kernel::InputGradient => {
                strips(inputs).for_each(|strip| {
                    family.input_gradient(*shape, strip, d, w, scratch, &mut e[strip.range(rows)])
                });
            }
            Kernel::Normalise => strips(outputs).for_each(|strip| self.normalise(strip)),
            Kernel::BackNormalise => strips(outputs).for_each(|strip| self.normalise_back(strip)),
            Kernel::Softmax => {
                family.run(CrossEntropy {
                    rows,
                    outputs,
                    bias: &self.ones,
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
            statistics: self.statistics.of_strip(strip),
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

/// The update of a layer's W [inputs, outputs] and bias, ready to be run again and again.
///
/// # Errors
/// No memory, or `CAVIAR_KERNELS` is wrong.
pub fn prepare_update(
    spec: TrainSpec,
    [inputs, outputs]: [usize; 2],
) -> Result<impl FnMut(), TrainError> {
    let family = Family::of_process()?;
    let spec = TrainSpec { hidden: Vec::new(), ..spec };
    let mut network = Network::new(family, &spec, inputs, outputs, 2)?;
    let mut updater = Updater::new(family, &spec, network.parameters.len())?;
    let gradients = filled(network.gradients.len())?;
    network.gradients.copy_from_slice(&gradients);
    Ok(move || updater.step(&mut network, 1e-3))
}
