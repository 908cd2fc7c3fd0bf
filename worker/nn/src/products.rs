//! The three matrix products of a layer, in the precision of the spec, and their scratch memory.
//!
//! With bf16 both factors are rounded and the sums are f32. What is stored (weights, activations,
//! gradients) stays f32.
#![allow(clippy::indexing_slicing, reason = "arrays of four, indexed by from_fn")]

use caviar_common::train::Precision;

use crate::error::TrainError;
use crate::kernels::{Buffer, Family, Piece, Shape, padded, words};

/// Computes the products of all layers.
pub(crate) struct Products {
    family: Family,
    precision: Precision,
    /// A strip of a weight matrix, transposed or as pairs of bf16.
    scratch: Buffer,
    /// A factor [rows, words(columns)] as pairs of bf16. Empty with f32.
    columns: Buffer,
    /// The factors [words(rows), columns] of the gradient by the weights. Empty with f32.
    rows: [Buffer; 2],
}

/// The lengths, in floats, of the scratch buffers for layers of these shapes.
pub(crate) fn scratch_lens(
    precision: Precision,
    shapes: impl Iterator<Item = Shape>,
) -> [usize; 4] {
    shapes.fold([0; 4], |largest: [usize; 4], shape| {
        let Shape { rows, inputs, outputs } = shape;
        let of_pairs = [
            rows * padded(words(inputs.max(outputs))),
            words(rows) * padded(inputs),
            words(rows) * padded(outputs),
        ];
        let [columns, a, d] = if precision == Precision::Bf16 { of_pairs } else { [0; 3] };
        let lens = [shape.scratch_len(), columns, a, d];
        std::array::from_fn(|index| largest[index].max(lens[index]))
    })
}

impl Products {
    /// The products of layers of these shapes, whose rows are those of the largest mini-batch.
    ///
    /// # Errors
    /// There is not enough memory.
    pub(crate) fn new(
        family: Family,
        precision: Precision,
        shapes: impl Iterator<Item = Shape>,
    ) -> Result<Self, TrainError> {
        let [scratch, columns, a, d] = scratch_lens(precision, shapes);
        Ok(Self {
            family,
            precision,
            scratch: Buffer::new(scratch)?,
            columns: Buffer::new(columns)?,
            rows: [Buffer::new(a)?, Buffer::new(d)?],
        })
    }

    /// Memory that is free between products: at least sixteen floats per output of each layer,
    /// padding included.
    pub(crate) fn scratch(&mut self) -> &mut [f32] {
        &mut self.scratch
    }

    /// Prepares the factor that the next strips of [`Products::forward`] or
    /// [`Products::input_gradient`] share: a or d [rows, columns].
    pub(crate) fn take(&mut self, rows: usize, columns: usize, factor: &[f32]) {
        if self.precision == Precision::Bf16 {
            self.family.pair_columns(rows, columns, factor, &mut self.columns);
        }
    }

    /// One strip of z = a W, after [`Products::take`] of a.
    ///
    /// a is [rows, inputs], W [inputs, outputs], and z the strip of [rows, outputs].
    pub(crate) fn forward(&mut self, piece: Piece, a: &[f32], w: &[f32], z: &mut [f32]) {
        match self.precision {
            Precision::F32 => self.family.forward(piece, a, w, z),
            Precision::Bf16 => {
                self.family.forward_of_pairs(piece, &self.columns, w, &mut self.scratch, z)
            }
        }
    }

    /// One strip of e = d W^T, the gradient by a, after [`Products::take`] of d.
    ///
    /// d is [rows, outputs], W [inputs, outputs], and e the strip of [rows, inputs].
    pub(crate) fn input_gradient(&mut self, piece: Piece, d: &[f32], w: &[f32], e: &mut [f32]) {
        let Self { family, columns, scratch, .. } = self;
        match self.precision {
            Precision::F32 => family.input_gradient(piece, d, w, scratch, e),
            Precision::Bf16 => family.input_gradient_of_pairs(piece, columns, w, scratch, e),
        }
    }

    /// g = a^T d, the gradient by W.
    ///
    /// a is [rows, inputs], d [rows, outputs], and g [inputs, outputs].
    pub(crate) fn weight_gradient(&mut self, shape: Shape, a: &[f32], d: &[f32], g: &mut [f32]) {
        match self.precision {
            Precision::F32 => self.family.weight_gradient(shape, a, d, g),
            Precision::Bf16 => {
                let [by_a, by_d] = &mut self.rows;
                self.family.pair_rows(shape.rows, shape.inputs, a, by_a);
                self.family.pair_rows(shape.rows, shape.outputs, d, by_d);
                self.family.weight_gradient_of_pairs(shape, by_a, by_d, g);
            }
        }
    }
}
