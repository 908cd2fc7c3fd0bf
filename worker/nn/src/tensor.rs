//! The place of a weight matrix or a vector in a flat buffer of parameters, gradients or moments.
#![allow(
    clippy::indexing_slicing,
    reason = "Layout places the ranges in buffers of the length that it reports"
)]

use std::ops::Range;

use crate::kernels::{offset, padded};

/// The place of a matrix [rows, columns], stored in panels, in a flat buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tensor {
    start: usize,
    /// The stored rows: those of a weight matrix are padded like its columns.
    stored_rows: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// Assigns places in a flat buffer, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    len: usize,
}

impl Layout {
    /// A place for a weight matrix [inputs, outputs].
    pub(crate) fn matrix(&mut self, inputs: usize, outputs: usize) -> Tensor {
        self.place(padded(inputs), inputs, outputs)
    }

    /// A place for one value per unit.
    pub(crate) fn vector(&mut self, units: usize) -> Tensor {
        self.place(1, 1, units)
    }

    fn place(&mut self, stored_rows: usize, rows: usize, columns: usize) -> Tensor {
        let tensor = Tensor { start: self.len, stored_rows, rows, columns };
        self.len = tensor.range().end;
        tensor
    }

    /// The floats assigned so far, padding included: the length of the flat buffer.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Tensor {
    /// The tensor's part of the flat buffer, padding included.
    pub(crate) fn range(self) -> Range<usize> {
        self.start..self.start + self.stored_rows * padded(self.columns)
    }

    /// The positions of the elements in the flat buffer, in row-major order and without padding.
    pub(crate) fn positions(self) -> impl Iterator<Item = usize> {
        (0..self.rows).flat_map(move |row| {
            (0..self.columns).map(move |column| self.start + offset(self.stored_rows, row, column))
        })
    }

    /// The tensor's part of `flat`, padding included.
    pub(crate) fn of(self, flat: &[f32]) -> &[f32] {
        &flat[self.range()]
    }

    /// The same as [`Tensor::of`], to write.
    pub(crate) fn of_mut(self, flat: &mut [f32]) -> &mut [f32] {
        &mut flat[self.range()]
    }
}
